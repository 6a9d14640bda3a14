/* What `millrace bench read` and `bench send` share: a window of time, and the report. */
#ifndef MILL_CLI_BENCH_H
#define MILL_CLI_BENCH_H

#include "histogram.h"
#include "options.h"

/* What was used up to a moment. */
typedef struct mill_bench_mark {
    int64_t at_ns;
    double cpu_seconds; /* of this process, all threads */
} mill_bench_mark;
mill_bench_mark mill_bench_now(void);

typedef struct mill_bench_report {
    const char *name; /* "read" */
    const char *latency_of;
    uint64_t messages;
    uint64_t bytes; /* of bodies */
    uint64_t requests;
    double seconds;
    double cpu_seconds;
    const mill_histogram *latency; /* ns */
} mill_bench_report;

/* Prints it, as one JSON object with --json, and gives the exit code. */
int mill_bench_print(const mill_args *args, const mill_bench_report *report);

/* --seconds and --warm-up, in nanoseconds; false after a complaint. */
bool mill_bench_times(const mill_args *args, int64_t *out_seconds_ns, int64_t *out_warm_up_ns);

#endif
