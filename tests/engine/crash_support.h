/* For tests that kill a job: the job as a child process into SQLite databases, and the books that
 * tell what took effect how often. */
#ifndef CRASH_SUPPORT_H
#define CRASH_SUPPORT_H

#include "stream_support.h"

#include <sys/types.h>

#define CRASH_SINKS 2
#define CRASH_EACH 8    /* records of each queue */
#define CRASH_BATCHES 4 /* that they make */

/* A job of CRASH_EACH records a queue, two of each queue a batch. */
typedef struct crash_job {
    const char *dir; /* holds the checkpoint "checkpoint" and the databases "0.db", "1.db" */
    int n_sinks;     /* 1: its commit decides; 2: output is staged */
    bool unsafe_offsets;
    bool take_over;
    const char *crash_at; /* MILLRACE_CRASH_AT of the child; NULL: none */
    const char *stop_at;
    const char *namesrv; /* NULL: the numbers come from nowhere; else from a broker's topic, with */
    const char *topic;   /* CRASH_EACH numbered messages in each queue */
} crash_job;

/* How a child ended. */
typedef struct crash_end {
    bool killed;       /* by SIGKILL */
    rmq_status status; /* else: the job's */
    rmq_error err;
} crash_end;

/* Starts the job in a child. crash_wait waits for its end, crash_wait_stopped until it has stopped
 * itself. */
typedef struct crash_child {
    pid_t pid;
    int result_fd;
} crash_child;
crash_child crash_start(const crash_job *job);
crash_end crash_wait(crash_child child);
void crash_wait_stopped(crash_child child);
crash_end crash_run(const crash_job *job);

/* What the databases hold, counted by order. */
typedef struct crash_books {
    int lost;
    int twice;
} crash_books;
crash_books crash_check(const crash_job *job);
/* The last batch that any of the databases has; 0: none. */
int crash_last_batch(const crash_job *job);
/* Fails the test unless each order took effect once. */
void crash_must_balance(const crash_job *job, const char *when);

#endif
