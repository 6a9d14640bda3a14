/* Offsets of queues and groups, and messages by physical offset. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "broker_client.h"
#include "codes.h"

static rmq_devbroker *broker;
static raw_client client;

static void start(int32_t version)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.version = version;
    broker = broker_start(&config);
    client = raw_connect(rmq_devbroker_address(broker));
}

static void stop(void)
{
    raw_close(&client);
    rmq_devbroker_free(broker);
}

static void expect_int(int32_t code, const char *const *fields, const char *name, int64_t value)
{
    raw_frame answer = raw_call(&client, code, fields, RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    int64_t got = raw_int(&answer, name);
    ck_assert_msg(got == value, "code %d: %s is %lld, expected %lld", code, name, (long long)got,
                  (long long)value);
    raw_frame_free(&answer);
}

static void expect_code(int32_t code, const char *const *fields, int32_t expected)
{
    raw_frame answer = raw_call(&client, code, fields, RAW_NO_BODY);
    raw_expect(&answer, expected);
    raw_frame_free(&answer);
}

START_TEST(min_and_max)
{
    start(0);
    broker_send_batch(&client, "T", 1, "m", 10);
    expect_int(RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=1"), "offset", 10);
    expect_int(RMQ_REQUEST_GET_MIN_OFFSET, RAW("topic=T", "queueId=1"), "offset", 0);
    expect_int(RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), "offset", 0);
    expect_int(RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=77"), "offset", 0);
    expect_int(RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=None", "queueId=-1"), "offset", 0);
    expect_code(RMQ_REQUEST_GET_MAX_OFFSET, RAW("queueId=0"), RMQ_RESPONSE_SYSTEM_ERROR);
    rmq_error err;
    ck_ok(rmq_devbroker_delete_below(broker, "T", 1, 4, &err), &err);
    expect_int(RMQ_REQUEST_GET_MIN_OFFSET, RAW("topic=T", "queueId=1"), "offset", 4);
    ck_ok(rmq_devbroker_delete_from(broker, "T", 1, 6, &err), &err);
    expect_int(RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=1"), "offset", 6);
    ck_status(rmq_devbroker_delete_below(broker, "None", 1, 4, &err), RMQ_NOT_FOUND);
    ck_status(rmq_devbroker_delete_from(broker, "T", 2, 4, &err), RMQ_NOT_FOUND);
    ck_status(rmq_devbroker_delete_from(broker, "T", -1, 4, &err), RMQ_NOT_FOUND);
    stop();
}
END_TEST

/* Waits until the wall clock shows another millisecond, so that store times differ. */
static void next_millisecond(void)
{
    struct timespec begin;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &begin);
    do {
        clock_gettime(CLOCK_REALTIME, &now);
    } while (now.tv_sec == begin.tv_sec && now.tv_nsec / 1000000 == begin.tv_nsec / 1000000);
}

static int64_t store_time(int64_t offset)
{
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.offset = offset});
    rmq_batch *batch = broker_batch(&answer);
    int64_t time_ms = rmq_batch_at(batch, 0)->store_timestamp_ms;
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    return time_ms;
}

static void expect_search(int64_t timestamp, const char *boundary, int64_t offset)
{
    char time_field[64];
    char boundary_field[64];
    snprintf(time_field, sizeof(time_field), "timestamp=%lld", (long long)timestamp);
    snprintf(boundary_field, sizeof(boundary_field), "boundaryType=%s", boundary);
    expect_int(RMQ_REQUEST_SEARCH_OFFSET_BY_TIMESTAMP,
               RAW("topic=T", "queueId=0", time_field, boundary_field), "offset", offset);
}

START_TEST(search_by_time)
{
    start(0);
    expect_search(0, "lower", 0);
    expect_search(INT64_MAX, "upper", 0);
    for (int i = 0; i < 4; i++) {
        broker_send(&client, "T", 0, "m");
        next_millisecond();
    }
    int64_t second = store_time(1);
    expect_search(0, "lower", 0);
    expect_search(0, "upper", 0);
    expect_search(second, "lower", 1);
    expect_search(second, "upper", 1);
    expect_search(second, "nonsense", 1);
    expect_search(store_time(3) + 1, "lower", 4);
    expect_search(store_time(3) + 1, "upper", 3);
    expect_search(INT64_MAX, "upper", 3);
    expect_search(INT64_MAX, "UPPER", 3);
    expect_search(INT64_MIN, "upper", 0);
    expect_code(RMQ_REQUEST_SEARCH_OFFSET_BY_TIMESTAMP, RAW("topic=T", "queueId=0"),
                RMQ_RESPONSE_SYSTEM_ERROR);
    expect_int(RMQ_REQUEST_GET_EARLIEST_MSG_STORETIME, RAW("topic=T", "queueId=0"), "timestamp",
               store_time(0));
    expect_int(RMQ_REQUEST_GET_EARLIEST_MSG_STORETIME, RAW("topic=T", "queueId=1"), "timestamp",
               -1);
    stop();
}
END_TEST

START_TEST(search_as_4_9_7)
{
    start(407);
    broker_send(&client, "T", 0, "m");
    expect_search(INT64_MAX, "upper", 0); /* it doesn't know the field, and gives the last */
    stop();
}
END_TEST

START_TEST(view_by_physical_offset)
{
    start(0);
    broker_send(&client, "T", 0, "a");
    broker_send(&client, "T", 1, "b");
    broker_send(&client, "T", 0, "c");
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.queue_id = 1});
    rmq_batch *batch = broker_batch(&answer);
    int64_t physical = rmq_batch_at(batch, 0)->physical_offset;
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    char field[64];
    snprintf(field, sizeof(field), "offset=%lld", (long long)physical);
    answer = raw_call(&client, RMQ_REQUEST_VIEW_MESSAGE_BY_ID, RAW(field), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    batch = broker_batch(&answer);
    ck_assert_uint_eq(rmq_batch_count(batch), 1);
    broker_expect_body(batch, 0, "b");
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    snprintf(field, sizeof(field), "offset=%lld", (long long)physical + 1);
    expect_code(RMQ_REQUEST_VIEW_MESSAGE_BY_ID, RAW(field), RMQ_RESPONSE_SYSTEM_ERROR);
    expect_code(RMQ_REQUEST_VIEW_MESSAGE_BY_ID, RAW("offset=-1"), RMQ_RESPONSE_SYSTEM_ERROR);
    expect_code(RMQ_REQUEST_VIEW_MESSAGE_BY_ID, NULL, RMQ_RESPONSE_SYSTEM_ERROR);
    stop();
}
END_TEST

#define OF(group, topic, queue) "consumerGroup=" group, "topic=" topic, "queueId=" queue

START_TEST(group_offsets)
{
    start(0);
    broker_send_batch(&client, "T", 0, "m", 3);
    /* The group doesn't exist before something made it. */
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(OF("G", "T", "0"), "commitOffset=2"),
                RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST);
    expect_code(RMQ_REQUEST_GET_SUBSCRIPTIONGROUP_CONFIG, RAW("group=G"), RMQ_RESPONSE_SUCCESS);
    /* Never committed: 0 for a young queue, unless it is asked not to be. */
    expect_int(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "T", "0")), "offset", 0);
    expect_code(RMQ_REQUEST_QUERY_CONSUMER_OFFSET,
                RAW(OF("G", "T", "0"), "setZeroIfNotFound=false"), RMQ_RESPONSE_QUERY_NOT_FOUND);
    expect_code(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "T", "1")),
                RMQ_RESPONSE_QUERY_NOT_FOUND);
    expect_code(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "None", "0")),
                RMQ_RESPONSE_QUERY_NOT_FOUND);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(OF("G", "T", "0"), "commitOffset=2"),
                RMQ_RESPONSE_SUCCESS);
    expect_int(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "T", "0")), "offset", 2);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(OF("G", "T", "0"), "commitOffset=1"),
                RMQ_RESPONSE_SUCCESS);
    expect_int(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "T", "0")), "offset", 1);
    /* -1 makes it "never committed". */
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(OF("G", "T", "0"), "commitOffset=-1"),
                RMQ_RESPONSE_SUCCESS);
    expect_code(RMQ_REQUEST_QUERY_CONSUMER_OFFSET,
                RAW(OF("G", "T", "0"), "setZeroIfNotFound=false"), RMQ_RESPONSE_QUERY_NOT_FOUND);
    /* A queue that isn't there is taken, as by the real one. */
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(OF("G", "T", "99"), "commitOffset=7"),
                RMQ_RESPONSE_SUCCESS);
    expect_int(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "T", "99")), "offset", 7);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(OF("G", "None", "0"), "commitOffset=2"),
                RMQ_RESPONSE_TOPIC_NOT_EXIST);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET,
                RAW("consumerGroup=G", "topic=T", "commitOffset=2"),
                RMQ_RESPONSE_INVALID_PARAMETER);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(OF("G", "T", "0")),
                RMQ_RESPONSE_INVALID_PARAMETER);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW("consumerGroup=G", "queueId=0"),
                RMQ_RESPONSE_SYSTEM_ERROR);
    stop();
}
END_TEST

START_TEST(old_queue_without_a_commit)
{
    start(0);
    broker_send_batch(&client, "T", 0, "m", 3);
    rmq_error err;
    ck_ok(rmq_devbroker_delete_below(broker, "T", 0, 1, &err), &err);
    expect_code(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "T", "0")),
                RMQ_RESPONSE_QUERY_NOT_FOUND);
    stop();
}
END_TEST

START_TEST(group_offsets_as_4_9_7)
{
    start(407);
    broker_send_batch(&client, "T", 0, "m", 3);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET,
                RAW(OF("Unknown", "None", "0"), "commitOffset=2"), RMQ_RESPONSE_SUCCESS);
    expect_int(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("Unknown", "None", "0")), "offset", 2);
    expect_int(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "T", "0"), "setZeroIfNotFound=false"),
               "offset", 0);
    expect_code(RMQ_REQUEST_GET_SUBSCRIPTIONGROUP_CONFIG, RAW("group=G"),
                RMQ_RESPONSE_REQUEST_CODE_NOT_SUPPORTED);
    stop();
}
END_TEST

START_TEST(deleting_the_topic_forgets_its_offsets)
{
    start(0);
    broker_send_batch(&client, "T", 0, "m", 3);
    expect_code(RMQ_REQUEST_GET_SUBSCRIPTIONGROUP_CONFIG, RAW("group=G"), RMQ_RESPONSE_SUCCESS);
    expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(OF("G", "T", "0"), "commitOffset=2"),
                RMQ_RESPONSE_SUCCESS);
    expect_code(RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, RAW("topic=T"), RMQ_RESPONSE_SUCCESS);
    rmq_error err;
    ck_ok(rmq_devbroker_topic(broker, "T", 2, &err), &err);
    expect_code(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(OF("G", "T", "0")),
                RMQ_RESPONSE_QUERY_NOT_FOUND);
    expect_int(RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), "offset", 0);
    stop();
}
END_TEST

START_TEST(many_queues_and_groups)
{
    start(407);
    for (int i = 0; i < 300; i++) {
        char group[32];
        char queue[32];
        char offset[32];
        snprintf(group, sizeof(group), "consumerGroup=G%d", i % 30);
        snprintf(queue, sizeof(queue), "queueId=%d", i / 30);
        snprintf(offset, sizeof(offset), "commitOffset=%d", i);
        expect_code(RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, RAW(group, "topic=T", queue, offset),
                    RMQ_RESPONSE_SUCCESS);
    }
    for (int i = 0; i < 300; i++) {
        char group[32];
        char queue[32];
        snprintf(group, sizeof(group), "consumerGroup=G%d", i % 30);
        snprintf(queue, sizeof(queue), "queueId=%d", i / 30);
        expect_int(RMQ_REQUEST_QUERY_CONSUMER_OFFSET, RAW(group, "topic=T", queue), "offset", i);
    }
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("offset_queries");
    TCase *tcase = tcase_create("offset_queries");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, min_and_max);
    tcase_add_test(tcase, search_by_time);
    tcase_add_test(tcase, search_as_4_9_7);
    tcase_add_test(tcase, view_by_physical_offset);
    tcase_add_test(tcase, group_offsets);
    tcase_add_test(tcase, old_queue_without_a_commit);
    tcase_add_test(tcase, group_offsets_as_4_9_7);
    tcase_add_test(tcase, deleting_the_topic_forgets_its_offsets);
    tcase_add_test(tcase, many_queues_and_groups);
    suite_add_tcase(suite, tcase);
    return suite;
}
