/* Percentiles without keeping the values: a count per bucket, the buckets growing with the value.
 *
 * Values below 32 have a bucket each; above, each doubling is cut into 32 steps, so a bucket is at
 * most 1/32 as wide as what it holds, from nanoseconds to years. A percentile is the upper edge of
 * its bucket: never better than the truth. */
#include "histogram.h"

#include <stddef.h>

#define STEPS MILL_HISTOGRAM_STEPS
#define STEPS_LOG 5

static size_t bucket_of(uint64_t value)
{
    if (value < STEPS)
        return (size_t)value;
    unsigned top = 63u - (unsigned)__builtin_clzll(value);
    unsigned shift = top - STEPS_LOG;
    return (size_t)(shift + 1) * STEPS + (size_t)((value >> shift) - STEPS);
}

static int64_t upper_edge(size_t bucket)
{
    if (bucket < STEPS)
        return (int64_t)bucket;
    size_t shift = bucket / STEPS - 1;
    uint64_t next = (uint64_t)(bucket % STEPS + STEPS + 1) << shift;
    return (int64_t)(next - 1);
}

void mill_histogram_add(mill_histogram *histogram, int64_t value, uint64_t times)
{
    if (value < 0)
        value = 0;
    histogram->count += times;
    histogram->buckets[bucket_of((uint64_t)value)] += times;
    if (value > histogram->max)
        histogram->max = value;
}

void mill_histogram_merge(mill_histogram *histogram, const mill_histogram *other)
{
    histogram->count += other->count;
    if (other->max > histogram->max)
        histogram->max = other->max;
    for (size_t i = 0; i < MILL_HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += other->buckets[i];
}

int64_t mill_histogram_at(const mill_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->count * share);
    uint64_t seen = 0;
    if (wanted >= histogram->count)
        return histogram->max;
    for (size_t i = 0; i < MILL_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted)
            return upper_edge(i) < histogram->max ? upper_edge(i) : histogram->max;
    }
    return histogram->max;
}
