/* Batches inside: the encoding of a batch send's body, and records that hold such a batch.
 *
 * A batch send's body is a row of members, each with flag, body and properties of its own. Most
 * brokers store each member as a record. A topic with `queue.type=BatchCQ` (5.x) stores the whole
 * batch as one record, which takes as many queue offsets as it has members; a pull that starts in
 * the middle gets the whole record. Here it becomes the messages that were sent: member i has the
 * record's offset + i, and those outside of the reader's window are dropped.
 *
 * Compression: the Java reader decompresses the record's body and then walks it, the broker expects
 * members that are compressed each by itself. Both are read. They can't be confused, as no
 * compressed stream begins with a member's size that fits.
 *
 * If the body is broken the members can't be told apart. One message then stands for them, at the
 * first of their offsets that the reader wants, with the stored body and a body_status, so that the
 * loss is seen. Source: MessageDecoder.decodeMessages 5.4.0; protocol facts 5.6, 5.7; golden
 * record_inner_batch, java_send_batch_req. */
#include "cursor.h"
#include "props.h"
#include "record_decoder.h"

#define INNER_BATCH_BITS (RMQ_SYSFLAG_INNER_BATCH | RMQ_SYSFLAG_NEED_UNWRAP)
#define MEMBER_FIXED_BYTES 22

void rmq_batch_member_encode(int32_t flag, rmq_slice body, rmq_slice properties, rmq_buf *out)
{
    if (body.len > INT32_MAX - MEMBER_FIXED_BYTES - RMQ_PROPERTIES_MAX_BYTES ||
        properties.len > RMQ_PROPERTIES_MAX_BYTES) {
        out->failed = RMQ_FULL;
        return;
    }
    rmq_buf_append_u32(out, (uint32_t)(MEMBER_FIXED_BYTES + body.len + properties.len));
    rmq_buf_append_u32(out, 0); /* magic */
    rmq_buf_append_u32(out, 0); /* CRC */
    rmq_buf_append_u32(out, (uint32_t)flag);
    rmq_buf_append_u32(out, (uint32_t)body.len);
    rmq_buf_append_slice(out, body);
    rmq_buf_append_u16(out, (uint16_t)properties.len);
    rmq_buf_append_slice(out, properties);
}

rmq_status rmq_batch_member_next(rmq_slice body, size_t *position, int32_t *out_flag,
                                 rmq_slice *out_body, rmq_slice *out_properties, rmq_error *err)
{
    if (*position >= body.len)
        return RMQ_NOT_FOUND;
    size_t left = body.len - *position;
    rmq_cursor cursor = rmq_cursor_of(body.data + *position, left);
    uint32_t total = rmq_cursor_u32(&cursor);
    rmq_cursor_skip(&cursor, 8); /* magic and CRC, both 0 */
    int32_t flag = (int32_t)rmq_cursor_u32(&cursor);
    uint32_t body_len = rmq_cursor_u32(&cursor);
    rmq_slice member = rmq_cursor_bytes(&cursor, body_len);
    uint32_t properties_len = rmq_cursor_u16(&cursor);
    rmq_slice properties = rmq_cursor_bytes(&cursor, properties_len);
    if (!rmq_cursor_ok(&cursor) || total != left - rmq_cursor_left(&cursor) ||
        properties_len > RMQ_PROPERTIES_MAX_BYTES)
        return rmq_error_set(err, RMQ_PROTO,
                             "batch member at byte %zu: its size %u, its body of %u bytes and its "
                             "properties of %u bytes do not fit the %zu bytes left",
                             *position, total, body_len, properties_len, left);
    *position += total;
    *out_flag = flag;
    *out_body = member;
    *out_properties = properties;
    return RMQ_OK;
}

bool rmq_record_is_inner_batch(const rmq_message *message)
{
    return (message->sys_flag & INNER_BATCH_BITS) == INNER_BATCH_BITS;
}

/* False if the body is not a row of members. */
static bool count_members(rmq_slice body, size_t *out_count)
{
    size_t position = 0;
    size_t count = 0;
    int32_t flag;
    rmq_slice member;
    rmq_slice properties;
    rmq_status status;
    while ((status = rmq_batch_member_next(body, &position, &flag, &member, &properties, NULL)) ==
           RMQ_OK)
        count++;
    *out_count = count;
    return status == RMQ_NOT_FOUND && count > 0;
}

/* INNER_NUM, or 0 if it is absent or no positive int32. */
static size_t announced_members(const rmq_message *record)
{
    rmq_slice text;
    if (!rmq_props_get(record->properties, RMQ_PROPERTY_INNER_NUM, &text) || text.len > 10)
        return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return 0;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return value <= INT32_MAX ? (size_t)value : 0;
}

/* Lets one message stand for a batch whose members can't be told apart. */
static rmq_status add_broken(rmq_record_decoder *decoder, const rmq_message *record,
                             rmq_status body_status)
{
    const rmq_decode_options *options = decoder->options;
    rmq_message message = *record;
    message.body_status = body_status;
    decoder->last_offset = record->queue_offset;
    if (record->queue_offset < options->start_offset) {
        size_t n_members = announced_members(record);
        if (n_members > 0 && options->start_offset - record->queue_offset >= (int64_t)n_members)
            return RMQ_OK;
        message.queue_offset = options->start_offset;
    }
    if (message.queue_offset >= options->end_offset)
        return RMQ_OK;
    size_t n_left = decoder->n_records - decoder->record_index;
    if (!rmq_batch_reserve(decoder->batch, n_left))
        return rmq_record_fail(decoder, RMQ_NOMEM, "no memory for its view");
    decoder->batch->messages[decoder->batch->count++] = message;
    return RMQ_OK;
}

/* Room for `n_members` and one message for each record behind this one. If the cap forbids it
 * body_status is set. */
static rmq_status reserve_views(rmq_record_decoder *decoder, size_t n_members, rmq_message *record)
{
    rmq_batch *batch = decoder->batch;
    size_t n_more = n_members + decoder->n_records - decoder->record_index - 1;
    size_t n_free = batch->capacity - batch->count;
    size_t used = rmq_record_decoder_used(decoder);
    size_t left = used < decoder->max_batch_bytes ? decoder->max_batch_bytes - used : 0;
    if (n_more > n_free && n_more - n_free > left / sizeof(rmq_message))
        return rmq_record_over_cap(decoder, record);
    if (!rmq_batch_reserve(batch, n_more))
        return rmq_record_fail(decoder, RMQ_NOMEM, "no memory for the views of its %zu members",
                               n_members);
    return RMQ_OK;
}

/* Appends members `first` to `end` - 1 of `record`, for which there is room. */
static rmq_status add_members(rmq_record_decoder *decoder, const rmq_message *record, size_t first,
                              size_t end)
{
    rmq_batch *batch = decoder->batch;
    size_t position = 0;
    for (size_t i = 0; i < end; i++) {
        rmq_message member = *record;
        rmq_status status = rmq_batch_member_next(record->body, &position, &member.flag,
                                                  &member.body, &member.properties, NULL);
        if (status != RMQ_OK)
            return status; /* they were walked before: never */
        if (i < first)
            continue;
        member.sys_flag &= ~INNER_BATCH_BITS;
        member.queue_offset = record->queue_offset + (int64_t)i;
        status = rmq_record_body_decompress(decoder, &member);
        if (status != RMQ_OK)
            return status;
        batch->messages[batch->count++] = member;
    }
    return RMQ_OK;
}

/* The members from offset `from` on that lie below `offset`, at most `n_members`. */
static size_t members_below(int64_t from, int64_t offset, size_t n_members)
{
    if (offset <= from)
        return 0;
    uint64_t distance = (uint64_t)offset - (uint64_t)from;
    return distance < n_members ? (size_t)distance : n_members;
}

rmq_status rmq_inner_batch_unwrap(rmq_record_decoder *decoder, const rmq_record_view *view)
{
    const rmq_decode_options *options = decoder->options;
    rmq_message record = view->message;
    if (record.queue_offset >= options->end_offset) {
        decoder->last_offset = record.queue_offset;
        return RMQ_OK;
    }
    if (rmq_body_crc(record.body) != view->body_crc)
        return add_broken(decoder, &view->message, RMQ_CORRUPT);
    size_t n_members = 0;
    if (!count_members(record.body, &n_members)) {
        bool compressed = (record.sys_flag & RMQ_SYSFLAG_COMPRESSED) != 0;
        rmq_status status = rmq_record_body_decompress(decoder, &record);
        if (status != RMQ_OK)
            return status;
        if (record.body_status != RMQ_OK)
            return add_broken(decoder, &view->message, record.body_status);
        if (!compressed || !count_members(record.body, &n_members))
            return add_broken(decoder, &view->message, RMQ_CORRUPT);
    }
    size_t announced = announced_members(&record);
    if (announced != 0 && announced != n_members)
        return add_broken(decoder, &view->message, RMQ_CORRUPT);
    if ((uint64_t)n_members > (uint64_t)(INT64_MAX - record.queue_offset))
        return rmq_record_fail(decoder, RMQ_PROTO, "%zu members from queue offset %lld on",
                               n_members, (long long)record.queue_offset);

    size_t first = members_below(record.queue_offset, options->start_offset, n_members);
    size_t end = members_below(record.queue_offset, options->end_offset, n_members);
    if (end < first)
        end = first;
    rmq_status status = reserve_views(decoder, end - first, &record);
    if (status != RMQ_OK)
        return status;
    if (record.body_status != RMQ_OK)
        return add_broken(decoder, &view->message, record.body_status);
    decoder->last_offset = record.queue_offset + (int64_t)n_members - 1;
    return end > first ? add_members(decoder, &record, first, end) : RMQ_OK;
}
