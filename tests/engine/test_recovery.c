/* Starting a stream: whose checkpoint it is, copies of sink and checkpoint that don't fit together,
 * adopting a sink, and what happens when memory runs out. */
#include "../support/fault_alloc.h"
#include "driver_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fake_job one_sink(void)
{
    return (fake_job){
        .dir = dir, .trigger = MILL_TRIGGER_AVAILABLE_NOW, .topic = &topic, .tables = {table}};
}

START_TEST(bad_calls)
{
    rmq_error err = {0};
    fake_job job = one_sink();
    job.tables[0] = NULL;
    running built = job_build(&job);
    ck_status(mill_streaming_await(built.stream, 0, &err), RMQ_INVAL);
    ck_status(mill_streaming_start(built.stream, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "no output"));
    ck_status(mill_streaming_start(built.stream, &err), RMQ_INVAL);
    ck_status(mill_streaming_await(built.stream, 0, &err), RMQ_INVAL);
    mill_dataset *plain = numbers(built.context, 3, 1);
    mill_sink *sink = fake_sink(table);
    ck_status(mill_write_to(plain, sink, 0, &err), RMQ_INVAL);
    ck_assert_ptr_null(mill_map(NULL, mill_type_int64(), map_add, NULL, &err));
    err = (rmq_error){.status = RMQ_NOMEM};
    ck_status(mill_write_to(NULL, sink, 0, &err), RMQ_NOMEM);
    mill_sink_free(sink);
    job_free(&built);
    mill_streaming_context_free(NULL);
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    mill_context *context = context_make(1, 0);
    mill_streaming_context *stream = NULL;
    ck_status(mill_streaming_context_new(context, &config, &stream, &err), RMQ_INVAL);
    config.name = "x";
    ck_status(mill_streaming_context_new(context, &config, &stream, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "checkpoint"));
    mill_context_free(context);
}
END_TEST

START_TEST(checkpoint_of_another_job)
{
    driver_fill(3);
    fake_job job = one_sink();
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    job.name = "another";
    ck_status(job_run(&job, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "another"));
    job.name = NULL;
    job.tables[1] = second;
    ck_status(job_run(&job, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "belongs to another job"));
}
END_TEST

static void remove_files(const char *kind)
{
    char path[1024];
    snprintf(path, sizeof(path), "rm -rf '%s/%s'", dir, kind);
    ck_assert_int_eq(system(path), 0);
}

START_TEST(sink_and_checkpoint_disagree)
{
    driver_fill(30);
    topic.max_per_queue = 2;
    fake_job job = one_sink();
    job.retain = 5;
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    ck_assert_int_eq(count_files(dir, "plan"), 5);
    ck_assert_int_eq(count_files(dir, "done"), 5);
    char run[MILL_RUN_NAME_BYTES];
    ck_assert_int_eq(fake_table_last(table, run), 15);
    fake_table_set_last(table, 16, run);
    ck_status(job_run(&job, &err), RMQ_CORRUPT);
    ck_assert_msg(strstr(err.text, "has batch 16, checkpoint") != NULL, "%s", err.text);
    fake_table_set_last(table, 9, run);
    ck_status(job_run(&job, &err), RMQ_CORRUPT);
    ck_assert_msg(strstr(err.text, "forgotten all up to 10") != NULL, "%s", err.text);
    fake_table_set_last(table, 0, "");
    ck_status(job_run(&job, &err), RMQ_CORRUPT);
    fake_table_set_last(table, 15, "e9-0123");
    ck_status(job_run(&job, &err), RMQ_CORRUPT);
    ck_assert_msg(strstr(err.text, "run e9-0123 of batch 15") != NULL, "%s", err.text);
    fake_table_set_last(table, 15, run);
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
}
END_TEST

/* An older copy of the database: the batches that it lacks are run again from their plans. */
START_TEST(older_database_catches_up)
{
    driver_fill(10);
    topic.max_per_queue = 2;
    fake_job job = one_sink();
    job.trigger = MILL_TRIGGER_ONCE;
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    ck_ok(job_run(&job, &err), &err);
    char run[MILL_RUN_NAME_BYTES];
    ck_assert_int_eq(fake_table_last(table, run), 2);
    job.trigger = MILL_TRIGGER_AVAILABLE_NOW;
    ck_ok(job_run(&job, &err), &err);
    fake_table_set_last(table, 2, run);
    size_t before = fake_table_rows(table).count;
    ck_ok(job_run(&job, &err), &err);
    ck_assert_uint_eq(fake_table_rows(table).count, before + 18);
    ck_assert_int_eq(fake_table_last(table, run), 5);
}
END_TEST

START_TEST(state_is_missing)
{
    driver_fill(10);
    fake_job job = one_sink();
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    remove_files("state");
    ck_status(job_run(&job, &err), RMQ_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "lacks"));
}
END_TEST

START_TEST(sink_of_another_checkpoint)
{
    driver_fill(10);
    fake_job job = one_sink();
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    temp_dir_remove(dir);
    dir = temp_dir_make();
    job.dir = dir;
    ck_status(job_run(&job, &err), RMQ_EXISTS);
    ck_status(job_run(&job, &err), RMQ_EXISTS);
    ck_assert_uint_eq(fake_table_rows(table).count, 30);
}
END_TEST

/* ---- adopting ---- */

/* ---- what another process does in the middle of a start ---- */

static void move(const char *from, const char *to)
{
    char old_name[512], new_name[512];
    snprintf(old_name, sizeof(old_name), "%s/%s", dir, from);
    snprintf(new_name, sizeof(new_name), "%s/%s", dir, to);
    ck_assert_int_eq(rename(old_name, new_name), 0);
}

static void bring_plan_back(void)
{
    fake_table_hook(table, "open", NULL);
    move("kept", "plan/1");
}

/* An older process planned and committed batch 1 after this one had looked for plans, and before it
 * opened the sink. */
START_TEST(plan_of_a_process_that_is_fenced_late)
{
    driver_fill(3);
    topic.max_per_queue = 3;
    fake_job job = one_sink();
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    move("plan/1", "kept");
    move("done/1", "kept-done");
    fake_table_hook(table, "open", bring_plan_back);
    driver_fill(6);
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
}
END_TEST

static void copy_epoch(int from, int to)
{
    char command[1200];
    snprintf(command, sizeof(command), "cp %s/epoch/%d %s/epoch/%d", dir, from, dir, to);
    ck_assert_int_eq(system(command), 0);
}

static void take_over_and_forget(void)
{
    fake_table_hook(table, "open", NULL);
    copy_epoch(2, 3);
    remove_files("state");
}

/* What this process misses a newer one has forgotten: it is late, and the checkpoint is whole. */
START_TEST(forgotten_by_a_newer_process)
{
    driver_fill(3);
    fake_job job = one_sink();
    rmq_error err = {0};
    ck_ok(job_run(&job, &err), &err);
    fake_table_hook(table, "open", take_over_and_forget);
    ck_status(job_run(&job, &err), RMQ_FENCED);
    ck_assert_ptr_nonnull(strstr(err.text, "a newer process took over: epoch 3"));
}
END_TEST

static void take_over(void)
{
    fake_table_hook(table, "commit", NULL);
    copy_epoch(1, 2);
}

/* Who was taken over asks nobody what became of its commit: a new epoch would take it all back. */
START_TEST(taken_over_while_a_commit_is_unknown)
{
    driver_fill(3);
    fake_job job = one_sink();
    rmq_error err = {0};
    fake_table_fail(table, "commit", 1, FAKE_LOST_BEFORE);
    fake_table_hook(table, "commit", take_over);
    ck_status(job_run(&job, &err), RMQ_FENCED);
    ck_assert_int_eq(count_files(dir, "epoch"), 2);
    ck_assert_int_eq(fake_table_calls(table, "open"), 1);
}
END_TEST

static mill_memory_table *memory;

static rmq_status run_into_memory(const char *checkpoint, bool adopt, rmq_error *err)
{
    fake_job job = {.dir = checkpoint,
                    .trigger = MILL_TRIGGER_AVAILABLE_NOW,
                    .topic = &topic,
                    .adopt = adopt,
                    .retain = 2};
    must(mill_memory_sink_new(memory, &job.sinks[0], err), err);
    return job_run(&job, err);
}

static uint64_t rows_in_memory(void)
{
    mill_rows *rows = NULL;
    rmq_error err = {0};
    must(mill_memory_table_rows(memory, &rows, &err), &err);
    uint64_t count = mill_rows_count(rows);
    mill_rows_free(rows);
    return count;
}

/* The checkpoint is gone, the sink is not: with adopt_sink a new one goes on at its offsets. */
START_TEST(adopts_the_sink_of_another_checkpoint)
{
    driver_fill(10);
    topic.max_per_queue = 2;
    rmq_error err = {0};
    must(mill_memory_table_new(mill_type_int64(), &memory, &err), &err);
    must(run_into_memory(dir, false, &err), &err);
    ck_assert_uint_eq(rows_in_memory(), 30);
    char *fresh = temp_dir_make(), command[1024];
    ck_status(run_into_memory(fresh, false, &err), RMQ_EXISTS);
    must(run_into_memory(fresh, true, &err), &err);
    ck_assert_uint_eq(rows_in_memory(), 30);
    driver_fill(14);
    must(run_into_memory(fresh, _i == 1, &err), &err);
    ck_assert_uint_eq(rows_in_memory(), 42);
    /* The old checkpoint has lost the sink to the new one. */
    ck_status(run_into_memory(dir, false, &err), RMQ_EXISTS);
    /* It died after the sink was adopted and before the new checkpoint knew of it. */
    snprintf(command, sizeof(command), "cd '%s' && rm -rf state done plan floor", fresh);
    ck_assert_int_eq(system(command), 0);
    ck_status(run_into_memory(fresh, false, &err), RMQ_CORRUPT);
    ck_assert_msg(strstr(err.text, "--adopt-sink") != NULL, "%s", err.text);
    must(run_into_memory(fresh, true, &err), &err);
    driver_fill(15);
    must(run_into_memory(fresh, false, &err), &err);
    ck_assert_uint_eq(rows_in_memory(), 45);
    temp_dir_remove(fresh);
    mill_memory_table_free(memory);
}
END_TEST

/* ---- memory runs out ---- */

/* Every allocation of a job fails once: the job ends with NOMEM or gets over it, leaks nothing, and
 * the next one goes on. */
START_TEST(memory_runs_out)
{
    bool two = _i == 1;
    driver_fill(4);
    topic.max_per_queue = 2;
    int n_failed = 0;
    for (int64_t nth = 0;; nth += nth < 100 ? 1 : 7) {
        char *place = temp_dir_make();
        fake_table *a = fake_table_new(), *b = fake_table_new();
        fake_job job = {.dir = place,
                        .trigger = MILL_TRIGGER_AVAILABLE_NOW,
                        .topic = &topic,
                        .tables = {a, two ? b : NULL}};
        running built = job_build(&job);
        fault_alloc_rearm(nth);
        rmq_error err = {0};
        rmq_status status = mill_streaming_start(built.stream, &err);
        if (status == RMQ_OK)
            status = mill_streaming_await(built.stream, 30000, &err);
        job_free(&built);
        bool reached = fault_alloc_failed() > 0;
        fault_alloc_rearm(-1);
        if (status != RMQ_OK && status != RMQ_NOMEM)
            ck_abort_msg("allocation %d: %s: %s", (int)nth, rmq_status_name(status), err.text);
        n_failed += status == RMQ_NOMEM;
        must(job_run(&job, &err), &err);
        check_once(a, &topic);
        if (two)
            check_once(b, &topic);
        if (fault_alloc_live() != 0)
            ck_abort_msg("allocation %d: %d leaked", (int)nth, (int)fault_alloc_live());
        fake_table_free(a);
        fake_table_free(b);
        temp_dir_remove(place);
        if (!reached)
            break;
    }
    ck_assert_int_ge(n_failed, 100);
}
END_TEST

static void setup_faults(void)
{
    fault_alloc_fail(-1);
    driver_setup();
}

static void teardown_faults(void)
{
    driver_teardown();
    fault_alloc_off();
}

Suite *test_suite(void)
{
    use_memory_for_temp_dirs();
    Suite *suite = suite_create("recovery");
    TCase *tc = tcase_create("recovery");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, driver_setup, driver_teardown);
    tcase_add_test(tc, bad_calls);
    tcase_add_test(tc, checkpoint_of_another_job);
    tcase_add_test(tc, sink_and_checkpoint_disagree);
    tcase_add_test(tc, older_database_catches_up);
    tcase_add_test(tc, state_is_missing);
    tcase_add_test(tc, sink_of_another_checkpoint);
    tcase_add_loop_test(tc, adopts_the_sink_of_another_checkpoint, 0, 2);
    tcase_add_test(tc, plan_of_a_process_that_is_fenced_late);
    tcase_add_test(tc, forgotten_by_a_newer_process);
    tcase_add_test(tc, taken_over_while_a_commit_is_unknown);
    suite_add_tcase(suite, tc);
    TCase *faults = tcase_create("memory");
    tcase_set_timeout(faults, 120);
    tcase_add_checked_fixture(faults, setup_faults, teardown_faults);
    tcase_add_loop_test(faults, memory_runs_out, 0, 2);
    suite_add_tcase(suite, faults);
    return suite;
}
