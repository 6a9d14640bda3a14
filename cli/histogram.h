/* Counts of durations, for percentiles. */
#ifndef MILL_CLI_HISTOGRAM_H
#define MILL_CLI_HISTOGRAM_H

#include <stdint.h>

#define MILL_HISTOGRAM_STEPS 32 /* buckets per doubling: at most 3 % off */
#define MILL_HISTOGRAM_BUCKETS (MILL_HISTOGRAM_STEPS * 60)

/* Zero it to begin. One thread writes. */
typedef struct mill_histogram {
    uint64_t count;
    int64_t max;
    uint64_t buckets[MILL_HISTOGRAM_BUCKETS];
} mill_histogram;

/* A negative value (a clock that was set back) counts as 0. */
void mill_histogram_add(mill_histogram *histogram, int64_t value, uint64_t times);
void mill_histogram_merge(mill_histogram *histogram, const mill_histogram *other);
/* The value that `share` (0 to 1) of all are at or below, to 3 %; 0 if there are none. */
int64_t mill_histogram_at(const mill_histogram *histogram, double share);

#endif
