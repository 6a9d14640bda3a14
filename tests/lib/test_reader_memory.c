/* Readers and producers when memory runs out: each allocation of an operation fails once, wherever
 * it is made (the development broker shares the allocator, so that some hit it). A failure is told
 * as NOMEM or got over; no message is lost, nothing leaks (the sanitizer looks at that), and what
 * failed can be done again. */
#include "../support/fault_alloc.h"
#include "../support/test_broker.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_MESSAGES 200
#define MAX_POINTS 3000

static test_broker broker;
static rmq_queue queue;
static rmq_error err;

static void set_up(void)
{
    memset(&err, 0, sizeof(err));
    fault_alloc_fail(-1);
    test_broker_start_dev(&broker, NULL);
    char *topic = test_broker_topic(&broker, 1);
    queue = (rmq_queue){topic, test_broker_name(&broker, topic), 0};
    test_broker_fill(&broker, &queue, 0, N_MESSAGES, 100);
}

static void tear_down(void)
{
    fault_alloc_rearm(-1);
    free((char *)queue.topic);
    free((char *)queue.broker_name);
    test_broker_stop(&broker);
}

/* Reads all, asking again after each NOMEM. Returns how often that was. */
static int read_all(rmq_reader *reader)
{
    int n_failed = 0;
    int64_t position = 0;
    while (position < N_MESSAGES) {
        rmq_status status;
        position +=
            test_reader_expect(reader, position, N_MESSAGES - position, 100, 20000, &status);
        if (status == RMQ_OK)
            continue;
        ck_assert_msg(status == RMQ_NOMEM, "%s at %lld", rmq_status_name(status),
                      (long long)position);
        n_failed++;
        if (n_failed > 5)
            fault_alloc_rearm(-1);
        ck_assert_int_lt(n_failed, 10);
    }
    return n_failed;
}

START_TEST(reading)
{
    int n_hit = 0;
    int n_told = 0;
    for (int64_t nth = 0; nth < MAX_POINTS; nth++) {
        rmq_reader *reader = NULL;
        rmq_reader_config config = RMQ_READER_CONFIG_INIT;
        config.queue = queue;
        config.end_offset = N_MESSAGES;
        fault_alloc_rearm(nth);
        rmq_status status = rmq_reader_open(broker.client, &config, &reader, &err);
        if (status == RMQ_OK) {
            n_told += read_all(reader);
            rmq_reader_close(reader);
        } else {
            ck_status(status, RMQ_NOMEM);
            n_told++;
        }
        if (fault_alloc_failed() == 0)
            break;
        n_hit++;
    }
    fprintf(stderr, "# %d allocations failed, %d of them were told\n", n_hit, n_told);
    ck_assert_int_gt(n_hit, 100);
    ck_assert_int_gt(n_told, 5);
}
END_TEST

static atomic_int n_ended;

static void count_end(rmq_status status, const rmq_send_result *result, const rmq_error *why,
                      void *ctx)
{
    (void)ctx;
    if ((status == RMQ_OK) == (result != NULL) && (status == RMQ_OK || why != NULL))
        atomic_fetch_add(&n_ended, 1);
}

START_TEST(sending)
{
    int n_hit = 0;
    for (int64_t nth = 0; nth < MAX_POINTS; nth++) {
        rmq_producer *producer = NULL;
        rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
        config.send_timeout_ms = 300;
        atomic_store(&n_ended, 0);
        int n_accepted = 0;
        fault_alloc_rearm(nth);
        rmq_status status = rmq_producer_new(broker.client, &config, &producer, &err);
        for (int i = 0; i < 5 && status == RMQ_OK; i++) {
            rmq_outgoing message = RMQ_OUTGOING_INIT;
            message.topic = queue.topic;
            message.body = RMQ_SLICE_LITERAL("hello");
            status = rmq_producer_send_async(producer, &message, count_end, NULL, &err);
            n_accepted += status == RMQ_OK;
        }
        ck_assert_msg(status == RMQ_OK || status == RMQ_NOMEM, "%s: %s", rmq_status_name(status),
                      err.text);
        if (producer != NULL)
            ck_ok(rmq_producer_flush(producer, 20000, &err), &err);
        ck_assert_int_eq(atomic_load(&n_ended), n_accepted);
        rmq_producer_free(producer);
        if (fault_alloc_failed() == 0)
            break;
        n_hit++;
    }
    fprintf(stderr, "# %d allocations failed\n", n_hit);
    ck_assert_int_gt(n_hit, 30);
}
END_TEST

static void send_one(rmq_producer *producer, int32_t queue_id, rmq_slice body)
{
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    message.topic = queue.topic;
    message.broker_name = queue.broker_name;
    message.queue_id = queue_id;
    message.body = body;
    ck_ok(rmq_producer_send(producer, &message, NULL, &err), &err);
}

static rmq_reader *open_endless(int32_t queue_id)
{
    rmq_reader *reader = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.queue.queue_id = queue_id;
    config.end_offset = RMQ_READ_ENDLESS;
    config.max_buffered_bytes = 1 << 20;
    ck_ok(rmq_reader_open(broker.client, &config, &reader, &err), &err);
    return reader;
}

/* Small answers that nobody takes, each in the middle of much that is taken at once: what waits
 * stays within its bound in memory, not only in its own bytes. */
START_TEST(what_waits_keeps_nothing_else_alive)
{
    enum { N_ROUNDS = 200, N_LARGE = 4 };
    static char large[16000];
    rmq_error topic_err = {0};
    ck_ok(rmq_devbroker_topic(broker.dev, queue.topic, 2, &topic_err), &topic_err);
    rmq_producer *producer = NULL;
    ck_ok(rmq_producer_new(broker.client, NULL, &producer, &err), &err);
    memset(large, 'x', sizeof(large));
    int64_t first = N_MESSAGES; /* queue 0 holds some; its reader starts behind them */
    rmq_reader *idle = open_endless(0);
    ck_ok(rmq_reader_seek(idle, first, &err), &err);
    rmq_reader *busy = open_endless(1);
    int64_t before = fault_alloc_live_bytes();
    for (int64_t i = 0; i < N_ROUNDS; i++) {
        send_one(producer, 0, RMQ_SLICE_LITERAL("small"));
        while (rmq_reader_max_offset(idle) < first + i + 1)
            usleep(100);
        for (int k = 0; k < N_LARGE; k++)
            send_one(producer, 1, (rmq_slice){large, sizeof(large)});
        while (rmq_reader_position(busy) < N_LARGE * (i + 1)) {
            rmq_batch *batch = NULL;
            ck_ok(rmq_reader_next(busy, 20000, &batch, &err), &err);
            rmq_batch_unref(batch);
        }
        ck_ok(rmq_devbroker_delete_below(broker.dev, queue.topic, 1, N_LARGE * (i + 1), &err),
              &err);
    }
    int64_t grown = fault_alloc_live_bytes() - before;
    ck_assert_msg(grown < 6 << 20, "%lld bytes are held for %d messages", (long long)grown,
                  (int)N_ROUNDS);
    for (int64_t n = 0; n < N_ROUNDS;) {
        rmq_batch *batch = NULL;
        ck_ok(rmq_reader_next(idle, 20000, &batch, &err), &err);
        for (size_t i = 0; i < rmq_batch_count(batch); i++, n++)
            ck_assert(rmq_slice_equals(rmq_batch_at(batch, i)->body, "small"));
        rmq_batch_unref(batch);
    }
    rmq_reader_close(idle);
    rmq_reader_close(busy);
    rmq_producer_free(producer);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("reader_memory");
    TCase *tcase = tcase_create("reader_memory");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, reading);
    tcase_add_test(tcase, sending);
    tcase_add_test(tcase, what_waits_keeps_nothing_else_alive);
    suite_add_tcase(suite, tcase);
    return suite;
}
