/* Calls in flight by opaque, against a plain list; and the queue of what is written. */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../lib/output.h"
#include "../../lib/pending.h"

static rmq_call *make_call(rmq_pending *pending)
{
    rmq_call *call = rmq_calloc(1, sizeof(*call));
    ck_assert_ptr_nonnull(call);
    call->state = RMQ_CALL_IN_FLIGHT;
    call->opaque = rmq_pending_opaque(pending);
    rmq_pending_add(pending, call);
    return call;
}

static void reset(rmq_pending *pending, size_t expected)
{
    rmq_call_list calls;
    size_t count = 0;
    rmq_call_list_init(&calls);
    rmq_pending_reset(pending, &calls);
    while (calls.first != NULL) {
        rmq_call *call = calls.first;
        rmq_call_list_remove(&calls, call);
        rmq_call_free(call);
        count++;
    }
    ck_assert_uint_eq(count, expected);
}

START_TEST(each_answer_finds_its_call_once)
{
    static rmq_pending pending;
    rmq_call *calls[2000];
    rmq_call *found = NULL;
    rmq_pending_init(&pending);
    for (int i = 0; i < 2000; i++)
        calls[i] = make_call(&pending);
    ck_assert_uint_eq(pending.n_in_flight, 2000);
    for (int i = 0; i < 2000; i += 2) {
        int32_t opaque = calls[i]->opaque;
        ck_assert_int_eq(rmq_pending_take(&pending, opaque, &found), RMQ_PENDING_WANTED);
        ck_assert_ptr_eq(found, calls[i]);
        rmq_call_free(found);
        ck_assert_int_eq(rmq_pending_take(&pending, opaque, &found), RMQ_PENDING_UNKNOWN);
    }
    ck_assert_int_eq(rmq_pending_take(&pending, -5, &found), RMQ_PENDING_UNKNOWN);
    reset(&pending, 1000);
    ck_assert_uint_eq(pending.n_in_flight, 0);
}
END_TEST

START_TEST(late_answers_are_known_once)
{
    static rmq_pending pending;
    rmq_call *found = NULL;
    rmq_pending_init(&pending);
    rmq_call *call = make_call(&pending);
    int32_t opaque = call->opaque;
    rmq_pending_abandon(&pending, call);
    ck_assert_uint_eq(pending.n_in_flight, 0);
    ck_assert_int_eq(rmq_pending_take(&pending, opaque, &found), RMQ_PENDING_LATE);
    ck_assert_int_eq(rmq_pending_take(&pending, opaque, &found), RMQ_PENDING_UNKNOWN);
    reset(&pending, 0);
}
END_TEST

START_TEST(abandoned_calls_are_bounded)
{
    static rmq_pending pending;
    rmq_call *found = NULL;
    rmq_pending_init(&pending);
    int32_t first = -1;
    int32_t last = -1;
    for (int i = 0; i < RMQ_PENDING_MAX_ABANDONED + 10; i++) {
        rmq_call *call = make_call(&pending);
        last = call->opaque;
        first = i == 0 ? last : first;
        rmq_pending_abandon(&pending, call);
    }
    ck_assert_uint_eq(pending.n_abandoned, RMQ_PENDING_MAX_ABANDONED);
    /* The first is forgotten, but what was forgotten is let pass. */
    ck_assert_int_eq(rmq_pending_take(&pending, first, &found), RMQ_PENDING_LATE);
    ck_assert_int_eq(rmq_pending_take(&pending, last, &found), RMQ_PENDING_LATE);
    ck_assert_int_eq(rmq_pending_take(&pending, last + 1, &found), RMQ_PENDING_UNKNOWN);
    reset(&pending, 0);
}
END_TEST

START_TEST(opaques_wrap_around_what_is_in_flight)
{
    static rmq_pending pending;
    rmq_pending_init(&pending);
    rmq_call *held = make_call(&pending); /* a long poll, still out when the numbers come round */
    ck_assert_int_eq(held->opaque, 0);
    pending.next_opaque = INT32_MAX;
    rmq_call *last = make_call(&pending);
    rmq_call *next = make_call(&pending);
    ck_assert_int_eq(last->opaque, INT32_MAX);
    ck_assert_int_eq(next->opaque, 1);
    reset(&pending, 3);
}
END_TEST

static uint8_t *bytes_of(size_t len, uint8_t first)
{
    uint8_t *data = rmq_malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(first + i);
    return data;
}

START_TEST(output_is_bounded_and_keeps_its_order)
{
    rmq_output output;
    rmq_write *writes[3];
    rmq_error err;
    struct iovec pieces[8];
    rmq_output_init(&output, 100);
    for (int i = 0; i < 3; i++)
        ck_ok(rmq_output_push(&output, bytes_of(30, (uint8_t)(i * 30)), 30, &writes[i], &err),
              &err);
    uint8_t *refused = bytes_of(11, 0);
    ck_status(rmq_output_push(&output, refused, 11, NULL, &err), RMQ_FULL);
    rmq_free(refused); /* stays the caller's */
    ck_assert_uint_eq(rmq_output_gather(&output, pieces, 8), 3);
    rmq_output_tried(&output, 31); /* all of the first, one byte of the second */
    ck_assert_ptr_null(writes[0]);
    ck_assert_ptr_null(writes[1]);
    ck_assert_ptr_nonnull(writes[2]);
    rmq_output_written(&output, 31);
    ck_assert_uint_eq(rmq_output_gather(&output, pieces, 8), 2);
    ck_assert_uint_eq(pieces[0].iov_len, 29);
    ck_assert_uint_eq(*(uint8_t *)pieces[0].iov_base, 31);
    rmq_output_withdraw(&output, writes[2]);
    ck_assert_ptr_null(writes[2]);
    ck_assert_uint_eq(rmq_output_gather(&output, pieces, 8), 1);
    ck_assert_uint_eq(output.queued_bytes, 29);
    ck_ok(rmq_output_push(&output, bytes_of(71, 200), 71, &writes[0], &err), &err);
    rmq_output_written(&output, 29);
    ck_assert_uint_eq(rmq_output_gather(&output, pieces, 8), 1);
    ck_assert_uint_eq(*(uint8_t *)pieces[0].iov_base, 200);
    rmq_output_clear(&output);
    ck_assert_ptr_null(writes[0]);
    ck_assert(rmq_output_is_empty(&output));
}
END_TEST

START_TEST(withdrawing_first_middle_and_last)
{
    rmq_output output;
    rmq_write *writes[3];
    rmq_error err;
    rmq_output_init(&output, 1000);
    for (int i = 0; i < 3; i++)
        ck_ok(rmq_output_push(&output, bytes_of(10, 0), 10, &writes[i], &err), &err);
    rmq_output_withdraw(&output, writes[_i]);
    ck_assert_uint_eq(output.queued_bytes, 20);
    ck_ok(rmq_output_push(&output, bytes_of(5, 99), 5, NULL, &err), &err);
    rmq_output_written(&output, 20);
    struct iovec piece;
    ck_assert_uint_eq(rmq_output_gather(&output, &piece, 1), 1);
    ck_assert_uint_eq(*(uint8_t *)piece.iov_base, 99);
    rmq_output_clear(&output);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("pending");
    TCase *tc = tcase_create("pending");
    tcase_add_test(tc, each_answer_finds_its_call_once);
    tcase_add_test(tc, late_answers_are_known_once);
    tcase_add_test(tc, abandoned_calls_are_bounded);
    tcase_add_test(tc, opaques_wrap_around_what_is_in_flight);
    suite_add_tcase(suite, tc);
    tc = tcase_create("output");
    tcase_add_test(tc, output_is_bounded_and_keeps_its_order);
    tcase_add_loop_test(tc, withdrawing_first_middle_and_last, 0, 3);
    suite_add_tcase(suite, tc);
    return suite;
}
