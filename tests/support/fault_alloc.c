/* The fault allocator: counts, and fails the nth. */
#include "fault_alloc.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include <rmq/base.h>

static struct {
    _Atomic int64_t fail_at;
    atomic_bool fail_all_after;
    _Atomic int64_t count;
    _Atomic int64_t failed;
    _Atomic int64_t live;
    _Atomic int64_t live_bytes;
    _Atomic int64_t peak_bytes;
} state;

static bool refuses(void)
{
    int64_t index = atomic_fetch_add(&state.count, 1);
    int64_t fail_at = atomic_load(&state.fail_at);
    bool refused = fail_at >= 0 &&
                   (index == fail_at || (atomic_load(&state.fail_all_after) && index > fail_at));
    if (refused)
        atomic_fetch_add(&state.failed, 1);
    return refused;
}

static void *born(void *memory)
{
    if (memory == NULL)
        return NULL;
    atomic_fetch_add(&state.live, 1);
    int64_t bytes = (int64_t)malloc_usable_size(memory);
    int64_t now = atomic_fetch_add(&state.live_bytes, bytes) + bytes;
    int64_t peak = atomic_load(&state.peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&state.peak_bytes, &peak, now))
        continue;
    return memory;
}

static void died(void *memory)
{
    if (memory == NULL)
        return;
    atomic_fetch_sub(&state.live, 1);
    atomic_fetch_sub(&state.live_bytes, (int64_t)malloc_usable_size(memory));
}

static void *fault_malloc(size_t size_bytes, void *ctx)
{
    (void)ctx;
    return refuses() ? NULL : born(malloc(size_bytes));
}

static void *fault_calloc(size_t count, size_t size_bytes, void *ctx)
{
    (void)ctx;
    return refuses() ? NULL : born(calloc(count, size_bytes));
}

static void *fault_realloc(void *memory, size_t size_bytes, void *ctx)
{
    (void)ctx;
    if (refuses())
        return NULL;
    size_t old_bytes = memory != NULL ? malloc_usable_size(memory) : 0;
    void *moved = realloc(memory, size_bytes);
    if (moved == NULL)
        return NULL;
    if (memory != NULL) {
        atomic_fetch_sub(&state.live, 1);
        atomic_fetch_sub(&state.live_bytes, (int64_t)old_bytes);
    }
    return born(moved);
}

static void fault_free(void *memory, void *ctx)
{
    (void)ctx;
    died(memory);
    free(memory);
}

static void install(int64_t nth, bool all_after)
{
    static const rmq_allocator allocator = {fault_malloc, fault_calloc, fault_realloc, fault_free,
                                            NULL};
    atomic_store(&state.fail_at, nth);
    atomic_store(&state.fail_all_after, all_after);
    atomic_store(&state.count, 0);
    atomic_store(&state.failed, 0);
    atomic_store(&state.live, 0);
    atomic_store(&state.live_bytes, 0);
    atomic_store(&state.peak_bytes, 0);
    rmq_allocator_set(&allocator);
}

void fault_alloc_fail(int64_t nth)
{
    install(nth, false);
}

void fault_alloc_fail_from(int64_t nth)
{
    install(nth, true);
}

void fault_alloc_rearm(int64_t nth)
{
    atomic_store(&state.fail_at, -1);
    atomic_store(&state.failed, 0);
    atomic_store(&state.count, 0);
    atomic_store(&state.fail_at, nth);
}

void fault_alloc_off(void)
{
    rmq_allocator_set(NULL);
}

int64_t fault_alloc_count(void)
{
    return atomic_load(&state.count);
}

int64_t fault_alloc_failed(void)
{
    return atomic_load(&state.failed);
}

int64_t fault_alloc_live(void)
{
    return atomic_load(&state.live);
}

int64_t fault_alloc_live_bytes(void)
{
    return atomic_load(&state.live_bytes);
}

int64_t fault_alloc_peak_bytes(void)
{
    return atomic_load(&state.peak_bytes);
}
