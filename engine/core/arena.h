/* Arenas: memory that is freed in one stroke. Nothing in an arena needs a destructor. */
#ifndef MILL_ARENA_H
#define MILL_ARENA_H

#include <mill/dataset.h>

typedef struct mill_arena_chunk mill_arena_chunk;

/* Embedded in what owns it. All zero is an empty arena. Thread: one at a time. */
struct mill_arena {
    mill_arena_chunk *newest;
    mill_arena_chunk *current; /* where `next` points into; NULL at first */
    char *next;
    size_t left;
    size_t used_bytes; /* given out since the last reset */
};

/* A point to which an arena can be taken back. */
typedef struct mill_arena_mark {
    mill_arena_chunk *newest;
    mill_arena_chunk *current;
    char *next;
    size_t left;
    size_t used_bytes;
} mill_arena_mark;

/* As mill_arena_alloc, zeroed. */
void *mill_arena_calloc(mill_arena *arena, size_t count, size_t size_bytes);
char *mill_arena_strdup(mill_arena *arena, const char *text);

/* Frees what was given out after the mark was taken. */
mill_arena_mark mill_arena_mark_get(const mill_arena *arena);
void mill_arena_release(mill_arena *arena, const mill_arena_mark *mark);

/* Frees all that was given out, but keeps one chunk for what comes next. */
void mill_arena_clear(mill_arena *arena);
static inline void mill_arena_reset(mill_arena *arena)
{
    if (arena->used_bytes != 0)
        mill_arena_clear(arena);
}

/* Gives everything back; the arena is empty and can be used again. */
void mill_arena_deinit(mill_arena *arena);

#endif
