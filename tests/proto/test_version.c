#include "../support/support.h"

START_TEST(version_is_the_builds)
{
    ck_assert_str_eq(rmq_version(), MILLRACE_VERSION);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("version");
    TCase *tc = tcase_create("version");
    tcase_add_test(tc, version_is_the_builds);
    suite_add_tcase(suite, tc);
    return suite;
}
