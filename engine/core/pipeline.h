/* The steps of one task: what a leaf's rows are pushed through. */
#ifndef MILL_PIPELINE_H
#define MILL_PIPELINE_H

#include "block.h"
#include "task.h"

typedef struct mill_pipeline {
    mill_task *task;
    mill_step *steps; /* in memory of the task */
    uint32_t n_steps;
} mill_pipeline;

/* Lays out the steps of the task's leaf and begins its partition functions. On failure, too,
 * mill_pipeline_deinit must follow. */
RMQ_MUST_CHECK rmq_status mill_pipeline_begin(mill_pipeline *pipeline, mill_task *task);
/* Where the leaf puts its rows. */
mill_emitter *mill_pipeline_root(mill_pipeline *pipeline);
/* No more rows: ends the partition functions, flushes exchanges, seals the outputs. */
RMQ_MUST_CHECK rmq_status mill_pipeline_end(mill_pipeline *pipeline);
/* What step number `step` made, now the caller's: the block of an OUTPUT, or for a WRITE one block
 * for each partition of the exchange, NULL where there are no rows. */
mill_block *mill_pipeline_take_output(mill_pipeline *pipeline, uint32_t step);
mill_block *mill_pipeline_take_part(mill_pipeline *pipeline, uint32_t step, uint32_t partition);
/* Calls the cleanups; drops what was not taken. */
void mill_pipeline_deinit(mill_pipeline *pipeline);

#endif
