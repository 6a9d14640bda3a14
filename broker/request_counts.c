/* Counts requests by code, for tests that ask whether (and how often) a client sent something.
 * A client uses a dozen codes, so a search through an array is as fast as anything. */
#include "request_counts.h"

void rmq_dev_request_counts_add(rmq_dev_request_counts *counts, int32_t code)
{
    counts->total++;
    for (size_t i = 0; i < counts->n_codes; i++) {
        if (counts->codes[i].code == code) {
            counts->codes[i].count++;
            return;
        }
    }
    if (counts->n_codes == RMQ_DEV_COUNTED_CODES)
        return;
    counts->codes[counts->n_codes].code = code;
    counts->codes[counts->n_codes].count = 1;
    counts->n_codes++;
}

uint64_t rmq_dev_request_counts_get(const rmq_dev_request_counts *counts, int32_t code)
{
    if (code == 0)
        return counts->total;
    for (size_t i = 0; i < counts->n_codes; i++) {
        if (counts->codes[i].code == code)
            return counts->codes[i].count;
    }
    return 0;
}
