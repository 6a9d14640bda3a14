/* The binary ("ROCKETMQ") header. Source: RocketMQSerializable 5.4.0; protocol facts 1.3; golden
 * vectors *_rocketmq.hex.
 *
 *    code:i16  language:u8  version:i16  opaque:i32  flag:i32
 *    remark length:i32  remark    ext length:i32  { key length:i16 key  value length:i32 value }...
 *
 * Numbers that do not fit are refused rather than cut: a POP request (code 200050) cut to 16 bits
 * would arrive as another request. Values of length 0 are left out when writing and skipped when
 * reading, since the other side takes them for null. Bytes after the ext fields are skipped: a
 * newer server may add some. */
#include "command.h"

#include "cursor.h"

static rmq_status decode_fields(rmq_slice entries, rmq_command *out_command, rmq_error *err)
{
    rmq_cursor cursor = rmq_cursor_of(entries.data, entries.len);
    while (rmq_cursor_left(&cursor) > 0) {
        uint16_t key_bytes = rmq_cursor_u16(&cursor);
        rmq_slice key = rmq_cursor_bytes(&cursor, key_bytes);
        uint32_t value_bytes = rmq_cursor_u32(&cursor);
        rmq_slice value = rmq_cursor_bytes(&cursor, value_bytes);
        if (!rmq_cursor_ok(&cursor) || key_bytes > INT16_MAX)
            return rmq_error_set(err, RMQ_PROTO, "ext field %zu runs over the binary header's end",
                                 out_command->n_fields);
        if (value.len == 0)
            continue;
        rmq_status status = rmq_command_add_field(out_command, key, value, err);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

rmq_status rmq_header_bin_decode(rmq_slice header, rmq_command *out_command, rmq_error *err)
{
    rmq_cursor cursor = rmq_cursor_of(header.data, header.len);
    out_command->code = (int16_t)rmq_cursor_u16(&cursor);
    out_command->language = rmq_cursor_u8(&cursor);
    out_command->version = (int16_t)rmq_cursor_u16(&cursor);
    out_command->opaque = (int32_t)rmq_cursor_u32(&cursor);
    out_command->flag = (int32_t)rmq_cursor_u32(&cursor);
    out_command->remark = rmq_cursor_bytes(&cursor, rmq_cursor_u32(&cursor));
    out_command->has_remark = out_command->remark.len > 0;
    rmq_slice entries = rmq_cursor_bytes(&cursor, rmq_cursor_u32(&cursor));
    if (!rmq_cursor_ok(&cursor))
        return rmq_error_set(err, RMQ_PROTO, "a length runs over the binary header's %zu bytes",
                             header.len);
    return decode_fields(entries, out_command, err);
}

/* Appends one field, or says that a length of it doesn't fit. */
static bool encode_field(const rmq_field *field, rmq_buf *out)
{
    if (field->value.len == 0)
        return true;
    if (field->key.len > INT16_MAX || field->value.len > INT32_MAX)
        return false;
    rmq_buf_append_u16(out, (uint16_t)field->key.len);
    rmq_buf_append_slice(out, field->key);
    rmq_buf_append_u32(out, (uint32_t)field->value.len);
    rmq_buf_append_slice(out, field->value);
    return true;
}

static rmq_status check_numbers(const rmq_command *command, rmq_error *err)
{
    if (command->code < INT16_MIN || command->code > INT16_MAX)
        return rmq_error_set(err, RMQ_PROTO, "code %d does not fit the binary header's 16 bits",
                             command->code);
    if (command->version < INT16_MIN || command->version > INT16_MAX || command->language < 0 ||
        command->language > UINT8_MAX)
        return rmq_error_set(err, RMQ_PROTO,
                             "version %d or language %d does not fit the binary header",
                             command->version, command->language);
    if (command->has_remark && command->remark.len > INT32_MAX)
        return rmq_error_set(err, RMQ_PROTO, "remark of %zu bytes", command->remark.len);
    return RMQ_OK;
}

rmq_status rmq_header_bin_encode(const rmq_command *command, rmq_buf *out, rmq_error *err)
{
    rmq_status status = check_numbers(command, err);
    if (status != RMQ_OK)
        return status;
    rmq_slice remark = command->has_remark ? command->remark : (rmq_slice){NULL, 0};
    rmq_buf_append_u16(out, (uint16_t)command->code);
    rmq_buf_append_u8(out, (uint8_t)command->language);
    rmq_buf_append_u16(out, (uint16_t)command->version);
    rmq_buf_append_u32(out, (uint32_t)command->opaque);
    rmq_buf_append_u32(out, (uint32_t)command->flag);
    rmq_buf_append_u32(out, (uint32_t)remark.len);
    rmq_buf_append_slice(out, remark);
    size_t length_at = out->len;
    rmq_buf_append_u32(out, 0);
    size_t begin = out->len;
    for (size_t i = 0; i < command->n_fields; i++) {
        if (!encode_field(&command->fields[i], out))
            return rmq_error_set(err, RMQ_PROTO, "ext field %zu is too long for the binary header",
                                 i);
    }
    if (out->failed != RMQ_OK)
        return rmq_error_set(err, out->failed, "no room for a binary header");
    rmq_buf_patch_u32(out, length_at, (uint32_t)(out->len - begin));
    return RMQ_OK;
}
