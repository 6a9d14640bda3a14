/* Sends: what is stored and answered, and every refusal. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker_client.h"
#include "codes.h"
#include "props.h"
#include "record.h"

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

#define FIELDS                                                                                     \
    "a=PG", "b=T", "c=TBW102", "d=4", "e=0", "f=0", "g=1700000000000", "h=0", "j=0", "k=false"

/* One request with the plain fields, of which those in `changes` are replaced, or left out if the
 * change has no '='. */
static raw_frame send_changed(const char *const *changes, rmq_slice body)
{
    static const char *const plain[] = {FIELDS, "m=false"};
    const char *fields[32];
    size_t count = 0;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        bool changed = false;
        for (const char *const *change = changes; *change != NULL; change++)
            changed = changed || (*change)[0] == plain[i][0];
        if (!changed)
            fields[count++] = plain[i];
    }
    for (const char *const *change = changes; *change != NULL; change++) {
        if ((*change)[1] == '=')
            fields[count++] = *change;
    }
    fields[count] = NULL;
    return raw_call(&client, RMQ_REQUEST_SEND_MESSAGE_V2, fields, body);
}

static void expect_refusal(const char *const *changes, rmq_slice body, int32_t code,
                           const char *remark)
{
    raw_frame answer = send_changed(changes, body);
    raw_expect(&answer, code);
    size_t len = strlen(remark);
    rmq_slice got = answer.command.remark;
    ck_assert_msg(got.len >= len && memcmp(got.data, remark, len) == 0,
                  "remark '%.*s' doesn't begin with '%s'", (int)got.len, got.data, remark);
    raw_frame_free(&answer);
}

static rmq_batch *pull_all(int32_t queue_id)
{
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.queue_id = queue_id});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_batch *batch = broker_batch(&answer);
    raw_frame_free(&answer);
    return batch;
}

static void expect_property(const rmq_message *message, const char *name, const char *value)
{
    rmq_slice got = {NULL, 0};
    ck_assert_msg(rmq_message_property(message, name, &got), "no property %s", name);
    ck_assert_msg(value == NULL || rmq_slice_equals(got, value), "%s is %.*s", name, (int)got.len,
                  got.data);
}

START_TEST(stores_what_was_sent)
{
    start();
    raw_frame answer = send_changed(RAW("e=1", "h=42", "j=3", "i=TAGS\1A\2KEYS\1k1 k2\2empty\1\2"),
                                    RMQ_SLICE_LITERAL("the body"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "queueId"), 1);
    ck_assert_int_eq(raw_int(&answer, "queueOffset"), 0);
    rmq_batch *batch = pull_all(1);
    const rmq_message *message = rmq_batch_at(batch, 0);
    ck_assert(rmq_slice_equals(message->topic, "T"));
    ck_assert_int_eq(message->flag, 42);
    ck_assert_int_eq(message->reconsume_times, 3);
    ck_assert_int_eq(message->born_timestamp_ms, 1700000000000);
    ck_assert_int_gt(message->store_timestamp_ms, 1700000000000);
    broker_expect_body(batch, 0, "the body");
    expect_property(message, "TAGS", "A");
    expect_property(message, "KEYS", "k1 k2");
    expect_property(message, "CLUSTER", "DefaultCluster");
    expect_property(message, "MSG_REGION", "DefaultRegion");
    expect_property(message, "TRACE_ON", "true");
    expect_property(message, "UNIQ_KEY", NULL);
    rmq_slice none;
    ck_assert(!rmq_message_property(message, "empty", &none));
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_slice answered;
    rmq_message_offset_id(message, id);
    ck_assert(rmq_command_get(&answer.command, "msgId", &answered));
    ck_assert(rmq_slice_equals(answered, id));
    ck_assert(rmq_command_get(&answer.command, "transactionId", &answered));
    rmq_slice unique = rmq_message_unique_key(message);
    ck_assert(answered.len == unique.len && memcmp(answered.data, unique.data, unique.len) == 0);
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(keeps_the_clients_unique_key)
{
    start();
    raw_frame answer =
        send_changed(RAW("i=UNIQ_KEY\1mine\2CLUSTER\1faked"), RMQ_SLICE_LITERAL("x"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    rmq_batch *batch = pull_all(0);
    expect_property(rmq_batch_at(batch, 0), "UNIQ_KEY", "mine");
    expect_property(rmq_batch_at(batch, 0), "CLUSTER", "DefaultCluster");
    rmq_batch_unref(batch);
    stop();
}
END_TEST

START_TEST(old_names)
{
    start();
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_SEND_MESSAGE,
                 RAW("producerGroup=PG", "topic=T", "defaultTopic=TBW102",
                     "defaultTopicQueueNums=4", "queueId=1", "sysFlag=0", "bornTimestamp=1",
                     "flag=5", "properties=TAGS\1old\2", "reconsumeTimes=0", "batch=false"),
                 RMQ_SLICE_LITERAL("v1"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "queueId"), 1);
    raw_frame_free(&answer);
    rmq_batch *batch = pull_all(1);
    expect_property(rmq_batch_at(batch, 0), "TAGS", "old");
    rmq_batch_unref(batch);
    stop();
}
END_TEST

START_TEST(batch_is_stored_as_it_is)
{
    start();
    broker_send(&client, "T", 0, "before");
    rmq_buf body;
    rmq_buf_init(&body, 1 << 20);
    rmq_batch_member_encode(7, RMQ_SLICE_LITERAL("one"), RMQ_SLICE_LITERAL("TAGS\1A\2"), &body);
    rmq_batch_member_encode(8, RMQ_SLICE_LITERAL(""), RMQ_SLICE_LITERAL(""), &body);
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_SEND_BATCH_MESSAGE, RAW(FIELDS, "m=true", "i=TAGS\1lost\2"),
                 (rmq_slice){(const char *)body.data, body.len});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "queueOffset"), 1);
    rmq_slice ids;
    ck_assert(rmq_command_get(&answer.command, "msgId", &ids));
    ck_assert_uint_eq(ids.len, 65);
    ck_assert_int_eq(ids.data[32], ',');
    rmq_batch *batch = pull_all(0);
    ck_assert_uint_eq(rmq_batch_count(batch), 3);
    const rmq_message *first = rmq_batch_at(batch, 1);
    broker_expect_body(batch, 1, "one");
    ck_assert_int_eq(first->flag, 7);
    ck_assert(rmq_slice_equals(first->properties, "TAGS\1A\2"));
    ck_assert_uint_eq(rmq_batch_at(batch, 2)->body.len, 0);
    ck_assert_uint_eq(rmq_batch_at(batch, 2)->properties.len, 0);
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    rmq_buf_deinit(&body);
    stop();
}
END_TEST

START_TEST(code_320_without_m_is_one_message)
{
    start();
    rmq_buf body;
    rmq_buf_init(&body, 1 << 20);
    rmq_batch_member_encode(0, RMQ_SLICE_LITERAL("one"), RMQ_SLICE_LITERAL(""), &body);
    rmq_batch_member_encode(0, RMQ_SLICE_LITERAL("two"), RMQ_SLICE_LITERAL(""), &body);
    raw_frame answer = raw_call(&client, RMQ_REQUEST_SEND_BATCH_MESSAGE, RAW(FIELDS, "m=false"),
                                (rmq_slice){(const char *)body.data, body.len});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    rmq_batch *batch = pull_all(0);
    ck_assert_uint_eq(rmq_batch_count(batch), 1);
    ck_assert_uint_eq(rmq_batch_at(batch, 0)->body.len, body.len);
    rmq_batch_unref(batch);
    rmq_buf_deinit(&body);
    stop();
}
END_TEST

START_TEST(broken_batches)
{
    start();
    rmq_buf body;
    rmq_buf_init(&body, 1 << 20);
    rmq_batch_member_encode(0, RMQ_SLICE_LITERAL("one"), RMQ_SLICE_LITERAL("TAGS\1A\2"), &body);
    rmq_batch_member_encode(0, RMQ_SLICE_LITERAL("two"), RMQ_SLICE_LITERAL(""), &body);
    for (size_t len = 1; len < body.len; len++) {
        raw_frame answer = raw_call(&client, RMQ_REQUEST_SEND_BATCH_MESSAGE, RAW(FIELDS, "m=true"),
                                    (rmq_slice){(const char *)body.data, len});
        /* Cut between the members it is a batch of one. */
        bool whole = len == 4 + 4 + 4 + 4 + 4 + 3 + 2 + 7;
        raw_expect(&answer, whole ? RMQ_RESPONSE_SUCCESS : RMQ_RESPONSE_SYSTEM_ERROR);
        raw_frame_free(&answer);
    }
    raw_frame pulled = broker_pull_call(&client, &(broker_pull){0});
    ck_assert_int_eq(raw_int(&pulled, "maxOffset"), 1);
    raw_frame_free(&pulled);
    rmq_buf_deinit(&body);
    stop();
}
END_TEST

START_TEST(refusals)
{
    start();
    rmq_slice x = RMQ_SLICE_LITERAL("x");
    char long_topic[140] = "b=";
    memset(long_topic + 2, 'a', 128);
    expect_refusal(RAW("e=9"), x, RMQ_RESPONSE_INVALID_PARAMETER,
                   "request queueId[9] is illegal, TopicConfig [topicName=T, readQueueNums=2");
    expect_refusal(RAW("b=bad topic!"), x, RMQ_RESPONSE_INVALID_PARAMETER,
                   "The specified topic: bad topic!, contains illegal characters");
    expect_refusal(RAW("b="), x, RMQ_RESPONSE_INVALID_PARAMETER, "The specified topic is blank.");
    expect_refusal(RAW(long_topic), x, RMQ_RESPONSE_INVALID_PARAMETER, "The specified topic: aaa");
    expect_refusal(RAW("b=SCHEDULE_TOPIC_XXXX"), x, RMQ_RESPONSE_NO_PERMISSION,
                   "Sending message to topic[SCHEDULE_TOPIC_XXXX] is forbidden.");
    expect_refusal(RAW("b=Unknown", "c=Unknown2"), x, RMQ_RESPONSE_TOPIC_NOT_EXIST,
                   "topic[Unknown] not exist, apply first please!");
    expect_refusal(RAW("b"), x, RMQ_RESPONSE_SYSTEM_ERROR, "java.lang.NullPointerException");
    expect_refusal(RAW("e"), x, RMQ_RESPONSE_SYSTEM_ERROR, "java.lang.NullPointerException");
    expect_refusal(RAW("g"), x, RMQ_RESPONSE_SYSTEM_ERROR, "java.lang.NullPointerException");
    expect_refusal(RAW("e=xyz"), x, RMQ_RESPONSE_SYSTEM_ERROR, "java.lang.NumberFormatException");
    expect_refusal(RAW("f"), RAW_NO_BODY, RMQ_RESPONSE_SYSTEM_ERROR,
                   "java.lang.NullPointerException");
    expect_refusal(RAW("m=true", "b=%RETRY%G"), x, RMQ_RESPONSE_MESSAGE_ILLEGAL,
                   "batch request does not support retry group %RETRY%G");
    expect_refusal(RAW("m=true", "i=DELAY\0011\2"), x, RMQ_RESPONSE_MESSAGE_ILLEGAL,
                   "the message is illegal");
    stop();
}
END_TEST

START_TEST(limits)
{
    start();
    size_t most = RMQ_MESSAGE_MAX_BYTES;
    char *body = calloc(1, most + 1);
    ck_assert_ptr_nonnull(body);
    raw_frame answer = send_changed(RAW("e=1"), (rmq_slice){body, most});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    expect_refusal(RAW("e=1"), (rmq_slice){body, most + 1}, RMQ_RESPONSE_MESSAGE_ILLEGAL,
                   "the message is illegal");
    free(body);
    char *properties = malloc(40000);
    ck_assert_ptr_nonnull(properties);
    memset(properties, 'v', 40000);
    memcpy(properties, "i=k\1", 4);
    properties[32600] = '\0';
    answer = send_changed(RAW(properties), RMQ_SLICE_LITERAL("x"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    memset(properties + 4, 'v', 40000 - 4);
    properties[32740] = '\0';
    expect_refusal(RAW(properties), RMQ_SLICE_LITERAL("x"), RMQ_RESPONSE_MESSAGE_ILLEGAL,
                   "the message is illegal");
    free(properties);
    stop();
}
END_TEST

START_TEST(queue_at_random)
{
    start();
    int seen[2] = {0, 0};
    for (int i = 0; i < 64; i++) {
        raw_frame answer = send_changed(RAW("e=-1"), RMQ_SLICE_LITERAL("x"));
        raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
        int64_t queue_id = raw_int(&answer, "queueId");
        ck_assert(queue_id == 0 || queue_id == 1);
        seen[queue_id]++;
        raw_frame_free(&answer);
    }
    ck_assert_int_gt(seen[0], 0);
    ck_assert_int_gt(seen[1], 0);
    stop();
}
END_TEST

START_TEST(creates_topics)
{
    start();
    raw_frame answer = send_changed(RAW("b=New", "d=3", "e=2"), RMQ_SLICE_LITERAL("x"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    answer = send_changed(RAW("b=Wide", "d=100", "e=7"), RMQ_SLICE_LITERAL("x"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    expect_refusal(RAW("b=Wide", "e=8"), RMQ_SLICE_LITERAL("x"), RMQ_RESPONSE_INVALID_PARAMETER,
                   "request queueId[8] is illegal");
    /* A queue that it won't have: the topic is made all the same. */
    expect_refusal(RAW("b=Other", "e=99"), RMQ_SLICE_LITERAL("x"), RMQ_RESPONSE_INVALID_PARAMETER,
                   "request queueId[99] is illegal");
    answer = raw_call(&client, RMQ_REQUEST_GET_TOPIC_CONFIG, RAW("topic=Other"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(creates_no_topics_if_told_so)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.no_auto_create_topic = true;
    start_with(&config);
    expect_refusal(RAW("b=New"), RMQ_SLICE_LITERAL("x"), RMQ_RESPONSE_TOPIC_NOT_EXIST,
                   "topic[New] not exist");
    raw_client namesrv = raw_connect(rmq_devbroker_namesrv(broker));
    raw_frame answer =
        raw_call(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=TBW102"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_TOPIC_NOT_EXIST);
    raw_frame_free(&answer);
    raw_close(&namesrv);
    stop();
}
END_TEST

START_TEST(as_4_9_7)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.version = 407;
    start_with(&config);
    raw_frame answer = send_changed(RAW("f=0"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(answer.command.version, 407);
    rmq_slice none;
    ck_assert(!rmq_command_get(&answer.command, "transactionId", &none));
    raw_frame_free(&answer);
    rmq_batch *batch = pull_all(0);
    ck_assert(rmq_slice_equals(rmq_batch_at(batch, 0)->properties, "CLUSTER\1DefaultCluster\2"));
    rmq_batch_unref(batch);
    stop();
}
END_TEST

START_TEST(oneway_is_not_answered)
{
    start();
    rmq_command command;
    rmq_command_init(&command, RMQ_REQUEST_SEND_MESSAGE_V2);
    command.flag = RMQ_FLAG_ONEWAY;
    raw_send_command(&client, &command); /* all fields missing: not even the error comes */
    rmq_command_deinit(&command);
    broker_send(&client, "T", 0, "later");
    ck_assert(raw_silent(&client, 0));
    ck_assert_uint_eq(rmq_devbroker_requests(broker, RMQ_REQUEST_SEND_MESSAGE_V2), 2);
    stop();
}
END_TEST

START_TEST(memory_cap)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.max_memory_bytes = 20000;
    start_with(&config);
    int stored = 0;
    int32_t code;
    do {
        raw_frame answer = send_changed(RAW("e=0"), RMQ_SLICE_LITERAL("some bytes"));
        code = answer.command.code;
        stored += code == RMQ_RESPONSE_SUCCESS;
        raw_frame_free(&answer);
        ck_assert_int_lt(stored, 1000);
    } while (code == RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(code, RMQ_RESPONSE_SERVICE_NOT_AVAILABLE);
    ck_assert_int_gt(stored, 20);
    rmq_buf body;
    rmq_buf_init(&body, 1 << 20);
    rmq_batch_member_encode(0, RMQ_SLICE_LITERAL("a"), RMQ_SLICE_LITERAL(""), &body);
    raw_frame answer = raw_call(&client, RMQ_REQUEST_SEND_BATCH_MESSAGE, RAW(FIELDS, "m=true"),
                                (rmq_slice){(const char *)body.data, body.len});
    raw_expect(&answer, RMQ_RESPONSE_SERVICE_NOT_AVAILABLE);
    raw_frame_free(&answer);
    rmq_buf_deinit(&body);
    /* What is there stays, and deleting makes room. */
    rmq_error err;
    raw_frame pulled = broker_pull_call(&client, &(broker_pull){0});
    ck_assert_int_eq(raw_int(&pulled, "maxOffset"), stored);
    raw_frame_free(&pulled);
    ck_ok(rmq_devbroker_delete_below(broker, "T", 0, stored, &err), &err);
    broker_send(&client, "T", 0, "room again");
    stop();
}
END_TEST

START_TEST(hosts_are_ipv4_whatever_the_client_says)
{
    start();
    raw_frame answer = send_changed(RAW("f=48"), RMQ_SLICE_LITERAL("v6?"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    rmq_batch *batch = pull_all(0);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->born_host.address_bytes, 4);
    broker_expect_body(batch, 0, "v6?");
    rmq_batch_unref(batch);
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("send");
    TCase *tcase = tcase_create("send");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, stores_what_was_sent);
    tcase_add_test(tcase, keeps_the_clients_unique_key);
    tcase_add_test(tcase, old_names);
    tcase_add_test(tcase, batch_is_stored_as_it_is);
    tcase_add_test(tcase, code_320_without_m_is_one_message);
    tcase_add_test(tcase, broken_batches);
    tcase_add_test(tcase, refusals);
    tcase_add_test(tcase, limits);
    tcase_add_test(tcase, queue_at_random);
    tcase_add_test(tcase, creates_topics);
    tcase_add_test(tcase, creates_no_topics_if_told_so);
    tcase_add_test(tcase, as_4_9_7);
    tcase_add_test(tcase, oneway_is_not_answered);
    tcase_add_test(tcase, memory_cap);
    tcase_add_test(tcase, hosts_are_ipv4_whatever_the_client_says);
    suite_add_tcase(suite, tcase);
    return suite;
}
