#include "../support/support.h"

#include "../../lib/pull_size.h"

START_TEST(first_pull_probes)
{
    rmq_pull_size size;
    rmq_pull_size_init(&size, 32, 1024);
    ck_assert_int_eq(size.ask, 32);
    ck_assert_int_eq(rmq_pull_size_ask(&size, 32), 1024);
    ck_assert_int_eq(rmq_pull_size_ask(&size, 32), 32); /* one probe at a time */
    rmq_pull_size_learn(&size, 32, 1024, 32, 3200);
    ck_assert_int_eq(size.ask, 32);
    ck_assert_int_eq(size.bytes_per_message, 100);
    ck_assert_int_eq(rmq_pull_size_ask(&size, 32), 32);
}
END_TEST

START_TEST(probe_finds_a_generous_broker)
{
    rmq_pull_size size;
    rmq_pull_size_init(&size, 32, 1024);
    rmq_pull_size_learn(&size, 32, rmq_pull_size_ask(&size, 32), 1024, 102400);
    ck_assert_int_eq(size.ask, 1024);
    ck_assert_int_eq(rmq_pull_size_ask(&size, 1024), 1024);
}
END_TEST

START_TEST(wish_bounds_everything)
{
    rmq_pull_size size;
    rmq_pull_size_init(&size, 32, 10);
    ck_assert_int_eq(size.ask, 10);
    ck_assert_int_eq(rmq_pull_size_ask(&size, 10), 10);
    ck_assert_int_eq(rmq_pull_size_ask(&size, 3), 3);
    rmq_pull_size_learn(&size, 0, 10, 5000, 5000);
    ck_assert_int_eq(size.ask, 10);
}
END_TEST

START_TEST(short_answers_shrink_gently_to_the_truth)
{
    rmq_pull_size size;
    rmq_pull_size_init(&size, 32, 1024);
    (void)rmq_pull_size_ask(&size, 32);
    rmq_pull_size_lost(&size, 32, 1024);
    int steps = 0;
    for (; size.ask > 8; steps++) {
        int32_t before = size.ask;
        rmq_pull_size_learn(&size, size.ask, size.ask, 8, 800);
        ck_assert_int_lt(size.ask, before);
        ck_assert_int_ge(size.ask, before - before / 4);
    }
    ck_assert_int_eq(size.ask, 8);
    ck_assert_int_le(steps, 6);
    rmq_pull_size_learn(&size, 8, 8, 1, 100);
    ck_assert_int_eq(size.ask, 6);
    for (int i = 0; i < 20; i++)
        rmq_pull_size_learn(&size, size.ask, size.ask, size.ask > 1 ? 1 : 0, 100);
    ck_assert_int_eq(size.ask, 1);
}
END_TEST

/* Full answers only: how many of them until it asks for more? */
static int full_until_probe(rmq_pull_size *size, int limit)
{
    for (int n = 0; n < limit; n++) {
        int32_t asked = rmq_pull_size_ask(size, size->ask);
        if (asked > size->ask) {
            ck_assert_int_eq(asked, size->ask * 2);
            rmq_pull_size_learn(size, size->ask, asked, size->ask, 100); /* in vain */
            return n;
        }
        rmq_pull_size_learn(size, size->ask, asked, size->ask, 100);
    }
    return limit;
}

START_TEST(probes_in_vain_become_rare)
{
    rmq_pull_size size;
    rmq_pull_size_init(&size, 32, 1024);
    rmq_pull_size_learn(&size, 32, rmq_pull_size_ask(&size, 32), 32, 100);
    int last = full_until_probe(&size, 100000);
    ck_assert_int_eq(last, 32);
    for (int i = 0; i < 6; i++) {
        int now = full_until_probe(&size, 100000);
        ck_assert_int_eq(now, last * 2);
        last = now;
    }
    ck_assert_int_eq(full_until_probe(&size, 100000), 2048);
}
END_TEST

START_TEST(bytes_are_an_average)
{
    rmq_pull_size size;
    rmq_pull_size_init(&size, 32, 32);
    ck_assert_uint_gt(rmq_pull_size_bytes(&size, 1), 0);
    rmq_pull_size_learn(&size, 32, 32, 32, 32 * 1000);
    ck_assert_uint_eq(rmq_pull_size_bytes(&size, 10), 10000);
    for (int i = 0; i < 100; i++)
        rmq_pull_size_learn(&size, 32, 32, 32, 32 * 2000);
    ck_assert_uint_ge(rmq_pull_size_bytes(&size, 10), 19900);
    ck_assert_uint_le(rmq_pull_size_bytes(&size, 10), 20000);
    rmq_pull_size_learn(&size, 32, 32, 0, 0); /* nothing came: nothing is learnt */
    ck_assert_int_eq(size.ask, 32);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("pull_size");
    TCase *tcase = tcase_create("pull_size");
    tcase_add_test(tcase, first_pull_probes);
    tcase_add_test(tcase, probe_finds_a_generous_broker);
    tcase_add_test(tcase, wish_bounds_everything);
    tcase_add_test(tcase, short_answers_shrink_gently_to_the_truth);
    tcase_add_test(tcase, probes_in_vain_become_rare);
    tcase_add_test(tcase, bytes_are_an_average);
    suite_add_tcase(suite, tcase);
    return suite;
}
