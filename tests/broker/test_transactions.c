/* Half messages, their ends with all traps, and checks; and messages that consumers give back. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker_client.h"
#include "codes.h"
#include "msgid.h"
#include "record.h"

#define HOLD (PULL_SUSPEND | PULL_SUBSCRIPTION)
#define CHECK_MS 100

static rmq_devbroker *broker;
static raw_client client;

static void start(const char *directory)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.transaction_check_ms = CHECK_MS;
    config.directory = directory;
    broker = broker_start(&config);
    client = raw_connect(rmq_devbroker_address(broker));
}

static void stop(void)
{
    raw_close(&client);
    rmq_devbroker_free(broker);
}

/* Where a half message stands. */
typedef struct half {
    int64_t offset;
    int64_t physical;
} half;

static half send_half(int32_t sys_flag)
{
    char flag[16];
    snprintf(flag, sizeof(flag), "f=%d", sys_flag);
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_SEND_MESSAGE_V2,
                 RAW("a=PG", "b=T", "c=TBW102", "d=4", "e=1", flag, "g=1", "h=0",
                     "i=TRAN_MSG\1true\2PGROUP\1PG\2UNIQ_KEY\1key\2TAGS\1A\2", "m=false"),
                 RMQ_SLICE_LITERAL("half"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "queueId"), 1);
    rmq_slice id;
    ck_assert(rmq_command_get(&answer.command, "msgId", &id));
    rmq_host host;
    half made = {.offset = raw_int(&answer, "queueOffset")};
    rmq_error err;
    ck_ok(rmq_offset_id_parse(id, &host, &made.physical, &err), &err);
    raw_frame_free(&answer);
    return made;
}

static int32_t end_send(const half *of, const char *group, int decision)
{
    char fields[4][64];
    snprintf(fields[0], sizeof(fields[0]), "tranStateTableOffset=%lld", (long long)of->offset);
    snprintf(fields[1], sizeof(fields[1]), "commitLogOffset=%lld", (long long)of->physical);
    snprintf(fields[2], sizeof(fields[2]), "commitOrRollback=%d", decision);
    snprintf(fields[3], sizeof(fields[3]), "producerGroup=%s", group);
    return raw_send(&client, RMQ_REQUEST_END_TRANSACTION,
                    RAW(fields[0], fields[1], fields[2], fields[3], "fromTransactionCheck=false",
                        "msgId=key", "transactionId=key"),
                    RAW_NO_BODY);
}

static void end_call(const half *of, const char *group, int decision, int32_t expected,
                     const char *remark)
{
    raw_frame answer = raw_read_answer(&client, end_send(of, group, decision));
    raw_expect(&answer, expected);
    ck_assert(remark == NULL || rmq_slice_equals(answer.command.remark, remark));
    raw_frame_free(&answer);
}

static int64_t visible(void)
{
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=1"), RAW_NO_BODY);
    int64_t max = raw_int(&answer, "offset");
    raw_frame_free(&answer);
    return max;
}

START_TEST(commit_publishes)
{
    start(NULL);
    raw_client reader = raw_connect(rmq_devbroker_address(broker));
    int32_t opaque = broker_pull_send(
        &reader, &(broker_pull){.queue_id = 1, .hold_ms = 20000, .sys_flag = HOLD});
    half made = send_half(4);
    ck_assert_int_eq(visible(), 0);
    ck_assert(raw_silent(&reader, 30));
    end_call(&made, "PG", 8, RMQ_RESPONSE_SUCCESS, NULL);
    raw_frame answer = raw_read_answer(&reader, opaque); /* a held pull is woken */
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_batch *batch = broker_batch(&answer);
    broker_expect_body(batch, 0, "half");
    const rmq_message *message = rmq_batch_at(batch, 0);
    ck_assert_int_eq(message->sys_flag, RMQ_SYSFLAG_TRANSACTION_COMMIT);
    ck_assert_int_eq(message->prepared_transaction_offset, made.physical);
    rmq_slice value;
    ck_assert(rmq_message_property(message, "TRAN_MSG", &value));
    ck_assert(rmq_message_property(message, "__transactionId__", &value));
    ck_assert(rmq_slice_equals(value, "key"));
    ck_assert(!rmq_message_property(message, "REAL_TOPIC", &value));
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    raw_close(&reader);
    stop();
}
END_TEST

START_TEST(the_property_makes_it_a_half)
{
    start(NULL);
    half made = send_half(0);
    ck_assert_int_eq(visible(), 0);
    end_call(&made, "PG", 8, RMQ_RESPONSE_SUCCESS, NULL);
    ck_assert_int_eq(visible(), 1);
    stop();
}
END_TEST

START_TEST(the_flag_alone_loses_it)
{
    start(NULL);
    broker_send(&client, "T", 1, "before");
    raw_frame answer = raw_call(&client, RMQ_REQUEST_SEND_MESSAGE_V2,
                                RAW("a=PG", "b=T", "c=TBW102", "d=4", "e=1", "f=4", "g=1", "h=0"),
                                RMQ_SLICE_LITERAL("lost"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "queueOffset"), 0);
    raw_frame_free(&answer);
    ck_assert_int_eq(broker_send(&client, "T", 1, "after"), 1);
    stop();
}
END_TEST

START_TEST(nothing_is_idempotent)
{
    start(NULL);
    half made = send_half(4);
    end_call(&made, "PG", 12, RMQ_RESPONSE_SUCCESS, NULL);
    ck_assert_int_eq(visible(), 0);
    end_call(&made, "PG", 8, RMQ_RESPONSE_SUCCESS, NULL); /* after a rollback */
    ck_assert_int_eq(visible(), 1);
    end_call(&made, "PG", 8, RMQ_RESPONSE_SUCCESS, NULL); /* and again */
    ck_assert_int_eq(visible(), 2);
    stop();
}
END_TEST

START_TEST(wrong_ends)
{
    start(NULL);
    half made = send_half(4);
    half wrong = {made.offset + 1, made.physical};
    end_call(&wrong, "PG", 8, 1, "The transaction state table offset wrong");
    end_call(&made, "Other", 8, 1, "The producer group wrong");
    wrong = (half){made.offset, made.physical + 1};
    end_call(&wrong, "PG", 8, 1, "Find prepared transaction message failed");
    end_call(&made, "PG", 5, 1, NULL);
    /* Unknown isn't answered at all. */
    end_send(&made, "PG", 0);
    ck_assert_int_eq(visible(), 0); /* the next answer is another's */
    ck_assert(raw_silent(&client, 20));
    /* A message that is no half one. */
    broker_send(&client, "T", 0, "plain");
    raw_frame answer = broker_pull_call(&client, &(broker_pull){0});
    rmq_batch *batch = broker_batch(&answer);
    wrong = (half){0, rmq_batch_at(batch, 0)->physical_offset};
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    end_call(&wrong, "PG", 8, 1, "Find prepared transaction message failed");
    answer = raw_call(&client, RMQ_REQUEST_END_TRANSACTION, NULL, RAW_NO_BODY);
    raw_expect(&answer, 1);
    raw_frame_free(&answer);
    stop();
}
END_TEST

static void register_producer(raw_client *of)
{
    raw_frame answer =
        raw_call(of, RMQ_REQUEST_HEART_BEAT, NULL,
                 RMQ_SLICE_LITERAL("{\"clientID\":\"p\",\"producerDataSet\":[{\"groupName\":"
                                   "\"PG\"}],\"consumerDataSet\":[]}"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
}

/* The next check that comes to this producer. */
static half expect_check(raw_client *producer)
{
    raw_frame frame = raw_read(producer);
    ck_assert_int_eq(frame.command.code, RMQ_REQUEST_CHECK_TRANSACTION_STATE);
    ck_assert_int_eq(frame.command.flag, RMQ_FLAG_ONEWAY);
    half asked = {raw_int(&frame, "tranStateTableOffset"), raw_int(&frame, "commitLogOffset")};
    rmq_slice value;
    ck_assert(rmq_command_get(&frame.command, "transactionId", &value));
    ck_assert(rmq_slice_equals(value, "key"));
    ck_assert(rmq_command_get(&frame.command, "offsetMsgId", &value));
    rmq_batch *batch = broker_batch(&frame);
    broker_expect_body(batch, 0, "half");
    ck_assert(rmq_slice_equals(rmq_batch_at(batch, 0)->topic, "T"));
    rmq_batch_unref(batch);
    raw_frame_free(&frame);
    return asked;
}

START_TEST(undecided_ones_are_asked_for)
{
    start(NULL);
    raw_client producer = raw_connect(rmq_devbroker_address(broker));
    half made = send_half(4);
    register_producer(&producer);
    half first = expect_check(&producer);
    ck_assert_int_gt(first.offset, made.offset); /* it was stored again */
    half second = expect_check(&producer);
    ck_assert_int_gt(second.offset, first.offset);
    end_call(&second, "PG", 8, RMQ_RESPONSE_SUCCESS, NULL);
    ck_assert_int_eq(visible(), 1);
    /* Decided: at most one check was still on its way. */
    if (!raw_silent(&producer, 3 * CHECK_MS)) {
        expect_check(&producer);
        ck_assert(raw_silent(&producer, 3 * CHECK_MS));
    }
    raw_close(&producer);
    stop();
}
END_TEST

START_TEST(after_15_checks_it_is_given_up)
{
    start(NULL);
    raw_client producer = raw_connect(rmq_devbroker_address(broker));
    send_half(4);
    register_producer(&producer);
    for (int i = 0; i < 15; i++)
        expect_check(&producer);
    ck_assert(raw_silent(&producer, 4 * CHECK_MS));
    raw_close(&producer);
    stop();
}
END_TEST

START_TEST(a_restart_keeps_undecided_ones)
{
    char *directory = temp_dir_make();
    start(directory);
    half decided = send_half(4);
    send_half(4);
    end_call(&decided, "PG", 12, RMQ_RESPONSE_SUCCESS, NULL);
    stop();
    start(directory);
    raw_client producer = raw_connect(rmq_devbroker_address(broker));
    register_producer(&producer);
    half asked = expect_check(&producer);
    end_call(&asked, "PG", 8, RMQ_RESPONSE_SUCCESS, NULL);
    ck_assert_int_eq(visible(), 1);
    raw_close(&producer);
    stop();
    temp_dir_remove(directory);
}
END_TEST

/* ---- given back ---- */

static int64_t physical_of(const char *topic, int32_t queue_id, int64_t offset)
{
    raw_frame answer = broker_pull_call(
        &client, &(broker_pull){.topic = topic, .queue_id = queue_id, .offset = offset});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_batch *batch = broker_batch(&answer);
    int64_t physical = rmq_batch_at(batch, 0)->physical_offset;
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    return physical;
}

static void give_back(int64_t physical, int32_t level, const char *more, int32_t expected)
{
    char offset[64];
    char delay[32];
    snprintf(offset, sizeof(offset), "offset=%lld", (long long)physical);
    snprintf(delay, sizeof(delay), "delayLevel=%d", level);
    raw_frame answer = raw_call(&client, RMQ_REQUEST_CONSUMER_SEND_MSG_BACK,
                                RAW("group=CG", "originTopic=T", offset, delay, more), RAW_NO_BODY);
    raw_expect(&answer, expected);
    raw_frame_free(&answer);
}

static void expect_property(const rmq_message *message, const char *name, const char *expected)
{
    rmq_slice value = {NULL, 0};
    ck_assert_msg(rmq_message_property(message, name, &value), "no %s", name);
    ck_assert_msg(rmq_slice_equals(value, expected), "%s is %.*s", name, (int)value.len,
                  value.data);
}

START_TEST(a_retry_comes_later)
{
    start(NULL);
    broker_send_with(&client, "T", 0, "again", "TAGS\1A\2UNIQ_KEY\1key\2");
    int64_t physical = physical_of("T", 0, 0);
    give_back(physical + 1, 1, "unitMode=false", RMQ_RESPONSE_SYSTEM_ERROR);
    give_back(physical, 1, "unitMode=false", RMQ_RESPONSE_SUCCESS);
    raw_frame answer = broker_pull_call(
        &client, &(broker_pull){.topic = "%RETRY%CG", .hold_ms = 20000, .sys_flag = HOLD});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_batch *batch = broker_batch(&answer);
    const rmq_message *message = rmq_batch_at(batch, 0);
    broker_expect_body(batch, 0, "again");
    ck_assert_int_eq(message->reconsume_times, 1);
    expect_property(message, "RETRY_TOPIC", "T");
    expect_property(message, "UNIQ_KEY", "key");
    expect_property(message, "TAGS", "A");
    expect_property(message, "DELAY", "1");
    expect_property(message, "WAIT", "false");
    expect_property(message, "REAL_TOPIC", "%RETRY%CG");
    rmq_slice id;
    rmq_host host;
    int64_t origin;
    rmq_error err;
    ck_assert(rmq_message_property(message, "ORIGIN_MESSAGE_ID", &id));
    ck_ok(rmq_offset_id_parse(id, &host, &origin, &err), &err);
    ck_assert_int_eq(origin, physical);
    int64_t retried = message->physical_offset;
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    /* Given back too often: to the dead letters, at once, still saying where it came from. */
    give_back(retried, 0, "maxReconsumeTimes=1", RMQ_RESPONSE_SUCCESS);
    answer = broker_pull_call(&client, &(broker_pull){.topic = "%DLQ%CG"});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    batch = broker_batch(&answer);
    message = rmq_batch_at(batch, 0);
    ck_assert_int_eq(message->reconsume_times, 2);
    expect_property(message, "RETRY_TOPIC", "T");
    ck_assert(rmq_message_property(message, "ORIGIN_MESSAGE_ID", &id));
    ck_ok(rmq_offset_id_parse(id, &host, &origin, &err), &err);
    ck_assert_int_eq(origin, physical);
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(straight_to_the_dead_letters)
{
    start(NULL);
    broker_send(&client, "T", 0, "hopeless");
    give_back(physical_of("T", 0, 0), -1, "unitMode=false", RMQ_RESPONSE_SUCCESS);
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.topic = "%DLQ%CG"});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    /* And by a client that sends to the retry topic itself. */
    answer = raw_call(&client, RMQ_REQUEST_SEND_MESSAGE_V2,
                      RAW("a=PG", "b=%RETRY%CG", "c=TBW102", "d=4", "e=0", "f=0", "g=1", "h=0",
                          "j=3", "l=2", "i=DELAY\0011\2RETRY_TOPIC\1T\2"),
                      RMQ_SLICE_LITERAL("dead too"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "queueOffset"), 1);
    raw_frame_free(&answer);
    answer = broker_pull_call(&client, &(broker_pull){.topic = "%DLQ%CG", .offset = 1});
    rmq_batch *batch = broker_batch(&answer);
    broker_expect_body(batch, 0, "dead too");
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(wrong_send_backs)
{
    start(NULL);
    raw_frame answer = raw_call(&client, RMQ_REQUEST_CONSUMER_SEND_MSG_BACK,
                                RAW("group=no good", "offset=0", "delayLevel=0"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST);
    raw_frame_free(&answer);
    answer = raw_call(&client, RMQ_REQUEST_CONSUMER_SEND_MSG_BACK, RAW("group=CG", "delayLevel=0"),
                      RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SYSTEM_ERROR);
    raw_frame_free(&answer);
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("transactions");
    TCase *tcase = tcase_create("transactions");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, commit_publishes);
    tcase_add_test(tcase, the_property_makes_it_a_half);
    tcase_add_test(tcase, the_flag_alone_loses_it);
    tcase_add_test(tcase, nothing_is_idempotent);
    tcase_add_test(tcase, wrong_ends);
    tcase_add_test(tcase, undecided_ones_are_asked_for);
    tcase_add_test(tcase, after_15_checks_it_is_given_up);
    tcase_add_test(tcase, a_restart_keeps_undecided_ones);
    tcase_add_test(tcase, a_retry_comes_later);
    tcase_add_test(tcase, straight_to_the_dead_letters);
    tcase_add_test(tcase, wrong_send_backs);
    suite_add_tcase(suite, tcase);
    return suite;
}
