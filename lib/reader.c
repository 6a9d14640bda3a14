/* The reader's handle: what the loop thread brings is handed to the thread that reads.
 *
 *    loop thread                          reading thread
 *    puller ──> arrived (mutex, cond) ──> taken (the whole list at once) ──> decode ──> batch
 *
 * The loop signals only when the list was empty, and only when it has handled all that the socket
 * brought: one wake for many answers, also for a reader that keeps up. Records are decoded by the
 * thread that wants them: ten readers use ten cores, and the loop stays free for the sockets.
 *
 * Second thoughts. An answer whose records make no sense, or miss an offset, or fail their
 * checksum, may have been damaged on its way. The position is then read once more; what is there
 * twice is believed, and becomes PROTO, DATA_LOSS, or a message with body_status CORRUPT.
 *
 * Opening, seeking and closing run on the loop while the caller waits, so that no event of the
 * puller is under way afterwards. None of them waits for a broker. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rmq/consumer.h>

#include "../proto/sized_struct.h"
#include "call.h"
#include "deadline.h"
#include "puller.h"
#include "read_batch.h"

#define DEFAULT_GROUP "MILLRACE_READER"
#define DEFAULT_MAX_MESSAGES 1024
#define DEFAULT_MAX_PULLS 64
#define DEFAULT_MAX_BUFFERED_BYTES ((size_t)8 * 1024 * 1024)
#define DEFAULT_MAX_BODY_BYTES ((size_t)64 * 1024 * 1024)
#define DEFAULT_HOLD_MS 15000
#define MAX_PULLS 1024
/* Brokers send at most as many records as were asked for; what they can't mean is refused before
 * there are views of it, which take twice what the smallest records do. */
#define MIN_MAX_RECORDS 65536
#define MAX_DOUBTS 3
#define MAX_HOLD_MS 120000

struct rmq_reader {
    rmq_client *client;
    rmq_puller *puller; /* the loop's, but for rmq_puller_consumed */
    rmq_timer ring;     /* the loop's: there is something in `arrived` */
    rmq_cancel_hook cancel_hook;
    rmq_reader_config config; /* defaults filled in; strings owned */
    rmq_read_rules rules;     /* borrows from config */
    atomic_int_least64_t min_offset;
    atomic_int_least64_t max_offset;

    pthread_mutex_t mutex; /* guards what follows, to the next gap */
    pthread_cond_t cond;
    rmq_chunk *arrived;
    rmq_chunk **arrived_tail;
    bool waiting;   /* someone waits for cond */
    bool cancelled; /* for good */
    bool stopped;   /* nothing more arrives; what has arrived comes first */
    rmq_status stop_status;
    rmq_data_loss stop_loss;
    rmq_error stop_error;
    char trouble[256];

    /* The reading thread's. */
    rmq_chunk *taken;
    int64_t position;
    int64_t doubted;  /* position that was read again; -1 */
    int32_t n_doubts; /* how often */
    bool failed;      /* fail_* below is the answer until a seek */
    rmq_status fail_status;
    rmq_error fail_error;
    rmq_data_loss loss;
};

/* ---- on the loop ---- */

static void wake(rmq_reader *reader, bool was_waiting)
{
    if (was_waiting)
        pthread_cond_broadcast(&reader->cond);
    if (reader->config.on_ready != NULL)
        reader->config.on_ready(reader->config.on_ready_ctx);
}

static void on_chunk(void *ctx, rmq_chunk *take_chunk)
{
    rmq_reader *reader = ctx;
    take_chunk->next = NULL;
    pthread_mutex_lock(&reader->mutex);
    bool was_empty = reader->arrived == NULL;
    *reader->arrived_tail = take_chunk;
    reader->arrived_tail = &take_chunk->next;
    pthread_mutex_unlock(&reader->mutex);
    if (was_empty)
        rmq_timer_set_soon(&reader->ring);
}

static void on_ring(rmq_timer *ring)
{
    rmq_reader *reader = (rmq_reader *)(void *)((char *)ring - offsetof(rmq_reader, ring));
    pthread_mutex_lock(&reader->mutex);
    bool is_empty = reader->arrived == NULL; /* a poll may have taken it by now */
    bool was_waiting = reader->waiting;
    pthread_mutex_unlock(&reader->mutex);
    if (!is_empty)
        wake(reader, was_waiting);
}

static void on_bounds(void *ctx, int64_t min_offset, int64_t max_offset)
{
    rmq_reader *reader = ctx;
    atomic_store_explicit(&reader->min_offset, min_offset, memory_order_relaxed);
    atomic_store_explicit(&reader->max_offset, max_offset, memory_order_relaxed);
}

static void on_stopped(void *ctx, rmq_status status, const rmq_data_loss *loss,
                       const rmq_error *err)
{
    rmq_reader *reader = ctx;
    pthread_mutex_lock(&reader->mutex);
    reader->stopped = true;
    reader->stop_status = status;
    if (status == RMQ_CANCELLED) /* the client was; our hook may still be on its way */
        reader->cancelled = true;
    if (loss != NULL)
        reader->stop_loss = *loss;
    if (err != NULL)
        reader->stop_error = *err;
    else
        rmq_error_set(&reader->stop_error, status,
                      status == RMQ_NOT_FOUND ? "the range is read to its end" : "stopped");
    bool was_waiting = reader->waiting;
    pthread_mutex_unlock(&reader->mutex);
    wake(reader, was_waiting);
}

static void on_trouble(void *ctx, const char *text)
{
    rmq_reader *reader = ctx;
    pthread_mutex_lock(&reader->mutex);
    snprintf(reader->trouble, sizeof(reader->trouble), "%s", text);
    pthread_mutex_unlock(&reader->mutex);
}

static void set_cancelled(rmq_reader *reader)
{
    pthread_mutex_lock(&reader->mutex);
    reader->cancelled = true;
    pthread_cond_broadcast(&reader->cond);
    pthread_mutex_unlock(&reader->mutex);
}

static void on_client_cancelled(rmq_cancel_hook *hook)
{
    rmq_reader *reader = (rmq_reader *)(void *)((char *)hook - offsetof(rmq_reader, cancel_hook));
    set_cancelled(reader);
    wake(reader, false);
}

static const rmq_puller_events events = {
    .chunk = on_chunk,
    .bounds = on_bounds,
    .stopped = on_stopped,
    .trouble = on_trouble,
};

/* Something to be done on the loop while the caller waits. */
typedef struct errand {
    rmq_task task; /* first */
    rmq_reader *reader;
    int64_t offset;
    rmq_status status;
    rmq_error *err;
} errand;

static void open_on_loop(rmq_task *task)
{
    errand *work = (errand *)(void *)task;
    rmq_reader *reader = work->reader;
    const rmq_reader_config *config = &reader->config;
    const rmq_puller_config puller = {
        .queue = config->queue,
        .end_offset = config->end_offset,
        .group = config->group,
        .expression = config->expression,
        .sql92 = config->sql92,
        .max_messages = config->max_messages,
        .max_pulls = config->max_pulls,
        .max_buffered_bytes = config->max_buffered_bytes,
        .hold_ms = config->hold_ms,
    };
    work->status =
        rmq_timer_init(&reader->ring, rmq_client_loop(reader->client), on_ring, work->err);
    if (work->status != RMQ_OK)
        return;
    work->status =
        rmq_puller_new(reader->client, &puller, &events, reader, &reader->puller, work->err);
    if (work->status != RMQ_OK) {
        rmq_timer_deinit(&reader->ring);
        return;
    }
    reader->cancel_hook.cancelled = on_client_cancelled;
    rmq_cancel_hook_add(reader->client, &reader->cancel_hook);
    if (rmq_client_is_cancelled(reader->client))
        set_cancelled(reader);
    rmq_puller_start(reader->puller, config->start_offset);
}

static void drop_arrived(rmq_reader *reader)
{
    pthread_mutex_lock(&reader->mutex);
    rmq_chunk *list = reader->arrived;
    reader->arrived = NULL;
    reader->arrived_tail = &reader->arrived;
    reader->stopped = false;
    reader->trouble[0] = '\0';
    pthread_mutex_unlock(&reader->mutex);
    rmq_chunk_free_all(list);
}

static void seek_on_loop(rmq_task *task)
{
    errand *work = (errand *)(void *)task;
    rmq_puller_stop(work->reader->puller);
    drop_arrived(work->reader);
    rmq_puller_start(work->reader->puller, work->offset);
}

static void close_on_loop(rmq_task *task)
{
    errand *work = (errand *)(void *)task;
    rmq_cancel_hook_remove(&work->reader->cancel_hook);
    rmq_puller_free(work->reader->puller);
    work->reader->puller = NULL;
    rmq_timer_deinit(&work->reader->ring);
}

/* ---- opening and closing ---- */

static rmq_status check_config(const rmq_reader_config *config, rmq_error *err)
{
    if (config->queue.topic == NULL || config->queue.topic[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "reader: queue.topic is missing");
    if (config->queue.broker_name == NULL || config->queue.broker_name[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "reader: queue.broker_name is missing");
    if (config->queue.queue_id < 0)
        return rmq_error_set(err, RMQ_INVAL, "reader: queue.queue_id is %d",
                             config->queue.queue_id);
    if (config->start_offset < 0 || config->end_offset < config->start_offset)
        return rmq_error_set(err, RMQ_INVAL, "reader: no range from %lld to %lld",
                             (long long)config->start_offset, (long long)config->end_offset);
    if (config->max_messages < 0 || config->max_pulls < 0 || config->max_pulls > MAX_PULLS)
        return rmq_error_set(err, RMQ_INVAL, "reader: max_messages %d, max_pulls %d (at most %d)",
                             config->max_messages, config->max_pulls, MAX_PULLS);
    if (config->hold_ms < 0 || config->hold_ms > MAX_HOLD_MS)
        return rmq_error_set(err, RMQ_INVAL, "reader: hold_ms is %lld (at most %d)",
                             (long long)config->hold_ms, MAX_HOLD_MS);
    if (config->sql92 && (config->expression == NULL || config->expression[0] == '\0'))
        return rmq_error_set(err, RMQ_INVAL, "reader: sql92 needs an expression");
    return RMQ_OK;
}

static bool copy_string(const char **string, const char *fallback)
{
    *string = rmq_strdup(*string != NULL && (*string)[0] != '\0' ? *string : fallback);
    return *string != NULL;
}

static rmq_status take_config(rmq_reader *reader, const rmq_reader_config *given, rmq_error *err)
{
    rmq_reader_config config;
    rmq_status status = rmq_sized_struct_copy("reader config", given, &config, sizeof(config), err);
    if (status == RMQ_OK)
        status = check_config(&config, err);
    if (status != RMQ_OK)
        return status;
    if (config.max_messages == 0)
        config.max_messages = DEFAULT_MAX_MESSAGES;
    if (config.max_pulls == 0)
        config.max_pulls = DEFAULT_MAX_PULLS;
    if (config.max_buffered_bytes == 0)
        config.max_buffered_bytes = DEFAULT_MAX_BUFFERED_BYTES;
    if (config.max_body_bytes == 0)
        config.max_body_bytes = DEFAULT_MAX_BODY_BYTES;
    if (config.hold_ms == 0)
        config.hold_ms = DEFAULT_HOLD_MS;
    bool copied = copy_string(&config.queue.topic, "");
    copied = copy_string(&config.queue.broker_name, "") && copied;
    copied = copy_string(&config.group, DEFAULT_GROUP) && copied;
    copied = copy_string(&config.expression, "*") && copied;
    reader->config = config;
    if (!copied)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a reader");
    bool all = !config.sql92 && strcmp(config.expression, "*") == 0;
    reader->rules = (rmq_read_rules){
        .queue = config.queue,
        .tags = all || config.sql92 ? NULL : reader->config.expression,
        .dense = all && !config.allow_gaps,
        .max_body_bytes = config.max_body_bytes,
        .max_records =
            config.max_messages > MIN_MAX_RECORDS ? (size_t)config.max_messages : MIN_MAX_RECORDS,
        .max_batch_bytes = config.max_body_bytes > config.max_buffered_bytes
                               ? config.max_body_bytes
                               : config.max_buffered_bytes,
    };
    reader->position = config.start_offset;
    return RMQ_OK;
}

static void free_reader(rmq_reader *reader)
{
    rmq_free((char *)reader->config.queue.topic);
    rmq_free((char *)reader->config.queue.broker_name);
    rmq_free((char *)reader->config.group);
    rmq_free((char *)reader->config.expression);
    rmq_chunk_free_all(reader->arrived);
    rmq_chunk_free_all(reader->taken);
    pthread_cond_destroy(&reader->cond);
    pthread_mutex_destroy(&reader->mutex);
    rmq_free(reader);
}

rmq_status rmq_reader_open(rmq_client *client, const rmq_reader_config *config,
                           rmq_reader **out_reader, rmq_error *err)
{
    rmq_reader *reader = rmq_calloc(1, sizeof(*reader));
    if (reader == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a reader");
    reader->client = client;
    reader->arrived_tail = &reader->arrived;
    reader->doubted = -1;
    atomic_init(&reader->min_offset, -1);
    atomic_init(&reader->max_offset, -1);
    pthread_mutex_init(&reader->mutex, NULL);
    rmq_deadline_cond_init(&reader->cond);
    rmq_status status = take_config(reader, config, err);
    if (status == RMQ_OK) {
        errand work = {.task.run = open_on_loop, .reader = reader, .err = err};
        rmq_loop_run_sync(rmq_client_loop(client), &work.task);
        status = work.status;
    }
    if (status != RMQ_OK) {
        free_reader(reader);
        return status;
    }
    *out_reader = reader;
    return RMQ_OK;
}

void rmq_reader_close(rmq_reader *reader)
{
    if (reader == NULL)
        return;
    errand work = {.task.run = close_on_loop, .reader = reader};
    rmq_loop_run_sync(rmq_client_loop(reader->client), &work.task);
    free_reader(reader);
}

/* ---- reading ---- */

/* Waits until something has arrived (deadline NULL: not at all), and takes all of it. */
static rmq_status take_arrived(rmq_reader *reader, const struct timespec *deadline, rmq_error *err)
{
    rmq_status status = RMQ_OK;
    pthread_mutex_lock(&reader->mutex);
    while (!reader->cancelled && reader->arrived == NULL && !reader->stopped) {
        int failure = ETIMEDOUT;
        if (deadline != NULL) {
            reader->waiting = true;
            failure = pthread_cond_timedwait(&reader->cond, &reader->mutex, deadline);
            reader->waiting = false;
        }
        if (failure == ETIMEDOUT && reader->arrived == NULL && !reader->stopped &&
            !reader->cancelled) {
            pthread_mutex_unlock(&reader->mutex);
            return RMQ_AGAIN;
        }
    }
    if (reader->cancelled) {
        status = rmq_error_set(err, RMQ_CANCELLED, "reader of %s: cancelled",
                               reader->config.queue.topic);
    } else if (reader->arrived != NULL) {
        reader->taken = reader->arrived;
        reader->arrived = NULL;
        reader->arrived_tail = &reader->arrived;
    } else {
        status = reader->stop_status;
        if (err != NULL)
            *err = reader->stop_error;
        reader->loss = reader->stop_loss;
    }
    pthread_mutex_unlock(&reader->mutex);
    return status;
}

/* The same as rmq_reader_seek, for the reader itself. */
static void go_on_at(rmq_reader *reader, int64_t offset)
{
    rmq_chunk_free_all(reader->taken);
    reader->taken = NULL;
    reader->position = offset;
    errand work = {.task.run = seek_on_loop, .reader = reader, .offset = offset};
    rmq_loop_run_sync(rmq_client_loop(reader->client), &work.task);
}

static rmq_status fail(rmq_reader *reader, rmq_status status, rmq_error *err)
{
    reader->failed = true;
    reader->fail_status = status;
    if (err != NULL)
        reader->fail_error = *err;
    else
        rmq_error_set(&reader->fail_error, status, "reader failed before");
    return status;
}

static rmq_status fail_with_gap(rmq_reader *reader, const rmq_read_doubt *doubt, rmq_error *err)
{
    reader->loss = (rmq_data_loss){
        .wanted_offset = doubt->gap_from,
        .min_offset = doubt->gap_to,
        .max_offset = rmq_reader_max_offset(reader),
        .next_offset = doubt->gap_to,
    };
    const rmq_queue *queue = &reader->config.queue;
    rmq_error_set(&reader->fail_error, RMQ_DATA_LOSS,
                  "%s/%s/%d: offsets %lld to %lld are missing, the broker goes on at %lld",
                  queue->topic, queue->broker_name, queue->queue_id, (long long)doubt->gap_from,
                  (long long)doubt->gap_to - 1, (long long)doubt->gap_to);
    reader->failed = true;
    reader->fail_status = RMQ_DATA_LOSS;
    if (err != NULL)
        *err = reader->fail_error;
    return RMQ_DATA_LOSS;
}

static bool may_doubt(rmq_reader *reader, int64_t position)
{
    if (reader->doubted != position)
        reader->n_doubts = 0;
    reader->doubted = position;
    return reader->n_doubts++ < MAX_DOUBTS;
}

static void drop_first(rmq_reader *reader)
{
    rmq_chunk *chunk = reader->taken;
    reader->taken = chunk->next;
    rmq_puller_consumed(reader->puller, chunk->bytes);
    rmq_chunk_free(chunk);
}

/* Decodes the first taken chunk. AGAIN: it is doubted, and read once more. */
static rmq_status decode_first(rmq_reader *reader, rmq_batch **out_batch, rmq_error *err)
{
    rmq_chunk *chunk = reader->taken;
    rmq_read_doubt doubt;
    rmq_batch *batch = NULL;
    int64_t end = chunk->to;
    rmq_status status = rmq_read_batch(&reader->rules, chunk, &batch, &end, &doubt, err);
    if (status == RMQ_NOMEM)
        return status; /* the chunk stays: the caller may free some memory and call again */
    bool strange = status != RMQ_OK || doubt.gap || doubt.corrupt;
    if (strange && may_doubt(reader, chunk->from)) {
        rmq_batch_unref(batch);
        go_on_at(reader, chunk->from);
        return RMQ_AGAIN;
    }
    if (status != RMQ_OK)
        return fail(reader, status, err);
    if (doubt.gap && doubt.gap_from == chunk->from) {
        rmq_batch_unref(batch);
        return fail_with_gap(reader, &doubt, err);
    }
    if (doubt.gap)
        (void)fail_with_gap(reader, &doubt, NULL); /* told by the next call */
    reader->position = doubt.gap ? doubt.gap_from : end;
    if (end < chunk->to && !doubt.gap)
        chunk->from = end;
    else
        drop_first(reader);
    *out_batch = batch;
    return RMQ_OK;
}

static bool is_cancelled(rmq_reader *reader)
{
    pthread_mutex_lock(&reader->mutex);
    bool cancelled = reader->cancelled;
    pthread_mutex_unlock(&reader->mutex);
    return cancelled;
}

rmq_status rmq_reader_next(rmq_reader *reader, int64_t timeout_ms, rmq_batch **out_batch,
                           rmq_error *err)
{
    assert(!rmq_loop_is_current(rmq_client_loop(reader->client)));
    struct timespec deadline = {0, 0};
    bool has_deadline = false;
    rmq_status status = RMQ_AGAIN;
    while (status == RMQ_AGAIN) {
        if (is_cancelled(reader))
            return rmq_error_set(err, RMQ_CANCELLED, "reader of %s: cancelled",
                                 reader->config.queue.topic);
        if (reader->failed) {
            if (err != NULL)
                *err = reader->fail_error;
            return reader->fail_status;
        }
        if (reader->position >= reader->config.end_offset)
            return rmq_error_set(err, RMQ_NOT_FOUND, "the range is read to its end");
        if (reader->taken == NULL) {
            if (!has_deadline && timeout_ms > 0)
                deadline = rmq_deadline_after(timeout_ms);
            has_deadline = true;
            status = take_arrived(reader, timeout_ms > 0 ? &deadline : NULL, err);
            if (status != RMQ_OK)
                return status;
        }
        status = decode_first(reader, out_batch, err);
    }
    return status;
}

rmq_status rmq_reader_seek(rmq_reader *reader, int64_t offset, rmq_error *err)
{
    if (offset < 0 || offset > reader->config.end_offset)
        return rmq_error_set(err, RMQ_INVAL, "reader: seek to %lld, the range ends at %lld",
                             (long long)offset, (long long)reader->config.end_offset);
    if (is_cancelled(reader))
        return rmq_error_set(err, RMQ_CANCELLED, "reader of %s: cancelled",
                             reader->config.queue.topic);
    reader->failed = false;
    reader->doubted = -1;
    go_on_at(reader, offset);
    return RMQ_OK;
}

void rmq_reader_cancel(rmq_reader *reader)
{
    set_cancelled(reader);
}

int64_t rmq_reader_position(const rmq_reader *reader)
{
    return reader->position;
}

int64_t rmq_reader_min_offset(const rmq_reader *reader)
{
    return atomic_load_explicit(&((rmq_reader *)reader)->min_offset, memory_order_relaxed);
}

int64_t rmq_reader_max_offset(const rmq_reader *reader)
{
    return atomic_load_explicit(&((rmq_reader *)reader)->max_offset, memory_order_relaxed);
}

rmq_data_loss rmq_reader_loss(const rmq_reader *reader)
{
    return reader->loss;
}

void rmq_reader_trouble(const rmq_reader *reader, char *out_text, size_t capacity)
{
    if (capacity == 0)
        return;
    rmq_reader *self = (rmq_reader *)reader;
    pthread_mutex_lock(&self->mutex);
    snprintf(out_text, capacity, "%s", self->trouble);
    pthread_mutex_unlock(&self->mutex);
}
