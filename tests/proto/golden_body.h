/* The body of a golden frame. */
#ifndef TEST_GOLDEN_BODY_H
#define TEST_GOLDEN_BODY_H

#include <stdlib.h>

#include "../support/support.h"

/* The body of frame `name`. The caller frees *out_memory, which it lies in, with free(). */
static inline rmq_slice golden_body(const char *name, uint8_t **out_memory)
{
    size_t len;
    golden_load(name, out_memory, &len);
    const uint8_t *data = *out_memory;
    size_t header_len = (size_t)data[5] << 16 | (size_t)data[6] << 8 | data[7];
    ck_assert_uint_le(8 + header_len, len);
    return (rmq_slice){(const char *)data + 8 + header_len, len - 8 - header_len};
}

#endif
