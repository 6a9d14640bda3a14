/* From an answered pull to the batch that the reading thread is given. */
#ifndef RMQ_READ_BATCH_H
#define RMQ_READ_BATCH_H

#include <rmq/consumer.h>

#include "pull_window.h"

/* How a reader's chunks are decoded. Strings are borrowed. */
typedef struct rmq_read_rules {
    rmq_queue queue;
    const char *tags; /* expression to check again by string; NULL: none */
    bool dense;       /* no filter: a missing offset is lost data */
    size_t max_body_bytes;
    size_t max_records;     /* of one pull */
    size_t max_batch_bytes; /* of decompressed bodies in one batch; 0: 256 MiB */
} rmq_read_rules;

/* What is not right with a chunk, though it could be decoded. */
typedef struct rmq_read_doubt {
    bool corrupt; /* a body fails its check */
    bool gap;     /* offsets from gap_from to gap_to are missing */
    int64_t gap_from;
    int64_t gap_to;
} rmq_read_doubt;

/* Decodes `chunk` from its `from` up to *out_end, dropping what is outside of that or has other
 * tags. *out_end is the chunk's `to`, or less if the bodies would pass max_batch_bytes: then the
 * same chunk holds more. With a gap the batch holds what lies before it. Errors: PROTO (not
 * records, another queue's, offsets out of order), NOMEM, FULL (a single offset that passes
 * max_batch_bytes by what stands before it). Thread: any. */
RMQ_MUST_CHECK rmq_status rmq_read_batch(const rmq_read_rules *rules, const rmq_chunk *chunk,
                                         rmq_batch **out_batch, int64_t *out_end,
                                         rmq_read_doubt *out_doubt, rmq_error *err);

#endif
