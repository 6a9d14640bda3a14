/* Blocking questions: to the route of a topic, and to the master of a queue, with retries until a
 * deadline. Thread: any but the loop. */
#ifndef RMQ_LOOKUP_H
#define RMQ_LOOKUP_H

#include "../proto/route.h"
#include "address.h"
#include "call.h"

/* Takes from a route what the caller needs. Called on the loop, at most once with each answer. */
typedef rmq_status (*rmq_route_use_fn)(void *ctx, const rmq_route *route, rmq_error *err);

typedef struct rmq_lookup {
    const char *topic;
    int64_t max_age_ms; /* 0: a fresh question */
    int64_t deadline_ns;
    bool patient; /* an unknown topic (or NOT_FOUND by `use`) may appear before the deadline */
} rmq_lookup;

RMQ_MUST_CHECK rmq_status rmq_lookup_route(rmq_client *client, const rmq_lookup *lookup,
                                           rmq_route_use_fn use, void *ctx, rmq_error *err);

/* Asks the master of a queue's broker, again after failures that may pass, until the deadline. The
 * request must be one that does no harm when it is repeated. RMQ_OK: *out_answer has code 0, and is
 * the caller's. */
RMQ_MUST_CHECK rmq_status rmq_lookup_ask(rmq_client *client, const rmq_queue *queue,
                                         rmq_command *request, int64_t deadline_ns,
                                         rmq_answer **out_answer, rmq_error *err);
/* The address of the queue's master. */
RMQ_MUST_CHECK rmq_status rmq_lookup_master(rmq_client *client, const rmq_queue *queue,
                                            const rmq_lookup *lookup,
                                            char out_address[RMQ_ADDRESS_MAX_BYTES],
                                            rmq_error *err);

/* Whether the same question may have another answer later: the link broke, was not made, or said
 * nothing in time; a broker is busy. */
bool rmq_lookup_may_pass(rmq_status status, const rmq_error *err);
/* now + the request timeout, by rmq_clock_monotonic_ns. */
int64_t rmq_lookup_deadline(rmq_client *client);
int64_t rmq_lookup_left_ms(int64_t deadline_ns);

#endif
