/* How many requests of each code came. */
#ifndef RMQ_DEV_REQUEST_COUNTS_H
#define RMQ_DEV_REQUEST_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#define RMQ_DEV_COUNTED_CODES 256

/* Codes beyond the first 256 different ones only count in the total: a client can't make it grow.
 */
typedef struct rmq_dev_request_counts {
    struct {
        int32_t code;
        uint64_t count;
    } codes[RMQ_DEV_COUNTED_CODES];
    size_t n_codes;
    uint64_t total;
} rmq_dev_request_counts;

void rmq_dev_request_counts_add(rmq_dev_request_counts *counts, int32_t code);
/* 0: all. */
uint64_t rmq_dev_request_counts_get(const rmq_dev_request_counts *counts, int32_t code);

#endif
