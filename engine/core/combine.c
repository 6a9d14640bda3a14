/* The table of a reduce: open addressing with linear probing, pairs in an arena.
 *
 *     slots:  [ . ][h3|*][ . ][h1|*][h2|*]        at most 3/4 full
 *                    |          |     |
 *     arena:         pair       pair  pair  ...   chained in the order they first came
 *
 * Keys and values are deep copies; what the reduce function keeps for an accumulator comes from the
 * same arena. So the arena's size is the truth about the table's memory: when it passes the limit,
 * all pairs go to blocks, partly folded, and the table starts anew. That is right because folding
 * is associative and commutative: the reading side folds the parts together.
 *
 * Slots are taken by the high bits of the hash times an odd constant, since all keys of an exchange
 * partition share hash % n. User hashes are mixed first: a hash may be as weak as the key. */
#include "combine.h"

#include <assert.h>

#include "context.h"
#include "hash.h"
#include "type.h"

#define FIRST_LOG2_SLOTS 6
#define SPREAD UINT64_C(0x9e3779b97f4a7c15)
#define SMALLEST_LIMIT_BYTES ((size_t)16 << 10)
#define LEVEL_BITS 4

static const char at[] = "reduce_by_key";

/* A quarter of the context's memory is shared by the workers, and by the tables of a task: that of
 * the exchange it reads, and one for each that it writes to. */
static size_t limit_of(const mill_task *task)
{
    const mill_context *context = task->control->context;
    size_t n_tables = task->leaf->exchange != UINT32_MAX;
    for (uint32_t i = 0; i < task->leaf->n_steps; i++)
        n_tables += task->leaf->steps[i].kind == MILL_STEP_WRITE;
    assert(n_tables > 0);
    size_t limit_bytes =
        mill_block_store_cap(context->blocks) / 4 / mill_context_workers(context) / n_tables;
    return limit_bytes < SMALLEST_LIMIT_BYTES ? SMALLEST_LIMIT_BYTES : limit_bytes;
}

void mill_combiner_init(mill_combiner *combiner, mill_task *task, const mill_dataset *reduce,
                        mill_combine_split split)
{
    *combiner = (mill_combiner){
        .task = task, .reduce = reduce, .split = split, .limit_bytes = limit_of(task)};
}

static size_t n_slots(const mill_combiner *combiner)
{
    return combiner->log2_slots == 0 ? 0 : (size_t)1 << combiner->log2_slots;
}

static size_t slot_of(const mill_combiner *combiner, uint64_t hash)
{
    return (size_t)(hash * SPREAD >> (64 - combiner->log2_slots));
}

static rmq_status slots_grow(mill_combiner *combiner)
{
    uint32_t log2_slots = combiner->log2_slots == 0 ? FIRST_LOG2_SLOTS : combiner->log2_slots + 1;
    size_t n_larger = (size_t)1 << log2_slots;
    mill_combine_slot *slots = rmq_calloc(n_larger, sizeof(*slots));
    if (slots == NULL)
        return mill_task_nomem(combiner->task, at);
    combiner->log2_slots = log2_slots;
    for (mill_combined *combined = combiner->first; combined != NULL; combined = combined->next) {
        size_t i = slot_of(combiner, combined->hash);
        while (slots[i].combined != NULL)
            i = (i + 1) & (n_larger - 1);
        slots[i] = (mill_combine_slot){.hash = combined->hash, .combined = combined};
    }
    rmq_free(combiner->slots);
    combiner->slots = slots;
    return RMQ_OK;
}

static rmq_status insert(mill_combiner *combiner, mill_combine_slot *slot, uint64_t hash,
                         const void *row)
{
    const mill_type *type = combiner->reduce->type;
    mill_combined *combined =
        mill_arena_alloc(&combiner->arena, sizeof(*combined) + type->size_bytes);
    if (combined == NULL)
        return mill_task_nomem(combiner->task, at);
    rmq_status status = mill_type_copy(type, row, combined->row, &combiner->arena);
    if (status != RMQ_OK)
        return mill_task_user_failed(combiner->task, status, at);
    combined->next = NULL;
    combined->hash = hash;
    if (combiner->first == NULL)
        combiner->first = combined;
    else
        combiner->last->next = combined;
    combiner->last = combined;
    combiner->n_combined++;
    *slot = (mill_combine_slot){.hash = hash, .combined = combined};
    return RMQ_OK;
}

static rmq_status fold(mill_combiner *combiner, mill_combined *combined, const void *row)
{
    const mill_dataset *reduce = combiner->reduce;
    mill_task *task = combiner->task;
    size_t value_at = reduce->type->value_at;
    mill_arena *kept = task->kept;
    task->kept = &combiner->arena;
    rmq_status status = reduce->as.reduce(combined->row + value_at, (const char *)row + value_at,
                                          task, reduce->ctx);
    task->kept = kept;
    return status == RMQ_OK ? RMQ_OK : mill_task_user_failed(task, status, at);
}

rmq_status mill_combiner_add(mill_combiner *combiner, const void *row)
{
    const mill_type *key = combiner->reduce->type->key_type;
    if (combiner->n_combined >= n_slots(combiner) / 4 * 3) {
        rmq_status status = slots_grow(combiner);
        if (status != RMQ_OK)
            return status;
    }
    uint64_t hash = mill_hash_mix(key->hash(key, row));
    size_t mask = n_slots(combiner) - 1;
    mill_combine_slot *slot = &combiner->slots[slot_of(combiner, hash)];
    while (slot->combined != NULL &&
           (slot->hash != hash || !key->equal(key, slot->combined->row, row)))
        slot = &combiner->slots[((size_t)(slot - combiner->slots) + 1) & mask];
    rmq_status status = slot->combined == NULL ? insert(combiner, slot, hash, row)
                                               : fold(combiner, slot->combined, row);
    if (status != RMQ_OK)
        return status;
    if (combiner->arena.used_bytes + n_slots(combiner) * sizeof(*slot) > combiner->limit_bytes)
        return mill_combiner_flush(combiner);
    return RMQ_OK;
}

static uint32_t block_of(const mill_combiner *combiner, uint64_t hash)
{
    const mill_combine_split *split = &combiner->split;
    if (split->level == 0)
        return (uint32_t)(hash % split->n_blocks);
    return (uint32_t)(hash >> (64 - LEVEL_BITS * split->level)) % split->n_blocks;
}

static rmq_status combined_write(mill_combiner *combiner, const mill_combined *combined)
{
    mill_task *task = combiner->task;
    mill_block **block = &combiner->blocks[block_of(combiner, combined->hash)];
    rmq_status status = RMQ_OK;
    if (*block == NULL)
        status = mill_block_new(task->control->context->blocks, combiner->reduce->type, block,
                                &task->err);
    if (status == RMQ_OK)
        status = mill_block_append(*block, combined->row, &task->err);
    return status == RMQ_OK ? RMQ_OK : mill_task_failed(task, status, at);
}

static void table_free(mill_combiner *combiner)
{
    mill_arena_deinit(&combiner->arena);
    rmq_free(combiner->slots);
    combiner->slots = NULL;
    combiner->log2_slots = 0;
    combiner->first = NULL;
    combiner->last = NULL;
    combiner->n_combined = 0;
}

rmq_status mill_combiner_flush(mill_combiner *combiner)
{
    if (combiner->blocks == NULL)
        combiner->blocks = rmq_calloc(combiner->split.n_blocks, sizeof(mill_block *));
    if (combiner->blocks == NULL)
        return mill_task_nomem(combiner->task, at);
    for (mill_combined *combined = combiner->first; combined != NULL; combined = combined->next) {
        rmq_status status = combined_write(combiner, combined);
        if (status != RMQ_OK)
            return status;
    }
    table_free(combiner);
    return RMQ_OK;
}

rmq_status mill_combiner_finish(mill_combiner *combiner)
{
    rmq_status status = mill_combiner_flush(combiner);
    for (uint32_t i = 0; status == RMQ_OK && i < combiner->split.n_blocks; i++) {
        if (combiner->blocks[i] == NULL)
            continue;
        status = mill_block_seal(combiner->blocks[i], &combiner->task->err);
        if (status != RMQ_OK)
            status = mill_task_failed(combiner->task, status, at);
    }
    return status;
}

void mill_combiner_deinit(mill_combiner *combiner)
{
    table_free(combiner);
    for (uint32_t i = 0; combiner->blocks != NULL && i < combiner->split.n_blocks; i++)
        mill_block_unref(combiner->blocks[i]);
    rmq_free(combiner->blocks);
    combiner->blocks = NULL;
}
