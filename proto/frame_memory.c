/* Memory for received bytes, and the little of it that a connection keeps for the next ones.
 *
 * One thread receives into memory that another one gives back when it has read the messages. Left
 * to malloc, each answer of some hundred KiB would come as fresh pages, which the kernel clears and
 * maps one by one, and go back to it: a third of what it costs to read messages of 4 KiB. So a
 * splitter has a pool: what is given back waits there, at most 2 MiB of it, the latest on top
 * because its bytes are still in a cache. Sizes are rounded up, that answers of nearly one size fit
 * into each other's memory. What is larger than half a pool goes straight back.
 *
 * Memory outlives its splitter, and so the pool outlives it, too: it is referenced by each piece
 * that is out. Once closed it takes nothing back. */
#include "frame_memory.h"

#include <pthread.h>

#include "mem.h"

#define POOL_BYTES ((size_t)2 * 1024 * 1024)
#define ROUND_BYTES ((size_t)64 * 1024)

struct rmq_frame_pool {
    atomic_uint refs;      /* the splitter's, and one of each piece that is out */
    pthread_mutex_t mutex; /* guards what follows */
    rmq_frame_memory *first;
    size_t kept_bytes;
    bool closed;
};

rmq_frame_pool *rmq_frame_pool_new(void)
{
    rmq_frame_pool *pool = rmq_calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    atomic_init(&pool->refs, 1);
    pthread_mutex_init(&pool->mutex, NULL);
    return pool;
}

static void pool_unref(rmq_frame_pool *pool)
{
    if (pool == NULL || atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&pool->mutex);
    rmq_free(pool);
}

void rmq_frame_pool_close(rmq_frame_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    rmq_frame_memory *list = pool->first;
    pool->first = NULL;
    pool->kept_bytes = 0;
    pool->closed = true;
    pthread_mutex_unlock(&pool->mutex);
    while (list != NULL) {
        rmq_frame_memory *next = list->next;
        rmq_free(list);
        list = next;
    }
    pool_unref(pool);
}

/* The latest piece that is large enough, and not so large that most of it would lie idle. */
static rmq_frame_memory *take(rmq_frame_pool *pool, size_t capacity)
{
    pthread_mutex_lock(&pool->mutex);
    rmq_frame_memory **link = &pool->first;
    while (*link != NULL && ((*link)->allocated < capacity || (*link)->allocated / 2 > capacity))
        link = &(*link)->next;
    rmq_frame_memory *found = *link;
    if (found != NULL) {
        *link = found->next;
        pool->kept_bytes -= found->allocated;
    }
    pthread_mutex_unlock(&pool->mutex);
    return found;
}

/* False: there is no room for it. */
static bool put_back(rmq_frame_pool *pool, rmq_frame_memory *memory)
{
    pthread_mutex_lock(&pool->mutex);
    bool kept = !pool->closed && memory->allocated <= POOL_BYTES / 2 &&
                memory->allocated <= POOL_BYTES - pool->kept_bytes;
    if (kept) {
        memory->next = pool->first;
        pool->first = memory;
        pool->kept_bytes += memory->allocated;
    }
    pthread_mutex_unlock(&pool->mutex);
    return kept;
}

rmq_frame_memory *rmq_frame_memory_new(rmq_frame_pool *pool, size_t capacity)
{
    size_t allocated = capacity;
    if (pool != NULL && capacity <= POOL_BYTES / 2)
        allocated = (capacity + ROUND_BYTES - 1) / ROUND_BYTES * ROUND_BYTES;
    rmq_frame_memory *memory = pool != NULL ? take(pool, allocated) : NULL;
    size_t size_bytes;
    if (memory == NULL && rmq_size_add(sizeof(*memory), allocated, &size_bytes)) {
        memory = rmq_malloc(size_bytes);
        if (memory != NULL)
            memory->allocated = allocated;
    }
    if (memory == NULL)
        return NULL;
    atomic_init(&memory->refs, 1);
    memory->pool = pool;
    memory->next = NULL;
    memory->capacity = capacity;
    if (pool != NULL)
        atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    return memory;
}

rmq_frame_memory *rmq_frame_memory_grow(rmq_frame_memory *memory, size_t capacity)
{
    size_t size_bytes;
    if (!rmq_size_add(sizeof(*memory), capacity, &size_bytes))
        return NULL;
    rmq_frame_memory *grown =
        capacity > memory->allocated ? rmq_realloc(memory, size_bytes) : memory;
    if (grown == NULL)
        return NULL;
    if (capacity > grown->allocated)
        grown->allocated = capacity;
    grown->capacity = capacity;
    return grown;
}

void rmq_frame_memory_ref(rmq_frame_memory *memory)
{
    atomic_fetch_add_explicit(&memory->refs, 1, memory_order_relaxed);
}

void rmq_frame_memory_unref(rmq_frame_memory *memory)
{
    if (memory == NULL || atomic_fetch_sub_explicit(&memory->refs, 1, memory_order_acq_rel) != 1)
        return;
    rmq_frame_pool *pool = memory->pool;
    if (pool == NULL || !put_back(pool, memory))
        rmq_free(memory);
    pool_unref(pool);
}

bool rmq_frame_memory_is_ours_alone(rmq_frame_memory *memory)
{
    return atomic_load_explicit(&memory->refs, memory_order_acquire) == 1;
}
