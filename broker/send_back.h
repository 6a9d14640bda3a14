/* CONSUMER_SEND_MSG_BACK (36): retries and dead letters. */
#ifndef RMQ_DEV_SEND_BACK_H
#define RMQ_DEV_SEND_BACK_H

#include "answer.h"
#include "message_store.h"

#define RMQ_DEV_RETRY_TIMES 16 /* of a group without a configuration of its own */

void rmq_dev_handle_send_back(rmq_dev_request *request); /* 36 */

/* The group's topic "%RETRY%group" or "%DLQ%group", of one queue, made if need be. Errors: INVAL
 * (too long), NOMEM, FULL, IO. */
RMQ_MUST_CHECK rmq_status rmq_dev_make_group_topic(rmq_devbroker *broker, const char *prefix,
                                                   rmq_slice group, rmq_dev_topic **out_topic,
                                                   rmq_error *err);

#endif
