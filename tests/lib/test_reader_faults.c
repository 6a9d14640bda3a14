/* Readers and what can go wrong: needs a development broker. */
#include "../support/test_broker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PULL_MESSAGE 11
#define N_MESSAGES 3000

static test_broker broker;
static rmq_queue queue;
static rmq_error err;

static void set_up(void)
{
    memset(&err, 0, sizeof(err));
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.long_poll_check_ms = 100;
    test_broker_start_dev(&broker, &config);
    char *topic = test_broker_topic(&broker, 1);
    queue = (rmq_queue){topic, test_broker_name(&broker, topic), 0};
}

static void tear_down(void)
{
    free((char *)queue.topic);
    free((char *)queue.broker_name);
    test_broker_stop(&broker);
}

static rmq_reader *open_reader_of(rmq_client *client, int64_t start, int64_t end)
{
    rmq_reader *reader = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.start_offset = start;
    config.end_offset = end;
    ck_ok(rmq_reader_open(client, &config, &reader, &err), &err);
    return reader;
}

static rmq_reader *open_reader(int64_t start, int64_t end)
{
    return open_reader_of(broker.client, start, end);
}

/* For tests that count pulls: one that is asked for twice since the machine is slow spoils it. */
static rmq_reader *open_patient_reader(int64_t start, int64_t end)
{
    return open_reader_of(broker.filler, start, end);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static rmq_status next_status(rmq_reader *reader, int64_t timeout_ms)
{
    rmq_batch *batch = NULL;
    rmq_status status = rmq_reader_next(reader, timeout_ms, &batch, &err);
    if (status == RMQ_OK)
        rmq_batch_unref(batch);
    return status;
}

static void expect_range(rmq_reader *reader, int64_t start, int64_t end)
{
    rmq_status status;
    int64_t n = test_reader_expect(reader, start, end - start, 100, 30000, &status);
    ck_assert_msg(n == end - start, "%lld of %lld messages, then %s", (long long)n,
                  (long long)(end - start), rmq_status_name(status));
}

/* ---- faults that a reader gets over ---- */

typedef struct fault_case {
    const char *name;
    rmq_fault_action action;
    int32_t skip;
    int32_t times;
    uint32_t percent;
    int64_t number; /* delay, bytes, code or bit, by action */
} fault_case;

static const fault_case fault_cases[] = {
    {"each answer 2 ms late", RMQ_FAULT_DELAY, 0, 0, 0, 2},
    {"some answers late", RMQ_FAULT_DELAY, 0, 0, 20, 30},
    {"an answer lost", RMQ_FAULT_DROP, 7, 1, 0, 0},
    {"the first request lost", RMQ_FAULT_IGNORE, 0, 1, 0, 0},
    {"cut in the length", RMQ_FAULT_CUT, 5, 1, 0, 2},
    {"cut in the header", RMQ_FAULT_CUT, 5, 3, 0, 40},
    {"cut in the body", RMQ_FAULT_CUT, 5, 2, 0, 3000},
    {"closed at the first", RMQ_FAULT_CLOSE, 0, 1, 0, 0},
    {"closed now and then", RMQ_FAULT_CLOSE, 3, 4, 0, 0},
    {"answered twice", RMQ_FAULT_REPEAT, 4, 3, 0, 0},
    {"out of order", RMQ_FAULT_REORDER, 2, 5, 0, 0},
    {"busy", RMQ_FAULT_CODE, 2, 5, 0, 2},
    {"exception", RMQ_FAULT_CODE, 2, 3, 0, 1},
    {"flow control", RMQ_FAULT_CODE, 0, 3, 0, 215},
    {"no such topic for a moment", RMQ_FAULT_CODE, 0, 2, 0, 17},
    {"no such group for a moment", RMQ_FAULT_CODE, 3, 2, 0, 26},
    {"nothing there for a moment", RMQ_FAULT_CODE, 3, 2, 0, 19},
    {"no match, not moving", RMQ_FAULT_CODE, 3, 2, 0, 20},
    {"silence", RMQ_FAULT_STALL, 10, 1, 0, 0},
    {"restart", RMQ_FAULT_RESTART, 10, 1, 0, 100}, /* the last one: see below */
};

static int32_t add_fault(const fault_case *what)
{
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = PULL_MESSAGE;
    rule.skip = what->skip;
    rule.times = what->times;
    rule.percent = what->percent;
    rule.action = what->action;
    rule.seed = 7;
    if (what->action == RMQ_FAULT_DELAY || what->action == RMQ_FAULT_RESTART)
        rule.delay_ms = what->number;
    else if (what->action == RMQ_FAULT_CUT)
        rule.cut_bytes = what->number;
    else if (what->action == RMQ_FAULT_CODE)
        rule.response_code = (int32_t)what->number;
    else if (what->action == RMQ_FAULT_CORRUPT)
        rule.corrupt_bit = what->number;
    int32_t id = 0;
    ck_ok(rmq_devbroker_add_fault(broker.dev, &rule, &id, &err), &err);
    return id;
}

START_TEST(faults_cost_time_but_no_message)
{
    const fault_case *what = &fault_cases[_i];
    test_broker_fill(&broker, &queue, 0, N_MESSAGES, 100);
    int32_t id = add_fault(what);
    rmq_reader *reader = open_reader(0, N_MESSAGES);
    expect_range(reader, 0, N_MESSAGES);
    ck_status(next_status(reader, 0), RMQ_NOT_FOUND);
    ck_assert_msg(rmq_devbroker_fault_hits(broker.dev, id) > 0, "%s: no hit", what->name);
    char text[100];
    rmq_reader_trouble(reader, text, sizeof(text));
    ck_assert_str_eq(text, ""); /* all is well again */
    rmq_reader_close(reader);
}
END_TEST

/* The same while it waits at the end for what comes. */
START_TEST(faults_do_not_stop_an_endless_reader)
{
    const fault_case *what = &fault_cases[_i];
    add_fault(what);
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.end_offset = RMQ_READ_ENDLESS;
    config.hold_ms = 100; /* a lost answer is missed only when the hold must be over */
    rmq_reader *reader = NULL;
    ck_ok(rmq_reader_open(broker.client, &config, &reader, &err), &err);
    rmq_status status;
    for (int64_t n = 0; n < 1500; n += 500) {
        test_broker_fill(&broker, &queue, n, 500, 100);
        ck_assert_int_eq(test_reader_expect(reader, n, 500, 100, 60000, &status), 500);
    }
    rmq_reader_close(reader);
}
END_TEST

/* One bit of some answers is flipped: anywhere. Every record that comes must still be the right
 * one, since offsets are counted and bodies have checksums. */
START_TEST(flipped_bits_are_found)
{
    test_broker_fill(&broker, &queue, 0, N_MESSAGES, 100);
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = PULL_MESSAGE;
    rule.percent = 5;
    rule.action = RMQ_FAULT_CORRUPT;
    rule.corrupt_bit = -1;
    rule.seed = 1000u + (uint64_t)_i;
    int32_t id = 0;
    ck_ok(rmq_devbroker_add_fault(broker.dev, &rule, &id, &err), &err);
    for (int pass = 0; pass < 3; pass++) {
        rmq_reader *reader = open_reader(0, N_MESSAGES);
        expect_range(reader, 0, N_MESSAGES);
        ck_status(next_status(reader, 0), RMQ_NOT_FOUND);
        rmq_reader_close(reader);
    }
    ck_assert_uint_gt(rmq_devbroker_fault_hits(broker.dev, id), 0);
}
END_TEST

/* Each bit of the header, and of the first record's head. */
START_TEST(flipped_bit_in_a_header)
{
    test_broker_fill(&broker, &queue, 0, 200, 100);
    for (int64_t bit = _i * 64; bit < _i * 64 + 64; bit += 11) {
        rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
        rule.request_code = PULL_MESSAGE;
        rule.times = 1;
        rule.skip = (int32_t)(bit % 3);
        rule.action = RMQ_FAULT_CORRUPT;
        rule.corrupt_bit = bit;
        int32_t id = 0;
        ck_ok(rmq_devbroker_add_fault(broker.dev, &rule, &id, &err), &err);
        rmq_reader *reader = open_reader(0, 200);
        expect_range(reader, 0, 200);
        ck_status(next_status(reader, 0), RMQ_NOT_FOUND);
        ck_assert_uint_eq(rmq_devbroker_fault_hits(broker.dev, id), 1);
        rmq_reader_close(reader);
        rmq_devbroker_clear_faults(broker.dev);
    }
}
END_TEST

/* ---- faults that must be told ---- */

START_TEST(deleted_messages_are_data_loss)
{
    test_broker_fill(&broker, &queue, 0, 1000, 100);
    ck_ok(rmq_devbroker_delete_below(broker.dev, queue.topic, 0, 300, &err), &err);
    rmq_reader *reader = open_reader(100, _i == 0 ? 1000 : RMQ_READ_ENDLESS);
    int64_t start = now_ms();
    ck_status(next_status(reader, 10000), RMQ_DATA_LOSS);
    ck_assert_int_lt(now_ms() - start, 2900); /* a doubt takes 3 s; what is deleted stays deleted */
    rmq_data_loss loss = rmq_reader_loss(reader);
    ck_assert_int_eq(loss.wanted_offset, 100);
    ck_assert_int_eq(loss.min_offset, 300);
    ck_assert_int_eq(loss.max_offset, 1000);
    ck_assert_int_eq(loss.next_offset, 300);
    ck_ok(rmq_reader_seek(reader, loss.next_offset, &err), &err);
    expect_range(reader, 300, 1000);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(deleted_while_reading)
{
    test_broker_fill(&broker, &queue, 0, N_MESSAGES, 100);
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.end_offset = N_MESSAGES;
    config.max_buffered_bytes = 20000; /* so that it can't have read all */
    rmq_reader *reader = NULL;
    ck_ok(rmq_reader_open(broker.client, &config, &reader, &err), &err);
    rmq_status status;
    ck_assert_int_ge(test_reader_expect(reader, 0, 32, 100, 10000, &status), 32);
    ck_ok(rmq_devbroker_delete_below(broker.dev, queue.topic, 0, 2500, &err), &err);
    int64_t position = rmq_reader_position(reader);
    int64_t n = test_reader_expect(reader, position, N_MESSAGES, 100, 10000, &status);
    ck_assert_int_eq(status, RMQ_DATA_LOSS);
    rmq_data_loss loss = rmq_reader_loss(reader);
    ck_assert_int_eq(loss.wanted_offset, position + n);
    ck_assert_int_lt(loss.wanted_offset, 2500);
    ck_assert_int_eq(loss.min_offset, 2500);
    ck_ok(rmq_reader_seek(reader, 2500, &err), &err);
    expect_range(reader, 2500, N_MESSAGES);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(rolled_back_broker_is_data_loss)
{
    test_broker_fill(&broker, &queue, 0, 1000, 100);
    rmq_reader *endless = open_reader(0, RMQ_READ_ENDLESS);
    expect_range(endless, 0, 1000);
    ck_ok(rmq_devbroker_stop(broker.dev, &err), &err);
    ck_ok(rmq_devbroker_delete_from(broker.dev, queue.topic, 0, 600, &err), &err);
    ck_ok(rmq_devbroker_start(broker.dev, &err), &err);
    rmq_reader *late = open_reader(500, 1000);
    ck_status(next_status(endless, 30000), RMQ_DATA_LOSS);
    rmq_data_loss loss = rmq_reader_loss(endless);
    ck_assert_int_eq(loss.wanted_offset, 1000);
    ck_assert_int_eq(loss.max_offset, 600);
    expect_range(late, 500, 600);
    ck_status(next_status(late, 30000), RMQ_DATA_LOSS);
    loss = rmq_reader_loss(late);
    ck_assert_int_eq(loss.wanted_offset, 600);
    ck_assert_int_eq(loss.max_offset, 600);
    rmq_reader_close(late);
    rmq_reader_close(endless);
}
END_TEST

START_TEST(no_permission_is_told_at_once)
{
    rmq_reader *reader = NULL;
    fault_case what = {"", RMQ_FAULT_CODE, 0, 0, 0, 16};
    test_broker_fill(&broker, &queue, 0, 100, 100);
    add_fault(&what);
    reader = open_reader(0, 100);
    ck_status(next_status(reader, 5000), RMQ_AUTH);
    ck_assert_int_eq(err.broker_code, 16);
    ck_status(next_status(reader, 0), RMQ_AUTH);
    rmq_devbroker_clear_faults(broker.dev);
    ck_ok(rmq_reader_seek(reader, 0, &err), &err);
    expect_range(reader, 0, 100);
    rmq_reader_close(reader);
}
END_TEST

/* ---- a broker that is away ---- */

START_TEST(broker_that_comes_late)
{
    char text[200];
    test_broker_fill(&broker, &queue, 0, 100, 100);
    ck_ok(rmq_devbroker_stop(broker.dev, &err), &err);
    rmq_reader *reader = open_reader(0, 100);
    int64_t start = now_ms();
    do {
        ck_status(next_status(reader, 20), RMQ_AGAIN);
        rmq_reader_trouble(reader, text, sizeof(text));
    } while (text[0] == '\0' && now_ms() - start < 10000);
    ck_assert_str_ne(text, "");
    ck_ok(rmq_devbroker_start(broker.dev, &err), &err);
    expect_range(reader, 0, 100);
    rmq_reader_trouble(reader, text, sizeof(text));
    ck_assert_str_eq(text, "");
    rmq_reader_close(reader);
}
END_TEST

START_TEST(name_server_is_not_needed_once_the_route_is_known)
{
    test_broker_fill(&broker, &queue, 0, 1000, 100);
    ck_ok(rmq_devbroker_stop_namesrv(broker.dev, &err), &err);
    fault_case what = {"", RMQ_FAULT_CLOSE, 3, 2, 0, 0};
    add_fault(&what);
    rmq_reader *reader = open_reader(0, 1000);
    expect_range(reader, 0, 1000);
    rmq_reader_close(reader);
    ck_ok(rmq_devbroker_start_namesrv(broker.dev, &err), &err);
}
END_TEST

START_TEST(close_is_quick_when_the_broker_is_silent)
{
    test_broker_fill(&broker, &queue, 0, 1000, 100);
    fault_case what = {"", _i == 0 ? RMQ_FAULT_STALL : RMQ_FAULT_DROP, 0, 0, 0, 0};
    add_fault(&what);
    rmq_reader *reader = open_patient_reader(0, 1000);
    ck_status(next_status(reader, 100), RMQ_AGAIN);
    int64_t start = now_ms();
    if (_i == 1)
        ck_ok(rmq_reader_seek(reader, 5, &err), &err);
    rmq_reader_close(reader);
    ck_assert_int_lt(now_ms() - start, 2500); /* a pull may take 3 s */
}
END_TEST

/* ---- how much is asked for ---- */

static int64_t n_pulls_since(uint64_t before)
{
    return (int64_t)(rmq_devbroker_requests(broker.dev, PULL_MESSAGE) - before);
}

/* Sixteen pulls are under way before the first is answered; and no more of them than are needed. */
START_TEST(reading_ahead_hides_the_round_trip)
{
    test_broker_fill(&broker, &queue, 0, N_MESSAGES, 100);
    fault_case what = {"", RMQ_FAULT_DELAY, 0, 0, 0, 1000};
    add_fault(&what);
    uint64_t before = rmq_devbroker_requests(broker.dev, PULL_MESSAGE);
    rmq_reader *reader = open_patient_reader(0, N_MESSAGES);
    while (n_pulls_since(before) < 16)
        ck_status(next_status(reader, 1), RMQ_AGAIN);
    rmq_devbroker_clear_faults(broker.dev);
    expect_range(reader, 0, N_MESSAGES);
    rmq_reader_close(reader);
    int64_t n_pulls = n_pulls_since(before);
    ck_assert_int_ge(n_pulls, 94); /* 94 answers of 32 */
    ck_assert_int_le(n_pulls, 96);
}
END_TEST

START_TEST(no_pull_is_wasted_at_the_end)
{
    test_broker_fill(&broker, &queue, 0, 320, 100);
    uint64_t before = rmq_devbroker_requests(broker.dev, PULL_MESSAGE);
    rmq_reader *reader = open_patient_reader(0, RMQ_READ_ENDLESS);
    expect_range(reader, 0, 320);
    ck_status(next_status(reader, 50), RMQ_AGAIN);
    rmq_reader_close(reader);
    ck_assert_int_le(n_pulls_since(before), 12); /* ten, a long poll, and little else */
}
END_TEST

/* A broker that hands out less or more than is usual is found out. */
START_TEST(batch_size_is_learnt)
{
    static const int32_t sizes[] = {8, 50, 500};
    int32_t size = sizes[_i];
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.max_pull_messages = size;
    tear_down();
    test_broker_start_dev(&broker, &config);
    char *topic = test_broker_topic(&broker, 1);
    queue = (rmq_queue){topic, test_broker_name(&broker, topic), 0};
    test_broker_fill(&broker, &queue, 0, 10000, 40);
    uint64_t before = rmq_devbroker_requests(broker.dev, PULL_MESSAGE);
    rmq_reader *reader = open_patient_reader(0, 10000);
    rmq_status status;
    ck_assert_int_eq(test_reader_expect(reader, 0, 10000, 40, 10000, &status), 10000);
    rmq_reader_close(reader);
    int64_t n_pulls = n_pulls_since(before);
    int64_t least = 10000 / size;
    ck_assert_int_ge(n_pulls, least);
    ck_assert_msg(n_pulls <= least + 60, "%lld pulls where %lld would do", (long long)n_pulls,
                  (long long)least);
}
END_TEST

/* What takes long stands in a case of its own, which the quick suite leaves out. */
static TCase *slow_cases(int n_faults)
{
    TCase *tcase = tcase_create("slow");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    /* not the restart: it would hit what sends meanwhile */
    tcase_add_loop_test(tcase, faults_do_not_stop_an_endless_reader, 0, n_faults - 1);
    tcase_add_loop_test(tcase, flipped_bits_are_found, 0, 6);
    tcase_add_loop_test(tcase, flipped_bit_in_a_header, 0, 40);
    return tcase;
}

Suite *test_suite(void)
{
    Suite *suite = suite_create("reader_faults");
    TCase *tcase = tcase_create("quick");
    const int n_faults = (int)(sizeof(fault_cases) / sizeof(fault_cases[0]));
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, faults_cost_time_but_no_message, 0, n_faults);
    tcase_add_loop_test(tcase, deleted_messages_are_data_loss, 0, 2);
    tcase_add_test(tcase, deleted_while_reading);
    tcase_add_test(tcase, rolled_back_broker_is_data_loss);
    tcase_add_test(tcase, no_permission_is_told_at_once);
    tcase_add_test(tcase, broker_that_comes_late);
    tcase_add_test(tcase, name_server_is_not_needed_once_the_route_is_known);
    tcase_add_loop_test(tcase, close_is_quick_when_the_broker_is_silent, 0, 2);
    tcase_add_test(tcase, reading_ahead_hides_the_round_trip);
    tcase_add_test(tcase, no_pull_is_wasted_at_the_end);
    tcase_add_loop_test(tcase, batch_size_is_learnt, 0, 3);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, slow_cases(n_faults));
    return suite;
}
