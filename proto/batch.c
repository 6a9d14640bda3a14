/* A batch: the messages of one pull, with what keeps their bytes alive.
 *
 *     batch ──> frame           the received bytes; topics, properties and plain bodies point here
 *       ├─────> messages[]      the views, one array
 *       └─────> block ─> block  decompressed bodies, one piece of memory each
 *
 * A batch is filled by the record decoder and never changes afterwards, so threads read it without
 * a lock; only the count of references is shared, and it is atomic. */
#include "batch.h"

#include <string.h>

rmq_batch *rmq_batch_new(rmq_frame *frame, rmq_slice broker_name, size_t capacity)
{
    if (broker_name.len > SIZE_MAX / 2 || capacity > SIZE_MAX / sizeof(rmq_message))
        return NULL;
    rmq_batch *batch = rmq_malloc(sizeof(*batch) + broker_name.len);
    if (batch == NULL)
        return NULL;
    *batch = (rmq_batch){.refs = 1, .broker_name_len = broker_name.len};
    if (capacity > 0) {
        batch->messages = rmq_malloc(capacity * sizeof(rmq_message));
        if (batch->messages == NULL) {
            rmq_free(batch);
            return NULL;
        }
        batch->capacity = capacity;
    }
    if (broker_name.len > 0)
        memcpy(batch->broker_name, broker_name.data, broker_name.len);
    if (frame != NULL)
        batch->frame = rmq_frame_ref(frame);
    return batch;
}

bool rmq_batch_reserve(rmq_batch *batch, size_t n_more)
{
    if (n_more <= batch->capacity - batch->count)
        return true;
    if (n_more > SIZE_MAX / sizeof(rmq_message) / 2 - batch->count)
        return false;
    size_t capacity = batch->count + n_more;
    if (capacity < batch->capacity + batch->capacity / 2)
        capacity = batch->capacity + batch->capacity / 2; /* many small calls stay linear */
    rmq_message *messages = rmq_realloc(batch->messages, capacity * sizeof(rmq_message));
    if (messages == NULL)
        return false;
    batch->messages = messages;
    batch->capacity = capacity;
    return true;
}

void rmq_batch_block_begin(rmq_buf *buf, size_t max_bytes)
{
    rmq_batch_block header = {NULL};
    rmq_buf_init(buf,
                 max_bytes < SIZE_MAX - sizeof(header) ? max_bytes + sizeof(header) : SIZE_MAX);
    rmq_buf_append(buf, &header, sizeof(header));
}

rmq_slice rmq_batch_block_end(rmq_batch *batch, rmq_buf *buf)
{
    size_t len = 0;
    rmq_buf_shrink(buf);
    uint8_t *memory = rmq_buf_take(buf, &len);
    rmq_batch_block *block = (rmq_batch_block *)(void *)memory;
    block->next = batch->blocks;
    batch->blocks = block;
    batch->block_bytes += len;
    return (rmq_slice){(const char *)memory + sizeof(*block), len - sizeof(*block)};
}

size_t rmq_batch_count(const rmq_batch *batch)
{
    return batch->count;
}

const rmq_message *rmq_batch_at(const rmq_batch *batch, size_t index)
{
    return &batch->messages[index];
}

size_t rmq_batch_bytes(const rmq_batch *batch)
{
    size_t frame_bytes = batch->frame != NULL ? rmq_frame_memory_bytes(batch->frame) : 0;
    return sizeof(*batch) + batch->broker_name_len + batch->capacity * sizeof(rmq_message) +
           batch->block_bytes + frame_bytes;
}

rmq_batch *rmq_batch_ref(rmq_batch *batch)
{
    __atomic_fetch_add(&batch->refs, 1, __ATOMIC_RELAXED);
    return batch;
}

void rmq_batch_unref(rmq_batch *batch)
{
    if (batch == NULL || __atomic_fetch_sub(&batch->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    while (batch->blocks != NULL) {
        rmq_batch_block *next = batch->blocks->next;
        rmq_free(batch->blocks);
        batch->blocks = next;
    }
    rmq_frame_unref(batch->frame);
    rmq_free(batch->messages);
    rmq_free(batch);
}
