#include "../support/support.h"

#include <stdio.h>
#include <string.h>

#include "../../proto/route.h"
#include "../support/fault_alloc.h"
#include "golden_body.h"

static const char *const goldens[] = {"route_resp_standard_json", "route_resp_legacy_json"};

START_TEST(golden_values)
{
    uint8_t *memory;
    rmq_slice body = golden_body(goldens[_i], &memory);
    rmq_route route;
    rmq_error err;
    ck_ok(rmq_route_decode(body, &route, &err), &err);
    ck_assert_uint_eq(route.n_brokers, 1);
    ck_assert_str_eq(route.brokers[0].broker_name, "broker-a");
    ck_assert_str_eq(route.brokers[0].cluster, "DefaultCluster");
    ck_assert_uint_eq(route.brokers[0].n_addresses, 1);
    ck_assert_int_eq(route.brokers[0].addresses[0].broker_id, 0);
    ck_assert_str_eq(route.brokers[0].addresses[0].address, "127.0.0.1:10911");
    ck_assert_uint_eq(route.n_queues, 1);
    ck_assert_str_eq(route.queues[0].broker_name, "broker-a");
    ck_assert_int_eq(route.queues[0].read_queues, 2);
    ck_assert_int_eq(route.queues[0].write_queues, 2);
    ck_assert_int_eq(route.queues[0].perm, RMQ_PERM_READ | RMQ_PERM_WRITE);
    ck_assert_int_eq(route.queues[0].topic_sys_flag, 0);
    ck_assert_ptr_null(route.order_topic_conf);

    rmq_buf again;
    rmq_buf_init(&again, 1 << 16);
    ck_ok(rmq_route_encode(&route, _i == 0, &again, &err), &err);
    ck_assert_uint_eq(again.len, body.len);
    ck_assert_mem_eq(again.data, body.data, body.len);
    rmq_buf_deinit(&again);
    rmq_route_deinit(&route);
    rmq_route_deinit(&route); /* twice is harmless */
    free(memory);
}
END_TEST

START_TEST(golden_cut_at_every_prefix)
{
    uint8_t *memory;
    rmq_slice body = golden_body(goldens[_i], &memory);
    for (size_t len = 0; len < body.len; len++) {
        char *cut = malloc(len > 0 ? len : 1);
        memcpy(cut, body.data, len);
        rmq_route route = {.n_brokers = 7};
        rmq_error err;
        ck_status(rmq_route_decode((rmq_slice){cut, len}, &route, &err), RMQ_PROTO);
        ck_assert_uint_eq(route.n_brokers, 7);
        ck_assert_msg(strncmp(err.text, "route: ", 7) == 0, "%s", err.text);
        free(cut);
    }
    free(memory);
}
END_TEST

/* A route with all there is, its entries out of order. */
static const char full_route[] =
    "{\"brokerDatas\":["
    "{\"brokerAddrs\":{\"2\":\"c:2\",\"0\":\"c:0\",1:\"c:1\"},\"brokerName\":\"c\",\"zone\":null,"
    "\"cluster\":\"C\"},"
    "{\"brokerAddrs\":{\"0\":\"old:0\"},\"brokerName\":\"a\",\"cluster\":\"C\"},"
    "{\"brokerAddrs\":null,\"brokerName\":\"b\",\"cluster\":null},"
    "{\"brokerAddrs\":{\"-5\":\"x\",\"0\":\"twice\",\"0\":\"new:0\"},\"brokerName\":\"a\"},null],"
    "\"filterServerTable\":{},\"orderTopicConf\":\"a:2;c:4\",\"queueDatas\":["
    "{\"brokerName\":\"nobody\",\"perm\":4,\"readQueueNums\":8,\"writeQueueNums\":0},"
    "{\"brokerName\":\"a\",\"perm\":6,\"readQueueNums\":1,\"topicSysFlag\":3,\"writeQueueNums\":1},"
    "{\"brokerName\":\"a\",\"perm\":2,\"readQueueNums\":5,\"writeQueueNums\":\"7\",\"new\":[{}]}],"
    "\"topicQueueMappingByBroker\":{\"a\":{\"currIdMap\":{0:1}}}}";

START_TEST(all_there_is)
{
    rmq_route route;
    rmq_error err;
    ck_ok(rmq_route_decode(rmq_slice_of(full_route), &route, &err), &err);
    ck_assert_str_eq(route.order_topic_conf, "a:2;c:4");
    ck_assert_uint_eq(route.n_brokers, 3);
    ck_assert_str_eq(route.brokers[0].broker_name, "a");
    ck_assert_ptr_null(route.brokers[0].cluster);
    ck_assert_uint_eq(route.brokers[0].n_addresses, 2);
    ck_assert_str_eq(rmq_route_broker_address(&route.brokers[0], 0), "new:0");
    ck_assert_str_eq(rmq_route_broker_address(&route.brokers[0], -5), "x");
    ck_assert_ptr_null(rmq_route_broker_address(&route.brokers[0], 1));
    ck_assert_str_eq(route.brokers[1].broker_name, "b");
    ck_assert_uint_eq(route.brokers[1].n_addresses, 0);
    for (int i = 0; i < 3; i++) {
        char address[8];
        snprintf(address, sizeof(address), "c:%d", i);
        ck_assert_int_eq(route.brokers[2].addresses[i].broker_id, i);
        ck_assert_str_eq(route.brokers[2].addresses[i].address, address);
    }
    ck_assert_uint_eq(route.n_queues, 2);
    ck_assert_str_eq(route.queues[0].broker_name, "a");
    ck_assert_int_eq(route.queues[0].perm, 2);
    ck_assert_int_eq(route.queues[0].read_queues, 5);
    ck_assert_int_eq(route.queues[0].write_queues, 7);
    ck_assert_int_eq(route.queues[0].topic_sys_flag, 0);
    ck_assert_str_eq(route.queues[1].broker_name, "nobody");
    ck_assert_ptr_eq(rmq_route_broker_find(&route, rmq_slice_of("c")), &route.brokers[2]);
    ck_assert_ptr_eq(rmq_route_broker_find(&route, rmq_slice_of("a")), &route.brokers[0]);
    ck_assert_ptr_null(rmq_route_broker_find(&route, rmq_slice_of("nobody")));
    ck_assert_ptr_null(rmq_route_broker_find(&route, rmq_slice_of("")));
    ck_assert_ptr_null(rmq_route_broker_find(&route, rmq_slice_of("aa")));
    rmq_route_deinit(&route);
}
END_TEST

START_TEST(encode_and_back)
{
    rmq_route route;
    rmq_route again;
    rmq_error err;
    rmq_buf body;
    rmq_buf_init(&body, 1 << 16);
    ck_ok(rmq_route_decode(rmq_slice_of(full_route), &route, &err), &err);
    ck_ok(rmq_route_encode(&route, _i == 0, &body, &err), &err);
    ck_ok(rmq_route_decode((rmq_slice){(char *)body.data, body.len}, &again, &err), &err);
    ck_assert(rmq_route_equals(&route, &again));
    ck_assert_int_eq(memmem(body.data, body.len, "{\"-5\":", 6) != NULL, _i == 0);
    ck_assert_int_eq(memmem(body.data, body.len, "{-5:", 4) != NULL, _i == 1);

    rmq_buf small;
    rmq_buf_init(&small, 100);
    ck_status(rmq_route_encode(&route, _i == 0, &small, &err), RMQ_FULL);
    rmq_buf_deinit(&small);
    rmq_buf_deinit(&body);
    rmq_route_deinit(&route);
    rmq_route_deinit(&again);
}
END_TEST

/* Each differs from the first in one thing. */
static const char *const different[] = {
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"a\"},\"brokerName\":\"n\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":1}]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"b\"},\"brokerName\":\"n\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":1}]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"1\":\"a\"},\"brokerName\":\"n\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":1}]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{},\"brokerName\":\"n\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":1}]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"a\"},\"brokerName\":\"m\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":1}]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"a\"},\"brokerName\":\"n\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":1}]}",
    "{\"brokerDatas\":[],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":1}]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"a\"},\"brokerName\":\"n\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":2}]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"a\"},\"brokerName\":\"n\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":4,\"readQueueNums\":1}]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"a\"},\"brokerName\":\"n\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[]}",
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"a\"},\"brokerName\":\"n\",\"cluster\":\"c\"}],"
    "\"queueDatas\":[{\"brokerName\":\"n\",\"perm\":6,\"readQueueNums\":1}],"
    "\"orderTopicConf\":\"\"}",
};
#define N_DIFFERENT ((int)(sizeof(different) / sizeof(*different)))

START_TEST(equal_only_to_itself)
{
    rmq_route left;
    rmq_error err;
    ck_ok(rmq_route_decode(rmq_slice_of(different[_i]), &left, &err), &err);
    for (int i = 0; i < N_DIFFERENT; i++) {
        rmq_route right;
        ck_ok(rmq_route_decode(rmq_slice_of(different[i]), &right, &err), &err);
        ck_assert_msg(rmq_route_equals(&left, &right) == (i == _i), "%d and %d", _i, i);
        rmq_route_deinit(&right);
    }
    rmq_route_deinit(&left);
}
END_TEST

static const struct {
    const char *body;
    rmq_status expected;
} bodies[] = {
    {"{}", RMQ_OK},
    {"{\"brokerDatas\":null,\"queueDatas\":null,\"orderTopicConf\":null}", RMQ_OK},
    {"", RMQ_PROTO},
    {"null", RMQ_PROTO},
    {"[]", RMQ_PROTO},
    {"{} {}", RMQ_PROTO},
    {"{\"brokerDatas\":{}}", RMQ_PROTO},
    {"{\"brokerDatas\":[[]]}", RMQ_PROTO},
    {"{\"brokerDatas\":[{}]}", RMQ_PROTO},
    {"{\"brokerDatas\":[{\"brokerName\":5}]}", RMQ_PROTO},
    {"{\"brokerDatas\":[{\"brokerName\":\"a\\u0000b\"}]}", RMQ_PROTO},
    {"{\"brokerDatas\":[{\"brokerName\":\"a\",\"brokerAddrs\":{\"x\":\"b\"}}]}", RMQ_PROTO},
    {"{\"brokerDatas\":[{\"brokerName\":\"a\",\"brokerAddrs\":{\"0\":7}}]}", RMQ_PROTO},
    {"{\"brokerDatas\":[{\"brokerName\":\"a\",\"brokerAddrs\":{\"0\":null}}]}", RMQ_OK},
    {"{\"queueDatas\":[{\"perm\":6}]}", RMQ_PROTO},
    {"{\"queueDatas\":[{\"brokerName\":\"a\",\"readQueueNums\":-1}]}", RMQ_PROTO},
    {"{\"queueDatas\":[{\"brokerName\":\"a\",\"writeQueueNums\":-1}]}", RMQ_PROTO},
    {"{\"queueDatas\":[{\"brokerName\":\"a\",\"readQueueNums\":4294967297}]}", RMQ_PROTO},
    {"{\"queueDatas\":[{\"brokerName\":\"a\",\"readQueueNums\":1.5}]}", RMQ_PROTO},
    {"{\"queueDatas\":[{\"brokerName\":\"a\",\"readQueueNums\":65536}]}", RMQ_OK},
    {"{\"queueDatas\":[{\"brokerName\":\"a\",\"readQueueNums\":65537}]}", RMQ_FULL},
    {"{\"queueDatas\":[{\"brokerName\":\"a\",\"writeQueueNums\":1000000}]}", RMQ_FULL},
};

START_TEST(bodies_of_all_kinds)
{
    rmq_route route = {.n_brokers = 7};
    rmq_error err;
    rmq_status status = rmq_route_decode(rmq_slice_of(bodies[_i].body), &route, &err);
    ck_assert_msg(status == bodies[_i].expected, "%s: %s", bodies[_i].body,
                  rmq_status_name(status));
    if (status == RMQ_OK)
        rmq_route_deinit(&route);
    else
        ck_assert_uint_eq(route.n_brokers, 7);
    ck_status(rmq_route_decode(rmq_slice_of(bodies[_i].body), &route, NULL), bodies[_i].expected);
    if (status == RMQ_OK)
        rmq_route_deinit(&route);
}
END_TEST

/* `n` times `format` (a printf format with one %d) between `head` and `tail`. */
static rmq_buf repeated(const char *head, const char *format, int n, const char *tail)
{
    rmq_buf body;
    rmq_buf_init(&body, 64u << 20);
    rmq_buf_append_slice(&body, rmq_slice_of(head));
    for (int i = 0; i < n; i++) {
        char text[256];
        if (i > 0)
            rmq_buf_append_u8(&body, ',');
        snprintf(text, sizeof(text), format, i);
        rmq_buf_append_slice(&body, rmq_slice_of(text));
    }
    rmq_buf_append_slice(&body, rmq_slice_of(tail));
    ck_assert_int_eq(body.failed, RMQ_OK);
    return body;
}

#define QUEUES "{\"brokerName\":\"b%d\",\"perm\":6,\"readQueueNums\":"

static const struct {
    const char *head;
    const char *format;
    const char *tail;
    int n;
    rmq_status expected;
} many[] = {
    {"{\"queueDatas\":[", QUEUES "65536}", "]}", 15, RMQ_OK},
    {"{\"queueDatas\":[", QUEUES "65536}", "]}", 16, RMQ_FULL}, /* over a million queues */
    {"{\"queueDatas\":[", QUEUES "4}", "]}", 4096, RMQ_OK},
    {"{\"queueDatas\":[", QUEUES "4}", "]}", 4097, RMQ_FULL},
    {"{\"queueDatas\":[", QUEUES "4}", "]}", 100000, RMQ_FULL},
    {"{\"brokerDatas\":[", "{\"brokerName\":\"b%d\"}", "]}", 4096, RMQ_OK},
    {"{\"brokerDatas\":[", "{\"brokerName\":\"b%d\"}", "]}", 4097, RMQ_FULL},
    {"{\"brokerDatas\":[{\"brokerName\":\"b\",\"brokerAddrs\":{", "%d:\"x\"", "}}]}", 256, RMQ_OK},
    {"{\"brokerDatas\":[{\"brokerName\":\"b\",\"brokerAddrs\":{", "%d:\"x\"", "}}]}", 257,
     RMQ_FULL},
    {"{\"brokerDatas\":[{\"brokerName\":\"b\",\"brokerAddrs\":{", "-%d:\"x\"", "}}]}", 256, RMQ_OK},
};

START_TEST(caps)
{
    rmq_buf body = repeated(many[_i].head, many[_i].format, many[_i].n, many[_i].tail);
    rmq_route route;
    rmq_error err;
    rmq_status status = rmq_route_decode((rmq_slice){(char *)body.data, body.len}, &route, &err);
    ck_assert_msg(status == many[_i].expected, "%d: %s: %s", _i, rmq_status_name(status),
                  status == RMQ_OK ? "" : err.text);
    if (status == RMQ_OK) {
        for (size_t i = 1; i < route.n_queues; i++)
            ck_assert_int_lt(strcmp(route.queues[i - 1].broker_name, route.queues[i].broker_name),
                             0);
        for (size_t i = 0; i < route.n_brokers; i++)
            ck_assert_ptr_eq(
                rmq_route_broker_find(&route, rmq_slice_of(route.brokers[i].broker_name)),
                &route.brokers[i]);
        for (size_t i = 1; route.n_brokers == 1 && i < route.brokers[0].n_addresses; i++)
            ck_assert_int_lt(route.brokers[0].addresses[i - 1].broker_id,
                             route.brokers[0].addresses[i].broker_id);
        rmq_route_deinit(&route);
    }
    rmq_buf_deinit(&body);
}
END_TEST

START_TEST(no_memory)
{
    int64_t n_points = 0;
    for (;; n_points++) {
        fault_alloc_fail(n_points);
        rmq_route route;
        rmq_status status = rmq_route_decode(rmq_slice_of(full_route), &route, NULL);
        rmq_buf body;
        rmq_buf_init(&body, 1 << 16);
        bool decoded = status == RMQ_OK;
        if (decoded)
            status = rmq_route_encode(&route, false, &body, NULL);
        if (decoded)
            rmq_route_deinit(&route);
        rmq_buf_deinit(&body);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0)
            break;
        ck_status(status, RMQ_NOMEM);
    }
    fault_alloc_off();
    ck_assert_int_gt(n_points, 25);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("route");
    TCase *tc = tcase_create("route");
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, golden_values, 0, 2);
    tcase_add_loop_test(tc, golden_cut_at_every_prefix, 0, 2);
    tcase_add_test(tc, all_there_is);
    tcase_add_loop_test(tc, encode_and_back, 0, 2);
    tcase_add_loop_test(tc, equal_only_to_itself, 0, N_DIFFERENT);
    tcase_add_loop_test(tc, bodies_of_all_kinds, 0, sizeof(bodies) / sizeof(*bodies));
    tcase_add_loop_test(tc, caps, 0, sizeof(many) / sizeof(*many));
    tcase_add_test(tc, no_memory);
    suite_add_tcase(suite, tc);
    return suite;
}
