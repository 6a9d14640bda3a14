/* The direct stream when the broker dies, answers wrongly, or has lost what was read or planned. */
#include "direct_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PULL_MESSAGE 11
#define GET_MAX_OFFSET 30
#define UPDATE_CONSUMER_OFFSET 15

static test_broker broker;
static direct_topic topic;
static fake_table *table;
static char *dir;
static rmq_error err;

static void setup(void)
{
    dir = temp_dir_make();
    table = fake_table_new();
    memset(&err, 0, sizeof(err));
    test_broker_start_dev(&broker, NULL);
    direct_topic_make(&topic, &broker, 2);
}

static void teardown(void)
{
    direct_topic_free(&topic);
    test_broker_stop(&broker);
    fake_table_free(table);
    temp_dir_remove(dir);
}

static direct_job make_job(mill_trigger trigger)
{
    return (direct_job){.dir = dir,
                        .namesrv = broker.namesrv,
                        .topics = topic.topic,
                        .table = table,
                        .trigger = trigger};
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static void end_job(running *built)
{
    mill_streaming_stop(built->stream, true);
    must(mill_streaming_await(built->stream, 30000, &err), &err);
    job_free(built);
}

static void add_fault(rmq_fault_rule rule)
{
    int32_t id;
    must(rmq_devbroker_add_fault(broker.dev, &rule, &id, &err), &err);
}

static rmq_fault_rule fault(int32_t code, rmq_fault_action action, int32_t times)
{
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = code;
    rule.action = action;
    rule.times = times;
    return rule;
}

/* ---- the broker is away for a while ---- */

START_TEST(broker_restarts)
{
    direct_send_all(&topic, 2, 50);
    direct_job job = make_job(MILL_TRIGGER_CONTINUAL);
    running built = direct_start(&job);
    direct_wait_rows(table, 100);
    must(rmq_devbroker_stop(broker.dev, &err), &err);
    ck_status(mill_streaming_await(built.stream, 300, &err), RMQ_TIMEOUT);
    must(rmq_devbroker_start(broker.dev, &err), &err);
    direct_send_all(&topic, 2, 50);
    direct_wait_rows(table, 200);
    end_job(&built);
    direct_check_once(table, &topic);
}
END_TEST

/* It dies in the middle of a batch: pulls are not answered any more. */
static running hang_in_a_read(mill_trigger trigger)
{
    direct_send_all(&topic, 2, 50);
    direct_job job = make_job(trigger);
    add_fault(fault(PULL_MESSAGE, RMQ_FAULT_IGNORE, 0));
    running built = direct_start(&job);
    while (rmq_devbroker_requests(broker.dev, PULL_MESSAGE) == 0)
        nap();
    return built;
}

START_TEST(broker_dies_in_a_read)
{
    running built = hang_in_a_read(MILL_TRIGGER_AVAILABLE_NOW);
    must(rmq_devbroker_stop(broker.dev, &err), &err);
    ck_status(mill_streaming_await(built.stream, 100, &err), RMQ_TIMEOUT);
    rmq_devbroker_clear_faults(broker.dev);
    must(rmq_devbroker_start(broker.dev, &err), &err);
    must(mill_streaming_await(built.stream, 50000, &err), &err);
    job_free(&built);
    direct_check_once(table, &topic);
}
END_TEST

START_TEST(stop_while_a_read_hangs)
{
    bool graceful = _i == 0;
    running built = hang_in_a_read(MILL_TRIGGER_CONTINUAL);
    int64_t began_ms = now_ms();
    mill_streaming_stop(built.stream, graceful);
    must(mill_streaming_await(built.stream, 20000, &err), &err);
    ck_assert_int_lt(now_ms() - began_ms, graceful ? 12000 : 3000);
    job_free(&built);
    ck_assert_uint_eq(fake_table_count(table), 0);
    rmq_devbroker_clear_faults(broker.dev);
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

START_TEST(name_server_is_lost)
{
    direct_send_all(&topic, 2, 10);
    direct_job job = make_job(MILL_TRIGGER_CONTINUAL);
    running built = direct_start(&job);
    direct_wait_rows(table, 20);
    must(rmq_devbroker_stop_namesrv(broker.dev, &err), &err);
    for (size_t i = 1; i <= 5; i++) {
        direct_send_all(&topic, 2, 10);
        direct_wait_rows(table, 20 + i * 20);
        ck_status(mill_streaming_await(built.stream, 300, &err), RMQ_TIMEOUT);
    }
    must(rmq_devbroker_start_namesrv(broker.dev, &err), &err);
    end_job(&built);
    direct_check_once(table, &topic);
}
END_TEST

/* The offsets that tools see are best effort: a broker that never answers them delays nothing. */
START_TEST(unanswered_reports_delay_nothing)
{
    add_fault(fault(UPDATE_CONSUMER_OFFSET, RMQ_FAULT_IGNORE, 0));
    direct_job job = make_job(MILL_TRIGGER_CONTINUAL);
    running built = direct_start(&job);
    int64_t began_ms = now_ms();
    for (size_t i = 1; i <= 10; i++) {
        direct_send(&topic, 0, 5);
        direct_wait_rows(table, i * 5);
    }
    end_job(&built);
    ck_assert_int_lt(now_ms() - began_ms, 8000);
    direct_check_once(table, &topic);
}
END_TEST

static const struct {
    rmq_fault_action action;
    int32_t times;
} bad_answers[] = {{RMQ_FAULT_DROP, 2},   {RMQ_FAULT_IGNORE, 2}, {RMQ_FAULT_CUT, 3},
                   {RMQ_FAULT_CLOSE, 3},  {RMQ_FAULT_REPEAT, 4}, {RMQ_FAULT_REORDER, 6},
                   {RMQ_FAULT_RESTART, 1}};

START_TEST(bad_answers_to_pulls)
{
    rmq_fault_rule rule = fault(PULL_MESSAGE, bad_answers[_i].action, bad_answers[_i].times);
    rule.skip = 1;
    rule.cut_bytes = 60;
    rule.delay_ms = 50;
    add_fault(rule);
    direct_send_all(&topic, 2, 200);
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

START_TEST(ends_that_are_not_told)
{
    direct_send_all(&topic, 2, 20);
    add_fault(fault(GET_MAX_OFFSET, bad_answers[_i].action, bad_answers[_i].times));
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

/* ---- lost data ---- */

typedef struct told {
    uint64_t lost;
    int count;
} told;

static void tell(const mill_progress *progress, void *ctx)
{
    told *all = ctx;
    all->lost += progress->lost;
    all->count++;
}

static direct_job skipping_job(told *progress)
{
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    job.on_data_loss = MILL_DATA_LOSS_SKIP;
    job.on_progress = tell;
    job.on_progress_ctx = progress;
    return job;
}

static void delete_below(int32_t queue_id, int64_t offset)
{
    must(rmq_devbroker_delete_below(broker.dev, topic.topic, queue_id, offset, &err), &err);
}

static void delete_from(int32_t queue_id, int64_t offset)
{
    must(rmq_devbroker_delete_from(broker.dev, topic.topic, queue_id, offset, &err), &err);
}

static void expect_loss(const char *text)
{
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    size_t before = fake_table_count(table);
    rmq_status status = direct_run(&job, &err);
    ck_assert_msg(status == RMQ_DATA_LOSS, "%s: %s", rmq_status_name(status), err.text);
    char queue[300];
    snprintf(queue, sizeof(queue), "queue %s/%s/1: wanted offset %s", topic.topic,
             topic.broker_name, text);
    ck_assert_msg(strstr(err.text, queue) != NULL, "%s", err.text);
    ck_assert_uint_eq(fake_table_count(table), before);
}

static int count_loss_records(void)
{
    int count = 0;
    for (int n = 1; n < 10; n++) {
        for (int k = 1; k < 4; k++) {
            char path[512];
            snprintf(path, sizeof(path), "%s/loss/%d.%d", dir, n, k);
            count += access(path, F_OK) == 0;
        }
    }
    return count;
}

START_TEST(deleted_by_retention)
{
    direct_send_all(&topic, 2, 20);
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    must(direct_run(&job, &err), &err);
    direct_send_all(&topic, 2, 30);
    delete_below(1, 27);
    expect_loss("20, available are 27 to 50");
    told progress = {0};
    job = skipping_job(&progress);
    must(direct_run(&job, &err), &err);
    ck_assert_uint_eq(progress.lost, 7);
    ck_assert_int_eq(count_loss_records(), 1);
    ck_assert_uint_eq(fake_table_count(table), 100 - 7);
    direct_send_all(&topic, 2, 5);
    must(direct_run(&job, &err), &err);
    ck_assert_uint_eq(progress.lost, 7);
    ck_assert_uint_eq(fake_table_count(table), 110 - 7);
}
END_TEST

/* The record before the position is gone, but nothing that is wanted: no loss. */
START_TEST(deleted_up_to_the_position)
{
    direct_send_all(&topic, 2, 20);
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    must(direct_run(&job, &err), &err);
    direct_send_all(&topic, 2, 30);
    delete_below(1, 20);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

START_TEST(all_is_deleted)
{
    direct_send_all(&topic, 2, 20);
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    must(direct_run(&job, &err), &err);
    direct_send(&topic, 1, 30);
    delete_below(1, 50);
    expect_loss("20, available are 50 to 50");
    told progress = {0};
    job = skipping_job(&progress);
    must(direct_run(&job, &err), &err);
    ck_assert_uint_eq(progress.lost, 30);
    direct_send(&topic, 1, 4);
    must(direct_run(&job, &err), &err);
    ck_assert_uint_eq(fake_table_count(table), 44);
}
END_TEST

/* The broker forgot what it had acknowledged: its end lies before our position. */
START_TEST(rolled_back)
{
    direct_send_all(&topic, 2, 20);
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    must(direct_run(&job, &err), &err);
    delete_from(1, 12);
    expect_loss("20, available are 0 to 12");
    told progress = {0};
    job = skipping_job(&progress);
    must(direct_run(&job, &err), &err);
    ck_assert_uint_eq(fake_table_count(table), 40);
    /* What comes now has offsets that were read before, and is new all the same. */
    direct_send(&topic, 1, 10);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

/* The same, but before anyone looked the queue has grown past our position: only the record that
 * was read last tells. */
START_TEST(rolled_back_and_grown)
{
    direct_send_all(&topic, 2, 20);
    direct_job job = make_job(MILL_TRIGGER_AVAILABLE_NOW);
    must(direct_run(&job, &err), &err);
    delete_from(1, 12);
    int64_t last_ms = rmq_clock_wall_ms();
    while (rmq_clock_wall_ms() <= last_ms + 1)
        nap();
    direct_send(&topic, 1, 30);
    expect_loss("19, available are 0 to 42");
    told progress = {0};
    job = skipping_job(&progress);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    ck_assert_int_eq(count_loss_records(), 1);
    direct_send_all(&topic, 2, 3);
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
}
END_TEST

/* A batch is planned, then its records are lost, then it runs. */
START_TEST(lost_after_the_plan)
{
    running built = hang_in_a_read(MILL_TRIGGER_CONTINUAL);
    mill_streaming_stop(built.stream, false);
    must(mill_streaming_await(built.stream, 20000, &err), &err);
    job_free(&built);
    rmq_devbroker_clear_faults(broker.dev);
    if (_i == 0) {
        delete_below(1, 15);
        expect_loss("0, available are 15 to 50");
    } else {
        delete_from(1, 15);
        expect_loss(_i == 1 ? "15, available are 0 to 15" : "");
    }
    told progress = {0};
    direct_job job = skipping_job(&progress);
    must(direct_run(&job, &err), &err);
    ck_assert_int_eq(count_loss_records(), 1);
    ck_assert_uint_eq(progress.lost, _i == 0 ? 15 : 0);
    topic.from[1] = _i == 0 ? 15 : 0;
    if (_i != 0)
        topic.sent[1] = 15;
    direct_check_once(table, &topic);
}
END_TEST

Suite *test_suite(void)
{
    use_memory_for_temp_dirs();
    Suite *suite = suite_create("direct_faults");
    TCase *tc = tcase_create("direct_faults");
    tcase_set_timeout(tc, 90);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, broker_restarts);
    tcase_add_test(tc, broker_dies_in_a_read);
    tcase_add_loop_test(tc, stop_while_a_read_hangs, 0, 2);
    tcase_add_test(tc, name_server_is_lost);
    tcase_add_test(tc, unanswered_reports_delay_nothing);
    int n_answers = (int)(sizeof(bad_answers) / sizeof(bad_answers[0]));
    tcase_add_loop_test(tc, bad_answers_to_pulls, 0, n_answers);
    tcase_add_loop_test(tc, ends_that_are_not_told, 0, n_answers);
    tcase_add_test(tc, deleted_by_retention);
    tcase_add_test(tc, deleted_up_to_the_position);
    tcase_add_test(tc, all_is_deleted);
    tcase_add_test(tc, rolled_back);
    tcase_add_test(tc, rolled_back_and_grown);
    tcase_add_loop_test(tc, lost_after_the_plan, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
