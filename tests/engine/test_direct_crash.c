/* The main job, from a broker's topic into SQLite, killed at every named step: each message takes
 * effect exactly once. The broker is a process of its own, so that the job's children begin without
 * threads. */
#include "crash_support.h"
#include "direct_support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream/crash_point.h"

static char *dir;

/* What the broker's process tells. */
static struct {
    char namesrv[256];
    char topic[256];
} where;
static pid_t broker_pid;
static int broker_stop_fd;

static void serve(int tell_fd, int stop_fd)
{
    test_broker broker;
    direct_topic topic;
    test_broker_start_dev(&broker, NULL);
    direct_topic_make(&topic, &broker, FAKE_QUEUES);
    direct_send_all(&topic, FAKE_QUEUES, CRASH_EACH);
    snprintf(where.namesrv, sizeof(where.namesrv), "%s", broker.namesrv);
    snprintf(where.topic, sizeof(where.topic), "%s", topic.topic);
    if (write(tell_fd, &where, sizeof(where)) != (ssize_t)sizeof(where))
        _exit(1);
    char byte;
    while (read(stop_fd, &byte, 1) > 0)
        ;
    direct_topic_free(&topic);
    test_broker_stop(&broker);
}

static void setup(void)
{
    dir = temp_dir_make();
    int tell[2], stop[2];
    ck_assert_int_eq(pipe(tell), 0);
    ck_assert_int_eq(pipe(stop), 0);
    broker_pid = fork();
    ck_assert_int_ge(broker_pid, 0);
    if (broker_pid == 0) {
        close(tell[0]);
        close(stop[1]);
        serve(tell[1], stop[0]);
        _exit(0);
    }
    close(tell[1]);
    close(stop[0]);
    broker_stop_fd = stop[1];
    ck_assert_int_eq(read(tell[0], &where, sizeof(where)), (ssize_t)sizeof(where));
    close(tell[0]);
}

static void teardown(void)
{
    /* A job's child that was killed held a copy; all are gone now, so this ends the broker. */
    close(broker_stop_fd);
    int how = 0;
    ck_assert_int_eq(waitpid(broker_pid, &how, 0), broker_pid);
    ck_assert_int_eq(how, 0);
    temp_dir_remove(dir);
}

START_TEST(killed_at_each_point)
{
    const char *const *names;
    ck_assert_int_gt((int)mill_crash_points(&names), _i);
    if (strstr(names[_i], "decide") != NULL)
        return; /* with one sink its commit decides */
    char crash_at[64];
    snprintf(crash_at, sizeof(crash_at), "%s:%d", names[_i], 1 + _i % CRASH_BATCHES);
    crash_job job = {.dir = dir,
                     .n_sinks = 1,
                     .crash_at = crash_at,
                     .namesrv = where.namesrv,
                     .topic = where.topic};
    crash_end end = crash_run(&job);
    ck_assert_msg(end.killed, "%s missed: %s", crash_at, end.err.text);
    job.crash_at = NULL;
    end = crash_run(&job);
    ck_assert_msg(!end.killed && end.status == RMQ_OK, "after %s: %s", crash_at, end.err.text);
    crash_must_balance(&job, crash_at);
}
END_TEST

START_TEST(unsafe_offsets_are_found)
{
    crash_job job = {.dir = dir,
                     .n_sinks = 1,
                     .unsafe_offsets = true,
                     .crash_at = "before-commit:2",
                     .namesrv = where.namesrv,
                     .topic = where.topic};
    ck_assert(crash_run(&job).killed);
    job.crash_at = NULL;
    crash_end end = crash_run(&job);
    ck_assert_msg(end.status == RMQ_OK, "%s", end.err.text);
    crash_books books = crash_check(&job);
    ck_assert_int_eq(books.twice, FAKE_QUEUES * CRASH_EACH / CRASH_BATCHES);
}
END_TEST

Suite *test_suite(void)
{
    use_memory_for_temp_dirs();
    Suite *suite = suite_create("direct_crash");
    TCase *tc = tcase_create("direct_crash");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    const char *const *names;
    tcase_add_loop_test(tc, killed_at_each_point, 0, (int)mill_crash_points(&names));
    tcase_add_test(tc, unsafe_offsets_are_found);
    suite_add_tcase(suite, tc);
    return suite;
}
