/* A batch on its way from plan to done, and the steps of its life. */
#ifndef MILL_BATCH_H
#define MILL_BATCH_H

#include <pthread.h>

#include "../core/run.h"
#include "source.h"
#include "streaming_context.h"

struct mill_batch {
    mill_streaming_context *stream;
    int64_t id;
    char run[MILL_RUN_NAME_BYTES]; /* of the present try, or the decided one */
    bool again;                    /* the plan was found, not made */
    bool decided;                  /* commit/N names `run`; its state and output are loaded */
    mill_stream_plan *plan;        /* with what was lost already taken out */
    uint64_t lag;
    bool pending;             /* with no plan: a source expects more, though not now */
    uint32_t n_losses;        /* loss/N.1 ... that are applied to `plan` */
    mill_read_note **notes;   /* by source, then by range */
    mill_run_output *outputs; /* as many as the stream has */
    mill_run_metrics metrics;
    mill_state *state; /* after this batch */
    mill_offset *offsets;
    size_t n_offsets;
    mill_offset_range *public_ranges;
    size_t n_public_ranges;
    mill_stream_sink *sink; /* the one that begin, write, prepare and commit are about */
    bool commit_unknown;    /* the last commit ended in TIMEOUT */
    int64_t begun_ns, planned_ns, read_ns, committing_ns;

    pthread_mutex_t lock;   /* guards what follows: several tasks may lose data at once */
    mill_stream_plan *loss; /* ranges to be read instead, found in this try; NULL: none */
};

/* A batch that follows the stream's state, with nothing in it. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status mill_batch_new(mill_streaming_context *stream, mill_batch **out_batch,
                                         rmq_error *err);
void mill_batch_free(mill_batch *batch); /* accepts NULL */

/* Notes a range that a task found lost. Thread: any worker. */
RMQ_MUST_CHECK rmq_status mill_batch_note_loss(mill_batch *batch, size_t source,
                                               const mill_source_read *read, rmq_error *err);
/* True if that range was noted in this try. */
bool mill_batch_range_lost(mill_batch *batch, size_t source, const mill_range *range);

/* Drops what a try has made: output, state, offsets. */
void mill_batch_clear_outputs(mill_batch *batch);
/* Fills what mill_batch_offset_ranges gives. */
RMQ_MUST_CHECK rmq_status mill_batch_make_public(mill_batch *batch, rmq_error *err);

/* ---- steps; each is durable when it returns. Thread: the driver's ---- */

/* AGAIN: there is nothing to do. */
rmq_status mill_batch_plan(mill_batch *batch, rmq_error *err);
/* DATA_LOSS with batch->loss set: mill_batch_skip_loss, then a new try. */
rmq_status mill_batch_read(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_begin(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_write(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_prepare(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_state(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_decide(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_commit(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_done(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_report(mill_batch *batch, rmq_error *err);
rmq_status mill_batch_forget(mill_batch *batch, rmq_error *err);

/* Begins a try: drops what the last one has left, takes a new name. */
RMQ_MUST_CHECK rmq_status mill_batch_new_run(mill_batch *batch, rmq_error *err);
/* Writes loss/N.K and takes it out of the plan. */
RMQ_MUST_CHECK rmq_status mill_batch_skip_loss(mill_batch *batch, rmq_error *err);
/* Loads state and staged output of the run that commit/N names; NOT_FOUND: N is not decided. */
RMQ_MUST_CHECK rmq_status mill_batch_load_decided(mill_batch *batch, rmq_error *err);

/* ---- staged output (staged_output.c) ---- */

RMQ_MUST_CHECK rmq_status mill_staged_encode(const mill_batch *batch, char **out_bytes,
                                             size_t *out_len, rmq_error *err);
/* Fills batch->outputs. */
RMQ_MUST_CHECK rmq_status mill_staged_decode(mill_batch *batch, rmq_slice bytes, rmq_error *err);

/* ---- progress (progress.c) ---- */

void mill_batch_tell(const mill_batch *batch);

#endif
