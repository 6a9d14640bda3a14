/* The demo's producer: sends every order of the ledger, in batches, spread over some seconds, and
 * enters what was acknowledged.
 *
 * A send whose fate is unknown would make the books a matter of belief, so nothing is sent twice:
 * the first failure ends the producer, and the demo with it. */
#include "demo.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rmq/producer.h>

#include "signals.h"

#define BATCH_ORDERS 100
#define BODY_BYTES 128

struct mill_demo_producer {
    rmq_producer *producer;
    const char *topic;
    mill_ledger *ledger;
    int64_t spread_ms;
    pthread_t thread;
    rmq_error failure;
    rmq_status status;
    pthread_mutex_t lock; /* guards async_status and async_failure */
    rmq_status async_status;
    rmq_error async_failure;
    atomic_bool done;
};

typedef struct flight {
    mill_demo_producer *self;
    int64_t first;
    int64_t count;
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
        if (self->async_status == RMQ_OK)
            self->async_failure = *err;
        self->async_status = status;
        pthread_mutex_unlock(&self->lock);
    }
    rmq_free(sent);
}

static rmq_status async_failure(mill_demo_producer *self, rmq_error *err)
{
    pthread_mutex_lock(&self->lock);
    rmq_status status = self->async_status;
    if (status != RMQ_OK)
        *err = self->async_failure;
    pthread_mutex_unlock(&self->lock);
    return status;
}

static rmq_status send_batch(mill_demo_producer *self, int64_t first, int64_t count, rmq_error *err)
{
    rmq_outgoing messages[BATCH_ORDERS];
    char bodies[BATCH_ORDERS][BODY_BYTES];
    for (int64_t i = 0; i < count; i++) {
        long long number = first + i;
        int len = snprintf(bodies[i], BODY_BYTES,
                           "{\"orderNo\":\"o-%lld\",\"customer\":\"c-%lld\",\"cost\":%lld}", number,
                           (long long)mill_ledger_customer(self->ledger, number),
                           (long long)mill_ledger_cost(self->ledger, number));
        messages[i] = (rmq_outgoing)RMQ_OUTGOING_INIT;
        messages[i].topic = self->topic;
        messages[i].body = (rmq_slice){bodies[i], (size_t)len};
    }
    flight *ctx = rmq_calloc(1, sizeof(*ctx));
    if (ctx == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    *ctx = (flight){self, first, count};
    rmq_status status = rmq_producer_send_batch_async(self->producer, messages, (size_t)count,
                                                      acknowledged, ctx, err);
    if (status != RMQ_OK)
        rmq_free(ctx);
    return status;
}

static void pause_until(int64_t at_ms)
{
    int64_t wait_ms = at_ms - rmq_clock_monotonic_ns() / 1000000;
    if (wait_ms > 0) {
        struct timespec span = {wait_ms / 1000, wait_ms % 1000 * 1000000};
        nanosleep(&span, NULL);
    }
}

static void *produce(void *ctx)
{
    mill_demo_producer *self = ctx;
    pthread_setname_np(pthread_self(), "demo-producer");
    int64_t n = self->ledger->n_orders;
    int64_t started_ms = rmq_clock_monotonic_ns() / 1000000;
    rmq_status status = RMQ_OK;
    for (int64_t first = 0; status == RMQ_OK && first < n && !mill_signals_stopping();
         first += BATCH_ORDERS) {
        pause_until(started_ms + self->spread_ms * first / n);
        status = send_batch(self, first, n - first < BATCH_ORDERS ? n - first : BATCH_ORDERS,
                            &self->failure);
        if (status == RMQ_OK)
            status = async_failure(self, &self->failure);
    }
    if (status == RMQ_OK)
        status = rmq_producer_flush(self->producer, 30000, &self->failure);
    if (status == RMQ_OK)
        status = async_failure(self, &self->failure);
    self->status = status;
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
    pthread_mutex_destroy(&producer->lock);
    rmq_free(producer);
    return status;
}
