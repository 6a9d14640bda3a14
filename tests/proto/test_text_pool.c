#include "../support/support.h"

#include <string.h>

#include "../../proto/text_pool.h"
#include "../support/fault_alloc.h"

START_TEST(strings_stay_where_and_what_they_are)
{
    enum { N = 500 };
    fault_alloc_fail(-1);
    void *pool = NULL;
    char *taken[N];
    for (size_t i = 0; i < N; i++) {
        taken[i] = rmq_text_pool_take(&pool, i);
        ck_assert_ptr_nonnull(taken[i]);
        memset(taken[i], (int)(i % 251), i);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < i; k++)
            if ((uint8_t)taken[i][k] != i % 251)
                ck_abort_msg("string %zu was overwritten", i);
    ck_assert_int_gt(fault_alloc_count(), 100);
    ck_assert_int_lt(fault_alloc_count(), 300);
    rmq_text_pool_free(&pool);
    ck_assert_ptr_null(pool);
    rmq_text_pool_free(&pool);
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
}
END_TEST

START_TEST(what_is_given_back_is_taken_again)
{
    void *pool = NULL;
    char *first = rmq_text_pool_take(&pool, 100);
    rmq_text_pool_give_back(pool, 60);
    char *second = rmq_text_pool_take(&pool, 10);
    ck_assert_ptr_eq(second, first + 40);
    rmq_text_pool_free(&pool);
}
END_TEST

START_TEST(too_much_is_refused_and_leaves_the_pool)
{
    void *pool = NULL;
    ck_assert_ptr_null(rmq_text_pool_take(&pool, SIZE_MAX));
    ck_assert_ptr_null(rmq_text_pool_take(&pool, SIZE_MAX - 8));
    ck_assert_ptr_null(pool);
    fault_alloc_fail(1);
    char *kept = rmq_text_pool_take(&pool, 1000);
    memset(kept, 'k', 1000);
    ck_assert_ptr_null(rmq_text_pool_take(&pool, 1000));
    ck_assert_ptr_nonnull(rmq_text_pool_take(&pool, 1000));
    ck_assert_int_eq(kept[999], 'k');
    rmq_text_pool_free(&pool);
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("text_pool");
    TCase *tc = tcase_create("text_pool");
    tcase_add_test(tc, strings_stay_where_and_what_they_are);
    tcase_add_test(tc, what_is_given_back_is_taken_again);
    tcase_add_test(tc, too_much_is_refused_and_leaves_the_pool);
    suite_add_tcase(suite, tc);
    return suite;
}
