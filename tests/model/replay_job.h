/* The job that follows a trace, and the places where its rows go: files, and memory that outlives
 * the processes which write there. */
#ifndef REPLAY_JOB_H
#define REPLAY_JOB_H

#include "../engine/stream_support.h"

#define REPLAY_BATCHES 3
#define REPLAY_EACH (2 * REPLAY_BATCHES) /* records of each queue */
#define REPLAY_ORDERS (FAKE_QUEUES * REPLAY_EACH)
#define REPLAY_RUNS 64 /* names of runs in a trace: 1 to 63 */
#define REPLAY_SINKS 2
#define REPLAY_UNDER_WAY 8

typedef enum replay_kind {
    REPLAY_SQLITE,
    REPLAY_TABLE,
    REPLAY_CALLBACK,
    REPLAY_FOREACH
} replay_kind;

/* What the scheduler tells a process that waits before a step. */
typedef enum replay_answer {
    ANSWER_COMES,
    ANSWER_IN_LOST,
    ANSWER_OUT_LOST,
    ANSWER_LATE,
    ANSWER_LATE_KILLED
} replay_answer;
typedef struct replay_order {
    int take;             /* plan: so many records of each queue */
    int run;              /* read: the number that the job's function writes into each row */
    replay_answer answer; /* commit */
} replay_order;

/* What a process tells: it is at a point (and waits for an order), or at its end. */
typedef struct replay_report {
    bool ended;
    char point[24];
    int64_t batch_id;
    rmq_status status; /* of the job that ended */
    char text[256];
} replay_report;

/* counts[order][run]: how often a row of that run took effect. */
typedef uint16_t replay_counts[REPLAY_ORDERS][REPLAY_RUNS];

typedef struct replay_commit {
    int64_t epoch, batch_id;
    char run[MILL_RUN_NAME_BYTES];
    int n_rows;
    int64_t rows[REPLAY_ORDERS];
} replay_commit;

/* A sink's place in shared memory. One process moves at a time, so nothing is locked. */
typedef struct replay_place {
    int64_t epoch, last; /* table */
    char run[MILL_RUN_NAME_BYTES];
    replay_counts counts;
    int n_under_way; /* commits that will arrive later, or never */
    replay_commit under_way[REPLAY_UNDER_WAY];
} replay_place;

typedef struct replay_job {
    const char *dir; /* holds "checkpoint", "0.db", "1.db" */
    int n_sinks;
    replay_kind kinds[REPLAY_SINKS];
    replay_place *places; /* shared memory, REPLAY_SINKS of them */
    bool unsafe_offsets;  /* controls: of the databases; */
    bool no_fence;        /* a table takes whatever comes */
} replay_job;

/* Runs the job in this process, reporting to and waiting for orders on `fd`. Does not return. */
_Noreturn void replay_run(const replay_job *job, bool take_over, int fd);

/* A commit arrives at a table: OK, or why it is refused. */
rmq_status replay_deliver(replay_place *place, const replay_commit *commit, bool no_fence);

/* The place of an order among REPLAY_ORDERS, and the run, of a row; false: it is none of ours. */
bool replay_row(int64_t row, int *out_order, int *out_run);

#endif
