/* What the fault proxy knows of frames: where one ends, what it asks or answers, and where a route
 * names brokers. Written apart from the codec under test, so that a defect there can't hide itself.
 * Source: protocol facts 1.1, 1.2, 1.3, 4.2. */
#ifndef TEST_PROXY_FRAME_H
#define TEST_PROXY_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct proxy_frame {
    size_t size; /* with the length word */
    size_t header_at;
    size_t body_at;
    int32_t code;
    int32_t opaque;
    bool is_answer;
    bool is_oneway;
} proxy_frame;

typedef enum proxy_cut {
    PROXY_CUT_FRAME = 0,
    PROXY_CUT_MORE,   /* bytes are missing */
    PROXY_CUT_UNKNOWN /* no frame: TLS, or garbage */
} proxy_cut;

/* Looks at the first frame of `data`. */
proxy_cut proxy_frame_read(const uint8_t *data, size_t len, proxy_frame *out_frame);

/* Tells the address to be named instead of `address`; it is `ctx`'s. */
typedef const char *(*proxy_address_fn)(void *ctx, const char *address);

/* A copy (malloc) of the frame in which every broker address of a route's body is replaced. */
uint8_t *proxy_frame_with_addresses(const uint8_t *data, const proxy_frame *frame,
                                    proxy_address_fn instead_of, void *ctx, size_t *out_len);

#endif
