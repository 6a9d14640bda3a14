/* Folding pairs by key in bounded memory: both sides of a reduce. */
#ifndef MILL_COMBINE_H
#define MILL_COMBINE_H

#include "block.h"
#include "task.h"

/* A pair in the table; the row stands behind it. */
typedef struct mill_combined {
    struct mill_combined *next; /* in the order of first appearance */
    uint64_t hash;
    _Alignas(max_align_t) char row[];
} mill_combined;

typedef struct mill_combine_slot {
    uint64_t hash;
    mill_combined *combined; /* NULL: free */
} mill_combine_slot;

/* How rows that leave the table are spread over blocks: level 0 is the exchange; the levels above
 * split one partition of it again and again, by other bits of the hash. */
typedef struct mill_combine_split {
    uint32_t level;
    uint32_t n_blocks;
} mill_combine_split;

typedef struct mill_combiner {
    mill_task *task;
    const mill_dataset *reduce;
    mill_combine_split split;
    size_t limit_bytes; /* of arena and slots together */
    mill_arena arena;   /* combined pairs and all they point to */
    mill_combine_slot *slots;
    uint32_t log2_slots; /* 0: none yet */
    size_t n_combined;
    size_t n_added; /* rows, since the table was last empty */
    bool frozen;    /* pairs of keys that are not in the table go to the blocks as they come */
    mill_combined *first;
    mill_combined *last;
    mill_block **blocks; /* NULL until the first flush; then split.n_blocks, NULL where empty */
} mill_combiner;

/* All zero is a combiner that was never begun. */
void mill_combiner_init(mill_combiner *combiner, mill_task *task, const mill_dataset *reduce,
                        mill_combine_split split);
/* Copies the pair or folds it into the one of its key. Flushes if it passes the limit. Failures are
 * noted in the task. */
RMQ_MUST_CHECK rmq_status mill_combiner_add(mill_combiner *combiner, const void *row);
/* The same for several, at most MILL_READ_GROUP; faster, as memory is fetched for all at once. */
RMQ_MUST_CHECK rmq_status mill_combiner_add_group(mill_combiner *combiner, const void *const *rows,
                                                  size_t n_rows);
/* Emits the pairs that are in the table, or, where `run` is not NULL, appends them to that block:
 * in the order of their keys if these have one, else in that of their first appearance. None may be
 * added any more. */
RMQ_MUST_CHECK rmq_status mill_combiner_emit(mill_combiner *combiner, mill_emitter *out,
                                             mill_block *run);
/* Moves all pairs to the blocks and frees the table. */
RMQ_MUST_CHECK rmq_status mill_combiner_flush(mill_combiner *combiner);
/* Flushes and seals the blocks. */
RMQ_MUST_CHECK rmq_status mill_combiner_finish(mill_combiner *combiner);
void mill_combiner_deinit(mill_combiner *combiner);

#endif
