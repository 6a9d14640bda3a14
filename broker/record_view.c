/* The broker reads its own records in two places: when a journal is replayed, and when a delayed or
 * half message becomes a visible one. Other than a client's decoder (proto's record.h) it wants the
 * body untouched and inner batches whole. Layout: protocol facts 5.1. */
#include "record_view.h"

#include <string.h>

#include "cursor.h"
#include "record.h"

static rmq_host read_host(rmq_cursor *cursor, bool is_v6)
{
    rmq_host host;
    memset(&host, 0, sizeof(host));
    host.address_bytes = is_v6 ? 16 : 4;
    rmq_slice address = rmq_cursor_bytes(cursor, host.address_bytes);
    if (address.len == host.address_bytes)
        memcpy(host.address, address.data, address.len);
    host.port = (int32_t)rmq_cursor_u32(cursor);
    return host;
}

bool rmq_dev_record_read(rmq_slice record, rmq_message *out_message)
{
    rmq_message message;
    memset(&message, 0, sizeof(message));
    rmq_cursor cursor = rmq_cursor_of(record.data, record.len);
    uint32_t size_bytes = rmq_cursor_u32(&cursor);
    uint32_t magic = rmq_cursor_u32(&cursor);
    rmq_cursor_skip(&cursor, 4); /* crc */
    message.queue_id = (int32_t)rmq_cursor_u32(&cursor);
    message.flag = (int32_t)rmq_cursor_u32(&cursor);
    message.queue_offset = (int64_t)rmq_cursor_u64(&cursor);
    message.physical_offset = (int64_t)rmq_cursor_u64(&cursor);
    message.sys_flag = (int32_t)rmq_cursor_u32(&cursor);
    message.born_timestamp_ms = (int64_t)rmq_cursor_u64(&cursor);
    message.born_host = read_host(&cursor, (message.sys_flag & RMQ_SYSFLAG_BORNHOST_V6) != 0);
    message.store_timestamp_ms = (int64_t)rmq_cursor_u64(&cursor);
    message.store_host = read_host(&cursor, (message.sys_flag & RMQ_SYSFLAG_STOREHOST_V6) != 0);
    message.reconsume_times = (int32_t)rmq_cursor_u32(&cursor);
    message.prepared_transaction_offset = (int64_t)rmq_cursor_u64(&cursor);
    message.body = rmq_cursor_bytes(&cursor, rmq_cursor_u32(&cursor));
    size_t topic_len =
        magic == RMQ_RECORD_MAGIC_V2 ? rmq_cursor_u16(&cursor) : rmq_cursor_u8(&cursor);
    message.topic = rmq_cursor_bytes(&cursor, topic_len);
    message.properties = rmq_cursor_bytes(&cursor, rmq_cursor_u16(&cursor));
    if (!rmq_cursor_ok(&cursor) || size_bytes != record.len ||
        (magic != RMQ_RECORD_MAGIC_V1 && magic != RMQ_RECORD_MAGIC_V2))
        return false;
    *out_message = message;
    return true;
}
