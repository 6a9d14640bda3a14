/* Asking the broker whether it understands a filter expression, before the first pull. Loop thread
 * only. */
#ifndef RMQ_EXPRESSION_CHECK_H
#define RMQ_EXPRESSION_CHECK_H

#include "call.h"
#include "pull_request.h"

/* Starts the question (CHECK_CLIENT_CONFIG, 46). NULL if there is no memory for it; else `done`
 * gets the outcome, to be read by rmq_expression_check_result. */
rmq_call *rmq_expression_check_start(rmq_client *client, const char *address,
                                     const rmq_pull_target *target, rmq_call_fn done, void *ctx);

/* RMQ_OK: the expression is good. INVAL with the broker's words: it is not. UNSUPPORTED: the broker
 * does not filter that way. AUTH. Anything else: try again. */
RMQ_MUST_CHECK rmq_status rmq_expression_check_result(const rmq_call_outcome *outcome,
                                                      const char *address, rmq_error *err);

#endif
