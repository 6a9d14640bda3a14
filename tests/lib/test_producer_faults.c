/* Producers and what can go wrong: needs a development broker. */
#include "../support/test_broker.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEND_MESSAGE_V2 310
#define ROUTE 105
#define SEND_TIMEOUT_MS 800 /* each lost answer costs it; a loaded machine must answer within */

static test_broker broker;
static char *topic;
static rmq_queue queue;
static rmq_error err;
static rmq_producer *producer;

static void set_up(void)
{
    memset(&err, 0, sizeof(err));
    test_broker_start_dev(&broker, NULL);
    topic = test_broker_topic(&broker, 1);
    queue = (rmq_queue){topic, test_broker_name(&broker, topic), 0};
    producer = NULL;
}

static void tear_down(void)
{
    rmq_producer_free(producer);
    free((char *)queue.broker_name);
    free(topic);
    test_broker_stop(&broker);
}

static void make_producer(int32_t max_retries)
{
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    config.max_retries = max_retries;
    config.send_timeout_ms = SEND_TIMEOUT_MS;
    ck_ok(rmq_producer_new(broker.client, &config, &producer, &err), &err);
}

static int32_t add_fault(rmq_fault_action action, int32_t times, int64_t number)
{
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = SEND_MESSAGE_V2;
    rule.times = times;
    rule.action = action;
    rule.delay_ms = action == RMQ_FAULT_DELAY || action == RMQ_FAULT_RESTART ? number : 0;
    rule.response_code = action == RMQ_FAULT_CODE ? (int32_t)number : 0;
    rule.cut_bytes = action == RMQ_FAULT_CUT ? number : 0;
    int32_t id = 0;
    ck_ok(rmq_devbroker_add_fault(broker.dev, &rule, &id, &err), &err);
    return id;
}

static rmq_status send_one(rmq_send_result *out_result)
{
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    message.topic = topic;
    message.body = RMQ_SLICE_LITERAL("x");
    return rmq_producer_send(producer, &message, out_result, &err);
}

static int64_t n_stored(void)
{
    int64_t max = -1;
    ck_ok(rmq_queue_max_offset(broker.filler, &queue, &max, &err), &err);
    return max;
}

typedef struct send_case {
    const char *name;
    rmq_fault_action action;
    int64_t number;
    int32_t times;
    int32_t max_retries;
    rmq_status status;
    int32_t n_hits;
    int32_t n_stored;
} send_case;

static const send_case send_cases[] = {
    /* said to be not stored: tried again */
    {"busy", RMQ_FAULT_CODE, 2, 2, 0, RMQ_OK, 2, 1},
    {"busy too long", RMQ_FAULT_CODE, 2, 0, 0, RMQ_BROKER, 3, 0},
    {"busy, no retries", RMQ_FAULT_CODE, 2, 0, -1, RMQ_BROKER, 1, 0},
    {"shutting down", RMQ_FAULT_CODE, 14, 1, 0, RMQ_OK, 1, 1},
    {"no topic for a moment", RMQ_FAULT_CODE, 17, 1, 0, RMQ_OK, 1, 1},
    {"going away", RMQ_FAULT_CODE, 1500, 1, 0, RMQ_OK, 1, 1},
    {"flow control", RMQ_FAULT_CODE, 215, 1, 0, RMQ_OK, 1, 1},
    /* not tried again */
    {"exception", RMQ_FAULT_CODE, 1, 1, 0, RMQ_BROKER, 1, 0},
    {"illegal", RMQ_FAULT_CODE, 13, 1, 0, RMQ_INVAL, 1, 0},
    {"no permission", RMQ_FAULT_CODE, 16, 1, 0, RMQ_AUTH, 1, 0},
    {"unknown code", RMQ_FAULT_CODE, 4711, 1, 0, RMQ_BROKER, 1, 0},
    /* stored, less durable than wished; but this one does not say where */
    {"flush timeout, no place", RMQ_FAULT_CODE, 10, 1, 0, RMQ_PROTO, 1, 0},
    /* nothing is known of the first try: a repeat may store twice */
    {"answer lost", RMQ_FAULT_DROP, 0, 1, 0, RMQ_OK, 1, 2},
    {"answer lost, no retries", RMQ_FAULT_DROP, 0, 1, -1, RMQ_TIMEOUT, 1, 1},
    {"answer too late", RMQ_FAULT_DELAY, 2 * SEND_TIMEOUT_MS, 1, 0, RMQ_OK, 1, 2},
    {"closed before it was stored", RMQ_FAULT_CLOSE, 0, 1, 0, RMQ_OK, 1, -1},
    {"closed, no retries", RMQ_FAULT_CLOSE, 0, 1, -1, RMQ_TIMEOUT, 1, -1},
    {"answer cut", RMQ_FAULT_CUT, 20, 1, -1, RMQ_TIMEOUT, 1, 1},
    {"restart", RMQ_FAULT_RESTART, 20, 1, 100, RMQ_OK, 1, -1},
};

START_TEST(one_send)
{
    const send_case *what = &send_cases[_i];
    rmq_send_result result;
    make_producer(what->max_retries);
    int32_t id = add_fault(what->action, what->times, what->number);
    rmq_status status = send_one(&result);
    ck_assert_msg(status == what->status, "%s: %s: %s", what->name, rmq_status_name(status),
                  err.text);
    uint64_t hits = rmq_devbroker_fault_hits(broker.dev, id);
    ck_assert_msg(hits == (uint64_t)what->n_hits, "%s: %llu hits", what->name,
                  (unsigned long long)hits);
    if (status == RMQ_OK && what->action == RMQ_FAULT_RESTART)
        ck_assert_int_gt(result.tries, what->n_hits); /* more while it is away */
    else if (status == RMQ_OK)
        ck_assert_int_eq(result.tries, what->n_hits + 1);
    if (what->n_stored >= 0)
        ck_assert_int_eq(n_stored(), what->n_stored);
    ck_ok(rmq_producer_flush(producer, 0, &err), &err);
}
END_TEST

START_TEST(repeats_share_their_key)
{
    rmq_send_result result;
    make_producer(0);
    add_fault(RMQ_FAULT_DROP, 1, 0);
    ck_ok(send_one(&result), &err);
    rmq_reader *reader = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.end_offset = 2;
    ck_ok(rmq_reader_open(broker.filler, &config, &reader, &err), &err);
    for (int n = 0; n < 2;) {
        rmq_batch *batch = NULL;
        ck_ok(rmq_reader_next(reader, 10000, &batch, &err), &err);
        for (size_t i = 0; i < rmq_batch_count(batch); i++, n++)
            ck_assert(rmq_slice_equals(rmq_message_unique_key(rmq_batch_at(batch, i)),
                                       result.unique_key));
        rmq_batch_unref(batch);
    }
    rmq_reader_close(reader);
}
END_TEST

/* Once a try may have been stored, no later refusal makes it certain that it was not. */
START_TEST(unknown_fate_stays_unknown)
{
    rmq_send_result result;
    make_producer(1);
    add_fault(RMQ_FAULT_DROP, 1, 0);
    add_fault(RMQ_FAULT_CODE, 0, 16);
    ck_status(send_one(&result), RMQ_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(err.text, "unknown"));
    ck_assert_int_eq(n_stored(), 1);
}
END_TEST

START_TEST(broker_away_and_back)
{
    rmq_send_result result;
    make_producer(-1);
    ck_ok(send_one(&result), &err);
    ck_ok(rmq_devbroker_stop(broker.dev, &err), &err);
    rmq_status status = send_one(&result);
    ck_assert_msg(status == RMQ_IO || status == RMQ_CLOSED || status == RMQ_TIMEOUT, "%s: %s",
                  rmq_status_name(status), err.text);
    ck_ok(rmq_devbroker_start(broker.dev, &err), &err);
    for (int i = 0; i < 50 && status != RMQ_OK; i++)
        status = send_one(&result);
    ck_assert_msg(status == RMQ_OK, "%s", err.text);
}
END_TEST

START_TEST(name_server_away)
{
    rmq_send_result result;
    make_producer(-1);
    ck_ok(send_one(&result), &err);
    ck_ok(rmq_devbroker_stop_namesrv(broker.dev, &err), &err);
    for (int i = 0; i < 10; i++)
        ck_ok(send_one(&result), &err); /* the route is known */
    free(topic);
    topic = strdup("another");
    rmq_status status = send_one(&result);
    ck_assert_msg(status == RMQ_IO || status == RMQ_TIMEOUT || status == RMQ_CLOSED, "%s: %s",
                  rmq_status_name(status), err.text);
    ck_ok(rmq_devbroker_start_namesrv(broker.dev, &err), &err);
}
END_TEST

START_TEST(topic_that_may_not_be_created)
{
    rmq_send_result result;
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.no_auto_create_topic = true;
    tear_down();
    test_broker_start_dev(&broker, &config);
    make_producer(-1);
    topic = strdup("not_there");
    queue.broker_name = NULL;
    ck_status(send_one(&result), RMQ_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "not_there"));
}
END_TEST

/* ---- the window ---- */

static atomic_int n_ended;

static void count_end(rmq_status status, const rmq_send_result *result, const rmq_error *why,
                      void *ctx)
{
    (void)status;
    (void)result;
    (void)why;
    (void)ctx;
    atomic_fetch_add(&n_ended, 1);
}

START_TEST(full_window_refuses)
{
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    config.when_full = RMQ_FULL_REFUSE;
    config.max_in_flight = _i == 0 ? 5 : 1000;
    config.max_in_flight_bytes = _i == 0 ? 0 : 50000;
    config.send_timeout_ms = 5000;
    static char body[10000] = "x";
    atomic_store(&n_ended, 0);
    add_fault(RMQ_FAULT_DELAY, 0, 200);
    ck_ok(rmq_producer_new(broker.client, &config, &producer, &err), &err);
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    message.topic = topic;
    message.body = (rmq_slice){body, _i == 0 ? 1 : sizeof(body)};
    int n_accepted = 0;
    while (rmq_producer_send_async(producer, &message, count_end, NULL, &err) == RMQ_OK)
        n_accepted++;
    ck_assert_int_eq(err.status, RMQ_FULL);
    ck_assert_int_eq(n_accepted, _i == 0 ? 5 : 4); /* of 10,000 bytes and their properties */
    ck_status(rmq_producer_flush(producer, 0, &err), RMQ_TIMEOUT);
    ck_ok(rmq_producer_flush(producer, 10000, &err), &err);
    ck_assert_int_eq(atomic_load(&n_ended), n_accepted);
    ck_ok(rmq_producer_send_async(producer, &message, count_end, NULL, &err), &err);
}
END_TEST

START_TEST(free_is_quick_when_the_broker_is_silent)
{
    struct timespec before;
    struct timespec after;
    make_producer(50);
    atomic_store(&n_ended, 0);
    add_fault(_i == 0 ? RMQ_FAULT_DROP : RMQ_FAULT_STALL, 0, 0);
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    message.topic = topic;
    message.body = RMQ_SLICE_LITERAL("x");
    for (int i = 0; i < 20; i++)
        ck_ok(rmq_producer_send_async(producer, &message, count_end, NULL, &err), &err);
    ck_status(rmq_producer_flush(producer, 50, &err), RMQ_TIMEOUT);
    clock_gettime(CLOCK_MONOTONIC, &before);
    rmq_producer_free(producer);
    producer = NULL;
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_lt(after.tv_sec - before.tv_sec, 2);
    ck_assert_int_eq(atomic_load(&n_ended), 20);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("producer_faults");
    TCase *tcase = tcase_create("producer_faults");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, one_send, 0, sizeof(send_cases) / sizeof(send_cases[0]));
    tcase_add_test(tcase, repeats_share_their_key);
    tcase_add_test(tcase, unknown_fate_stays_unknown);
    tcase_add_test(tcase, broker_away_and_back);
    tcase_add_test(tcase, name_server_away);
    tcase_add_test(tcase, topic_that_may_not_be_created);
    tcase_add_loop_test(tcase, full_window_refuses, 0, 2);
    tcase_add_loop_test(tcase, free_is_quick_when_the_broker_is_silent, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
