/* What waits to be written to one connection. */
#ifndef RMQ_DEV_WRITE_QUEUE_H
#define RMQ_DEV_WRITE_QUEUE_H

#include <rmq/base.h>

#include "message_queue.h"

typedef struct rmq_dev_write_queue {
    struct rmq_dev_write *first;
    struct rmq_dev_write *last;
    size_t bytes;
} rmq_dev_write_queue;

void rmq_dev_write_queue_deinit(rmq_dev_write_queue *queue);
/* `take_data` is from rmq_malloc; it is freed also on failure (NOMEM). */
RMQ_MUST_CHECK rmq_status rmq_dev_write_queue_add(rmq_dev_write_queue *queue, uint8_t *take_data,
                                                  size_t len);
/* Bytes within `chunk`, which is referenced until they are written. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_write_queue_add_chunk(rmq_dev_write_queue *queue,
                                                        rmq_dev_chunk *chunk, const uint8_t *data,
                                                        size_t len);
/* Writes as much as the socket takes. OK: all is written. AGAIN: the socket is full. CLOSED: it is
 * broken. *out_written gets the bytes that went out in any case. */
RMQ_MUST_CHECK rmq_status rmq_dev_write_queue_flush(rmq_dev_write_queue *queue, int fd,
                                                    size_t *out_written);

#endif
