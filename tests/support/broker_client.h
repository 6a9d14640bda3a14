/* The requests that most broker tests send, each in one call. */
#ifndef TEST_BROKER_CLIENT_H
#define TEST_BROKER_CLIENT_H

#include <rmq/devbroker.h>
#include <rmq/message.h>

#include "raw_client.h"

/* Starts a broker with a configuration that may be changed before, and one topic "T" of 2 queues.
 */
rmq_devbroker *broker_start(const rmq_devbroker_config *config);

/* Sends a message to queue `queue_id` of `topic` with code 310; returns its queue offset. */
int64_t broker_send(raw_client *client, const char *topic, int32_t queue_id, const char *body);
/* Sends it with those properties ("TAGS\1A\2"). */
int64_t broker_send_with(raw_client *client, const char *topic, int32_t queue_id, const char *body,
                         const char *properties);
/* Sends `count` messages "prefix0", "prefix1"... as one batch. */
void broker_send_batch(raw_client *client, const char *topic, int32_t queue_id, const char *prefix,
                       int count);

typedef struct broker_pull {
    const char *group; /* NULL: "G" */
    const char *topic; /* NULL: "T" */
    int32_t queue_id;
    int64_t offset;
    int32_t max_messages;     /* 0: 32 */
    const char *subscription; /* NULL: "*" */
    int64_t hold_ms;          /* with SUSPEND in sys_flag */
    int32_t sys_flag;         /* 0: 4, subscription in the request */
} broker_pull;

#define PULL_SUSPEND 2
#define PULL_SUBSCRIPTION 4

int32_t broker_pull_send(raw_client *client, const broker_pull *pull);
raw_frame broker_pull_call(raw_client *client, const broker_pull *pull);
/* The records of an answer, decoded; unref it. */
rmq_batch *broker_batch(const raw_frame *answer);
/* Fails the test unless message `index` has that body. */
void broker_expect_body(const rmq_batch *batch, size_t index, const char *body);

#endif
