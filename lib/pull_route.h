/* Where a queue's pulls go: the broker's address, by the broker's advice and the route. Loop thread
 * only. */
#ifndef RMQ_PULL_ROUTE_H
#define RMQ_PULL_ROUTE_H

#include "call.h"

typedef struct rmq_pull_route rmq_pull_route;

/* A route question was answered, whatever the answer: look for the address again. `err` is NULL if
 * the broker is in the route. */
typedef void (*rmq_pull_route_fn)(void *ctx, const rmq_error *err);

/* Strings are copied. NULL: no memory. Thread: any. */
rmq_pull_route *rmq_pull_route_new(rmq_client *client, const char *topic, const char *broker_name,
                                   rmq_pull_route_fn asked, void *ctx);
/* Nothing is told afterwards. */
void rmq_pull_route_free(rmq_pull_route *route);

/* The address to use now; NULL: not known, ask. Borrowed until the next call here. */
const char *rmq_pull_route_address(rmq_pull_route *route);
/* Asks a name server afresh (once, if it is being asked already); `asked` is called later. */
void rmq_pull_route_ask(rmq_pull_route *route);
bool rmq_pull_route_is_asking(const rmq_pull_route *route);
/* The broker's advice for the next pull. */
void rmq_pull_route_suggest(rmq_pull_route *route, int64_t broker_id);
/* The address in use gave trouble: look it up again, and forget the advice. */
void rmq_pull_route_doubt(rmq_pull_route *route);

#endif
