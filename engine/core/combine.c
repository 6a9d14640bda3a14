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
 * In front of an exchange a large table of keys that hardly repeat is all cost: each pair is copied
 * into it only to be written to a block. So when the table has become large and has folded less
 * than every second row, it is frozen: what it has goes on being folded (some keys may be
 * frequent), other pairs go straight to their block, and the reading side folds them.
 *
 * Slots are taken by the high bits of the hash times an odd constant, since all keys of an exchange
 * partition share hash % n. User hashes are mixed first: a hash may be as weak as the key. */
#include "combine.h"

#include <assert.h>

#include "block_reader.h"
#include "context.h"
#include "hash.h"
#include "key_order.h"
#include "type.h"

#define FIRST_LOG2_SLOTS 6
#define SPREAD UINT64_C(0x9e3779b97f4a7c15)
#define SMALLEST_LIMIT_BYTES ((size_t)16 << 10)
#define LEVEL_BITS 4
#define LOG2_SLOTS_TO_FREEZE 14 /* about what a core's own cache holds */
#define EMIT_AHEAD 8            /* pairs that are fetched into the cache before they are emitted */

static const char at[] = "reduce_by_key";

/* Half of the context's memory is shared by the workers, and by the tables of a task: that of
 * the exchange it reads, and one for each that it writes to. */
static size_t limit_of(const mill_task *task)
{
    const mill_context *context = task->control->context;
    size_t n_tables = task->leaf->exchange != UINT32_MAX;
    for (uint32_t i = 0; i < task->leaf->n_steps; i++)
        n_tables += task->leaf->steps[i].kind == MILL_STEP_WRITE;
    assert(n_tables > 0);
    size_t limit_bytes =
        mill_block_store_cap(context->blocks) / 2 / mill_context_workers(context) / n_tables;
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

static uint32_t block_of(const mill_combiner *combiner, uint64_t hash)
{
    const mill_combine_split *split = &combiner->split;
    if (split->level == 0)
        return (uint32_t)(hash % split->n_blocks);
    return (uint32_t)(hash >> (64 - LEVEL_BITS * split->level)) % split->n_blocks;
}

static rmq_status block_write(mill_combiner *combiner, uint64_t hash, const void *row)
{
    mill_task *task = combiner->task;
    if (combiner->blocks == NULL)
        combiner->blocks = rmq_calloc(combiner->split.n_blocks, sizeof(mill_block *));
    if (combiner->blocks == NULL)
        return mill_task_nomem(task, at);
    mill_block **block = &combiner->blocks[block_of(combiner, hash)];
    rmq_status status = RMQ_OK;
    if (*block == NULL)
        status = mill_block_new(task->control->context->blocks, combiner->reduce->type, block,
                                &task->err);
    if (status == RMQ_OK)
        status = mill_block_append(*block, row, &task->err);
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
    combiner->n_added = 0;
    combiner->frozen = false;
}

rmq_status mill_combiner_flush(mill_combiner *combiner)
{
    if (combiner->blocks == NULL)
        combiner->blocks = rmq_calloc(combiner->split.n_blocks, sizeof(mill_block *));
    if (combiner->blocks == NULL)
        return mill_task_nomem(combiner->task, at);
    for (mill_combined *combined = combiner->first; combined != NULL; combined = combined->next) {
        rmq_status status = block_write(combiner, combined->hash, combined->row);
        if (status != RMQ_OK)
            return status;
    }
    table_free(combiner);
    return RMQ_OK;
}

/* Makes room for one more, or freezes the table. */
static rmq_status make_room(mill_combiner *combiner)
{
    if (combiner->n_combined < n_slots(combiner) / 4 * 3)
        return RMQ_OK;
    bool is_large = combiner->log2_slots >= LOG2_SLOTS_TO_FREEZE;
    if (combiner->split.level == 0 && is_large && combiner->n_added / 2 < combiner->n_combined)
        combiner->frozen = true;
    return combiner->frozen ? RMQ_OK : slots_grow(combiner);
}

static rmq_status add_hashed(mill_combiner *combiner, uint64_t hash, const void *row)
{
    const mill_type *key = combiner->reduce->type->key_type;
    rmq_status status = combiner->frozen ? RMQ_OK : make_room(combiner);
    if (status != RMQ_OK)
        return status;
    assert(combiner->slots != NULL);
    size_t mask = n_slots(combiner) - 1;
    mill_combine_slot *slot = &combiner->slots[slot_of(combiner, hash)];
    while (slot->combined != NULL &&
           (slot->hash != hash || !key->equal(key, slot->combined->row, row)))
        slot = &combiner->slots[((size_t)(slot - combiner->slots) + 1) & mask];
    if (slot->combined != NULL)
        status = fold(combiner, slot->combined, row);
    else if (combiner->frozen)
        return block_write(combiner, hash, row);
    else
        status = insert(combiner, slot, hash, row);
    combiner->n_added++;
    if (status != RMQ_OK)
        return status;
    if (combiner->arena.used_bytes + n_slots(combiner) * sizeof(*slot) > combiner->limit_bytes)
        return mill_combiner_flush(combiner);
    return RMQ_OK;
}

static uint64_t hash_of(const mill_combiner *combiner, const void *row)
{
    const mill_type *key = combiner->reduce->type->key_type;
    return mill_hash_mix(key->hash(key, row));
}

rmq_status mill_combiner_add(mill_combiner *combiner, const void *row)
{
    return add_hashed(combiner, hash_of(combiner, row), row);
}

/* First where each row's slot is, then what stands there, then the work: by then memory that is far
 * away has arrived. Whether the guesses stay right does not matter. */
rmq_status mill_combiner_add_group(mill_combiner *combiner, const void *const *rows, size_t n_rows)
{
    uint64_t hashes[MILL_READ_GROUP];
    assert(n_rows <= MILL_READ_GROUP);
    for (size_t i = 0; i < n_rows; i++) {
        hashes[i] = hash_of(combiner, rows[i]);
        if (combiner->slots != NULL)
            __builtin_prefetch(&combiner->slots[slot_of(combiner, hashes[i])]);
    }
    for (size_t i = 0; combiner->slots != NULL && i < n_rows; i++) {
        const mill_combine_slot *slot = &combiner->slots[slot_of(combiner, hashes[i])];
        if (slot->combined != NULL)
            __builtin_prefetch(slot->combined->row);
    }
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < n_rows; i++)
        status = add_hashed(combiner, hashes[i], rows[i]);
    return status;
}

/* Makes the slots a dense, sorted list; they are no table any more. */
static rmq_status slots_sort(mill_combiner *combiner)
{
    mill_combine_slot *spare = rmq_malloc(combiner->n_combined * sizeof(*spare));
    if (spare == NULL)
        return mill_task_nomem(combiner->task, at);
    mill_combine_slot *next = combiner->slots;
    for (mill_combined *combined = combiner->first; combined != NULL; combined = combined->next)
        *next++ = (mill_combine_slot){.combined = combined};
    mill_key_order_sort(combiner->reduce->type->key_type, combiner->slots, spare,
                        combiner->n_combined);
    rmq_free(spare);
    return RMQ_OK;
}

static rmq_status put_row(mill_combiner *combiner, mill_emitter *out, mill_block *run,
                          const void *row)
{
    if (run == NULL)
        return mill_emit(out, row);
    rmq_status status = mill_block_append(run, row, &combiner->task->err);
    return status == RMQ_OK ? RMQ_OK : mill_task_failed(combiner->task, status, at);
}

rmq_status mill_combiner_emit(mill_combiner *combiner, mill_emitter *out, mill_block *run)
{
    rmq_status status = RMQ_OK;
    if (combiner->n_combined == 0)
        return RMQ_OK;
    if (!mill_key_order_exists(combiner->reduce->type->key_type)) {
        mill_combined *combined = combiner->first;
        for (; status == RMQ_OK && combined != NULL; combined = combined->next)
            status = put_row(combiner, out, run, combined->row);
        return status;
    }
    status = slots_sort(combiner);
    for (size_t i = 0; status == RMQ_OK && i < combiner->n_combined; i++) {
        if (i + EMIT_AHEAD < combiner->n_combined)
            __builtin_prefetch(combiner->slots[i + EMIT_AHEAD].combined->row);
        status = put_row(combiner, out, run, combiner->slots[i].combined->row);
    }
    return status;
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
