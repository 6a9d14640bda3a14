/* A try of a task: begin the steps, read the leaf, end the steps, keep the blocks.
 *
 * Everything that a try makes hangs on its pipeline and its arenas. A try that fails at any point
 * drops them, so the next one starts from nothing and no output is ever there twice. */
#include "try.h"

#include "context.h"
#include "exchange.h"
#include "pipeline.h"

bool mill_try_may_repeat(rmq_status status)
{
    switch (status) {
    case RMQ_CANCELLED:
    case RMQ_DATA_LOSS:
    case RMQ_AUTH:
    case RMQ_INVAL:
    case RMQ_NOMEM:
    case RMQ_UNSUPPORTED:
    case RMQ_EXISTS:
    case RMQ_LOCKED:
    case RMQ_FENCED:
        return false;
    default:
        return true;
    }
}

static rmq_status leaf_read(const mill_try *try, mill_task *task, mill_emitter *root)
{
    const mill_dataset *leaf = try->leaf->dataset;
    if (leaf->op == MILL_OP_REDUCE)
        return mill_exchange_read(task, try->blocks, try->n_blocks, root);
    rmq_error err = {0};
    rmq_status status;
    if (leaf->op == MILL_OP_SOURCE)
        status =
            leaf->as.source.vtable.read(leaf->as.source.self, try->partition, root, task, &err);
    else
        status = leaf->as.bound.leaf->read(leaf->as.bound.self, try->control->batch, try->partition,
                                           root, task, &err);
    if (status == RMQ_OK || task->status != RMQ_OK)
        return task->status;
    task->err = err;
    return mill_task_failed(task, status, NULL);
}

static void keep_all(const mill_try *try, mill_pipeline *pipeline, mill_try_result *result)
{
    for (uint32_t i = 0; i < try->leaf->n_steps; i++) {
        const mill_plan_step *step = &try->leaf->steps[i];
        if (step->kind == MILL_STEP_OUTPUT)
            result->keep(result->keep_ctx, step, 0, mill_pipeline_take_output(pipeline, i));
        for (uint32_t part = 0; step->kind == MILL_STEP_WRITE && part < step->dataset->n_partitions;
             part++)
            result->keep(result->keep_ctx, step, part, mill_pipeline_take_part(pipeline, i, part));
    }
}

static rmq_status tell_done(const mill_try *try, mill_task *task, const mill_try_result *result)
{
    if (result->task_done == NULL)
        return RMQ_OK;
    rmq_status status = result->task_done(result->task_done_ctx, try->leaf->dataset->id,
                                          try->partition, task->note);
    return status == RMQ_OK ? RMQ_OK : mill_task_failed(task, status, "task_done");
}

static void explain(const mill_try *try, const mill_task *task, rmq_error *err)
{
    const mill_dataset *leaf = try->leaf->dataset;
    *err = task->err;
    const char *kind = leaf->op == MILL_OP_REDUCE ? "" : "source ";
    const char *at = task->failed_at != NULL ? task->failed_at : "read";
    rmq_error_wrap(err, "%s, partition %u of %s%s, try %u of %u", at, try->partition, kind,
                   mill_leaf_name(leaf), try->attempt,
                   try->control->context->config.max_task_failures);
}

rmq_status mill_try_run(const mill_try *try, mill_try_result *result, rmq_error *err)
{
    mill_task task = {.control = try->control,
                      .leaf = try->leaf,
                      .partition = try->partition,
                      .attempt = try->attempt};
    task.kept = &task.memory;
    mill_pipeline pipeline = {0};
    rmq_status status = mill_task_poll(&task);
    if (status == RMQ_OK)
        status = mill_pipeline_begin(&pipeline, &task);
    if (status == RMQ_OK)
        status = leaf_read(try, &task, mill_pipeline_root(&pipeline));
    if (status == RMQ_OK)
        status = mill_pipeline_end(&pipeline);
    if (status == RMQ_OK)
        status = tell_done(try, &task, result);
    if (status == RMQ_OK) {
        keep_all(try, &pipeline, result);
        result->n_rows = task.n_rows;
    } else {
        explain(try, &task, err);
    }
    mill_pipeline_deinit(&pipeline);
    mill_arena_deinit(&task.scratch);
    mill_arena_deinit(&task.memory);
    return status;
}
