/* Lists of queues, made inside the client. */
#ifndef RMQ_QUEUES_H
#define RMQ_QUEUES_H

#include <rmq/client.h>

#include "../proto/route.h"

/* The topic's readable queues, sorted. Errors: NOT_FOUND (there is none), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_queue_list_of_route(const char *topic, const rmq_route *route,
                                                  rmq_queue_list **out_queues, rmq_error *err);
/* A list of its own with these queues, in this order; `count` may be 0. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_queue_list_copy(const rmq_queue *queues, size_t count,
                                              rmq_queue_list **out_queues, rmq_error *err);

#endif
