/* The reading side of a reduce: folds what all writers sent to one partition.
 *
 * As long as the keys fit the table's limit they are folded in memory and emitted in the order of
 * the keys, or, where their type has none, in which they first came; both are always the same for
 * the same input. When they don't, the combiner flushes: the partition is then split by other bits
 * of the hash into 16 blocks (which spill as all blocks do), and each is folded for itself, the
 * same way, up to MOST_LEVELS deep. What still doesn't fit then are a few keys with giant values or
 * colliding hashes, which no split can help: the last level has no limit.
 *
 * Where keys have an order, what was folded in parts becomes sorted runs (blocks, too), which are
 * merged at the end: a sink that writes a tree would otherwise go through all of it once for each
 * part. Not more than MOST_RUNS at once, since each needs a piece of memory while it is read; a
 * partition of more than that is several sequences, each in order. */
#include "exchange.h"

#include "block_reader.h"
#include "combine.h"
#include "context.h"
#include "key_order.h"
#include "merge.h"

#define MOST_LEVELS 6
#define BLOCKS_PER_LEVEL 16
#define MOST_RUNS 256

typedef struct partition {
    mill_task *task;
    mill_emitter *out;
    bool is_ordered;
    mill_block *runs[MOST_RUNS];
    size_t n_runs;
} partition;

static const char at[] = "reduce_by_key";

static rmq_status fold_block(mill_combiner *combiner, mill_block_reader *reader,
                             const mill_block *block)
{
    mill_task *task = combiner->task;
    rmq_status status = mill_block_reader_start(reader, block, &task->err);
    if (status != RMQ_OK)
        return mill_task_failed(task, status, at);
    for (;;) {
        const void *rows[MILL_READ_GROUP];
        size_t n_rows = 0;
        status = mill_block_reader_next_group(reader, &task->scratch, rows, &n_rows, &task->err);
        if (status == RMQ_NOT_FOUND)
            return RMQ_OK;
        if (status != RMQ_OK)
            return mill_task_failed(task, status, at);
        status = mill_combiner_add_group(combiner, rows, n_rows);
        mill_arena_reset(&task->scratch);
        if (status == RMQ_OK)
            status = mill_task_poll(task);
        if (status != RMQ_OK)
            return status;
    }
}

static rmq_status fold_all(mill_combiner *combiner, mill_block *const *blocks, uint32_t n_blocks)
{
    mill_block_reader reader = {0};
    rmq_status status = RMQ_OK;
    for (uint32_t i = 0; status == RMQ_OK && i < n_blocks; i++)
        if (blocks[i] != NULL)
            status = fold_block(combiner, &reader, blocks[i]);
    mill_block_reader_deinit(&reader);
    return status;
}

static void runs_drop(partition *part)
{
    for (size_t i = 0; i < part->n_runs; i++)
        mill_block_unref(part->runs[i]);
    part->n_runs = 0;
}

static rmq_status runs_emit(partition *part)
{
    rmq_status status = mill_merge_emit(part->task, part->runs, part->n_runs, part->out, at);
    runs_drop(part);
    return status;
}

/* The table's pairs, as one more run. */
static rmq_status run_add(partition *part, mill_combiner *combiner)
{
    mill_task *task = part->task;
    rmq_status status = part->n_runs == MOST_RUNS ? runs_emit(part) : RMQ_OK;
    if (status != RMQ_OK)
        return status;
    mill_block *run = NULL;
    status =
        mill_block_new(task->control->context->blocks, combiner->reduce->type, &run, &task->err);
    if (status != RMQ_OK)
        return mill_task_failed(task, status, at);
    part->runs[part->n_runs++] = run;
    status = mill_combiner_emit(combiner, NULL, run);
    if (status != RMQ_OK)
        return status;
    status = mill_block_seal(run, &task->err);
    return status == RMQ_OK ? RMQ_OK : mill_task_failed(task, status, at);
}

static rmq_status read_level(partition *part, mill_block *const *blocks, uint32_t n_blocks,
                             uint32_t level)
{
    mill_combiner combiner;
    mill_combine_split split = {.level = level, .n_blocks = BLOCKS_PER_LEVEL};
    mill_combiner_init(&combiner, part->task, part->task->leaf->dataset, split);
    if (level == MOST_LEVELS)
        combiner.limit_bytes = SIZE_MAX;
    rmq_status status = fold_all(&combiner, blocks, n_blocks);
    bool fits = combiner.blocks == NULL;
    if (status == RMQ_OK && !fits)
        status = mill_combiner_finish(&combiner);
    else if (status == RMQ_OK && level > 1 && part->is_ordered)
        status = run_add(part, &combiner);
    else if (status == RMQ_OK)
        status = mill_combiner_emit(&combiner, part->out, NULL);
    for (uint32_t i = 0; status == RMQ_OK && !fits && i < BLOCKS_PER_LEVEL; i++) {
        if (combiner.blocks[i] == NULL)
            continue;
        status = read_level(part, &combiner.blocks[i], 1, level + 1);
        mill_block_unref(combiner.blocks[i]);
        combiner.blocks[i] = NULL;
    }
    mill_combiner_deinit(&combiner);
    return status;
}

rmq_status mill_exchange_read(mill_task *task, mill_block *const *blocks, uint32_t n_blocks,
                              mill_emitter *out)
{
    const mill_type *key_type = task->leaf->dataset->type->key_type;
    partition part = {.task = task, .out = out, .is_ordered = mill_key_order_exists(key_type)};
    rmq_status status = read_level(&part, blocks, n_blocks, 1);
    if (status == RMQ_OK)
        status = runs_emit(&part);
    runs_drop(&part);
    return status;
}
