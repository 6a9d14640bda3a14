/* The first step of a batch: which records it has.
 *
 * A plan is made once. If the process dies after it, the next one finds plan/N and reads the same
 * records at the same batch time; if two processes plan N at once, one comes second and takes what
 * the other wrote. Planning afresh under a number that exists would let two runs of one batch read
 * different records, and with them batches that overlap or leave gaps.
 *
 * A plan must begin where the state of the batch before it ends: that is checked for what was found
 * as for what was made, since a checkpoint may have been put together from two copies.
 *
 * What a run could not read because the broker has lost it is kept beside the plan (loss/N.K), also
 * put if absent: every later run of the batch leaves out the same. */
#include "batch.h"

#include <string.h>

static rmq_status corrupt_plan(const mill_batch *batch, const char *what, rmq_error *err)
{
    return rmq_error_set(err, RMQ_CORRUPT,
                         "plan/%lld in checkpoint %s doesn't follow state/%lld.%s: %s; it was put "
                         "together from different copies: put one whole copy back",
                         (long long)batch->id, batch->stream->config.checkpoint,
                         (long long)batch->stream->state->batch_id, batch->stream->state->run,
                         what);
}

/* Every queue of the state is in the plan, and goes on where it was, unless a planned loss began a
 * new generation of it. */
static rmq_status check_source(const mill_batch *batch, const mill_stream_plan_source *source,
                               rmq_error *err)
{
    const mill_positions *before = mill_state_positions(batch->stream->state, source->name);
    size_t n_seen = 0;
    for (size_t i = 0; i < source->ranges.count; i++) {
        const mill_position *from = &source->ranges.items[i].from;
        rmq_queue queue = mill_position_queue(from);
        const mill_position *position = mill_positions_find(before, &queue);
        if (position == NULL)
            continue;
        n_seen++;
        if (from->generation < position->generation || (from->generation == position->generation &&
                                                        from->next_offset != position->next_offset))
            return corrupt_plan(batch, "a queue starts at another offset", err);
    }
    if (before != NULL && n_seen != before->count)
        return corrupt_plan(batch, "a queue is missing", err);
    return RMQ_OK;
}

static rmq_status check_plan(const mill_batch *batch, rmq_error *err)
{
    const mill_streaming_context *stream = batch->stream;
    if (batch->plan->n_sources != stream->n_sources)
        return corrupt_plan(batch, "it has other sources", err);
    for (size_t i = 0; i < stream->n_sources; i++) {
        if (strcmp(batch->plan->sources[i].name, stream->sources[i]->name) != 0)
            return corrupt_plan(batch, "it has other sources", err);
        rmq_status status = check_source(batch, &batch->plan->sources[i], err);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

/* ---- making one ---- */

static bool has_work(const mill_ranges *ranges, const mill_positions *before)
{
    for (size_t i = 0; i < ranges->count; i++) {
        const mill_range *range = &ranges->items[i];
        rmq_queue queue = mill_position_queue(&range->from);
        const mill_position *position = mill_positions_find(before, &queue);
        bool moved = position != NULL && position->generation != range->from.generation;
        if (range->end_offset > range->from.next_offset || moved)
            return true;
    }
    return false;
}

static rmq_status ask_sources(mill_batch *batch, mill_stream_plan *plan, bool *out_work,
                              rmq_error *err)
{
    mill_streaming_context *stream = batch->stream;
    bool work = false;
    for (size_t i = 0; i < stream->n_sources; i++) {
        const mill_stream_source *source = stream->sources[i];
        static const mill_positions none = {0};
        const mill_positions *before = mill_state_positions(stream->state, source->name);
        plan->sources[i].name = rmq_strdup(source->name);
        if (plan->sources[i].name == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "out of memory for a plan");
        mill_plan_request request = {.positions = before != NULL ? before : &none,
                                     .interval_ms = stream->config.trigger == MILL_TRIGGER_INTERVAL
                                                        ? stream->config.batch_interval_ms
                                                        : 0,
                                     .bounded =
                                         stream->config.trigger == MILL_TRIGGER_AVAILABLE_NOW};
        mill_plan_offer offer = {.ranges = &plan->sources[i].ranges};
        rmq_status status = source->vtable->plan(source->self, &request, &offer, err);
        if (status != RMQ_OK)
            return status;
        mill_ranges_sort(offer.ranges);
        work = work || has_work(offer.ranges, before);
        batch->lag += offer.lag;
        batch->pending = batch->pending || offer.pending;
    }
    *out_work = work;
    return RMQ_OK;
}

static rmq_status make_plan(mill_batch *batch, rmq_error *err)
{
    mill_streaming_context *stream = batch->stream;
    batch->plan = mill_stream_plan_new(stream->n_sources);
    if (batch->plan == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a plan");
    bool work = false;
    rmq_status status = ask_sources(batch, batch->plan, &work, err);
    if (status != RMQ_OK)
        return status;
    if (!work)
        return rmq_error_set(err, RMQ_AGAIN, "nothing to do");
    int64_t now_ms = rmq_clock_wall_ms();
    batch->plan->batch_id = batch->id;
    batch->plan->epoch = stream->checkpoint->epoch;
    batch->plan->time_ms = now_ms > stream->state->time_ms ? now_ms : stream->state->time_ms;
    status = mill_checkpoint_check_epoch(stream->checkpoint, err);
    if (status != RMQ_OK)
        return status;
    return mill_checkpoint_put_plan(stream->checkpoint, &batch->plan, &batch->again, err);
}

/* ---- losses ---- */

static rmq_status make_notes(mill_batch *batch, rmq_error *err)
{
    for (size_t i = 0; i < batch->plan->n_sources; i++) {
        rmq_free(batch->notes[i]);
        batch->notes[i] =
            rmq_calloc(batch->plan->sources[i].ranges.count + 1, sizeof(mill_read_note));
        if (batch->notes[i] == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "out of memory for a batch");
    }
    return mill_batch_make_public(batch, err);
}

static rmq_status apply_range(const mill_batch *batch, mill_ranges *ranges, const mill_range *loss,
                              rmq_error *err)
{
    rmq_queue queue = mill_position_queue(&loss->from);
    mill_range *range = mill_ranges_find(ranges, &queue);
    if (range == NULL)
        return rmq_error_set(err, RMQ_CORRUPT,
                             "checkpoint %s: a loss record of batch %lld has a queue that its plan "
                             "lacks; put a whole copy of the checkpoint back",
                             batch->stream->config.checkpoint, (long long)batch->id);
    range->from.next_offset = loss->from.next_offset;
    range->from.generation = loss->from.generation;
    range->from.last = loss->from.last;
    range->end_offset = loss->end_offset;
    range->lost += loss->lost;
    return RMQ_OK;
}

static rmq_status apply_loss(mill_batch *batch, const mill_stream_plan *loss, rmq_error *err)
{
    rmq_status status = RMQ_OK;
    for (size_t i = 0; i < loss->n_sources && i < batch->plan->n_sources; i++) {
        const mill_ranges *ranges = &loss->sources[i].ranges;
        for (size_t r = 0; status == RMQ_OK && r < ranges->count; r++)
            status = apply_range(batch, &batch->plan->sources[i].ranges, &ranges->items[r], err);
    }
    return status;
}

static rmq_status load_losses(mill_batch *batch, rmq_error *err)
{
    for (;;) {
        mill_stream_plan *loss = NULL;
        rmq_status status = mill_checkpoint_get_loss(batch->stream->checkpoint, batch->id,
                                                     batch->n_losses + 1, &loss, err);
        if (status == RMQ_NOT_FOUND)
            return RMQ_OK;
        if (status == RMQ_OK)
            status = apply_loss(batch, loss, err);
        mill_stream_plan_free(loss);
        if (status != RMQ_OK)
            return status;
        batch->n_losses++;
    }
}

rmq_status mill_batch_skip_loss(mill_batch *batch, rmq_error *err)
{
    mill_stream_plan *loss = batch->loss;
    batch->loss = NULL;
    for (size_t i = 0; i < loss->n_sources; i++)
        mill_ranges_sort(&loss->sources[i].ranges);
    rmq_status status =
        mill_checkpoint_put_loss(batch->stream->checkpoint, batch->n_losses + 1, &loss, err);
    if (status == RMQ_OK)
        status = apply_loss(batch, loss, err);
    mill_stream_plan_free(loss);
    if (status != RMQ_OK)
        return status;
    batch->n_losses++;
    return make_notes(batch, err);
}

rmq_status mill_batch_plan(mill_batch *batch, rmq_error *err)
{
    mill_streaming_context *stream = batch->stream;
    rmq_status status = RMQ_NOT_FOUND;
    if (batch->id <= stream->planned_until) {
        status = mill_checkpoint_get_plan(stream->checkpoint, batch->id, &batch->plan, err);
        batch->again = status == RMQ_OK;
    }
    if (status == RMQ_NOT_FOUND)
        status = make_plan(batch, err);
    if (status == RMQ_OK)
        status = check_plan(batch, err);
    if (status == RMQ_OK && batch->again)
        status = load_losses(batch, err);
    if (status == RMQ_OK)
        status = make_notes(batch, err);
    if (status == RMQ_OK && batch->again && stream->staged) {
        status = mill_batch_load_decided(batch, err);
        if (status == RMQ_NOT_FOUND)
            status = RMQ_OK;
    }
    batch->planned_ns = mill_stream_now_ns();
    return status;
}
