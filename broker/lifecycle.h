/* Up and down: listening, timers, restarts. */
#ifndef RMQ_DEV_LIFECYCLE_H
#define RMQ_DEV_LIFECYCLE_H

#include <rmq/devbroker.h>

#include "listener.h"

/* Makes the timers and starts them. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_timers_start(rmq_devbroker *broker, rmq_error *err);
void rmq_dev_timers_free(rmq_devbroker *broker);

/* Listens on the port, or closes it and all its connections. */
RMQ_MUST_CHECK rmq_status rmq_dev_port_up(rmq_devbroker *broker, rmq_dev_port port, rmq_error *err);
void rmq_dev_port_down(rmq_devbroker *broker, rmq_dev_port port);

/* A fault rule wants a restart: both ports go down at the end of this callback, and what was up
 * comes up again after the delay. */
void rmq_dev_restart_later(rmq_devbroker *broker, int64_t delay_ms);
void rmq_dev_restart_now(rmq_devbroker *broker); /* called by rmq_dev_settle */

uint64_t rmq_dev_random(rmq_devbroker *broker);

#endif
