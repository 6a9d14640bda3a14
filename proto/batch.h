/* What a batch is made of, for the record decoder that fills it. */
#ifndef RMQ_BATCH_H
#define RMQ_BATCH_H

#include <rmq/message.h>

#include "buf.h"
#include "frame.h"

/* A decompressed body: a header in front of its bytes, in one piece of memory. */
typedef struct rmq_batch_block {
    struct rmq_batch_block *next;
} rmq_batch_block;

struct rmq_batch {
    size_t refs; /* atomic */
    rmq_frame *frame;
    rmq_message *messages;
    size_t count;
    size_t capacity;
    rmq_batch_block *blocks;
    size_t block_bytes;
    size_t broker_name_len;
    char broker_name[];
};

/* An empty batch with room for `capacity` messages. Takes a ref on `frame` (may be NULL). NULL: no
 * memory. */
RMQ_MUST_CHECK rmq_batch *rmq_batch_new(rmq_frame *frame, rmq_slice broker_name, size_t capacity);

/* Makes room for `n_more` messages beyond the count. Pointers to messages change. False: no
 * memory. */
RMQ_MUST_CHECK bool rmq_batch_reserve(rmq_batch *batch, size_t n_more);

/* Starts a block: `buf`, empty, gets the block's header. The bytes appended afterwards belong to
 * the batch once rmq_batch_block_end has taken the buffer's memory; it returns them. */
void rmq_batch_block_begin(rmq_buf *buf, size_t max_bytes);
rmq_slice rmq_batch_block_end(rmq_batch *batch, rmq_buf *buf);

#endif
