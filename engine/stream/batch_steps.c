/* The steps of a batch after its plan.
 *
 * Each is one function that does one thing and is durable when it returns. Their order, which makes
 * the promise, is in driver.c. Two remarks on it stand here, where the code is:
 *
 *   - `state` comes before any sink's commit. Were it written after, a crash in between would leave
 *     a sink that says "N is done" and a state that never saw N.
 *   - A sink is given what belongs to the run that counts: its own try's output where its commit
 *     decides, the decided run's staged output otherwise. Never output of one run with the state of
 *     another. */
#include "batch.h"

#include <stdio.h>
#include <string.h>

rmq_status mill_batch_new_run(mill_batch *batch, rmq_error *err)
{
    mill_batch_clear_outputs(batch);
    mill_stream_plan_free(batch->loss);
    batch->loss = NULL;
    batch->commit_unknown = false;
    return mill_checkpoint_run_name(batch->stream->checkpoint, batch->run, err);
}

/* ---- read ---- */

/* A source that nobody reads would move on without its records having any effect. */
static rmq_status check_all_read(const mill_batch *batch, rmq_error *err)
{
    for (size_t s = 0; s < batch->plan->n_sources; s++) {
        const mill_ranges *ranges = &batch->plan->sources[s].ranges;
        for (size_t i = 0; i < ranges->count; i++) {
            const mill_range *range = &ranges->items[i];
            if (range->end_offset > range->from.next_offset && !batch->notes[s][i].read)
                return rmq_error_set(err, RMQ_INVAL,
                                     "source %s feeds no output: its records would be dropped",
                                     batch->plan->sources[s].name);
        }
    }
    return RMQ_OK;
}

rmq_status mill_batch_read(mill_batch *batch, rmq_error *err)
{
    mill_streaming_context *stream = batch->stream;
    mill_run_options options = {
        .batch_id = batch->id, .batch = batch, .cancelled = &stream->cancelled};
    rmq_status status = mill_run(stream->context, batch->outputs, stream->n_outputs, &options,
                                 &batch->metrics, err);
    if (status == RMQ_OK)
        status = check_all_read(batch, err);
    if (status != RMQ_OK && batch->loss != NULL)
        return RMQ_DATA_LOSS;
    batch->read_ns = mill_stream_now_ns();
    return status;
}

/* ---- state ---- */

static rmq_status add_positions(const mill_batch *batch, size_t source, mill_positions *positions,
                                rmq_error *err)
{
    const mill_ranges *ranges = &batch->plan->sources[source].ranges;
    for (size_t i = 0; i < ranges->count; i++) {
        const mill_range *range = &ranges->items[i];
        const mill_read_note *note = &batch->notes[source][i];
        rmq_status status = mill_positions_copy(positions, &range->from, err);
        if (status != RMQ_OK)
            return status;
        mill_position *position = &positions->items[positions->count - 1];
        position->next_offset = range->end_offset;
        if (note->read && note->last.offset_id[0] != '\0')
            position->last = note->last;
    }
    return RMQ_OK;
}

static uint64_t lost_in(const mill_stream_plan *plan)
{
    uint64_t lost = 0;
    for (size_t s = 0; s < plan->n_sources; s++) {
        for (size_t i = 0; i < plan->sources[s].ranges.count; i++)
            lost += (uint64_t)plan->sources[s].ranges.items[i].lost;
    }
    return lost;
}

static uint64_t rows_out(const mill_batch *batch)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < batch->stream->n_outputs; i++) {
        for (size_t b = 0; b < batch->outputs[i].n_blocks; b++)
            rows += mill_block_rows(batch->outputs[i].blocks[b]);
    }
    return rows;
}

static rmq_status make_state(mill_batch *batch, rmq_error *err)
{
    const mill_state *before = batch->stream->state;
    mill_state *state = mill_state_new(batch->plan->n_sources);
    if (state == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for the state of a batch");
    batch->state = state;
    state->batch_id = batch->id;
    state->epoch = batch->stream->checkpoint->epoch;
    state->time_ms = batch->plan->time_ms;
    memcpy(state->run, batch->run, sizeof(state->run));
    memcpy(state->parent_run, before->run, sizeof(state->parent_run));
    state->input_rows = before->input_rows + batch->metrics.rows_read;
    state->output_rows = before->output_rows + rows_out(batch);
    state->lost = before->lost + lost_in(batch->plan);
    for (size_t i = 0; i < batch->plan->n_sources; i++) {
        state->sources[i].name = rmq_strdup(batch->plan->sources[i].name);
        if (state->sources[i].name == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "out of memory for the state of a batch");
        rmq_status status = add_positions(batch, i, &state->sources[i].positions, err);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

/* The state's positions as sinks take them; borrowed from it. */
static rmq_status make_offsets(mill_batch *batch, rmq_error *err)
{
    const mill_state *state = batch->state;
    size_t count = 0;
    for (size_t s = 0; s < state->n_sources; s++)
        count += state->sources[s].positions.count;
    rmq_free(batch->offsets);
    batch->n_offsets = 0;
    batch->offsets = rmq_calloc(count + 1, sizeof(mill_offset));
    if (batch->offsets == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for the offsets of a batch");
    for (size_t s = 0; s < state->n_sources; s++) {
        for (size_t i = 0; i < state->sources[s].positions.count; i++) {
            const mill_position *position = &state->sources[s].positions.items[i];
            batch->offsets[batch->n_offsets++] =
                (mill_offset){.source = state->sources[s].name,
                              .topic = position->topic,
                              .broker_name = position->broker_name,
                              .queue_id = position->queue_id,
                              .next_offset = position->next_offset};
        }
    }
    return RMQ_OK;
}

static rmq_status stage_output(mill_batch *batch, rmq_error *err)
{
    char *bytes = NULL;
    size_t len = 0;
    rmq_status status = mill_staged_encode(batch, &bytes, &len, err);
    if (status == RMQ_OK)
        status = mill_checkpoint_put_output(batch->stream->checkpoint, batch->id, batch->run,
                                            (rmq_slice){bytes, len}, err);
    rmq_free(bytes);
    return status;
}

rmq_status mill_batch_state(mill_batch *batch, rmq_error *err)
{
    rmq_status status = make_state(batch, err);
    if (status == RMQ_OK)
        status = make_offsets(batch, err);
    if (status == RMQ_OK)
        status = mill_checkpoint_put_state(batch->stream->checkpoint, batch->state, err);
    if (status == RMQ_OK && batch->stream->staged)
        status = stage_output(batch, err);
    return status;
}

/* ---- decide ---- */

static rmq_status missing(const mill_batch *batch, const char *kind, rmq_error *err)
{
    return rmq_error_set(err, RMQ_CORRUPT,
                         "checkpoint %s: commit/%lld names run %s, but %s/%lld.%s is not there; "
                         "put a whole copy of the checkpoint back",
                         batch->stream->config.checkpoint, (long long)batch->id, batch->run, kind,
                         (long long)batch->id, batch->run);
}

rmq_status mill_batch_load_decided(mill_batch *batch, rmq_error *err)
{
    mill_checkpoint *checkpoint = batch->stream->checkpoint;
    char run[MILL_RUN_NAME_BYTES];
    rmq_status status = mill_checkpoint_decided(checkpoint, batch->id, run, err);
    if (status != RMQ_OK)
        return status;
    mill_batch_clear_outputs(batch);
    memcpy(batch->run, run, sizeof(run));
    status = mill_checkpoint_get_state(checkpoint, batch->id, run, &batch->state, err);
    if (status != RMQ_OK)
        return status == RMQ_NOT_FOUND ? missing(batch, "state", err) : status;
    char *bytes = NULL;
    size_t len = 0;
    status = mill_checkpoint_get_output(checkpoint, batch->id, run, &bytes, &len, err);
    if (status == RMQ_OK)
        status = mill_staged_decode(batch, (rmq_slice){bytes, len}, err);
    rmq_free(bytes);
    if (status != RMQ_OK)
        return status == RMQ_NOT_FOUND ? missing(batch, "out", err) : status;
    batch->decided = true;
    return make_offsets(batch, err);
}

rmq_status mill_batch_decide(mill_batch *batch, rmq_error *err)
{
    mill_checkpoint *checkpoint = batch->stream->checkpoint;
    rmq_status status = mill_checkpoint_check_epoch(checkpoint, err);
    if (status != RMQ_OK)
        return status;
    char run[MILL_RUN_NAME_BYTES];
    memcpy(run, batch->run, sizeof(run));
    status = mill_checkpoint_decide(checkpoint, batch->id, run, err);
    if (status != RMQ_OK)
        return status;
    if (strcmp(run, batch->run) == 0) {
        batch->decided = true;
        return RMQ_OK;
    }
    /* Another process decided: its run counts, ours is as if it had never been. */
    return mill_batch_load_decided(batch, err);
}

/* ---- one sink ---- */

/* What `err` says if a sink of the user's fails without saying why. */
static void expect(const mill_batch *batch, const char *step, rmq_error *err)
{
    rmq_error_set(err, RMQ_SINK, "sink %s failed in %s of batch %lld", batch->sink->id, step,
                  (long long)batch->id);
}

static rmq_status settle(rmq_status status, rmq_error *err)
{
    if (status != RMQ_OK && err != NULL)
        err->status = status;
    return status;
}

static mill_sink_batch sink_batch(const mill_batch *batch)
{
    return (mill_sink_batch){.batch_id = batch->id,
                             .epoch = batch->stream->checkpoint->epoch,
                             .time_ms = batch->plan->time_ms,
                             .run = batch->run};
}

rmq_status mill_batch_begin(mill_batch *batch, rmq_error *err)
{
    mill_sink *sink = batch->sink->sink;
    if (sink == NULL)
        return RMQ_OK;
    mill_sink_batch begun = sink_batch(batch);
    expect(batch, "begin", err);
    return settle(sink->vtable.begin(sink->self, &begun, err), err);
}

static rmq_status write_blocks(mill_batch *batch, const mill_run_output *output, uint32_t target,
                               rmq_error *err)
{
    mill_sink *sink = batch->sink->sink;
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < output->n_blocks; i++) {
        mill_rows *rows = NULL;
        status = mill_rows_of_blocks(&output->blocks[i], 1, mill_dataset_type(output->dataset),
                                     &rows, err);
        if (status != RMQ_OK)
            return status;
        expect(batch, "write", err);
        status = settle(sink->vtable.write(sink->self, target, (uint32_t)i, rows, err), err);
        mill_rows_free(rows);
    }
    return status;
}

static rmq_status call_foreach(mill_batch *batch, const mill_run_output *output, rmq_error *err)
{
    mill_context *context = batch->stream->context;
    mill_scope_begin(context);
    mill_dataset *rows = mill_dataset_from_blocks(context, output->blocks, output->n_blocks,
                                                  mill_dataset_type(output->dataset), err);
    rmq_status status = RMQ_NOMEM;
    if (rows != NULL) {
        rmq_error_set(err, RMQ_USER, "the function of %s failed in batch %lld", batch->sink->id,
                      (long long)batch->id);
        status = settle(batch->sink->fn(batch, rows, batch->sink->fn_ctx, err), err);
    }
    mill_scope_end(context);
    return status;
}

rmq_status mill_batch_write(mill_batch *batch, rmq_error *err)
{
    const mill_streaming_context *stream = batch->stream;
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < stream->n_outputs; i++) {
        const mill_stream_output *output = &stream->outputs[i];
        if (&stream->sinks[output->sink] != batch->sink)
            continue;
        status = batch->sink->sink == NULL
                     ? call_foreach(batch, &batch->outputs[i], err)
                     : write_blocks(batch, &batch->outputs[i], output->target, err);
    }
    return status;
}

rmq_status mill_batch_prepare(mill_batch *batch, rmq_error *err)
{
    if (batch->sink->sink == NULL)
        return RMQ_OK;
    expect(batch, "prepare", err);
    return settle(mill_sink_prepare(batch->sink->sink, err), err);
}

rmq_status mill_batch_commit(mill_batch *batch, rmq_error *err)
{
    mill_stream_sink *target = batch->sink;
    rmq_status status = RMQ_OK;
    if (target->sink != NULL) {
        expect(batch, "commit", err);
        mill_sink *sink = target->sink;
        status =
            settle(sink->vtable.commit(sink->self, batch->offsets, batch->n_offsets, err), err);
    }
    batch->commit_unknown = status == RMQ_TIMEOUT;
    if (status == RMQ_FENCED)
        rmq_error_wrap(err, "a newer process took over, batch %lld was refused",
                       (long long)batch->id);
    if (status != RMQ_OK)
        return status;
    target->last_batch_id = batch->id;
    memcpy(target->last_run, batch->run, sizeof(target->last_run));
    return RMQ_OK;
}

/* ---- after the sinks ---- */

rmq_status mill_batch_done(mill_batch *batch, rmq_error *err)
{
    return mill_checkpoint_put_done(batch->stream->checkpoint, batch->id, batch->run, err);
}

rmq_status mill_batch_report(mill_batch *batch, rmq_error *err)
{
    const mill_streaming_context *stream = batch->stream;
    for (size_t i = 0; i < stream->n_sources; i++) {
        const mill_stream_source *source = stream->sources[i];
        const mill_positions *positions = mill_state_positions(batch->state, source->name);
        if (source->vtable->report != NULL && positions != NULL)
            source->vtable->report(source->self, positions);
    }
    (void)err;
    return RMQ_OK;
}

rmq_status mill_batch_forget(mill_batch *batch, rmq_error *err)
{
    mill_checkpoint *checkpoint = batch->stream->checkpoint;
    int64_t retained = batch->stream->config.min_batches_to_retain;
    int64_t floor = batch->id - retained;
    /* A tenth at a time: raising the floor costs a synced file. */
    int64_t step = retained >= 20 ? retained / 10 : 1;
    if (floor < checkpoint->floor + step)
        return RMQ_OK;
    return mill_checkpoint_forget(checkpoint, floor, err);
}
