/* A job from a topic into a table, and what the table must have in the end. */
#include "direct_support.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void direct_topic_make(direct_topic *topic, test_broker *broker, int32_t n_queues)
{
    memset(topic, 0, sizeof(*topic));
    topic->broker = broker;
    topic->topic = test_broker_topic(broker, n_queues);
    topic->broker_name = test_broker_name(broker, topic->topic);
}

void direct_topic_free(direct_topic *topic)
{
    free(topic->topic);
    free(topic->broker_name);
}

rmq_queue direct_queue(const direct_topic *topic, int32_t queue_id)
{
    return (rmq_queue){topic->topic, topic->broker_name, queue_id};
}

void direct_send(direct_topic *topic, int32_t queue_id, int64_t count)
{
    rmq_queue queue = direct_queue(topic, queue_id);
    test_broker_fill(topic->broker, &queue, topic->sent[queue_id], count, 100);
    topic->sent[queue_id] += count;
}

void direct_send_all(direct_topic *topic, int32_t n_queues, int64_t count)
{
    for (int32_t q = 0; q < n_queues; q++)
        direct_send(topic, q, count);
}

static rmq_status number_of_message(const void *row, void *out_row, mill_task *task, void *ctx)
{
    (void)ctx;
    const rmq_message *message = row;
    static const char head[] = "message-";
    char digits[24] = "";
    size_t len = sizeof(head) - 1;
    if (message->body.len <= len || memcmp(message->body.data, head, len) != 0)
        return mill_task_fail(task, "a body that was not sent");
    for (size_t i = 0; i < sizeof(digits) - 1 && len + i < message->body.len; i++)
        digits[i] = message->body.data[len + i];
    *(int64_t *)out_row = fake_number(message->queue_id, strtoll(digits, NULL, 10));
    return RMQ_OK;
}

running direct_build(const direct_job *job)
{
    running built = {.context = context_make(2, 0)};
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    config.name = "directjob";
    config.checkpoint = job->dir;
    config.trigger = job->trigger;
    config.batch_interval_ms = job->interval_ms;
    config.on_progress = job->on_progress;
    config.on_progress_ctx = job->on_progress_ctx;
    rmq_error err = {0};
    must(mill_streaming_context_new(built.context, &config, &built.stream, &err), &err);
    mill_direct_config direct = MILL_DIRECT_CONFIG_INIT;
    direct.client.namesrv = job->namesrv;
    direct.client.request_timeout_ms = 1000;
    direct.client.connect_timeout_ms = 2000;
    direct.client.reconnect_max_ms = 200;
    direct.topics = job->topics;
    direct.start = job->start;
    direct.start_timestamp_ms = job->start_timestamp_ms;
    direct.on_data_loss = job->on_data_loss;
    direct.max_rate_per_queue = job->max_rate_per_queue;
    direct.max_records_per_batch = job->max_records_per_batch;
    mill_dataset *messages = mill_direct_stream(built.stream, &direct, &err);
    mill_dataset *rows = mill_map(messages, mill_type_int64(), number_of_message, NULL, &err);
    must(mill_write_to(rows, job->sink != NULL ? job->sink : fake_sink(job->table), 0, &err), &err);
    if (job->each_batch != NULL)
        must(mill_foreach_batch(messages, job->each_batch, job->each_batch_ctx, &err), &err);
    return built;
}

running direct_start(const direct_job *job)
{
    running built = direct_build(job);
    rmq_error err = {0};
    must(mill_streaming_start(built.stream, &err), &err);
    return built;
}

rmq_status direct_run(const direct_job *job, rmq_error *err)
{
    running built = direct_build(job);
    rmq_status status = mill_streaming_start(built.stream, err);
    if (status == RMQ_OK)
        status = mill_streaming_await(built.stream, 60000, err);
    job_free(&built);
    return status;
}

void direct_wait_rows(const fake_table *table, size_t count)
{
    for (int i = 0; i < 30000 && fake_table_count(table) < count; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_uint_ge(fake_table_count(table), count);
}

void direct_check_once(const fake_table *table, const direct_topic *topic)
{
    int64_list all = fake_table_rows(table);
    int64_list rows = {.values = malloc(all.count * sizeof(int64_t) + 1), .count = all.count};
    if (all.count > 0)
        memcpy(rows.values, all.values, all.count * sizeof(int64_t));
    sort_int64(rows);
    size_t at = 0;
    for (int64_t q = 0; q < DIRECT_MAX_QUEUES; q++) {
        for (int64_t n = topic->from[q]; n < topic->sent[q]; n++, at++) {
            int64_t wanted = fake_number(q, n);
            if (at >= rows.count || rows.values[at] != wanted)
                ck_abort_msg("queue %d, message %d: %s", (int)q, (int)n,
                             at < rows.count && rows.values[at] < wanted ? "twice, or not sent"
                                                                         : "missing");
        }
    }
    ck_assert_uint_eq(rows.count, at);
    free(rows.values);
}
