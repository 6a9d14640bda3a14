/* PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361). */
#ifndef RMQ_DEV_PULL_H
#define RMQ_DEV_PULL_H

#include "answer.h"
#include "message_store.h"
#include "tag_filter.h"

/* A pull that was found right. It owns its strings and its filter, since it may be held. */
typedef struct rmq_dev_pull {
    char *group;
    char *topic;
    int32_t queue_id;
    int64_t offset;
    int32_t max_messages;
    rmq_dev_tag_filter filter;
    bool may_be_held;
    int64_t hold_ms;
} rmq_dev_pull;

void rmq_dev_handle_pull(rmq_dev_request *request);
void rmq_dev_pull_deinit(rmq_dev_pull *pull);
/* Looks, and answers whatever there is (a hold that ends). */
void rmq_dev_pull_answer(const rmq_dev_reply *reply, const rmq_dev_pull *pull);
/* Answers that the topic is gone. */
void rmq_dev_pull_answer_gone(const rmq_dev_reply *reply, const rmq_dev_pull *pull);

#endif
