#include "dataset_support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/context.h"
#include "core/run.h"

static rmq_error err;

START_TEST(a_context_has_its_defaults)
{
    mill_context *context = NULL;
    ck_ok(mill_context_new(NULL, &context, &err), &err);
    ck_assert_uint_eq(mill_context_workers(context), (uint32_t)sysconf(_SC_NPROCESSORS_ONLN));
    ck_assert_uint_eq(context->config.max_task_failures, 4);
    ck_assert_uint_eq(context->config.max_memory_bytes, (size_t)256 << 20);
    mill_context_free(context);
    mill_context_free(NULL);
    ck_assert_str_eq(mill_version(), MILLRACE_VERSION);
}
END_TEST

START_TEST(wrong_configs_are_refused)
{
    mill_context *context = NULL;
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.struct_size = 0;
    ck_status(mill_context_new(&config, &context, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "struct_size"));
    config = (mill_context_config)MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = 100000;
    ck_status(mill_context_new(&config, &context, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "worker_threads"));
    ck_assert_ptr_null(context);
}
END_TEST

/* The struct of a caller that was built against a newer, or an older, header. */
START_TEST(configs_of_other_versions_are_understood)
{
    struct {
        mill_context_config config;
        uint64_t newer_field;
    } newer = {.config = {.struct_size = sizeof(newer), .worker_threads = 2}};
    mill_context *context = NULL;
    ck_ok(mill_context_new(&newer.config, &context, &err), &err);
    ck_assert_uint_eq(mill_context_workers(context), 2);
    mill_context_free(context);
    newer.newer_field = 1;
    ck_status(mill_context_new(&newer.config, &context, &err), RMQ_INVAL);

    mill_context_config older = {.struct_size = offsetof(mill_context_config, max_task_failures),
                                 .worker_threads = 3,
                                 .max_task_failures = 77};
    ck_ok(mill_context_new(&older, &context, &err), &err);
    ck_assert_uint_eq(mill_context_workers(context), 3);
    ck_assert_uint_eq(context->config.max_task_failures, 4);
    mill_context_free(context);
}
END_TEST

typedef struct log_lines {
    pthread_mutex_t lock;
    int count;
    char last[600];
} log_lines;

static void take_line(void *ctx, rmq_log_level level, const char *area, const char *line)
{
    log_lines *lines = ctx;
    pthread_mutex_lock(&lines->lock);
    lines->count++;
    snprintf(lines->last, sizeof(lines->last), "%d %s %s", (int)level, area, line);
    pthread_mutex_unlock(&lines->lock);
}

static rmq_status fail_first(const void *row, mill_task *task, void *ctx)
{
    (void)row;
    (void)ctx;
    return mill_task_attempt(task) == 1 ? mill_task_fail(task, "not yet") : RMQ_OK;
}

static rmq_status fail_always(const void *row, mill_task *task, void *ctx)
{
    (void)row;
    (void)ctx;
    return mill_task_fail(task, "never");
}

START_TEST(failed_tries_are_logged)
{
    log_lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = 2;
    config.log = take_line;
    config.log_ctx = &lines;
    mill_context *context = NULL;
    ck_ok(mill_context_new(&config, &context, &err), &err);
    ck_ok(mill_foreach(numbers(context, 10, 1), fail_first, NULL, &err), &err);
    ck_assert_int_eq(lines.count, 1);
    ck_assert_str_eq(
        lines.last,
        "2 run foreach, partition 0 of source rows, try 1 of 4: not yet; try 2 succeeded");
    /* One that fails for good is the caller's to report. */
    ck_assert_int_ne(mill_foreach(numbers(context, 10, 1), fail_always, NULL, &err), RMQ_OK);
    ck_assert_int_eq(lines.count, 1);
    mill_context_log(context, RMQ_LOG_INFO, "test", "below the level");
    ck_assert_int_eq(lines.count, 1);
    mill_context_free(context);
}
END_TEST

static rmq_status check_mask(const void *row, mill_task *task, void *ctx)
{
    (void)row;
    (void)ctx;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return sigismember(&blocked, SIGTERM) == 1 ? RMQ_OK : mill_task_fail(task, "not blocked");
}

START_TEST(workers_take_no_signals)
{
    mill_context *context = context_make(2, 0);
    ck_ok(mill_foreach(numbers(context, 10, 4), check_mask, NULL, &err), &err);
    mill_context_free(context);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("context");
    TCase *tc = tcase_create("context");
    tcase_add_test(tc, a_context_has_its_defaults);
    tcase_add_test(tc, wrong_configs_are_refused);
    tcase_add_test(tc, configs_of_other_versions_are_understood);
    tcase_add_test(tc, failed_tries_are_logged);
    tcase_add_test(tc, workers_take_no_signals);
    suite_add_tcase(suite, tc);
    return suite;
}
