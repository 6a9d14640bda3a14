/* Running datasets: what actions and the batch driver call.
 *
 * A run takes several outputs at once and works out the tasks that they need together: each leaf
 * (source or exchange) is read once, and each of its rows is pushed through everything that hangs
 * on it. */
#ifndef MILL_RUN_H
#define MILL_RUN_H

#include <mill/dataset.h>

#include "block.h"

/* What a run produces for one dataset. */
typedef struct mill_run_output {
    mill_dataset *dataset;
    mill_block **blocks; /* out: one per task that ended in this dataset, ordered by (leaf,
                            partition); owned by the run result */
    size_t n_blocks;
} mill_run_output;

typedef struct mill_run_metrics {
    uint64_t rows_read; /* rows that sources emitted, of successful tries */
    uint32_t tasks;
    uint32_t failed_tries;
} mill_run_metrics;

/* Cancelling and binding of one run. */
typedef struct mill_run_options {
    int64_t batch_id;      /* what mill_task_batch_id gives */
    void *batch;           /* given to bound leaves (below) */
    const bool *cancelled; /* polled (atomically) between rows and tasks; may be NULL */
    /* Called on the worker after each try that did well, just before its output counts; anything
     * but OK makes it a failed try. May be NULL. */
    rmq_status (*task_done)(void *ctx, uint32_t leaf_id, uint32_t partition, void *task_note);
    void *task_done_ctx;
} mill_run_options;

/* Runs and waits. Blocks are sealed; free them with mill_run_outputs_clear. On failure no output is
 * left. Retries each task max_task_failures times. Errors: as actions. Thread: any but a worker. */
RMQ_MUST_CHECK rmq_status mill_run(mill_context *context, mill_run_output *outputs,
                                   size_t n_outputs, const mill_run_options *options,
                                   mill_run_metrics *out_metrics, rmq_error *err);
void mill_run_outputs_clear(mill_run_output *outputs, size_t n_outputs);

/* A leaf whose partitions are other ones in each batch: streams make their datasets of it. The
 * functions get the `batch` of the run's options. Such a dataset can't be run without a batch
 * (INVAL). `owner` is any pointer that names who may run it (the streaming context):
 * mill_dataset_owner gives it back for whatever is built upon it. */
typedef struct mill_bound_leaf {
    const char *name;
    rmq_status (*partitions)(void *self, void *batch, uint32_t *out_count, rmq_error *err);
    rmq_status (*read)(void *self, void *batch, uint32_t partition, mill_emitter *out,
                       mill_task *task, rmq_error *err);
} mill_bound_leaf;
mill_dataset *mill_dataset_bound(mill_context *context, void *owner, const mill_bound_leaf *leaf,
                                 void *self, const mill_type *type, rmq_error *err);
void *mill_dataset_owner(const mill_dataset *dataset); /* NULL: a plain dataset */
mill_context *mill_dataset_context(const mill_dataset *dataset);

/* A scope for datasets that live shorter than their context (those of one foreach_batch call): what
 * is made between begin and end on the same thread is freed by end. */
void mill_scope_begin(mill_context *context);
void mill_scope_end(mill_context *context);
/* A dataset over blocks (references taken), one partition per block. */
mill_dataset *mill_dataset_from_blocks(mill_context *context, mill_block *const *blocks,
                                       size_t count, const mill_type *type, rmq_error *err);

/* What task_done is given for this task; NULL if it is never called. */
void mill_task_set_note(mill_task *task, void *note);
/* What task_done calls a leaf. */
uint32_t mill_dataset_id(const mill_dataset *dataset);

/* To be called by a leaf's `read` that emits for long without rows, or waits: true if the run is
 * being given up. */
bool mill_task_cancelled(const mill_task *task);
/* The scratch memory (mill_task_alloc) is dropped after each row that a leaf emits, by mill_emit: a
 * leaf may build its row in it. */

void mill_context_log(mill_context *context, rmq_log_level level, const char *area,
                      const char *format, ...) RMQ_PRINTF(4, 5);

#endif
