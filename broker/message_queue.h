/* One queue's messages: encoded records in refcounted chunks, and an index over them. */
#ifndef RMQ_DEV_MESSAGE_QUEUE_H
#define RMQ_DEV_MESSAGE_QUEUE_H

#include <rmq/base.h>

/* Memory that records stand in one after the other. Refs: one per record in it, one while it is a
 * queue's tail, one per answer that is being written from it. Loop thread only. */
typedef struct rmq_dev_chunk {
    size_t refs;
    size_t capacity;
    size_t used;
    uint8_t data[];
} rmq_dev_chunk;

void rmq_dev_chunk_ref(rmq_dev_chunk *chunk);
void rmq_dev_chunk_unref(rmq_dev_chunk *chunk); /* accepts NULL */

typedef struct rmq_dev_stored {
    rmq_dev_chunk *chunk;
    const uint8_t *data;
    uint32_t size_bytes;
    int32_t tag_hash;
    int64_t physical_offset;
    int64_t store_ms;
} rmq_dev_stored;

typedef struct rmq_dev_queue {
    rmq_dev_stored *stored; /* [head, head + count) are alive */
    size_t head;
    size_t count;
    size_t capacity;
    int64_t min_offset; /* of stored[head], or of the next message if there is none */
    rmq_dev_chunk *tail;
    struct rmq_dev_hold *holds; /* pulls that wait for a message here; long_poll.c */
} rmq_dev_queue;

/* What memory a message counts as, beside its record. */
#define RMQ_DEV_STORED_OVERHEAD sizeof(rmq_dev_stored)

RMQ_MUST_CHECK rmq_dev_queue *rmq_dev_queue_new(void);
void rmq_dev_queue_free(rmq_dev_queue *queue); /* accepts NULL */

int64_t rmq_dev_queue_max(const rmq_dev_queue *queue); /* offset of the next message */
/* `offset` within [min_offset, max). */
const rmq_dev_stored *rmq_dev_queue_at(const rmq_dev_queue *queue, int64_t offset);
/* Appends a copy of the record; only data and size, hash, physical offset and time of `message` are
 * read. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_queue_append(rmq_dev_queue *queue, const rmq_dev_stored *message);
/* Each returns the bytes given back (records and overhead). Offsets out of range are moved into it;
 * delete_below past the end leaves an empty queue whose next message has `offset`'s end. */
size_t rmq_dev_queue_delete_below(rmq_dev_queue *queue, int64_t offset);
size_t rmq_dev_queue_delete_from(rmq_dev_queue *queue, int64_t offset);
/* First offset whose store time is >= `store_ms`; max if there is none. */
int64_t rmq_dev_queue_lower_bound(const rmq_dev_queue *queue, int64_t store_ms);
/* The message at that physical offset, or NULL. */
const rmq_dev_stored *rmq_dev_queue_find_physical(const rmq_dev_queue *queue,
                                                  int64_t physical_offset);

#endif
