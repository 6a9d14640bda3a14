/* The process-wide allocator table and overflow-safe sizes.
 *
 * Every heap call of every layer goes through here, so that tests can fail the nth. The table is
 * plain, not atomic: it is set once, before any other thread uses the library, and reading it costs
 * nothing. A request for no bytes asks the table for one, so that NULL always means "out of
 * memory", and realloc to nothing never frees. */
#include <rmq/base.h>

#include <stdlib.h>
#include <string.h>

#include "mem.h"

static void *libc_malloc(size_t size_bytes, void *ctx)
{
    (void)ctx;
    return malloc(size_bytes);
}

static void *libc_calloc(size_t count, size_t size_bytes, void *ctx)
{
    (void)ctx;
    return calloc(count, size_bytes);
}

static void *libc_realloc(void *memory, size_t size_bytes, void *ctx)
{
    (void)ctx;
    return realloc(memory, size_bytes);
}

static void libc_free(void *memory, void *ctx)
{
    (void)ctx;
    free(memory);
}

static const rmq_allocator libc_allocator = {
    .malloc_fn = libc_malloc,
    .calloc_fn = libc_calloc,
    .realloc_fn = libc_realloc,
    .free_fn = libc_free,
};

static rmq_allocator current = {
    .malloc_fn = libc_malloc,
    .calloc_fn = libc_calloc,
    .realloc_fn = libc_realloc,
    .free_fn = libc_free,
};

void rmq_allocator_set(const rmq_allocator *allocator)
{
    current = allocator != NULL ? *allocator : libc_allocator;
}

void *rmq_malloc(size_t size_bytes)
{
    return current.malloc_fn(size_bytes > 0 ? size_bytes : 1, current.ctx);
}

void *rmq_calloc(size_t count, size_t size_bytes)
{
    size_t total;
    if (!rmq_size_multiply(count, size_bytes, &total))
        return NULL;
    return total > 0 ? current.calloc_fn(count, size_bytes, current.ctx)
                     : current.calloc_fn(1, 1, current.ctx);
}

void *rmq_realloc(void *memory, size_t size_bytes)
{
    return current.realloc_fn(memory, size_bytes > 0 ? size_bytes : 1, current.ctx);
}

void rmq_free(void *memory)
{
    if (memory != NULL)
        current.free_fn(memory, current.ctx);
}

char *rmq_strdup(const char *string)
{
    return rmq_slice_dup(rmq_slice_of(string));
}

char *rmq_slice_dup(rmq_slice slice)
{
    size_t size_bytes;
    if (!rmq_size_add(slice.len, 1, &size_bytes))
        return NULL;
    char *copy = rmq_malloc(size_bytes);
    if (copy == NULL)
        return NULL;
    if (slice.len > 0)
        memcpy(copy, slice.data, slice.len);
    copy[slice.len] = '\0';
    return copy;
}

bool rmq_slice_equals(rmq_slice slice, const char *string)
{
    size_t len = strlen(string);
    return slice.len == len && (len == 0 || memcmp(slice.data, string, len) == 0);
}

rmq_slice rmq_slice_of(const char *string)
{
    return string != NULL ? (rmq_slice){string, strlen(string)} : (rmq_slice){NULL, 0};
}

bool rmq_size_add(size_t left, size_t right, size_t *out_sum)
{
    if (left > SIZE_MAX - right)
        return false;
    *out_sum = left + right;
    return true;
}

bool rmq_size_multiply(size_t left, size_t right, size_t *out_product)
{
    if (right != 0 && left > SIZE_MAX / right)
        return false;
    *out_product = left * right;
    return true;
}

void *rmq_array_grow(void *array, size_t *capacity, size_t needed, size_t element_bytes)
{
    if (array != NULL && needed <= *capacity)
        return array;
    size_t grown = *capacity < 8 ? 8 : *capacity;
    while (grown < needed)
        grown = grown > SIZE_MAX / 2 ? needed : grown * 2;
    size_t size_bytes;
    if (!rmq_size_multiply(grown, element_bytes, &size_bytes))
        return NULL;
    void *moved = rmq_realloc(array, size_bytes);
    if (moved != NULL)
        *capacity = grown;
    return moved;
}
