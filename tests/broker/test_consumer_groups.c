/* Members, notifications, queue locks, and what an administrator sees of groups. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker_client.h"
#include "codes.h"
#include "heartbeat.h"

static rmq_devbroker *broker;
static raw_client client;

static void start(void)
{
    broker = broker_start(NULL);
    client = raw_connect(rmq_devbroker_address(broker));
}

static void stop(void)
{
    raw_close(&client);
    rmq_devbroker_free(broker);
}

/* A heartbeat of a consumer in group CG with that subscription to T, and a producer in PG. */
static int32_t heartbeat_send(raw_client *of, const char *client_id, const char *tags,
                              int64_t version)
{
    char *body = NULL;
    ck_assert_int_gt(
        asprintf(&body,
                 "{\"clientID\":\"%s\",\"heartbeatFingerprint\":0,\"withoutSub\":false,"
                 "\"producerDataSet\":[{\"groupName\":\"PG\"}],"
                 "\"consumerDataSet\":[{\"groupName\":\"CG\","
                 "\"consumeType\":\"CONSUME_PASSIVELY\",\"messageModel\":\"CLUSTERING\","
                 "\"consumeFromWhere\":\"CONSUME_FROM_LAST_OFFSET\",\"unitMode\":false,"
                 "\"subscriptionDataSet\":[{\"topic\":\"T\",\"subString\":\"%s\",\"tagsSet\":[],"
                 "\"codeSet\":[],\"subVersion\":%lld,\"expressionType\":\"TAG\","
                 "\"classFilterMode\":false}]}]}",
                 client_id, tags, (long long)version),
        0);
    int32_t opaque = raw_send(of, RMQ_REQUEST_HEART_BEAT, NULL, rmq_slice_of(body));
    free(body);
    return opaque;
}

/* Reads a notification and the heartbeat's answer, in that order. */
static void expect_notified_then_answer(raw_client *of, int32_t opaque)
{
    raw_frame frame = raw_read(of);
    ck_assert_int_eq(frame.command.code, RMQ_REQUEST_NOTIFY_CONSUMER_IDS_CHANGED);
    ck_assert_int_eq(frame.command.flag, RMQ_FLAG_ONEWAY);
    rmq_slice group;
    ck_assert(rmq_command_get(&frame.command, "consumerGroup", &group));
    ck_assert(rmq_slice_equals(group, "CG"));
    raw_frame_free(&frame);
    frame = raw_read(of);
    ck_assert_int_eq(frame.command.opaque, opaque);
    raw_expect(&frame, RMQ_RESPONSE_SUCCESS);
    rmq_slice value;
    ck_assert(rmq_command_get(&frame.command, "IS_SUPPORT_HEART_BEAT_V2", &value));
    ck_assert(rmq_command_get(&frame.command, "IS_SUB_CHANGE", &value));
    raw_frame_free(&frame);
}

static void expect_notified(raw_client *of)
{
    raw_frame frame = raw_read(of);
    ck_assert_int_eq(frame.command.code, RMQ_REQUEST_NOTIFY_CONSUMER_IDS_CHANGED);
    raw_frame_free(&frame);
}

static void expect_members(const char *const *expected, size_t n_expected)
{
    raw_frame answer = raw_call(&client, RMQ_REQUEST_GET_CONSUMER_LIST_BY_GROUP,
                                RAW("consumerGroup=CG"), RAW_NO_BODY);
    if (n_expected == 0) {
        raw_expect(&answer, RMQ_RESPONSE_SYSTEM_ERROR);
        ck_assert(rmq_slice_equals(answer.command.remark, "no consumer for this group, CG"));
        raw_frame_free(&answer);
        return;
    }
    char **ids = NULL;
    size_t count = 0;
    rmq_error err;
    ck_ok(rmq_consumer_list_decode(answer.command.body, &ids, &count, &err), &err);
    ck_assert_uint_eq(count, n_expected);
    for (size_t i = 0; i < n_expected; i++) {
        bool found = false;
        for (size_t j = 0; j < count; j++)
            found = found || strcmp(ids[j], expected[i]) == 0;
        ck_assert_msg(found, "%s is no member", expected[i]);
    }
    for (size_t j = 0; j < count; j++)
        rmq_free(ids[j]);
    rmq_free(ids);
    raw_frame_free(&answer);
}

START_TEST(members_come_and_go)
{
    start();
    raw_client one = raw_connect(rmq_devbroker_address(broker));
    raw_client two = raw_connect(rmq_devbroker_address(broker));
    expect_members(NULL, 0);
    expect_notified_then_answer(&one, heartbeat_send(&one, "c1", "*", 1));
    expect_members(RAW("c1"), 1);
    /* The same heartbeat again tells nobody. */
    int32_t opaque = heartbeat_send(&one, "c1", "*", 1);
    raw_frame answer = raw_read(&one);
    ck_assert_int_eq(answer.command.opaque, opaque);
    raw_frame_free(&answer);
    expect_notified_then_answer(&two, heartbeat_send(&two, "c2", "*", 1));
    expect_notified(&one);
    expect_members(RAW("c1", "c2"), 2);
    /* A changed subscription is told to all. */
    expect_notified_then_answer(&two, heartbeat_send(&two, "c2", "A", 2));
    expect_notified(&one);
    /* A good-bye. */
    answer = raw_call(&two, RMQ_REQUEST_UNREGISTER_CLIENT,
                      RAW("clientID=c2", "consumerGroup=CG", "producerGroup=PG"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    expect_notified(&one);
    expect_members(RAW("c1"), 1);
    /* A cut connection. */
    expect_notified_then_answer(&two, heartbeat_send(&two, "c2", "A", 2));
    expect_notified(&one);
    raw_close(&two);
    expect_notified(&one);
    expect_members(RAW("c1"), 1);
    raw_close(&one);
    stop();
}
END_TEST

START_TEST(one_id_on_two_connections_is_two_members)
{
    start();
    raw_client one = raw_connect(rmq_devbroker_address(broker));
    raw_client two = raw_connect(rmq_devbroker_address(broker));
    expect_notified_then_answer(&one, heartbeat_send(&one, "same", "*", 1));
    expect_notified_then_answer(&two, heartbeat_send(&two, "same", "*", 1));
    expect_members(RAW("same", "same"), 2);
    raw_close(&one);
    raw_close(&two);
    stop();
}
END_TEST

START_TEST(heartbeat_makes_the_retry_topic)
{
    start();
    expect_notified_then_answer(&client, heartbeat_send(&client, "c1", "*", 1));
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_GET_TOPIC_CONFIG, RAW("topic=%RETRY%CG"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(the_last_member_takes_the_subscription_along)
{
    start();
    broker_send(&client, "T", 0, "x");
    raw_client one = raw_connect(rmq_devbroker_address(broker));
    expect_notified_then_answer(&one, heartbeat_send(&one, "c1", "*", 1));
    /* Registered by one connection, pulled by another. */
    const char *const *fields = RAW("consumerGroup=CG", "topic=T", "queueId=0", "queueOffset=0",
                                    "maxMsgNums=1", "sysFlag=0", "subVersion=1");
    raw_frame answer = raw_call(&client, RMQ_REQUEST_PULL_MESSAGE, fields, RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    answer = raw_call(&one, RMQ_REQUEST_UNREGISTER_CLIENT, RAW("clientID=c1", "consumerGroup=CG"),
                      RAW_NO_BODY);
    raw_frame_free(&answer);
    answer = raw_call(&client, RMQ_REQUEST_PULL_MESSAGE, fields, RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUBSCRIPTION_NOT_EXIST);
    raw_frame_free(&answer);
    raw_close(&one);
    stop();
}
END_TEST

START_TEST(broken_heartbeats)
{
    start();
    static const char *const bodies[] = {"", "{", "[]", "{\"clientID\":7}", "null", "\xff\xfe"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        raw_frame answer = raw_call(&client, RMQ_REQUEST_HEART_BEAT, NULL, rmq_slice_of(bodies[i]));
        raw_expect(&answer, RMQ_RESPONSE_SYSTEM_ERROR);
        raw_frame_free(&answer);
    }
    /* An illegal group is passed over. */
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_HEART_BEAT, NULL,
                 RMQ_SLICE_LITERAL(
                     "{\"clientID\":\"c\",\"consumerDataSet\":[{\"groupName\":\"no good\"}]}"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    stop();
}
END_TEST

static void expect_contains(int32_t code, const char *const *fields, const char *text)
{
    raw_frame answer = raw_call(&client, code, fields, RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_msg(memmem(answer.command.body.data, answer.command.body.len, text, strlen(text)) !=
                      NULL,
                  "%.*s", (int)answer.command.body.len, answer.command.body.data);
    raw_frame_free(&answer);
}

static void expect_code(int32_t code, const char *const *fields, rmq_slice body, int32_t expected)
{
    raw_frame answer = raw_call(&client, code, fields, body);
    raw_expect(&answer, expected);
    raw_frame_free(&answer);
}

START_TEST(connections)
{
    start();
    expect_code(RMQ_REQUEST_GET_CONSUMER_CONNECTION_LIST, RAW("consumerGroup=CG"), RAW_NO_BODY,
                RMQ_RESPONSE_CONSUMER_NOT_ONLINE);
    expect_code(RMQ_REQUEST_GET_PRODUCER_CONNECTION_LIST, RAW("producerGroup=PG"), RAW_NO_BODY,
                RMQ_RESPONSE_SYSTEM_ERROR);
    expect_notified_then_answer(&client, heartbeat_send(&client, "c1", "A || B", 9));
    expect_contains(RMQ_REQUEST_GET_CONSUMER_CONNECTION_LIST, RAW("consumerGroup=CG"),
                    "\"clientId\":\"c1\",\"language\":\"CPP\",\"version\":493}");
    expect_contains(RMQ_REQUEST_GET_CONSUMER_CONNECTION_LIST, RAW("consumerGroup=CG"),
                    "\"codeSet\":[65,66],\"expressionType\":\"TAG\",\"subString\":\"A || B\","
                    "\"subVersion\":9");
    expect_contains(RMQ_REQUEST_GET_PRODUCER_CONNECTION_LIST, RAW("producerGroup=PG"),
                    "\"clientId\":\"c1\"");
    /* A producer whose connection is gone is gone from the list. */
    raw_close(&client);
    client = raw_connect(rmq_devbroker_address(broker));
    int32_t code;
    do {
        raw_frame answer = raw_call(&client, RMQ_REQUEST_GET_PRODUCER_CONNECTION_LIST,
                                    RAW("producerGroup=PG"), RAW_NO_BODY);
        code = answer.command.code;
        raw_frame_free(&answer);
    } while (code == RMQ_RESPONSE_SUCCESS);
    stop();
}
END_TEST

START_TEST(group_configuration)
{
    start();
    expect_contains(RMQ_REQUEST_GET_SUBSCRIPTIONGROUP_CONFIG, RAW("group=New"),
                    "\"groupName\":\"New\"");
    expect_code(RMQ_REQUEST_GET_SUBSCRIPTIONGROUP_CONFIG, RAW("group=no good"), RAW_NO_BODY,
                RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST);
    expect_code(RMQ_REQUEST_UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, NULL,
                RMQ_SLICE_LITERAL("{\"groupName\":\"Made\",\"retryMaxTimes\":3}"),
                RMQ_RESPONSE_SUCCESS);
    expect_code(RMQ_REQUEST_UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, NULL,
                RMQ_SLICE_LITERAL("{\"groupName\":\"no good\"}"), RMQ_RESPONSE_INVALID_PARAMETER);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET,
                RAW("consumerGroup=Made", "topic=T", "queueId=0", "commitOffset=3"), RAW_NO_BODY,
                RMQ_RESPONSE_SUCCESS);
    expect_code(RMQ_REQUEST_DELETE_SUBSCRIPTIONGROUP, RAW("groupName=Made", "cleanOffset=true"),
                RAW_NO_BODY, RMQ_RESPONSE_SUCCESS);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET,
                RAW("consumerGroup=Made", "topic=T", "queueId=0", "commitOffset=3"), RAW_NO_BODY,
                RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST);
    expect_code(RMQ_REQUEST_QUERY_CONSUMER_OFFSET,
                RAW("consumerGroup=Made", "topic=T", "queueId=0"), RAW_NO_BODY,
                RMQ_RESPONSE_QUERY_NOT_FOUND);
    stop();
}
END_TEST

START_TEST(consume_stats)
{
    start();
    broker_send_batch(&client, "T", 0, "m", 10);
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.max_messages = 4});
    raw_frame_free(&answer);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET,
                RAW("consumerGroup=G", "topic=T", "queueId=0", "commitOffset=3"), RAW_NO_BODY,
                RMQ_RESPONSE_SUCCESS);
    expect_contains(RMQ_REQUEST_GET_CONSUME_STATS, RAW("consumerGroup=G"),
                    "{\"brokerName\":\"broker-a\",\"queueId\":0,\"topic\":\"T\"}:"
                    "{\"brokerOffset\":10,\"consumerOffset\":3,\"lastTimestamp\":");
    expect_contains(RMQ_REQUEST_GET_CONSUME_STATS, RAW("consumerGroup=G", "topic=T"),
                    "\"pullOffset\":4}");
    expect_contains(RMQ_REQUEST_GET_CONSUME_STATS, RAW("consumerGroup=Nobody"),
                    "{\"consumeTps\":0.0,\"offsetTable\":{}}");
    stop();
}
END_TEST

START_TEST(check_client_configuration)
{
    start();
    expect_code(RMQ_REQUEST_CHECK_CLIENT_CONFIG, NULL,
                RMQ_SLICE_LITERAL("{\"clientId\":\"c\",\"group\":\"G\",\"subscriptionData\":"
                                  "{\"topic\":\"T\",\"subString\":\"A\",\"expressionType\":"
                                  "\"TAG\"}}"),
                RMQ_RESPONSE_SUCCESS);
    expect_code(RMQ_REQUEST_CHECK_CLIENT_CONFIG, NULL,
                RMQ_SLICE_LITERAL("{\"subscriptionData\":{\"subString\":\"a > 1\","
                                  "\"expressionType\":\"SQL92\"}}"),
                RMQ_RESPONSE_SUBSCRIPTION_PARSE_FAILED);
    expect_code(RMQ_REQUEST_CHECK_CLIENT_CONFIG, NULL, RMQ_SLICE_LITERAL("{"),
                RMQ_RESPONSE_SYSTEM_ERROR);
    expect_code(RMQ_REQUEST_CHECK_CLIENT_CONFIG, NULL, RAW_NO_BODY, RMQ_RESPONSE_SUCCESS);
    stop();
}
END_TEST

static size_t lock_call(int32_t code, const char *client_id)
{
    char body[512];
    snprintf(body, sizeof(body),
             "{\"consumerGroup\":\"CG\",\"clientId\":\"%s\",\"mqSet\":["
             "{\"topic\":\"T\",\"brokerName\":\"broker-a\",\"queueId\":0},"
             "{\"topic\":\"T\",\"brokerName\":\"broker-a\",\"queueId\":1}]}",
             client_id);
    raw_frame answer = raw_call(&client, code, NULL, rmq_slice_of(body));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    size_t count = 0;
    if (code == RMQ_REQUEST_LOCK_BATCH_MQ) {
        rmq_lock_queue *queues = NULL;
        rmq_error err;
        ck_ok(rmq_lock_response_decode(answer.command.body, &queues, &count, &err), &err);
        rmq_lock_queues_free(queues, count);
    }
    raw_frame_free(&answer);
    return count;
}

START_TEST(queue_locks)
{
    start();
    ck_assert_uint_eq(lock_call(RMQ_REQUEST_LOCK_BATCH_MQ, "c1"), 2);
    ck_assert_uint_eq(lock_call(RMQ_REQUEST_LOCK_BATCH_MQ, "c1"), 2);
    ck_assert_uint_eq(lock_call(RMQ_REQUEST_LOCK_BATCH_MQ, "c2"), 0);
    lock_call(RMQ_REQUEST_UNLOCK_BATCH_MQ, "c2"); /* another's lock stays */
    ck_assert_uint_eq(lock_call(RMQ_REQUEST_LOCK_BATCH_MQ, "c2"), 0);
    lock_call(RMQ_REQUEST_UNLOCK_BATCH_MQ, "c1");
    ck_assert_uint_eq(lock_call(RMQ_REQUEST_LOCK_BATCH_MQ, "c2"), 2);
    expect_code(RMQ_REQUEST_LOCK_BATCH_MQ, NULL, RMQ_SLICE_LITERAL("{"), RMQ_RESPONSE_SYSTEM_ERROR);
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("consumer_groups");
    TCase *tcase = tcase_create("consumer_groups");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, members_come_and_go);
    tcase_add_test(tcase, one_id_on_two_connections_is_two_members);
    tcase_add_test(tcase, heartbeat_makes_the_retry_topic);
    tcase_add_test(tcase, the_last_member_takes_the_subscription_along);
    tcase_add_test(tcase, broken_heartbeats);
    tcase_add_test(tcase, connections);
    tcase_add_test(tcase, group_configuration);
    tcase_add_test(tcase, consume_stats);
    tcase_add_test(tcase, check_client_configuration);
    tcase_add_test(tcase, queue_locks);
    suite_add_tcase(suite, tcase);
    return suite;
}
