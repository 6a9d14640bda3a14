/* What waits to be written to one connection: a bounded list of pieces. Loop thread. */
#ifndef RMQ_OUTPUT_H
#define RMQ_OUTPUT_H

#include <rmq/base.h>

#include <sys/uio.h>

/* A piece; its owner may take it back as long as no byte of it was tried on the socket. */
typedef struct rmq_write rmq_write;

typedef struct rmq_output {
    rmq_write *first;
    rmq_write *last;
    size_t queued_bytes;
    size_t max_bytes;
} rmq_output;

void rmq_output_init(rmq_output *output, size_t max_bytes);
/* Drops all; the owners' pointers become NULL. */
void rmq_output_clear(rmq_output *output);
bool rmq_output_is_empty(const rmq_output *output);
/* Appends `take_data` (consumed on success). *out_write (out_write may be NULL) names the piece
 * until its first byte is tried, or it is dropped; then it becomes NULL. Errors: FULL, NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_output_push(rmq_output *output, uint8_t *take_data, size_t len,
                                          rmq_write **out_write, rmq_error *err);
/* Takes a piece back that its owner's pointer still names. */
void rmq_output_withdraw(rmq_output *output, rmq_write *write);
/* The unwritten bytes of the first pieces, at most `capacity` of them. */
size_t rmq_output_gather(const rmq_output *output, struct iovec *out_pieces, size_t capacity);
/* The pieces that hold the first `len` unwritten bytes may be on their way from now on. */
void rmq_output_tried(rmq_output *output, size_t len);
/* The first `len` bytes are written; frees pieces that are done. */
void rmq_output_written(rmq_output *output, size_t len);

#endif
