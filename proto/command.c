/* Remoting commands: fields, setters and getters, and the frame around a header.
 *
 * A decoded command borrows everything from its frame, but for strings that held escapes; a command
 * being built owns copies. Both kinds of bytes live in the text pool behind `scratch`, so one
 * function frees either. Fields stay a plain array in wire order: a header has about ten of them,
 * and looking through ten lengths is faster than any index would be to build.
 *
 * encode appends to a buffer that may hold earlier frames (a connection's write queue), so a
 * failure takes back all that it appended. */
#include "command.h"

#include <string.h>

#include "json_escape.h"
#include "json_scan.h"
#include "mem.h"
#include "text_pool.h"

#define FRAME_PREFIX_BYTES 8
#define HEADER_MAX_BYTES 0xFFFFFFu

void rmq_command_init(rmq_command *command, int32_t code)
{
    *command = (rmq_command){
        .code = code,
        .language = RMQ_LANGUAGE_CPP,
        .version = RMQ_PROTOCOL_VERSION,
    };
}

void rmq_command_deinit(rmq_command *command)
{
    rmq_free(command->fields);
    rmq_text_pool_free(&command->scratch);
    *command = (rmq_command){0};
}

rmq_status rmq_command_decode(const rmq_frame *frame, rmq_command *out_command, rmq_error *err)
{
    *out_command = (rmq_command){.language = RMQ_LANGUAGE_OTHER, .body = frame->body};
    rmq_status status;
    switch (frame->serialization) {
    case RMQ_SERIALIZATION_JSON:
        status = rmq_header_json_decode(frame->header, out_command, err);
        break;
    case RMQ_SERIALIZATION_BINARY:
        status = rmq_header_bin_decode(frame->header, out_command, err);
        break;
    default:
        status =
            rmq_error_set(err, RMQ_PROTO, "unknown header serialization %u", frame->serialization);
        break;
    }
    if (status != RMQ_OK)
        rmq_command_deinit(out_command);
    return status;
}

static rmq_status encode_frame(const rmq_command *command, int serialization, rmq_buf *out,
                               rmq_error *err)
{
    size_t begin = out->len;
    rmq_buf_append_u64(out, 0);
    rmq_status status = serialization == RMQ_SERIALIZATION_BINARY
                            ? rmq_header_bin_encode(command, out, err)
                            : rmq_header_json_encode(command, out, err);
    if (status != RMQ_OK)
        return status;
    size_t header_bytes = out->len - begin - FRAME_PREFIX_BYTES;
    rmq_buf_append_slice(out, command->body);
    if (out->failed != RMQ_OK)
        return rmq_error_set(err, out->failed, "no room for a frame with a body of %zu bytes",
                             command->body.len);
    size_t total = out->len - begin - 4;
    if (header_bytes > HEADER_MAX_BYTES || total > INT32_MAX)
        return rmq_error_set(err, RMQ_PROTO, "header of %zu and body of %zu bytes fit no frame",
                             header_bytes, command->body.len);
    rmq_buf_patch_u32(out, begin, (uint32_t)total);
    rmq_buf_patch_u32(out, begin + 4, (uint32_t)serialization << 24 | (uint32_t)header_bytes);
    return RMQ_OK;
}

rmq_status rmq_command_encode(const rmq_command *command, int serialization, rmq_buf *out,
                              rmq_error *err)
{
    if (command->failed != RMQ_OK)
        return rmq_error_set(err, command->failed, "the fields of a command could not be set");
    if (out->failed != RMQ_OK)
        return rmq_error_set(err, out->failed, "the output buffer has failed before");
    size_t begin = out->len;
    rmq_status status = encode_frame(command, serialization, out, err);
    if (status != RMQ_OK) {
        out->len = begin;
        out->failed = RMQ_OK;
    }
    return status;
}

rmq_status rmq_command_add_field(rmq_command *command, rmq_slice key, rmq_slice value,
                                 rmq_error *err)
{
    if (command->n_fields >= RMQ_MAX_EXT_FIELDS)
        return rmq_error_set(err, RMQ_PROTO, "more than %d ext fields", RMQ_MAX_EXT_FIELDS);
    if (command->n_fields >= command->fields_capacity) {
        rmq_field *fields = rmq_array_grow(command->fields, &command->fields_capacity,
                                           command->n_fields + 1, sizeof(*fields));
        if (fields == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "no memory for ext fields");
        command->fields = fields;
    }
    command->fields[command->n_fields++] = (rmq_field){key, value};
    return RMQ_OK;
}

/* The last field of that name, or NULL. */
static rmq_field *find_field(const rmq_command *command, rmq_slice key)
{
    for (size_t i = command->n_fields; i-- > 0;) {
        rmq_slice found = command->fields[i].key;
        if (found.len == key.len && (key.len == 0 || memcmp(found.data, key.data, key.len) == 0))
            return &command->fields[i];
    }
    return NULL;
}

static bool copy_text(rmq_command *command, rmq_slice text, rmq_slice *out_copy)
{
    char *copy = rmq_text_pool_take(&command->scratch, text.len);
    if (copy == NULL) {
        command->failed = RMQ_NOMEM;
        return false;
    }
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    *out_copy = (rmq_slice){copy, text.len};
    return true;
}

void rmq_command_set_slice(rmq_command *command, const char *key, rmq_slice value)
{
    rmq_slice own_key;
    rmq_slice own_value;
    if (command->failed != RMQ_OK || !copy_text(command, value, &own_value))
        return;
    rmq_field *field = find_field(command, rmq_slice_of(key));
    if (field != NULL) {
        field->value = own_value;
        return;
    }
    if (!copy_text(command, rmq_slice_of(key), &own_key))
        return;
    rmq_status status = rmq_command_add_field(command, own_key, own_value, NULL);
    if (status != RMQ_OK)
        command->failed = status == RMQ_NOMEM ? RMQ_NOMEM : RMQ_FULL;
}

void rmq_command_set(rmq_command *command, const char *key, const char *value)
{
    if (value != NULL)
        rmq_command_set_slice(command, key, rmq_slice_of(value));
}

void rmq_command_set_int(rmq_command *command, const char *key, int64_t value)
{
    char digits[RMQ_INT64_TEXT_BYTES];
    rmq_command_set_slice(command, key, rmq_format_int64(value, digits));
}

void rmq_command_set_bool(rmq_command *command, const char *key, bool value)
{
    rmq_command_set(command, key, value ? "true" : "false");
}

void rmq_command_set_remark(rmq_command *command, const char *remark)
{
    if (remark == NULL || command->failed != RMQ_OK)
        return;
    if (copy_text(command, rmq_slice_of(remark), &command->remark))
        command->has_remark = true;
}

bool rmq_command_get(const rmq_command *command, const char *key, rmq_slice *out_value)
{
    const rmq_field *field = find_field(command, rmq_slice_of(key));
    if (field == NULL)
        return false;
    *out_value = field->value;
    return true;
}

bool rmq_command_get_int64(const rmq_command *command, const char *key, int64_t *out_value)
{
    rmq_slice text;
    return rmq_command_get(command, key, &text) && rmq_parse_int64(text, out_value);
}

bool rmq_command_get_int32(const rmq_command *command, const char *key, int32_t *out_value)
{
    int64_t value;
    if (!rmq_command_get_int64(command, key, &value) || value < INT32_MIN || value > INT32_MAX)
        return false;
    *out_value = (int32_t)value;
    return true;
}

bool rmq_command_get_bool(const rmq_command *command, const char *key, bool *out_value)
{
    rmq_slice text;
    if (!rmq_command_get(command, key, &text))
        return false;
    bool truth = rmq_slice_equals(text, "true");
    if (!truth && !rmq_slice_equals(text, "false"))
        return false;
    *out_value = truth;
    return true;
}

bool rmq_command_is_response(const rmq_command *command)
{
    return (command->flag & RMQ_FLAG_RESPONSE) != 0;
}

bool rmq_command_is_oneway(const rmq_command *command)
{
    return (command->flag & RMQ_FLAG_ONEWAY) != 0;
}
