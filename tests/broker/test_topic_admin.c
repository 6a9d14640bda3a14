/* Topics made, changed, shown and deleted; routes and lists of the name server; what the broker
 * says about itself. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "broker_client.h"
#include "codes.h"
#include "route.h"

static rmq_devbroker *broker;
static raw_client client;
static raw_client namesrv;

static void start(void)
{
    broker = broker_start(NULL);
    client = raw_connect(rmq_devbroker_address(broker));
    namesrv = raw_connect(rmq_devbroker_namesrv(broker));
}

static void stop(void)
{
    raw_close(&client);
    raw_close(&namesrv);
    rmq_devbroker_free(broker);
}

static void expect(raw_client *of, int32_t code, const char *const *fields, int32_t expected,
                   const char *remark)
{
    raw_frame answer = raw_call(of, code, fields, RAW_NO_BODY);
    raw_expect(&answer, expected);
    size_t len = remark != NULL ? strlen(remark) : 0;
    ck_assert_msg(answer.command.remark.len >= len &&
                      (len == 0 || memcmp(answer.command.remark.data, remark, len) == 0),
                  "%.*s", (int)answer.command.remark.len, answer.command.remark.data);
    raw_frame_free(&answer);
}

static void expect_body(raw_client *of, int32_t code, const char *const *fields, const char *body)
{
    raw_frame answer = raw_call(of, code, fields, RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_msg(rmq_slice_equals(answer.command.body, body), "%.*s", (int)answer.command.body.len,
                  answer.command.body.data);
    raw_frame_free(&answer);
}

#define CREATE(topic, read, write, perm)                                                           \
    RAW("topic=" topic, "defaultTopic=TBW102", "readQueueNums=" read, "writeQueueNums=" write,     \
        "perm=" perm, "topicFilterType=SINGLE_TAG", "topicSysFlag=0", "order=false")

START_TEST(create_and_change)
{
    start();
    expect(&client, RMQ_REQUEST_UPDATE_AND_CREATE_TOPIC, CREATE("N", "4", "3", "6"), 0,
           "not set any response code");
    expect_body(&client, RMQ_REQUEST_GET_TOPIC_CONFIG, RAW("topic=N"),
                "{\"attributes\":{},\"order\":false,\"perm\":6,\"readQueueNums\":4,"
                "\"topicFilterType\":\"SINGLE_TAG\",\"topicName\":\"N\",\"topicSysFlag\":0,"
                "\"writeQueueNums\":3}");
    broker_send(&client, "N", 3, "in a queue that goes");
    expect(&client, RMQ_REQUEST_UPDATE_AND_CREATE_TOPIC, CREATE("N", "1", "1", "6"), 0, NULL);
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.topic = "N", .queue_id = 3});
    raw_expect(&answer, RMQ_RESPONSE_INVALID_PARAMETER);
    raw_frame_free(&answer);
    expect(&client, RMQ_REQUEST_UPDATE_AND_CREATE_TOPIC, CREATE("N", "4", "4", "6"), 0, NULL);
    answer = broker_pull_call(&client, &(broker_pull){.topic = "N", .queue_id = 3});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(refusals)
{
    start();
    int32_t code = RMQ_REQUEST_UPDATE_AND_CREATE_TOPIC;
    expect(&client, code, CREATE("bad topic!", "1", "1", "6"), 29,
           "The specified topic: bad topic!, contains illegal characters, allowing only "
           "^[%|a-zA-Z0-9_-]+$");
    expect(&client, code, CREATE("", "1", "1", "6"), 29, "The specified topic is blank.");
    expect(&client, code, CREATE("TBW102", "1", "1", "6"), 29,
           "The topic[TBW102] is conflict with system topic.");
    expect(&client, code, CREATE("DefaultCluster", "1", "1", "6"), 29,
           "The topic[DefaultCluster] is conflict with system topic.");
    expect(&client, code, CREATE("N", "99999999", "1", "6"), 14, "99999999 queues, at most 65536");
    expect(&client, code, CREATE("N", "-1", "1", "6"), 29, NULL);
    expect(&client, code, RAW("topic=N", "readQueueNums=1", "writeQueueNums=1", "perm=6"), 1,
           "org.apache.rocketmq.remoting.exception.RemotingCommandException");
    expect(&client, code, RAW("readQueueNums=1", "topicFilterType=SINGLE_TAG"), 1,
           "java.lang.NullPointerException");
    expect(&client, RMQ_REQUEST_GET_TOPIC_CONFIG, RAW("topic=N"), 17,
           "No topic in this broker. topic: N");
    expect(&client, RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, RAW("topic=TBW102"), 29,
           "The topic[TBW102] is conflict with system topic.");
    expect(&client, RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, NULL, 29, "The specified topic is blank.");
    expect(&client, RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, RAW("topic=Unknown"), 0, NULL);
    stop();
}
END_TEST

START_TEST(delete_in_two_steps)
{
    start();
    broker_send(&client, "T", 0, "gone soon");
    expect(&client, RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, RAW("topic=T"), 0, NULL);
    expect(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=T"), 0, NULL);
    raw_frame answer = broker_pull_call(&client, &(broker_pull){0});
    raw_expect(&answer, RMQ_RESPONSE_TOPIC_NOT_EXIST);
    raw_frame_free(&answer);
    expect(&namesrv, RMQ_REQUEST_DELETE_TOPIC_IN_NAMESRV, RAW("topic=T"), 0, NULL);
    expect(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=T"), 17,
           "No topic route info in name server for the topic: T\nSee ");
    expect(&namesrv, RMQ_REQUEST_DELETE_TOPIC_IN_NAMESRV, RAW("topic=T"), 0, NULL);
    rmq_error err;
    ck_ok(rmq_devbroker_topic(broker, "T", 1, &err), &err);
    ck_assert_int_eq(broker_send(&client, "T", 0, "a new beginning"), 0);
    stop();
}
END_TEST

START_TEST(route_legal_json_or_not)
{
    start();
    raw_frame answer =
        raw_call(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=T"), RAW_NO_BODY);
    ck_assert_ptr_nonnull(
        memmem(answer.command.body.data, answer.command.body.len, "\"brokerAddrs\":{\"0\":", 19));
    raw_frame_free(&answer);
    namesrv.version = 400; /* older than 4.9.4 */
    answer = raw_call(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=T"), RAW_NO_BODY);
    ck_assert_ptr_nonnull(
        memmem(answer.command.body.data, answer.command.body.len, "\"brokerAddrs\":{0:", 17));
    raw_frame_free(&answer);
    answer = raw_call(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC,
                      RAW("topic=T", "acceptStandardJsonOnly=true"), RAW_NO_BODY);
    ck_assert_ptr_nonnull(
        memmem(answer.command.body.data, answer.command.body.len, "\"brokerAddrs\":{\"0\":", 19));
    raw_frame_free(&answer);
    expect(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, NULL, 17,
           "No topic route info in name server for the topic: null");
    stop();
}
END_TEST

START_TEST(route_of_the_auto_create_topic)
{
    start();
    raw_frame answer =
        raw_call(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=TBW102"), RAW_NO_BODY);
    rmq_route route;
    rmq_error err;
    ck_ok(rmq_route_decode(answer.command.body, &route, &err), &err);
    ck_assert_int_eq(route.queues[0].perm, 7);
    ck_assert_int_eq(route.queues[0].write_queues, 8);
    rmq_route_deinit(&route);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(lists)
{
    start();
    raw_frame answer =
        raw_call(&namesrv, RMQ_REQUEST_GET_ALL_TOPIC_LIST_FROM_NAMESERVER, NULL, RAW_NO_BODY);
    char **topics = NULL;
    size_t count = 0;
    rmq_error err;
    ck_ok(rmq_topic_list_decode(answer.command.body, &topics, &count, &err), &err);
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found = found || strcmp(topics[i], "T") == 0;
    ck_assert(found);
    rmq_topic_list_free(topics, count);
    raw_frame_free(&answer);
    expect_body(&namesrv, RMQ_REQUEST_GET_TOPICS_BY_CLUSTER, RAW("cluster=Other"),
                "{\"topicList\":[]}");
    answer = raw_call(&namesrv, RMQ_REQUEST_GET_BROKER_CLUSTER_INFO, NULL, RAW_NO_BODY);
    rmq_route cluster;
    ck_ok(rmq_cluster_info_decode(answer.command.body, &cluster, &err), &err);
    ck_assert_uint_eq(cluster.n_brokers, 1);
    ck_assert_str_eq(cluster.brokers[0].broker_name, "broker-a");
    ck_assert_str_eq(cluster.brokers[0].addresses[0].address, rmq_devbroker_address(broker));
    rmq_route_deinit(&cluster);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(topic_stats)
{
    start();
    broker_send_batch(&client, "T", 1, "m", 5);
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_GET_TOPIC_STATS_INFO, RAW("topic=T"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_topic_stat *stats = NULL;
    size_t count = 0;
    rmq_error err;
    ck_ok(rmq_topic_stats_decode(answer.command.body, &stats, &count, &err), &err);
    ck_assert_uint_eq(count, 2);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(stats[i].max_offset, stats[i].queue_id == 1 ? 5 : 0);
        ck_assert_int_eq(stats[i].last_update_ms > 0, stats[i].queue_id == 1);
    }
    rmq_topic_stats_free(stats, count);
    raw_frame_free(&answer);
    expect(&client, RMQ_REQUEST_GET_TOPIC_STATS_INFO, RAW("topic=None"), 17,
           "topic[None] not exist");
    stop();
}
END_TEST

START_TEST(settings_of_the_name_server)
{
    start();
    expect(&namesrv, RMQ_REQUEST_GET_KV_CONFIG, RAW("namespace=N", "key=k"), 22,
           "No config item, Namespace: N Key: k");
    expect(&namesrv, RMQ_REQUEST_PUT_KV_CONFIG, RAW("namespace=N", "key=k", "value=v"), 0, NULL);
    expect(&namesrv, RMQ_REQUEST_PUT_KV_CONFIG, RAW("namespace=N", "key=k", "value=w"), 0, NULL);
    raw_frame answer =
        raw_call(&namesrv, RMQ_REQUEST_GET_KV_CONFIG, RAW("namespace=N", "key=k"), RAW_NO_BODY);
    rmq_slice value;
    ck_assert(rmq_command_get(&answer.command, "value", &value));
    ck_assert(rmq_slice_equals(value, "w"));
    raw_frame_free(&answer);
    expect_body(&namesrv, 219, RAW("namespace=N"), "{\"table\":{\"k\":\"w\"}}");
    expect(&namesrv, RMQ_REQUEST_DELETE_KV_CONFIG, RAW("namespace=N", "key=k"), 0, NULL);
    expect(&namesrv, 219, RAW("namespace=N"), 22, "No config item, Namespace: N");
    expect(&namesrv, RMQ_REQUEST_PUT_KV_CONFIG, RAW("namespace=N", "key=k"), 1,
           "java.lang.NullPointerException");
    stop();
}
END_TEST

START_TEST(public_topic_function)
{
    start();
    rmq_error err;
    ck_ok(rmq_devbroker_topic(broker, "T", 5, &err), &err);
    ck_ok(rmq_devbroker_topic(broker, "T", 3, &err), &err); /* never shrinks */
    broker_send(&client, "T", 4, "x");
    ck_status(rmq_devbroker_topic(broker, "bad topic!", 1, &err), RMQ_INVAL);
    ck_status(rmq_devbroker_topic(broker, "U", 0, &err), RMQ_INVAL);
    ck_status(rmq_devbroker_topic(broker, "U", 1 << 20, &err), RMQ_FULL);
    stop();
}
END_TEST

START_TEST(about_itself)
{
    start();
    broker_send(&client, "T", 0, "x");
    raw_frame answer = raw_call(&client, RMQ_REQUEST_GET_BROKER_RUNTIME_INFO, NULL, RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_slice body = answer.command.body;
    ck_assert_ptr_nonnull(memmem(body.data, body.len, "\"dispatchBehindBytes\":\"0\"", 25));
    ck_assert_ptr_nonnull(memmem(body.data, body.len, "\"commitLogMaxOffset\":\"", 22));
    ck_assert_ptr_null(memmem(body.data, body.len, "\"commitLogMaxOffset\":\"0\"", 24));
    raw_frame_free(&answer);
    answer = raw_call(&client, RMQ_REQUEST_GET_BROKER_CONFIG, NULL, RAW_NO_BODY);
    body = answer.command.body;
    ck_assert_ptr_nonnull(memmem(body.data, body.len, "\nwaitTimeMillsInSendQueue=200\n", 30));
    raw_frame_free(&answer);
    expect(&client, 9999, NULL, 3, " request type 9999 not supported");
    expect(&client, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=T"), 3,
           " request type 105 not supported");
    expect(&namesrv, RMQ_REQUEST_SEND_MESSAGE_V2, NULL, 3, " request type 310 not supported");
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("topic_admin");
    TCase *tcase = tcase_create("topic_admin");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, create_and_change);
    tcase_add_test(tcase, refusals);
    tcase_add_test(tcase, delete_in_two_steps);
    tcase_add_test(tcase, route_legal_json_or_not);
    tcase_add_test(tcase, route_of_the_auto_create_topic);
    tcase_add_test(tcase, lists);
    tcase_add_test(tcase, topic_stats);
    tcase_add_test(tcase, settings_of_the_name_server);
    tcase_add_test(tcase, public_topic_function);
    tcase_add_test(tcase, about_itself);
    suite_add_tcase(suite, tcase);
    return suite;
}
