/* Pulls: what comes back and how far, the tag filter, and every refusal. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker_client.h"
#include "codes.h"

static rmq_devbroker *broker;
static raw_client client;

static void start_with(rmq_devbroker_config *config)
{
    broker = broker_start(config);
    client = raw_connect(rmq_devbroker_address(broker));
}

static void start(void)
{
    start_with(NULL);
}

static void stop(void)
{
    raw_close(&client);
    rmq_devbroker_free(broker);
}

/* Pulls and checks code, remark and the three offsets; returns the number of records. */
static size_t expect_pull(const broker_pull *pull, int32_t code, const char *remark, int64_t next,
                          int64_t min, int64_t max)
{
    raw_frame answer = broker_pull_call(&client, pull);
    raw_expect(&answer, code);
    ck_assert_msg(rmq_slice_equals(answer.command.remark, remark), "%.*s",
                  (int)answer.command.remark.len, answer.command.remark.data);
    ck_assert_int_eq(raw_int(&answer, "nextBeginOffset"), next);
    ck_assert_int_eq(raw_int(&answer, "minOffset"), min);
    ck_assert_int_eq(raw_int(&answer, "maxOffset"), max);
    ck_assert_int_eq(raw_int(&answer, "suggestWhichBrokerId"), 0);
    ck_assert_int_eq(raw_int(&answer, "topicSysFlag"), 0);
    ck_assert_int_eq(raw_int(&answer, "groupSysFlag"), 0);
    size_t count = 0;
    if (answer.command.body.len > 0) {
        rmq_batch *batch = broker_batch(&answer);
        count = rmq_batch_count(batch);
        rmq_batch_unref(batch);
    }
    raw_frame_free(&answer);
    return count;
}

START_TEST(edges_of_a_queue)
{
    start();
    expect_pull(&(broker_pull){.offset = 0}, 19, "NO_MESSAGE_IN_QUEUE", 0, 0, 0);
    expect_pull(&(broker_pull){.offset = 5}, 21, "NO_MESSAGE_IN_QUEUE", 0, 0, 0);
    for (int i = 0; i < 5; i++)
        broker_send(&client, "T", 0, "m");
    ck_assert_uint_eq(expect_pull(&(broker_pull){.offset = 0}, 0, "FOUND", 5, 0, 5), 5);
    ck_assert_uint_eq(expect_pull(&(broker_pull){.offset = 4}, 0, "FOUND", 5, 0, 5), 1);
    expect_pull(&(broker_pull){.offset = 5}, 19, "OFFSET_OVERFLOW_ONE", 5, 0, 5);
    expect_pull(&(broker_pull){.offset = 6}, 21, "OFFSET_OVERFLOW_BADLY", 5, 0, 5);
    expect_pull(&(broker_pull){.offset = -1}, 21, "OFFSET_TOO_SMALL", 0, 0, 5);
    rmq_error err;
    ck_ok(rmq_devbroker_delete_below(broker, "T", 0, 3, &err), &err);
    expect_pull(&(broker_pull){.offset = 2}, 21, "OFFSET_TOO_SMALL", 3, 3, 5);
    ck_assert_uint_eq(expect_pull(&(broker_pull){.offset = 3}, 0, "FOUND", 5, 3, 5), 2);
    ck_ok(rmq_devbroker_delete_from(broker, "T", 0, 4, &err), &err);
    expect_pull(&(broker_pull){.offset = 5}, 21, "OFFSET_OVERFLOW_BADLY", 4, 3, 4);
    ck_assert_int_eq(broker_send(&client, "T", 0, "anew"), 4);
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.offset = 3});
    rmq_batch *batch = broker_batch(&answer);
    ck_assert_uint_eq(rmq_batch_count(batch), 2);
    broker_expect_body(batch, 1, "anew");
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    ck_ok(rmq_devbroker_delete_below(broker, "T", 0, 100, &err), &err);
    expect_pull(&(broker_pull){.offset = 5}, 19, "OFFSET_OVERFLOW_ONE", 5, 5, 5);
    expect_pull(&(broker_pull){.offset = 0}, 21, "OFFSET_TOO_SMALL", 5, 5, 5);
    stop();
}
END_TEST

START_TEST(caps)
{
    start();
    broker_send_batch(&client, "T", 0, "m", 100);
    ck_assert_uint_eq(expect_pull(&(broker_pull){.max_messages = 1000}, 0, "FOUND", 32, 0, 100),
                      32);
    ck_assert_uint_eq(expect_pull(&(broker_pull){.max_messages = 7}, 0, "FOUND", 7, 0, 100), 7);
    ck_assert_uint_eq(expect_pull(&(broker_pull){.max_messages = -3}, 0, "FOUND", 1, 0, 100), 1);
    char *large = malloc(200001);
    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 200000);
    large[200000] = '\0';
    for (int i = 0; i < 3; i++)
        broker_send(&client, "T", 1, large);
    ck_assert_uint_eq(expect_pull(&(broker_pull){.queue_id = 1}, 0, "FOUND", 1, 0, 3), 1);
    free(large);
    large = malloc(400001);
    ck_assert_ptr_nonnull(large);
    memset(large, 'y', 400000);
    large[400000] = '\0';
    broker_send(&client, "T", 1, large);
    /* Always at least one message, however large. */
    ck_assert_uint_eq(expect_pull(&(broker_pull){.queue_id = 1, .offset = 3}, 0, "FOUND", 4, 0, 4),
                      1);
    free(large);
    stop();
}
END_TEST

START_TEST(larger_caps)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.max_pull_messages = 1000;
    config.max_pull_bytes = 2000;
    start_with(&config);
    broker_send_batch(&client, "T", 0, "m", 1000);
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.max_messages = 1000});
    ck_assert_uint_le(answer.command.body.len, 2000);
    ck_assert_uint_gt(answer.command.body.len, 1800);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(tags_by_hash_only)
{
    start();
    broker_send_with(&client, "T", 0, "0", "TAGS\1Aa\2");
    broker_send_with(&client, "T", 0, "1", "TAGS\1BB\2"); /* the same hash */
    broker_send_with(&client, "T", 0, "2", "TAGS\1C\2");
    broker_send(&client, "T", 0, "3");
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.subscription = " BB ||x "});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "nextBeginOffset"), 4);
    rmq_batch *batch = broker_batch(&answer);
    ck_assert_uint_eq(rmq_batch_count(batch), 2);
    broker_expect_body(batch, 0, "0");
    broker_expect_body(batch, 1, "1");
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    ck_assert_uint_eq(
        expect_pull(&(broker_pull){.subscription = "nothing"}, 20, "NO_MATCHED_MESSAGE", 4, 0, 4),
        0);
    ck_assert_uint_eq(expect_pull(&(broker_pull){.subscription = ""}, 0, "FOUND", 4, 0, 4), 4);
    answer = broker_pull_call(&client, &(broker_pull){.subscription = "||"});
    raw_expect(&answer, RMQ_RESPONSE_SUBSCRIPTION_PARSE_FAILED);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(matches_between_others)
{
    start();
    for (int i = 0; i < 30; i++)
        broker_send_with(&client, "T", 0, i % 3 == 0 ? "yes" : "no",
                         i % 3 == 0 ? "TAGS\1A\2" : "TAGS\1B\2");
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.subscription = "A"});
    rmq_batch *batch = broker_batch(&answer);
    ck_assert_uint_eq(rmq_batch_count(batch), 10);
    for (size_t i = 0; i < 10; i++) {
        broker_expect_body(batch, i, "yes");
        ck_assert_int_eq(rmq_batch_at(batch, i)->queue_offset, (int64_t)i * 3);
    }
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(scans_800_at_once)
{
    start();
    broker_send_batch(&client, "T", 0, "m", 1000);
    expect_pull(&(broker_pull){.subscription = "A"}, 20, "NO_MATCHED_MESSAGE", 800, 0, 1000);
    expect_pull(&(broker_pull){.subscription = "A", .offset = 800}, 20, "NO_MATCHED_MESSAGE", 1000,
                0, 1000);
    stop();
}
END_TEST

static void expect_refusal(const char *const *fields, int32_t code, const char *remark)
{
    raw_frame answer = raw_call(&client, RMQ_REQUEST_PULL_MESSAGE, fields, RAW_NO_BODY);
    raw_expect(&answer, code);
    size_t len = strlen(remark);
    ck_assert_msg(answer.command.remark.len >= len &&
                      memcmp(answer.command.remark.data, remark, len) == 0,
                  "%.*s", (int)answer.command.remark.len, answer.command.remark.data);
    raw_frame_free(&answer);
}

START_TEST(refusals)
{
    start();
    expect_refusal(RAW("consumerGroup=G", "topic=T", "queueId=9", "queueOffset=0", "maxMsgNums=1",
                       "sysFlag=4"),
                   29, "queueId[9] is illegal, topic:[T] topicConfig.readQueueNums:[2]");
    expect_refusal(RAW("consumerGroup=G", "topic=T", "queueId=-1", "queueOffset=0", "maxMsgNums=1",
                       "sysFlag=4"),
                   29, "queueId[-1] is illegal");
    expect_refusal(RAW("consumerGroup=G", "topic=None", "queueId=0", "queueOffset=0",
                       "maxMsgNums=1", "sysFlag=4"),
                   17, "topic[None] not exist, apply first please! \nSee ");
    expect_refusal(RAW("consumerGroup=bad group!", "topic=T", "queueId=0", "queueOffset=0",
                       "maxMsgNums=1", "sysFlag=4"),
                   26, "subscription group [bad group!] does not exist");
    expect_refusal(RAW("consumerGroup=G", "topic=T", "queueId=0", "queueOffset=0", "maxMsgNums=1",
                       "sysFlag=0"),
                   24, "the consumer's group info not exist");
    expect_refusal(RAW("consumerGroup=G", "topic=T", "queueId=0", "queueOffset=0", "maxMsgNums=1",
                       "sysFlag=4", "expressionType=SQL92", "subscription=a > 1"),
                   1, "The broker does not support consumer to filter message by SQL92");
    expect_refusal(RAW("topic=T", "queueId=0", "queueOffset=0", "maxMsgNums=1", "sysFlag=4"), 1,
                   "java.lang.NullPointerException");
    expect_refusal(RAW("consumerGroup=G", "topic=T", "queueId=0", "maxMsgNums=1", "sysFlag=4"), 1,
                   "java.lang.NullPointerException");
    expect_refusal(RAW("consumerGroup=G", "topic=T", "queueId=0", "queueOffset=x", "maxMsgNums=1",
                       "sysFlag=4"),
                   1, "java.lang.NumberFormatException");
    stop();
}
END_TEST

START_TEST(no_read_permission)
{
    start();
    raw_frame answer = raw_call(&client, RMQ_REQUEST_UPDATE_AND_CREATE_TOPIC,
                                RAW("topic=W", "defaultTopic=TBW102", "readQueueNums=1",
                                    "writeQueueNums=1", "perm=2", "topicFilterType=SINGLE_TAG"),
                                RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    answer = broker_pull_call(&client, &(broker_pull){.topic = "W"});
    raw_expect(&answer, RMQ_RESPONSE_NO_PERMISSION);
    ck_assert_int_eq(raw_int(&answer, "forbiddenType"), 3);
    raw_frame_free(&answer);
    stop();
}
END_TEST

#define HEARTBEAT                                                                                  \
    "{\"clientID\":\"c1\",\"heartbeatFingerprint\":0,\"withoutSub\":false,"                        \
    "\"producerDataSet\":[],\"consumerDataSet\":[{\"groupName\":\"Reg\","                          \
    "\"consumeType\":\"CONSUME_PASSIVELY\",\"messageModel\":\"CLUSTERING\","                       \
    "\"consumeFromWhere\":\"CONSUME_FROM_LAST_OFFSET\",\"unitMode\":false,"                        \
    "\"subscriptionDataSet\":[{\"topic\":\"T\",\"subString\":\"A\",\"tagsSet\":[\"A\"],"           \
    "\"codeSet\":[65],\"subVersion\":100,\"expressionType\":\"TAG\",\"classFilterMode\":false}]"   \
    "}]}"

START_TEST(registered_subscription)
{
    start();
    broker_send_with(&client, "T", 0, "a", "TAGS\1A\2");
    broker_send_with(&client, "T", 0, "b", "TAGS\1B\2");
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_HEART_BEAT, NULL, RMQ_SLICE_LITERAL(HEARTBEAT));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    answer = raw_call(&client, RMQ_REQUEST_PULL_MESSAGE,
                      RAW("consumerGroup=Reg", "topic=T", "queueId=0", "queueOffset=0",
                          "maxMsgNums=32", "sysFlag=0", "subVersion=100"),
                      RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_batch *batch = broker_batch(&answer);
    ck_assert_uint_eq(rmq_batch_count(batch), 1);
    broker_expect_body(batch, 0, "a");
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    expect_refusal(RAW("consumerGroup=Reg", "topic=T", "queueId=0", "queueOffset=0",
                       "maxMsgNums=32", "sysFlag=0", "subVersion=101"),
                   25, "the consumer's subscription not latest");
    expect_refusal(RAW("consumerGroup=Reg", "topic=TBW102", "queueId=0", "queueOffset=0",
                       "maxMsgNums=32", "sysFlag=0"),
                   24, "the consumer's subscription not exist");
    stop();
}
END_TEST

START_TEST(commits_with_bit_0)
{
    start();
    broker_send_batch(&client, "T", 0, "m", 10);
    raw_frame answer = raw_call(&client, RMQ_REQUEST_PULL_MESSAGE,
                                RAW("consumerGroup=G", "topic=T", "queueId=0", "queueOffset=5",
                                    "maxMsgNums=32", "sysFlag=5", "commitOffset=5"),
                                RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    answer = raw_call(&client, RMQ_REQUEST_QUERY_CONSUMER_OFFSET,
                      RAW("consumerGroup=G", "topic=T", "queueId=0"), RAW_NO_BODY);
    ck_assert_int_eq(raw_int(&answer, "offset"), 5);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(as_4_9_7)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.version = 407;
    start_with(&config);
    broker_send(&client, "T", 0, "x");
    raw_frame answer = broker_pull_call(&client, &(broker_pull){0});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_slice none;
    ck_assert(!rmq_command_get(&answer.command, "topicSysFlag", &none));
    raw_frame_free(&answer);
    answer = raw_call(&client, RMQ_REQUEST_LITE_PULL_MESSAGE, NULL, RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_REQUEST_CODE_NOT_SUPPORTED);
    ck_assert(rmq_slice_equals(answer.command.remark, " request type 361 not supported"));
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(many_messages_come_back_whole)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.max_pull_messages = 500;
    start_with(&config);
    const int64_t total = 30000;
    for (int i = 0; i < 30; i++)
        broker_send_batch(&client, "T", 0, "body ", 1000);
    int64_t offset = 0;
    while (offset < total) {
        raw_frame answer =
            broker_pull_call(&client, &(broker_pull){.offset = offset, .max_messages = 500});
        raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
        rmq_batch *batch = broker_batch(&answer);
        for (size_t i = 0; i < rmq_batch_count(batch); i++) {
            char body[32];
            snprintf(body, sizeof(body), "body %d", (int)((offset + (int64_t)i) % 1000));
            broker_expect_body(batch, i, body);
            ck_assert_int_eq(rmq_batch_at(batch, i)->queue_offset, offset + (int64_t)i);
        }
        offset += (int64_t)rmq_batch_count(batch);
        ck_assert_int_eq(raw_int(&answer, "nextBeginOffset"), offset);
        rmq_batch_unref(batch);
        raw_frame_free(&answer);
    }
    ck_assert_int_eq(offset, total);
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("pull");
    TCase *tcase = tcase_create("pull");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, edges_of_a_queue);
    tcase_add_test(tcase, caps);
    tcase_add_test(tcase, larger_caps);
    tcase_add_test(tcase, tags_by_hash_only);
    tcase_add_test(tcase, matches_between_others);
    tcase_add_test(tcase, scans_800_at_once);
    tcase_add_test(tcase, refusals);
    tcase_add_test(tcase, no_read_permission);
    tcase_add_test(tcase, registered_subscription);
    tcase_add_test(tcase, commits_with_bit_0);
    tcase_add_test(tcase, as_4_9_7);
    tcase_add_test(tcase, many_messages_come_back_whole);
    suite_add_tcase(suite, tcase);
    return suite;
}
