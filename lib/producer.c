/* The producer's handle: the caller's side of sending.
 *
 *   caller: check and encode ──> room in the window? ──> post ──> loop: producer_send.c ──> done
 *                                   wait, or FULL
 *
 * The window counts messages and bytes that were accepted and are not yet answered, so that a
 * producer that is faster than its brokers waits (or is refused) instead of filling the memory. One
 * message larger than the window may go when it is alone.
 *
 * Every accepted send ends exactly once: with the broker's answer, an error, or RMQ_CANCELLED when
 * the producer is freed or the client cancelled. Room is made before the completion runs, so that
 * it can send more; flush waits until it has returned. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../proto/props.h"
#include "../proto/sized_struct.h"
#include "deadline.h"
#include "future.h"
#include "producer_state.h"

#define DEFAULT_GROUP "MILLRACE_PRODUCER"
#define DEFAULT_SEND_TIMEOUT_MS 3000
#define DEFAULT_MAX_RETRIES 2
#define DEFAULT_MAX_IN_FLIGHT 1024
#define DEFAULT_MAX_IN_FLIGHT_BYTES ((size_t)32 * 1024 * 1024)
#define DEFAULT_TOPIC_QUEUES 4
#define MAX_RETRIES 100
#define MAX_SEND_TIMEOUT_MS (3600 * 1000)
#define GROUP_MAX_BYTES 120

/* ---- the window ---- */

static bool has_room(const rmq_producer *producer, const rmq_send *send)
{
    if (producer->in_flight == 0)
        return true;
    return producer->in_flight + send->n_messages <= producer->config.max_in_flight &&
           producer->in_flight_bytes + send->n_bytes <= producer->config.max_in_flight_bytes;
}

static rmq_status enter_window(rmq_producer *producer, const rmq_send *send, rmq_error *err)
{
    /* On the loop nobody could make room while we wait. */
    bool may_wait = producer->config.when_full == RMQ_FULL_WAIT &&
                    !rmq_loop_is_current(rmq_client_loop(producer->client));
    rmq_status status = RMQ_OK;
    pthread_mutex_lock(&producer->mutex);
    while (may_wait && !producer->cancelled && !has_room(producer, send))
        pthread_cond_wait(&producer->cond, &producer->mutex);
    if (producer->cancelled) {
        status =
            rmq_error_set(err, RMQ_CANCELLED, "producer %s: cancelled", producer->config.group);
    } else if (!has_room(producer, send)) {
        status = rmq_error_set(err, RMQ_FULL, "%zu messages of %zu bytes are in flight",
                               producer->in_flight, producer->in_flight_bytes);
        if (err != NULL)
            err->retriable = true;
    } else {
        producer->in_flight += send->n_messages;
        producer->in_flight_bytes += send->n_bytes;
        producer->unfinished++;
    }
    pthread_mutex_unlock(&producer->mutex);
    return status;
}

void rmq_producer_ended(rmq_send *send, rmq_status status, const rmq_send_result *result,
                        const rmq_error *err)
{
    rmq_producer *producer = send->producer;
    *send->link = send->next;
    if (send->next != NULL)
        send->next->link = send->link;
    if (send->call != NULL)
        rmq_call_cancel(send->call);
    rmq_route_question_drop(send->question);

    bool awaited = send->awaited;
    pthread_mutex_lock(&producer->mutex);
    producer->in_flight -= send->n_messages;
    producer->in_flight_bytes -= send->n_bytes;
    producer->unfinished -= awaited ? 1 : 0;
    pthread_cond_broadcast(&producer->cond);
    pthread_mutex_unlock(&producer->mutex);

    rmq_error unknown;
    if (status != RMQ_OK && err == NULL) {
        rmq_error_set(&unknown, status, "send to %s: %s", send->topic, rmq_status_name(status));
        err = &unknown;
    }
    rmq_send_fn done = send->done;
    void *ctx = send->ctx;
    rmq_send_free(send);
    done(status, result, err, ctx);
    if (awaited)
        return;

    pthread_mutex_lock(&producer->mutex);
    producer->unfinished--;
    if (producer->unfinished == 0)
        pthread_cond_broadcast(&producer->cond);
    pthread_mutex_unlock(&producer->mutex);
}

/* ---- sending ---- */

void rmq_send_free(rmq_send *send)
{
    if (send == NULL)
        return;
    if (send->has_pause)
        rmq_timer_deinit(&send->pause);
    rmq_letter_deinit(&send->letter);
    rmq_free(send->topic);
    rmq_free(send->wanted_broker);
    rmq_free(send);
}

/* Everything of a send that does not depend on how many messages it is. */
static rmq_status address_send(rmq_send *send, const rmq_outgoing *message, rmq_error *err)
{
    rmq_outgoing copy;
    rmq_status status = rmq_sized_struct_copy("message", message, &copy, sizeof(copy), err);
    if (status != RMQ_OK)
        return status;
    send->topic = rmq_strdup(copy.topic);
    if (copy.broker_name != NULL)
        send->wanted_broker = rmq_strdup(copy.broker_name);
    if (send->topic == NULL || (copy.broker_name != NULL && send->wanted_broker == NULL))
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a send");
    send->wanted_queue = copy.queue_id;
    if (copy.sharding_key != NULL && copy.sharding_key[0] != '\0') {
        send->by_hash = true;
        send->hash = rmq_tag_hash(rmq_slice_of(copy.sharding_key));
    }
    send->born_ms = rmq_clock_wall_ms();
    send->n_bytes = send->letter.body.len + send->letter.properties.len;
    return RMQ_OK;
}

/* What a send function was given. */
typedef struct order {
    const rmq_outgoing *messages;
    size_t count;
    bool batch;
    bool awaited;
    rmq_send_fn done;
    void *ctx;
} order;

/* One thread at a time gets the producer's codec; who comes meanwhile does without. */
static rmq_status write_letter(rmq_producer *producer, rmq_letter *letter,
                               const rmq_outgoing *message, rmq_error *err)
{
    bool ours = pthread_mutex_trylock(&producer->codec_mutex) == 0;
    letter->codec = ours ? &producer->codec : NULL;
    rmq_status status = rmq_letter_write(letter, message, &producer->ids, err);
    letter->codec = NULL;
    if (ours)
        pthread_mutex_unlock(&producer->codec_mutex);
    return status;
}

static rmq_status start(rmq_producer *producer, const order *given, rmq_error *err)
{
    rmq_send *send = rmq_calloc(1, sizeof(*send));
    if (send == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a send");
    send->producer = producer;
    send->done = given->done;
    send->ctx = given->ctx;
    send->awaited = given->awaited;
    send->n_messages = given->count;
    send->task.run = rmq_send_begin;
    rmq_letter_init(&send->letter);
    rmq_status status;
    if (given->batch)
        status = rmq_letter_write_batch(&send->letter, given->messages, given->count,
                                        &producer->ids, err);
    else
        status = write_letter(producer, &send->letter, given->messages, err);
    if (status == RMQ_OK)
        status = address_send(send, given->messages, err);
    if (status == RMQ_OK)
        status = enter_window(producer, send, err);
    if (status != RMQ_OK) {
        rmq_send_free(send);
        return status;
    }
    rmq_loop_post(rmq_client_loop(producer->client), &send->task);
    return RMQ_OK;
}

rmq_status rmq_producer_send_async(rmq_producer *producer, const rmq_outgoing *message,
                                   rmq_send_fn done, void *ctx, rmq_error *err)
{
    const order given = {.messages = message, .count = 1, .done = done, .ctx = ctx};
    return start(producer, &given, err);
}

rmq_status rmq_producer_send_batch_async(rmq_producer *producer, const rmq_outgoing *messages,
                                         size_t count, rmq_send_fn done, void *ctx, rmq_error *err)
{
    const order given = {
        .messages = messages, .count = count, .batch = true, .done = done, .ctx = ctx};
    return start(producer, &given, err);
}

/* A caller that waits. */
typedef struct waiter {
    rmq_future future;
    rmq_send_result *out_result;
} waiter;

static void wake_waiter(rmq_status status, const rmq_send_result *result, const rmq_error *err,
                        void *ctx)
{
    waiter *self = ctx;
    if (result != NULL && self->out_result != NULL)
        *self->out_result = *result;
    rmq_future_set(&self->future, status, err, NULL);
}

static rmq_status send_and_wait(rmq_producer *producer, const rmq_outgoing *messages, size_t count,
                                bool batch, rmq_send_result *out_result, rmq_error *err)
{
    assert(!rmq_loop_is_current(rmq_client_loop(producer->client)));
    waiter self = {.out_result = out_result};
    rmq_future_init(&self.future);
    const order given = {.messages = messages,
                         .count = count,
                         .batch = batch,
                         .awaited = true,
                         .done = wake_waiter,
                         .ctx = &self};
    rmq_status status = start(producer, &given, err);
    if (status == RMQ_OK) {
        void *nothing;
        status = rmq_future_wait(&self.future, &nothing, err);
    }
    rmq_future_deinit(&self.future);
    return status;
}

rmq_status rmq_producer_send(rmq_producer *producer, const rmq_outgoing *message,
                             rmq_send_result *out_result, rmq_error *err)
{
    return send_and_wait(producer, message, 1, false, out_result, err);
}

rmq_status rmq_producer_send_batch(rmq_producer *producer, const rmq_outgoing *messages,
                                   size_t count, rmq_send_result *out_result, rmq_error *err)
{
    return send_and_wait(producer, messages, count, true, out_result, err);
}

rmq_status rmq_producer_flush(rmq_producer *producer, int64_t timeout_ms, rmq_error *err)
{
    assert(!rmq_loop_is_current(rmq_client_loop(producer->client)));
    const struct timespec deadline = rmq_deadline_after(timeout_ms);
    pthread_mutex_lock(&producer->mutex);
    int failure = 0;
    while (producer->unfinished > 0 && failure != ETIMEDOUT)
        failure = pthread_cond_timedwait(&producer->cond, &producer->mutex, &deadline);
    size_t unfinished = producer->unfinished;
    pthread_mutex_unlock(&producer->mutex);
    if (unfinished == 0)
        return RMQ_OK;
    return rmq_error_set(err, RMQ_TIMEOUT, "%zu sends are not answered after %lld ms", unfinished,
                         (long long)timeout_ms);
}

/* ---- making and freeing ---- */

static rmq_status take_config(rmq_producer *producer, const rmq_producer_config *given,
                              rmq_error *err)
{
    static const rmq_producer_config all_defaults = RMQ_PRODUCER_CONFIG_INIT;
    rmq_producer_config config;
    rmq_status status = rmq_sized_struct_copy(
        "producer config", given != NULL ? given : &all_defaults, &config, sizeof(config), err);
    if (status != RMQ_OK)
        return status;
    if (config.send_timeout_ms < 0 || config.send_timeout_ms > MAX_SEND_TIMEOUT_MS ||
        config.max_retries < -1 || config.max_retries > MAX_RETRIES ||
        config.default_topic_queues < 0 ||
        config.default_topic_queues > RMQ_ROUTE_MAX_QUEUES_PER_BROKER ||
        (config.when_full != RMQ_FULL_WAIT && config.when_full != RMQ_FULL_REFUSE))
        return rmq_error_set(err, RMQ_INVAL,
                             "producer: send_timeout_ms %lld, max_retries %d, "
                             "default_topic_queues %d or when_full %d is out of range",
                             (long long)config.send_timeout_ms, config.max_retries,
                             config.default_topic_queues, (int)config.when_full);
    const char *group =
        config.group != NULL && config.group[0] != '\0' ? config.group : DEFAULT_GROUP;
    if (strlen(group) > GROUP_MAX_BYTES)
        return rmq_error_set(err, RMQ_INVAL, "producer: a group of more than %d characters",
                             GROUP_MAX_BYTES);
    if (config.send_timeout_ms == 0)
        config.send_timeout_ms = DEFAULT_SEND_TIMEOUT_MS;
    if (config.max_retries == 0)
        config.max_retries = DEFAULT_MAX_RETRIES;
    else if (config.max_retries < 0)
        config.max_retries = 0;
    if (config.max_in_flight == 0)
        config.max_in_flight = DEFAULT_MAX_IN_FLIGHT;
    if (config.max_in_flight_bytes == 0)
        config.max_in_flight_bytes = DEFAULT_MAX_IN_FLIGHT_BYTES;
    if (config.default_topic_queues == 0)
        config.default_topic_queues = DEFAULT_TOPIC_QUEUES;
    config.group = rmq_strdup(group);
    producer->config = config;
    return config.group != NULL ? RMQ_OK
                                : rmq_error_set(err, RMQ_NOMEM, "no memory for a producer");
}

/* Ids must differ between producers, processes and machines: mostly noise. */
static void seed_ids(rmq_unique_id_source *ids)
{
    uint64_t noise[2] = {0, 0};
    if (getentropy(noise, sizeof(noise)) != 0)
        noise[0] = (uint64_t)rmq_clock_monotonic_ns() ^ (uint64_t)(uintptr_t)ids;
    memcpy(ids->address, noise, sizeof(ids->address));
    ids->process_id = (uint16_t)getpid();
    ids->noise = (uint32_t)noise[1];
    ids->counter = (uint32_t)(noise[1] >> 32);
}

static void on_client_cancelled(rmq_cancel_hook *hook)
{
    rmq_producer *producer =
        (rmq_producer *)(void *)((char *)hook - offsetof(rmq_producer, cancel_hook));
    pthread_mutex_lock(&producer->mutex);
    producer->cancelled = true;
    pthread_cond_broadcast(&producer->cond);
    pthread_mutex_unlock(&producer->mutex);
    while (producer->sends != NULL)
        rmq_send_cancel(producer->sends);
}

typedef struct errand {
    rmq_task task; /* first */
    rmq_producer *producer;
    rmq_status status;
    rmq_error *err;
} errand;

static void open_on_loop(rmq_task *task)
{
    errand *work = (errand *)(void *)task;
    rmq_producer *producer = work->producer;
    work->status =
        rmq_client_add_producer_group(producer->client, producer->config.group, work->err);
    if (work->status != RMQ_OK)
        return;
    for (size_t i = 0; i < RMQ_PRODUCER_TURNS; i++)
        producer->turns[i] = producer->ids.counter;
    producer->cancel_hook.cancelled = on_client_cancelled;
    rmq_cancel_hook_add(producer->client, &producer->cancel_hook);
    if (rmq_client_is_cancelled(producer->client))
        on_client_cancelled(&producer->cancel_hook);
}

static void close_on_loop(rmq_task *task)
{
    errand *work = (errand *)(void *)task;
    rmq_producer *producer = work->producer;
    producer->closing = true;
    pthread_mutex_lock(&producer->mutex);
    producer->cancelled = true; /* a completion may try to send more */
    pthread_mutex_unlock(&producer->mutex);
    while (producer->sends != NULL)
        rmq_send_cancel(producer->sends);
    rmq_cancel_hook_remove(&producer->cancel_hook);
    rmq_client_remove_producer_group(producer->client, producer->config.group);
}

static void free_producer(rmq_producer *producer)
{
    rmq_free((char *)producer->config.group);
    pthread_cond_destroy(&producer->cond);
    pthread_mutex_destroy(&producer->mutex);
    pthread_mutex_destroy(&producer->codec_mutex);
    rmq_codec_deinit(&producer->codec);
    rmq_free(producer);
}

rmq_status rmq_producer_new(rmq_client *client, const rmq_producer_config *config,
                            rmq_producer **out_producer, rmq_error *err)
{
    rmq_producer *producer = rmq_calloc(1, sizeof(*producer));
    if (producer == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a producer");
    producer->client = client;
    pthread_mutex_init(&producer->codec_mutex, NULL);
    pthread_mutex_init(&producer->mutex, NULL);
    rmq_deadline_cond_init(&producer->cond);
    seed_ids(&producer->ids);
    rmq_status status = take_config(producer, config, err);
    if (status == RMQ_OK) {
        errand work = {.task.run = open_on_loop, .producer = producer, .err = err};
        rmq_loop_run_sync(rmq_client_loop(client), &work.task);
        status = work.status;
    }
    if (status != RMQ_OK) {
        free_producer(producer);
        return status;
    }
    *out_producer = producer;
    return RMQ_OK;
}

void rmq_producer_free(rmq_producer *producer)
{
    if (producer == NULL)
        return;
    errand work = {.task.run = close_on_loop, .producer = producer};
    rmq_loop_run_sync(rmq_client_loop(producer->client), &work.task);
    free_producer(producer);
}
