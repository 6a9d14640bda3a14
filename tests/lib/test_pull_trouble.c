#include "../support/support.h"

#include "../../lib/pull_trouble.h"

/* Jitter makes pauses shorter, never longer: with the default of 2 s a reader, and the connection
 * it waits for, are back within 5 s of the broker. */
START_TEST(pauses_stay_below_what_was_asked_for)
{
    static const int64_t longest[] = {1, 2, 3, 100, 2000, 3600000};
    for (size_t i = 0; i < sizeof(longest) / sizeof(longest[0]); i++) {
        int64_t low = INT64_MAX;
        int64_t high = 0;
        for (uint64_t random = 0; random < 10000; random++) {
            int64_t pause = rmq_pull_trouble_pause(longest[i], random * 2654435761u);
            low = pause < low ? pause : low;
            high = pause > high ? pause : high;
        }
        ck_assert_int_le(high, longest[i]);
        ck_assert_int_ge(low, longest[i] * 3 / 4);
        ck_assert_msg(longest[i] < 100 || high - low > longest[i] / 8, "%lld to %lld: no jitter",
                      (long long)low, (long long)high);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("pull_trouble");
    TCase *tcase = tcase_create("pull_trouble");
    tcase_add_test(tcase, pauses_stay_below_what_was_asked_for);
    suite_add_tcase(suite, tcase);
    return suite;
}
