/* A bounded big-endian reader. A read past the end marks the cursor bad once; later reads return 0
 * or an empty slice and don't move, so that a decoder checks `rmq_cursor_ok` once, at its end. */
#ifndef RMQ_CURSOR_H
#define RMQ_CURSOR_H

#include <rmq/base.h>

typedef struct rmq_cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
} rmq_cursor;

rmq_cursor rmq_cursor_of(const void *data, size_t len);
bool rmq_cursor_ok(const rmq_cursor *cursor);
size_t rmq_cursor_left(const rmq_cursor *cursor);
uint8_t rmq_cursor_u8(rmq_cursor *cursor);
uint16_t rmq_cursor_u16(rmq_cursor *cursor);
uint32_t rmq_cursor_u32(rmq_cursor *cursor);
uint64_t rmq_cursor_u64(rmq_cursor *cursor);
rmq_slice rmq_cursor_bytes(rmq_cursor *cursor, size_t len);
void rmq_cursor_skip(rmq_cursor *cursor, size_t len);

#endif
