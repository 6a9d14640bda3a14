/* millrace bench read: how fast can this client read that topic, from here?
 *
 *     loop thread                    reading threads (--threads)
 *     all queues' answers ── ready ──> bell's list ──> decode, check, count ──> next
 *
 * Every queue has a reader; a thread takes from its list of ready queues one batch at a time, so a
 * queue with much to give doesn't starve its neighbours, and a thousand queues cost no more than
 * the few that are ready. Bodies are checked (their checksums, by the reader) and counted.
 *
 * The topic is read from its first message to the end that was there at the start, again and again
 * until the time is up; with --follow, from its end on, as messages come. This thread only looks at
 * the clock: it notes the counters when the warm-up is over and when the time is up. */
#include "commands.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <rmq/consumer.h>

#include "bench.h"
#include "connection.h"
#include "log.h"
#include "signals.h"

#define MAX_THREADS 256
/* For all queues; and the least for one of them. */
#define SHARED_BYTES ((size_t)32 * 1024 * 1024)
#define LEAST_BYTES ((size_t)32 * 1024)

typedef struct worker worker;

typedef struct bench_queue {
    worker *owner;
    rmq_reader *reader;
    int64_t start;
    int64_t end;
    int64_t last_batch_ns;
    struct bench_queue *next_ready;
    bool is_ready; /* it is in its worker's list */
} bench_queue;

typedef struct bench {
    const char *topic;
    rmq_client *client;
    rmq_reader_config config;
    bool follow;
    size_t n_threads;
    bench_queue *queues;
    size_t n_queues;
    worker *workers;
    size_t n_started;
    int64_t seconds_ns;
    int64_t warm_up_ns;
    atomic_bool measuring;
    atomic_bool over;
} bench;

struct worker {
    bench *bench;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards the list */
    pthread_cond_t cond;
    bench_queue *ready;
    bench_queue **ready_tail;
    bool waiting;
    atomic_uint_least64_t messages;
    atomic_uint_least64_t bytes;
    atomic_uint_least64_t batches;
    mill_histogram latency;
    rmq_status status;
    rmq_error err;
};

/* ---- the list of ready queues ---- */

static void push_ready(bench_queue *queue)
{
    worker *self = queue->owner;
    pthread_mutex_lock(&self->mutex);
    bool wake = self->waiting && !queue->is_ready;
    if (!queue->is_ready) {
        queue->is_ready = true;
        queue->next_ready = NULL;
        *self->ready_tail = queue;
        self->ready_tail = &queue->next_ready;
    }
    pthread_mutex_unlock(&self->mutex);
    if (wake)
        pthread_cond_signal(&self->cond);
}

static void on_ready(void *ctx)
{
    push_ready(ctx);
}

/* Waits for a ready queue; NULL when the time is up. */
static bench_queue *pop_ready(worker *self)
{
    pthread_mutex_lock(&self->mutex);
    while (self->ready == NULL && !atomic_load(&self->bench->over)) {
        self->waiting = true;
        pthread_cond_wait(&self->cond, &self->mutex);
        self->waiting = false;
    }
    bench_queue *queue = atomic_load(&self->bench->over) ? NULL : self->ready;
    if (queue != NULL) {
        self->ready = queue->next_ready;
        if (self->ready == NULL)
            self->ready_tail = &self->ready;
        queue->is_ready = false;
    }
    pthread_mutex_unlock(&self->mutex);
    return queue;
}

static void end_all(bench *self)
{
    atomic_store(&self->over, true);
    for (size_t i = 0; i < self->n_started; i++) {
        pthread_mutex_lock(&self->workers[i].mutex);
        pthread_cond_signal(&self->workers[i].cond);
        pthread_mutex_unlock(&self->workers[i].mutex);
    }
}

/* ---- reading ---- */

static void count_up(atomic_uint_least64_t *counter, uint64_t more)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

static rmq_status take_batch(worker *self, bench_queue *queue, const rmq_batch *batch,
                             rmq_error *err)
{
    bool measuring = atomic_load_explicit(&self->bench->measuring, memory_order_relaxed);
    int64_t now_ns = rmq_clock_monotonic_ns();
    int64_t wall_ms = self->bench->follow ? rmq_clock_wall_ms() : 0;
    size_t n = rmq_batch_count(batch);
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const rmq_message *message = rmq_batch_at(batch, i);
        if (message->body_status != RMQ_OK)
            return rmq_error_set(err, message->body_status,
                                 "queue %d offset %lld: the body fails its checksum or can't be "
                                 "decompressed",
                                 message->queue_id, (long long)message->queue_offset);
        bytes += message->body.len;
        if (self->bench->follow && measuring)
            mill_histogram_add(&self->latency, (wall_ms - message->born_timestamp_ms) * 1000000, 1);
    }
    if (!self->bench->follow && measuring)
        mill_histogram_add(&self->latency, now_ns - queue->last_batch_ns, 1);
    queue->last_batch_ns = now_ns;
    count_up(&self->messages, n);
    count_up(&self->bytes, bytes);
    count_up(&self->batches, 1);
    return RMQ_OK;
}

static rmq_status read_one(worker *self, bench_queue *queue, rmq_error *err)
{
    rmq_batch *batch = NULL;
    rmq_status status = rmq_reader_next(queue->reader, 0, &batch, err);
    if (status == RMQ_AGAIN)
        return RMQ_OK;
    if (status == RMQ_NOT_FOUND)
        return rmq_reader_seek(queue->reader, queue->start, err);
    if (status != RMQ_OK)
        return status;
    status = take_batch(self, queue, batch, err);
    rmq_batch_unref(batch);
    push_ready(queue);
    return status;
}

static void *work(void *ctx)
{
    worker *self = ctx;
    bench_queue *queue;
    while (self->status == RMQ_OK && (queue = pop_ready(self)) != NULL)
        self->status = read_one(self, queue, &self->err);
    if (self->status != RMQ_OK)
        atomic_store(&self->bench->over, true);
    return NULL;
}

/* ---- the window of time ---- */

typedef struct totals {
    uint64_t messages;
    uint64_t bytes;
    uint64_t batches;
} totals;

static totals sum(const bench *self)
{
    totals all = {0, 0, 0};
    for (size_t i = 0; i < self->n_started; i++) {
        all.messages += atomic_load(&self->workers[i].messages);
        all.bytes += atomic_load(&self->workers[i].bytes);
        all.batches += atomic_load(&self->workers[i].batches);
    }
    return all;
}

/* Sleeps until `end_ns`, a stop, or a worker's failure. */
static void sleep_until(const bench *self, int64_t end_ns)
{
    for (;;) {
        int64_t left_ms = (end_ns - rmq_clock_monotonic_ns()) / 1000000;
        struct pollfd stop = {mill_signals_fd(), POLLIN, 0};
        if (left_ms <= 0 || mill_signals_stopping() || atomic_load(&self->over))
            return;
        (void)poll(&stop, 1, left_ms < 100 ? (int)left_ms : 100);
    }
}

static rmq_status measure(bench *self, mill_bench_report *out_report, mill_histogram *out_latency,
                          rmq_error *err)
{
    sleep_until(self, rmq_clock_monotonic_ns() + self->warm_up_ns);
    totals before = sum(self);
    mill_bench_mark begin = mill_bench_now();
    atomic_store(&self->measuring, true);
    sleep_until(self, begin.at_ns + self->seconds_ns);
    totals after = sum(self);
    mill_bench_mark end = mill_bench_now();
    end_all(self);
    for (size_t i = 0; i < self->n_started; i++) {
        worker *done = &self->workers[i];
        pthread_join(done->thread, NULL);
        mill_histogram_merge(out_latency, &done->latency);
        if (done->status != RMQ_OK) {
            *err = done->err;
            self->n_started = 0;
            return done->status;
        }
    }
    self->n_started = 0;
    *out_report = (mill_bench_report){
        .name = "read",
        .latency_of = self->follow ? "from a message's birth to its being read"
                                   : "from one batch of a queue to the next",
        .messages = after.messages - before.messages,
        .bytes = after.bytes - before.bytes,
        .requests = after.batches - before.batches,
        .seconds = (double)(end.at_ns - begin.at_ns) / 1e9,
        .cpu_seconds = end.cpu_seconds - begin.cpu_seconds,
        .latency = out_latency,
    };
    return RMQ_OK;
}

/* ---- start and end ---- */

static rmq_status open_queue(bench *self, const rmq_queue *queue, rmq_error *err)
{
    assert(self->n_threads > 0);
    bench_queue *added = &self->queues[self->n_queues];
    rmq_reader_config config = self->config;
    rmq_status status = rmq_queue_max_offset(self->client, queue, &added->end, err);
    if (status == RMQ_OK)
        status = rmq_queue_min_offset(self->client, queue, &added->start, err);
    if (status != RMQ_OK || (added->start >= added->end && !self->follow))
        return status;
    config.queue = *queue;
    config.start_offset = self->follow ? added->end : added->start;
    config.end_offset = self->follow ? RMQ_READ_ENDLESS : added->end;
    config.on_ready = on_ready;
    config.on_ready_ctx = added;
    added->owner = &self->workers[self->n_queues % self->n_threads];
    added->last_batch_ns = rmq_clock_monotonic_ns();
    status = rmq_reader_open(self->client, &config, &added->reader, err);
    if (status == RMQ_OK)
        self->n_queues++;
    return status;
}

static rmq_status start_workers(bench *self, rmq_error *err)
{
    for (size_t i = 0; i < self->n_threads; i++) {
        int failure = pthread_create(&self->workers[i].thread, NULL, work, &self->workers[i]);
        if (failure != 0)
            return rmq_error_set(err, RMQ_NOMEM, "cannot start a thread: %s", strerror(failure));
        self->n_started++;
    }
    return RMQ_OK;
}

/* A thousand queues at the library's default could take 8 GiB. */
static void share_memory(bench *self, size_t n_queues)
{
    if (self->config.max_buffered_bytes != 0 || n_queues <= 4)
        return;
    size_t share = SHARED_BYTES / n_queues;
    self->config.max_buffered_bytes = share > LEAST_BYTES ? share : LEAST_BYTES;
}

static rmq_status start(bench *self, rmq_error *err)
{
    rmq_queue_list *list = NULL;
    rmq_status status = rmq_client_queues(self->client, self->topic, &list, err);
    if (status != RMQ_OK)
        return status;
    share_memory(self, rmq_queue_list_count(list));
    self->queues = rmq_calloc(rmq_queue_list_count(list) + 1, sizeof(*self->queues));
    self->workers = rmq_calloc(self->n_threads, sizeof(*self->workers));
    if (self->queues == NULL || self->workers == NULL) {
        rmq_queue_list_free(list);
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < self->n_threads; i++) {
        self->workers[i].bench = self;
        self->workers[i].ready_tail = &self->workers[i].ready;
        pthread_mutex_init(&self->workers[i].mutex, NULL);
        pthread_cond_init(&self->workers[i].cond, NULL);
    }
    for (size_t i = 0; status == RMQ_OK && i < rmq_queue_list_count(list); i++)
        status = open_queue(self, rmq_queue_list_at(list, i), err);
    rmq_queue_list_free(list);
    if (status == RMQ_OK && self->n_queues == 0)
        status = rmq_error_set(err, RMQ_NOT_FOUND, "topic %s holds no messages", self->topic);
    return status == RMQ_OK ? start_workers(self, err) : status;
}

static void stop(bench *self)
{
    end_all(self);
    for (size_t i = 0; i < self->n_started; i++)
        pthread_join(self->workers[i].thread, NULL);
    for (size_t i = 0; i < self->n_queues; i++)
        rmq_reader_close(self->queues[i].reader);
    rmq_free(self->queues);
    rmq_free(self->workers);
    mill_disconnect(self->client);
}

static bool parse(const mill_args *args, bench *self)
{
    int64_t threads = 0;
    int64_t pulls = 0;
    int64_t messages = 0;
    int64_t buffer_kib = 0;
    self->topic = mill_args_need(args, "topic");
    self->follow = mill_args_flag(args, "follow");
    if (self->topic == NULL || !mill_args_int64(args, "threads", 1, MAX_THREADS, 1, &threads) ||
        !mill_args_int64(args, "pulls", 1, 1024, 0, &pulls) ||
        !mill_args_int64(args, "max-messages", 1, INT32_MAX, 0, &messages) ||
        !mill_args_int64(args, "buffer-kib", 1, 1 << 30, 0, &buffer_kib) ||
        !mill_bench_times(args, &self->seconds_ns, &self->warm_up_ns))
        return false;
    self->n_threads = (size_t)threads;
    self->config = (rmq_reader_config)RMQ_READER_CONFIG_INIT;
    self->config.max_pulls = (int32_t)pulls;
    self->config.max_messages = (int32_t)messages;
    self->config.max_buffered_bytes = (size_t)buffer_kib * 1024;
    return true;
}

static int run(const mill_args *args)
{
    bench self;
    rmq_error err;
    mill_bench_report report;
    int exit_code = MILL_EXIT_USAGE;
    memset(&self, 0, sizeof(self));
    if (!parse(args, &self))
        return exit_code;
    self.client = mill_connect(args, &exit_code);
    if (self.client == NULL)
        return exit_code;
    mill_histogram *latency = rmq_calloc(1, sizeof(*latency));
    rmq_status status =
        latency != NULL ? start(&self, &err) : rmq_error_set(&err, RMQ_NOMEM, "out of memory");
    mill_log_quiet(false);
    mill_signals_cancel_client(NULL); /* from here on a stop ends the time, not the calls */
    if (status == RMQ_OK)
        status = measure(&self, &report, latency, &err);
    exit_code =
        status == RMQ_OK ? mill_bench_print(args, &report) : mill_complain_call("bench read", &err);
    stop(&self);
    rmq_free(latency);
    return exit_code;
}

static const mill_option options[] = {
    {"topic", "TOPIC", "what to read (needed)", false, false},
    {"seconds", "TIME", "how long to measure (default 5s)", false, false},
    {"warm-up", "TIME", "how long to read before that (default 500ms)", false, false},
    {"follow", NULL, "read what comes from now on; the latency is that from message to reader",
     false, false},
    {"threads", "N", "reading threads (default 1); queues are shared among them", false, false},
    {"pulls", "N", "pulls in flight per queue (default 64)", false, false},
    {"max-messages", "N", "messages asked for per pull (default 1024)", false, false},
    {"buffer-kib", "N",
     "memory per queue for what is not read yet (default: 8192, less with more than 4 queues)",
     false, false},
    {"json", NULL, "one JSON object", false, false},
    {NULL, NULL, NULL, false, false},
};

const mill_command mill_command_bench_read = {
    "bench read",
    "Measures reading a topic: messages a second, CPU, memory, latency.",
    "The topic is read from its first message to its last, as often as fills the time.\n"
    "Nothing is committed. CPU and memory are those of this process.",
    NULL,
    options,
    true,
    run,
};
