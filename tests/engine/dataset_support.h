/* Small datasets for tests, and looking at what comes out of them. */
#ifndef DATASET_SUPPORT_H
#define DATASET_SUPPORT_H

#include "../support/support.h"

#include <mill/dataset.h>

/* Fails the test; cheap enough for each row (Check writes to its parent at each assertion). */
#define must(call, err)                                                                            \
    do {                                                                                           \
        rmq_status must_status = (call);                                                           \
        if (must_status != RMQ_OK)                                                                 \
            ck_abort_msg("%s: %s: %s", #call, rmq_status_name(must_status), (err)->text);          \
    } while (0)

mill_context *context_make(uint32_t workers, size_t max_memory_bytes);

/* 0 to count - 1. */
mill_dataset *numbers(mill_context *context, int64_t count, uint32_t n_partitions);

typedef struct int64_list {
    int64_t *values;
    size_t count;
} int64_list;

/* All rows (int64) in order; free values with free(). */
int64_list collect_int64(mill_dataset *dataset);
void sort_int64(int64_list list);

/* A pair of int64. */
typedef struct number_pair {
    int64_t key;
    _Alignas(max_align_t) int64_t value;
} number_pair;

typedef struct pair_list {
    number_pair *pairs;
    size_t count;
} pair_list;
/* All rows, in order; and sorted by key, then value. */
pair_list collect_pairs(mill_dataset *dataset);
void sort_pairs(pair_list list);

/* Functions that many tests use; ctx is not looked at unless said. */
rmq_status map_add(const void *row, void *out_row, mill_task *task, void *ctx); /* + *(int64_t *) */
rmq_status key_modulo(const void *row, void *out, mill_task *task, void *ctx);  /* % *(int64_t *) */
rmq_status keep_even(const void *row, bool *out_keep, mill_task *task, void *ctx);
rmq_status reduce_sum(void *accumulator, const void *value, mill_task *task, void *ctx);
rmq_status emit_times(const void *row, mill_emitter *out, mill_task *task, void *ctx); /* row % 4 */

#endif
