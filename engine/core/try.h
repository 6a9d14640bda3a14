/* One try of a task, from its leaf to its blocks. */
#ifndef MILL_TRY_H
#define MILL_TRY_H

#include "block.h"
#include "plan.h"
#include "task.h"

/* What a try is about. */
typedef struct mill_try {
    mill_run_control *control;
    const mill_plan_leaf *leaf;
    uint32_t partition;
    uint32_t attempt;
    mill_block *const *blocks; /* of this partition, if the leaf reads an exchange; NULL: no rows */
    uint32_t n_blocks;
} mill_try;

/* Where the result goes, only if the try succeeds. Called on the worker, under no lock, once for
 * each OUTPUT and each partition of each WRITE; `take_block` may be NULL where there are no rows.
 */
typedef void (*mill_try_keep_fn)(void *ctx, const mill_plan_step *step, uint32_t part,
                                 mill_block *take_block);

typedef struct mill_try_result {
    rmq_status (*task_done)(void *ctx, uint32_t leaf_id, uint32_t partition, void *note);
    void *task_done_ctx;
    mill_try_keep_fn keep;
    void *keep_ctx;
    uint64_t n_rows; /* out: rows of the leaf, if it succeeded */
} mill_try_result;

/* Runs the try. On failure `err` (not NULL) says where, which partition and what. */
RMQ_MUST_CHECK rmq_status mill_try_run(const mill_try *try, mill_try_result *result,
                                       rmq_error *err);

/* Whether the same again may do better. What was cancelled, refused or lost stays so, and memory
 * does not come back by asking again at once. */
bool mill_try_may_repeat(rmq_status status);

#endif
