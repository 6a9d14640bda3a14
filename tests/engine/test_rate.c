/* Sharing a batch among queues: the sum, the limits and the proportions, also for huge numbers. */
#include "../support/support.h"

#include <string.h>

#include "stream/rate.h"

#define COUNT 5

static const struct {
    int64_t waiting[COUNT], per_queue, total, takes[COUNT];
} cases[] = {
    {{10, 20, 0, 5, 1}, 0, 0, {10, 20, 0, 5, 1}},
    {{10, 20, 0, 5, 1}, 7, 0, {7, 7, 0, 5, 1}},
    {{10, 20, 0, 5, 1}, 0, 36, {10, 20, 0, 5, 1}},
    {{100, 300, 0, 0, 0}, 0, 40, {10, 30, 0, 0, 0}},
    {{100, 300, 0, 0, 0}, 100, 40, {20, 20, 0, 0, 0}},
    {{1, 1, 1, 1, 1}, 0, 2, {1, 1, 0, 0, 0}},
    {{1, 1000000, 1, 0, 0}, 0, 10, {1, 9, 0, 0, 0}},
    {{INT64_MAX, 0, 0, 0, 0}, 0, 1000000, {1000000, 0, 0, 0, 0}},
    {{0, 0, 0, 0, 0}, 3, 10, {0, 0, 0, 0, 0}},
};

START_TEST(shares)
{
    int64_t takes[COUNT];
    memcpy(takes, cases[_i].waiting, sizeof(takes));
    mill_rate_share(takes, COUNT, cases[_i].per_queue, cases[_i].total);
    for (size_t i = 0; i < COUNT; i++)
        ck_assert_msg(takes[i] == cases[_i].takes[i], "case %d, queue %zu: %lld, expected %lld", _i,
                      i, (long long)takes[i], (long long)cases[_i].takes[i]);
}
END_TEST

/* Whatever the numbers: no queue more than it has or may, the total kept, and something taken. */
START_TEST(always_within_limits)
{
    uint64_t seed = 42;
    for (int round = 0; round < 20000; round++) {
        int64_t waiting[COUNT], takes[COUNT], sum = 0;
        bool any = false;
        for (size_t i = 0; i < COUNT; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            waiting[i] = (int64_t)(seed >> 1) >> (seed % 64);
            if (waiting[i] < 0)
                waiting[i] = 0;
            any = any || waiting[i] > 0;
        }
        memcpy(takes, waiting, sizeof(takes));
        int64_t total = 1 + (int64_t)(seed >> 40), per_queue = 1 + (int64_t)(seed >> 44);
        mill_rate_share(takes, COUNT, per_queue, total);
        for (size_t i = 0; i < COUNT; i++) {
            ck_assert_int_ge(takes[i], 0);
            ck_assert_int_le(takes[i], waiting[i]);
            ck_assert_int_le(takes[i], per_queue);
            sum += takes[i];
        }
        ck_assert_int_le(sum, total);
        ck_assert(sum > 0 || !any);
    }
}
END_TEST

START_TEST(rates)
{
    ck_assert_int_eq(mill_rate_of(100, 1000), 100);
    ck_assert_int_eq(mill_rate_of(100, 50), 5);
    ck_assert_int_eq(mill_rate_of(1, 10), 1);
    ck_assert_int_eq(mill_rate_of(1, 0), 1);
    ck_assert_int_eq(mill_rate_of(INT64_MAX, 1000), INT64_MAX);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("rate");
    TCase *tc = tcase_create("rate");
    tcase_add_loop_test(tc, shares, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(tc, always_within_limits);
    tcase_add_test(tc, rates);
    suite_add_tcase(suite, tc);
    return suite;
}
