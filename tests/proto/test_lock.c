#include "../support/support.h"

#include <string.h>

#include "../../proto/heartbeat.h"
#include "../support/fault_alloc.h"
#include "golden_body.h"

START_TEST(golden_request)
{
    uint8_t *memory;
    rmq_slice body = golden_body("lock_batch_req", &memory);
    rmq_lock_request request;
    rmq_error err;
    ck_ok(rmq_lock_request_decode(body, &request, &err), &err);
    ck_assert_str_eq(request.client_id, "127.0.0.1@gold1");
    ck_assert_str_eq(request.group, "GoldHB");
    ck_assert_uint_eq(request.n_queues, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(request.queues[i].topic, "GoldT1795410635");
        ck_assert_str_eq(request.queues[i].broker_name, "broker-a");
        ck_assert_int_eq(request.queues[i].queue_id, i);
    }
    rmq_buf again;
    rmq_buf_init(&again, 1 << 16);
    ck_ok(rmq_lock_request_encode(&request, &again, &err), &err);
    ck_assert_uint_eq(again.len, body.len);
    ck_assert_mem_eq(again.data, body.data, body.len);
    rmq_buf_deinit(&again);
    rmq_lock_request_deinit(&request);
    rmq_lock_request_deinit(&request); /* twice is harmless */
    free(memory);
}
END_TEST

START_TEST(golden_response)
{
    uint8_t *memory;
    rmq_slice body = golden_body("lock_batch_resp", &memory);
    rmq_lock_queue *queues;
    size_t count;
    rmq_error err;
    ck_ok(rmq_lock_response_decode(body, &queues, &count, &err), &err);
    ck_assert_uint_eq(count, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(queues[i].topic, "GoldT1795410635");
        ck_assert_str_eq(queues[i].broker_name, "broker-a");
        ck_assert_int_eq(queues[i].queue_id, 1 - i);
    }
    rmq_buf again;
    rmq_buf_init(&again, 1 << 16);
    ck_ok(rmq_lock_response_encode(queues, count, &again, &err), &err);
    rmq_lock_queue *queues_again;
    size_t count_again;
    ck_ok(rmq_lock_response_decode((rmq_slice){(char *)again.data, again.len}, &queues_again,
                                   &count_again, &err),
          &err);
    ck_assert_uint_eq(count_again, 2);
    ck_assert_int_eq(queues_again[0].queue_id, 1);
    rmq_lock_queues_free(queues_again, count_again);
    rmq_lock_queues_free(queues, count);
    rmq_buf_deinit(&again);
    free(memory);
}
END_TEST

START_TEST(golden_cut_at_every_prefix)
{
    uint8_t *memory;
    rmq_slice body = golden_body(_i == 0 ? "lock_batch_req" : "lock_batch_resp", &memory);
    for (size_t len = 0; len < body.len; len++) {
        char *cut = malloc(len > 0 ? len : 1);
        memcpy(cut, body.data, len);
        rmq_slice part = {cut, len};
        rmq_lock_request request;
        rmq_lock_queue *queues;
        size_t count;
        if (_i == 0)
            ck_status(rmq_lock_request_decode(part, &request, NULL), RMQ_PROTO);
        else
            ck_status(rmq_lock_response_decode(part, &queues, &count, NULL), RMQ_PROTO);
        free(cut);
    }
    free(memory);
}
END_TEST

static const struct {
    const char *body;
    rmq_status request;
    rmq_status response;
} bodies[] = {
    {"{}", RMQ_PROTO, RMQ_OK},
    {"{\"clientId\":\"c\"}", RMQ_PROTO, RMQ_OK},
    {"{\"clientId\":\"c\",\"consumerGroup\":\"g\",\"mqSet\":null,\"lockOKMQSet\":null}", RMQ_OK,
     RMQ_OK},
    {"{\"clientId\":\"c\",\"consumerGroup\":\"g\",\"mqSet\":[null],\"lockOKMQSet\":[null]}", RMQ_OK,
     RMQ_OK},
    {"{\"clientId\":\"c\",\"consumerGroup\":\"g\",\"mqSet\":[{}],\"lockOKMQSet\":[{}]}", RMQ_PROTO,
     RMQ_PROTO},
    {"{\"clientId\":\"c\",\"consumerGroup\":\"g\",\"mqSet\":[{\"topic\":\"t\"}],\"lockOKMQSet\":5}",
     RMQ_PROTO, RMQ_PROTO},
    {"", RMQ_PROTO, RMQ_PROTO},
    {"[]", RMQ_PROTO, RMQ_PROTO},
};

START_TEST(bodies_of_all_kinds)
{
    rmq_slice body = rmq_slice_of(bodies[_i].body);
    rmq_lock_request request;
    rmq_lock_queue *queues;
    size_t count;
    rmq_status status = rmq_lock_request_decode(body, &request, NULL);
    ck_assert_msg(status == bodies[_i].request, "%d: %s", _i, rmq_status_name(status));
    if (status == RMQ_OK)
        rmq_lock_request_deinit(&request);
    status = rmq_lock_response_decode(body, &queues, &count, NULL);
    ck_assert_msg(status == bodies[_i].response, "%d: %s", _i, rmq_status_name(status));
    if (status == RMQ_OK) {
        ck_assert_uint_eq(count, 0);
        rmq_lock_queues_free(queues, count);
    }
}
END_TEST

START_TEST(no_memory)
{
    uint8_t *memory;
    rmq_slice body = golden_body("lock_batch_req", &memory);
    int64_t n_points = 0;
    for (;; n_points++) {
        fault_alloc_fail(n_points);
        rmq_lock_request request;
        rmq_buf again;
        rmq_buf_init(&again, 1 << 16);
        rmq_status status = rmq_lock_request_decode(body, &request, NULL);
        bool decoded = status == RMQ_OK;
        if (decoded)
            status = rmq_lock_request_encode(&request, &again, NULL);
        if (decoded)
            rmq_lock_request_deinit(&request);
        rmq_buf_deinit(&again);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0)
            break;
        ck_status(status, RMQ_NOMEM);
    }
    fault_alloc_off();
    ck_assert_int_gt(n_points, 8);
    free(memory);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("lock");
    TCase *tc = tcase_create("lock");
    tcase_add_test(tc, golden_request);
    tcase_add_test(tc, golden_response);
    tcase_add_loop_test(tc, golden_cut_at_every_prefix, 0, 2);
    tcase_add_loop_test(tc, bodies_of_all_kinds, 0, sizeof(bodies) / sizeof(*bodies));
    tcase_add_test(tc, no_memory);
    suite_add_tcase(suite, tc);
    return suite;
}
