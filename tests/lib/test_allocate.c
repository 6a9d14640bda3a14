/* The parts that members of a group take. Each case's expected parts were written down from the
 * official rules, not from this code: every queue to exactly one member, in the official order. */
#include "../support/support.h"

#include "../../lib/allocate.h"

typedef struct share_case {
    size_t n_queues, n_members;
    /* of each member: first queue and count, average; count by circle */
    size_t first[5], count[5], circle[5];
} share_case;

static const share_case cases[] = {
    {4, 1, {0}, {4}, {4}},
    {4, 2, {0, 2}, {2, 2}, {2, 2}},
    {5, 2, {0, 3}, {3, 2}, {3, 2}},
    {8, 3, {0, 3, 6}, {3, 3, 2}, {3, 3, 2}},
    {7, 3, {0, 3, 5}, {3, 2, 2}, {3, 2, 2}},
    {2, 3, {0, 1, 2}, {1, 1, 0}, {1, 1, 0}},
    {1, 4, {0, 1, 1, 1}, {1, 0, 0, 0}, {1, 0, 0, 0}},
    {0, 2, {0, 0}, {0, 0}, {0, 0}},
    {13, 5, {0, 3, 6, 9, 11}, {3, 3, 3, 2, 2}, {3, 3, 3, 2, 2}},
};

START_TEST(parts_are_the_official_ones)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const share_case *one = &cases[i];
        for (size_t member = 0; member < one->n_members; member++) {
            rmq_share average =
                rmq_allocate(RMQ_ALLOCATE_AVERAGE, one->n_queues, one->n_members, member);
            ck_assert_msg(average.count == one->count[member] &&
                              (average.count == 0 || average.first == one->first[member]) &&
                              average.step == 1,
                          "case %zu member %zu: average %zu + %zu", i, member, average.first,
                          average.count);
            rmq_share circle =
                rmq_allocate(RMQ_ALLOCATE_CIRCLE, one->n_queues, one->n_members, member);
            ck_assert_msg(circle.count == one->circle[member] && circle.first == member &&
                              circle.step == one->n_members,
                          "case %zu member %zu: circle %zu + %zu * %zu", i, member, circle.first,
                          circle.count, circle.step);
        }
    }
}
END_TEST

START_TEST(each_queue_has_one_member)
{
    enum { MOST = 40 };
    for (int allocation = RMQ_ALLOCATE_AVERAGE; allocation <= RMQ_ALLOCATE_CIRCLE; allocation++) {
        for (size_t n_queues = 0; n_queues < MOST; n_queues++) {
            for (size_t n_members = 1; n_members < MOST; n_members++) {
                int owners[MOST] = {0};
                for (size_t member = 0; member < n_members; member++) {
                    rmq_share share =
                        rmq_allocate((rmq_allocation)allocation, n_queues, n_members, member);
                    for (size_t k = 0; k < share.count; k++) {
                        ck_assert_uint_lt(share.first + k * share.step, n_queues);
                        owners[share.first + k * share.step]++;
                    }
                }
                for (size_t queue = 0; queue < n_queues; queue++)
                    ck_assert_msg(owners[queue] == 1, "%zu queues, %zu members: queue %zu has %d",
                                  n_queues, n_members, queue, owners[queue]);
            }
        }
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("allocate");
    TCase *tc = tcase_create("allocate");
    tcase_add_test(tc, parts_are_the_official_ones);
    tcase_add_test(tc, each_queue_has_one_member);
    suite_add_tcase(suite, tc);
    return suite;
}
