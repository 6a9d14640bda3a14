/* Pulls that wait for a message. */
#ifndef RMQ_DEV_LONG_POLL_H
#define RMQ_DEV_LONG_POLL_H

#include "pull.h"

/* Holds the pull, taking over what it owns; false (nothing taken) without memory. */
bool rmq_dev_hold(const rmq_dev_reply *reply, rmq_dev_pull *take_pull);
/* Messages from `first_offset` on are new in the queue: answers the holds that one of them matches.
 */
void rmq_dev_holds_wake(rmq_dev_topic *topic, int32_t queue_id, int64_t first_offset);
/* Every long_poll_check_ms: answers those whose time is up, or whose queue has moved on. */
void rmq_dev_holds_check(rmq_devbroker *broker);
/* Drops the holds of a closed session. */
void rmq_dev_holds_drop(rmq_dev_session *session);
/* Takes all holds off the queues of a topic that is about to be deleted, and answers them so. */
void rmq_dev_holds_detach(rmq_dev_topic *topic);

#endif
