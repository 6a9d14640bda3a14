/* The messages of one queue, held so that a pull costs next to nothing.
 *
 * A record is encoded once, when it is sent, and copied into the queue's tail chunk behind the
 * record before it: neighbouring messages are neighbouring bytes, and an answer to a pull is
 * written to the socket straight from the chunk. The index is one array with an entry per message,
 * whose position is the offset minus the queue's minimum.
 *
 * Chunks start small (a topic may have many queues with three messages each) and double up to
 * 1 MiB; a record larger than that gets a chunk of its own. A chunk is freed when its last record
 * is deleted and no answer still stands in a write queue. The index gives its front back when
 * half of it is dead. */
#include "message_queue.h"

#include <assert.h>
#include <string.h>

#define CHUNK_FIRST_BYTES 4096u
#define CHUNK_MAX_BYTES (1024u * 1024)
#define INDEX_FIRST 32u

void rmq_dev_chunk_ref(rmq_dev_chunk *chunk)
{
    chunk->refs++;
}

void rmq_dev_chunk_unref(rmq_dev_chunk *chunk)
{
    if (chunk == NULL)
        return;
    assert(chunk->refs > 0);
    if (--chunk->refs == 0)
        rmq_free(chunk);
}

rmq_dev_queue *rmq_dev_queue_new(void)
{
    return rmq_calloc(1, sizeof(rmq_dev_queue));
}

void rmq_dev_queue_free(rmq_dev_queue *queue)
{
    if (queue == NULL)
        return;
    assert(queue->holds == NULL);
    for (size_t i = 0; i < queue->count; i++)
        rmq_dev_chunk_unref(queue->stored[queue->head + i].chunk);
    rmq_dev_chunk_unref(queue->tail);
    rmq_free(queue->stored);
    rmq_free(queue);
}

int64_t rmq_dev_queue_max(const rmq_dev_queue *queue)
{
    return queue->min_offset + (int64_t)queue->count;
}

const rmq_dev_stored *rmq_dev_queue_at(const rmq_dev_queue *queue, int64_t offset)
{
    assert(offset >= queue->min_offset && offset < rmq_dev_queue_max(queue));
    return &queue->stored[queue->head + (size_t)(offset - queue->min_offset)];
}

/* Makes room for one more index entry. */
static rmq_status index_reserve(rmq_dev_queue *queue)
{
    if (queue->head + queue->count < queue->capacity)
        return RMQ_OK;
    if (queue->head > queue->capacity / 2) {
        memmove(queue->stored, queue->stored + queue->head, queue->count * sizeof(rmq_dev_stored));
        queue->head = 0;
        return RMQ_OK;
    }
    size_t capacity = queue->capacity == 0 ? INDEX_FIRST : queue->capacity * 2;
    if (capacity > SIZE_MAX / sizeof(rmq_dev_stored))
        return RMQ_NOMEM;
    rmq_dev_stored *stored = rmq_realloc(queue->stored, capacity * sizeof(rmq_dev_stored));
    if (stored == NULL)
        return RMQ_NOMEM;
    queue->stored = stored;
    queue->capacity = capacity;
    return RMQ_OK;
}

/* Makes the tail chunk have room for `size_bytes`. */
static rmq_status tail_reserve(rmq_dev_queue *queue, size_t size_bytes)
{
    rmq_dev_chunk *tail = queue->tail;
    if (tail != NULL && tail->capacity - tail->used >= size_bytes)
        return RMQ_OK;
    size_t capacity = CHUNK_FIRST_BYTES;
    if (tail != NULL)
        capacity = tail->capacity >= CHUNK_MAX_BYTES / 2 ? CHUNK_MAX_BYTES : tail->capacity * 2;
    if (capacity < size_bytes)
        capacity = size_bytes;
    rmq_dev_chunk *chunk = rmq_malloc(sizeof(*chunk) + capacity);
    if (chunk == NULL)
        return RMQ_NOMEM;
    chunk->refs = 1;
    chunk->capacity = capacity;
    chunk->used = 0;
    rmq_dev_chunk_unref(tail);
    queue->tail = chunk;
    return RMQ_OK;
}

rmq_status rmq_dev_queue_append(rmq_dev_queue *queue, const rmq_dev_stored *message)
{
    if (index_reserve(queue) != RMQ_OK || tail_reserve(queue, message->size_bytes) != RMQ_OK)
        return RMQ_NOMEM;
    rmq_dev_chunk *tail = queue->tail;
    rmq_dev_stored *entry = &queue->stored[queue->head + queue->count];
    *entry = *message;
    entry->chunk = tail;
    entry->data = tail->data + tail->used;
    memcpy(tail->data + tail->used, message->data, message->size_bytes);
    tail->used += message->size_bytes;
    rmq_dev_chunk_ref(tail);
    queue->count++;
    return RMQ_OK;
}

static size_t drop(rmq_dev_stored *entry)
{
    size_t bytes = entry->size_bytes + RMQ_DEV_STORED_OVERHEAD;
    rmq_dev_chunk_unref(entry->chunk);
    return bytes;
}

size_t rmq_dev_queue_delete_below(rmq_dev_queue *queue, int64_t offset)
{
    size_t bytes = 0;
    while (queue->count > 0 && queue->min_offset < offset) {
        bytes += drop(&queue->stored[queue->head]);
        queue->head++;
        queue->count--;
        queue->min_offset++;
    }
    if (queue->count == 0)
        queue->head = 0;
    return bytes;
}

size_t rmq_dev_queue_delete_from(rmq_dev_queue *queue, int64_t offset)
{
    size_t bytes = 0;
    while (queue->count > 0 && rmq_dev_queue_max(queue) > offset) {
        bytes += drop(&queue->stored[queue->head + queue->count - 1]);
        queue->count--;
    }
    /* New records must not stand behind deleted ones in one contiguous run. */
    rmq_dev_chunk_unref(queue->tail);
    queue->tail = NULL;
    return bytes;
}

int64_t rmq_dev_queue_lower_bound(const rmq_dev_queue *queue, int64_t store_ms)
{
    size_t low = 0;
    size_t high = queue->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (queue->stored[queue->head + middle].store_ms < store_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return queue->min_offset + (int64_t)low;
}

const rmq_dev_stored *rmq_dev_queue_find_physical(const rmq_dev_queue *queue,
                                                  int64_t physical_offset)
{
    size_t low = 0;
    size_t high = queue->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const rmq_dev_stored *entry = &queue->stored[queue->head + middle];
        if (entry->physical_offset == physical_offset)
            return entry;
        if (entry->physical_offset < physical_offset)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
