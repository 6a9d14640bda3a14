/* Blocking questions to name servers and to servers named by address. Thread: any but the loop. */
#ifndef RMQ_NAMESRV_H
#define RMQ_NAMESRV_H

#include "../proto/route.h"
#include "call.h"

/* Asks one server, again after failures that may pass, until the deadline. The request must be one
 * that does no harm when it is repeated. RMQ_OK: *out_answer has code 0, and is the caller's. */
RMQ_MUST_CHECK rmq_status rmq_ask_address(rmq_client *client, const char *address,
                                          rmq_command *request, int64_t deadline_ns,
                                          rmq_answer **out_answer, rmq_error *err);
/* Asks the name servers in turn until one answers with code 0, round after round until the
 * deadline. */
RMQ_MUST_CHECK rmq_status rmq_ask_namesrv(rmq_client *client, rmq_command *request,
                                          int64_t deadline_ns, rmq_answer **out_answer,
                                          rmq_error *err);
/* The brokers of the cluster(s), at least one, waiting for one to register until the deadline. */
RMQ_MUST_CHECK rmq_status rmq_ask_cluster(rmq_client *client, int64_t deadline_ns,
                                          rmq_route *out_cluster, rmq_error *err);

#endif
