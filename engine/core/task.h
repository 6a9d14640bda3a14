/* A task: one try of one partition of one leaf. */
#ifndef MILL_TASK_H
#define MILL_TASK_H

#include <stdatomic.h>

#include "arena.h"
#include "plan.h"

typedef struct mill_step mill_step;

/* What all tasks of a run look at. */
typedef struct mill_run_control {
    mill_context *context;
    int64_t batch_id;
    void *batch;
    const bool *cancelled; /* may be NULL */
    atomic_bool stop;      /* the run is being given up */
} mill_run_control;

/* Where rows go: to all of its steps, one after the other. */
struct mill_emitter {
    mill_step **steps;
    uint32_t n_steps;
    bool is_leaf;  /* each row is counted, and the scratch memory dropped after it */
    bool is_outer; /* begin or end of a partition function is running: its rows come from no row, so
                      what is done to them drops its scratch memory, too */
    mill_task *task;
};

struct mill_task {
    mill_run_control *control;
    const mill_plan_leaf *leaf;
    uint32_t partition;
    uint32_t attempt;
    mill_arena scratch; /* of the leaf's row */
    mill_arena memory;  /* of the task */
    mill_arena *kept;   /* what mill_task_keep takes from: `memory`, or that of an accumulator */
    rmq_status status;  /* the first failure; no row is pushed any more */
    rmq_error err;
    const char *failed_at; /* the operation, NULL: the leaf */
    uint64_t n_rows;       /* that the leaf emitted */
    void *note;
};

/* Notes the first failure and gives it back; `at` is the operation. A failure that was noted
 * before, by mill_task_fail or further down, stays. A user's function may return any status: what
 * it says is USER, unless memory ran out. */
rmq_status mill_task_user_failed(mill_task *task, rmq_status status, const char *at);
/* A failure of the engine's own or of a source: `task->err` may have been filled by it. */
rmq_status mill_task_failed(mill_task *task, rmq_status status, const char *at);
rmq_status mill_task_nomem(mill_task *task, const char *at);
/* OK, or the task is failed with CANCELLED. */
rmq_status mill_task_poll(mill_task *task);

#endif
