/* Start: who owns the checkpoint, what the sinks have, where to go on.
 *
 *   lock, meta.json      a second process, another job or a newer format is told so, and nothing is
 *                        changed
 *   sources connect      a job that can't run must not fence one that does
 *   epoch/K              from here on this process owns the checkpoint
 *   open each sink       raises the epoch there: what an older process still has under way is
 *                        refused from now on. Only then is what the sink says final
 *   plans are looked for only now: one may have come from a process that was fenced a moment ago,
 *                        right before it committed what it planned
 *   the lowest batch     the stream goes on from the state of the run that counts of that batch
 *
 * The run that counts is the one that the sink names (one transactional sink), or that commit/N
 * names. Sink and checkpoint must agree: one that was restored from a copy, deleted or swapped
 * would lead to records that take effect twice or never, and stops the start instead, with what to
 * do.
 *
 * The same function runs again, on the driver's thread, after a commit of unknown outcome. */
#include <assert.h>
#include <string.h>

#include "../core/run.h"
#include "position_json.h"
#include "streaming_context.h"

/* ---- whose checkpoint ---- */

/* What makes a job another one if it changes. */
static void describe_job(const mill_streaming_context *stream, rmq_json_writer *writer)
{
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "sources");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < stream->n_sources; i++) {
        const mill_stream_source *source = stream->sources[i];
        rmq_json_begin_object(writer);
        mill_json_put_text(writer, "name", source->name);
        mill_json_put_text(writer, "kind", source->vtable->kind);
        source->vtable->describe(source->self, writer);
        rmq_json_end_object(writer);
    }
    rmq_json_end_array(writer);
    rmq_json_key(writer, "outputs");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < stream->n_outputs; i++) {
        const mill_stream_output *output = &stream->outputs[i];
        rmq_json_begin_object(writer);
        mill_json_put_text(writer, "sink", stream->sinks[output->sink].id);
        mill_json_put_int64(writer, "target", output->target);
        mill_json_put_text(writer, "type", mill_dataset_type(output->dataset)->name);
        rmq_json_end_object(writer);
    }
    rmq_json_end_array(writer);
    rmq_json_end_object(writer);
}

/* Compares with what the checkpoint says of its job; at a first start NOT_FOUND or, if `create`,
 * says it there. */
static rmq_status check_job(mill_streaming_context *stream, bool create, rmq_error *err)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    describe_job(stream, &writer);
    rmq_slice job;
    rmq_status status = rmq_json_writer_finish(&writer, &job);
    if (status != RMQ_OK)
        rmq_error_set(err, status, "out of memory for the description of a job");
    else
        status =
            create ? mill_checkpoint_meta(stream->checkpoint, stream->config.name, job, err)
                   : mill_checkpoint_check_meta(stream->checkpoint, stream->config.name, job, err);
    rmq_json_writer_deinit(&writer);
    return status;
}

rmq_status mill_stream_open(mill_streaming_context *stream, rmq_error *err)
{
    rmq_status status = mill_checkpoint_open(stream->config.checkpoint, stream->config.take_over,
                                             &stream->checkpoint, err);
    if (status == RMQ_OK)
        status = check_job(stream, false, err);
    bool first = status == RMQ_NOT_FOUND && stream->checkpoint != NULL;
    if (first)
        status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < stream->n_sources; i++)
        status = stream->sources[i]->vtable->open(stream->sources[i]->self, err);
    /* Only now: a topic that was mistyped is none that the checkpoint must stand by. */
    if (status == RMQ_OK && first)
        status = check_job(stream, true, err);
    return status;
}

/* ---- what the sinks have ---- */

/* What opening the sinks has told. */
typedef struct survey {
    int64_t last_plan, last_done;
    int64_t lowest; /* last batch that every sink has */
    const mill_stream_sink *lowest_sink;
    mill_state *adopted; /* positions of a sink of an older checkpoint */
} survey;

static bool may_adopt(const mill_streaming_context *stream, const survey *found)
{
    return stream->config.adopt_sink && found->last_plan == 0 && stream->checkpoint->floor == 0;
}

static rmq_status add_adopted(mill_state *state, const mill_offset *offset, rmq_error *err)
{
    for (size_t i = 0; i < state->n_sources; i++) {
        if (strcmp(state->sources[i].name, offset->source) != 0)
            continue;
        rmq_queue queue = {offset->topic, offset->broker_name, offset->queue_id};
        return mill_positions_add(&state->sources[i].positions, &queue, offset->next_offset, err);
    }
    return rmq_error_set(err, RMQ_INVAL,
                         "the sink holds offsets of source %s, which this job doesn't have: it "
                         "can't be adopted",
                         offset->source);
}

static mill_state *new_state(const mill_streaming_context *stream)
{
    mill_state *state = mill_state_new(stream->n_sources);
    for (size_t i = 0; state != NULL && i < stream->n_sources; i++) {
        state->sources[i].name = rmq_strdup(stream->sources[i]->name);
        if (state->sources[i].name == NULL) {
            mill_state_free(state);
            return NULL;
        }
    }
    if (state != NULL)
        state->epoch = stream->checkpoint->epoch;
    return state;
}

/* Builds the state of the batch that a sink of an older checkpoint had last. */
static rmq_status adopt(mill_streaming_context *stream, survey *found,
                        const mill_sink_position *position, rmq_error *err)
{
    if (found->adopted != NULL && (found->adopted->batch_id != position->batch_id ||
                                   strcmp(found->adopted->run, position->run) != 0))
        return rmq_error_set(err, RMQ_INVAL,
                             "the sinks stopped at different batches (%lld and %lld): they can't "
                             "be adopted together; put a copy of their checkpoint back",
                             (long long)found->adopted->batch_id, (long long)position->batch_id);
    if (found->adopted != NULL)
        return RMQ_OK;
    mill_state *state = new_state(stream);
    if (state == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for the state of a stream");
    found->adopted = state;
    state->batch_id = position->batch_id;
    memcpy(state->run, position->run, sizeof(state->run));
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < position->n_offsets; i++)
        status = add_adopted(state, &position->offsets[i], err);
    for (size_t i = 0; i < state->n_sources; i++)
        mill_positions_sort(&state->sources[i].positions);
    return status;
}

static rmq_status open_sink(mill_streaming_context *stream, mill_stream_sink *target, survey *found,
                            rmq_error *err)
{
    mill_sink_position position = {0};
    if (target->sink != NULL) {
        mill_sink_owner owner = {.stream_id = stream->checkpoint->stream_id,
                                 .job_name = stream->config.name,
                                 .sink_id = target->id,
                                 .epoch = stream->checkpoint->epoch,
                                 .adopt = may_adopt(stream, found)};
        rmq_error_set(err, RMQ_SINK, "sink %s can't be opened", target->id);
        rmq_status status = target->sink->vtable.open(target->sink->self, &owner, &position, err);
        if (status != RMQ_OK) {
            err->status = status;
            if (status == RMQ_FENCED)
                rmq_error_wrap(err,
                               "a newer process took over, or checkpoint %s is an older copy; "
                               "then put the newest copy back, or start a new checkpoint from "
                               "the sink's offsets (adopt_sink, --adopt-sink)",
                               stream->config.checkpoint);
            return status;
        }
    }
    if (!target->transactional) {
        target->last_run[0] = '\0';
        return RMQ_OK; /* what it has is what done/N says */
    }
    target->last_batch_id = position.batch_id;
    memcpy(target->last_run, position.run, sizeof(target->last_run));
    target->last_run[sizeof(target->last_run) - 1] = '\0';
    if (position.batch_id > 0 && may_adopt(stream, found))
        return adopt(stream, found, &position, err);
    return RMQ_OK;
}

/* ---- do sink and checkpoint agree? ---- */

static rmq_status check_sink(const mill_streaming_context *stream, const mill_stream_sink *target,
                             const survey *found, rmq_error *err)
{
    const mill_checkpoint *checkpoint = stream->checkpoint;
    const char *address = stream->config.checkpoint;
    long long last = target->last_batch_id;
    if (last > found->last_plan)
        return rmq_error_set(
            err, RMQ_CORRUPT,
            "sink %s has batch %lld, checkpoint %s only %lld: the checkpoint is an "
            "older copy or was deleted; put the newest copy back, or start a new "
            "checkpoint from the sink's offsets (adopt_sink, --adopt-sink)",
            target->id, last, address, (long long)found->last_plan);
    if (checkpoint->floor > 0 && last <= checkpoint->floor)
        return rmq_error_set(err, RMQ_CORRUPT,
                             "sink %s has batch %lld, checkpoint %s has forgotten all up to %lld: "
                             "the sink is an older copy; put a newer copy of it back, or start a "
                             "new checkpoint from the sink's offsets (adopt_sink, --adopt-sink)",
                             target->id, last, address, (long long)checkpoint->floor);
    if (!target->transactional || last == 0)
        return RMQ_OK;
    char run[MILL_RUN_NAME_BYTES];
    memcpy(run, target->last_run, sizeof(run));
    rmq_status status =
        stream->staged ? mill_checkpoint_decided(checkpoint, last, run, err) : RMQ_OK;
    mill_state *state = NULL;
    if (status == RMQ_OK && strcmp(run, target->last_run) == 0)
        status = mill_checkpoint_get_state(checkpoint, last, run, &state, err);
    else if (status == RMQ_OK)
        status = RMQ_NOT_FOUND;
    mill_state_free(state);
    if (status == RMQ_NOT_FOUND)
        return rmq_error_set(err, RMQ_CORRUPT,
                             "sink %s has run %s of batch %lld, which checkpoint %s lacks: one of "
                             "them is another copy; put both back from the same time, or start a "
                             "new checkpoint from the sink's offsets (adopt_sink, --adopt-sink)",
                             target->id, target->last_run, last, address);
    return status;
}

static rmq_status look_for_plans(const mill_streaming_context *stream, survey *found,
                                 rmq_error *err)
{
    rmq_status status = mill_checkpoint_last_plan(stream->checkpoint, &found->last_plan, err);
    if (status == RMQ_OK)
        status = mill_checkpoint_last_done(stream->checkpoint, &found->last_done, err);
    if (found->last_plan < found->last_done)
        found->last_plan = found->last_done; /* what a checkpoint adopted has no plan */
    return status;
}

static rmq_status survey_sinks(mill_streaming_context *stream, survey *found, rmq_error *err)
{
    rmq_status status = look_for_plans(stream, found, err); /* is there anything to adopt for? */
    for (size_t i = 0; status == RMQ_OK && i < stream->n_sinks; i++)
        status = open_sink(stream, &stream->sinks[i], found, err);
    if (status == RMQ_OK)
        status = look_for_plans(stream, found, err);
    if (status != RMQ_OK)
        return status;
    found->lowest = INT64_MAX;
    for (size_t i = 0; i < stream->n_sinks; i++) {
        mill_stream_sink *target = &stream->sinks[i];
        if (!target->transactional)
            target->last_batch_id =
                found->adopted != NULL ? found->adopted->batch_id : found->last_done;
        if (target->last_batch_id < found->lowest) {
            found->lowest = target->last_batch_id;
            found->lowest_sink = target;
        }
    }
    return RMQ_OK;
}

/* ---- where to go on ---- */

/* Writes what was adopted as the state of the batch that the sink has, so that it is found like any
 * other from now on. */
static rmq_status begin_adopted(mill_streaming_context *stream, survey *found, rmq_error *err)
{
    mill_state *state = found->adopted;
    for (size_t i = 0; i < stream->n_sinks; i++) {
        const mill_stream_sink *target = &stream->sinks[i];
        if (target->last_batch_id != state->batch_id)
            return rmq_error_set(err, RMQ_INVAL,
                                 "sink %s has batch %lld, another sink of the job %lld: they can't "
                                 "be adopted together",
                                 target->id, (long long)target->last_batch_id,
                                 (long long)state->batch_id);
    }
    mill_context_log(stream->context, RMQ_LOG_WARN, "stream",
                     "%s: a new checkpoint goes on after batch %lld of the sink",
                     stream->config.name, (long long)state->batch_id);
    rmq_status status = mill_checkpoint_put_state(stream->checkpoint, state, err);
    if (status == RMQ_EXISTS)
        status = RMQ_OK;
    char run[MILL_RUN_NAME_BYTES];
    memcpy(run, state->run, sizeof(run));
    if (status == RMQ_OK && stream->staged)
        status = mill_checkpoint_decide(stream->checkpoint, state->batch_id, run, err);
    if (status == RMQ_OK)
        status = mill_checkpoint_put_done(stream->checkpoint, state->batch_id, state->run, err);
    if (status == RMQ_OK && state->batch_id > 1)
        status = mill_checkpoint_raise_floor(stream->checkpoint, state->batch_id - 1, err);
    if (status != RMQ_OK)
        return status;
    stream->state = state;
    found->adopted = NULL;
    return RMQ_OK;
}

/* The stream's beginning: what the first start found is kept, so that a process that dies before
 * the first batch doesn't begin somewhere else ("latest" would have moved on). */
static rmq_status begin_first(mill_streaming_context *stream, const survey *found, rmq_error *err)
{
    rmq_status status =
        mill_checkpoint_get_state(stream->checkpoint, 0, MILL_START_RUN, &stream->state, err);
    if (status != RMQ_NOT_FOUND)
        return status;
    if (found->last_plan > 0)
        return rmq_error_set(err, RMQ_CORRUPT,
                             "checkpoint %s has plans but no state/0.%s: put a whole copy of it "
                             "back",
                             stream->config.checkpoint, MILL_START_RUN);
    mill_state *state = new_state(stream);
    if (state == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for the state of a stream");
    memcpy(state->run, MILL_START_RUN, sizeof(MILL_START_RUN));
    status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < stream->n_sources; i++) {
        const mill_stream_source *source = stream->sources[i];
        status = source->vtable->start(source->self, &state->sources[i].positions, err);
        mill_positions_sort(&state->sources[i].positions);
    }
    if (status == RMQ_OK)
        status = mill_checkpoint_put_state(stream->checkpoint, state, err);
    if (status == RMQ_EXISTS) {
        mill_state_free(state);
        return mill_checkpoint_get_state(stream->checkpoint, 0, MILL_START_RUN, &stream->state,
                                         err);
    }
    if (status != RMQ_OK)
        mill_state_free(state);
    else
        stream->state = state;
    return status;
}

static rmq_status begin_after(mill_streaming_context *stream, const survey *found, rmq_error *err)
{
    char run[MILL_RUN_NAME_BYTES];
    memcpy(run, found->lowest_sink->last_run, sizeof(run));
    rmq_status status = RMQ_OK;
    if (stream->staged)
        status = mill_checkpoint_decided(stream->checkpoint, found->lowest, run, err);
    if (status == RMQ_OK)
        status =
            mill_checkpoint_get_state(stream->checkpoint, found->lowest, run, &stream->state, err);
    if (status == RMQ_NOT_FOUND) {
        rmq_error_set(err, RMQ_CORRUPT,
                      "checkpoint %s lacks the state of batch %lld: put a whole copy of it back",
                      stream->config.checkpoint, (long long)found->lowest);
        return RMQ_CORRUPT;
    }
    if (status == RMQ_OK && found->last_done < found->lowest)
        status = mill_checkpoint_put_done(stream->checkpoint, found->lowest, run, err);
    return status;
}

rmq_status mill_stream_ask_why(const mill_streaming_context *stream, rmq_status status,
                               rmq_error *err)
{
    rmq_error newer = {0};
    if (status != RMQ_CORRUPT || stream->checkpoint->epoch == 0 ||
        mill_checkpoint_check_epoch(stream->checkpoint, &newer) != RMQ_FENCED)
        return status;
    *err = newer;
    return RMQ_FENCED;
}

rmq_status mill_stream_recover(mill_streaming_context *stream, rmq_error *err)
{
    survey found = {0};
    rmq_status status = mill_checkpoint_next_epoch(stream->checkpoint, err);
    if (status == RMQ_OK)
        status = survey_sinks(stream, &found, err);
    if (status == RMQ_OK && found.adopted == NULL) {
        for (size_t i = 0; status == RMQ_OK && i < stream->n_sinks; i++)
            status = check_sink(stream, &stream->sinks[i], &found, err);
    }
    if (status == RMQ_OK) {
        mill_state_free(stream->state);
        stream->state = NULL;
        if (found.adopted != NULL)
            status = begin_adopted(stream, &found, err);
        else if (found.lowest == 0)
            status = begin_first(stream, &found, err);
        else
            status = begin_after(stream, &found, err);
    }
    mill_state_free(found.adopted);
    if (status != RMQ_OK)
        return mill_stream_ask_why(stream, status, err);
    assert(stream->state != NULL);
    stream->planned_until = found.last_plan;
    mill_context_log(stream->context, RMQ_LOG_INFO, "stream",
                     "%s: epoch %lld, going on after batch %lld", stream->config.name,
                     (long long)stream->checkpoint->epoch, (long long)stream->state->batch_id);
    return RMQ_OK;
}
