/* millrace bench send: how fast can this client send to that topic, from here?
 *
 * One thread starts asynchronous sends; a slot is taken for each and given back by its
 * acknowledgement, so --in-flight requests are under way at a time (32 MiB of them, at most). The
 * latency is that from the start of a send to its acknowledgement. With --rate the sends start at
 * even distances, whatever the broker does, and the latency counts from the moment that a send was
 * due: a stall is not hidden by the sends that it held up.
 *
 * Bodies are small JSON objects, filled up to --size; the same count gives the same bodies. */
#include "commands.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rmq/producer.h>

#include "bench.h"
#include "connection.h"
#include "log.h"
#include "signals.h"

#define MAX_BATCH 1000
#define MAX_IN_FLIGHT 65536
#define MAX_SIZE (4 * 1024 * 1024)
#define MAX_REQUEST_BYTES (4 * 1024 * 1024)
#define IN_FLIGHT_BYTES ((size_t)32 * 1024 * 1024)
#define FLUSH_MS 60000

typedef struct bench bench;

/* One request under way. */
typedef struct slot {
    bench *bench;
    struct slot *next_free;
    int64_t begin_ns;
} slot;

struct bench {
    const char *topic;
    rmq_client *client;
    rmq_producer *producer;
    int64_t size;
    int64_t batch;
    int64_t count; /* messages to be sent; -1: until the time is up */
    int64_t rate;  /* messages a second; 0: as many as can be */
    int64_t seconds_ns;
    int64_t warm_up_ns;
    int64_t started;
    rmq_outgoing *messages;
    char *bodies;
    slot *slots;
    int64_t n_slots;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    slot *free_slots;
    bool measuring;
    uint64_t acknowledged; /* messages */
    uint64_t requests;
    mill_histogram latency;
    rmq_status status; /* the first failure */
    rmq_error err;
};

/* ---- acknowledgements, on the loop ---- */

static void on_sent(rmq_status status, const rmq_send_result *result, const rmq_error *err,
                    void *ctx)
{
    (void)result;
    slot *done = ctx;
    bench *self = done->bench;
    int64_t now_ns = rmq_clock_monotonic_ns();
    pthread_mutex_lock(&self->mutex);
    if (status == RMQ_OK) {
        self->acknowledged += (uint64_t)self->batch;
        self->requests++;
        if (self->measuring)
            mill_histogram_add(&self->latency, now_ns - done->begin_ns, 1);
    } else if (self->status == RMQ_OK) {
        self->status = status;
        self->err = *err;
    }
    bool was_empty = self->free_slots == NULL;
    done->next_free = self->free_slots;
    self->free_slots = done;
    pthread_mutex_unlock(&self->mutex);
    if (was_empty)
        pthread_cond_signal(&self->cond);
}

/* Waits for a slot; NULL after a failure. */
static slot *take_slot(bench *self)
{
    pthread_mutex_lock(&self->mutex);
    while (self->free_slots == NULL && self->status == RMQ_OK)
        pthread_cond_wait(&self->cond, &self->mutex);
    slot *taken = self->status == RMQ_OK ? self->free_slots : NULL;
    if (taken != NULL)
        self->free_slots = taken->next_free;
    pthread_mutex_unlock(&self->mutex);
    return taken;
}

/* ---- sending ---- */

/* {"orderNo":"c012345","cost":678,"n":9,"pad":"xxx"} in just `size` bytes; letters where that is
 * too short for it. */
static void write_body(char *body, size_t size, int64_t number)
{
    char text[96];
    int len = snprintf(text, sizeof(text), "{\"orderNo\":\"c%06lld\",\"cost\":%lld,\"pad\":\"",
                       (long long)(number * 7919 % 100000), (long long)(number % 997));
    memset(body, 'x', size);
    if (size < (size_t)len + 2)
        return;
    memcpy(body, text, (size_t)len);
    body[size - 2] = '"';
    body[size - 1] = '}';
}

static void pace(const bench *self, int64_t due_ns)
{
    if (self->rate == 0)
        return;
    int64_t left_ns = due_ns - rmq_clock_monotonic_ns();
    if (left_ns <= 0)
        return;
    const struct timespec pause = {.tv_sec = (time_t)(left_ns / 1000000000),
                                   .tv_nsec = (long)(left_ns % 1000000000)};
    (void)nanosleep(&pause, NULL);
}

static rmq_status send_one(bench *self, int64_t due_ns, rmq_error *err)
{
    for (int64_t i = 0; i < self->batch; i++)
        write_body(self->bodies + i * self->size, (size_t)self->size, self->started + i);
    slot *taken = take_slot(self);
    if (taken == NULL)
        return RMQ_CANCELLED; /* the failure is told at the end */
    pace(self, due_ns);
    taken->begin_ns = self->rate > 0 ? due_ns : rmq_clock_monotonic_ns();
    rmq_status status =
        self->batch == 1
            ? rmq_producer_send_async(self->producer, self->messages, on_sent, taken, err)
            : rmq_producer_send_batch_async(self->producer, self->messages, (size_t)self->batch,
                                            on_sent, taken, err);
    if (status == RMQ_OK)
        self->started += self->batch;
    return status;
}

static void begin_measuring(bench *self, mill_bench_mark *mark, uint64_t *messages,
                            uint64_t *requests)
{
    pthread_mutex_lock(&self->mutex);
    self->measuring = true;
    *messages = self->acknowledged;
    *requests = self->requests;
    pthread_mutex_unlock(&self->mutex);
    *mark = mill_bench_now();
}

static bool is_over(const bench *self, const mill_bench_mark *begin)
{
    if (mill_signals_stopping())
        return true;
    if (self->count >= 0)
        return self->started >= self->count;
    return rmq_clock_monotonic_ns() >= begin->at_ns + self->seconds_ns;
}

/* Sends until the time is up or all is sent, then waits for the last acknowledgement: it belongs to
 * the time that is measured, too. */
static rmq_status measure(bench *self, mill_bench_report *out_report, rmq_error *err)
{
    mill_bench_mark begin = mill_bench_now();
    int64_t start_ns = begin.at_ns;
    uint64_t messages = 0;
    uint64_t requests = 0;
    bool warm = self->count >= 0;
    if (warm)
        begin_measuring(self, &begin, &messages, &requests);
    rmq_status status = RMQ_OK;
    while (status == RMQ_OK && !(warm && is_over(self, &begin)) && !mill_signals_stopping()) {
        if (!warm && rmq_clock_monotonic_ns() >= start_ns + self->warm_up_ns) {
            begin_measuring(self, &begin, &messages, &requests);
            warm = true;
        }
        int64_t due_ns =
            self->rate > 0 ? start_ns + (int64_t)((double)self->started * 1e9 / (double)self->rate)
                           : 0;
        status = send_one(self, due_ns, err);
    }
    rmq_error flush_err;
    rmq_status flushed = rmq_producer_flush(self->producer, FLUSH_MS, &flush_err);
    mill_bench_mark end = mill_bench_now();
    if (self->status != RMQ_OK) { /* nothing is in flight: on_sent is over */
        *err = self->err;
        return self->status;
    }
    if (status == RMQ_OK && flushed != RMQ_OK) {
        *err = flush_err;
        status = flushed;
    }
    *out_report = (mill_bench_report){
        .name = "send",
        .latency_of = self->rate > 0 ? "from when a send was due to its acknowledgement"
                                     : "from a send to its acknowledgement",
        .messages = self->acknowledged - messages,
        .bytes = (self->acknowledged - messages) * (uint64_t)self->size,
        .requests = self->requests - requests,
        .seconds = (double)(end.at_ns - begin.at_ns) / 1e9,
        .cpu_seconds = end.cpu_seconds - begin.cpu_seconds,
        .latency = &self->latency,
    };
    return status;
}

/* ---- start and end ---- */

static rmq_status start(bench *self, rmq_error *err)
{
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    config.max_in_flight = (size_t)(self->n_slots * self->batch);
    size_t request_bytes = (size_t)self->batch * ((size_t)self->size + 1024);
    config.max_in_flight_bytes = request_bytes > IN_FLIGHT_BYTES ? request_bytes : IN_FLIGHT_BYTES;
    self->slots = rmq_calloc((size_t)self->n_slots, sizeof(*self->slots));
    self->messages = rmq_calloc((size_t)self->batch, sizeof(*self->messages));
    self->bodies = rmq_malloc((size_t)(self->batch * self->size));
    if (self->slots == NULL || self->messages == NULL || self->bodies == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    for (int64_t i = 0; i < self->n_slots; i++) {
        self->slots[i].bench = self;
        self->slots[i].next_free = self->free_slots;
        self->free_slots = &self->slots[i];
    }
    for (int64_t i = 0; i < self->batch; i++) {
        self->messages[i] = (rmq_outgoing)RMQ_OUTGOING_INIT;
        self->messages[i].topic = self->topic;
        self->messages[i].body = (rmq_slice){self->bodies + i * self->size, (size_t)self->size};
    }
    return rmq_producer_new(self->client, &config, &self->producer, err);
}

static void stop(bench *self)
{
    rmq_producer_free(self->producer);
    mill_disconnect(self->client);
    rmq_free(self->slots);
    rmq_free(self->messages);
    rmq_free(self->bodies);
}

static bool parse(const mill_args *args, bench *self)
{
    self->topic = mill_args_need(args, "topic");
    if (self->topic == NULL || !mill_args_int64(args, "size", 1, MAX_SIZE, 128, &self->size) ||
        !mill_args_int64(args, "batch", 1, MAX_BATCH, 1, &self->batch) ||
        !mill_args_int64(args, "count", 1, INT64_MAX, -1, &self->count) ||
        !mill_args_int64(args, "rate", 1, 1000000000, 0, &self->rate) ||
        !mill_args_int64(args, "in-flight", 1, MAX_IN_FLIGHT, 64, &self->n_slots) ||
        !mill_bench_times(args, &self->seconds_ns, &self->warm_up_ns))
        return false;
    if (self->batch * self->size <= MAX_REQUEST_BYTES)
        return true;
    mill_complain_usage(mill_args_command(args), "--batch %lld of --size %lld is over 4 MiB",
                        (long long)self->batch, (long long)self->size);
    return false;
}

static int run(const mill_args *args)
{
    rmq_error err;
    mill_bench_report report;
    int exit_code = MILL_EXIT_USAGE;
    bench *self = rmq_calloc(1, sizeof(*self));
    if (self == NULL)
        return mill_complain("out of memory"), MILL_EXIT_FAILURE;
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->cond, NULL);
    if (parse(args, self))
        self->client = mill_connect(args, &exit_code);
    if (self->client != NULL) {
        mill_log_quiet(false);
        mill_signals_cancel_client(NULL); /* a stop ends the time, not what is under way */
        rmq_status status = start(self, &err);
        if (status == RMQ_OK)
            status = measure(self, &report, &err);
        exit_code = status == RMQ_OK ? mill_bench_print(args, &report)
                                     : mill_complain_call("bench send", &err);
    }
    stop(self);
    pthread_cond_destroy(&self->cond);
    pthread_mutex_destroy(&self->mutex);
    rmq_free(self);
    return exit_code;
}

static const mill_option options[] = {
    {"topic", "TOPIC", "where to (needed)", false, false},
    {"size", "BYTES", "of a body (default 128)", false, false},
    {"batch", "N", "messages in a request (default 1)", false, false},
    {"in-flight", "N", "requests under way at most (default 64)", false, false},
    {"count", "N", "send just so many, with no warm-up, instead of for a time", false, false},
    {"rate", "N", "messages a second (default: as many as can be)", false, false},
    {"seconds", "TIME", "how long to measure (default 5s)", false, false},
    {"warm-up", "TIME", "how long to send before that (default 500ms)", false, false},
    {"json", NULL, "one JSON object", false, false},
    {NULL, NULL, NULL, false, false},
};

const mill_command mill_command_bench_send = {
    "bench send",
    "Measures sending to a topic: messages a second, CPU, memory, latency.",
    "Every message counts once it is acknowledged. CPU and memory are those of this process.\n"
    "A --count that is no multiple of --batch is rounded up.",
    NULL,
    options,
    true,
    run,
};
