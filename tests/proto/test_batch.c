#include "../support/support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../proto/record.h"
#include "../support/fault_alloc.h"

static const rmq_decode_options everything = {.end_offset = INT64_MAX,
                                              .broker_name = {"broker-a", 8}};

/* A frame whose last reference frees it: freed too early, ASan sees the reads; never, the live
 * count does. */
static rmq_batch *decode_frame(const char *name)
{
    uint8_t *data;
    size_t len;
    rmq_frame *frame;
    rmq_batch *batch;
    rmq_error err;
    golden_load(name, &data, &len);
    ck_ok(rmq_frame_from_bytes(data, len, &frame, &err), &err);
    free(data);
    ck_ok(rmq_batch_decode(frame->body, frame, &everything, &batch, &err), &err);
    rmq_frame_unref(frame);
    return batch;
}

START_TEST(holds_its_frame)
{
    fault_alloc_fail(-1);
    rmq_batch *batch = decode_frame("pull_resp_zlib_and_batch");
    ck_assert_uint_eq(rmq_batch_count(batch), 2);
    ck_assert(rmq_slice_equals(rmq_batch_at(batch, 1)->body, "b0"));
    ck_assert(rmq_slice_equals(rmq_message_tags(rmq_batch_at(batch, 0)), "Z"));
    ck_assert_uint_eq(rmq_batch_at(batch, 0)->body.len, 5000);
    ck_assert_uint_ge(rmq_batch_bytes(batch), 681 + 5000 + 2 * sizeof(rmq_message));
    ck_assert_int_gt(fault_alloc_live(), 0);
    rmq_batch_unref(batch);
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
}
END_TEST

START_TEST(other_golden_frames)
{
    static const struct {
        const char *name;
        const char *topic;
        const char *body;
        int32_t sys_flag;
    } frames[] = {
        {"pull_resp_rocketmq", "ProtoT1", "hello", 0},
        {"pull_resp_committed_tx", "GoldT1795410635", "half", RMQ_SYSFLAG_TRANSACTION_COMMIT},
        {"view_message_resp", "GoldT1795410635", "hello gold", 0},
        {"srv_check_transaction_state", "ProtoTx", "half body 0003", 0},
        {"srv_consume_message_directly", "GoldT1795410635", "hello gold", 0},
        {"pop_resp", "GoldT1795410635p", "pop me", 0},
    };
    rmq_batch *batch = decode_frame(frames[_i].name);
    ck_assert_uint_eq(rmq_batch_count(batch), 1);
    const rmq_message *m = rmq_batch_at(batch, 0);
    ck_assert(rmq_slice_equals(m->topic, frames[_i].topic));
    ck_assert(rmq_slice_equals(m->body, frames[_i].body));
    ck_assert_int_eq(m->sys_flag, frames[_i].sys_flag);
    ck_assert_int_eq(m->body_status, RMQ_OK);
    rmq_batch_unref(batch);
}
END_TEST

static void *ref_and_unref(void *ctx)
{
    rmq_batch *batch = ctx;
    size_t total = 0;
    for (int i = 0; i < 20000; i++) {
        rmq_batch_ref(batch);
        total += rmq_batch_at(batch, (size_t)i % 2)->body.len;
        rmq_batch_unref(batch);
    }
    rmq_batch_unref(batch);
    return total == 10000 * 5002 ? ctx : NULL;
}

START_TEST(shared_by_threads)
{
    enum { N_THREADS = 4 };
    rmq_batch *batch = decode_frame("pull_resp_zlib_and_batch");
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ref_and_unref, rmq_batch_ref(batch)), 0);
    rmq_batch_unref(batch);
    for (int i = 0; i < N_THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_ptr_nonnull(result);
    }
}
END_TEST

/* Compressed records and an inner batch that makes the array of views grow, in one body. */
static rmq_buf make_body(void)
{
    static const char *const names[] = {"pull_body_java_client_mix", "record_inner_batch",
                                        "pull_body_zlib_and_batch"};
    rmq_buf body;
    rmq_buf_init(&body, 1 << 16);
    for (int i = 0; i < 3; i++) {
        uint8_t *data;
        size_t len;
        golden_load(names[i], &data, &len);
        rmq_buf_append(&body, data, len);
        free(data);
    }
    ck_assert_int_eq(body.failed, RMQ_OK);
    return body;
}

START_TEST(no_memory)
{
    rmq_buf made = make_body();
    char *body = malloc(made.len); /* not counted */
    memcpy(body, made.data, made.len);
    size_t len = made.len;
    rmq_buf_deinit(&made);
    int64_t n_points = 0;
    for (;; n_points++) {
        fault_alloc_fail(n_points);
        rmq_batch *batch = NULL;
        rmq_error err;
        rmq_status status =
            rmq_batch_decode((rmq_slice){body, len}, NULL, &everything, &batch, &err);
        if (status == RMQ_OK) {
            ck_assert_uint_eq(rmq_batch_count(batch), 12);
            for (size_t i = 0; i < 12; i++)
                ck_assert_int_ne(rmq_batch_at(batch, i)->body_status, RMQ_NOMEM);
        }
        rmq_batch_unref(batch);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0)
            break;
        /* Giving back what a body did not fill may fail: it is then kept. */
        ck_assert_msg(status == RMQ_NOMEM || status == RMQ_OK, "%s", rmq_status_name(status));
        ck_assert_msg(n_points > 1 || status == RMQ_NOMEM, "the batch itself");
    }
    fault_alloc_off();
    ck_assert_int_ge(n_points, 10);
    free(body);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("batch");
    TCase *tc = tcase_create("batch");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, holds_its_frame);
    tcase_add_loop_test(tc, other_golden_frames, 0, 6);
    tcase_add_test(tc, shared_by_threads);
    tcase_add_test(tc, no_memory);
    suite_add_tcase(suite, tc);
    return suite;
}
