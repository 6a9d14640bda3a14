/* The memory that received bytes lie in: shared by the frames cut out of it, used again when the
 * last of them is gone. */
#ifndef RMQ_FRAME_MEMORY_H
#define RMQ_FRAME_MEMORY_H

#include <stdatomic.h>

#include <rmq/base.h>

typedef struct rmq_frame_pool rmq_frame_pool;

typedef struct rmq_frame_memory {
    atomic_uint refs;
    rmq_frame_pool *pool; /* where it goes in the end; NULL: freed. A reference */
    struct rmq_frame_memory *next;
    size_t allocated; /* bytes of data that are there */
    size_t capacity;  /* of them to be used */
    uint8_t data[];
} rmq_frame_memory;

/* NULL: no memory. Closing it frees what waits in it, and what comes back later. Accepts NULL. */
RMQ_MUST_CHECK rmq_frame_pool *rmq_frame_pool_new(void);
void rmq_frame_pool_close(rmq_frame_pool *pool);

/* With room for `capacity` bytes, from the pool (may be NULL) if it has some. One reference, the
 * caller's. NULL: no memory. */
RMQ_MUST_CHECK rmq_frame_memory *rmq_frame_memory_new(rmq_frame_pool *pool, size_t capacity);
/* The same bytes with more room; the caller must hold the only reference. NULL: no memory, and
 * nothing is changed. */
RMQ_MUST_CHECK rmq_frame_memory *rmq_frame_memory_grow(rmq_frame_memory *memory, size_t capacity);
void rmq_frame_memory_ref(rmq_frame_memory *memory);
/* Accepts NULL. Thread: any. */
void rmq_frame_memory_unref(rmq_frame_memory *memory);
/* Whoever sees itself as the only holder stays it, since only holders make new ones. */
bool rmq_frame_memory_is_ours_alone(rmq_frame_memory *memory);

#endif
