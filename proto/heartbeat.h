/* Heartbeat, subscription and queue-lock bodies. Source: HeartbeatData, SubscriptionData,
 * LockBatchRequestBody 5.4.0; protocol facts 10. */
#ifndef RMQ_HEARTBEAT_H
#define RMQ_HEARTBEAT_H

#include <rmq/base.h>

#include "buf.h"

typedef struct rmq_subscription {
    char *topic;
    char *expression;      /* "*", tags, or SQL text */
    char *expression_type; /* "TAG" or "SQL92" */
    int64_t version;
} rmq_subscription;

typedef struct rmq_consumer_data {
    char *group;
    char *consume_type;  /* CONSUME_PASSIVELY, CONSUME_ACTIVELY, CONSUME_POP */
    char *message_model; /* CLUSTERING, BROADCASTING */
    char *consume_from_where;
    rmq_subscription *subscriptions;
    size_t n_subscriptions;
} rmq_consumer_data;

typedef struct rmq_heartbeat {
    char *client_id;
    char **producer_groups;
    size_t n_producer_groups;
    rmq_consumer_data *consumers;
    size_t n_consumers;
} rmq_heartbeat;

RMQ_MUST_CHECK rmq_status rmq_heartbeat_encode(const rmq_heartbeat *heartbeat, rmq_buf *out,
                                               rmq_error *err);
/* Strings are copied; rmq_heartbeat_deinit frees them. What a client may leave out has the Java
 * client's default, so that no string is NULL. Errors: PROTO, FULL (more than 10,000
 * entries), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_heartbeat_decode(rmq_slice body, rmq_heartbeat *out_heartbeat,
                                               rmq_error *err);
void rmq_heartbeat_deinit(rmq_heartbeat *heartbeat);
void rmq_consumer_data_deinit(rmq_consumer_data *consumer);

/* One queue in a lock body. */
typedef struct rmq_lock_queue {
    char *topic;
    char *broker_name;
    int32_t queue_id;
} rmq_lock_queue;

typedef struct rmq_lock_request {
    char *group;
    char *client_id;
    rmq_lock_queue *queues;
    size_t n_queues;
} rmq_lock_request;

RMQ_MUST_CHECK rmq_status rmq_lock_request_encode(const rmq_lock_request *request, rmq_buf *out,
                                                  rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_lock_request_decode(rmq_slice body, rmq_lock_request *out_request,
                                                  rmq_error *err);
void rmq_lock_request_deinit(rmq_lock_request *request);
/* {"lockOKMQSet":[...]} */
RMQ_MUST_CHECK rmq_status rmq_lock_response_decode(rmq_slice body, rmq_lock_queue **out_queues,
                                                   size_t *out_count, rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_lock_response_encode(const rmq_lock_queue *queues, size_t n_queues,
                                                   rmq_buf *out, rmq_error *err);
void rmq_lock_queues_free(rmq_lock_queue *queues, size_t count);

/* {"consumerIdList":[...]} of 38. Free with rmq_topic_list_free. */
RMQ_MUST_CHECK rmq_status rmq_consumer_list_decode(rmq_slice body, char ***out_ids,
                                                   size_t *out_count, rmq_error *err);

#endif
