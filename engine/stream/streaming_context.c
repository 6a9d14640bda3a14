/* The public handle of a stream: what it is made of, and its life.
 *
 *   NEW --start--> RUNNING --the driver ends, by itself or by a stop--> ENDED
 *
 * Until start only the caller touches it. start opens everything on the caller's thread, so that
 * its errors are the return value, and then hands all of it to the driver's thread. From then on
 * others see three things only: `stop`, the phase and the result; the driver looks at `stop`
 * between the steps of a batch, and tasks poll `cancelled`. Nothing is given back to the caller
 * before the driver is joined in free, where sinks and checkpoint are closed. */
#include "streaming_context.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../core/run.h"
#include "../core/versioned.h"

#define DEFAULT_INTERVAL_MS 1000
#define DEFAULT_RETAINED 100

int64_t mill_stream_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static rmq_status copy_config(const mill_streaming_config *given, mill_streaming_config *out_copy,
                              rmq_error *err)
{
    if (given == NULL)
        return rmq_error_set(err, RMQ_INVAL, "streaming config: name and checkpoint are needed");
    mill_streaming_config copy = {0};
    rmq_status status =
        mill_versioned_copy(given, "mill_streaming_config", &copy, sizeof(copy), err);
    if (status != RMQ_OK)
        return status;
    if (copy.name == NULL || copy.name[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "streaming config: name is needed");
    if (copy.checkpoint == NULL || copy.checkpoint[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "streaming config: checkpoint is needed");
    if ((unsigned)copy.trigger > MILL_TRIGGER_AVAILABLE_NOW)
        return rmq_error_set(err, RMQ_INVAL, "streaming config: there is no trigger %d",
                             (int)copy.trigger);
    if (copy.batch_interval_ms < 0)
        return rmq_error_set(err, RMQ_INVAL, "streaming config: batch_interval_ms is negative");
    if (copy.batch_interval_ms == 0)
        copy.batch_interval_ms = DEFAULT_INTERVAL_MS;
    if (copy.min_batches_to_retain == 0)
        copy.min_batches_to_retain = DEFAULT_RETAINED;
    char *name = rmq_strdup(copy.name), *checkpoint = rmq_strdup(copy.checkpoint);
    if (name == NULL || checkpoint == NULL) {
        rmq_free(name);
        rmq_free(checkpoint);
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a streaming context");
    }
    copy.name = name;
    copy.checkpoint = checkpoint;
    *out_copy = copy;
    return RMQ_OK;
}

static void free_config(mill_streaming_config *config)
{
    rmq_free((char *)(uintptr_t)config->name);
    rmq_free((char *)(uintptr_t)config->checkpoint);
}

rmq_status mill_streaming_context_new(mill_context *context, const mill_streaming_config *config,
                                      mill_streaming_context **out_stream, rmq_error *err)
{
    if (context == NULL || out_stream == NULL)
        return rmq_error_set(err, RMQ_INVAL,
                             "streaming context: context and out_stream are needed");
    mill_streaming_config copy = {0};
    rmq_status status = copy_config(config, &copy, err);
    if (status != RMQ_OK)
        return status;
    mill_streaming_context *stream = rmq_calloc(1, sizeof(*stream));
    if (stream == NULL) {
        free_config(&copy);
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a streaming context");
    }
    stream->context = context;
    stream->config = copy;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&stream->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&stream->lock, NULL);
    *out_stream = stream;
    return RMQ_OK;
}

/* ---- what the stream is made of; before the start, so that only the caller is there ---- */

/* Room for one more item of an array that is an exact fit, zeroed; NULL if there is none. */
static void *append(void *items, size_t count, size_t size_bytes, rmq_error *err)
{
    char *grown = rmq_realloc(items, (count + 1) * size_bytes);
    if (grown == NULL)
        rmq_error_set(err, RMQ_NOMEM, "out of memory for a stream");
    else
        memset(grown + count * size_bytes, 0, size_bytes);
    return grown;
}

rmq_status mill_stream_check_new(const mill_streaming_context *stream, rmq_error *err)
{
    if (stream->phase == MILL_STREAM_NEW)
        return RMQ_OK;
    return rmq_error_set(err, RMQ_INVAL, "stream %s has been started: it can't be changed any more",
                         stream->config.name);
}

/* The stream that a dataset of the user's belongs to; NULL with `out_status` set. */
static mill_streaming_context *stream_of(mill_dataset *dataset, const char *what,
                                         rmq_status *out_status, rmq_error *err)
{
    *out_status = RMQ_INVAL;
    if (dataset == NULL) {
        /* A call before this one failed and has filled `err`. */
        if (err != NULL && err->status != RMQ_OK)
            *out_status = err->status;
        return NULL;
    }
    mill_streaming_context *stream = mill_dataset_owner(dataset);
    if (stream == NULL) {
        rmq_error_set(err, RMQ_INVAL, "%s: the dataset is not one of a stream", what);
        return NULL;
    }
    *out_status = mill_stream_check_new(stream, err);
    return *out_status == RMQ_OK ? stream : NULL;
}

static rmq_status add_output(mill_streaming_context *stream, mill_dataset *dataset, size_t sink,
                             uint32_t target, rmq_error *err)
{
    mill_stream_output *outputs = append(stream->outputs, stream->n_outputs, sizeof(*outputs), err);
    if (outputs == NULL)
        return RMQ_NOMEM;
    stream->outputs = outputs;
    outputs[stream->n_outputs++] =
        (mill_stream_output){.dataset = dataset, .sink = sink, .target = target};
    return RMQ_OK;
}

static rmq_status add_sink(mill_streaming_context *stream, mill_sink *sink, rmq_error *err)
{
    mill_stream_sink *sinks = append(stream->sinks, stream->n_sinks, sizeof(*sinks), err);
    if (sinks == NULL)
        return RMQ_NOMEM;
    stream->sinks = sinks;
    mill_stream_sink *added = &sinks[stream->n_sinks++];
    added->sink = sink;
    added->transactional = sink != NULL && mill_sink_is_transactional(sink);
    snprintf(added->id, sizeof(added->id), "%s-%zu",
             sink != NULL ? sink->vtable.name : "foreach_batch", stream->n_sinks);
    return RMQ_OK;
}

static size_t find_sink(const mill_streaming_context *stream, const mill_sink *sink)
{
    size_t at = 0;
    while (at < stream->n_sinks && stream->sinks[at].sink != sink)
        at++;
    return at;
}

rmq_status mill_write_to(mill_dataset *dataset, mill_sink *sink, uint32_t target, rmq_error *err)
{
    rmq_status status;
    mill_streaming_context *stream = stream_of(dataset, "mill_write_to", &status, err);
    if (stream == NULL)
        return status;
    if (sink == NULL)
        return rmq_error_set(err, RMQ_INVAL, "mill_write_to: the sink is needed");
    size_t at = find_sink(stream, sink);
    bool is_new = at == stream->n_sinks;
    status = is_new ? add_sink(stream, sink, err) : RMQ_OK;
    if (status == RMQ_OK)
        status = add_output(stream, dataset, at, target, err);
    if (status == RMQ_OK) {
        status = mill_sink_take(sink, stream, target, mill_dataset_type(dataset), err);
        if (status != RMQ_OK)
            stream->n_outputs--;
    }
    if (status != RMQ_OK && is_new && stream->n_sinks > at)
        stream->n_sinks--;
    return status;
}

rmq_status mill_foreach_batch(mill_dataset *dataset, mill_foreach_batch_fn fn, void *ctx,
                              rmq_error *err)
{
    rmq_status status;
    mill_streaming_context *stream = stream_of(dataset, "mill_foreach_batch", &status, err);
    if (stream == NULL)
        return status;
    if (fn == NULL)
        return rmq_error_set(err, RMQ_INVAL, "mill_foreach_batch: the function is needed");
    status = add_sink(stream, NULL, err);
    if (status != RMQ_OK)
        return status;
    stream->sinks[stream->n_sinks - 1].fn = fn;
    stream->sinks[stream->n_sinks - 1].fn_ctx = ctx;
    status = add_output(stream, dataset, stream->n_sinks - 1, 0, err);
    if (status != RMQ_OK)
        stream->n_sinks--;
    return status;
}

const char *mill_stream_name(const mill_streaming_context *stream)
{
    return stream->config.name;
}

mill_context *mill_stream_engine(const mill_streaming_context *stream)
{
    return stream->context;
}

/* ---- life ---- */

/* A stop from now on doesn't wait for brokers that don't answer; one that came before counts, too.
 */
static rmq_status begin_start(mill_streaming_context *stream, rmq_error *err)
{
    pthread_mutex_lock(&stream->lock);
    bool stopped = atomic_load(&stream->stop) != MILL_STOP_NONE;
    stream->starting = !stopped;
    pthread_mutex_unlock(&stream->lock);
    return stopped ? rmq_error_set(err, RMQ_CANCELLED, "stream %s was stopped before it started",
                                   stream->config.name)
                   : RMQ_OK;
}

static void end_start(mill_streaming_context *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->starting = false;
    while (stream->n_stoppers > 0)
        pthread_cond_wait(&stream->wake, &stream->lock);
    pthread_mutex_unlock(&stream->lock);
}

static rmq_status start(mill_streaming_context *stream, rmq_error *err)
{
    if (stream->n_outputs == 0)
        return rmq_error_set(err, RMQ_INVAL,
                             "stream %s has no output: mill_write_to or mill_foreach_batch",
                             stream->config.name);
    stream->staged = stream->n_sinks != 1 || !stream->sinks[0].transactional;
    rmq_status status = begin_start(stream, err);
    if (status != RMQ_OK)
        return status;
    status = mill_stream_open(stream, err);
    if (status == RMQ_OK)
        status = mill_stream_recover(stream, err);
    end_start(stream);
    if (status != RMQ_OK)
        return status;
    int failed = pthread_create(&stream->driver, NULL, mill_stream_drive, stream);
    return failed == 0 ? RMQ_OK : rmq_error_set_errno(err, failed, "the driver's thread");
}

static void close_sources(mill_streaming_context *stream)
{
    for (size_t i = 0; i < stream->n_sources; i++)
        stream->sources[i]->vtable->close(stream->sources[i]->self);
}

rmq_status mill_streaming_start(mill_streaming_context *stream, rmq_error *err)
{
    rmq_status status = mill_stream_check_new(stream, err);
    if (status != RMQ_OK)
        return status;
    stream->phase = MILL_STREAM_RUNNING;
    stream->joined = true;
    rmq_error detail = {0};
    status = start(stream, &detail);
    if (status == RMQ_OK) {
        stream->joined = false;
        return RMQ_OK;
    }
    close_sources(stream);
    mill_checkpoint_close(stream->checkpoint);
    stream->checkpoint = NULL;
    mill_stream_ended(stream, status, &detail);
    if (err != NULL)
        *err = detail;
    return status;
}

bool mill_stream_wait(mill_streaming_context *stream, int64_t deadline_ns)
{
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                      .tv_nsec = (long)(deadline_ns % 1000000000)};
    pthread_mutex_lock(&stream->lock);
    int timed = 0;
    while (atomic_load(&stream->stop) == MILL_STOP_NONE && timed == 0)
        timed = pthread_cond_timedwait(&stream->wake, &stream->lock, &deadline);
    pthread_mutex_unlock(&stream->lock);
    return atomic_load(&stream->stop) == MILL_STOP_NONE;
}

bool mill_stream_stopping(const mill_streaming_context *stream)
{
    return atomic_load(&stream->stop) != MILL_STOP_NONE;
}

void mill_stream_ended(mill_streaming_context *stream, rmq_status result, const rmq_error *err)
{
    pthread_mutex_lock(&stream->lock);
    stream->phase = MILL_STREAM_ENDED;
    stream->result = result;
    stream->error = *err;
    pthread_cond_broadcast(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
}

rmq_status mill_streaming_await(mill_streaming_context *stream, int64_t timeout_ms, rmq_error *err)
{
    int64_t deadline_ns = mill_stream_now_ns() + (timeout_ms < 0 ? 0 : timeout_ms) * 1000000;
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                      .tv_nsec = (long)(deadline_ns % 1000000000)};
    pthread_mutex_lock(&stream->lock);
    int timed = 0;
    while (stream->phase == MILL_STREAM_RUNNING && timed == 0)
        timed = timeout_ms < 0 ? pthread_cond_wait(&stream->wake, &stream->lock)
                               : pthread_cond_timedwait(&stream->wake, &stream->lock, &deadline);
    mill_stream_phase phase = stream->phase;
    rmq_status result = stream->result;
    rmq_error error = stream->error;
    pthread_mutex_unlock(&stream->lock);
    if (phase == MILL_STREAM_NEW)
        return rmq_error_set(err, RMQ_INVAL, "stream %s was not started", stream->config.name);
    if (phase == MILL_STREAM_RUNNING)
        return rmq_error_set(err, RMQ_TIMEOUT, "stream %s still runs", stream->config.name);
    if (result != RMQ_OK && err != NULL)
        *err = error;
    return result;
}

/* The start of the stream ends with CANCELLED. Not under the lock, since the sources have their
 * own; end_start waits. */
static void cancel_sources(mill_streaming_context *stream)
{
    for (size_t i = 0; i < stream->n_sources; i++) {
        const mill_stream_source *source = stream->sources[i];
        if (source->vtable->cancel != NULL)
            source->vtable->cancel(source->self);
    }
    pthread_mutex_lock(&stream->lock);
    stream->n_stoppers--;
    pthread_cond_broadcast(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
}

void mill_streaming_stop(mill_streaming_context *stream, bool graceful)
{
    int wanted = graceful ? MILL_STOP_GRACEFUL : MILL_STOP_NOW;
    pthread_mutex_lock(&stream->lock);
    bool starting = stream->starting;
    stream->n_stoppers += starting;
    if (atomic_load(&stream->stop) < wanted)
        atomic_store(&stream->stop, wanted);
    if (!graceful)
        __atomic_store_n(&stream->cancelled, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
    if (starting)
        cancel_sources(stream);
}

static void free_parts(mill_streaming_context *stream)
{
    for (size_t i = 0; i < stream->n_sources; i++) {
        mill_stream_source *source = stream->sources[i];
        source->vtable->close(source->self);
        source->vtable->free_self(source->self);
        rmq_free(source->name);
        rmq_free(source);
    }
    for (size_t i = 0; i < stream->n_sinks; i++)
        mill_sink_release(stream->sinks[i].sink);
    mill_checkpoint_close(stream->checkpoint);
    mill_state_free(stream->state);
    rmq_free(stream->sources);
    rmq_free(stream->sinks);
    rmq_free(stream->outputs);
}

void mill_streaming_context_free(mill_streaming_context *stream)
{
    if (stream == NULL)
        return;
    if (stream->phase != MILL_STREAM_NEW && !stream->joined) {
        mill_streaming_stop(stream, true);
        pthread_join(stream->driver, NULL);
    }
    free_parts(stream);
    free_config(&stream->config);
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->wake);
    rmq_free(stream);
}
