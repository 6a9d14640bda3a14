/* Arenas: a list of chunks, newest first, each larger than the one before (4 KiB to 1 MiB), and a
 * pointer that runs through the current one.
 *
 *     newest -> [large] -> [current: used | next ... left] -> [full] -> NULL
 *
 * A request that is large against the next chunk gets a chunk of its own, and the current one stays
 * in use. Rows clear their arena a million times a second: clearing keeps the current chunk and
 * costs nothing if nothing was given out. Chunks above KEEP_BYTES are not kept, so that one giant
 * row does not hold its memory for ever. */
#include "arena.h"

#include <stdalign.h>
#include <string.h>

#define ALIGNMENT alignof(max_align_t)
#define FIRST_BYTES ((size_t)4096)
#define LARGEST_BYTES ((size_t)1 << 20)
#define KEEP_BYTES ((size_t)256 << 10)

struct mill_arena_chunk {
    mill_arena_chunk *older;
    size_t size_bytes;
    alignas(max_align_t) char data[];
};

static mill_arena_chunk *chunk_add(mill_arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - sizeof(mill_arena_chunk))
        return NULL;
    mill_arena_chunk *chunk = rmq_malloc(sizeof(*chunk) + size_bytes);
    if (chunk == NULL)
        return NULL;
    chunk->older = arena->newest;
    chunk->size_bytes = size_bytes;
    arena->newest = chunk;
    return chunk;
}

static void *alloc_slow(mill_arena *arena, size_t need)
{
    size_t next_bytes = FIRST_BYTES;
    if (arena->current != NULL && arena->current->size_bytes < LARGEST_BYTES)
        next_bytes = arena->current->size_bytes * 2;
    else if (arena->current != NULL)
        next_bytes = LARGEST_BYTES;
    bool own_chunk = need > next_bytes / 4;
    mill_arena_chunk *chunk = chunk_add(arena, own_chunk ? need : next_bytes);
    if (chunk == NULL)
        return NULL;
    arena->used_bytes += need;
    if (!own_chunk) {
        arena->current = chunk;
        arena->next = chunk->data + need;
        arena->left = next_bytes - need;
    }
    return chunk->data;
}

void *mill_arena_alloc(mill_arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t need = (size_bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (need == 0)
        need = ALIGNMENT;
    if (need > arena->left)
        return alloc_slow(arena, need);
    void *memory = arena->next;
    arena->next += need;
    arena->left -= need;
    arena->used_bytes += need;
    return memory;
}

void *mill_arena_calloc(mill_arena *arena, size_t count, size_t size_bytes)
{
    if (size_bytes != 0 && count > SIZE_MAX / size_bytes)
        return NULL;
    void *memory = mill_arena_alloc(arena, count * size_bytes);
    if (memory != NULL)
        memset(memory, 0, count * size_bytes);
    return memory;
}

char *mill_arena_strdup(mill_arena *arena, const char *text)
{
    size_t size_bytes = strlen(text) + 1;
    char *copy = mill_arena_alloc(arena, size_bytes);
    if (copy != NULL)
        memcpy(copy, text, size_bytes);
    return copy;
}

mill_arena_mark mill_arena_mark_get(const mill_arena *arena)
{
    return (mill_arena_mark){.newest = arena->newest,
                             .current = arena->current,
                             .next = arena->next,
                             .left = arena->left,
                             .used_bytes = arena->used_bytes};
}

void mill_arena_release(mill_arena *arena, const mill_arena_mark *mark)
{
    while (arena->newest != mark->newest) {
        mill_arena_chunk *chunk = arena->newest;
        arena->newest = chunk->older;
        rmq_free(chunk);
    }
    arena->current = mark->current;
    arena->next = mark->next;
    arena->left = mark->left;
    arena->used_bytes = mark->used_bytes;
}

void mill_arena_clear(mill_arena *arena)
{
    mill_arena_chunk *keep = arena->current;
    if (keep != NULL && keep->size_bytes > KEEP_BYTES)
        keep = NULL;
    mill_arena_chunk *chunk = arena->newest;
    while (chunk != NULL) {
        mill_arena_chunk *older = chunk->older;
        if (chunk != keep)
            rmq_free(chunk);
        chunk = older;
    }
    *arena = (mill_arena){.newest = keep, .current = keep};
    if (keep != NULL) {
        keep->older = NULL;
        arena->next = keep->data;
        arena->left = keep->size_bytes;
    }
}

void mill_arena_deinit(mill_arena *arena)
{
    mill_arena_mark empty = {0};
    mill_arena_release(arena, &empty);
}
