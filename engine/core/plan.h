/* The plan of a run: which leaves are read, and what each row of a leaf goes through. */
#ifndef MILL_PLAN_H
#define MILL_PLAN_H

#include "arena.h"
#include "lineage.h"
#include "run.h"

typedef enum mill_step_kind {
    MILL_STEP_LEAF,  /* where the rows come from; a leaf's first step, and only that */
    MILL_STEP_OP,    /* the dataset's operation */
    MILL_STEP_WRITE, /* into the exchange of the dataset (a reduce) */
    MILL_STEP_OUTPUT /* rows of the dataset are kept: the run was asked for it */
} mill_step_kind;

/* One thing that is done to rows of a leaf. Steps stand in the order of the graph: a step's
 * consumers come after it. */
typedef struct mill_plan_step {
    mill_step_kind kind;
    mill_dataset *dataset;
    uint32_t *consumers; /* steps of the same leaf */
    uint32_t n_consumers;
    uint32_t target;       /* WRITE: which exchange; OUTPUT: which output */
    uint32_t first_writer; /* WRITE, OUTPUT: the leaf's partition 0 is this writer of the target */
} mill_plan_step;

typedef struct mill_plan_leaf {
    mill_dataset *dataset;
    uint32_t n_partitions;
    uint32_t exchange; /* which one, if it is the reading side of an exchange */
    uint32_t first_task;
    mill_plan_step *steps;
    uint32_t n_steps;
} mill_plan_leaf;

typedef struct mill_plan_exchange {
    uint32_t leaf; /* its reading side */
    uint32_t n_partitions;
    uint32_t n_writers; /* tasks that write to it */
} mill_plan_exchange;

typedef struct mill_plan_output {
    mill_dataset *dataset;
    uint32_t n_writers;
} mill_plan_output;

typedef struct mill_plan {
    mill_arena arena; /* holds all below */
    mill_plan_leaf *leaves;
    uint32_t n_leaves;
    mill_plan_exchange *exchanges;
    uint32_t n_exchanges;
    mill_plan_output *outputs; /* each dataset once, in the order of the graph */
    uint32_t n_outputs;
    uint32_t n_tasks;
} mill_plan;

/* Asks the sources for their partitions (on the calling thread). Free with mill_plan_deinit, also
 * after a failure. Errors: INVAL, NOMEM, and what the sources give. */
RMQ_MUST_CHECK rmq_status mill_plan_init(mill_plan *plan, const mill_run_output *outputs,
                                         size_t n_outputs, void *batch, rmq_error *err);
void mill_plan_deinit(mill_plan *plan);

/* Index into plan->outputs. */
uint32_t mill_plan_output_of(const mill_plan *plan, const mill_dataset *dataset);

#endif
