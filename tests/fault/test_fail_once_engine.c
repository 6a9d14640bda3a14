/* Every fallible call of a job fails once: of a direct stream that runs batches into SQLite, and of
 * a job that stages its output for two databases, so that the checkpoint decides. Whatever failed,
 * the job started again ends well, and each order has taken effect once. */
#include "../support/support.h"
#include "fail_once.h"
#include "fault_job.h"

#include <string.h>

#define POINTS_FULL 13000
#define POINTS_LEAST 250

static far_side far;

static fault_job batch_job = {.far = &far, .n_sinks = 1, .sums = true};
static fault_job commit_job = {.n_sinks = 2};
static fault_job converted_job = {.n_sinks = 1, .utf16 = true};

static void *begin_batch(void)
{
    fault_job_begin(&batch_job);
    return &batch_job;
}

static void *begin_commit(void)
{
    fault_job_begin(&commit_job);
    return &commit_job;
}

static fault_job unsafe_job = {.n_sinks = 1, .unsafe = true};

static void *begin_unsafe(void)
{
    fault_job_begin(&unsafe_job);
    return &unsafe_job;
}

static void *begin_converted(void)
{
    fault_job_begin(&converted_job);
    return &converted_job;
}

static rmq_status run(void *state, rmq_error *err)
{
    return fault_job_run(state, err);
}

static void check(void *state, rmq_status status)
{
    fault_job_check(state, status == RMQ_OK);
}

static void end(void *state)
{
    fault_job_end(state);
}

static const fail_scenario batch = {.name = "batch",
                                    .prepare = begin_batch,
                                    .operate = run,
                                    .check = check,
                                    .finish = end,
                                    .deadline_ms = 30000,
                                    .max_nth = 2000};
static const fail_scenario commit = {.name = "commit",
                                     .prepare = begin_commit,
                                     .operate = run,
                                     .check = check,
                                     .finish = end,
                                     .deadline_ms = 30000,
                                     .max_nth = 2000};

/* A rollback journal instead of a WAL, and texts that take memory. */
static const fail_scenario converted = {.name = "commit in UTF-16",
                                        .prepare = begin_converted,
                                        .operate = run,
                                        .check = check,
                                        .finish = end,
                                        .kinds = FAIL_KIND(LIBRARY) | FAIL_KIND(DATABASE),
                                        .deadline_ms = 30000,
                                        .max_nth = 2000};

START_TEST(batches_of_a_direct_stream)
{
    far_side_start(&far, FAULT_JOB_QUEUES, FAULT_JOB_ORDERS, NULL);
    fail_once_run(&batch);
    far_side_stop(&far);
}
END_TEST

START_TEST(commits_of_two_databases)
{
    fail_once_run(&commit);
}
END_TEST

START_TEST(commits_into_utf16)
{
    fail_once_run(&converted);
}
END_TEST

/* The judge is judged: where rows are committed apart from the offsets, some failure between the
 * two must be seen to let an order take effect twice. */
START_TEST(unsafe_offsets_are_found)
{
    const fail_scenario unsafe = {.name = "unsafe offsets",
                                  .prepare = begin_unsafe,
                                  .operate = run,
                                  .check = check,
                                  .finish = end,
                                  .deadline_ms = 30000};
    bool found = false;
    for (size_t i = 0; i < fault_n_ways && !found; i++) {
        bool struck = fault_ways[i].call == FAULT_CALL_sqlite3_exec;
        for (int64_t nth = 0; struck && !found; nth++) {
            const char *why = fail_once_point(&unsafe, &fault_ways[i], nth, &struck);
            ck_assert_msg(why == NULL || strstr(why, "took effect 2 times") != NULL, "%s", why);
            found = why != NULL;
        }
    }
    ck_assert(found);
}
END_TEST

START_TEST(enough_points)
{
    fail_once_floor(POINTS_FULL, POINTS_LEAST);
}
END_TEST

/* A case of its own each, so that CK_RUN_CASE can choose. */
static void add(Suite *suite, const char *name, const TTest *test)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 3600);
    tcase_add_test(tcase, test);
    suite_add_tcase(suite, tcase);
}

Suite *test_suite(void)
{
    use_memory_for_temp_dirs();
    fail_once_install();
    Suite *suite = suite_create("fail_once_engine");
    add(suite, "batch", batches_of_a_direct_stream);
    add(suite, "commit", commits_of_two_databases);
    add(suite, "utf16", commits_into_utf16);
    add(suite, "unsafe", unsafe_offsets_are_found);
    add(suite, "floor", enough_points);
    return suite;
}
