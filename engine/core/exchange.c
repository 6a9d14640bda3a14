/* The reading side of a reduce: folds what all writers sent to one partition.
 *
 * As long as the keys fit the table's limit they are folded in memory and emitted in the order of
 * the keys, or, where their type has none, in which they first came; both are always the same for
 * the same input. When they don't, the combiner flushes: the partition is then split by other bits
 * of the hash into 16 blocks (which spill as all blocks do), and each is folded for itself, the
 * same way, up to MOST_LEVELS deep. What still doesn't fit then are a few keys with giant values or
 * colliding hashes, which no split can help: the last level has no limit. */
#include "exchange.h"

#include "block_reader.h"
#include "combine.h"

#define MOST_LEVELS 6
#define BLOCKS_PER_LEVEL 16

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

static rmq_status read_level(mill_task *task, mill_block *const *blocks, uint32_t n_blocks,
                             mill_emitter *out, uint32_t level)
{
    mill_combiner combiner;
    mill_combine_split split = {.level = level, .n_blocks = BLOCKS_PER_LEVEL};
    mill_combiner_init(&combiner, task, task->leaf->dataset, split);
    if (level == MOST_LEVELS)
        combiner.limit_bytes = SIZE_MAX;
    rmq_status status = fold_all(&combiner, blocks, n_blocks);
    bool fits = combiner.blocks == NULL;
    if (status == RMQ_OK && !fits)
        status = mill_combiner_finish(&combiner);
    if (status == RMQ_OK)
        status = mill_combiner_emit(&combiner, out);
    for (uint32_t i = 0; status == RMQ_OK && !fits && i < BLOCKS_PER_LEVEL; i++) {
        if (combiner.blocks[i] == NULL)
            continue;
        status = read_level(task, &combiner.blocks[i], 1, out, level + 1);
        mill_block_unref(combiner.blocks[i]);
        combiner.blocks[i] = NULL;
    }
    mill_combiner_deinit(&combiner);
    return status;
}

rmq_status mill_exchange_read(mill_task *task, mill_block *const *blocks, uint32_t n_blocks,
                              mill_emitter *out)
{
    return read_level(task, blocks, n_blocks, out, 1);
}
