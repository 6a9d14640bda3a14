/* A growable output buffer with a cap. A failed append is remembered (`failed`), so that an encoder
 * checks once, at its end. Memory of the process-wide allocator.
 *
 * Appending within the capacity is inline: headers are written in many small pieces. */
#ifndef RMQ_BUF_H
#define RMQ_BUF_H

#include <string.h>

#include <rmq/base.h>

typedef struct rmq_buf {
    uint8_t *data;
    size_t len;
    size_t capacity;
    size_t max_bytes;  /* appends beyond it fail with RMQ_FULL */
    rmq_status failed; /* RMQ_OK, RMQ_NOMEM or RMQ_FULL; sticky until rmq_buf_clear */
} rmq_buf;

void rmq_buf_init(rmq_buf *buf, size_t max_bytes);
void rmq_buf_deinit(rmq_buf *buf);
void rmq_buf_clear(rmq_buf *buf); /* empties it, keeps the memory, forgets the failure */

/* The slow half of rmq_buf_extend: failures, and more memory. */
uint8_t *rmq_buf_extend_slowly(rmq_buf *buf, size_t len);

/* `len` writable bytes at the end, or NULL (and failed). */
static inline uint8_t *rmq_buf_extend(rmq_buf *buf, size_t len)
{
    if (buf->failed != RMQ_OK || buf->data == NULL || len > buf->capacity - buf->len)
        return rmq_buf_extend_slowly(buf, len);
    uint8_t *at = buf->data + buf->len;
    buf->len += len;
    return at;
}

static inline void rmq_buf_append(rmq_buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return;
    uint8_t *at = rmq_buf_extend(buf, len);
    if (at != NULL)
        memcpy(at, data, len);
}

static inline void rmq_buf_append_slice(rmq_buf *buf, rmq_slice slice)
{
    rmq_buf_append(buf, slice.data, slice.len);
}

/* Integers are big-endian. */
static inline void rmq_buf_append_u8(rmq_buf *buf, uint8_t value)
{
    rmq_buf_append(buf, &value, 1);
}

static inline void rmq_buf_append_u16(rmq_buf *buf, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    rmq_buf_append(buf, bytes, sizeof(bytes));
}

static inline void rmq_buf_append_u32(rmq_buf *buf, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    rmq_buf_append(buf, bytes, sizeof(bytes));
}

static inline void rmq_buf_append_u64(rmq_buf *buf, uint64_t value)
{
    uint8_t *at = rmq_buf_extend(buf, 8);
    if (at == NULL)
        return;
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* Overwrites 4 bytes at `at` (at + 4 <= len), for lengths that are known later. */
void rmq_buf_patch_u32(rmq_buf *buf, size_t at, uint32_t value);
/* Gives back the room that is not used if it is a good part of the memory. */
void rmq_buf_shrink(rmq_buf *buf);
/* Moves the memory out; the buffer is empty afterwards. The caller frees with rmq_free. */
uint8_t *rmq_buf_take(rmq_buf *buf, size_t *out_len);

#endif
