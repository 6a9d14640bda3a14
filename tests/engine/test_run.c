#include "dataset_support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/run.h"

/* What a run promises beyond each operation: several outputs at once, one reading of each leaf,
 * stages, tries, failures, cancelling, bound leaves, and the memory of tasks. */

static mill_context *context;
static rmq_error err;

static void setup(void)
{
    context = context_make(3, 0);
}

static void teardown(void)
{
    mill_context_free(context);
}

/* A source of `rows` numbers a partition that counts how often it was read, and fails as told. */
typedef struct flaky {
    uint32_t n_partitions;
    int64_t rows;
    rmq_status status;      /* what a failing try gives */
    uint32_t failing_tries; /* of each partition */
    int64_t fail_at;        /* after so many rows */
    atomic_uint reads;
    atomic_uint freed;
} flaky;

static rmq_status flaky_partitions(void *self, uint32_t *out_count, rmq_error *error)
{
    (void)error;
    *out_count = ((flaky *)self)->n_partitions;
    return RMQ_OK;
}

static rmq_status flaky_read(void *self, uint32_t partition, mill_emitter *out, mill_task *task,
                             rmq_error *error)
{
    flaky *source = self;
    atomic_fetch_add(&source->reads, 1);
    if (mill_task_partition(task) != partition)
        return rmq_error_set(error, RMQ_INVAL, "another partition");
    for (int64_t i = 0; i < source->rows; i++) {
        if (mill_task_attempt(task) <= source->failing_tries && i == source->fail_at)
            return rmq_error_set(error, source->status, "row %lld refused", (long long)i);
        int64_t row = partition * source->rows + i;
        rmq_status status = mill_emit(out, &row);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static const mill_source_vtable flaky_vtable = {
    .struct_size = sizeof(mill_source_vtable),
    .name = "flaky",
    .partitions = flaky_partitions,
    .read = flaky_read,
};

static mill_dataset *flaky_dataset(flaky *source)
{
    mill_dataset *dataset =
        mill_dataset_from_source(context, &flaky_vtable, source, mill_type_int64(), &err);
    ck_assert_ptr_nonnull(dataset);
    return dataset;
}

static void assert_range(mill_dataset *dataset, int64_t count)
{
    int64_list list = collect_int64(dataset);
    ck_assert_uint_eq(list.count, (size_t)count);
    for (size_t i = 0; i < list.count; i++)
        if (list.values[i] != (int64_t)i)
            ck_abort_msg("row %zu is %lld", i, (long long)list.values[i]);
    free(list.values);
}

START_TEST(a_leaf_is_read_once_for_all_outputs)
{
    flaky source = {.n_partitions = 4, .rows = 100};
    int64_t one = 1;
    int64_t three = 3;
    mill_dataset *leaf = flaky_dataset(&source);
    mill_dataset *mapped = mill_map(leaf, mill_type_int64(), map_add, &one, &err);
    mill_dataset *keyed = mill_key_by(mapped, mill_type_int64(), key_modulo, &three, &err);
    mill_dataset *sums = mill_reduce_by_key(keyed, reduce_sum, 2, NULL, &err);
    mill_run_output outputs[] = {
        {.dataset = sums}, {.dataset = leaf}, {.dataset = mapped}, {.dataset = leaf}};
    mill_run_metrics metrics;
    ck_ok(mill_run(context, outputs, 4, NULL, &metrics, &err), &err);
    ck_assert_uint_eq(atomic_load(&source.reads), 4);
    ck_assert_uint_eq(metrics.rows_read, 400);
    ck_assert_uint_eq(metrics.tasks, 4 + 2);
    ck_assert_uint_eq(metrics.failed_tries, 0);
    ck_assert_uint_eq(outputs[0].n_blocks, 2);
    uint64_t n_sums = 0;
    for (size_t i = 0; i < 2; i++)
        n_sums += mill_block_rows(outputs[0].blocks[i]);
    ck_assert_uint_eq(n_sums, 3);
    for (size_t i = 1; i < 4; i++) {
        ck_assert_uint_eq(outputs[i].n_blocks, 4);
        for (size_t j = 0; j < 4; j++)
            ck_assert_uint_eq(mill_block_rows(outputs[i].blocks[j]), 100);
    }
    mill_run_outputs_clear(outputs, 4);
    ck_assert_ptr_null(outputs[0].blocks);
    mill_run_outputs_clear(outputs, 4);
}
END_TEST

START_TEST(blocks_are_ordered_by_leaf_and_partition)
{
    mill_dataset *late = numbers(context, 100, 3);
    mill_dataset *later = numbers(context, 10, 2);
    mill_dataset *inputs[] = {later, late};
    mill_dataset *both = mill_union(inputs, 2, &err);
    for (int round = 0; round < 20; round++) {
        int64_list list = collect_int64(both);
        ck_assert_uint_eq(list.count, 110);
        for (size_t i = 0; i < 110; i++)
            if (list.values[i] != (int64_t)(i < 100 ? i : i - 100))
                ck_abort_msg("row %zu is %lld", i, (long long)list.values[i]);
        free(list.values);
    }
}
END_TEST

START_TEST(a_source_that_fails_is_read_again)
{
    flaky source = {.n_partitions = 5,
                    .rows = 20000,
                    .status = RMQ_IO,
                    .failing_tries = 3,
                    .fail_at = _i == 0 ? 0 : 19999};
    mill_dataset *dataset = flaky_dataset(&source);
    assert_range(dataset, 100000);
    ck_assert_uint_eq(atomic_load(&source.reads), 20);

    mill_run_output output = {.dataset = dataset};
    mill_run_metrics metrics;
    ck_ok(mill_run(context, &output, 1, NULL, &metrics, &err), &err);
    ck_assert_uint_eq(metrics.failed_tries, 15);
    ck_assert_uint_eq(metrics.rows_read, 100000);
    ck_assert_uint_eq(metrics.tasks, 5);
    mill_run_outputs_clear(&output, 1);
}
END_TEST

START_TEST(tries_are_limited)
{
    flaky source = {.n_partitions = 2, .rows = 10, .status = RMQ_IO, .failing_tries = 4};
    uint64_t count;
    ck_status(mill_count(flaky_dataset(&source), &count, &err), RMQ_IO);
    ck_assert_int_eq(err.status, RMQ_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "row 0 refused"));
    ck_assert_ptr_nonnull(strstr(err.text, "source flaky"));
    ck_assert_ptr_nonnull(strstr(err.text, "try 4 of 4"));
    ck_assert_uint_ge(atomic_load(&source.reads), 4);
    ck_assert_uint_le(atomic_load(&source.reads), 8);
}
END_TEST

START_TEST(some_failures_are_final)
{
    static const rmq_status final[] = {RMQ_CANCELLED,   RMQ_DATA_LOSS, RMQ_AUTH,  RMQ_INVAL,
                                       RMQ_UNSUPPORTED, RMQ_FENCED,    RMQ_NOMEM, RMQ_LOCKED};
    flaky source = {.n_partitions = 1, .rows = 10, .status = final[_i], .failing_tries = 1};
    uint64_t count;
    ck_status(mill_count(flaky_dataset(&source), &count, &err), final[_i]);
    ck_assert_uint_eq(atomic_load(&source.reads), 1);
    ck_assert_ptr_nonnull(strstr(err.text, "row 0 refused"));
    ck_assert_ptr_nonnull(strstr(err.text, "try 1 of 4"));
}
END_TEST

/* A function that fails the first so many tries, at the row 77. */
typedef struct failing {
    uint32_t tries;
    bool with_text;
    atomic_uint calls;
} failing;

static rmq_status fail_at_77(const void *row, void *out_row, mill_task *task, void *ctx)
{
    failing *f = ctx;
    *(int64_t *)out_row = *(const int64_t *)row;
    atomic_fetch_add(&f->calls, 1);
    if (*(const int64_t *)row != 77 || mill_task_attempt(task) > f->tries)
        return RMQ_OK;
    return f->with_text ? mill_task_fail(task, "bad row %d", 77) : RMQ_INVAL;
}

START_TEST(a_function_that_fails_twice_then_works_gives_exact_results)
{
    failing f = {.tries = 2, .with_text = true};
    int64_t ten = 10;
    mill_dataset *mapped =
        mill_map(numbers(context, 1000, 4), mill_type_int64(), fail_at_77, &f, &err);
    assert_range(mapped, 1000);
    mill_dataset *keyed = mill_key_by(mapped, mill_type_int64(), key_modulo, &ten, &err);
    pair_list list = collect_pairs(mill_reduce_by_key(keyed, reduce_sum, 3, NULL, &err));
    sort_pairs(list);
    ck_assert_uint_eq(list.count, 10);
    for (int64_t i = 0; i < 10; i++)
        ck_assert_int_eq(list.pairs[i].value, 100 * i + 10 * (99 * 100 / 2));
    free(list.pairs);
}
END_TEST

START_TEST(a_failing_function_ends_with_user_and_its_text)
{
    failing f = {.tries = UINT32_MAX, .with_text = _i == 0};
    mill_rows *rows = NULL;
    mill_dataset *mapped =
        mill_map(numbers(context, 1000, 4), mill_type_int64(), fail_at_77, &f, &err);
    ck_status(mill_collect(mapped, &rows, &err), RMQ_USER);
    ck_assert_int_eq(err.status, RMQ_USER);
    ck_assert_ptr_nonnull(strstr(err.text, _i == 0 ? "bad row 77" : "it returned INVAL"));
    ck_assert_ptr_nonnull(strstr(err.text, "map"));
    ck_assert_ptr_nonnull(strstr(err.text, "partition 0"));
    ck_assert_ptr_nonnull(strstr(err.text, "try 4 of 4"));
    ck_assert_ptr_null(rows);
    assert_range(numbers(context, 50, 3), 50); /* the context is fine */
}
END_TEST

/* Ignores what mill_emit says. */
static rmq_status emit_and_forget(const void *row, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    rmq_status ignored = mill_emit(out, row);
    (void)ignored;
    return RMQ_OK;
}

START_TEST(a_failure_downstream_can_not_be_ignored)
{
    failing f = {.tries = UINT32_MAX, .with_text = true};
    mill_dataset *careless =
        mill_flat_map(numbers(context, 1000, 4), mill_type_int64(), emit_and_forget, NULL, &err);
    mill_dataset *mapped = mill_map(careless, mill_type_int64(), fail_at_77, &f, &err);
    uint64_t count;
    ck_status(mill_count(mapped, &count, &err), RMQ_USER);
    ck_assert_ptr_nonnull(strstr(err.text, "bad row 77"));
}
END_TEST

/* Partition functions that fail in one of their steps. */
typedef struct step_failing {
    int at; /* 0 begin, 1 row, 2 end */
    uint32_t tries;
    atomic_int begun, cleaned;
} step_failing;

static rmq_status step_fail(step_failing *f, int at, mill_task *task)
{
    if (at != f->at || mill_task_attempt(task) > f->tries || mill_task_partition(task) != 1)
        return RMQ_OK;
    return mill_task_fail(task, "step %d", at);
}

static rmq_status failing_begin(void **state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)out;
    atomic_fetch_add(&((step_failing *)ctx)->begun, 1);
    *state = ctx;
    return step_fail(ctx, 0, task);
}

static rmq_status failing_row(void *state, const void *row, mill_emitter *out, mill_task *task,
                              void *ctx)
{
    (void)state;
    rmq_status status = step_fail(ctx, 1, task);
    return status == RMQ_OK ? mill_emit(out, row) : status;
}

static rmq_status failing_end(void *state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)state;
    (void)out;
    return step_fail(ctx, 2, task);
}

static void failing_cleanup(void *state, void *ctx)
{
    ck_assert_ptr_eq(state, ctx);
    atomic_fetch_add(&((step_failing *)ctx)->cleaned, 1);
}

static const mill_partition_fns failing_fns = {failing_begin, failing_row, failing_end,
                                               failing_cleanup};

START_TEST(cleanup_is_called_once_for_each_begin)
{
    step_failing f = {.at = _i % 3, .tries = _i < 3 ? 2 : UINT32_MAX};
    mill_dataset *dataset =
        mill_map_partitions(numbers(context, 300, 3), mill_type_int64(), &failing_fns, &f, &err);
    if (_i < 3) {
        assert_range(dataset, 300);
        ck_assert_int_eq(atomic_load(&f.begun), 5);
    } else {
        uint64_t count;
        ck_status(mill_count(dataset, &count, &err), RMQ_USER);
        char text[16];
        snprintf(text, sizeof(text), "step %d", _i % 3);
        ck_assert_ptr_nonnull(strstr(err.text, text));
    }
    ck_assert_int_eq(atomic_load(&f.begun), atomic_load(&f.cleaned));
}
END_TEST

/* Sets the flag when it sees row 500. */
static rmq_status cancel_at_500(const void *row, mill_task *task, void *ctx)
{
    (void)task;
    if (*(const int64_t *)row == 500)
        __atomic_store_n((bool *)ctx, true, __ATOMIC_RELAXED);
    if (*(const int64_t *)row > 501)
        ck_abort_msg("row %lld after the run was cancelled", (long long)*(const int64_t *)row);
    return RMQ_OK;
}

static rmq_status foreach_as_map(const void *row, void *out_row, mill_task *task, void *ctx)
{
    *(int64_t *)out_row = *(const int64_t *)row;
    return cancel_at_500(row, task, ctx);
}

START_TEST(a_run_can_be_cancelled)
{
    bool cancelled = false;
    mill_run_options options = {.cancelled = &cancelled};
    mill_run_output output = {.dataset = mill_map(numbers(context, 1000000, 1), mill_type_int64(),
                                                  foreach_as_map, &cancelled, &err)};
    ck_status(mill_run(context, &output, 1, &options, NULL, &err), RMQ_CANCELLED);
    ck_assert_ptr_null(output.blocks);
    cancelled = true;
    output.dataset = numbers(context, 10, 2);
    ck_status(mill_run(context, &output, 1, &options, NULL, &err), RMQ_CANCELLED);
    assert_range(numbers(context, 50, 3), 50);
}
END_TEST

/* A source that waits for the end of the run, beside one that fails. */
static rmq_status waiting_read(void *self, uint32_t partition, mill_emitter *out, mill_task *task,
                               rmq_error *error)
{
    (void)out;
    (void)self;
    if (partition == 0)
        return rmq_error_set(error, RMQ_AUTH, "no permission");
    while (!mill_task_cancelled(task))
        sched_yield();
    return rmq_error_set(error, RMQ_CANCELLED, "gave up");
}

START_TEST(the_first_final_failure_stops_the_other_tasks)
{
    static flaky source = {.n_partitions = 3};
    static const mill_source_vtable vtable = {.struct_size = sizeof(vtable),
                                              .name = "waiting",
                                              .partitions = flaky_partitions,
                                              .read = waiting_read};
    mill_dataset *dataset =
        mill_dataset_from_source(context, &vtable, &source, mill_type_int64(), &err);
    uint64_t count;
    ck_status(mill_count(dataset, &count, &err), RMQ_AUTH);
    ck_assert_ptr_nonnull(strstr(err.text, "no permission"));
}
END_TEST

/* ---- bound leaves ---- */

static rmq_status bound_partitions(void *self, void *batch, uint32_t *out_count, rmq_error *error)
{
    (void)self;
    (void)error;
    *out_count = *(uint32_t *)batch;
    return RMQ_OK;
}

static rmq_status bound_read(void *self, void *batch, uint32_t partition, mill_emitter *out,
                             mill_task *task, rmq_error *error)
{
    (void)self;
    (void)batch;
    (void)error;
    int64_t row = mill_task_batch_id(task) * 1000 + partition;
    mill_task_set_note(task, (char *)batch + partition);
    return mill_emit(out, &row);
}

static const mill_bound_leaf bound_leaf = {
    .name = "direct", .partitions = bound_partitions, .read = bound_read};

typedef struct done_log {
    uint32_t leaf_id;
    void *batch;
    atomic_uint calls;
    uint32_t failing_tries;
} done_log;

static rmq_status note_done(void *ctx, uint32_t leaf_id, uint32_t partition, void *note)
{
    done_log *log = ctx;
    if (leaf_id != log->leaf_id || note != (char *)log->batch + partition)
        return RMQ_INVAL;
    return atomic_fetch_add(&log->calls, 1) < log->failing_tries ? RMQ_AGAIN : RMQ_OK;
}

START_TEST(a_bound_leaf_follows_its_batch)
{
    int owner;
    int64_t zero = 0;
    mill_dataset *leaf =
        mill_dataset_bound(context, &owner, &bound_leaf, NULL, mill_type_int64(), &err);
    mill_dataset *mapped = mill_map(leaf, mill_type_int64(), map_add, &zero, &err);
    ck_assert_ptr_eq(mill_dataset_owner(mapped), &owner);
    ck_assert_ptr_eq(mill_dataset_context(mapped), context);
    for (uint32_t n = 0; n < 5; n++) {
        done_log log = {.leaf_id = mill_dataset_id(leaf), .batch = &n, .failing_tries = n == 4};
        mill_run_options options = {
            .batch_id = n, .batch = &n, .task_done = note_done, .task_done_ctx = &log};
        mill_run_output output = {.dataset = mapped};
        ck_ok(mill_run(context, &output, 1, &options, NULL, &err), &err);
        ck_assert_uint_eq(output.n_blocks, n);
        ck_assert_uint_eq(atomic_load(&log.calls), n == 4 ? 5 : n);
        mill_rows *rows = NULL;
        ck_ok(mill_rows_of_blocks(output.blocks, n, mill_type_int64(), &rows, &err), &err);
        mill_run_outputs_clear(&output, 1);
        const void *row = NULL;
        for (uint32_t i = 0; i < n; i++) {
            ck_ok(mill_rows_next(rows, &row, &err), &err);
            ck_assert_int_eq(*(const int64_t *)row, n * 1000 + i);
        }
        ck_status(mill_rows_next(rows, &row, &err), RMQ_NOT_FOUND);
        mill_rows_free(rows);
    }
}
END_TEST

static rmq_status ignore_row(const void *row, mill_task *task, void *ctx)
{
    (void)row;
    (void)task;
    (void)ctx;
    return RMQ_OK;
}

START_TEST(actions_refuse_a_stream)
{
    int owner;
    int other;
    mill_dataset *leaf =
        mill_dataset_bound(context, &owner, &bound_leaf, NULL, mill_type_int64(), &err);
    uint64_t count;
    mill_rows *rows = NULL;
    ck_status(mill_count(leaf, &count, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "<mill/stream.h>"));
    ck_status(mill_collect(leaf, &rows, &err), RMQ_INVAL);
    ck_status(mill_foreach(leaf, ignore_row, NULL, &err), RMQ_INVAL);
    ck_status(mill_foreach_partition(leaf, &failing_fns, NULL, &err), RMQ_INVAL);
    mill_run_output output = {.dataset = leaf};
    ck_status(mill_run(context, &output, 1, NULL, NULL, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "direct"));
    mill_dataset *inputs[] = {
        leaf, mill_dataset_bound(context, &other, &bound_leaf, NULL, mill_type_int64(), &err)};
    ck_assert_ptr_null(mill_union(inputs, 2, &err));
    inputs[1] = numbers(context, 3, 1);
    ck_assert_ptr_null(mill_union(inputs, 2, &err));
    ck_assert_int_eq(err.status, RMQ_INVAL);
}
END_TEST

/* ---- blocks as datasets, scopes ---- */

START_TEST(blocks_are_a_dataset)
{
    mill_run_output output = {.dataset = numbers(context, 1000, 4)};
    ck_ok(mill_run(context, &output, 1, NULL, NULL, &err), &err);
    mill_dataset *again =
        mill_dataset_from_blocks(context, output.blocks, output.n_blocks, mill_type_int64(), &err);
    mill_run_outputs_clear(&output, 1);
    assert_range(again, 1000);
    assert_range(again, 1000);
    assert_range(mill_dataset_from_blocks(context, NULL, 0, mill_type_int64(), &err), 0);
}
END_TEST

static void flaky_free(void *self)
{
    atomic_fetch_add(&((flaky *)self)->freed, 1);
}

static mill_dataset *counted_dataset(flaky *source)
{
    static const mill_source_vtable vtable = {.struct_size = sizeof(vtable),
                                              .partitions = flaky_partitions,
                                              .read = flaky_read,
                                              .free_self = flaky_free};
    mill_dataset *dataset =
        mill_dataset_from_source(context, &vtable, source, mill_type_int64(), &err);
    ck_assert_ptr_nonnull(dataset);
    return dataset;
}

START_TEST(a_scope_frees_what_was_made_in_it)
{
    flaky outside = {.n_partitions = 1, .rows = 10};
    flaky inside = outside;
    flaky nested = outside;
    mill_dataset *stays = counted_dataset(&outside);
    mill_scope_begin(context);
    assert_range(counted_dataset(&inside), 10);
    mill_scope_begin(context);
    counted_dataset(&nested);
    assert_range(mill_filter(stays, keep_even, NULL, &err) != NULL ? stays : NULL, 10);
    mill_scope_end(context);
    ck_assert_uint_eq(atomic_load(&nested.freed), 1);
    ck_assert_uint_eq(atomic_load(&inside.freed), 0);
    mill_scope_end(context);
    ck_assert_uint_eq(atomic_load(&inside.freed), 1);
    ck_assert_uint_eq(atomic_load(&outside.freed), 0);
    assert_range(stays, 10);
    mill_context_free(context);
    ck_assert_uint_eq(atomic_load(&outside.freed), 1);
    ck_assert_uint_eq(atomic_load(&nested.freed), 1);
    context = NULL;
}
END_TEST

/* ---- memory of tasks ---- */

typedef struct memory_log {
    char *scratch; /* of the row before */
    int64_t *kept;
    int64_t rows;
} memory_log;

static rmq_status use_memory(const void *row, void *out_row, mill_task *task, void *ctx)
{
    memory_log *log = ctx;
    char *scratch = mill_task_alloc(task, 1000);
    if (scratch == NULL)
        return RMQ_NOMEM;
    if (log->scratch != NULL && scratch != log->scratch)
        return mill_task_fail(task, "the scratch memory of row %lld was not dropped",
                              (long long)log->rows);
    for (int i = 0; i < 1000; i++)
        if (scratch[i] != 0)
            return mill_task_fail(task, "the scratch memory is not zeroed");
    memset(scratch, 'x', 1000);
    if (log->kept == NULL)
        log->kept = mill_task_keep(task, sizeof(int64_t));
    if (log->kept == NULL || *log->kept != log->rows)
        return mill_task_fail(task, "kept memory was lost");
    ++*log->kept;
    log->rows++;
    log->scratch = scratch;
    *(int64_t *)out_row = *(const int64_t *)row;
    return RMQ_OK;
}

START_TEST(scratch_memory_is_dropped_after_each_row_and_kept_memory_is_not)
{
    memory_log log = {0};
    mill_dataset *mapped =
        mill_map(numbers(context, 5000, 1), mill_type_int64(), use_memory, &log, &err);
    assert_range(mapped, 5000);
    ck_assert_int_eq(log.rows, 5000);
}
END_TEST

static rmq_status end_emits_many(void *state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)state;
    (void)ctx;
    int64_t *own = mill_task_alloc(task, sizeof(int64_t));
    if (own == NULL)
        return RMQ_NOMEM;
    for (; *own < 5000; ++*own) {
        rmq_status status = mill_emit(out, own);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static rmq_status row_nothing(void *state, const void *row, mill_emitter *out, mill_task *task,
                              void *ctx)
{
    (void)state;
    (void)row;
    (void)out;
    (void)task;
    (void)ctx;
    return RMQ_OK;
}

START_TEST(rows_emitted_at_the_end_drop_their_scratch_memory_too)
{
    static const mill_partition_fns fns = {.row = row_nothing, .end = end_emits_many};
    memory_log log = {0};
    mill_dataset *many =
        mill_map_partitions(numbers(context, 3, 1), mill_type_int64(), &fns, NULL, &err);
    assert_range(mill_map(many, mill_type_int64(), use_memory, &log, &err), 5000);
    ck_assert_int_eq(log.rows, 5000);
}
END_TEST

static rmq_status format_row(const void *row, void *out_row, mill_task *task, void *ctx)
{
    (void)ctx;
    *(rmq_slice *)out_row =
        mill_task_format(task, "%s-%lld", "row", (long long)*(const int64_t *)row);
    return RMQ_OK;
}

START_TEST(formatted_texts_are_rows)
{
    mill_dataset *texts =
        mill_map(numbers(context, 3, 1), mill_type_text(), format_row, NULL, &err);
    mill_rows *rows = NULL;
    ck_ok(mill_collect(texts, &rows, &err), &err);
    const void *row = NULL;
    for (int i = 0; i < 3; i++) {
        char expected[16];
        snprintf(expected, sizeof(expected), "row-%d", i);
        ck_ok(mill_rows_next(rows, &row, &err), &err);
        ck_assert(rmq_slice_equals(*(const rmq_slice *)row, expected));
    }
    mill_rows_free(rows);
}
END_TEST

static rmq_status act_inside(const void *row, mill_task *task, void *ctx)
{
    (void)row;
    rmq_error inner;
    uint64_t count;
    rmq_status status = mill_count(ctx, &count, &inner);
    return status == RMQ_INVAL ? RMQ_OK
                               : mill_task_fail(task, "it gave %s", rmq_status_name(status));
}

START_TEST(actions_inside_of_functions_are_refused)
{
    mill_dataset *dataset = numbers(context, 3, 3);
    ck_ok(mill_foreach(dataset, act_inside, dataset, &err), &err);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("run");
    TCase *tc = tcase_create("run");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_leaf_is_read_once_for_all_outputs);
    tcase_add_test(tc, blocks_are_ordered_by_leaf_and_partition);
    tcase_add_loop_test(tc, a_source_that_fails_is_read_again, 0, 2);
    tcase_add_test(tc, tries_are_limited);
    tcase_add_loop_test(tc, some_failures_are_final, 0, 8);
    tcase_add_test(tc, a_function_that_fails_twice_then_works_gives_exact_results);
    tcase_add_loop_test(tc, a_failing_function_ends_with_user_and_its_text, 0, 2);
    tcase_add_test(tc, a_failure_downstream_can_not_be_ignored);
    tcase_add_loop_test(tc, cleanup_is_called_once_for_each_begin, 0, 6);
    tcase_add_test(tc, a_run_can_be_cancelled);
    tcase_add_test(tc, the_first_final_failure_stops_the_other_tasks);
    tcase_add_test(tc, a_bound_leaf_follows_its_batch);
    tcase_add_test(tc, actions_refuse_a_stream);
    tcase_add_test(tc, blocks_are_a_dataset);
    tcase_add_test(tc, a_scope_frees_what_was_made_in_it);
    tcase_add_test(tc, scratch_memory_is_dropped_after_each_row_and_kept_memory_is_not);
    tcase_add_test(tc, rows_emitted_at_the_end_drop_their_scratch_memory_too);
    tcase_add_test(tc, formatted_texts_are_rows);
    tcase_add_test(tc, actions_inside_of_functions_are_refused);
    suite_add_tcase(suite, tc);
    return suite;
}
