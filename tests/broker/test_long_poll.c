/* Held pulls: who is woken, when, and with what. */
#include "support.h"

#include <string.h>
#include <time.h>

#include "broker_client.h"
#include "codes.h"

#define HOLD (PULL_SUSPEND | PULL_SUBSCRIPTION)
#define NEVER_MS (3600 * 1000)

static rmq_devbroker *broker;
static raw_client client;
static raw_client sender;

static void start(int64_t check_ms)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.long_poll_check_ms = check_ms;
    broker = broker_start(&config);
    client = raw_connect(rmq_devbroker_address(broker));
    sender = raw_connect(rmq_devbroker_address(broker));
}

static void stop(void)
{
    raw_close(&client);
    raw_close(&sender);
    rmq_devbroker_free(broker);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

START_TEST(without_the_bit_it_answers_at_once)
{
    start(NEVER_MS);
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.hold_ms = 10000});
    raw_expect(&answer, RMQ_RESPONSE_PULL_NOT_FOUND);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(beyond_the_end_it_answers_at_once)
{
    start(NEVER_MS);
    raw_frame answer =
        broker_pull_call(&client, &(broker_pull){.offset = 3, .hold_ms = 10000, .sys_flag = HOLD});
    raw_expect(&answer, RMQ_RESPONSE_PULL_OFFSET_MOVED);
    raw_frame_free(&answer);
    stop();
}
END_TEST

/* The time is only looked at every check interval: a wish of 0 ms is held until the next look. */
START_TEST(time_is_up_at_a_check)
{
    start(300);
    int64_t began = now_ms();
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.sys_flag = HOLD});
    raw_expect(&answer, RMQ_RESPONSE_PULL_NOT_FOUND);
    raw_frame_free(&answer);
    answer = broker_pull_call(&client, &(broker_pull){.hold_ms = 400, .sys_flag = HOLD});
    raw_expect(&answer, RMQ_RESPONSE_PULL_NOT_FOUND);
    ck_assert(rmq_slice_equals(answer.command.remark, "NO_MESSAGE_IN_QUEUE"));
    raw_frame_free(&answer);
    ck_assert_int_ge(now_ms() - began, 600);
    stop();
}
END_TEST

START_TEST(only_a_matching_message_wakes)
{
    start(NEVER_MS);
    int32_t opaque = broker_pull_send(
        &client, &(broker_pull){.subscription = "B", .hold_ms = 10000, .sys_flag = HOLD});
    broker_send_with(&sender, "T", 0, "no", "TAGS\1A\2");
    broker_send_with(&sender, "T", 1, "other queue", "TAGS\1B\2");
    ck_assert(raw_silent(&client, 50));
    broker_send_with(&sender, "T", 0, "yes", "TAGS\1B\2");
    raw_frame answer = raw_read_answer(&client, opaque);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "nextBeginOffset"), 2);
    rmq_batch *batch = broker_batch(&answer);
    ck_assert_uint_eq(rmq_batch_count(batch), 1);
    broker_expect_body(batch, 0, "yes");
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    stop();
}
END_TEST

/* Others' messages moved the queue on: the next check says so with 20. */
START_TEST(unmatched_messages_advance_it_at_a_check)
{
    start(200);
    int32_t opaque = broker_pull_send(
        &client, &(broker_pull){.subscription = "B", .hold_ms = 60000, .sys_flag = HOLD});
    broker_send_with(&sender, "T", 0, "no", "TAGS\1A\2");
    raw_frame answer = raw_read_answer(&client, opaque);
    raw_expect(&answer, RMQ_RESPONSE_PULL_RETRY_IMMEDIATELY);
    ck_assert_int_eq(raw_int(&answer, "nextBeginOffset"), 1);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(all_holds_are_woken)
{
    start(NEVER_MS);
    int32_t opaques[20];
    for (int i = 0; i < 20; i++)
        opaques[i] = broker_pull_send(&client, &(broker_pull){.hold_ms = 10000, .sys_flag = HOLD});
    /* A held pull doesn't stop what comes behind it. */
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.queue_id = 1});
    raw_expect(&answer, RMQ_RESPONSE_PULL_NOT_FOUND);
    raw_frame_free(&answer);
    broker_send_batch(&sender, "T", 0, "m", 3);
    bool seen[20] = {false};
    for (int i = 0; i < 20; i++) {
        answer = raw_read(&client);
        raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
        for (int j = 0; j < 20; j++) {
            if (opaques[j] == answer.command.opaque) {
                ck_assert(!seen[j]);
                seen[j] = true;
            }
        }
        raw_frame_free(&answer);
    }
    for (int i = 0; i < 20; i++)
        ck_assert(seen[i]);
    ck_assert(raw_silent(&client, 0));
    stop();
}
END_TEST

START_TEST(a_cut_connection_drops_its_holds)
{
    start(50);
    for (int i = 0; i < 5; i++)
        broker_pull_send(&client, &(broker_pull){.hold_ms = 10000, .sys_flag = HOLD});
    raw_client other = raw_connect(rmq_devbroker_address(broker));
    int32_t opaque = broker_pull_send(&other, &(broker_pull){.hold_ms = 10000, .sys_flag = HOLD});
    raw_close(&client);
    broker_send(&sender, "T", 0, "m");
    raw_frame answer = raw_read_answer(&other, opaque);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    raw_close(&other);
    client = raw_connect(rmq_devbroker_address(broker));
    stop();
}
END_TEST

START_TEST(deleting_the_topic_ends_them)
{
    start(NEVER_MS);
    int32_t opaque = broker_pull_send(&client, &(broker_pull){.hold_ms = 10000, .sys_flag = HOLD});
    raw_frame answer = raw_call(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"),
                                RAW_NO_BODY); /* so that the hold stands */
    raw_frame_free(&answer);
    answer = raw_call(&sender, RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, RAW("topic=T"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    answer = raw_read_answer(&client, opaque);
    raw_expect(&answer, RMQ_RESPONSE_TOPIC_NOT_EXIST);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(stopping_with_holds)
{
    start(NEVER_MS);
    rmq_error err;
    for (int i = 0; i < 10; i++)
        broker_pull_send(&client, &(broker_pull){.hold_ms = 10000, .sys_flag = HOLD});
    ck_ok(rmq_devbroker_stop(broker, &err), &err);
    uint8_t byte;
    ck_assert_uint_eq(raw_read_to_end(&client, &byte, 1), 0);
    ck_ok(rmq_devbroker_start(broker, &err), &err);
    raw_client again = raw_connect(rmq_devbroker_address(broker));
    broker_send(&again, "T", 0, "m");
    for (int i = 0; i < 10; i++)
        broker_pull_send(&again, &(broker_pull){.offset = 1, .hold_ms = 10000, .sys_flag = HOLD});
    raw_close(&again);
    stop(); /* free with holds */
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("long_poll");
    TCase *tcase = tcase_create("long_poll");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, without_the_bit_it_answers_at_once);
    tcase_add_test(tcase, beyond_the_end_it_answers_at_once);
    tcase_add_test(tcase, time_is_up_at_a_check);
    tcase_add_test(tcase, only_a_matching_message_wakes);
    tcase_add_test(tcase, unmatched_messages_advance_it_at_a_check);
    tcase_add_test(tcase, all_holds_are_woken);
    tcase_add_test(tcase, a_cut_connection_drops_its_holds);
    tcase_add_test(tcase, deleting_the_topic_ends_them);
    tcase_add_test(tcase, stopping_with_holds);
    suite_add_tcase(suite, tcase);
    return suite;
}
