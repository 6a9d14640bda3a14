/* Refcounted frames, and the splitter that cuts a byte stream into them.
 *
 * The splitter owns the memory that is read into: the connection asks where to put bytes
 * (rmq_splitter_space), reads from the socket straight into it, and says how many came
 * (rmq_splitter_filled). No byte is copied but the few of a next frame that arrived with the one
 * before. */
#ifndef RMQ_FRAME_H
#define RMQ_FRAME_H

#include <rmq/base.h>

#define RMQ_FRAME_MAX_BYTES_DEFAULT (16u * 1024 * 1024)

/* One whole frame: `total` bytes after the 4-byte length word. */
typedef struct rmq_frame {
    uint8_t serialization; /* 0 JSON, 1 binary */
    rmq_slice header;
    rmq_slice body;
} rmq_frame;

/* Creates a frame over a copy of `bytes`, which is a whole frame with its length word. For tests
 * and replays. Errors: PROTO (lengths lie), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_frame_from_bytes(const void *bytes, size_t len, rmq_frame **out_frame,
                                               rmq_error *err);
rmq_frame *rmq_frame_ref(rmq_frame *frame);
void rmq_frame_unref(rmq_frame *frame); /* accepts NULL; atomic, any thread */
/* Its size on the wire; and the memory that it may keep alive, its neighbours' included. */
size_t rmq_frame_bytes(const rmq_frame *frame);
size_t rmq_frame_memory_bytes(const rmq_frame *frame);
/* A frame of the same bytes that keeps little more than them alive: a copy, or one more reference
 * on this one if that is so already. For those who hold many. NULL: no memory. */
RMQ_MUST_CHECK rmq_frame *rmq_frame_detach(rmq_frame *frame);

typedef struct rmq_splitter rmq_splitter;

RMQ_MUST_CHECK rmq_splitter *rmq_splitter_new(size_t max_frame_bytes);
void rmq_splitter_free(rmq_splitter *splitter);

/* Where the next bytes go: at least one byte of room. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_splitter_space(rmq_splitter *splitter, uint8_t **out_data,
                                             size_t *out_capacity, rmq_error *err);
/* `len` bytes (at most the capacity given) were put there. */
void rmq_splitter_filled(rmq_splitter *splitter, size_t len);
/* The next whole frame (the caller unrefs it), or RMQ_AGAIN if more bytes are needed. PROTO: a
 * length that lies or is over the cap; the stream can't be read any further and every later call
 * says the same. */
RMQ_MUST_CHECK rmq_status rmq_splitter_next(rmq_splitter *splitter, rmq_frame **out_frame,
                                            rmq_error *err);

#endif
