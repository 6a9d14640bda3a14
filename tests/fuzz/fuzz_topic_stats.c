/* The offsets of a topic's queues, a map with objects as keys.
 *
 * Line coverage by the corpus alone: topic_stats.c 98 %. */
#include "../../proto/route.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmq_topic_stat *stats;
    size_t count;
    rmq_error err;
    rmq_slice body = {(const char *)data, size};
    if (rmq_topic_stats_decode(body, &stats, &count, &err) != RMQ_OK)
        return 0;
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(stats[i].broker_name != NULL && stats[i].topic != NULL);
    rmq_topic_stats_free(stats, count);
    return 0;
}
