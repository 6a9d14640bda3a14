/* Messages to stored records, byte for byte as a broker writes them. The development broker stores
 * and serves these; tests decode what is encoded here and the other way round.
 *
 * The record follows from the message: host widths from the hosts themselves (their sysFlag bits
 * are set to match), the magic from the topic's length, the CRC from the body. Lengths that their
 * field can't hold make the buffer fail with FULL and append nothing. Source:
 * MessageExtEncoder 5.4.0; protocol facts 5.1. */
#include "record.h"

#define FIXED_BYTES 75 /* without hosts, v1, contents empty */
#define TOPIC_MAX_BYTES_V1 127

static size_t address_bytes(const rmq_host *host)
{
    return host->address_bytes == 16 ? 16 : 4;
}

static void append_host(const rmq_host *host, rmq_buf *out)
{
    rmq_buf_append(out, host->address, address_bytes(host));
    rmq_buf_append_u32(out, (uint32_t)host->port);
}

static uint32_t sys_flag_with_hosts(const rmq_message *message)
{
    uint32_t flag = (uint32_t)message->sys_flag;
    flag &= ~(uint32_t)(RMQ_SYSFLAG_BORNHOST_V6 | RMQ_SYSFLAG_STOREHOST_V6);
    if (address_bytes(&message->born_host) == 16)
        flag |= RMQ_SYSFLAG_BORNHOST_V6;
    if (address_bytes(&message->store_host) == 16)
        flag |= RMQ_SYSFLAG_STOREHOST_V6;
    return flag;
}

void rmq_record_encode(const rmq_message *message, rmq_buf *out)
{
    bool v2 = message->topic.len > TOPIC_MAX_BYTES_V1;
    size_t total = FIXED_BYTES + 8 + address_bytes(&message->born_host) +
                   address_bytes(&message->store_host) + v2;
    if (message->topic.len > INT16_MAX || message->properties.len > RMQ_PROPERTIES_MAX_BYTES ||
        message->body.len > INT32_MAX - total - message->topic.len - message->properties.len) {
        out->failed = RMQ_FULL;
        return;
    }
    total += message->body.len + message->topic.len + message->properties.len;

    rmq_buf_append_u32(out, (uint32_t)total);
    rmq_buf_append_u32(out, v2 ? RMQ_RECORD_MAGIC_V2 : RMQ_RECORD_MAGIC_V1);
    rmq_buf_append_u32(out, rmq_body_crc(message->body));
    rmq_buf_append_u32(out, (uint32_t)message->queue_id);
    rmq_buf_append_u32(out, (uint32_t)message->flag);
    rmq_buf_append_u64(out, (uint64_t)message->queue_offset);
    rmq_buf_append_u64(out, (uint64_t)message->physical_offset);
    rmq_buf_append_u32(out, sys_flag_with_hosts(message));
    rmq_buf_append_u64(out, (uint64_t)message->born_timestamp_ms);
    append_host(&message->born_host, out);
    rmq_buf_append_u64(out, (uint64_t)message->store_timestamp_ms);
    append_host(&message->store_host, out);
    rmq_buf_append_u32(out, (uint32_t)message->reconsume_times);
    rmq_buf_append_u64(out, (uint64_t)message->prepared_transaction_offset);
    rmq_buf_append_u32(out, (uint32_t)message->body.len);
    rmq_buf_append_slice(out, message->body);
    if (v2)
        rmq_buf_append_u16(out, (uint16_t)message->topic.len);
    else
        rmq_buf_append_u8(out, (uint8_t)message->topic.len);
    rmq_buf_append_slice(out, message->topic);
    rmq_buf_append_u16(out, (uint16_t)message->properties.len);
    rmq_buf_append_slice(out, message->properties);
}
