/* Calls from other threads, run on the loop. */
#ifndef RMQ_DEV_CALLS_H
#define RMQ_DEV_CALLS_H

#include <rmq/devbroker.h>

typedef rmq_status (*rmq_dev_call_fn)(rmq_devbroker *broker, void *argument, rmq_error *err);

RMQ_MUST_CHECK rmq_status rmq_dev_calls_init(rmq_devbroker *broker, rmq_error *err);
void rmq_dev_calls_deinit(rmq_devbroker *broker);

/* Runs `fn` on the loop thread and waits for it. Thread: any; from the loop itself (a log callback)
 * it runs at once. */
rmq_status rmq_dev_call_sync(rmq_devbroker *broker, rmq_dev_call_fn fn, void *argument,
                             rmq_error *err);

#endif
