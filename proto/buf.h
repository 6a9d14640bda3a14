/* A growable output buffer with a cap. A failed append is remembered (`failed`), so that an encoder
 * checks once, at its end. Memory of the process-wide allocator. */
#ifndef RMQ_BUF_H
#define RMQ_BUF_H

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

void rmq_buf_append(rmq_buf *buf, const void *data, size_t len);
void rmq_buf_append_slice(rmq_buf *buf, rmq_slice slice);
void rmq_buf_append_u8(rmq_buf *buf, uint8_t value);
void rmq_buf_append_u16(rmq_buf *buf, uint16_t value); /* big-endian, as all of these */
void rmq_buf_append_u32(rmq_buf *buf, uint32_t value);
void rmq_buf_append_u64(rmq_buf *buf, uint64_t value);
/* Overwrites 4 bytes at `at` (at + 4 <= len), for lengths that are known later. */
void rmq_buf_patch_u32(rmq_buf *buf, size_t at, uint32_t value);
/* `len` writable bytes at the end, or NULL (and failed). */
uint8_t *rmq_buf_extend(rmq_buf *buf, size_t len);
/* Moves the memory out; the buffer is empty afterwards. The caller frees with rmq_free. */
uint8_t *rmq_buf_take(rmq_buf *buf, size_t *out_len);

#endif
