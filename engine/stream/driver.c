/* The driver: one thread that takes a stream from batch to batch.
 *
 *                          one transactional sink            otherwise
 *                          and nothing else
 *   plan                   plan/N, put if absent             the same
 *   read                   run the tasks, output in blocks   the same
 *   begin, write, prepare  inside the sink's transaction
 *   state                  state/N.RUN                       state/N.RUN, out/N.RUN
 *   decide                                                   commit/N, put if absent, names the run
 *   begin ... prepare                                        for each sink that lacks N, from the
 *   commit                 the sink's commit decides         decided run's output
 *   done, report, forget   done/N; group offsets; floor      the same
 *
 * What can go wrong, and what then happens:
 *
 *   a step fails for now   the sink's transaction is given up, and the plan run again under another
 *   (retriable)            name, or, once decided, the same run handed to the sink again; with
 *                          growing pauses, until a stop
 *   commit ends in TIMEOUT nobody knows: a new epoch is taken, so that the lost commit is refused
 * if it still arrives, the sinks are opened again and asked FENCED                 another process
 * owns the checkpoint: stop and say so data lost, and skipped loss/N.K is written, the batch runs
 * again without what is lost anything else          the stream ends with the error; a restart goes
 * on from here
 *
 * These rules were found by exhaustive search over small models; docs/checkpoint.md tells why each
 * is there. */
#include "crash_point.h"

#include "batch.h"

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 10000
/* So many commits in a row whose outcome had to be asked for, and that were not in, end the stream:
 * the sink opens but can't commit, as with a disk that is all but full. */
#define MAX_UNKNOWN_COMMITS 6
/* How long an idle stream that polls waits at least and at most before it asks the brokers again.
 */
#define POLL_FIRST_MS 1
#define POLL_MAX_MS 50

typedef struct step {
    const char *before;
    const char *after;
    rmq_status (*run)(mill_batch *batch, rmq_error *err);
} step;

#define STEP(name)                                                                                 \
    static const step name##_step = {"before-" #name, "after-" #name, mill_batch_##name};
MILL_CRASH_STEPS(STEP)
#undef STEP

static rmq_status take(const step *which, mill_batch *batch, rmq_error *err)
{
    MILL_CRASH_POINT(which->before, batch->id);
    rmq_status status = which->run(batch, err);
    if (status == RMQ_OK)
        MILL_CRASH_POINT(which->after, batch->id);
    return status;
}

static rmq_status take_all(const step *const *steps, size_t count, mill_batch *batch,
                           rmq_error *err)
{
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < count; i++)
        status = take(steps[i], batch, err);
    return status;
}

/* After a failure between begin and commit; a commit of unknown outcome is the next open's. */
static void give_up_sink(mill_batch *batch)
{
    mill_sink *sink = batch->sink->sink;
    if (sink != NULL && !batch->commit_unknown)
        sink->vtable.abort(sink->self);
}

/* ---- one sink whose commit decides ---- */

static rmq_status try_direct(mill_batch *batch, rmq_error *err)
{
    rmq_status status = mill_batch_new_run(batch, err);
    if (status == RMQ_OK)
        status = take(&read_step, batch, err);
    if (status != RMQ_OK)
        return status;
    static const step *const steps[] = {&begin_step, &write_step, &prepare_step, &state_step};
    batch->sink = &batch->stream->sinks[0];
    status = take_all(steps, 4, batch, err);
    batch->committing_ns = mill_stream_now_ns();
    if (status == RMQ_OK)
        status = take(&commit_step, batch, err);
    if (status != RMQ_OK)
        give_up_sink(batch);
    return status;
}

/* ---- staged output and a decision ---- */

static rmq_status give_to_sink(mill_batch *batch, rmq_error *err)
{
    static const step *const steps[] = {&begin_step, &write_step, &prepare_step, &commit_step};
    rmq_status status = take_all(steps, 4, batch, err);
    if (status != RMQ_OK)
        give_up_sink(batch);
    return status;
}

static rmq_status try_staged(mill_batch *batch, rmq_error *err)
{
    rmq_status status = RMQ_OK;
    if (!batch->decided) {
        static const step *const steps[] = {&read_step, &state_step, &decide_step};
        status = mill_batch_new_run(batch, err);
        if (status == RMQ_OK)
            status = take_all(steps, 3, batch, err);
    }
    batch->committing_ns = mill_stream_now_ns();
    mill_streaming_context *stream = batch->stream;
    for (size_t i = 0; status == RMQ_OK && i < stream->n_sinks; i++) {
        batch->sink = &stream->sinks[i];
        if (batch->sink->last_batch_id < batch->id)
            status = give_to_sink(batch, err);
    }
    return status;
}

/* ---- tries ---- */

static bool pause_before_retry(mill_streaming_context *stream, uint32_t n_tries)
{
    int64_t wait_ms = RETRY_FIRST_MS;
    for (uint32_t i = 1; i < n_tries && wait_ms < RETRY_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > RETRY_MAX_MS)
        wait_ms = RETRY_MAX_MS;
    return mill_stream_wait(stream, mill_stream_now_ns() + wait_ms * 1000000);
}

/* Runs a planned batch until its output is in all sinks. CANCELLED: a stop came in between. */
static rmq_status run_planned(mill_batch *batch, rmq_error *err)
{
    mill_streaming_context *stream = batch->stream;
    uint32_t n_tries = 0;
    for (;;) {
        err->retriable = false;
        rmq_status status = stream->staged ? try_staged(batch, err) : try_direct(batch, err);
        if (status == RMQ_OK || batch->commit_unknown)
            return status;
        if (atomic_load(&stream->stop) == MILL_STOP_NOW)
            return RMQ_CANCELLED;
        if (status == RMQ_DATA_LOSS && batch->loss != NULL) {
            status = mill_batch_skip_loss(batch, err);
            if (status != RMQ_OK)
                return status;
            continue;
        }
        if (!err->retriable || status == RMQ_FENCED)
            return status;
        n_tries++;
        mill_context_log(stream->context, RMQ_LOG_WARN, "stream",
                         "%s: batch %lld failed and is tried again (%u): %s", stream->config.name,
                         (long long)batch->id, n_tries, err->text);
        if (!pause_before_retry(stream, n_tries))
            return RMQ_CANCELLED;
    }
}

static rmq_status finish(mill_batch *batch, rmq_error *err)
{
    mill_streaming_context *stream = batch->stream;
    rmq_status status = take(&done_step, batch, err);
    if (status != RMQ_OK)
        return status;
    mill_batch_tell(batch);
    mill_state *before = stream->state;
    status = take(&report_step, batch, err);
    if (status == RMQ_OK)
        status = take(&forget_step, batch, err);
    stream->state = batch->state;
    batch->state = NULL;
    mill_state_free(before);
    return status;
}

typedef struct outcome {
    bool pending; /* nothing to do now, but more is expected */
    bool again;   /* the batch was left over from an earlier process */
    bool unknown; /* a commit's outcome is not known: recover */
} outcome;

/* One batch from plan to forget. AGAIN: there was nothing to do. */
static rmq_status run_batch(mill_streaming_context *stream, outcome *out_outcome, rmq_error *err)
{
    mill_batch *batch = NULL;
    rmq_status status = mill_batch_new(stream, &batch, err);
    if (status != RMQ_OK)
        return status;
    status = take(&plan_step, batch, err);
    if (status == RMQ_OK)
        status = run_planned(batch, err);
    out_outcome->pending = batch->pending;
    out_outcome->again = batch->again;
    out_outcome->unknown = batch->commit_unknown;
    if (status == RMQ_OK)
        status = finish(batch, err);
    mill_batch_free(batch);
    return status;
}

/* ---- the loop ---- */

/* A new epoch, sinks opened again; for as long as it takes, if a sink is away. */
static rmq_status recover(mill_streaming_context *stream, rmq_error *err)
{
    mill_context_log(stream->context, RMQ_LOG_WARN, "stream",
                     "%s: asking the sinks under a new epoch: %s", stream->config.name, err->text);
    for (uint32_t n_tries = 1;; n_tries++) {
        /* Who was taken over must not take the checkpoint back. */
        rmq_error newer = {0};
        rmq_status status = mill_checkpoint_check_epoch(stream->checkpoint, &newer);
        if (status == RMQ_OK) {
            err->retriable = false;
            status = mill_stream_recover(stream, err);
        } else {
            *err = newer;
        }
        if (status == RMQ_OK || !err->retriable || status == RMQ_FENCED)
            return status;
        mill_context_log(stream->context, RMQ_LOG_WARN, "stream",
                         "%s: a sink can't be opened again, trying on: %s", stream->config.name,
                         err->text);
        if (!pause_before_retry(stream, n_tries))
            return RMQ_CANCELLED;
    }
}

/* When the next batch is due. */
typedef struct pace {
    int64_t tick_ns; /* INTERVAL: the last one */
    int64_t wait_ms; /* polling: the next pause */
} pace;

/* Waits until the trigger asks for a batch; false: a stop. `idle`: the last one found nothing. */
static bool wait_for_trigger(mill_streaming_context *stream, pace *at, bool idle)
{
    int64_t now_ns = mill_stream_now_ns();
    if (stream->config.trigger == MILL_TRIGGER_INTERVAL) {
        int64_t interval_ns = stream->config.batch_interval_ms * 1000000;
        /* Ticks keep their raster; those that a long batch has missed are left out. */
        int64_t next_ns = at->tick_ns + interval_ns;
        if (next_ns <= now_ns)
            next_ns = now_ns - (now_ns - at->tick_ns) % interval_ns;
        at->tick_ns = next_ns;
        return mill_stream_wait(stream, next_ns);
    }
    if (!idle) {
        at->wait_ms = POLL_FIRST_MS;
        return !mill_stream_stopping(stream);
    }
    int64_t wait_ms = at->wait_ms;
    at->wait_ms = wait_ms * 2 > POLL_MAX_MS ? POLL_MAX_MS : wait_ms * 2;
    return mill_stream_wait(stream, now_ns + wait_ms * 1000000);
}

/* True if the trigger has had what it asked for. */
static bool trigger_satisfied(const mill_streaming_context *stream, rmq_status status,
                              const outcome *last)
{
    switch (stream->config.trigger) {
    case MILL_TRIGGER_ONCE:
        /* What an earlier process left does not count. */
        return status == RMQ_AGAIN ? !last->pending : !last->again;
    case MILL_TRIGGER_AVAILABLE_NOW:
        return status == RMQ_AGAIN && !last->pending;
    case MILL_TRIGGER_INTERVAL:
    case MILL_TRIGGER_CONTINUAL:
        break;
    }
    return false;
}

/* After a commit of unknown outcome: asks, and if the batch is not in, holds back the next try. */
static rmq_status settle_unknown(mill_streaming_context *stream, uint32_t *n_unknown,
                                 rmq_error *err)
{
    const rmq_error why = *err;
    int64_t before = stream->state->batch_id;
    rmq_status status = recover(stream, err);
    if (status != RMQ_OK)
        return status;
    if (stream->state->batch_id > before) {
        *n_unknown = 0;
        return RMQ_OK;
    }
    if (++*n_unknown >= MAX_UNKNOWN_COMMITS) {
        *err = why;
        rmq_error_wrap(err, "%u commits in a row failed", *n_unknown);
        return err->status;
    }
    return pause_before_retry(stream, *n_unknown) ? RMQ_OK : RMQ_CANCELLED;
}

static rmq_status run_batches(mill_streaming_context *stream, rmq_error *err)
{
    uint32_t n_unknown = 0;
    pace at = {.tick_ns = mill_stream_now_ns(), .wait_ms = POLL_FIRST_MS};
    while (!mill_stream_stopping(stream)) {
        outcome last = {0};
        rmq_status status = run_batch(stream, &last, err);
        if (status == RMQ_TIMEOUT && last.unknown) {
            status = settle_unknown(stream, &n_unknown, err);
            if (status != RMQ_OK)
                return status;
            continue;
        }
        n_unknown = 0;
        if (status != RMQ_OK && status != RMQ_AGAIN)
            return status;
        if (trigger_satisfied(stream, status, &last))
            return RMQ_OK;
        bool left_over = status == RMQ_OK && last.again;
        if (!left_over && !wait_for_trigger(stream, &at, status == RMQ_AGAIN))
            break;
    }
    return RMQ_OK;
}

void *mill_stream_drive(void *stream_ptr)
{
    mill_streaming_context *stream = stream_ptr;
    rmq_error err = {0};
    pthread_setname_np(pthread_self(), "mill-driver");
    rmq_status status = run_batches(stream, &err);
    if (status == RMQ_CANCELLED && mill_stream_stopping(stream))
        status = RMQ_OK;
    status = mill_stream_ask_why(stream, status, &err);
    for (size_t i = 0; i < stream->n_sources; i++)
        stream->sources[i]->vtable->close(stream->sources[i]->self);
    mill_stream_ended(stream, status, &err);
    return NULL;
}
