/* Reading bodies that are JSON into structs: strings that are owned, lists that are capped, and one
 * status for it all. The JSON reader's sticky error carries everything, so that a decoder is
 * written without checks and asks once, with rmq_body_finish. */
#ifndef RMQ_BODY_JSON_H
#define RMQ_BODY_JSON_H

#include <rmq/json.h>

#include "buf.h"

/* The largest body that is read into structs, which take as much again: far more than any name
 * server says of a topic. */
#define RMQ_BODY_MAX_BYTES ((size_t)16 * 1024 * 1024)
/* What the strings of one list may take in memory. */
#define RMQ_BODY_MAX_STRING_BYTES ((size_t)24 * 1024 * 1024)

/* rmq_json_init, lenient, for a body: one over RMQ_BODY_MAX_BYTES is an error that rmq_body_finish
 * tells as FULL. */
void rmq_body_init(rmq_json *json, rmq_slice body);

/* A growing array of zeroed items. */
typedef struct rmq_body_list {
    void *items;
    size_t count;
    size_t capacity;
} rmq_body_list;

/* Appends a zeroed item and returns it; NULL and an error if `max_items` are there or memory ran
 * out. Pointers to earlier items become invalid. */
void *rmq_body_list_add(rmq_json *json, rmq_body_list *list, size_t item_bytes, size_t max_items);

/* Puts the reader in an error that rmq_body_finish tells as FULL. Returns false. */
bool rmq_body_full(rmq_json *json);

/* Read the value that comes next. A null leaves the output as it was. Text replaces what was there
 * (which is freed); text with a zero byte in it is an error. */
bool rmq_body_text(rmq_json *json, char **io_text);
bool rmq_body_int32(rmq_json *json, int32_t *io_value);
bool rmq_body_int64(rmq_json *json, int64_t *io_value);
/* Enter what comes next; false for null (passed over) and for an error. */
bool rmq_body_enter_object(rmq_json *json);
bool rmq_body_enter_array(rmq_json *json);

/* The text is read to its end? Errors: PROTO, NOMEM, FULL; the text begins with `what`. */
RMQ_MUST_CHECK rmq_status rmq_body_finish(rmq_json *json, const char *what, rmq_error *err);

/* Appends the text of `writer`, which is complete, to `out`. Errors: NOMEM, FULL. */
RMQ_MUST_CHECK rmq_status rmq_body_append(rmq_json_writer *writer, rmq_buf *out);

/* {"key":["a","b"]}: the strings under `key`, each and the list to be freed by
 * rmq_body_strings_free. */
RMQ_MUST_CHECK rmq_status rmq_body_strings_decode(rmq_slice body, const char *key,
                                                  char ***out_strings, size_t *out_count,
                                                  rmq_error *err);
void rmq_body_strings_free(char **strings, size_t count);

#endif
