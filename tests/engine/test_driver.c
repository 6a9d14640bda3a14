/* The batch driver over a source and sinks that do what the test says: batches, triggers, stops,
 * restarts, and what it does when a step fails. */
#include "driver_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What progress told. */
typedef struct told {
    int count;
    mill_progress last;
    uint64_t input_rows;
    mill_streaming_context *stop_at; /* stopped by the callback after `stop_after` batches */
    int stop_after;
    bool graceful;
} told;

static void tell(const mill_progress *progress, void *ctx)
{
    told *all = ctx;
    all->count++;
    all->last = *progress;
    all->last.run = NULL;
    all->input_rows += progress->input_rows;
    if (all->stop_at != NULL && all->count == all->stop_after)
        mill_streaming_stop(all->stop_at, all->graceful);
}

static fake_job one_sink(told *progress)
{
    return (fake_job){.dir = dir,
                      .trigger = MILL_TRIGGER_AVAILABLE_NOW,
                      .topic = &topic,
                      .tables = {table},
                      .on_progress = progress != NULL ? tell : NULL,
                      .on_progress_ctx = progress};
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* ---- batches ---- */

START_TEST(reads_all_in_batches)
{
    driver_fill(10);
    topic.max_per_queue = 4;
    told progress = {0};
    fake_job job = one_sink(&progress);
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    ck_assert_int_eq(progress.count, 3);
    ck_assert_int_eq(progress.last.batch_id, 3);
    ck_assert_int_eq(progress.last.epoch, 1);
    ck_assert_uint_eq(progress.input_rows, 30);
    ck_assert_uint_eq(progress.last.output_rows, 6);
    ck_assert_uint_eq(progress.last.lag, 0);
    ck_assert(!progress.last.again);
    char run[MILL_RUN_NAME_BYTES];
    ck_assert_int_eq(fake_table_last(table, run), 3);
    ck_assert_int_eq(strncmp(run, "e1-", 3), 0);
    ck_assert_int_eq(count_files(dir, "plan"), 3);
    ck_assert_int_eq(count_files(dir, "done"), 3);
    ck_assert_int_eq(count_files(dir, "state"), 4);
    ck_assert_int_eq(count_files(dir, "out"), 0);
    ck_assert_int_eq(count_files(dir, "commit"), 0);
}
END_TEST

START_TEST(goes_on_where_it_was)
{
    driver_fill(5);
    told progress = {0};
    fake_job job = one_sink(&progress);
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    driver_fill(9);
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    ck_assert_int_eq(progress.count, 2);
    ck_assert_int_eq(progress.last.batch_id, 2);
    ck_assert_int_eq(progress.last.epoch, 2);
    ck_assert_uint_eq(progress.last.input_rows, 12);
}
END_TEST

/* Nothing new: no number, no file. */
START_TEST(nothing_to_do)
{
    fake_job job = one_sink(NULL);
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    ck_ok(job_run(&job, &err), &err);
    ck_assert_int_eq(count_files(dir, "plan"), 0);
    ck_assert_int_eq(fake_table_calls(table, "begin"), 0);
    driver_fill(1);
    ck_ok(job_run(&job, &err), &err);
    char run[MILL_RUN_NAME_BYTES];
    ck_assert_int_eq(fake_table_last(table, run), 1);
    check_once(table, &topic);
}
END_TEST

START_TEST(once_is_one_batch)
{
    driver_fill(10);
    topic.max_per_queue = 4;
    told progress = {0};
    fake_job job = one_sink(&progress);
    job.trigger = MILL_TRIGGER_ONCE;
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    ck_assert_int_eq(progress.count, 1);
    ck_assert_uint_eq(progress.last.lag, 18);
    ck_ok(job_run(&job, &err), &err);
    ck_ok(job_run(&job, &err), &err);
    ck_ok(job_run(&job, &err), &err);
    ck_assert_int_eq(progress.count, 3);
    check_once(table, &topic);
}
END_TEST

/* A queue whose broker is away is waited for, and the others go on. */
START_TEST(available_now_waits_for_who_is_away)
{
    driver_fill(5);
    topic.away[1] = true;
    told progress = {0};
    fake_job job = one_sink(&progress);
    running built = job_build(&job);
    rmq_error err = {0};
    ck_ok(mill_streaming_start(built.stream, &err), &err);
    while (topic.reads < 2)
        nap();
    ck_status(mill_streaming_await(built.stream, 20, &err), RMQ_TIMEOUT);
    topic.away[1] = false;
    ck_ok(mill_streaming_await(built.stream, 20000, &err), &err);
    job_free(&built);
    check_once(table, &topic);
}
END_TEST

/* ---- triggers that run on ---- */

static void run_until(fake_job *job, int64_t last_max)
{
    running built = job_build(job);
    rmq_error err = {0};
    ck_ok(mill_streaming_start(built.stream, &err), &err);
    for (int64_t max = 1; max <= last_max; max++) {
        driver_fill(max);
        while (topic.reads < max * FAKE_QUEUES)
            nap();
    }
    ck_status(mill_streaming_await(built.stream, 0, &err), RMQ_TIMEOUT);
    mill_streaming_stop(built.stream, true);
    ck_ok(mill_streaming_await(built.stream, 20000, &err), &err);
    job_free(&built);
}

START_TEST(continual_picks_up_what_comes)
{
    told progress = {0};
    fake_job job = one_sink(&progress);
    job.trigger = MILL_TRIGGER_CONTINUAL;
    run_until(&job, 5);
    check_once(table, &topic);
    ck_assert_int_ge(progress.count, 5);
}
END_TEST

START_TEST(interval_picks_up_what_comes)
{
    told progress = {0};
    fake_job job = one_sink(&progress);
    job.trigger = MILL_TRIGGER_INTERVAL;
    job.interval_ms = 20;
    run_until(&job, 5);
    check_once(table, &topic);
    ck_assert_int_ge(progress.count, 5);
}
END_TEST

/* An idle stream sleeps: it must not use more than a small part of a core. */
START_TEST(idle_costs_little)
{
    fake_job job = one_sink(NULL);
    job.trigger = _i == 0 ? MILL_TRIGGER_CONTINUAL : MILL_TRIGGER_INTERVAL;
    running built = job_build(&job);
    rmq_error err = {0};
    ck_ok(mill_streaming_start(built.stream, &err), &err);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    ck_status(mill_streaming_await(built.stream, 500, &err), RMQ_TIMEOUT);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    double used =
        (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    ck_assert_msg(used < 0.1, "%.3f s of CPU in 0.5 s", used);
    job_free(&built);
}
END_TEST

/* ---- stops ---- */

START_TEST(stopped_by_its_own_progress)
{
    driver_fill(100);
    topic.max_per_queue = 1;
    told progress = {.stop_after = 3, .graceful = _i == 0};
    fake_job job = one_sink(&progress);
    running built = job_build(&job);
    progress.stop_at = built.stream;
    rmq_error err = {0};
    ck_ok(mill_streaming_start(built.stream, &err), &err);
    ck_ok(mill_streaming_await(built.stream, 20000, &err), &err);
    job_free(&built);
    ck_assert_int_eq(progress.count, 3);
    ck_assert_uint_eq(fake_table_rows(table).count, 9);
    progress.stop_at = NULL;
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
}
END_TEST

/* A batch that hangs in a read is given up at once, and run again at the next start. */
START_TEST(given_up_while_a_broker_is_dead)
{
    driver_fill(5);
    topic.blocked = true;
    told progress = {0};
    fake_job job = one_sink(&progress);
    running built = job_build(&job);
    rmq_error err = {0};
    ck_ok(mill_streaming_start(built.stream, &err), &err);
    while (topic.waiting == 0)
        nap();
    mill_streaming_stop(built.stream, _i == 0);
    ck_ok(mill_streaming_await(built.stream, 20000, &err), &err);
    job_free(&built);
    ck_assert_uint_eq(fake_table_rows(table).count, 0);
    topic.blocked = false;
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    ck_assert(progress.last.again);
    ck_assert_int_eq(progress.last.batch_id, 1);
}
END_TEST

START_TEST(free_stops_a_running_one)
{
    fake_job job = one_sink(NULL);
    job.trigger = MILL_TRIGGER_CONTINUAL;
    running built = job_build(&job);
    rmq_error err = {0};
    ck_ok(mill_streaming_start(built.stream, &err), &err);
    driver_fill(3);
    job_free(&built);
}
END_TEST

/* ---- a step fails ---- */

static const struct {
    const char *step;
    int nth;
    fake_failure failure;
    int n_epochs; /* that the job took in all */
} failures[] = {
    {"begin", 2, FAKE_RETRY, 1},        {"write", 4, FAKE_RETRY, 1},
    {"prepare", 2, FAKE_RETRY, 1},      {"commit", 2, FAKE_RETRY, 1},
    {"commit", 1, FAKE_LOST_BEFORE, 2}, {"commit", 2, FAKE_LOST_BEFORE, 2},
    {"commit", 1, FAKE_LOST_AFTER, 2},  {"commit", 2, FAKE_LOST_AFTER, 2},
    {"commit", 3, FAKE_LOST_AFTER, 2},
};
#define N_FAILURES (int)(sizeof(failures) / sizeof(failures[0]))

START_TEST(goes_on_after_a_failure)
{
    driver_fill(6);
    topic.max_per_queue = 2;
    fake_table_fail(table, failures[_i].step, failures[_i].nth, failures[_i].failure);
    fake_job job = one_sink(NULL);
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    ck_assert_int_eq(count_files(dir, "epoch"), failures[_i].n_epochs);
    ck_assert_int_eq(fake_table_calls(table, "open"), failures[_i].n_epochs);
    ck_assert_int_eq(count_files(dir, "plan"), 3);
    ck_assert_int_eq(fake_table_calls(table, "abort"), failures[_i].failure == FAKE_RETRY);
}
END_TEST

/* A sink that opens but can't commit (its disk is full) is not asked for ever. */
START_TEST(ends_where_no_commit_succeeds)
{
    driver_fill(6);
    topic.max_per_queue = 2;
    fake_table_fail(table, "commit", 2, FAKE_LOST_ALWAYS);
    fake_job job = one_sink(NULL);
    rmq_error err = {0};
    ck_status(job_run(&job, &err), RMQ_TIMEOUT);
    ck_assert_msg(strstr(err.text, "6 commits in a row failed") != NULL, "%s", err.text);
    ck_assert_int_eq(fake_table_calls(table, "commit"), 7);
    ck_assert_int_eq(fake_table_last(table, (char[MILL_RUN_NAME_BYTES]){0}), 1);
    fake_table_fail(table, "commit", 1, FAKE_NONE);
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
}
END_TEST

/* The same with two sinks: the first has what the second still lacks. */
START_TEST(goes_on_after_a_failure_with_two_sinks)
{
    driver_fill(6);
    topic.max_per_queue = 2;
    fake_table *failing = _i % 2 == 0 ? table : second;
    fake_table_fail(failing, failures[_i / 2].step, failures[_i / 2].nth, failures[_i / 2].failure);
    fake_job job = one_sink(NULL);
    job.tables[1] = second;
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    check_once(second, &topic);
    char run[MILL_RUN_NAME_BYTES], other[MILL_RUN_NAME_BYTES];
    ck_assert_int_eq(fake_table_last(table, run), 3);
    ck_assert_int_eq(fake_table_last(second, other), 3);
    ck_assert_str_eq(run, other);
    ck_assert_int_eq(count_files(dir, "commit"), 3);
    /* Each batch was read once: a sink that fails gets the staged output again. */
    ck_assert_int_eq(topic.reads, 9);
}
END_TEST

static const char *const sink_steps[] = {"begin", "write", "prepare", "commit"};

START_TEST(ends_with_the_sinks_error)
{
    driver_fill(6);
    topic.max_per_queue = 2;
    bool fenced = _i >= 4, both = _i % 2 != 0;
    fake_table_fail(table, sink_steps[_i % 4], 2, fenced ? FAKE_FENCED : FAKE_FAIL);
    fake_job job = one_sink(NULL);
    job.tables[1] = both ? second : NULL;
    rmq_error err = {0};
    ck_status(job_run(&job, &err), fenced ? RMQ_FENCED : RMQ_SINK);
    ck_assert_int_eq(err.status, fenced ? RMQ_FENCED : RMQ_SINK);
    ck_assert_ptr_nonnull(strstr(err.text, sink_steps[_i % 4]));
    ck_assert_int_eq(fake_table_calls(table, "abort"), 1);
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    if (both)
        check_once(second, &topic);
}
END_TEST

/* ---- user functions ---- */

static _Atomic int user_failures;
static _Atomic int64_t noise;

static rmq_status fail_sometimes(const void *row, void *out_row, mill_task *task, void *ctx)
{
    (void)ctx;
    if (*(const int64_t *)row == fake_number(1, 3) && user_failures > 0) {
        user_failures--;
        return mill_task_fail(task, "I don't like %d", 3);
    }
    *(int64_t *)out_row = *(const int64_t *)row;
    return RMQ_OK;
}

START_TEST(same_name_twice)
{
    fake_job job = one_sink(NULL);
    running built = job_build(&job);
    rmq_error err = {0};
    ck_assert_ptr_null(fake_stream(built.stream, &topic, &err));
    ck_assert_int_eq(err.status, RMQ_INVAL);
    job_free(&built);
}
END_TEST

static running build_with(const fake_job *job, mill_map_fn fn, bool foreach_batch,
                          mill_foreach_batch_fn each, void *ctx)
{
    running built = {.context = context_make(2, 0)};
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    config.name = "job";
    config.checkpoint = job->dir;
    config.trigger = job->trigger;
    rmq_error err = {0};
    ck_ok(mill_streaming_context_new(built.context, &config, &built.stream, &err), &err);
    mill_dataset *rows = fake_stream(built.stream, job->topic, &err);
    if (fn != NULL)
        rows = mill_map(rows, mill_type_int64(), fn, NULL, &err);
    for (size_t i = 0; i < 2; i++) {
        if (job->tables[i] != NULL)
            ck_ok(mill_write_to(rows, fake_sink(job->tables[i]), 0, &err), &err);
    }
    if (foreach_batch)
        ck_ok(mill_foreach_batch(rows, each, ctx, &err), &err);
    return built;
}

static rmq_status run_built(running built, rmq_error *err)
{
    rmq_status status = mill_streaming_start(built.stream, err);
    if (status == RMQ_OK)
        status = mill_streaming_await(built.stream, 30000, err);
    job_free(&built);
    return status;
}

START_TEST(tasks_are_tried_again)
{
    driver_fill(6);
    user_failures = 3;
    fake_job job = one_sink(NULL);
    rmq_error err = {0};
    ck_ok(run_built(build_with(&job, fail_sometimes, false, NULL, NULL), &err), &err);
    ck_assert_int_eq(user_failures, 0);
    check_once(table, &topic);
}
END_TEST

START_TEST(users_error_ends_the_stream)
{
    driver_fill(6);
    user_failures = 4;
    fake_job job = one_sink(NULL);
    rmq_error err = {0};
    ck_status(run_built(build_with(&job, fail_sometimes, false, NULL, NULL), &err), RMQ_USER);
    ck_assert_msg(strstr(err.text, "I don't like 3") != NULL, "%s", err.text);
    ck_assert_uint_eq(fake_table_rows(table).count, 0);
    ck_ok(run_built(build_with(&job, fail_sometimes, false, NULL, NULL), &err), &err);
    check_once(table, &topic);
}
END_TEST

static rmq_status add_noise(const void *row, void *out_row, mill_task *task, void *ctx)
{
    (void)row;
    (void)task;
    (void)ctx;
    *(int64_t *)out_row = noise++;
    return RMQ_OK;
}

/* A function that gives something else each time: both sinks still get one and the same run. */
START_TEST(sinks_agree_on_what_is_not_deterministic)
{
    driver_fill(6);
    topic.max_per_queue = 2;
    fake_job job = one_sink(NULL);
    job.tables[1] = second;
    rmq_error err = {0};
    fake_table_fail(second, "commit", 2, FAKE_FAIL);
    ck_status(run_built(build_with(&job, add_noise, false, NULL, NULL), &err), RMQ_SINK);
    ck_ok(run_built(build_with(&job, add_noise, false, NULL, NULL), &err), &err);
    int64_list a = fake_table_rows(table), b = fake_table_rows(second);
    ck_assert_uint_eq(a.count, 18);
    ck_assert_uint_eq(b.count, 18);
    ck_assert_mem_eq(a.values, b.values, a.count * sizeof(int64_t));
}
END_TEST

/* ---- foreach_batch, sinks without a transaction ---- */

typedef struct seen {
    uint64_t rows;
    int batches;
    int fail_at;
    size_t ranges;
    int64_t last_id;
} seen;

static rmq_status see_batch(const mill_batch *batch, mill_dataset *rows, void *ctx, rmq_error *err)
{
    seen *all = ctx;
    all->batches++;
    if (all->batches == all->fail_at)
        return rmq_error_set(err, RMQ_USER, "not this one");
    uint64_t count = 0;
    rmq_status status = mill_count(rows, &count, err);
    all->rows += count;
    all->last_id = mill_batch_id(batch);
    size_t n_ranges = 0;
    const mill_offset_range *ranges = mill_batch_offset_ranges(batch, &n_ranges);
    all->ranges += n_ranges;
    for (size_t i = 0; i < n_ranges; i++) {
        ck_assert_str_eq(ranges[i].source, "fake");
        ck_assert_int_lt(ranges[i].start_offset, ranges[i].end_offset);
    }
    ck_assert_int_gt(mill_batch_time_ms(batch), 0);
    return status;
}

START_TEST(foreach_batch_sees_each_batch)
{
    driver_fill(6);
    topic.max_per_queue = 2;
    seen all = {0};
    fake_job job = one_sink(NULL);
    job.tables[0] = _i == 0 ? NULL : table;
    rmq_error err = {0};
    ck_ok(run_built(build_with(&job, NULL, true, see_batch, &all), &err), &err);
    ck_assert_uint_eq(all.rows, 18);
    ck_assert_int_eq(all.batches, 3);
    ck_assert_int_eq(all.last_id, 3);
    ck_assert_uint_eq(all.ranges, 9);
    if (_i == 1)
        check_once(table, &topic);
}
END_TEST

/* It fails in batch 2, comes again with the same rows, and the sink beside it is not disturbed. */
START_TEST(foreach_batch_comes_again)
{
    driver_fill(6);
    topic.max_per_queue = 2;
    seen all = {.fail_at = 2};
    fake_job job = one_sink(NULL);
    rmq_error err = {0};
    ck_status(run_built(build_with(&job, NULL, true, see_batch, &all), &err), RMQ_USER);
    ck_assert_str_eq(err.text, "not this one");
    ck_ok(run_built(build_with(&job, NULL, true, see_batch, &all), &err), &err);
    ck_assert_uint_eq(all.rows, 18);
    ck_assert_int_eq(all.batches, 4);
    check_once(table, &topic);
    ck_assert_int_eq(topic.reads, 9);
}
END_TEST

START_TEST(plain_sink_at_least_once)
{
    driver_fill(6);
    topic.max_per_queue = 2;
    fake_table_fail(table, "commit", 2, FAKE_RETRY);
    fake_job job = one_sink(NULL);
    job.plain[0] = true;
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    driver_fill(8);
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    ck_assert_int_eq(count_files(dir, "commit"), 4);
    ck_assert_int_eq(count_files(dir, "out"), 4);
}
END_TEST

/* ---- lost data ---- */

START_TEST(lost_data_fails)
{
    driver_fill(5);
    topic.max_per_queue = 5;
    fake_job job = one_sink(NULL);
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    driver_fill(20);
    topic.min[1] = 8;
    ck_status(job_run(&job, &err), RMQ_DATA_LOSS);
    ck_assert_msg(strstr(err.text, "wanted 5, available 8 to 20") != NULL, "%s", err.text);
    ck_assert_uint_eq(fake_table_rows(table).count, 15);
}
END_TEST

START_TEST(lost_data_is_skipped_and_counted)
{
    driver_fill(5);
    topic.max_per_queue = 5;
    topic.skip_loss = true;
    told progress = {0};
    fake_job job = one_sink(&progress);
    if (_i == 1)
        job.tables[1] = second;
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    driver_fill(20);
    topic.min[1] = 8;
    topic.min[2] = 12; /* the whole of the next range */
    fake_table_fail(table, "commit", 1, FAKE_FAIL);
    ck_status(job_run(&job, &err), RMQ_SINK);
    int n_losses = count_files(dir, "loss");
    ck_assert_int_ge(n_losses, 1);
    /* More is gone when it runs again. With one sink nothing of the first run was kept, so it has
     * to leave out more; with two its output was decided on, and is given to the sinks as it is. */
    topic.min[1] = 9;
    ck_ok(job_run(&job, &err), &err);
    ck_assert_int_eq(count_files(dir, "loss"), n_losses + (_i == 0 ? 1 : 0));
    size_t expected = 20 + (size_t)(20 - (_i == 0 ? 9 : 8)) + 5 + (20 - 12) + 5;
    ck_assert_uint_eq(fake_table_rows(table).count, expected);
    if (_i == 1)
        ck_assert_uint_eq(fake_table_rows(second).count, expected);
}
END_TEST

Suite *test_suite(void)
{
    use_memory_for_temp_dirs();
    Suite *suite = suite_create("driver");
    TCase *tc = tcase_create("driver");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, driver_setup, driver_teardown);
    tcase_add_test(tc, reads_all_in_batches);
    tcase_add_test(tc, goes_on_where_it_was);
    tcase_add_test(tc, nothing_to_do);
    tcase_add_test(tc, once_is_one_batch);
    tcase_add_test(tc, available_now_waits_for_who_is_away);
    tcase_add_test(tc, continual_picks_up_what_comes);
    tcase_add_test(tc, interval_picks_up_what_comes);
    tcase_add_loop_test(tc, idle_costs_little, 0, 2);
    tcase_add_loop_test(tc, stopped_by_its_own_progress, 0, 2);
    tcase_add_loop_test(tc, given_up_while_a_broker_is_dead, 0, 2);
    tcase_add_test(tc, free_stops_a_running_one);
    tcase_add_loop_test(tc, goes_on_after_a_failure, 0, N_FAILURES);
    tcase_add_test(tc, ends_where_no_commit_succeeds);
    tcase_add_loop_test(tc, goes_on_after_a_failure_with_two_sinks, 0, N_FAILURES * 2);
    tcase_add_loop_test(tc, ends_with_the_sinks_error, 0, 8);
    tcase_add_test(tc, same_name_twice);
    tcase_add_test(tc, tasks_are_tried_again);
    tcase_add_test(tc, users_error_ends_the_stream);
    tcase_add_test(tc, sinks_agree_on_what_is_not_deterministic);
    tcase_add_loop_test(tc, foreach_batch_sees_each_batch, 0, 2);
    tcase_add_test(tc, foreach_batch_comes_again);
    tcase_add_test(tc, plain_sink_at_least_once);
    tcase_add_test(tc, lost_data_fails);
    tcase_add_loop_test(tc, lost_data_is_skipped_and_counted, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
