/* The direct stream, on any broker: where it starts, what it reads, how it goes on, what it tells.
 */
#include "direct_support.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rmq/admin.h>

static test_broker broker;
static direct_topic topic;
static fake_table *table;
static char *dir;

static void setup(void)
{
    dir = temp_dir_make();
    table = fake_table_new();
    test_broker_start(&broker);
    direct_topic_make(&topic, &broker, 3);
}

static void teardown(void)
{
    direct_topic_free(&topic);
    test_broker_stop(&broker);
    fake_table_free(table);
    temp_dir_remove(dir);
}

static direct_job job_to_the_end(void)
{
    return (direct_job){.dir = dir,
                        .namesrv = broker.namesrv,
                        .topics = topic.topic,
                        .table = table,
                        .trigger = MILL_TRIGGER_AVAILABLE_NOW};
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

typedef struct told {
    int count;
    uint64_t most_rows;
    uint64_t input_rows;
} told;

static void tell(const mill_progress *progress, void *ctx)
{
    told *all = ctx;
    all->count++;
    all->input_rows += progress->input_rows;
    if (progress->input_rows > all->most_rows)
        all->most_rows = progress->input_rows;
}

START_TEST(reads_all_and_goes_on)
{
    direct_send_all(&topic, 3, 150);
    direct_job job = job_to_the_end();
    rmq_error err = {0};
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    direct_send(&topic, 1, 70);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    char run[MILL_RUN_NAME_BYTES];
    ck_assert_int_eq(fake_table_last(table, run), 2);
}
END_TEST

START_TEST(limits_of_a_batch)
{
    direct_send(&topic, 0, 300);
    direct_send(&topic, 1, 100);
    told progress = {0};
    direct_job job = job_to_the_end();
    job.max_records_per_batch = 100;
    job.on_progress = tell;
    job.on_progress_ctx = &progress;
    rmq_error err = {0};
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    ck_assert_int_eq(progress.count, 4);
    ck_assert_uint_eq(progress.most_rows, 100);
    ck_assert_uint_eq(progress.input_rows, 400);
}
END_TEST

START_TEST(rate_of_a_queue)
{
    direct_send_all(&topic, 3, 30);
    told progress = {0};
    direct_job job = job_to_the_end();
    job.trigger = MILL_TRIGGER_INTERVAL;
    job.interval_ms = 100;
    job.max_rate_per_queue = 100; /* 10 a batch */
    job.on_progress = tell;
    job.on_progress_ctx = &progress;
    running built = direct_start(&job);
    direct_wait_rows(table, 90);
    job_free(&built);
    direct_check_once(table, &topic);
    ck_assert_int_eq(progress.count, 3);
    ck_assert_uint_eq(progress.most_rows, 30);
}
END_TEST

START_TEST(continual_follows_the_topic)
{
    direct_job job = job_to_the_end();
    job.trigger = MILL_TRIGGER_CONTINUAL;
    running built = direct_start(&job);
    size_t sent = 0;
    for (int i = 0; i < 5; i++) {
        direct_send(&topic, i % 3, 20);
        sent += 20;
        direct_wait_rows(table, sent);
    }
    mill_streaming_stop(built.stream, true);
    rmq_error err = {0};
    must(mill_streaming_await(built.stream, 20000, &err), &err);
    job_free(&built);
    direct_check_once(table, &topic);
}
END_TEST

/* ---- where it starts ---- */

START_TEST(latest)
{
    direct_send_all(&topic, 3, 40);
    direct_job job = job_to_the_end();
    job.start = MILL_START_LATEST;
    rmq_error err = {0};
    must(direct_run(&job, &err), &err);
    ck_assert_uint_eq(fake_table_count(table), 0);
    /* The first start counts, although it had no batch: "latest" doesn't move on. */
    for (int q = 0; q < 3; q++)
        topic.from[q] = topic.sent[q];
    direct_send_all(&topic, 3, 10);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

START_TEST(timestamp)
{
    direct_send_all(&topic, 3, 40);
    for (int q = 0; q < 3; q++)
        topic.from[q] = topic.sent[q];
    int64_t now_ms = rmq_clock_wall_ms();
    while (rmq_clock_wall_ms() <= now_ms + 1)
        nap();
    direct_send_all(&topic, 3, 10);
    direct_job job = job_to_the_end();
    job.start = MILL_START_TIMESTAMP;
    job.start_timestamp_ms = now_ms + 1;
    rmq_error err = {0};
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

START_TEST(group_offsets)
{
    direct_send_all(&topic, 3, 40);
    rmq_queue queue = direct_queue(&topic, 1);
    rmq_error err = {0};
    must(rmq_group_offset_commit(broker.client, "directjob", &queue, 25, &err), &err);
    topic.from[1] = 25; /* the others, where nothing was committed, from their first message */
    direct_job job = job_to_the_end();
    job.start = MILL_START_GROUP;
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    /* Later the checkpoint alone counts. */
    must(rmq_group_offset_commit(broker.client, "directjob", &queue, 3, &err), &err);
    direct_send_all(&topic, 3, 1);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

START_TEST(group_offsets_are_told)
{
    direct_send_all(&topic, 3, 40);
    direct_job job = job_to_the_end();
    rmq_error err = {0};
    must(direct_run(&job, &err), &err);
    for (int32_t q = 0; q < 3; q++) {
        rmq_queue queue = direct_queue(&topic, q);
        int64_t offset = -1;
        must(rmq_group_offset(broker.client, "directjob", &queue, &offset, &err), &err);
        ck_assert_int_eq(offset, 40);
    }
}
END_TEST

START_TEST(new_queues_begin_at_their_first_message)
{
    direct_send_all(&topic, 3, 5);
    direct_job job = job_to_the_end();
    job.start = MILL_START_LATEST;
    job.trigger = MILL_TRIGGER_CONTINUAL;
    running built = direct_start(&job);
    for (int q = 0; q < 3; q++)
        topic.from[q] = topic.sent[q];
    rmq_topic_config more = RMQ_TOPIC_CONFIG_INIT;
    more.topic = topic.topic;
    more.read_queues = more.write_queues = 5;
    rmq_error err = {0};
    must(rmq_topic_create(broker.client, &more, &err), &err);
    direct_send_all(&topic, 5, 20);
    direct_wait_rows(table, 100);
    job_free(&built);
    direct_check_once(table, &topic);
}
END_TEST

/* ---- batches ---- */

typedef struct seen {
    int64_t next[DIRECT_MAX_QUEUES];
    int64_t rows;
} seen;

static rmq_status see_ranges(const mill_batch *batch, mill_dataset *rows, void *ctx, rmq_error *err)
{
    seen *all = ctx;
    size_t count = 0;
    const mill_offset_range *ranges = mill_batch_offset_ranges(batch, &count);
    int64_t wanted = 0;
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(ranges[i].source, "direct");
        ck_assert_str_eq(ranges[i].topic, topic.topic);
        ck_assert_str_eq(ranges[i].broker_name, topic.broker_name);
        ck_assert_int_eq(ranges[i].start_offset, all->next[ranges[i].queue_id]);
        all->next[ranges[i].queue_id] = ranges[i].end_offset;
        wanted += ranges[i].end_offset - ranges[i].start_offset;
    }
    uint64_t n_rows = 0;
    rmq_status status = mill_count(rows, &n_rows, err);
    ck_assert_uint_eq(n_rows, (uint64_t)wanted);
    all->rows += wanted;
    return status;
}

START_TEST(ranges_of_a_batch)
{
    direct_send_all(&topic, 3, 50);
    seen all = {0};
    direct_job job = job_to_the_end();
    job.max_records_per_batch = 60;
    job.each_batch = see_ranges;
    job.each_batch_ctx = &all;
    rmq_error err = {0};
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    ck_assert_int_eq(all.rows, 150);
    for (int q = 0; q < 3; q++)
        ck_assert_int_eq(all.next[q], 50);
}
END_TEST

START_TEST(several_topics)
{
    direct_topic second;
    direct_topic_make(&second, &broker, 2);
    direct_send_all(&topic, 3, 20);
    direct_send_all(&second, 2, 30);
    char topics[512];
    snprintf(topics, sizeof(topics), "%s, %s", topic.topic, second.topic);
    direct_job job = job_to_the_end();
    job.topics = topics;
    rmq_error err = {0};
    must(direct_run(&job, &err), &err);
    ck_assert_uint_eq(fake_table_count(table), 3 * 20 + 2 * 30);
    must(direct_run(&job, &err), &err);
    ck_assert_uint_eq(fake_table_count(table), 3 * 20 + 2 * 30);
    direct_topic_free(&second);
}
END_TEST

/* ---- what can't start ---- */

START_TEST(missing_topic)
{
    direct_job job = job_to_the_end();
    job.topics = "no_such_topic_anywhere";
    rmq_error err = {0};
    rmq_status status = direct_run(&job, &err);
    ck_assert_msg(status == RMQ_NOT_FOUND, "%s: %s", rmq_status_name(status), err.text);
    ck_assert_msg(strstr(err.text, "no_such_topic_anywhere") != NULL, "%s", err.text);
}
END_TEST

START_TEST(wrong_address)
{
    direct_job job = job_to_the_end();
    job.namesrv = "127.0.0.1:1";
    rmq_error err = {0};
    rmq_status status = direct_run(&job, &err);
    ck_assert_msg(status == RMQ_IO || status == RMQ_TIMEOUT, "%s: %s", rmq_status_name(status),
                  err.text);
    ck_assert_msg(strstr(err.text, "127.0.0.1:1") != NULL, "%s", err.text);
    /* It must not have taken the checkpoint from anyone: no epoch. */
    char path[512];
    snprintf(path, sizeof(path), "%s/epoch/1", dir);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* A name server that takes one connection and says nothing; then the stream is stopped. */
typedef struct silence {
    int listener;
    char address[64];
    mill_streaming_context *stream;
} silence;

static void silence_listen(silence *self)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(self->listener, (struct sockaddr *)&any, len), 0);
    ck_assert_int_eq(listen(self->listener, 8), 0);
    ck_assert_int_eq(getsockname(self->listener, (struct sockaddr *)&any, &len), 0);
    snprintf(self->address, sizeof(self->address), "127.0.0.1:%d", ntohs(any.sin_port));
}

static void *stop_when_asked(void *ctx)
{
    silence *self = ctx;
    char first;
    int link = accept(self->listener, NULL, NULL);
    if (link >= 0 && recv(link, &first, 1, 0) == 1)
        mill_streaming_stop(self->stream, true);
    return (void *)(intptr_t)link;
}

/* 0: stopped while it asks a name server that doesn't answer; 1: stopped before. */
START_TEST(stopped_while_it_starts)
{
    silence server;
    direct_job job = job_to_the_end();
    rmq_error err = {0};
    silence_listen(&server);
    job.namesrv = server.address;
    running run = direct_build(&job);
    server.stream = run.stream;
    pthread_t stopper;
    if (_i == 1)
        mill_streaming_stop(run.stream, true);
    else
        ck_assert_int_eq(pthread_create(&stopper, NULL, stop_when_asked, &server), 0);
    int64_t begun_ms = rmq_clock_monotonic_ns() / 1000000;
    rmq_status status = mill_streaming_start(run.stream, &err);
    int64_t took_ms = rmq_clock_monotonic_ns() / 1000000 - begun_ms;
    ck_assert_msg(status == RMQ_CANCELLED, "%s: %s", rmq_status_name(status), err.text);
    ck_assert_msg(took_ms < 2000, "loop %d: it took %lld ms", _i, (long long)took_ms);
    ck_assert_int_eq(mill_streaming_await(run.stream, 0, &err), RMQ_CANCELLED);
    if (_i == 0) {
        void *link;
        pthread_join(stopper, &link);
        close((int)(intptr_t)link);
    }
    close(server.listener);
    job_free(&run);
}
END_TEST

START_TEST(bad_configs)
{
    mill_context *context = context_make(1, 0);
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    config.name = "x";
    config.checkpoint = dir;
    mill_streaming_context *stream = NULL;
    rmq_error err = {0};
    must(mill_streaming_context_new(context, &config, &stream, &err), &err);
    mill_direct_config direct = MILL_DIRECT_CONFIG_INIT;
    ck_assert_ptr_null(mill_direct_stream(stream, &direct, &err));
    ck_assert_int_eq(err.status, RMQ_INVAL);
    direct.topics = " , ";
    ck_assert_ptr_null(mill_direct_stream(stream, &direct, &err));
    ck_assert_int_eq(err.status, RMQ_INVAL);
    direct.topics = "T";
    direct.max_rate_per_queue = -1;
    ck_assert_ptr_null(mill_direct_stream(stream, &direct, &err));
    ck_assert_int_eq(err.status, RMQ_INVAL);
    direct.max_rate_per_queue = 0;
    direct.start = (mill_start)9;
    ck_assert_ptr_null(mill_direct_stream(stream, &direct, &err));
    ck_assert_int_eq(err.status, RMQ_INVAL);
    direct.start = MILL_START_EARLIEST;
    direct.client.struct_size = 0;
    ck_assert_ptr_nonnull(mill_direct_stream(stream, &direct, &err));
    ck_assert_ptr_null(mill_direct_stream(stream, &direct, &err)); /* the same name */
    ck_assert_ptr_null(mill_direct_stream(stream, NULL, &err));
    mill_streaming_context_free(stream);
    mill_context_free(context);
}
END_TEST

Suite *test_suite(void)
{
    use_memory_for_temp_dirs();
    Suite *suite = suite_create("direct");
    TCase *tc = tcase_create("direct");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, reads_all_and_goes_on);
    tcase_add_test(tc, limits_of_a_batch);
    tcase_add_test(tc, rate_of_a_queue);
    tcase_add_test(tc, continual_follows_the_topic);
    tcase_add_test(tc, latest);
    tcase_add_test(tc, timestamp);
    tcase_add_test(tc, group_offsets);
    tcase_add_test(tc, group_offsets_are_told);
    tcase_add_test(tc, new_queues_begin_at_their_first_message);
    tcase_add_test(tc, ranges_of_a_batch);
    tcase_add_test(tc, several_topics);
    tcase_add_test(tc, missing_topic);
    tcase_add_test(tc, wrong_address);
    tcase_add_loop_test(tc, stopped_while_it_starts, 0, 2);
    tcase_add_test(tc, bad_configs);
    suite_add_tcase(suite, tc);
    return suite;
}
