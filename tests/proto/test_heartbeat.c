#include "../support/support.h"

#include <stdio.h>
#include <string.h>

#include "../../proto/heartbeat.h"
#include "../../proto/route.h"
#include "../support/fault_alloc.h"
#include "golden_body.h"

static rmq_slice all(const rmq_buf *buf)
{
    return (rmq_slice){(const char *)buf->data, buf->len};
}

START_TEST(golden_values)
{
    uint8_t *memory;
    rmq_slice body = golden_body("heartbeat_req", &memory);
    rmq_heartbeat heartbeat;
    rmq_error err;
    ck_ok(rmq_heartbeat_decode(body, &heartbeat, &err), &err);
    ck_assert_str_eq(heartbeat.client_id, "127.0.0.1@gold1");
    ck_assert_uint_eq(heartbeat.n_producer_groups, 1);
    ck_assert_str_eq(heartbeat.producer_groups[0], "GoldPG");
    ck_assert_uint_eq(heartbeat.n_consumers, 1);
    const rmq_consumer_data *consumer = &heartbeat.consumers[0];
    ck_assert_str_eq(consumer->group, "GoldHB");
    ck_assert_str_eq(consumer->consume_type, "CONSUME_PASSIVELY");
    ck_assert_str_eq(consumer->message_model, "CLUSTERING");
    ck_assert_str_eq(consumer->consume_from_where, "CONSUME_FROM_FIRST_OFFSET");
    ck_assert_uint_eq(consumer->n_subscriptions, 2);
    ck_assert_str_eq(consumer->subscriptions[0].topic, "GoldT1795410635");
    ck_assert_str_eq(consumer->subscriptions[0].expression, "TagA || TagB");
    ck_assert_str_eq(consumer->subscriptions[0].expression_type, "TAG");
    ck_assert_int_eq(consumer->subscriptions[0].version, 1700000000000);
    ck_assert_str_eq(consumer->subscriptions[1].topic, "%RETRY%GoldHB");
    ck_assert_str_eq(consumer->subscriptions[1].expression, "*");
    ck_assert_str_eq(consumer->subscriptions[1].expression_type, "TAG");
    ck_assert_int_eq(consumer->subscriptions[1].version, 1700000000000);

    /* Tags and their codes are made from the expression, and all comes out as it was. */
    rmq_buf again;
    rmq_buf_init(&again, 1 << 16);
    ck_ok(rmq_heartbeat_encode(&heartbeat, &again, &err), &err);
    ck_assert_uint_eq(again.len, body.len);
    ck_assert_mem_eq(again.data, body.data, body.len);
    rmq_buf_deinit(&again);
    rmq_heartbeat_deinit(&heartbeat);
    free(memory);
}
END_TEST

START_TEST(golden_cut_at_every_prefix)
{
    uint8_t *memory;
    rmq_slice body = golden_body("heartbeat_req", &memory);
    for (size_t len = 0; len < body.len; len++) {
        char *cut = malloc(len > 0 ? len : 1);
        memcpy(cut, body.data, len);
        rmq_heartbeat heartbeat;
        ck_status(rmq_heartbeat_decode((rmq_slice){cut, len}, &heartbeat, NULL), RMQ_PROTO);
        free(cut);
    }
    free(memory);
}
END_TEST

START_TEST(what_is_absent_has_a_default)
{
    rmq_heartbeat heartbeat;
    rmq_error err;
    ck_ok(rmq_heartbeat_decode(
              rmq_slice_of("{\"clientID\":\"id\",\"consumerDataSet\":[{\"groupName\":\"g\","
                           "\"consumeType\":null,\"subscriptionDataSet\":[{\"topic\":\"t\"},null]},"
                           "null],\"more\":[1,{}]}"),
              &heartbeat, &err),
          &err);
    ck_assert_uint_eq(heartbeat.n_producer_groups, 0);
    ck_assert_uint_eq(heartbeat.n_consumers, 1);
    const rmq_consumer_data *consumer = &heartbeat.consumers[0];
    ck_assert_str_eq(consumer->consume_type, "CONSUME_PASSIVELY");
    ck_assert_str_eq(consumer->message_model, "CLUSTERING");
    ck_assert_str_eq(consumer->consume_from_where, "CONSUME_FROM_LAST_OFFSET");
    ck_assert_uint_eq(consumer->n_subscriptions, 1);
    ck_assert_str_eq(consumer->subscriptions[0].expression, "*");
    ck_assert_str_eq(consumer->subscriptions[0].expression_type, "TAG");
    rmq_heartbeat_deinit(&heartbeat);
    rmq_heartbeat_deinit(&heartbeat); /* twice is harmless */
}
END_TEST

/* SQL is no list of tags; NULL is the default here, too. */
START_TEST(expressions)
{
    static const struct {
        char *expression;
        char *type;
        const char *expected;
    } cases[] = {
        {"a > 1 || b", "SQL92",
         "\"subString\":\"a > 1 || b\",\"tagsSet\":[],\"codeSet\":[],\"subVersion\":0,"
         "\"expressionType\":\"SQL92\""},
        {" Aa||BB ", NULL,
         "\"subString\":\" Aa||BB \",\"tagsSet\":[\"Aa\",\"BB\"],\"codeSet\":[2112,2112],"
         "\"subVersion\":0,\"expressionType\":\"TAG\""},
        {NULL, NULL, "\"subString\":\"*\",\"tagsSet\":[],\"codeSet\":[],"},
        {"", "TAG", "\"subString\":\"\",\"tagsSet\":[],\"codeSet\":[],"},
    };
    rmq_subscription subscription = {
        .topic = "t", .expression = cases[_i].expression, .expression_type = cases[_i].type};
    rmq_consumer_data consumer = {
        .group = "g", .subscriptions = &subscription, .n_subscriptions = 1};
    rmq_heartbeat heartbeat = {.client_id = "id", .consumers = &consumer, .n_consumers = 1};
    rmq_buf body;
    rmq_buf_init(&body, 1 << 16);
    rmq_error err;
    ck_ok(rmq_heartbeat_encode(&heartbeat, &body, &err), &err);
    ck_assert_msg(memmem(body.data, body.len, cases[_i].expected, strlen(cases[_i].expected)) !=
                      NULL,
                  "%d: %.*s", _i, (int)body.len, (const char *)body.data);
    rmq_buf_deinit(&body);
    rmq_buf_init(&body, 50);
    ck_status(rmq_heartbeat_encode(&heartbeat, &body, &err), RMQ_FULL);
    rmq_buf_deinit(&body);
}
END_TEST

static const char *const bad[] = {
    "",
    "{}",
    "{\"clientID\":null}",
    "{\"clientID\":5}",
    "{\"clientID\":\"id\",\"producerDataSet\":[{}]}",
    "{\"clientID\":\"id\",\"producerDataSet\":[\"PG\"]}",
    "{\"clientID\":\"id\",\"consumerDataSet\":[{}]}",
    "{\"clientID\":\"id\",\"consumerDataSet\":[{\"groupName\":\"g\",\"subscriptionDataSet\":[5]}]}",
    "{\"clientID\":\"i\",\"consumerDataSet\":[{\"groupName\":\"g\",\"subscriptionDataSet\":[{}]}]}",
    "{\"clientID\":\"id\",\"consumerDataSet\":{}}",
    "{\"clientID\":\"i\\u0000d\"}",
    "{\"clientID\":\"id\"}}",
};

START_TEST(bad_bodies)
{
    rmq_heartbeat heartbeat;
    rmq_error err;
    ck_status(rmq_heartbeat_decode(rmq_slice_of(bad[_i]), &heartbeat, &err), RMQ_PROTO);
    ck_assert_msg(strncmp(err.text, "heartbeat: ", 11) == 0, "%s", err.text);
}
END_TEST

/* 10,000 entries over all lists. */
START_TEST(entries_are_capped)
{
    rmq_buf body;
    rmq_buf_init(&body, 1u << 24);
    rmq_buf_append_slice(&body, rmq_slice_of("{\"clientID\":\"id\",\"producerDataSet\":["));
    for (int i = 0; i < 5000; i++)
        rmq_buf_append_slice(&body, rmq_slice_of(i == 0 ? "null" : ",{\"groupName\":\"p\"}"));
    rmq_buf_append_slice(&body, rmq_slice_of("],\"consumerDataSet\":[{\"groupName\":\"c\","
                                             "\"subscriptionDataSet\":["));
    for (int i = 0; i < 4999 + _i; i++)
        rmq_buf_append_slice(&body, rmq_slice_of(i == 0 ? "{\"topic\":\"t\"}" : ",null"));
    rmq_buf_append_slice(&body, rmq_slice_of("]}]}"));
    rmq_heartbeat heartbeat;
    rmq_error err;
    ck_status(rmq_heartbeat_decode(all(&body), &heartbeat, &err), _i == 0 ? RMQ_OK : RMQ_FULL);
    if (_i == 0) {
        ck_assert_uint_eq(heartbeat.n_producer_groups, 4999);
        rmq_heartbeat_deinit(&heartbeat);
    }
    rmq_buf_deinit(&body);
}
END_TEST

START_TEST(no_memory)
{
    uint8_t *memory;
    rmq_slice body = golden_body("heartbeat_req", &memory);
    int64_t n_points = 0;
    for (;; n_points++) {
        fault_alloc_fail(n_points);
        rmq_heartbeat heartbeat;
        rmq_buf again;
        rmq_buf_init(&again, 1 << 16);
        rmq_status status = rmq_heartbeat_decode(body, &heartbeat, NULL);
        bool decoded = status == RMQ_OK;
        if (decoded)
            status = rmq_heartbeat_encode(&heartbeat, &again, NULL);
        if (decoded)
            rmq_heartbeat_deinit(&heartbeat);
        rmq_buf_deinit(&again);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0)
            break;
        ck_status(status, RMQ_NOMEM);
    }
    fault_alloc_off();
    ck_assert_int_gt(n_points, 15);
    free(memory);
}
END_TEST

START_TEST(golden_consumer_list)
{
    uint8_t *memory;
    rmq_slice body = golden_body("consumer_list_resp", &memory);
    char **ids;
    size_t count;
    rmq_error err;
    ck_ok(rmq_consumer_list_decode(body, &ids, &count, &err), &err);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(ids[0], "127.0.0.1@gold2");
    ck_assert_str_eq(ids[1], "127.0.0.1@gold1");
    rmq_topic_list_free(ids, count);
    free(memory);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("heartbeat");
    TCase *tc = tcase_create("heartbeat");
    tcase_add_test(tc, golden_values);
    tcase_add_test(tc, golden_cut_at_every_prefix);
    tcase_add_test(tc, what_is_absent_has_a_default);
    tcase_add_loop_test(tc, expressions, 0, 4);
    tcase_add_loop_test(tc, bad_bodies, 0, sizeof(bad) / sizeof(*bad));
    tcase_add_loop_test(tc, entries_are_capped, 0, 2);
    tcase_add_test(tc, no_memory);
    tcase_add_test(tc, golden_consumer_list);
    suite_add_tcase(suite, tc);
    return suite;
}
