/* Stored-message records to message views: what a pull answer's body holds.
 *
 *     ┌───────┬───────┬─────┬───────┬──────┬────────┬──────────┬─────────┐
 *     │ total │ magic │ crc │ queue │ flag │ offset │ physical │ sysFlag │   40 bytes
 *     ├───────┴───┬───┴─────┴──┬────┴──────┴┬───────┴────┬─────┴──┬──────┴───┐
 *     │ born time │ born host  │ store time │ store host │ recons │ prepared │   hosts 8 or 20
 *     ├──────────┬┴─────┬──────┴───┬────────┴────────┬───┴────────┴──────────┘
 *     │ body     │ topic│ topic    │ properties      │   lengths of 4, 1 (v2: 2) and 2 bytes
 *     └──────────┴──────┴──────────┴─────────────────┘
 *
 * Two walks: the first follows only the total sizes and counts, so that one allocation holds all
 * views; the second reads. A record must be exactly as long as it says, down to the last byte. A
 * broken structure fails the whole call, since nothing after it can be trusted, while a broken body
 * spoils one message only (record_body.c).
 *
 * Nothing is copied: a view points into the frame, which the batch keeps. The part before the body
 * is taken from the cursor in one piece and read at fixed places, which is where the time goes when
 * messages are small. Source: MessageDecoder.decode 5.4.0; protocol facts 5.1; golden
 * pull_body_java_client_mix, record_magic_v2, record_bornhost_v6, record_inner_batch. */
#include "record.h"

#include <stdio.h>
#include <string.h>

#include "cursor.h"
#include "record_decoder.h"

#define HEAD_BYTES 40
#define RECORD_MIN_BYTES 91 /* both hosts IPv4; body, topic and properties empty */
#define MAX_BODY_BYTES_DEFAULT ((size_t)64 * 1024 * 1024)
#define MAX_BATCH_BYTES_DEFAULT ((size_t)256 * 1024 * 1024)

static uint32_t load_u32(const char *at)
{
    const uint8_t *bytes = (const uint8_t *)at;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint64_t load_u64(const char *at)
{
    return (uint64_t)load_u32(at) << 32 | load_u32(at + 4);
}

rmq_status rmq_record_fail(const rmq_record_decoder *decoder, rmq_status status, const char *format,
                           ...)
{
    char what[RMQ_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    rmq_error_set(decoder->err, status, "record %zu at byte %zu: %s", decoder->record_index,
                  decoder->record_at, what);
    return status;
}

rmq_status rmq_record_check_order(const rmq_record_decoder *decoder, int64_t offset)
{
    if (decoder->options->topic.len == 0 || offset > decoder->last_offset)
        return RMQ_OK;
    return rmq_record_fail(decoder, RMQ_PROTO, "queue offset %lld follows %lld", (long long)offset,
                           (long long)decoder->last_offset);
}

/* Reads a host of 4 or 16 address bytes and its port; returns what follows. */
static const char *read_host(const char *at, uint8_t address_bytes, rmq_host *out_host)
{
    if (address_bytes == 4) {
        memcpy(out_host->address, at, 4);
        memset(out_host->address + 4, 0, 12);
    } else {
        memcpy(out_host->address, at, 16);
    }
    out_host->address_bytes = address_bytes;
    out_host->port = (int32_t)load_u32(at + address_bytes);
    return at + address_bytes + 4;
}

/* The length that the cursor stands before must be what the record says of its rest. */
static rmq_status read_tail(const rmq_record_decoder *decoder, rmq_cursor *cursor, bool v2,
                            rmq_message *m)
{
    uint32_t topic_len = v2 ? rmq_cursor_u16(cursor) : rmq_cursor_u8(cursor);
    m->topic = rmq_cursor_bytes(cursor, topic_len);
    if (!rmq_cursor_ok(cursor) || topic_len > INT16_MAX)
        return rmq_record_fail(decoder, RMQ_PROTO, "topic of %u bytes passes its end", topic_len);
    uint32_t properties_len = rmq_cursor_u16(cursor);
    m->properties = rmq_cursor_bytes(cursor, properties_len);
    if (!rmq_cursor_ok(cursor) || properties_len > RMQ_PROPERTIES_MAX_BYTES)
        return rmq_record_fail(decoder, RMQ_PROTO, "properties of %u bytes pass its end or %d",
                               properties_len, RMQ_PROPERTIES_MAX_BYTES);
    if (rmq_cursor_left(cursor) != 0)
        return rmq_record_fail(decoder, RMQ_PROTO, "%zu bytes are left over",
                               rmq_cursor_left(cursor));
    return RMQ_OK;
}

/* The part behind the head and before the body. */
static rmq_status read_middle(const rmq_record_decoder *decoder, rmq_cursor *cursor, rmq_message *m,
                              uint32_t *out_body_len)
{
    uint8_t born_bytes = (m->sys_flag & RMQ_SYSFLAG_BORNHOST_V6) != 0 ? 16 : 4;
    uint8_t store_bytes = (m->sys_flag & RMQ_SYSFLAG_STOREHOST_V6) != 0 ? 16 : 4;
    rmq_slice middle = rmq_cursor_bytes(cursor, (size_t)40 + born_bytes + store_bytes);
    if (!rmq_cursor_ok(cursor))
        return rmq_record_fail(decoder, RMQ_PROTO, "ends inside its hosts");
    const char *at = middle.data;
    m->born_timestamp_ms = (int64_t)load_u64(at);
    at = read_host(at + 8, born_bytes, &m->born_host);
    m->store_timestamp_ms = (int64_t)load_u64(at);
    at = read_host(at + 8, store_bytes, &m->store_host);
    m->reconsume_times = (int32_t)load_u32(at);
    m->prepared_transaction_offset = (int64_t)load_u64(at + 4);
    *out_body_len = load_u32(at + 12);
    return RMQ_OK;
}

/* Reads the record in `bytes` (at least RECORD_MIN_BYTES) into `view`, all fields. */
static rmq_status read_record(const rmq_record_decoder *decoder, rmq_slice bytes,
                              rmq_record_view *view)
{
    rmq_cursor cursor = rmq_cursor_of(bytes.data, bytes.len);
    const char *head = rmq_cursor_bytes(&cursor, HEAD_BYTES).data;
    rmq_message *m = &view->message;
    m->queue_offset = -1;
    m->topic = (rmq_slice){"", 0};
    if (head == NULL)
        return rmq_record_fail(decoder, RMQ_PROTO, "ends inside its head");
    uint32_t magic = load_u32(head + 4);
    if (magic != RMQ_RECORD_MAGIC_V1 && magic != RMQ_RECORD_MAGIC_V2)
        return rmq_record_fail(decoder, RMQ_PROTO, "unknown magic 0x%08x", magic);
    view->body_crc = load_u32(head + 8);
    m->queue_id = (int32_t)load_u32(head + 12);
    m->flag = (int32_t)load_u32(head + 16);
    m->queue_offset = (int64_t)load_u64(head + 20);
    m->physical_offset = (int64_t)load_u64(head + 28);
    m->sys_flag = (int32_t)load_u32(head + 36);
    m->broker_name = (rmq_slice){decoder->batch->broker_name, decoder->batch->broker_name_len};
    m->body_status = RMQ_OK;

    uint32_t body_len = 0;
    rmq_status status = read_middle(decoder, &cursor, m, &body_len);
    if (status != RMQ_OK)
        return status;
    m->body = rmq_cursor_bytes(&cursor, body_len);
    if (!rmq_cursor_ok(&cursor) || body_len > INT32_MAX)
        return rmq_record_fail(decoder, RMQ_PROTO, "body of %u bytes passes its end", body_len);
    return read_tail(decoder, &cursor, magic == RMQ_RECORD_MAGIC_V2, m);
}

/* What a well-formed record must also be, to be an answer to what was asked. */
static rmq_status check_record(const rmq_record_decoder *decoder, rmq_message *m)
{
    const rmq_decode_options *options = decoder->options;
    int64_t offset;
    if (m->queue_offset < 0 ||
        __builtin_add_overflow(m->queue_offset, options->offset_delta, &offset) || offset < 0)
        return rmq_record_fail(decoder, RMQ_PROTO, "illegal queue offset %lld (delta %lld)",
                               (long long)m->queue_offset, (long long)options->offset_delta);
    m->queue_offset = offset;
    if (options->topic.len == 0)
        return RMQ_OK;
    if (m->topic.len != options->topic.len ||
        memcmp(m->topic.data, options->topic.data, m->topic.len) != 0)
        return rmq_record_fail(decoder, RMQ_PROTO, "is of topic \"%.*s\", asked for was \"%.*s\"",
                               (int)(m->topic.len < 127 ? m->topic.len : 127), m->topic.data,
                               (int)(options->topic.len < 127 ? options->topic.len : 127),
                               options->topic.data);
    if (m->queue_id != options->queue_id)
        return rmq_record_fail(decoder, RMQ_PROTO, "is of queue %d, asked for was %d", m->queue_id,
                               options->queue_id);
    return rmq_record_check_order(decoder, m->queue_offset);
}

/* Decodes one record and appends its message or messages to the batch. */
static rmq_status add_record(rmq_record_decoder *decoder, rmq_slice bytes)
{
    rmq_batch *batch = decoder->batch;
    rmq_record_view view;
    rmq_status status = read_record(decoder, bytes, &view);
    if (status == RMQ_OK)
        status = check_record(decoder, &view.message);
    if (status != RMQ_OK)
        return status;
    decoder->used_before = rmq_record_decoder_used(decoder);
    if (rmq_record_is_inner_batch(&view.message))
        return rmq_inner_batch_unwrap(decoder, &view);

    decoder->last_offset = view.message.queue_offset;
    if (view.message.queue_offset < decoder->options->start_offset ||
        view.message.queue_offset >= decoder->options->end_offset)
        return RMQ_OK;
    status = rmq_record_body_open(decoder, &view.message, view.body_crc);
    if (status == RMQ_OK)
        batch->messages[batch->count++] = view.message;
    return status;
}

/* Follows the total sizes to the end of the body. */
static rmq_status count_records(rmq_record_decoder *decoder, rmq_slice body)
{
    size_t at = 0;
    for (; at < body.len; decoder->record_index++) {
        decoder->record_at = at;
        size_t left = body.len - at;
        uint32_t total = left < 4 ? 0 : load_u32(body.data + at);
        if (total < RECORD_MIN_BYTES || total > left)
            return rmq_record_fail(decoder, RMQ_PROTO, "claims %u bytes, %zu are left", total,
                                   left);
        at += total;
    }
    decoder->n_records = decoder->record_index;
    size_t max_records = decoder->options->max_records;
    if (max_records != 0 && decoder->n_records > max_records)
        return rmq_error_set(decoder->err, RMQ_PROTO, "%zu records, more than %zu",
                             decoder->n_records, max_records);
    return RMQ_OK;
}

static rmq_status add_records(rmq_record_decoder *decoder, rmq_slice body)
{
    size_t at = 0;
    for (size_t i = 0; i < decoder->n_records; i++) {
        decoder->record_index = i;
        decoder->record_at = at;
        uint32_t total = load_u32(body.data + at);
        rmq_status status = add_record(decoder, (rmq_slice){body.data + at, total});
        if (status != RMQ_OK)
            return status;
        at += total;
    }
    return RMQ_OK;
}

rmq_status rmq_batch_decode(rmq_slice body, rmq_frame *frame, const rmq_decode_options *options,
                            rmq_batch **out_batch, rmq_error *err)
{
    rmq_record_decoder decoder = {
        .options = options,
        .max_body_bytes =
            options->max_body_bytes != 0 ? options->max_body_bytes : MAX_BODY_BYTES_DEFAULT,
        .max_batch_bytes =
            options->max_batch_bytes != 0 ? options->max_batch_bytes : MAX_BATCH_BYTES_DEFAULT,
        .last_offset = -1,
        .err = err,
    };
    rmq_status status = count_records(&decoder, body);
    if (status != RMQ_OK)
        return status;
    decoder.batch = rmq_batch_new(frame, options->broker_name, decoder.n_records);
    if (decoder.batch == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the views of %zu records",
                             decoder.n_records);
    status = add_records(&decoder, body);
    rmq_codec_deinit(&decoder.codec);
    if (status != RMQ_OK) {
        rmq_batch_unref(decoder.batch);
        return status;
    }
    *out_batch = decoder.batch;
    return RMQ_OK;
}
