/* The growable output buffer of all encoders.
 *
 * Encoders append without looking, and ask once at the end: the first failure (memory, or the cap)
 * sticks in `failed`, and from then on every append is a no-op, so that a half-written length can
 * never be followed by bytes that look whole. Room is doubled, and never taken beyond the cap. */
#include "buf.h"

#include <assert.h>

#define BUF_FIRST_BYTES 256

void rmq_buf_init(rmq_buf *buf, size_t max_bytes)
{
    *buf = (rmq_buf){.max_bytes = max_bytes};
}

void rmq_buf_deinit(rmq_buf *buf)
{
    rmq_free(buf->data);
    *buf = (rmq_buf){.max_bytes = buf->max_bytes};
}

void rmq_buf_clear(rmq_buf *buf)
{
    buf->len = 0;
    buf->failed = RMQ_OK;
}

/* Makes room for `len` more bytes; `len` is known not to pass the cap. */
static bool grow(rmq_buf *buf, size_t len)
{
    size_t needed = buf->len + len;
    size_t capacity = buf->capacity;
    if (capacity == 0)
        capacity = buf->max_bytes < BUF_FIRST_BYTES ? buf->max_bytes : BUF_FIRST_BYTES;
    while (capacity < needed)
        capacity = capacity > buf->max_bytes / 2 ? buf->max_bytes : capacity * 2;
    uint8_t *data = rmq_realloc(buf->data, capacity);
    if (data == NULL) {
        buf->failed = RMQ_NOMEM;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

uint8_t *rmq_buf_extend_slowly(rmq_buf *buf, size_t len)
{
    if (buf->failed != RMQ_OK)
        return NULL;
    if (len > buf->max_bytes || buf->len > buf->max_bytes - len) {
        buf->failed = RMQ_FULL;
        return NULL;
    }
    /* The first extend allocates even for no bytes: NULL means failure and nothing else. */
    if ((buf->data == NULL || len > buf->capacity - buf->len) && !grow(buf, len))
        return NULL;
    uint8_t *at = buf->data + buf->len;
    buf->len += len;
    return at;
}

void rmq_buf_patch_u32(rmq_buf *buf, size_t at, uint32_t value)
{
    if (buf->failed != RMQ_OK)
        return;
    assert(buf->len >= 4 && at <= buf->len - 4);
    uint8_t *to = buf->data + at;
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

void rmq_buf_shrink(rmq_buf *buf)
{
    if (buf->data == NULL || buf->len == 0 || buf->capacity - buf->len <= buf->len / 4)
        return;
    uint8_t *data = rmq_realloc(buf->data, buf->len);
    if (data == NULL)
        return;
    buf->data = data;
    buf->capacity = buf->len;
}

uint8_t *rmq_buf_take(rmq_buf *buf, size_t *out_len)
{
    uint8_t *data = buf->data;
    *out_len = buf->len;
    *buf = (rmq_buf){.max_bytes = buf->max_bytes};
    return data;
}
