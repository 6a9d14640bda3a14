/* Messages that become visible later: delay levels and timers. */
#ifndef RMQ_DEV_DELAYS_H
#define RMQ_DEV_DELAYS_H

#include <rmq/devbroker.h>
#include <rmq/message.h>

#include "buf.h"
#include "message_store.h"

#define RMQ_DEV_SCHEDULE_TOPIC "SCHEDULE_TOPIC_XXXX"
#define RMQ_DEV_TIMER_TOPIC "rmq_sys_wheel_timer"
#define RMQ_DEV_DELAY_LEVELS 18
#define RMQ_DEV_TIMER_QUEUES 1024

/* When a message is to be visible. Both 0: at once. */
typedef struct rmq_dev_delay_plan {
    int32_t level;  /* 1 to 18 */
    int64_t out_ms; /* of a timer message, a whole second */
} rmq_dev_delay_plan;

/* Reads the plan from the properties. Errors: INVAL (the level is no number), UNSUPPORTED (a timer
 * that is wrong or too far away). */
RMQ_MUST_CHECK rmq_status rmq_dev_delay_plan_read(rmq_slice properties, bool is_v5, int64_t now_ms,
                                                  rmq_dev_delay_plan *out_plan);
/* Stores the message where it waits. `message` names the topic and queue that it is for;
 * `properties` is its block, to which is added. Queue offset and physical offset of where it waits
 * are set in `message`. Errors: as rmq_dev_store_append. */
RMQ_MUST_CHECK rmq_status rmq_dev_delay_store(rmq_devbroker *broker, rmq_message *message,
                                              rmq_buf *properties, const rmq_dev_delay_plan *plan,
                                              rmq_error *err);

/* Makes the timer, and waits for what a directory brought along. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_delays_start(rmq_devbroker *broker, rmq_error *err);
void rmq_dev_delays_free(rmq_devbroker *broker);

#endif
