/* A bounded big-endian reader. A read past the end marks the cursor bad once; later reads return 0
 * or an empty slice and don't move, so that a decoder checks `rmq_cursor_ok` once, at its end.
 * Inline, since a message record is some twenty reads. */
#ifndef RMQ_CURSOR_H
#define RMQ_CURSOR_H

#include <rmq/base.h>

typedef struct rmq_cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
} rmq_cursor;

/* `data` may be NULL if `len` is 0. */
static inline rmq_cursor rmq_cursor_of(const void *data, size_t len)
{
    const uint8_t *at = (const uint8_t *)data;
    return (rmq_cursor){.at = at, .end = len > 0 ? at + len : at, .bad = false};
}

static inline bool rmq_cursor_ok(const rmq_cursor *cursor)
{
    return !cursor->bad;
}

/* 0 once the cursor is bad. */
static inline size_t rmq_cursor_left(const rmq_cursor *cursor)
{
    return cursor->bad ? 0 : (size_t)(cursor->end - cursor->at);
}

/* Whether `len` bytes are there; marks the cursor bad if not. */
static inline bool rmq_cursor_has(rmq_cursor *cursor, size_t len)
{
    if (cursor->bad || len > (size_t)(cursor->end - cursor->at)) {
        cursor->bad = true;
        return false;
    }
    return true;
}

static inline uint8_t rmq_cursor_u8(rmq_cursor *cursor)
{
    return rmq_cursor_has(cursor, 1) ? *cursor->at++ : 0;
}

static inline uint16_t rmq_cursor_u16(rmq_cursor *cursor)
{
    if (!rmq_cursor_has(cursor, 2))
        return 0;
    const uint8_t *at = cursor->at;
    cursor->at += 2;
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t rmq_cursor_u32(rmq_cursor *cursor)
{
    if (!rmq_cursor_has(cursor, 4))
        return 0;
    const uint8_t *at = cursor->at;
    cursor->at += 4;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t rmq_cursor_u64(rmq_cursor *cursor)
{
    if (!rmq_cursor_has(cursor, 8))
        return 0;
    uint64_t high = rmq_cursor_u32(cursor);
    return high << 32 | rmq_cursor_u32(cursor);
}

static inline rmq_slice rmq_cursor_bytes(rmq_cursor *cursor, size_t len)
{
    if (!rmq_cursor_has(cursor, len))
        return (rmq_slice){NULL, 0};
    rmq_slice bytes = {(const char *)cursor->at, len};
    if (len > 0)
        cursor->at += len;
    return bytes;
}

static inline void rmq_cursor_skip(rmq_cursor *cursor, size_t len)
{
    if (rmq_cursor_has(cursor, len) && len > 0)
        cursor->at += len;
}

#endif
