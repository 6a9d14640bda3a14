/* A small JSON pull reader and a JSON writer.
 *
 * The reader walks a text without building a tree and without allocating, except for strings that
 * hold escapes. In lenient mode it accepts what RocketMQ's servers send although it is not JSON:
 * bare numbers as object keys and whole objects as object keys (protocol facts, section 4.2 and
 * 14). Strict mode is RFC 8259 but for one thing: bytes above 0x7F are not checked to be UTF-8 and
 * come out as they stand (see rmq_utf8_valid), since servers' strings must survive whatever they
 * hold. A lone surrogate escape becomes U+FFFD. The writer appends to its own growable buffer. */
#ifndef RMQ_JSON_H
#define RMQ_JSON_H

#include <rmq/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMQ_JSON_MAX_DEPTH 64

/* What the reader stands on. */
typedef enum rmq_json_type {
    RMQ_JSON_END = 0, /* the text is read to its end */
    RMQ_JSON_ERROR,   /* not JSON; see rmq_json_error */
    RMQ_JSON_OBJECT,
    RMQ_JSON_ARRAY,
    RMQ_JSON_STRING,
    RMQ_JSON_NUMBER,
    RMQ_JSON_BOOL,
    RMQ_JSON_NULL
} rmq_json_type;

/* The reader's state. Fields are private; embed it and use the functions. It borrows the text,
 * which must outlive it. Decoded strings live in memory that the reader owns until rmq_json_deinit.
 */
typedef struct rmq_json {
    const char *start;
    const char *at;
    const char *end;
    const char *error;
    size_t error_at;
    void *strings; /* list of decoded strings */
    uint32_t depth;
    bool lenient;
} rmq_json;

/* Starts reading `text`. `lenient` accepts bare numbers and objects as keys, NaN never. Thread: one
 * per reader, as for all functions here. */
RMQ_API void rmq_json_init(rmq_json *json, rmq_slice text, bool lenient);
RMQ_API void rmq_json_deinit(rmq_json *json);

/* Type of the value that comes next, without consuming it. RMQ_JSON_ERROR once anything failed.
 * Values may follow each other at the top level (lines of JSON): whoever wants just one checks that
 * RMQ_JSON_END comes after it. */
RMQ_API rmq_json_type rmq_json_peek(rmq_json *json);

/* Enters the object or array that comes next; false (and the error state) if there is none. */
RMQ_API bool rmq_json_enter_object(rmq_json *json);
RMQ_API bool rmq_json_enter_array(rmq_json *json);

/* Inside an object: reads the next key into `out_key` and stands before its value; false at the end
 * of the object (which is then left) or on an error. A bare number key is given as its text; an
 * object key is given as its raw text, `{...}`, to be read by a reader of its own. */
RMQ_API bool rmq_json_next_key(rmq_json *json, rmq_slice *out_key);

/* Inside an array: true if an element comes next; false at the end of the array (which is then
 * left) or on an error. */
RMQ_API bool rmq_json_next_element(rmq_json *json);

/* Reads the value that comes next. A value of another type puts the reader in the error state and
 * returns false; numbers are also accepted in quotes by read_int64 (servers send both). */
RMQ_API bool rmq_json_read_string(rmq_json *json, rmq_slice *out_value);
RMQ_API bool rmq_json_read_int64(rmq_json *json, int64_t *out_value);
RMQ_API bool rmq_json_read_double(rmq_json *json, double *out_value);
RMQ_API bool rmq_json_read_bool(rmq_json *json, bool *out_value);
/* Passes over the value that comes next, however deep (up to RMQ_JSON_MAX_DEPTH). */
RMQ_API bool rmq_json_skip(rmq_json *json);
/* The raw text of the value that comes next, which is passed over. */
RMQ_API bool rmq_json_read_raw(rmq_json *json, rmq_slice *out_text);

/* RMQ_OK if everything so far was JSON; else RMQ_PROTO (RMQ_NOMEM) with what and at which byte.
 * Call it once after a walk. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_json_status(const rmq_json *json, rmq_error *err);

/* ---- writer ---- */

/* Private fields; embed it and use the functions. A failed allocation is remembered and reported by
 * rmq_json_writer_finish, so that calls need no check. */
typedef struct rmq_json_writer {
    char *data;
    size_t len;
    size_t capacity;
    bool failed;
    bool need_comma;
    bool after_key;
} rmq_json_writer;

RMQ_API void rmq_json_writer_init(rmq_json_writer *writer);
RMQ_API void rmq_json_writer_deinit(rmq_json_writer *writer);
RMQ_API void rmq_json_begin_object(rmq_json_writer *writer);
RMQ_API void rmq_json_end_object(rmq_json_writer *writer);
RMQ_API void rmq_json_begin_array(rmq_json_writer *writer);
RMQ_API void rmq_json_end_array(rmq_json_writer *writer);
RMQ_API void rmq_json_key(rmq_json_writer *writer, const char *key);
RMQ_API void rmq_json_key_slice(rmq_json_writer *writer, rmq_slice key);
/* Bytes are taken as UTF-8; control characters, quotes and backslashes are escaped, invalid UTF-8
 * becomes U+FFFD. */
RMQ_API void rmq_json_string(rmq_json_writer *writer, const char *value);
RMQ_API void rmq_json_string_slice(rmq_json_writer *writer, rmq_slice value);
RMQ_API void rmq_json_int64(rmq_json_writer *writer, int64_t value);
RMQ_API void rmq_json_double(rmq_json_writer *writer,
                             double value); /* NaN and infinity become null */
RMQ_API void rmq_json_bool(rmq_json_writer *writer, bool value);
RMQ_API void rmq_json_null(rmq_json_writer *writer);
/* Puts `text`, which must be JSON, as the next value. */
RMQ_API void rmq_json_raw(rmq_json_writer *writer, rmq_slice text);
/* Puts a line end after a complete top-level value, so that values can be written one a line. */
RMQ_API void rmq_json_newline(rmq_json_writer *writer);
/* Forgets the text but keeps the memory. */
RMQ_API void rmq_json_writer_clear(rmq_json_writer *writer);
/* The text so far, borrowed until the next call on the writer; RMQ_NOMEM if memory had run out. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_json_writer_finish(rmq_json_writer *writer,
                                                         rmq_slice *out_text);

/* Whether the bytes are valid UTF-8 (no surrogates, no overlong forms). */
RMQ_API bool rmq_utf8_valid(rmq_slice bytes);

#ifdef __cplusplus
}
#endif

#endif
