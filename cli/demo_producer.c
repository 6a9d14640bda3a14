/* The demo's producer: sends every order of the ledger, in batches, spread over some seconds, and
 * enters what was acknowledged.
 *
 * A send whose fate is unknown would make the books a matter of belief, so nothing is sent twice:
 * the first failure ends the producer, and the demo with it. Only what a busy broker has refused
 * unread is sent again.
 *
 * The orders must outlast the crashes, on a slow machine too: beyond what the demo allows they come
 * one batch at a time, just enough for the job to have something to be killed in. */
#include "demo.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rmq/producer.h>

#include "signals.h"

#define BATCH_ORDERS 100
/* SYSTEM_BUSY: thrown out of the broker's queue, or never let in, before it was looked at. Source:
 * BrokerFastFailure, NettyRemotingAbstract 5.4.0. */
#define SYSTEM_BUSY 2
#define BUSY_PAUSE_MS 50
#define TRICKLE_MS 250
#define MAX_TRIES 200
#define BODY_BYTES 128

struct mill_demo_producer {
    rmq_producer *producer;
    const char *topic;
    mill_ledger *ledger;
    int64_t spread_ms;
    pthread_t thread;
    rmq_error failure;
    rmq_status status;
    atomic_bool done;
    pthread_mutex_t lock; /* guards what follows */
    rmq_status async_status;
    rmq_error async_failure;
    struct flight *refused; /* by a busy broker: to be sent again */
};

/* A batch under way. */
typedef struct flight {
    mill_demo_producer *self;
    int64_t first;
    int64_t count;
    int tries;
    struct flight *next;
} flight;

static void acknowledged(rmq_status status, const rmq_send_result *result, const rmq_error *err,
                         void *ctx)
{
    flight *sent = ctx;
    mill_demo_producer *self = sent->self;
    (void)result;
    if (status == RMQ_OK) {
        for (int64_t i = 0; i < sent->count; i++)
            atomic_store(&self->ledger->acknowledged[sent->first + i], 1);
        atomic_fetch_add(&self->ledger->sent, sent->count);
    } else {
        pthread_mutex_lock(&self->lock);
        if (err->broker_code == SYSTEM_BUSY && sent->tries < MAX_TRIES) {
            sent->next = self->refused;
            self->refused = sent;
            sent = NULL;
        } else {
            if (self->async_status == RMQ_OK)
                self->async_failure = *err;
            self->async_status = status;
        }
        pthread_mutex_unlock(&self->lock);
    }
    rmq_free(sent);
}

/* Takes `take_batch`, also if it fails. */
static rmq_status send_batch(mill_demo_producer *self, flight *take_batch, rmq_error *err)
{
    rmq_outgoing messages[BATCH_ORDERS];
    char bodies[BATCH_ORDERS][BODY_BYTES];
    const size_t count = (size_t)take_batch->count;
    for (size_t i = 0; i < count; i++) {
        int64_t number = take_batch->first + (int64_t)i;
        int len = snprintf(bodies[i], BODY_BYTES,
                           "{\"orderNo\":\"o-%lld\",\"customer\":\"c-%lld\",\"cost\":%lld}",
                           (long long)number, (long long)mill_ledger_customer(self->ledger, number),
                           (long long)mill_ledger_cost(self->ledger, number));
        messages[i] = (rmq_outgoing)RMQ_OUTGOING_INIT;
        messages[i].topic = self->topic;
        messages[i].body = (rmq_slice){bodies[i], (size_t)len};
    }
    take_batch->tries++;
    rmq_status status = rmq_producer_send_batch_async(self->producer, messages, count, acknowledged,
                                                      take_batch, err);
    if (status != RMQ_OK)
        rmq_free(take_batch);
    return status;
}

static rmq_status send_new(mill_demo_producer *self, int64_t first, rmq_error *err)
{
    int64_t left = self->ledger->n_orders - first;
    flight *batch = rmq_calloc(1, sizeof(*batch));
    if (batch == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    *batch =
        (flight){.self = self, .first = first, .count = left < BATCH_ORDERS ? left : BATCH_ORDERS};
    return send_batch(self, batch, err);
}

static void pause_until(int64_t at_ms)
{
    int64_t wait_ms = at_ms - rmq_clock_monotonic_ns() / 1000000;
    if (wait_ms > 0) {
        struct timespec span = {wait_ms / 1000, wait_ms % 1000 * 1000000};
        nanosleep(&span, NULL);
    }
}

static void free_flights(flight *list)
{
    while (list != NULL) {
        flight *next = list->next;
        rmq_free(list);
        list = next;
    }
}

/* Sends again what was refused, after a pause; *out_any: there was something. Gives what failed for
 * good. */
static rmq_status send_refused(mill_demo_producer *self, bool *out_any, rmq_error *err)
{
    pthread_mutex_lock(&self->lock);
    flight *list = self->refused;
    self->refused = NULL;
    rmq_status status = self->async_status;
    if (status != RMQ_OK)
        *err = self->async_failure;
    pthread_mutex_unlock(&self->lock);
    *out_any = list != NULL;
    if (list != NULL)
        pause_until(rmq_clock_monotonic_ns() / 1000000 + BUSY_PAUSE_MS);
    while (status == RMQ_OK && list != NULL) {
        flight *batch = list;
        list = batch->next;
        status = send_batch(self, batch, err);
    }
    free_flights(list);
    return status;
}

static rmq_status send_all(mill_demo_producer *self, rmq_error *err)
{
    int64_t n = self->ledger->n_orders;
    int64_t started_ms = rmq_clock_monotonic_ns() / 1000000;
    rmq_status status = RMQ_OK;
    bool any = true;
    for (int64_t first = 0; status == RMQ_OK && first < n && !mill_signals_stopping();
         first += BATCH_ORDERS) {
        pause_until(started_ms + self->spread_ms * first / n);
        if (first >= atomic_load(&self->ledger->allowed)) {
            pause_until(rmq_clock_monotonic_ns() / 1000000 + TRICKLE_MS);
            started_ms += TRICKLE_MS; /* what follows is not to come in a rush */
        }
        status = send_refused(self, &any, err);
        if (status == RMQ_OK)
            status = send_new(self, first, err);
    }
    for (any = true; status == RMQ_OK && any;) {
        status = rmq_producer_flush(self->producer, 30000, err);
        if (status == RMQ_OK)
            status = send_refused(self, &any, err);
    }
    return status;
}

static void *produce(void *ctx)
{
    mill_demo_producer *self = ctx;
    pthread_setname_np(pthread_self(), "demo-producer");
    self->status = send_all(self, &self->failure);
    atomic_store(&self->done, true);
    return NULL;
}

rmq_status mill_demo_producer_start(rmq_client *client, const char *topic, mill_ledger *ledger,
                                    int64_t spread_ms, mill_demo_producer **out_producer,
                                    rmq_error *err)
{
    mill_demo_producer *self = rmq_calloc(1, sizeof(*self));
    if (self == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    config.group = "millrace_demo";
    config.max_retries = -1;
    config.send_timeout_ms = 10000;
    config.max_in_flight = 4096;
    self->topic = topic;
    self->ledger = ledger;
    self->spread_ms = spread_ms;
    atomic_init(&self->done, false);
    pthread_mutex_init(&self->lock, NULL);
    rmq_status status = rmq_producer_new(client, &config, &self->producer, err);
    if (status == RMQ_OK) {
        int result = pthread_create(&self->thread, NULL, produce, self);
        if (result != 0)
            status = rmq_error_set_errno(err, result, "thread");
    }
    if (status == RMQ_OK) {
        *out_producer = self;
    } else {
        rmq_producer_free(self->producer);
        pthread_mutex_destroy(&self->lock);
        rmq_free(self);
    }
    return status;
}

bool mill_demo_producer_done(const mill_demo_producer *producer)
{
    return atomic_load(&producer->done);
}

rmq_status mill_demo_producer_finish(mill_demo_producer *producer, rmq_error *err)
{
    pthread_join(producer->thread, NULL);
    rmq_status status = producer->status;
    if (status != RMQ_OK)
        *err = producer->failure;
    rmq_producer_free(producer->producer);
    free_flights(producer->refused);
    pthread_mutex_destroy(&producer->lock);
    rmq_free(producer);
    return status;
}
