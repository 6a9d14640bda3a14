/* Delayed and timer messages: invisible first, delivered when due, and again after a restart. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "broker_client.h"
#include "codes.h"
#include "delays.h"

#define HOLD (PULL_SUSPEND | PULL_SUBSCRIPTION)

static rmq_devbroker *broker;
static raw_client client;

static void start(const char *directory)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.directory = directory;
    broker = broker_start(&config);
    client = raw_connect(rmq_devbroker_address(broker));
}

static void stop(void)
{
    raw_close(&client);
    rmq_devbroker_free(broker);
}

static int64_t now_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool empty(void)
{
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
    int64_t max = raw_int(&answer, "offset");
    raw_frame_free(&answer);
    return max == 0;
}

/* Waits in a held pull for the message at `offset`, which must have that body. */
static void expect_next(int64_t offset, const char *body)
{
    raw_frame answer = broker_pull_call(
        &client, &(broker_pull){.offset = offset, .hold_ms = 20000, .sys_flag = HOLD});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_batch *batch = broker_batch(&answer);
    broker_expect_body(batch, 0, body);
    rmq_slice value;
    ck_assert(rmq_message_property(rmq_batch_at(batch, 0), "REAL_TOPIC", &value));
    ck_assert(rmq_slice_equals(value, "T"));
    ck_assert(rmq_message_property(rmq_batch_at(batch, 0), "REAL_QID", &value));
    ck_assert(rmq_slice_equals(value, "0"));
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
}

START_TEST(level_1_takes_a_second)
{
    start(NULL);
    int64_t began = now_ms(CLOCK_MONOTONIC);
    broker_send_with(&client, "T", 0, "one", "DELAY\0011\2TAGS\1A\2");
    broker_send_with(&client, "T", 0, "two", "DELAY\0011\2");
    broker_send_with(&client, "T", 0, "much later", "DELAY\00199\2");
    ck_assert(empty());
    expect_next(0, "one");
    int64_t took = now_ms(CLOCK_MONOTONIC) - began;
    ck_assert_int_ge(took, 990);
    expect_next(1, "two");
    stop();
}
END_TEST

START_TEST(levels_that_are_none)
{
    start(NULL);
    broker_send_with(&client, "T", 0, "a", "DELAY\0010\2");
    broker_send_with(&client, "T", 0, "b", "DELAY\001-1\2");
    raw_frame answer = broker_pull_call(&client, &(broker_pull){0});
    ck_assert_int_eq(raw_int(&answer, "maxOffset"), 2);
    raw_frame_free(&answer);
    answer = raw_call(
        &client, RMQ_REQUEST_SEND_MESSAGE_V2,
        RAW("a=PG", "b=T", "c=TBW102", "d=4", "e=0", "f=0", "g=1", "h=0", "i=DELAY\1abc\2"),
        RMQ_SLICE_LITERAL("x"));
    raw_expect(&answer, RMQ_RESPONSE_SYSTEM_ERROR);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(timers)
{
    start(NULL);
    char properties[64];
    snprintf(properties, sizeof(properties), "TIMER_DELIVER_MS\1%lld\2",
             (long long)now_ms(CLOCK_REALTIME) + 2000);
    broker_send_with(&client, "T", 0, "second", properties);
    broker_send_with(&client, "T", 0, "first", "TIMER_DELAY_MS\001100\2");
    ck_assert(empty());
    int64_t began = now_ms(CLOCK_REALTIME);
    expect_next(0, "first");
    ck_assert_int_ge(now_ms(CLOCK_REALTIME) - began, 90);
    expect_next(1, "second");
    ck_assert_int_ge(now_ms(CLOCK_REALTIME) - began, 1990);
    /* In the past: at once. */
    broker_send_with(&client, "T", 1, "past", "TIMER_DELIVER_MS\00115\2");
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.queue_id = 1});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(timer_answers)
{
    start(NULL);
    raw_frame answer = raw_call(&client, RMQ_REQUEST_SEND_MESSAGE_V2,
                                RAW("a=PG", "b=T", "c=TBW102", "d=4", "e=1", "f=0", "g=1", "h=0",
                                    "i=TIMER_DELAY_SEC\001100\2"),
                                RMQ_SLICE_LITERAL("x"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "queueId"), 1);
    rmq_slice handle;
    ck_assert(rmq_command_get(&answer.command, "recallHandle", &handle));
    ck_assert(memcmp(handle.data, "djEgVCBicm9rZXItYS", 18) == 0); /* v1 T broker-a */
    raw_frame_free(&answer);
    static const char *const wrong[] = {"i=TIMER_DELAY_SEC\1999999\2", "i=TIMER_DELAY_SEC\1abc\2",
                                        "i=TIMER_DELIVER_MS\0019999999999999\2"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        answer =
            raw_call(&client, RMQ_REQUEST_SEND_MESSAGE_V2,
                     RAW("a=PG", "b=T", "c=TBW102", "d=4", "e=0", "f=0", "g=1", "h=0", wrong[i]),
                     RMQ_SLICE_LITERAL("x"));
        raw_expect(&answer, RMQ_RESPONSE_MESSAGE_ILLEGAL);
        raw_frame_free(&answer);
    }
    ck_assert(empty());
    stop();
}
END_TEST

START_TEST(as_4_9_7_timers_are_no_timers)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.version = 407;
    broker = broker_start(&config);
    client = raw_connect(rmq_devbroker_address(broker));
    broker_send_with(&client, "T", 0, "now", "TIMER_DELAY_SEC\001100\2");
    ck_assert(!empty());
    stop();
}
END_TEST

START_TEST(a_restart_forgets_none)
{
    char *directory = temp_dir_make();
    start(directory);
    broker_send_with(&client, "T", 0, "level", "DELAY\0011\2");
    broker_send_with(&client, "T", 0, "timer", "TIMER_DELAY_MS\0011200\2");
    stop();
    start(directory);
    ck_assert(empty());
    expect_next(0, "level");
    expect_next(1, "timer");
    stop();
    /* What was delivered isn't delivered again. */
    start(directory);
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
    ck_assert_int_eq(raw_int(&answer, "offset"), 2);
    raw_frame_free(&answer);
    stop();
    temp_dir_remove(directory);
}
END_TEST

START_TEST(a_topic_that_is_gone)
{
    start(NULL);
    broker_send_with(&client, "T", 0, "for nobody", "DELAY\0011\2");
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, RAW("topic=T"), RAW_NO_BODY);
    raw_frame_free(&answer);
    rmq_error err;
    ck_ok(rmq_devbroker_topic(broker, "U", 1, &err), &err);
    broker_send_with(&client, "U", 0, "for somebody", "DELAY\0011\2");
    answer =
        broker_pull_call(&client, &(broker_pull){.topic = "U", .hold_ms = 20000, .sys_flag = HOLD});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(plans)
{
    static const struct {
        const char *properties;
        bool is_v5;
        rmq_status status;
        int32_t level;
        int64_t out_ms;
    } cases[] = {
        {"", true, RMQ_OK, 0, 0},
        {"DELAY\0013\2", true, RMQ_OK, 3, 0},
        {"DELAY\00119\2", true, RMQ_OK, 18, 0},
        {"DELAY\1x\2", true, RMQ_INVAL, 0, 0},
        {"DELAY\00199999999999\2", true, RMQ_INVAL, 0, 0},
        {"DELAY\00199999999999999999999999999999999\2", true, RMQ_INVAL, 0, 0},
        {"TIMER_DELAY_SEC\0015\2", true, RMQ_OK, 0, 1005000},
        {"TIMER_DELAY_SEC\0015\2", false, RMQ_OK, 0, 0},
        {"TIMER_DELAY_SEC\1-5\2", true, RMQ_OK, 0, 0},
        {"TIMER_DELAY_MS\0015600\2", true, RMQ_OK, 0, 1005000},
        {"TIMER_DELIVER_MS\0011002003\2", true, RMQ_OK, 0, 1002000},
        {"TIMER_DELIVER_MS\1999\2", true, RMQ_OK, 0, 0},
        {"TIMER_DELAY_SEC\001259200\2", true, RMQ_OK, 0, 260200000},
        {"TIMER_DELAY_SEC\001259201\2", true, RMQ_UNSUPPORTED, 0, 0},
        {"TIMER_DELAY_SEC\0019223372036854775807\2", true, RMQ_UNSUPPORTED, 0, 0},
        {"DELAY\0012\2TIMER_DELAY_SEC\001999999\2", true, RMQ_OK, 2, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rmq_dev_delay_plan plan = {0, 0};
        rmq_status status = rmq_dev_delay_plan_read(rmq_slice_of(cases[i].properties),
                                                    cases[i].is_v5, 1000000, &plan);
        ck_assert_msg(status == cases[i].status, "case %zu: %s", i, rmq_status_name(status));
        ck_assert_msg(plan.level == cases[i].level && plan.out_ms == cases[i].out_ms,
                      "case %zu: level %d, %lld", i, plan.level, (long long)plan.out_ms);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("delays");
    TCase *tcase = tcase_create("delays");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, level_1_takes_a_second);
    tcase_add_test(tcase, levels_that_are_none);
    tcase_add_test(tcase, timers);
    tcase_add_test(tcase, timer_answers);
    tcase_add_test(tcase, as_4_9_7_timers_are_no_timers);
    tcase_add_test(tcase, a_restart_forgets_none);
    tcase_add_test(tcase, a_topic_that_is_gone);
    tcase_add_test(tcase, plans);
    suite_add_tcase(suite, tcase);
    return suite;
}
