/* Two processes and one checkpoint: the second is refused; with take_over it goes on, and the
 * first, paused at some step and continued, changes nothing that counts, says so and stops. */
#include "crash_support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *dir;

static void setup(void)
{
    dir = temp_dir_make();
}

static void teardown(void)
{
    temp_dir_remove(dir);
}

/* Where the first process is paused. Not between write and commit: there SQLite's writer holds the
 * database, and who takes over has to wait until it is gone (see the next test). */
static const struct {
    int n_sinks;
    const char *stop_at;
} pauses[] = {
    {1, "before-plan:2"},   {1, "after-plan:2"},     {1, "before-read:2"},    {1, "after-read:2"},
    {1, "before-begin:2"},  {1, "after-begin:2"},    {1, "after-commit:2"},   {1, "before-done:2"},
    {1, "after-done:2"},    {1, "before-report:2"},  {1, "before-forget:2"},  {1, "after-forget:2"},
    {2, "before-plan:2"},   {2, "after-plan:2"},     {2, "after-read:2"},     {2, "before-state:2"},
    {2, "after-state:2"},   {2, "before-decide:2"},  {2, "after-decide:2"},   {2, "before-begin:2"},
    {2, "after-commit:2"},  {2, "before-begin:2:2"}, {2, "after-commit:2:2"}, {2, "before-done:2"},
    {2, "before-forget:2"}, {2, "after-forget:2"},
};

START_TEST(paused_and_taken_over)
{
    crash_job first = {.dir = dir, .n_sinks = pauses[_i].n_sinks, .stop_at = pauses[_i].stop_at};
    crash_child paused = crash_start(&first);
    crash_wait_stopped(paused);

    crash_job second = {.dir = dir, .n_sinks = first.n_sinks};
    crash_end end = crash_run(&second);
    ck_assert_int_eq(end.status, RMQ_LOCKED);
    char holder[48];
    snprintf(holder, sizeof(holder), "held by pid %d on host ", (int)paused.pid);
    ck_assert_msg(strstr(end.err.text, holder) != NULL, "%s", end.err.text);

    second.take_over = true;
    end = crash_run(&second);
    ck_assert_msg(end.status == RMQ_OK, "%s", end.err.text);
    crash_must_balance(&second, "after the take-over");

    ck_assert_int_eq(kill(paused.pid, SIGCONT), 0);
    end = crash_wait(paused);
    ck_assert_msg(end.status == RMQ_FENCED, "%s: %s %s", first.stop_at, rmq_status_name(end.status),
                  end.err.text);
    ck_assert_msg(strstr(end.err.text, "a newer process took over") != NULL, "%s", end.err.text);
    crash_must_balance(&second, "after the first went on");
}
END_TEST

/* Paused in the middle of SQLite's transaction: the second process can't get in, loses nothing, and
 * gets in once the first is killed. */
START_TEST(paused_while_it_holds_the_database)
{
    crash_job first = {.dir = dir, .n_sinks = 1, .stop_at = "before-commit:2"};
    crash_child paused = crash_start(&first);
    crash_wait_stopped(paused);
    crash_job second = {.dir = dir, .n_sinks = 1, .take_over = true};
    crash_end end = crash_run(&second);
    ck_assert_int_eq(end.status, RMQ_LOCKED);
    ck_assert_msg(strstr(end.err.text, "0.db") != NULL, "%s", end.err.text);
    ck_assert_int_eq(kill(paused.pid, SIGKILL), 0);
    ck_assert(crash_wait(paused).killed);
    second.take_over = false;
    end = crash_run(&second);
    ck_assert_msg(end.status == RMQ_OK, "%s", end.err.text);
    crash_must_balance(&second, "after the kill");
}
END_TEST

Suite *test_suite(void)
{
    use_memory_for_temp_dirs();
    Suite *suite = suite_create("fencing");
    TCase *tc = tcase_create("fencing");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, paused_and_taken_over, 0, (int)(sizeof(pauses) / sizeof(pauses[0])));
    tcase_add_test(tc, paused_while_it_holds_the_database);
    suite_add_tcase(suite, tc);
    return suite;
}
