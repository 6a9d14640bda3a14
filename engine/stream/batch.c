/* A batch: what it owns, what readers of its ranges note in it, and what the user sees of it.
 *
 * A batch is made anew for each number, lives on the driver's thread, and is dropped when it is
 * done or given up: nothing that it holds counts before it is in the checkpoint or in a sink. The
 * steps themselves are in batch_plan.c (what to read) and batch_steps.c (what follows). */
#include "batch.h"

#include <string.h>

rmq_status mill_batch_new(mill_streaming_context *stream, mill_batch **out_batch, rmq_error *err)
{
    mill_batch *batch = rmq_calloc(1, sizeof(*batch));
    if (batch == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a batch");
    batch->outputs = rmq_calloc(stream->n_outputs, sizeof(mill_run_output));
    batch->notes = rmq_calloc(stream->n_sources + 1, sizeof(mill_read_note *));
    if (batch->outputs == NULL || batch->notes == NULL) {
        rmq_free(batch->outputs);
        rmq_free(batch->notes);
        rmq_free(batch);
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a batch");
    }
    pthread_mutex_init(&batch->lock, NULL);
    batch->stream = stream;
    batch->id = stream->state->batch_id + 1;
    batch->begun_ns = mill_stream_now_ns();
    for (size_t i = 0; i < stream->n_outputs; i++)
        batch->outputs[i].dataset = stream->outputs[i].dataset;
    *out_batch = batch;
    return RMQ_OK;
}

void mill_batch_clear_outputs(mill_batch *batch)
{
    mill_run_outputs_clear(batch->outputs, batch->stream->n_outputs);
    mill_state_free(batch->state);
    batch->state = NULL;
    rmq_free(batch->offsets);
    batch->offsets = NULL;
    batch->n_offsets = 0;
}

void mill_batch_free(mill_batch *batch)
{
    if (batch == NULL)
        return;
    mill_batch_clear_outputs(batch);
    for (size_t i = 0; i < batch->stream->n_sources; i++)
        rmq_free(batch->notes[i]);
    rmq_free(batch->notes);
    rmq_free(batch->outputs);
    rmq_free(batch->public_ranges);
    mill_stream_plan_free(batch->plan);
    mill_stream_plan_free(batch->loss);
    pthread_mutex_destroy(&batch->lock);
    rmq_free(batch);
}

/* ---- losses ---- */

/* An empty record in the form of a plan. */
static mill_stream_plan *new_loss(const mill_batch *batch)
{
    const mill_streaming_context *stream = batch->stream;
    mill_stream_plan *loss = mill_stream_plan_new(stream->n_sources);
    if (loss == NULL)
        return NULL;
    loss->batch_id = batch->id;
    loss->epoch = stream->checkpoint->epoch;
    loss->time_ms = batch->plan->time_ms;
    for (size_t i = 0; i < stream->n_sources; i++) {
        loss->sources[i].name = rmq_strdup(stream->sources[i]->name);
        if (loss->sources[i].name == NULL) {
            mill_stream_plan_free(loss);
            return NULL;
        }
    }
    return loss;
}

static rmq_status add_loss(mill_batch *batch, size_t source, const mill_source_read *read,
                           rmq_error *err)
{
    if (batch->loss == NULL)
        batch->loss = new_loss(batch);
    if (batch->loss == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a loss record");
    mill_position from = read->range->from;
    from.next_offset = read->instead_start;
    from.generation++;
    memset(&from.last, 0, sizeof(from.last));
    mill_ranges *ranges = &batch->loss->sources[source].ranges;
    rmq_status status = mill_ranges_add(ranges, &from, err);
    if (status != RMQ_OK)
        return status;
    ranges->items[ranges->count - 1].end_offset = read->instead_end;
    ranges->items[ranges->count - 1].lost = read->n_lost;
    return RMQ_OK;
}

rmq_status mill_batch_note_loss(mill_batch *batch, size_t source, const mill_source_read *read,
                                rmq_error *err)
{
    pthread_mutex_lock(&batch->lock);
    rmq_status status = add_loss(batch, source, read, err);
    pthread_mutex_unlock(&batch->lock);
    return status;
}

bool mill_batch_range_lost(mill_batch *batch, size_t source, const mill_range *range)
{
    rmq_queue queue = mill_position_queue(&range->from);
    pthread_mutex_lock(&batch->lock);
    bool lost = batch->loss != NULL &&
                mill_ranges_find(&batch->loss->sources[source].ranges, &queue) != NULL;
    pthread_mutex_unlock(&batch->lock);
    return lost;
}

/* ---- what the user sees ---- */

rmq_status mill_batch_make_public(mill_batch *batch, rmq_error *err)
{
    const mill_stream_plan *plan = batch->plan;
    size_t count = 0;
    for (size_t s = 0; s < plan->n_sources; s++)
        count += plan->sources[s].ranges.count;
    rmq_free(batch->public_ranges);
    batch->n_public_ranges = 0;
    batch->public_ranges = rmq_calloc(count + 1, sizeof(mill_offset_range));
    if (batch->public_ranges == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for the ranges of a batch");
    for (size_t s = 0; s < plan->n_sources; s++) {
        for (size_t i = 0; i < plan->sources[s].ranges.count; i++) {
            const mill_range *range = &plan->sources[s].ranges.items[i];
            if (range->end_offset == range->from.next_offset)
                continue;
            batch->public_ranges[batch->n_public_ranges++] =
                (mill_offset_range){.source = plan->sources[s].name,
                                    .topic = range->from.topic,
                                    .broker_name = range->from.broker_name,
                                    .queue_id = range->from.queue_id,
                                    .start_offset = range->from.next_offset,
                                    .end_offset = range->end_offset};
        }
    }
    return RMQ_OK;
}

const mill_offset_range *mill_batch_offset_ranges(const mill_batch *batch, size_t *out_count)
{
    *out_count = batch->n_public_ranges;
    return batch->public_ranges;
}

int64_t mill_batch_id(const mill_batch *batch)
{
    return batch->id;
}

int64_t mill_batch_time_ms(const mill_batch *batch)
{
    return batch->plan->time_ms;
}
