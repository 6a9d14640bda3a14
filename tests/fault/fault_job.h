/* A whole job for the fault tests: numbered orders through the engine into SQLite, and its books.
 * Every step of building it may fail, which is told, not asserted. */
#ifndef FAULT_JOB_H
#define FAULT_JOB_H

#include <rmq/base.h>

#include "../engine/stream_support.h"
#include "far_side.h"

#define FAULT_JOB_QUEUES 2
#define FAULT_JOB_ORDERS 40 /* in each queue */
#define FAULT_JOB_KEYS 7

typedef struct fault_job {
    const far_side *far; /* a direct stream from this broker; NULL: numbers from nowhere */
    int n_sinks;         /* 1: its commit decides; 2: output is staged, and commit/N decides */
    bool unsafe;         /* rows are committed apart from the offsets: the books can't balance */
    bool utf16;          /* the databases are there, in UTF-16: each text is converted */
    bool sums;           /* orders and totals by key: an exchange, which spills */
    char *dir;
    fake_topic topic;
} fault_job;

/* Makes the directory. */
void fault_job_begin(fault_job *job);
void fault_job_end(fault_job *job);
/* Runs it until all orders are in, or an error. */
rmq_status fault_job_run(fault_job *job, rmq_error *err);
/* Reads the databases with SQLite alone. `complete`: each order must be in once; else, at most
 * once. What is wrong: fail_once_wrong. */
void fault_job_check(const fault_job *job, bool complete);

#endif
