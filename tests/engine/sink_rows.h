/* Rows of pairs (text, int64) for the tests of sinks, and a shorthand for a batch. */
#ifndef TEST_SINK_ROWS_H
#define TEST_SINK_ROWS_H

#include "../support/support.h"

#include <mill/sink.h>

#include "sink/sink.h"

typedef struct test_row {
    const char *key;
    int64_t value;
} test_row;

/* A context of one worker and its pair type. */
extern mill_context *test_context;
extern const mill_type *test_pair;
void test_context_set_up(void);
void test_context_tear_down(void);

/* Free with mill_rows_free. */
mill_rows *test_rows_make(const test_row *rows, size_t count);
mill_rows *test_rows_of_slice(rmq_slice key, int64_t value);

/* An owner of stream "stream-1", job "job", sink "sink-1". */
mill_sink_owner test_owner(int64_t epoch);

/* One row in one write, or none: begin, write, prepare. The first failure is returned. */
rmq_status test_run(mill_sink *sink, int64_t batch_id, int64_t epoch, const char *run,
                    const test_row *row, rmq_error *err);
/* test_run, then commit with the offset `next_offset` of queue 0. */
rmq_status test_batch(mill_sink *sink, int64_t batch_id, int64_t epoch, const char *run,
                      const test_row *row, rmq_error *err);

#endif
