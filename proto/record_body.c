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

rmq_status rmq_record_body_open(rmq_record_decoder *decoder, rmq_message *message,
                                uint32_t body_crc)
{
    if (rmq_body_crc(message->body) != body_crc) {
        message->body_status = RMQ_CORRUPT;
        return RMQ_OK;
    }
    return rmq_record_body_decompress(decoder, message);
}
