/* Running a plan: which tasks may start, what becomes of their blocks, and when it is over.
 *
 * All tasks of leaves that are sources start at once. The tasks that read an exchange start when
 * the last task that writes to it has succeeded: each exchange counts the writers that it waits
 * for. Who waits for the run (the driver) sleeps until no task is under way; since a task's success
 * starts the next ones before the task counts as over, that is the end of the run.
 *
 *     waiting for writers -> queued -> trying -> done
 *                              ^_________|  failed, may be tried again
 *
 * Blocks of an exchange stand in a table, a row for each partition, a column for each writer, so
 * that their order never depends on which task was faster. A writer fills only its column, and the
 * readers start after all have, so the table needs no lock. The first task that fails for good sets
 * `stop`, which all others poll.
 *
 * The lock is held for counting only. */
#include "run.h"

#include <pthread.h>
#include <string.h>

#include "context.h"
#include "plan.h"
#include "pool.h"
#include "try.h"

typedef struct run_state run_state;

typedef struct run_task {
    mill_job job; /* first: jobs are cast back */
    run_state *run;
    const mill_plan_leaf *leaf;
    uint32_t partition;
    uint32_t attempt;
    char *failure; /* of the last try, if it is tried again; owned */
} run_task;

struct run_state {
    mill_context *context;
    const mill_run_options *options;
    mill_plan plan;
    mill_run_control control;
    mill_job_queue queue;
    run_task *tasks;
    mill_block ***exchanges; /* of each, the table: [partition * n_writers + writer] */
    mill_block ***outputs;   /* of each output of the plan, by writer */
    pthread_mutex_t lock;    /* guards all below */
    pthread_cond_t idle;
    uint32_t under_way;
    uint32_t *writers_left; /* of each exchange */
    rmq_status status;
    rmq_error err;
    mill_run_metrics metrics;
};

static mill_block **exchange_row(const run_state *run, uint32_t exchange, uint32_t partition)
{
    return run->exchanges[exchange] + (size_t)partition * run->plan.exchanges[exchange].n_writers;
}

static void keep_block(void *ctx, const mill_plan_step *step, uint32_t part, mill_block *take_block)
{
    const run_task *task = ctx;
    run_state *run = task->run;
    uint32_t writer = step->first_writer + task->partition;
    if (step->kind == MILL_STEP_OUTPUT)
        run->outputs[step->target][writer] = take_block;
    else
        exchange_row(run, step->target, part)[writer] = take_block;
}

/* Puts all tasks of a leaf before `list`. */
static mill_job *leaf_queue(run_state *run, const mill_plan_leaf *leaf, mill_job *list)
{
    for (uint32_t i = leaf->n_partitions; i > 0; i--) {
        run_task *task = &run->tasks[leaf->first_task + i - 1];
        task->job.next = list;
        list = &task->job;
    }
    run->under_way += leaf->n_partitions;
    return list;
}

/* One task fewer writes to these exchanges. Gives the tasks that may start now. Locks: run->lock is
 * held. */
static mill_job *writer_done(run_state *run, const mill_plan_leaf *leaf)
{
    mill_job *ready = NULL;
    for (uint32_t i = 0; i < leaf->n_steps; i++) {
        const mill_plan_step *step = &leaf->steps[i];
        if (step->kind == MILL_STEP_WRITE && --run->writers_left[step->target] == 0)
            ready =
                leaf_queue(run, &run->plan.leaves[run->plan.exchanges[step->target].leaf], ready);
    }
    return ready;
}

/* A partition that was read to its end is not read again. */
static void partition_drop(const run_state *run, const run_task *task)
{
    uint32_t exchange = task->leaf->exchange;
    if (exchange == UINT32_MAX)
        return;
    mill_block **row = exchange_row(run, exchange, task->partition);
    for (uint32_t i = 0; i < run->plan.exchanges[exchange].n_writers; i++) {
        mill_block_unref(row[i]);
        row[i] = NULL;
    }
}

static rmq_status task_try(run_task *task, mill_try_result *out_result, rmq_error *err)
{
    run_state *run = task->run;
    mill_try try = {.control = &run->control,
                    .leaf = task->leaf,
                    .partition = task->partition,
                    .attempt = task->attempt};
    if (task->leaf->exchange != UINT32_MAX) {
        try.blocks = exchange_row(run, task->leaf->exchange, task->partition);
        try.n_blocks = run->plan.exchanges[task->leaf->exchange].n_writers;
    }
    *out_result = (mill_try_result){.keep = keep_block, .keep_ctx = task};
    if (run->options != NULL) {
        out_result->task_done = run->options->task_done;
        out_result->task_done_ctx = run->options->task_done_ctx;
    }
    return mill_try_run(&try, out_result, err);
}

static bool task_may_repeat(const run_task *task, rmq_status status)
{
    return mill_try_may_repeat(status) &&
           task->attempt < task->run->context->config.max_task_failures;
}

/* The task is over, or is tried again: counts, starts what may start, wakes the driver. After the
 * lock is given back the run may be gone, unless something was queued. */
static void task_over(run_task *task, rmq_status status, const mill_try_result *result,
                      const rmq_error *err)
{
    run_state *run = task->run;
    mill_pool *pool = run->context->pool;
    mill_job *ready = NULL;
    pthread_mutex_lock(&run->lock);
    if (status == RMQ_OK) {
        run->metrics.tasks++;
        if (task->leaf->exchange == UINT32_MAX)
            run->metrics.rows_read += result->n_rows;
        if (run->status == RMQ_OK)
            ready = writer_done(run, task->leaf);
    } else if (run->status == RMQ_OK) {
        run->metrics.failed_tries++;
        if (task_may_repeat(task, status)) {
            task->attempt++;
            task->job.next = NULL;
            ready = &task->job;
            run->under_way++;
        } else {
            run->status = status;
            run->err = *err;
            atomic_store_explicit(&run->control.stop, true, memory_order_relaxed);
        }
    }
    if (--run->under_way == 0)
        pthread_cond_signal(&run->idle);
    pthread_mutex_unlock(&run->lock);
    mill_pool_submit(pool, &run->queue, ready);
}

/* What is about to be returned as the error of the run needs no line. */
static void task_tell(run_task *task, rmq_status status, const rmq_error *err)
{
    mill_context *context = task->run->context;
    if (status == RMQ_OK && task->failure != NULL)
        mill_context_log(context, RMQ_LOG_WARN, "run", "%s; try %u succeeded", task->failure,
                         task->attempt);
    if (status == RMQ_OK || !task_may_repeat(task, status))
        return;
    mill_context_log(context, RMQ_LOG_INFO, "run", "%s; trying again", err->text);
    rmq_free(task->failure);
    task->failure = rmq_strdup(err->text);
}

static void task_run(mill_job *job)
{
    run_task *task = (run_task *)job;
    rmq_error err = {0};
    mill_try_result result = {0};
    rmq_status status = task_try(task, &result, &err);
    if (status == RMQ_OK)
        partition_drop(task->run, task);
    task_tell(task, status, &err);
    task_over(task, status, &result, &err);
}

static rmq_status tables_make(run_state *run, rmq_error *err)
{
    mill_plan *plan = &run->plan;
    mill_arena *arena = &plan->arena;
    run->tasks = mill_arena_calloc(arena, plan->n_tasks, sizeof(*run->tasks));
    run->exchanges = mill_arena_calloc(arena, plan->n_exchanges, sizeof(mill_block **));
    run->outputs = mill_arena_calloc(arena, plan->n_outputs, sizeof(mill_block **));
    run->writers_left = mill_arena_calloc(arena, plan->n_exchanges, sizeof(uint32_t));
    bool ok = run->tasks != NULL && run->exchanges != NULL && run->outputs != NULL &&
              run->writers_left != NULL;
    for (uint32_t i = 0; ok && i < plan->n_exchanges; i++) {
        const mill_plan_exchange *exchange = &plan->exchanges[i];
        size_t n_blocks = (size_t)exchange->n_partitions * exchange->n_writers;
        run->exchanges[i] = mill_arena_calloc(arena, n_blocks, sizeof(mill_block *));
        run->writers_left[i] = exchange->n_writers;
        ok = run->exchanges[i] != NULL;
    }
    for (uint32_t i = 0; ok && i < plan->n_outputs; i++) {
        run->outputs[i] =
            mill_arena_calloc(arena, plan->outputs[i].n_writers, sizeof(mill_block *));
        ok = run->outputs[i] != NULL;
    }
    if (!ok)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a run of %u tasks", plan->n_tasks);
    for (uint32_t i = 0; i < plan->n_leaves; i++)
        for (uint32_t j = 0; j < plan->leaves[i].n_partitions; j++)
            run->tasks[plan->leaves[i].first_task + j] = (run_task){.job.run = task_run,
                                                                    .run = run,
                                                                    .leaf = &plan->leaves[i],
                                                                    .partition = j,
                                                                    .attempt = 1};
    return RMQ_OK;
}

/* Starts what waits for nothing, and sleeps until nothing is under way. */
static void run_to_end(run_state *run)
{
    mill_job *ready = NULL;
    pthread_mutex_lock(&run->lock);
    for (uint32_t i = run->plan.n_leaves; i > 0; i--) {
        const mill_plan_leaf *leaf = &run->plan.leaves[i - 1];
        if (leaf->exchange == UINT32_MAX || run->plan.exchanges[leaf->exchange].n_writers == 0)
            ready = leaf_queue(run, leaf, ready);
    }
    pthread_mutex_unlock(&run->lock);
    mill_pool_submit(run->context->pool, &run->queue, ready);
    pthread_mutex_lock(&run->lock);
    while (run->under_way != 0)
        pthread_cond_wait(&run->idle, &run->lock);
    pthread_mutex_unlock(&run->lock);
}

static rmq_status outputs_give(const run_state *run, mill_run_output *outputs, size_t n_outputs,
                               rmq_error *err)
{
    for (size_t i = 0; i < n_outputs; i++) {
        uint32_t from = mill_plan_output_of(&run->plan, outputs[i].dataset);
        uint32_t n_blocks = run->plan.outputs[from].n_writers;
        outputs[i].blocks = rmq_calloc(n_blocks != 0 ? n_blocks : 1, sizeof(mill_block *));
        if (outputs[i].blocks == NULL) {
            mill_run_outputs_clear(outputs, n_outputs);
            return rmq_error_set(err, RMQ_NOMEM, "no memory for %u blocks", n_blocks);
        }
        outputs[i].n_blocks = n_blocks;
        for (uint32_t j = 0; j < n_blocks; j++)
            outputs[i].blocks[j] = mill_block_ref(run->outputs[from][j]);
    }
    return RMQ_OK;
}

static void blocks_drop(mill_block **blocks, size_t n_blocks)
{
    for (size_t i = 0; blocks != NULL && i < n_blocks; i++)
        mill_block_unref(blocks[i]);
}

static void run_deinit(run_state *run)
{
    const mill_plan *plan = &run->plan;
    for (uint32_t i = 0; run->exchanges != NULL && i < plan->n_exchanges; i++)
        blocks_drop(run->exchanges[i],
                    (size_t)plan->exchanges[i].n_partitions * plan->exchanges[i].n_writers);
    for (uint32_t i = 0; run->outputs != NULL && i < plan->n_outputs; i++)
        blocks_drop(run->outputs[i], plan->outputs[i].n_writers);
    for (uint32_t i = 0; run->tasks != NULL && i < plan->n_tasks; i++)
        rmq_free(run->tasks[i].failure);
    mill_plan_deinit(&run->plan);
    pthread_cond_destroy(&run->idle);
    pthread_mutex_destroy(&run->lock);
}

static rmq_status outputs_check(const mill_context *context, mill_run_output *outputs,
                                size_t n_outputs, rmq_error *err)
{
    for (size_t i = 0; i < n_outputs; i++) {
        outputs[i].blocks = NULL;
        outputs[i].n_blocks = 0;
    }
    if (mill_pool_on_worker())
        return rmq_error_set(err, RMQ_INVAL,
                             "an action inside a function of another run: it would wait for the "
                             "worker that it occupies");
    for (size_t i = 0; i < n_outputs; i++)
        if (outputs[i].dataset == NULL || outputs[i].dataset->context != context)
            return rmq_error_set(err, RMQ_INVAL, "output %zu is no dataset of this context", i);
    return RMQ_OK;
}

rmq_status mill_run(mill_context *context, mill_run_output *outputs, size_t n_outputs,
                    const mill_run_options *options, mill_run_metrics *out_metrics, rmq_error *err)
{
    rmq_status status = outputs_check(context, outputs, n_outputs, err);
    if (status != RMQ_OK)
        return status;
    run_state run = {.context = context, .options = options, .control.context = context};
    if (options != NULL) {
        run.control.batch_id = options->batch_id;
        run.control.batch = options->batch;
        run.control.cancelled = options->cancelled;
    }
    atomic_init(&run.control.stop, false);
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.idle, NULL);
    status = mill_plan_init(&run.plan, outputs, n_outputs, run.control.batch, err);
    if (status == RMQ_OK)
        status = tables_make(&run, err);
    if (status == RMQ_OK) {
        run_to_end(&run);
        status = run.status;
        if (status != RMQ_OK && err != NULL)
            *err = run.err;
    }
    if (status == RMQ_OK)
        status = outputs_give(&run, outputs, n_outputs, err);
    if (status == RMQ_OK && out_metrics != NULL)
        *out_metrics = run.metrics;
    run_deinit(&run);
    return status;
}

void mill_run_outputs_clear(mill_run_output *outputs, size_t n_outputs)
{
    for (size_t i = 0; i < n_outputs; i++) {
        blocks_drop(outputs[i].blocks, outputs[i].n_blocks);
        rmq_free(outputs[i].blocks);
        outputs[i].blocks = NULL;
        outputs[i].n_blocks = 0;
    }
}
