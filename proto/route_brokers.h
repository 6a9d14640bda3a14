/* The object that describes a broker, for the two bodies that hold it (route.c, cluster_info.c). */
#ifndef RMQ_ROUTE_BROKERS_H
#define RMQ_ROUTE_BROKERS_H

#include "body_json.h"
#include "route.h"

/* Reads {"brokerAddrs":{...},"brokerName":...,"cluster":...} and appends it to `brokers`, whose
 * items are private to route_brokers.c. `name` (may be empty) is the name if the object has none; a
 * broker without a name is an error. */
void rmq_route_brokers_read(rmq_json *json, rmq_slice name, rmq_body_list *brokers);

/* Moves the brokers into `route`, sorted by name; of those with one name the last one stays.
 * `brokers` is empty afterwards. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_route_brokers_move(rmq_body_list *brokers, rmq_route *route,
                                                 rmq_error *err);
void rmq_route_brokers_free(rmq_body_list *brokers);

/* Frees what the broker holds. */
void rmq_route_broker_deinit(rmq_route_broker *broker);

#endif
