/* A remoting command: the header of a frame, as values. The two serializations (header_json.c,
 * header_bin.c) stand behind rmq_command_decode and rmq_command_encode.
 * Source: RemotingCommand 5.4.0; protocol facts 1. */
#ifndef RMQ_COMMAND_H
#define RMQ_COMMAND_H

#include <rmq/base.h>

#include "buf.h"
#include "frame.h"

#define RMQ_SERIALIZATION_JSON 0
#define RMQ_SERIALIZATION_BINARY 1

#define RMQ_LANGUAGE_JAVA 0
#define RMQ_LANGUAGE_CPP 1
#define RMQ_LANGUAGE_OTHER 7

#define RMQ_FLAG_RESPONSE 1
#define RMQ_FLAG_ONEWAY 2

/* The version we announce: 5.4.0. Protocol facts 1.5. */
#define RMQ_PROTOCOL_VERSION 493

#define RMQ_MAX_EXT_FIELDS 1024

typedef struct rmq_field {
    rmq_slice key;
    rmq_slice value;
} rmq_field;

/* Slices are borrowed: from the frame after a decode (or from `scratch`, where a JSON string held
 * escapes), from the caller before an encode. */
typedef struct rmq_command {
    int32_t code;
    int32_t language; /* a number as in the binary header; RMQ_LANGUAGE_OTHER for an unknown name */
    int32_t version;
    int32_t opaque;
    int32_t flag;
    bool has_remark;
    rmq_slice remark;
    rmq_field *fields; /* ext fields in wire order */
    size_t n_fields;
    size_t fields_capacity;
    rmq_slice body;
    void *scratch;     /* decoded strings, and copies made by the setters */
    rmq_status failed; /* of a setter; told by encode */
} rmq_command;

/* A request or response to be filled: code, our language and version, flag 0. */
void rmq_command_init(rmq_command *command, int32_t code);
void rmq_command_deinit(rmq_command *command);

/* Reads the header of `frame` into `out_command` (which it initialises; deinit it also after a
 * failure is not needed). The frame must outlive the command. Unknown top-level keys are skipped,
 * ext fields that are numbers or booleans become their text, null fields are left out. Errors:
 * PROTO, NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_command_decode(const rmq_frame *frame, rmq_command *out_command,
                                             rmq_error *err);

/* Appends the whole frame (length word, header, body) to `out`. On failure `out` holds what it held
 * before and can go on. Errors: PROTO (code, version or a length does not fit the header), NOMEM,
 * FULL (the cap of `out`, or more than RMQ_MAX_EXT_FIELDS set). Binary: fields with an empty value
 * are left out, since servers read them as null. */
RMQ_MUST_CHECK rmq_status rmq_command_encode(const rmq_command *command, int serialization,
                                             rmq_buf *out, rmq_error *err);

/* Setters for an outgoing command. Keys and values are copied; a key that is there already gets the
 * new value; a NULL string leaves the field (the remark) as it is. A failed allocation is reported
 * by encode. */
void rmq_command_set(rmq_command *command, const char *key, const char *value);
void rmq_command_set_slice(rmq_command *command, const char *key, rmq_slice value);
void rmq_command_set_int(rmq_command *command, const char *key, int64_t value);
void rmq_command_set_bool(rmq_command *command, const char *key, bool value);
void rmq_command_set_remark(rmq_command *command, const char *remark);

/* Getters. Absent or malformed: false, `out_value` untouched. Of fields with the same key the last
 * counts. */
bool rmq_command_get(const rmq_command *command, const char *key, rmq_slice *out_value);
bool rmq_command_get_int64(const rmq_command *command, const char *key, int64_t *out_value);
bool rmq_command_get_int32(const rmq_command *command, const char *key, int32_t *out_value);
bool rmq_command_get_bool(const rmq_command *command, const char *key, bool *out_value);

/* "JAVA", ...; "OTHER" for a number that is none. Static. */
const char *rmq_language_name(int32_t language);

bool rmq_command_is_response(const rmq_command *command);
bool rmq_command_is_oneway(const rmq_command *command);

/* Appends a field as the decoders do: key and value are borrowed, and a key may come twice. Errors:
 * PROTO (more than RMQ_MAX_EXT_FIELDS), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_command_add_field(rmq_command *command, rmq_slice key,
                                                rmq_slice value, rmq_error *err);

/* The two header codecs, called by decode and encode only. decode fills an initialised command and
 * may leave fields in it on failure. */
RMQ_MUST_CHECK rmq_status rmq_header_json_decode(rmq_slice header, rmq_command *out_command,
                                                 rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_header_json_encode(const rmq_command *command, rmq_buf *out,
                                                 rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_header_bin_decode(rmq_slice header, rmq_command *out_command,
                                                rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_header_bin_encode(const rmq_command *command, rmq_buf *out,
                                                rmq_error *err);

#endif
