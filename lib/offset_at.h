/* The first message at or after a time, whatever the broker makes of the question. */
#ifndef RMQ_OFFSET_AT_H
#define RMQ_OFFSET_AT_H

#include <rmq/client.h>

/* The broker's own answer to SEARCH_OFFSET_BY_TIMESTAMP (offsets.c). */
RMQ_MUST_CHECK rmq_status rmq_offset_at_ask(rmq_client *client, const rmq_queue *queue,
                                            int64_t timestamp_ms, int64_t *out_offset,
                                            rmq_error *err);

#endif
