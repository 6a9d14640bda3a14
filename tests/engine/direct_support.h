/* For the tests of the direct stream: a job from a topic into a fake_table. */
#ifndef DIRECT_SUPPORT_H
#define DIRECT_SUPPORT_H

#include "../support/test_broker.h"
#include "stream_support.h"

#define DIRECT_MAX_QUEUES 8

/* A topic with numbered messages: message n of queue q becomes fake_number(q, n). */
typedef struct direct_topic {
    test_broker *broker;
    char *topic;
    char *broker_name;
    int64_t sent[DIRECT_MAX_QUEUES]; /* messages 0 to sent - 1 were sent */
    int64_t from[DIRECT_MAX_QUEUES]; /* the first that is expected */
} direct_topic;

void direct_topic_make(direct_topic *topic, test_broker *broker, int32_t n_queues);
void direct_topic_free(direct_topic *topic);
rmq_queue direct_queue(const direct_topic *topic, int32_t queue_id);
/* Sends `count` more to a queue, or to queues 0 to n_queues - 1. */
void direct_send(direct_topic *topic, int32_t queue_id, int64_t count);
void direct_send_all(direct_topic *topic, int32_t n_queues, int64_t count);

/* A job; zero and NULL mean what they mean in the engine's configs. */
typedef struct direct_job {
    const char *dir;
    const char *namesrv;
    const char *topics;
    fake_table *table;
    mill_trigger trigger;
    mill_start start;
    int64_t start_timestamp_ms;
    mill_on_data_loss on_data_loss;
    int64_t max_rate_per_queue;
    int64_t max_records_per_batch;
    int64_t interval_ms;
    mill_foreach_batch_fn each_batch; /* beside the table; may be NULL */
    void *each_batch_ctx;
    mill_progress_fn on_progress;
    void *on_progress_ctx;
    mill_sink *sink; /* instead of table */
} direct_job;

running direct_build(const direct_job *job);
rmq_status direct_run(const direct_job *job, rmq_error *err);
/* Builds and starts; fails the test if it can't. */
running direct_start(const direct_job *job);
/* Waits until the table has `count` rows; fails the test after half a minute. */
void direct_wait_rows(const fake_table *table, size_t count);

/* Fails the test unless the table has messages [from, sent) of each queue exactly once. */
void direct_check_once(const fake_table *table, const direct_topic *topic);

#endif
