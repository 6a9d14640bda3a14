/* For the tests of the batch driver: a source whose queues are numbers that the test appends, and a
 * sink that fails as told. */
#ifndef STREAM_SUPPORT_H
#define STREAM_SUPPORT_H

#include "dataset_support.h"

#include <mill/stream.h>
#include <stdatomic.h>

/* Puts temporary directories in memory where that is possible (unless $TMPDIR says otherwise): a
 * process that is killed loses nothing that it wrote, so no disk is needed, and syncs cost seconds.
 * To be called before any test. */
void use_memory_for_temp_dirs(void);

/* ---- the source ---- */

#define FAKE_QUEUES 3

/* What a broker would hold. The record at `offset` of queue q is the number fake_number(q, offset).
 */
typedef struct fake_topic {
    _Atomic int64_t max[FAKE_QUEUES];
    _Atomic int64_t min[FAKE_QUEUES];
    _Atomic bool away[FAKE_QUEUES]; /* unknown at planning */
    _Atomic bool blocked;           /* reading waits, as on a broker that died */
    _Atomic int reads;              /* ranges read to their end */
    _Atomic int waiting;            /* reads that wait because of `blocked` */
    int64_t max_per_queue;          /* of a batch; 0: all */
    bool skip_loss;
} fake_topic;

static inline int64_t fake_number(int64_t queue, int64_t offset)
{
    return queue * 1000000 + offset;
}

/* int64 rows. The topic must outlive the stream. */
mill_dataset *fake_stream(mill_streaming_context *stream, fake_topic *topic, rmq_error *err);

/* ---- the sink ---- */

/* What the sink does instead of working, once, at the call of that name. */
typedef enum fake_failure {
    FAKE_NONE = 0,
    FAKE_RETRY,       /* fails, retriable */
    FAKE_FAIL,        /* fails for good */
    FAKE_LOST_AFTER,  /* commit: it is in, but the answer is lost (TIMEOUT) */
    FAKE_LOST_BEFORE, /* commit: it is not in, and the answer is lost */
    FAKE_LOST_ALWAYS, /* commit: the same, from the nth on */
    FAKE_FENCED,      /* refuses */
} fake_failure;

typedef struct fake_table fake_table;
/* A place for rows that outlives its sinks, with the rules of a transactional sink. */
fake_table *fake_table_new(void);
void fake_table_free(fake_table *table);
/* Lets the `nth` call (from 1) of step "open", "begin", "write", "prepare" or "commit" fail. */
void fake_table_fail(fake_table *table, const char *step, int nth, fake_failure failure);
/* Calls `hook` first in each call of a step, on the driver's thread: what another process does at
 * that moment. NULL: nothing. */
void fake_table_hook(fake_table *table, const char *step, void (*hook)(void));
/* How often a step was called, "abort" among them. */
int fake_table_calls(const fake_table *table, const char *step);
/* Sets what the table has last, as if it were another copy. */
void fake_table_set_last(fake_table *table, int64_t batch_id, const char *run);
int64_t fake_table_last(const fake_table *table, char out_run[MILL_RUN_NAME_BYTES]);
/* All rows that are in, in the order in which they came; only while no job runs. */
int64_list fake_table_rows(const fake_table *table);
/* Their number, also while a job runs. */
size_t fake_table_count(const fake_table *table);
mill_sink *fake_sink(fake_table *table);
/* As fake_sink, but says that it is no transaction: writes are in at once. */
mill_sink *fake_plain_sink(fake_table *table);

/* ---- a whole job ---- */

typedef struct fake_job {
    const char *dir;
    mill_trigger trigger;
    fake_topic *topic;
    fake_table *tables[2]; /* NULL: not used */
    mill_sink *sinks[2];   /* the same, any other sinks */
    bool plain[2];
    uint32_t retain;
    bool take_over, adopt;
    int64_t interval_ms;
    mill_progress_fn on_progress;
    void *on_progress_ctx;
    const char *name; /* default "job" */
} fake_job;

typedef struct running {
    mill_context *context;
    mill_streaming_context *stream;
} running;

/* Builds it, not started. The rows are the source's numbers. */
running job_build(const fake_job *job);
void job_free(running *job);
/* Builds, starts, waits for the end, frees; the stream's result. */
rmq_status job_run(const fake_job *job, rmq_error *err);

/* Fails the test unless `table` has each record of the topic below its ends exactly once. */
void check_once(const fake_table *table, const fake_topic *topic);

/* How many files of a kind ("plan") the checkpoint in `dir` has. */
int count_files(const char *dir, const char *kind);

#endif
