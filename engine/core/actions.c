/* Actions: a run with one output, waited for.
 *
 * What an action needs beyond its dataset (a counter, the user's function) is one more node, made
 * in a scope of its own, so that a program that counts for years does not grow. Counting is done
 * per task and summed up from the blocks of those tries that succeeded, so retries count nothing
 * twice. */
#include <mill/dataset.h>

#include "block.h"
#include "lineage.h"
#include "run.h"

/* Runs `dataset` for its blocks. */
static rmq_status run_one(mill_dataset *dataset, mill_run_output *out_output, rmq_error *err)
{
    mill_run_output output = {.dataset = dataset};
    rmq_status status = mill_run(dataset->context, &output, 1, NULL, NULL, err);
    if (status == RMQ_OK)
        *out_output = output;
    return status;
}

static rmq_status check(const mill_dataset *dataset, rmq_error *err)
{
    if (dataset == NULL)
        return rmq_error_set(err, RMQ_INVAL, "no dataset given");
    if (dataset->owner != NULL)
        return rmq_error_set(err, RMQ_INVAL,
                             "an action on a dataset of a stream outside its batch: use the "
                             "operations of <mill/stream.h>");
    return RMQ_OK;
}

rmq_status mill_collect(mill_dataset *dataset, mill_rows **out_rows, rmq_error *err)
{
    rmq_status status = check(dataset, err);
    if (status != RMQ_OK)
        return status;
    mill_run_output output;
    status = run_one(dataset, &output, err);
    if (status != RMQ_OK)
        return status;
    status = mill_rows_of_blocks(output.blocks, output.n_blocks, dataset->type, out_rows, err);
    mill_run_outputs_clear(&output, 1);
    return status;
}

static rmq_status count_begin(void **state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)out;
    (void)ctx;
    *state = mill_task_keep(task, sizeof(int64_t));
    return *state != NULL ? RMQ_OK : RMQ_NOMEM;
}

static rmq_status count_row(void *state, const void *row, mill_emitter *out, mill_task *task,
                            void *ctx)
{
    (void)row;
    (void)out;
    (void)task;
    (void)ctx;
    ++*(int64_t *)state;
    return RMQ_OK;
}

static rmq_status count_end(void *state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    return mill_emit(out, state);
}

static rmq_status sum(const mill_run_output *output, uint64_t *out_sum, rmq_error *err)
{
    mill_rows *rows = NULL;
    rmq_status status =
        mill_rows_of_blocks(output->blocks, output->n_blocks, mill_type_int64(), &rows, err);
    if (status != RMQ_OK)
        return status;
    uint64_t total = 0;
    const void *row = NULL;
    while ((status = mill_rows_next(rows, &row, err)) == RMQ_OK)
        total += (uint64_t) * (const int64_t *)row;
    mill_rows_free(rows);
    if (status != RMQ_NOT_FOUND)
        return status;
    *out_sum = total;
    return RMQ_OK;
}

rmq_status mill_count(mill_dataset *dataset, uint64_t *out_count, rmq_error *err)
{
    static const mill_partition_fns fns = {
        .begin = count_begin, .row = count_row, .end = count_end};
    rmq_status status = check(dataset, err);
    if (status != RMQ_OK)
        return status;
    mill_context *context = dataset->context;
    mill_run_output output = {0};
    mill_scope_begin(context);
    mill_dataset *counts = mill_map_partitions(dataset, mill_type_int64(), &fns, NULL, err);
    status = counts != NULL ? run_one(counts, &output, err) : RMQ_NOMEM;
    mill_scope_end(context);
    if (status == RMQ_OK)
        status = sum(&output, out_count, err);
    mill_run_outputs_clear(&output, 1);
    return status;
}

/* Runs `last`, which lets no rows out, and ends the scope. */
static rmq_status run_for_effect(mill_context *context, mill_dataset *last, rmq_error *err)
{
    mill_run_output output = {0};
    rmq_status status = last != NULL ? run_one(last, &output, err) : RMQ_NOMEM;
    mill_run_outputs_clear(&output, 1);
    mill_scope_end(context);
    return status;
}

rmq_status mill_foreach(mill_dataset *dataset, mill_foreach_fn fn, void *ctx, rmq_error *err)
{
    rmq_status status = check(dataset, err);
    if (status != RMQ_OK)
        return status;
    if (fn == NULL)
        return rmq_error_set(err, RMQ_INVAL, "foreach: no function given");
    mill_scope_begin(dataset->context);
    return run_for_effect(dataset->context, mill_lineage_foreach(dataset, fn, ctx, err), err);
}

rmq_status mill_foreach_partition(mill_dataset *dataset, const mill_partition_fns *fns, void *ctx,
                                  rmq_error *err)
{
    rmq_status status = check(dataset, err);
    if (status != RMQ_OK)
        return status;
    if (fns == NULL || fns->row == NULL)
        return rmq_error_set(err, RMQ_INVAL, "foreach_partition: no function given");
    mill_scope_begin(dataset->context);
    return run_for_effect(dataset->context, mill_lineage_foreach_partition(dataset, fns, ctx, err),
                          err);
}
