/* Where a stream stands in each queue: positions, the ranges of a plan, the state after a batch. */
#ifndef MILL_POSITION_H
#define MILL_POSITION_H

#include <mill/sink.h>
#include <rmq/client.h>

/* What is remembered of the last record read from a queue: enough to notice that the topic was made
 * anew or that the broker was rolled back. An empty offset_id: nothing was read yet. */
typedef struct mill_fingerprint {
    char offset_id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    int64_t store_timestamp_ms;
    int64_t queue_offset;
} mill_fingerprint;

/* One queue and the offset that is read next. Owns its strings. */
typedef struct mill_position {
    char *topic;
    char *broker_name;
    int32_t queue_id;
    int32_t generation; /* one more each time data was lost in the queue and skipped */
    int64_t next_offset;
    mill_fingerprint last;
} mill_position;

typedef struct mill_positions {
    mill_position
        *items; /* sorted as rmq_queue_compare does, once mill_positions_sort was called */
    size_t count;
    size_t capacity;
} mill_positions;

/* What a batch reads of one queue: [from.next_offset, end_offset). */
typedef struct mill_range {
    mill_position from;
    int64_t end_offset; /* where the next batch goes on */
    int64_t lost;       /* records skipped before it by on_data_loss = skip, as far as they can be
                           counted */
} mill_range;

typedef struct mill_ranges {
    mill_range *items;
    size_t count;
    size_t capacity;
} mill_ranges;

/* A queue as the client names it, borrowed from the position. */
rmq_queue mill_position_queue(const mill_position *position);

/* Appends a queue (copied); the new item is at items[count - 1]. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status mill_positions_add(mill_positions *positions, const rmq_queue *queue,
                                             int64_t next_offset, rmq_error *err);
/* Appends a copy of `position`. */
RMQ_MUST_CHECK rmq_status mill_positions_copy(mill_positions *positions,
                                              const mill_position *position, rmq_error *err);
void mill_positions_sort(mill_positions *positions);
/* NULL if the queue isn't there. The positions must be sorted. */
const mill_position *mill_positions_find(const mill_positions *positions, const rmq_queue *queue);
void mill_positions_clear(mill_positions *positions);

/* Appends a range that begins at `from` (copied) and is empty: it ends where it begins. */
RMQ_MUST_CHECK rmq_status mill_ranges_add(mill_ranges *ranges, const mill_position *from,
                                          rmq_error *err);
void mill_ranges_sort(mill_ranges *ranges);
mill_range *mill_ranges_find(const mill_ranges *ranges, const rmq_queue *queue);
void mill_ranges_clear(mill_ranges *ranges);

/* ---- the plan of a batch: plan/N ---- */

typedef struct mill_stream_plan_source {
    char *name;
    mill_ranges ranges;
} mill_stream_plan_source;

typedef struct mill_stream_plan {
    int64_t batch_id;
    int64_t epoch;
    int64_t time_ms;
    mill_stream_plan_source *sources;
    size_t n_sources;
} mill_stream_plan;

/* An empty plan of `n_sources` sources without names; NULL: no memory. */
mill_stream_plan *mill_stream_plan_new(size_t n_sources);
void mill_stream_plan_free(mill_stream_plan *plan);

/* ---- the state after a batch: state/N.RUN ---- */

typedef struct mill_state_source {
    char *name;
    mill_positions positions;
} mill_state_source;

typedef struct mill_state {
    int64_t batch_id; /* 0: before the first batch */
    int64_t epoch;
    int64_t time_ms; /* of the batch's plan */
    char run[MILL_RUN_NAME_BYTES];
    char parent_run[MILL_RUN_NAME_BYTES]; /* the run of the batch before, empty at the first */
    uint64_t input_rows;                  /* since the stream began, as the next two */
    uint64_t output_rows;
    uint64_t lost;
    mill_state_source *sources;
    size_t n_sources;
} mill_state;

mill_state *mill_state_new(size_t n_sources);
void mill_state_free(mill_state *state);
/* The positions of source `name`, NULL if the state has none of it. */
const mill_positions *mill_state_positions(const mill_state *state, const char *name);

#endif
