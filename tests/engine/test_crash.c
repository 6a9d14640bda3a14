/* The job is killed at every named step of a batch's life, in several batches, and started again:
 * each order takes effect exactly once. The same check must fail for a job that writes its offsets
 * outside the transaction: otherwise it could not have found anything. */
#include "crash_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/crash_point.h"

static char *dir;

static void setup(void)
{
    dir = temp_dir_make();
}

static void teardown(void)
{
    temp_dir_remove(dir);
}

static void fresh_dir(void)
{
    temp_dir_remove(dir);
    dir = temp_dir_make();
}

/* The points that a job of one sink passes: its commit is the decision. */
static bool passes(int n_sinks, const char *point)
{
    return n_sinks > 1 || strstr(point, "decide") == NULL;
}

static void kill_and_restart(int n_sinks, const char *crash_at)
{
    fresh_dir();
    crash_job job = {.dir = dir, .n_sinks = n_sinks, .crash_at = crash_at};
    crash_end end = crash_run(&job);
    ck_assert_msg(end.killed, "%s missed: %s", crash_at, end.err.text);
    job.crash_at = NULL;
    end = crash_run(&job);
    ck_assert_msg(!end.killed && end.status == RMQ_OK, "after %s: %s", crash_at, end.err.text);
    crash_must_balance(&job, crash_at);
}

static void each_batch(int n_sinks, int point)
{
    const char *const *names;
    ck_assert_int_gt((int)mill_crash_points(&names), point);
    if (!passes(n_sinks, names[point]))
        return;
    for (int batch = 1; batch <= CRASH_BATCHES; batch++) {
        char crash_at[64];
        snprintf(crash_at, sizeof(crash_at), "%s:%d", names[point], batch);
        kill_and_restart(n_sinks, crash_at);
    }
}

START_TEST(one_sink_killed_at_each_point)
{
    each_batch(1, _i);
}
END_TEST

START_TEST(two_sinks_killed_at_each_point)
{
    each_batch(2, _i);
}
END_TEST

static const char *const second_sink[] = {
    "before-begin:2:2",   "after-begin:2:2",   "before-write:2:2",  "after-write:2:2",
    "before-prepare:2:2", "after-prepare:2:2", "before-commit:2:2", "after-commit:2:2"};

/* The first sink has the batch, the second not yet. */
START_TEST(between_two_sinks)
{
    kill_and_restart(2, second_sink[_i]);
}
END_TEST

/* Killed again and again, at points drawn by a seed in the batch that comes next, until nothing is
 * left to do. */
START_TEST(killed_all_the_time)
{
    const char *const *names;
    size_t n_names = mill_crash_points(&names);
    unsigned seed = 1000 + (unsigned)_i;
    crash_job job = {.dir = dir, .n_sinks = 1 + _i % CRASH_SINKS};
    int n_kills = 0;
    for (;;) {
        int batch = crash_last_batch(&job) + 1;
        const char *point = names[(size_t)rand_r(&seed) % n_names];
        if (batch > CRASH_BATCHES)
            break;
        if (!passes(job.n_sinks, point))
            continue;
        char crash_at[64];
        snprintf(crash_at, sizeof(crash_at), "%s:%d", point, batch);
        job.crash_at = crash_at;
        crash_end end = crash_run(&job);
        ck_assert_msg(end.killed, "%s missed: %s", crash_at, end.err.text);
        n_kills++;
    }
    job.crash_at = NULL;
    crash_end end = crash_run(&job);
    ck_assert_msg(end.status == RMQ_OK, "%s", end.err.text);
    crash_must_balance(&job, "at the end");
    ck_assert_int_ge(n_kills, CRASH_BATCHES);
}
END_TEST

/* Rows are committed at prepare, offsets at commit: a crash in between must be found. */
START_TEST(unsafe_offsets_are_found)
{
    crash_job job = {
        .dir = dir, .n_sinks = 1, .unsafe_offsets = true, .crash_at = "before-commit:2"};
    ck_assert(crash_run(&job).killed);
    job.crash_at = NULL;
    crash_end end = crash_run(&job);
    ck_assert_msg(end.status == RMQ_OK, "%s", end.err.text);
    crash_books books = crash_check(&job);
    ck_assert_int_eq(books.twice, FAKE_QUEUES * CRASH_EACH / CRASH_BATCHES);
    ck_assert_int_eq(books.lost, 0);
}
END_TEST

Suite *test_suite(void)
{
    use_memory_for_temp_dirs();
    Suite *suite = suite_create("crash");
    TCase *tc = tcase_create("crash");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    const char *const *names;
    int n_points = (int)mill_crash_points(&names);
    tcase_add_loop_test(tc, one_sink_killed_at_each_point, 0, n_points);
    tcase_add_loop_test(tc, two_sinks_killed_at_each_point, 0, n_points);
    tcase_add_loop_test(tc, between_two_sinks, 0,
                        (int)(sizeof(second_sink) / sizeof(second_sink[0])));
    tcase_add_loop_test(tc, killed_all_the_time, 0, 10);
    tcase_add_test(tc, unsafe_offsets_are_found);
    suite_add_tcase(suite, tc);
    return suite;
}
