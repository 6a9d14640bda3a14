#include "dataset_support.h"

#include <stdio.h>
#include <string.h>

#include "../support/fault_alloc.h"
#include "core/block_store.h"
#include "core/context.h"
#include "core/run.h"

/* Every allocation of a run fails once: the run ends with NOMEM (or does without: giving back the
 * unused end of a block may fail), nothing leaks, and the same context then does the same run
 * right. Also every one from the nth on. */

static rmq_status text_key(const void *row, void *out, mill_task *task, void *ctx)
{
    (void)ctx;
    rmq_slice key = mill_task_format(task, "key %lld", (long long)(*(const int64_t *)row % 50));
    *(rmq_slice *)out = key;
    return key.len != 0 ? RMQ_OK : RMQ_NOMEM;
}

static rmq_status partition_begin(void **state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)out;
    (void)ctx;
    *state = mill_task_keep(task, 100000);
    return *state != NULL ? RMQ_OK : RMQ_NOMEM;
}

static rmq_status partition_row(void *state, const void *row, mill_emitter *out, mill_task *task,
                                void *ctx)
{
    (void)state;
    (void)task;
    (void)ctx;
    return mill_emit(out, row);
}

/* Builds and runs everything, in a scope of its own; counts the rows that come out. */
static rmq_status job(mill_context *context, uint64_t *out_count, rmq_error *err)
{
    static const mill_partition_fns fns = {.begin = partition_begin, .row = partition_row};
    int64_t values[3000];
    for (int64_t i = 0; i < 3000; i++)
        values[i] = i;
    mill_scope_begin(context);
    mill_dataset *rows = mill_dataset_from_rows(context, mill_type_int64(), values, 3000, 3, err);
    mill_dataset *through = mill_map_partitions(rows, mill_type_int64(), &fns, NULL, err);
    mill_dataset *keyed = mill_key_by(through, mill_type_text(), text_key, NULL, err);
    mill_dataset *sums = mill_reduce_by_key(keyed, reduce_sum, 3, NULL, err);
    mill_dataset *inputs[] = {keyed, sums};
    mill_dataset *all = mill_union(inputs, 2, err);
    mill_rows *result = NULL;
    rmq_status status = all != NULL ? mill_collect(all, &result, err) : err->status;
    uint64_t count = 0;
    int64_t sum = 0;
    const void *row = NULL;
    while (status == RMQ_OK && (status = mill_rows_next(result, &row, err)) == RMQ_OK) {
        count++;
        sum += *(const int64_t *)mill_pair_value(mill_rows_type(result), row);
    }
    if (status == RMQ_NOT_FOUND)
        status = RMQ_OK;
    if (status == RMQ_OK && sum != 2 * (2999 * 3000 / 2))
        ck_abort_msg("the sum is %lld", (long long)sum);
    mill_rows_free(result);
    mill_scope_end(context);
    *out_count = count;
    return status;
}

static void assert_job_works(mill_context *context)
{
    rmq_error err;
    uint64_t count = 0;
    must(job(context, &count, &err), &err);
    if (count != 3050)
        ck_abort_msg("%llu rows", (unsigned long long)count);
}

/* Loop index: 0 and 1 one failure, 2 and 3 all from there on; odd: spilling. */
START_TEST(a_run_survives_each_failing_allocation)
{
    fault_alloc_fail(-1);
    mill_context *context = context_make(_i < 2 ? 1 : 2, _i % 2 == 0 ? 0 : 1);
    assert_job_works(context); /* makes what the context keeps: the type of pairs, the spill file */
    int64_t n_points = 0;
    int64_t n_absorbed = 0;
    for (int64_t nth = 0;; nth++) {
        rmq_error err = {0};
        uint64_t count = 0;
        (_i < 2 ? fault_alloc_fail : fault_alloc_fail_from)(nth);
        rmq_status status = job(context, &count, &err);
        bool failed = fault_alloc_failed() != 0;
        int64_t leaked = fault_alloc_live();
        fault_alloc_fail(-1);
        if (leaked != 0)
            ck_abort_msg("allocation %lld: %lld blocks leaked", (long long)nth, (long long)leaked);
        if (!failed)
            break;
        n_points++;
        if (status == RMQ_OK)
            n_absorbed++;
        else if (status != RMQ_NOMEM || err.status != RMQ_NOMEM || err.text[0] == '\0')
            ck_abort_msg("allocation %lld: %s: %s", (long long)nth, rmq_status_name(status),
                         err.text);
        if (mill_block_store_memory(mill_context_blocks(context)) != 0)
            ck_abort_msg("allocation %lld: the store still counts memory", (long long)nth);
        if (nth % 16 == 0)
            assert_job_works(context);
    }
    assert_job_works(context);
    mill_context_free(context);
    fault_alloc_off();
    printf("# case %d: %lld allocations failed, %lld of them absorbed\n", _i, (long long)n_points,
           (long long)n_absorbed);
    fflush(stdout);
    ck_assert_int_gt(n_points, 100);
    ck_assert_int_lt(n_absorbed, n_points / 2);
}
END_TEST

START_TEST(a_context_is_made_whole_or_not_at_all)
{
    int64_t n_points = 0;
    for (int64_t nth = 0;; nth++, n_points++) {
        fault_alloc_fail(nth);
        rmq_error err = {0};
        mill_context *context = NULL;
        mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
        config.worker_threads = 2;
        rmq_status status = mill_context_new(&config, &context, &err);
        if (status == RMQ_OK)
            mill_context_free(context);
        int64_t failed = fault_alloc_failed();
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (failed == 0)
            break;
        ck_assert_int_eq(status, RMQ_NOMEM);
        ck_assert_int_eq(err.status, RMQ_NOMEM);
        ck_assert_ptr_null(context);
    }
    fault_alloc_off();
    ck_assert_int_ge(n_points, 5);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("core_faults");
    TCase *tc = tcase_create("core_faults");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, a_run_survives_each_failing_allocation, 0, 4);
    tcase_add_test(tc, a_context_is_made_whole_or_not_at_all);
    suite_add_tcase(suite, tc);
    return suite;
}
