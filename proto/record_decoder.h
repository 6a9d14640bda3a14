/* The state of one rmq_batch_decode, shared by record.c, record_body.c and inner_batch.c. */
#ifndef RMQ_RECORD_DECODER_H
#define RMQ_RECORD_DECODER_H

#include "batch.h"
#include "record.h"

typedef struct rmq_record_decoder {
    const rmq_decode_options *options;
    rmq_batch *batch;
    rmq_codec codec;
    size_t max_body_bytes;
    size_t max_batch_bytes;
    size_t n_records;    /* records in the body; the first capacity of the batch */
    size_t record_index; /* of the record at hand */
    size_t record_at;    /* its first byte in the body */
    size_t used_before;  /* rmq_record_decoder_used when the record began */
    int64_t last_offset; /* of the message before, -1 if none */
    rmq_error *err;
} rmq_record_decoder;

/* A record as it stands on the wire. */
typedef struct rmq_record_view {
    rmq_message message; /* body as stored, body_status RMQ_OK; offset_delta is applied */
    uint32_t body_crc;
} rmq_record_view;

/* "record 3 at byte 412: what". Returns `status`. */
rmq_status rmq_record_fail(const rmq_record_decoder *decoder, rmq_status status, const char *format,
                           ...) RMQ_PRINTF(3, 4);

/* Memory made so far beyond the views of the records themselves: decompressed bodies and the views
 * of inner batches' members. */
size_t rmq_record_decoder_used(const rmq_record_decoder *decoder);

/* The cap of the batch is hit. If the record at hand is to blame alone, it is the message's body
 * that is too large: RMQ_OK and body_status FULL. Else the call fails with FULL, and a smaller
 * range can be decoded where this one could not. */
RMQ_MUST_CHECK rmq_status rmq_record_over_cap(const rmq_record_decoder *decoder,
                                              rmq_message *message);

/* Checks that the message's offset is above the one before (where all records are of one queue). */
RMQ_MUST_CHECK rmq_status rmq_record_check_order(const rmq_record_decoder *decoder, int64_t offset);

/* Decompresses the body if it is compressed. A body that fails is left as it is, with body_status
 * set. Errors: NOMEM, FULL (the cap of the batch). */
RMQ_MUST_CHECK rmq_status rmq_record_body_decompress(rmq_record_decoder *decoder,
                                                     rmq_message *message);

/* Checks the body's CRC and decompresses it. Errors as above. */
RMQ_MUST_CHECK rmq_status rmq_record_body_open(rmq_record_decoder *decoder, rmq_message *message,
                                               uint32_t body_crc);

/* Whether the record is an inner batch, and appending its members to the batch (inner_batch.c). */
bool rmq_record_is_inner_batch(const rmq_message *message);
RMQ_MUST_CHECK rmq_status rmq_inner_batch_unwrap(rmq_record_decoder *decoder,
                                                 const rmq_record_view *record);

#endif
