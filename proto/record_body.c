/* The body of a record: is it whole, and what is in it?
 *
 * A broken body is the fate of one message and not of the pull: the message is kept with the stored
 * bytes and a body_status that says why, so that the application decides (fail, skip, dead letter)
 * and its neighbours are read. The checksum covers the bytes as stored, so it comes first; what
 * passes it and still does not decompress was broken by its producer.
 *
 * One cap is different. Decompressed bodies of one batch share `max_batch_bytes`, and a message
 * must not be called too large because its neighbours are: then the whole call fails with FULL, and
 * the reader decodes a smaller range of the same bytes. Were it a body_status, the same message
 * would be readable or not depending on how the pull was cut. */
#include "record_decoder.h"

#include <string.h>

size_t rmq_record_decoder_used(const rmq_record_decoder *decoder)
{
    const rmq_batch *batch = decoder->batch;
    size_t n_more_views =
        batch->capacity > decoder->n_records ? batch->capacity - decoder->n_records : 0;
    return batch->block_bytes + n_more_views * sizeof(rmq_message);
}

rmq_status rmq_record_over_cap(const rmq_record_decoder *decoder, rmq_message *message)
{
    if (decoder->used_before > 0)
        return rmq_record_fail(decoder, RMQ_FULL,
                               "the messages of this pull decompress to more than %zu bytes",
                               decoder->max_batch_bytes);
    message->body_status = RMQ_FULL;
    return RMQ_OK;
}

rmq_status rmq_record_body_decompress(rmq_record_decoder *decoder, rmq_message *message)
{
    if ((message->sys_flag & RMQ_SYSFLAG_COMPRESSED) == 0)
        return RMQ_OK;
    size_t used = rmq_record_decoder_used(decoder);
    size_t left = used < decoder->max_batch_bytes ? decoder->max_batch_bytes - used : 0;
    size_t max_bytes = left < decoder->max_body_bytes ? left : decoder->max_body_bytes;
    rmq_buf buf;
    rmq_batch_block_begin(&buf, max_bytes);
    rmq_status status = buf.failed != RMQ_OK
                            ? RMQ_NOMEM
                            : rmq_body_decompress(&decoder->codec, message->sys_flag, message->body,
                                                  max_bytes, &buf, NULL);
    if (status == RMQ_OK) {
        message->body = rmq_batch_block_end(decoder->batch, &buf);
        message->sys_flag &= ~RMQ_SYSFLAG_COMPRESSED;
    } else if (status == RMQ_NOMEM) {
        status = rmq_record_fail(decoder, RMQ_NOMEM, "no memory for its decompressed body");
    } else if (status == RMQ_FULL && left < decoder->max_body_bytes) {
        status = rmq_record_over_cap(decoder, message);
    } else {
        message->body_status = status;
        status = RMQ_OK;
    }
    rmq_buf_deinit(&buf);
    return status;
}

/* A compression is named, the bit that says there is one is not set, and the body begins as that
 * compression does: the bit was lost on the way, where no checksum covers it. */
static bool lost_its_bit(const rmq_message *message)
{
    static const uint8_t lz4[] = {0x04, 0x22, 0x4D, 0x18};
    static const uint8_t zstd[] = {0x28, 0xB5, 0x2F, 0xFD};
    rmq_slice body = message->body;
    if ((message->sys_flag & RMQ_SYSFLAG_COMPRESSED) != 0 || body.len < sizeof(lz4))
        return false;
    const uint8_t *bytes = (const uint8_t *)body.data;
    switch (message->sys_flag & RMQ_SYSFLAG_COMPRESSION_MASK) {
    case RMQ_SYSFLAG_COMPRESSION_LZ4:
        return memcmp(bytes, lz4, sizeof(lz4)) == 0;
    case RMQ_SYSFLAG_COMPRESSION_ZSTD:
        return memcmp(bytes, zstd, sizeof(zstd)) == 0;
    case RMQ_SYSFLAG_COMPRESSION_ZLIB: /* deflate, 32 KiB, and the header's own check */
        return bytes[0] == 0x78 && (bytes[0] << 8 | bytes[1]) % 31 == 0;
    default:
        return false;
    }
}

rmq_status rmq_record_body_open(rmq_record_decoder *decoder, rmq_message *message,
                                uint32_t body_crc)
{
    if (rmq_body_crc(message->body) != body_crc || lost_its_bit(message)) {
        message->body_status = RMQ_CORRUPT;
        return RMQ_OK;
    }
    return rmq_record_body_decompress(decoder, message);
}
