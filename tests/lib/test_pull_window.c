#include "../support/support.h"

#include <stdlib.h>

#include <rmq/consumer.h>

#include "../../lib/pull_window.h"

static void drop_all(rmq_pull *list)
{
    while (list != NULL) {
        rmq_pull *behind = list->behind;
        rmq_chunk_free(&list->chunk);
        list = behind;
    }
}

/* A window of `n` pulls of 10 in flight, from 100 on. */
static void fill(rmq_pull_window *window, int n)
{
    *window = (rmq_pull_window){.position = 100};
    for (int i = 0; i < n; i++) {
        rmq_pull *pull = rmq_pull_window_add(window, 110 + 10 * i);
        ck_assert_ptr_nonnull(pull);
        rmq_pull_window_sent(window, pull, 1000);
    }
}

static rmq_pull *at(const rmq_pull_window *window, int index)
{
    rmq_pull *pull = window->first;
    while (pull != NULL && index-- > 0)
        pull = pull->behind;
    ck_assert_ptr_nonnull(pull);
    return pull;
}

/* Ranges follow each other, and the counters count. (One assertion at the end: Check is slow.) */
static void check(const rmq_pull_window *window)
{
    int64_t from = window->position;
    rmq_pull_window counted = {.first = window->first, .position = window->position};
    bool ok = true;
    for (rmq_pull *pull = window->first; pull != NULL; pull = pull->behind) {
        ok = ok && pull->chunk.from == from && from < pull->chunk.to;
        ok = ok && pull->before == counted.last;
        from = pull->chunk.to;
        counted.last = pull;
        counted.n_idle += pull->state == RMQ_PULL_IDLE;
        counted.n_in_flight += pull->state == RMQ_PULL_IN_FLIGHT;
        counted.expected_bytes += pull->expected_bytes;
        counted.waiting_bytes += pull->state == RMQ_PULL_ANSWERED ? pull->chunk.bytes : 0;
    }
    ok = ok && window->last == counted.last && rmq_pull_window_end(window) == from;
    ok = ok && window->n_idle == counted.n_idle && window->n_in_flight == counted.n_in_flight;
    ok = ok && window->expected_bytes == counted.expected_bytes;
    ck_assert_msg(ok && window->waiting_bytes == counted.waiting_bytes, "the window is broken");
}

static void settle(rmq_pull_window *window, rmq_pull *pull, int64_t next, int expect_needless)
{
    rmq_pull *needless = NULL;
    ck_assert_int_eq(rmq_pull_window_settle(window, pull, next, NULL, &needless), RMQ_OK);
    int n = 0;
    for (rmq_pull *one = needless; one != NULL; one = one->behind)
        n++;
    ck_assert_int_eq(n, expect_needless);
    drop_all(needless);
    check(window);
}

static void pop(rmq_pull_window *window, int64_t from, int64_t to)
{
    rmq_chunk *chunk = rmq_pull_window_pop(window);
    ck_assert_ptr_nonnull(chunk);
    ck_assert_int_eq(chunk->from, from);
    ck_assert_int_eq(chunk->to, to);
    rmq_chunk_free(chunk);
    check(window);
}

START_TEST(answers_out_of_order_come_out_in_order)
{
    rmq_pull_window window;
    fill(&window, 4);
    check(&window);
    settle(&window, at(&window, 2), 130, 0);
    ck_assert_ptr_null(rmq_pull_window_pop(&window));
    settle(&window, at(&window, 1), 120, 0);
    ck_assert_ptr_null(rmq_pull_window_pop(&window));
    settle(&window, at(&window, 0), 110, 0);
    pop(&window, 100, 110);
    pop(&window, 110, 120);
    pop(&window, 120, 130);
    ck_assert_ptr_null(rmq_pull_window_pop(&window));
    ck_assert_int_eq(window.position, 130);
    drop_all(rmq_pull_window_reset(&window, 7));
    check(&window);
    ck_assert_int_eq(window.position, 7);
}
END_TEST

START_TEST(short_answer_leaves_a_hole_to_be_filled)
{
    rmq_pull_window window;
    fill(&window, 3);
    settle(&window, at(&window, 0), 104, 0);
    ck_assert_uint_eq(window.n_idle, 1);
    ck_assert_uint_eq(window.n_in_flight, 2);
    pop(&window, 100, 104);
    settle(&window, at(&window, 1), 120, 0); /* what was read ahead is kept */
    rmq_pull *rest = window.first;
    ck_assert_int_eq(rest->state, RMQ_PULL_IDLE);
    rmq_pull_window_sent(&window, rest, 10);
    ck_assert_int_eq(rest->asked_from, 104);
    settle(&window, rest, 110, 0);
    pop(&window, 104, 110);
    pop(&window, 110, 120);
    drop_all(rmq_pull_window_reset(&window, 0));
}
END_TEST

START_TEST(long_answer_makes_others_needless)
{
    rmq_pull_window window;
    fill(&window, 5);
    settle(&window, at(&window, 3), 140, 0);
    /* brings 100 to 125: 110-120 is needless, 120-130 begins later; 130-140 stays answered */
    settle(&window, at(&window, 0), 125, 1);
    pop(&window, 100, 125);
    rmq_pull *trimmed = window.first;
    ck_assert_int_eq(trimmed->state, RMQ_PULL_IN_FLIGHT);
    ck_assert_int_eq(trimmed->asked_from, 120);
    ck_assert_int_eq(trimmed->chunk.from, 125);
    settle(&window, trimmed, 130, 0);
    pop(&window, 125, 130);
    pop(&window, 130, 140);
    settle(&window, at(&window, 0), 190, 0); /* beyond the window's end */
    pop(&window, 140, 190);
    ck_assert_int_eq(rmq_pull_window_end(&window), 190);
    ck_assert_ptr_null(window.first);
}
END_TEST

START_TEST(open_pull_ends_where_its_answer_ends)
{
    rmq_pull_window window;
    fill(&window, 2);
    rmq_pull *open = rmq_pull_window_add(&window, RMQ_READ_ENDLESS);
    ck_assert(rmq_pull_is_open(open));
    check(&window);
    rmq_pull_window_sent(&window, open, 5);
    settle(&window, open, 121, 0);
    ck_assert(!rmq_pull_is_open(open));
    ck_assert_int_eq(rmq_pull_window_end(&window), 121);
    drop_all(rmq_pull_window_open(&window, at(&window, 0)));
    check(&window);
    ck_assert_ptr_eq(window.first, window.last);
    ck_assert_int_eq(rmq_pull_window_end(&window), RMQ_READ_ENDLESS);
    drop_all(rmq_pull_window_reset(&window, 0));
}
END_TEST

START_TEST(failed_pull_is_idle_again)
{
    rmq_pull_window window;
    fill(&window, 2);
    rmq_pull_window_unsent(&window, at(&window, 0));
    check(&window);
    ck_assert_uint_eq(window.n_idle, 1);
    rmq_pull_window_sent(&window, at(&window, 0), 77);
    check(&window);
    ck_assert_uint_eq(window.expected_bytes, 1077);
    drop_all(rmq_pull_window_reset(&window, 0));
}
END_TEST

/* One random step: an answer of any length, a failure, a pull more; and what is answered leaves. */
static void random_step(rmq_pull_window *window, unsigned *seed, int counts[4])
{
    int n = 0;
    for (rmq_pull *pull = window->first; pull != NULL; pull = pull->behind)
        n++;
    int what = n == 0 ? 3 : rand_r(seed) % (n < 12 ? 4 : 3);
    counts[what]++;
    if (what == 3) {
        rmq_pull *pull =
            rmq_pull_window_add(window, rmq_pull_window_end(window) + 1 + rand_r(seed) % 9);
        ck_assert_ptr_nonnull(pull);
        return;
    }
    rmq_pull *pull = at(window, rand_r(seed) % n);
    if (pull->state == RMQ_PULL_IDLE) {
        rmq_pull_window_sent(window, pull, (size_t)(rand_r(seed) % 100));
        return;
    }
    if (pull->state != RMQ_PULL_IN_FLIGHT)
        return;
    if (what == 2) {
        rmq_pull_window_unsent(window, pull);
        return;
    }
    rmq_pull *needless = NULL;
    int64_t next = pull->chunk.from + 1 + rand_r(seed) % (what == 0 ? 9 : 25);
    ck_assert_int_eq(rmq_pull_window_settle(window, pull, next, NULL, &needless), RMQ_OK);
    drop_all(needless);
}

START_TEST(random_steps_never_leave_a_hole)
{
    unsigned seed = (unsigned)_i * 7919u + 1;
    rmq_pull_window window = {.position = 1000};
    int64_t handed_out = 1000;
    int counts[4] = {0, 0, 0, 0};
    for (int step = 0; step < 4000; step++) {
        random_step(&window, &seed, counts);
        check(&window);
        for (rmq_chunk *chunk = rmq_pull_window_pop(&window); chunk != NULL;
             chunk = rmq_pull_window_pop(&window)) {
            ck_assert_int_eq(chunk->from, handed_out);
            handed_out = chunk->to;
            rmq_chunk_free(chunk);
        }
    }
    ck_assert_int_gt(handed_out, 1500);
    for (int i = 0; i < 4; i++)
        ck_assert_int_gt(counts[i], 300);
    drop_all(rmq_pull_window_reset(&window, 0));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("pull_window");
    TCase *tcase = tcase_create("pull_window");
    tcase_add_test(tcase, answers_out_of_order_come_out_in_order);
    tcase_add_test(tcase, short_answer_leaves_a_hole_to_be_filled);
    tcase_add_test(tcase, long_answer_makes_others_needless);
    tcase_add_test(tcase, open_pull_ends_where_its_answer_ends);
    tcase_add_test(tcase, failed_pull_is_idle_again);
    tcase_add_loop_test(tcase, random_steps_never_leave_a_hole, 0, 8);
    suite_add_tcase(suite, tcase);
    return suite;
}
