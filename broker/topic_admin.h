/* Requests about topics: 17, 215, 351, 202; and what a new broker begins with. */
#ifndef RMQ_DEV_TOPIC_ADMIN_H
#define RMQ_DEV_TOPIC_ADMIN_H

#include "answer.h"

void rmq_dev_handle_topic_create(rmq_dev_request *request); /* 17 */
void rmq_dev_handle_topic_delete(rmq_dev_request *request); /* 215 */
void rmq_dev_handle_topic_config(rmq_dev_request *request); /* 351 */
void rmq_dev_handle_topic_stats(rmq_dev_request *request);  /* 202 */

/* The topics that every broker has. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_make_system_topics(rmq_devbroker *broker, rmq_error *err);

#endif
