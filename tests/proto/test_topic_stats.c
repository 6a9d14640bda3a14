#include "../support/support.h"

#include <string.h>

#include "../../proto/route.h"
#include "../support/fault_alloc.h"
#include "golden_body.h"

START_TEST(golden_values)
{
    uint8_t *memory;
    rmq_slice body = golden_body("topic_stats_resp", &memory);
    rmq_topic_stat *stats;
    size_t count;
    rmq_error err;
    ck_ok(rmq_topic_stats_decode(body, &stats, &count, &err), &err);
    ck_assert_uint_eq(count, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_str_eq(stats[i].broker_name, "broker-a");
        ck_assert_str_eq(stats[i].topic, "GoldT1795410635");
        ck_assert_int_eq(stats[i].min_offset, 0);
    }
    ck_assert_int_eq(stats[0].queue_id, 1);
    ck_assert_int_eq(stats[0].max_offset, 0);
    ck_assert_int_eq(stats[0].last_update_ms, 0);
    ck_assert_int_eq(stats[1].queue_id, 0);
    ck_assert_int_eq(stats[1].max_offset, 1);
    ck_assert_int_eq(stats[1].last_update_ms, 1795410636194);
    rmq_topic_stats_free(stats, count);
    rmq_topic_stats_free(NULL, 0);
    free(memory);
}
END_TEST

START_TEST(golden_cut_at_every_prefix)
{
    uint8_t *memory;
    rmq_slice body = golden_body("topic_stats_resp", &memory);
    for (size_t len = 0; len < body.len; len++) {
        char *cut = malloc(len > 0 ? len : 1);
        memcpy(cut, body.data, len);
        rmq_topic_stat *stats;
        size_t count;
        rmq_error err;
        ck_status(rmq_topic_stats_decode((rmq_slice){cut, len}, &stats, &count, &err), RMQ_PROTO);
        free(cut);
    }
    free(memory);
}
END_TEST

static const struct {
    const char *body;
    rmq_status expected;
} bodies[] = {
    {"{}", RMQ_OK},
    {"{\"offsetTable\":null}", RMQ_OK},
    {"{\"offsetTable\":{}}", RMQ_OK},
    {"{\"offsetTable\":[]}", RMQ_PROTO},
    {"{\"offsetTable\":{\"q\":{}}}", RMQ_PROTO},
    {"{\"offsetTable\":{5:{}}}", RMQ_PROTO},
    {"{\"offsetTable\":{{\"brokerName\":\"b\",\"queueId\":0}:{}}}", RMQ_PROTO},
    {"{\"offsetTable\":{{\"brokerName\":\"b\",\"topic\":\"t\",\"x\":{}}:null}}", RMQ_OK},
    {"{\"offsetTable\":{{\"brokerName\":\"b\",\"topic\":\"t\"}:{\"minOffset\":\"5\"}}}", RMQ_OK},
    {"{\"offsetTable\":{{\"brokerName\":\"b\",\"topic\":\"t\",\"queueId\":3000000000}:{}}}",
     RMQ_PROTO},
};

START_TEST(bodies_of_all_kinds)
{
    rmq_topic_stat *stats;
    size_t count;
    rmq_error err;
    rmq_status status = rmq_topic_stats_decode(rmq_slice_of(bodies[_i].body), &stats, &count, &err);
    ck_assert_msg(status == bodies[_i].expected, "%s: %s", bodies[_i].body,
                  rmq_status_name(status));
    if (status == RMQ_OK)
        rmq_topic_stats_free(stats, count);
}
END_TEST

START_TEST(no_memory)
{
    uint8_t *memory;
    rmq_slice body = golden_body("topic_stats_resp", &memory);
    int64_t n_points = 0;
    for (;; n_points++) {
        fault_alloc_fail(n_points);
        rmq_topic_stat *stats;
        size_t count;
        rmq_status status = rmq_topic_stats_decode(body, &stats, &count, NULL);
        if (status == RMQ_OK)
            rmq_topic_stats_free(stats, count);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0)
            break;
        ck_status(status, RMQ_NOMEM);
    }
    fault_alloc_off();
    ck_assert_int_ge(n_points, 5);
    free(memory);
}
END_TEST

/* ---- the lists of names ---- */

START_TEST(topic_list)
{
    char **topics;
    size_t count;
    rmq_error err;
    ck_ok(rmq_topic_list_decode(
              rmq_slice_of("{\"brokerAddr\":null,\"topicList\":[\"B\",\"\",null,\"A\\u00e4\"]}"),
              &topics, &count, &err),
          &err);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(topics[0], "B");
    ck_assert_str_eq(topics[1], "");
    ck_assert_str_eq(topics[2], "A\303\244");
    rmq_topic_list_free(topics, count);
    ck_status(rmq_topic_list_decode(rmq_slice_of("{\"topicList\":[5]}"), &topics, &count, &err),
              RMQ_PROTO);
    ck_status(rmq_topic_list_decode(rmq_slice_of("{\"topicList\":[\"a\"}"), &topics, &count, &err),
              RMQ_PROTO);
    ck_ok(rmq_topic_list_decode(rmq_slice_of("{}"), &topics, &count, &err), &err);
    ck_assert_uint_eq(count, 0);
    rmq_topic_list_free(topics, count);
}
END_TEST

START_TEST(a_million_topics_and_one)
{
    rmq_buf body;
    rmq_buf_init(&body, 1u << 24);
    rmq_buf_append_slice(&body, rmq_slice_of("{\"topicList\":[\"\""));
    for (int i = 0; i < 1000000; i++)
        rmq_buf_append_slice(&body, rmq_slice_of(",\"\""));
    rmq_buf_append_slice(&body, rmq_slice_of("]}"));
    char **topics;
    size_t count;
    rmq_error err;
    ck_status(
        rmq_topic_list_decode((rmq_slice){(char *)body.data, body.len}, &topics, &count, &err),
        RMQ_FULL);
    rmq_buf_deinit(&body);
}
END_TEST

START_TEST(golden_cluster_info)
{
    uint8_t *memory;
    rmq_slice body = golden_body("cluster_info_resp", &memory);
    rmq_route route;
    rmq_error err;
    ck_ok(rmq_cluster_info_decode(body, &route, &err), &err);
    ck_assert_uint_eq(route.n_brokers, 1);
    ck_assert_uint_eq(route.n_queues, 0);
    ck_assert_str_eq(route.brokers[0].broker_name, "broker-a");
    ck_assert_str_eq(route.brokers[0].cluster, "DefaultCluster");
    ck_assert_str_eq(rmq_route_broker_address(&route.brokers[0], 0), "127.0.0.1:10911");
    rmq_route_deinit(&route);
    for (size_t len = 0; len < body.len; len++) {
        char *cut = malloc(len > 0 ? len : 1);
        memcpy(cut, body.data, len);
        ck_status(rmq_cluster_info_decode((rmq_slice){cut, len}, &route, &err), RMQ_PROTO);
        free(cut);
    }
    free(memory);
}
END_TEST

START_TEST(cluster_info_takes_the_key_for_a_name)
{
    rmq_route route;
    rmq_error err;
    ck_ok(rmq_cluster_info_decode(
              rmq_slice_of("{\"brokerAddrTable\":{\"z\":{\"brokerAddrs\":{1:\"s:1\"}},\"y\":{}}}"),
              &route, &err),
          &err);
    ck_assert_uint_eq(route.n_brokers, 2);
    ck_assert_str_eq(route.brokers[0].broker_name, "y");
    ck_assert_str_eq(route.brokers[1].broker_name, "z");
    ck_assert_str_eq(rmq_route_broker_address(&route.brokers[1], 1), "s:1");
    rmq_route_deinit(&route);
    ck_status(
        rmq_cluster_info_decode(rmq_slice_of("{\"brokerAddrTable\":{\"\":{}}}"), &route, &err),
        RMQ_PROTO);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("topic_stats");
    TCase *tc = tcase_create("topic_stats");
    tcase_add_test(tc, golden_values);
    tcase_add_test(tc, golden_cut_at_every_prefix);
    tcase_add_loop_test(tc, bodies_of_all_kinds, 0, sizeof(bodies) / sizeof(*bodies));
    tcase_add_test(tc, no_memory);
    suite_add_tcase(suite, tc);
    tc = tcase_create("lists");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, topic_list);
    tcase_add_test(tc, a_million_topics_and_one);
    tcase_add_test(tc, golden_cluster_info);
    tcase_add_test(tc, cluster_info_takes_the_key_for_a_name);
    suite_add_tcase(suite, tc);
    return suite;
}
