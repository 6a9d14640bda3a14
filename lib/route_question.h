/* A route lookup that its asker can forget about. Loop thread only. */
#ifndef RMQ_ROUTE_QUESTION_H
#define RMQ_ROUTE_QUESTION_H

#include "call.h"

typedef struct rmq_route_question rmq_route_question;

/* Looks the route up (rmq_route_lookup). The question is gone when `answered` is called. NULL: no
 * memory; `answered` is not called. */
rmq_route_question *rmq_route_question_ask(rmq_client *client, const char *topic,
                                           int64_t max_age_ms, rmq_route_fn answered, void *ctx);
/* `answered` will not be called any more. Accepts NULL. */
void rmq_route_question_drop(rmq_route_question *question);

#endif
