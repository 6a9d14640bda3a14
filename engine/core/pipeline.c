/* A task's steps and how rows are pushed through them.
 *
 * Each step has an emitter: the list of steps that take its rows. Pushing a row is a chain of
 * indirect calls, one per operation, that returns when everything downstream is done with the row.
 * So a step needs one buffer for the row it makes, nothing is queued, and nothing is allocated per
 * row.
 *
 *     leaf emits -> [map: buffer] -> [filter] -> [output: block]
 *                                 \-> [write: table -> blocks of the exchange]
 *
 * Partition functions begin from the last step to the first, since begin may emit, and end from the
 * first to the last. Their cleanup runs exactly once if begin was reached, whatever happened. */
#include "pipeline.h"

#include <string.h>

#include "combine.h"
#include "context.h"

struct mill_step {
    rmq_status (*push)(mill_step *step, const void *row);
    mill_emitter out;
    const mill_dataset *dataset;
    void *row; /* what this step makes */
    mill_task *task;
    void *state;             /* of partition functions */
    bool begun;              /* partition functions: cleanup is due */
    mill_block *block;       /* OUTPUT */
    mill_combiner *combiner; /* WRITE */
    const mill_plan_step *plan;
};

static inline rmq_status push_on(const mill_emitter *out, const void *row)
{
    for (uint32_t i = 0; i < out->n_steps; i++) {
        mill_step *step = out->steps[i];
        rmq_status status = step->push(step, row);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static rmq_status emit_outer(mill_emitter *out, const void *row)
{
    mill_task *task = out->task;
    rmq_status status = mill_task_poll(task);
    if (status != RMQ_OK)
        return status;
    if (out->is_leaf) {
        task->n_rows++;
        status = push_on(out, row);
        mill_arena_reset(&task->scratch);
        return status;
    }
    mill_arena_mark mark = mill_arena_mark_get(&task->scratch);
    status = push_on(out, row);
    mill_arena_release(&task->scratch, &mark);
    return status;
}

rmq_status mill_emit(mill_emitter *out, const void *row)
{
    return out->is_outer ? emit_outer(out, row) : push_on(out, row);
}

static const char *name_of(const mill_step *step)
{
    return mill_op_name(step->dataset->op);
}

static rmq_status user_failed(const mill_step *step, rmq_status status)
{
    return mill_task_user_failed(step->task, status, name_of(step));
}

static rmq_status push_map(mill_step *step, const void *row)
{
    const mill_dataset *map = step->dataset;
    rmq_status status = map->as.map(row, step->row, step->task, map->ctx);
    return status == RMQ_OK ? push_on(&step->out, step->row) : user_failed(step, status);
}

static rmq_status push_filter(mill_step *step, const void *row)
{
    const mill_dataset *filter = step->dataset;
    bool keep = false;
    rmq_status status = filter->as.filter(row, &keep, step->task, filter->ctx);
    if (status != RMQ_OK)
        return user_failed(step, status);
    return keep ? push_on(&step->out, row) : RMQ_OK;
}

static rmq_status push_flat_map(mill_step *step, const void *row)
{
    const mill_dataset *flat_map = step->dataset;
    rmq_status status = flat_map->as.flat_map(row, &step->out, step->task, flat_map->ctx);
    return status == RMQ_OK ? step->task->status : user_failed(step, status);
}

static rmq_status push_key_by(mill_step *step, const void *row)
{
    const mill_dataset *key_by = step->dataset;
    const mill_type *pair = key_by->type;
    rmq_status status = key_by->as.map(row, step->row, step->task, key_by->ctx);
    if (status != RMQ_OK)
        return user_failed(step, status);
    memcpy((char *)step->row + pair->value_at, row, pair->value_type->size_bytes);
    return push_on(&step->out, step->row);
}

static rmq_status push_map_values(mill_step *step, const void *row)
{
    const mill_dataset *map_values = step->dataset;
    const mill_type *pair = map_values->type;
    const void *value = mill_pair_value(map_values->inputs[0]->type, row);
    void *out_value = (char *)step->row + pair->value_at;
    rmq_status status = map_values->as.map(value, out_value, step->task, map_values->ctx);
    if (status != RMQ_OK)
        return user_failed(step, status);
    memcpy(step->row, row, pair->key_type->size_bytes);
    return push_on(&step->out, step->row);
}

static rmq_status push_union(mill_step *step, const void *row)
{
    return push_on(&step->out, row);
}

static rmq_status push_foreach(mill_step *step, const void *row)
{
    const mill_dataset *each = step->dataset;
    rmq_status status = each->as.each(row, step->task, each->ctx);
    return status == RMQ_OK ? RMQ_OK : user_failed(step, status);
}

static mill_emitter *emitter_for_user(mill_step *step)
{
    return step->dataset->op == MILL_OP_FOREACH_PARTITION ? NULL : &step->out;
}

static rmq_status push_partition(mill_step *step, const void *row)
{
    const mill_dataset *dataset = step->dataset;
    rmq_status status = dataset->as.partition.row(step->state, row, emitter_for_user(step),
                                                  step->task, dataset->ctx);
    return status == RMQ_OK ? step->task->status : user_failed(step, status);
}

static rmq_status push_output(mill_step *step, const void *row)
{
    mill_task *task = step->task;
    rmq_status status = mill_block_append(step->block, row, &task->err);
    return status == RMQ_OK ? RMQ_OK : mill_task_failed(task, status, name_of(step));
}

static rmq_status push_write(mill_step *step, const void *row)
{
    return mill_combiner_add(step->combiner, row);
}

static rmq_status (*push_of(const mill_plan_step *step))(mill_step *, const void *)
{
    if (step->kind == MILL_STEP_OUTPUT)
        return push_output;
    if (step->kind == MILL_STEP_WRITE)
        return push_write;
    switch (step->dataset->op) {
    case MILL_OP_MAP:
        return push_map;
    case MILL_OP_FILTER:
        return push_filter;
    case MILL_OP_FLAT_MAP:
        return push_flat_map;
    case MILL_OP_KEY_BY:
        return push_key_by;
    case MILL_OP_MAP_VALUES:
        return push_map_values;
    case MILL_OP_FOREACH:
        return push_foreach;
    case MILL_OP_PARTITION:
    case MILL_OP_FOREACH_PARTITION:
        return push_partition;
    case MILL_OP_UNION:
    case MILL_OP_SOURCE:
    case MILL_OP_BOUND:
    case MILL_OP_REDUCE:
        break;
    }
    return push_union;
}

static bool has_partition_fns(const mill_step *step)
{
    return step->plan->kind == MILL_STEP_OP && (step->dataset->op == MILL_OP_PARTITION ||
                                                step->dataset->op == MILL_OP_FOREACH_PARTITION);
}

/* What the step needs of its own. */
static rmq_status step_equip(mill_step *step)
{
    mill_task *task = step->task;
    rmq_status status = RMQ_OK;
    if (step->plan->kind == MILL_STEP_OP) {
        step->row = mill_arena_calloc(&task->memory, 1, step->dataset->type->size_bytes);
        if (step->row == NULL)
            return mill_task_nomem(task, name_of(step));
    } else if (step->plan->kind == MILL_STEP_OUTPUT) {
        status = mill_block_new(task->control->context->blocks, step->dataset->type, &step->block,
                                &task->err);
    } else if (step->plan->kind == MILL_STEP_WRITE) {
        step->combiner = mill_arena_calloc(&task->memory, 1, sizeof(*step->combiner));
        if (step->combiner == NULL)
            return mill_task_nomem(task, name_of(step));
        mill_combiner_init(step->combiner, task, step->dataset,
                           (mill_combine_split){.n_blocks = step->dataset->n_partitions});
    }
    return status == RMQ_OK ? RMQ_OK : mill_task_failed(task, status, name_of(step));
}

static rmq_status step_connect(mill_pipeline *pipeline, mill_step *step)
{
    mill_task *task = pipeline->task;
    const mill_plan_step *plan = step->plan;
    bool is_leaf = plan->kind == MILL_STEP_LEAF;
    step->out = (mill_emitter){.is_leaf = is_leaf, .is_outer = is_leaf, .task = task};
    step->out.steps = mill_arena_calloc(&task->memory, plan->n_consumers, sizeof(mill_step *));
    if (step->out.steps == NULL)
        return mill_task_nomem(task, NULL);
    step->out.n_steps = plan->n_consumers;
    for (uint32_t i = 0; i < plan->n_consumers; i++)
        step->out.steps[i] = &pipeline->steps[plan->consumers[i]];
    return RMQ_OK;
}

static rmq_status partition_begin(mill_step *step)
{
    const mill_partition_fns *fns = &step->dataset->as.partition;
    step->begun = true;
    if (fns->begin == NULL)
        return RMQ_OK;
    step->out.is_outer = true;
    rmq_status status =
        fns->begin(&step->state, emitter_for_user(step), step->task, step->dataset->ctx);
    step->out.is_outer = false;
    mill_arena_reset(&step->task->scratch);
    return status == RMQ_OK ? step->task->status : user_failed(step, status);
}

rmq_status mill_pipeline_begin(mill_pipeline *pipeline, mill_task *task)
{
    const mill_plan_leaf *leaf = task->leaf;
    *pipeline = (mill_pipeline){.task = task};
    pipeline->steps = mill_arena_calloc(&task->memory, leaf->n_steps, sizeof(mill_step));
    if (pipeline->steps == NULL)
        return mill_task_nomem(task, NULL);
    pipeline->n_steps = leaf->n_steps;
    for (uint32_t i = 0; i < leaf->n_steps; i++) {
        mill_step *step = &pipeline->steps[i];
        *step = (mill_step){.plan = &leaf->steps[i],
                            .dataset = leaf->steps[i].dataset,
                            .task = task,
                            .push = push_of(&leaf->steps[i])};
    }
    rmq_status status = RMQ_OK;
    for (uint32_t i = 0; status == RMQ_OK && i < leaf->n_steps; i++) {
        status = step_connect(pipeline, &pipeline->steps[i]);
        if (status == RMQ_OK)
            status = step_equip(&pipeline->steps[i]);
    }
    for (uint32_t i = leaf->n_steps; status == RMQ_OK && i > 0; i--)
        if (has_partition_fns(&pipeline->steps[i - 1]))
            status = partition_begin(&pipeline->steps[i - 1]);
    return status;
}

mill_emitter *mill_pipeline_root(mill_pipeline *pipeline)
{
    return &pipeline->steps[0].out;
}

static rmq_status partition_end(mill_step *step)
{
    const mill_partition_fns *fns = &step->dataset->as.partition;
    if (fns->end == NULL)
        return RMQ_OK;
    step->out.is_outer = true;
    rmq_status status =
        fns->end(step->state, emitter_for_user(step), step->task, step->dataset->ctx);
    step->out.is_outer = false;
    mill_arena_reset(&step->task->scratch);
    return status == RMQ_OK ? step->task->status : user_failed(step, status);
}

static rmq_status step_end(mill_step *step)
{
    mill_task *task = step->task;
    if (has_partition_fns(step))
        return partition_end(step);
    if (step->plan->kind == MILL_STEP_WRITE)
        return mill_combiner_finish(step->combiner);
    if (step->plan->kind != MILL_STEP_OUTPUT)
        return RMQ_OK;
    rmq_status status = mill_block_seal(step->block, &task->err);
    return status == RMQ_OK ? RMQ_OK : mill_task_failed(task, status, name_of(step));
}

rmq_status mill_pipeline_end(mill_pipeline *pipeline)
{
    rmq_status status = RMQ_OK;
    for (uint32_t i = 0; status == RMQ_OK && i < pipeline->n_steps; i++)
        status = step_end(&pipeline->steps[i]);
    return status;
}

mill_block *mill_pipeline_take_output(mill_pipeline *pipeline, uint32_t step)
{
    mill_block *block = pipeline->steps[step].block;
    pipeline->steps[step].block = NULL;
    return block;
}

mill_block *mill_pipeline_take_part(mill_pipeline *pipeline, uint32_t step, uint32_t partition)
{
    mill_combiner *combiner = pipeline->steps[step].combiner;
    mill_block *block = combiner->blocks[partition];
    combiner->blocks[partition] = NULL;
    return block;
}

void mill_pipeline_deinit(mill_pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->n_steps; i++) {
        mill_step *step = &pipeline->steps[i];
        if (step->begun && step->dataset->as.partition.cleanup != NULL)
            step->dataset->as.partition.cleanup(step->state, step->dataset->ctx);
        mill_block_unref(step->block);
        if (step->combiner != NULL)
            mill_combiner_deinit(step->combiner);
    }
    pipeline->n_steps = 0;
}
