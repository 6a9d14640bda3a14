/* Bytes on their way to one side of a proxied connection: pieces with the moment before which they
 * don't go, and a speed. */
#ifndef TEST_PROXY_QUEUE_H
#define TEST_PROXY_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happens once a piece is written. */
typedef enum proxy_after {
    PROXY_GO_ON = 0,
    PROXY_CLOSE,   /* both sides */
    PROXY_RESET,   /* both sides, with RST */
    PROXY_SILENCE, /* nothing more is read from or written to the server; the client isn't told */
    PROXY_SLOW     /* from here at `bytes_per_s` */
} proxy_after;

typedef struct proxy_piece {
    struct proxy_piece *next;
    int64_t due_ns;
    size_t len;
    size_t at;
    proxy_after after;
    int64_t bytes_per_s; /* with PROXY_SLOW */
    uint8_t data[];
} proxy_piece;

typedef struct proxy_queue {
    proxy_piece *first;
    proxy_piece *last;
    size_t bytes;
    int64_t bytes_per_s; /* 0: as fast as it goes */
    int64_t next_ns;     /* when the speed lets the next byte go */
} proxy_queue;

/* Appends a copy of `len` bytes (0 is a piece, too); never before a piece in front of it. */
proxy_piece *proxy_queue_add(proxy_queue *queue, const uint8_t *data, size_t len, int64_t due_ns);
void proxy_queue_clear(proxy_queue *queue);

/* When something may be written; INT64_MAX: nothing waits. */
int64_t proxy_queue_due_ns(const proxy_queue *queue);

/* Writes to `fd` what may go now. A piece that is done and has an `after` other than GO_ON and SLOW
 * ends the write and is told in *out_after. False: the socket failed. */
bool proxy_queue_write(proxy_queue *queue, int fd, int64_t now_ns, proxy_after *out_after);

#endif
