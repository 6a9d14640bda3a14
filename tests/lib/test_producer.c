/* Producers, on any broker. */
#include "../support/test_broker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rmq/admin.h>

static test_broker broker;
static char *topic;
static rmq_queue queue;
static rmq_error err;
static rmq_producer *producer;

static void set_up(void)
{
    memset(&err, 0, sizeof(err));
    test_broker_start(&broker);
    topic = test_broker_topic(&broker, 4);
    queue = (rmq_queue){topic, test_broker_name(&broker, topic), 0};
    ck_ok(rmq_producer_new(broker.client, NULL, &producer, &err), &err);
}

static void tear_down(void)
{
    rmq_producer_free(producer);
    free((char *)queue.broker_name);
    free(topic);
    test_broker_stop(&broker);
}

static rmq_outgoing message_of(const char *body)
{
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    message.topic = topic;
    message.body = rmq_slice_of(body);
    return message;
}

/* Reads one message where `result` says it went. The caller unrefs the batch. */
static const rmq_message *read_back(const rmq_send_result *result, rmq_batch **out_batch)
{
    rmq_reader *reader = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = (rmq_queue){topic, result->broker_name, result->queue_id};
    config.start_offset = result->queue_offset;
    config.end_offset = RMQ_READ_ENDLESS; /* it can be read a moment later */
    ck_ok(rmq_reader_open(broker.client, &config, &reader, &err), &err);
    ck_ok(rmq_reader_next(reader, 10000, out_batch, &err), &err);
    rmq_reader_close(reader);
    ck_assert_uint_gt(rmq_batch_count(*out_batch), 0);
    const rmq_message *message = rmq_batch_at(*out_batch, 0);
    ck_assert_int_eq(message->queue_offset, result->queue_offset);
    return message;
}

static bool has(const rmq_message *message, const char *name, const char *value)
{
    rmq_slice got;
    return rmq_message_property(message, name, &got) && rmq_slice_equals(got, value);
}

START_TEST(message_arrives_as_it_was_sent)
{
    static const rmq_property more[] = {{"color", "r\xc3\xa9"}, {"n", "1"}};
    rmq_send_result result;
    rmq_batch *batch = NULL;
    rmq_outgoing message = message_of("hello");
    message.tags = "A";
    message.keys = "k1 k2";
    message.properties = more;
    message.n_properties = 2;
    message.flag = 77;
    ck_ok(rmq_producer_send(producer, &message, &result, &err), &err);
    ck_assert_int_eq(result.state, RMQ_SEND_OK);
    ck_assert_int_eq(result.tries, 1);
    ck_assert_str_eq(result.broker_name, queue.broker_name);
    const rmq_message *got = read_back(&result, &batch);
    ck_assert(rmq_slice_equals(got->body, "hello"));
    ck_assert(rmq_slice_equals(rmq_message_tags(got), "A"));
    ck_assert(rmq_slice_equals(rmq_message_keys(got), "k1 k2"));
    ck_assert(rmq_slice_equals(rmq_message_unique_key(got), result.unique_key));
    ck_assert(has(got, "color", "r\xc3\xa9") && has(got, "n", "1"));
    ck_assert_int_eq(got->flag, 77);
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_message_offset_id(got, id);
    ck_assert_str_eq(id, result.offset_message_id);
    rmq_batch_unref(batch);
}
END_TEST

START_TEST(bodies_of_every_size_and_compression)
{
    static const size_t sizes[] = {1, 100, 70000, 4 * 1024 * 1024};
    size_t size = sizes[_i / 4];
    rmq_compression compression = (rmq_compression)(_i % 4);
    char *body = malloc(size);
    ck_assert_ptr_nonnull(body);
    for (size_t i = 0; i < size; i++)
        body[i] = (char)(i * i >> 7);
    rmq_send_result result;
    rmq_batch *batch = NULL;
    rmq_outgoing message = message_of("");
    message.body = (rmq_slice){body, size};
    message.compression = compression;
    rmq_status status = rmq_producer_send(producer, &message, &result, &err);
    if (status != RMQ_UNSUPPORTED) { /* a compression that is not built in */
        ck_assert_msg(status == RMQ_OK, "%zu bytes: %s", size, err.text);
        const rmq_message *got = read_back(&result, &batch);
        ck_assert_int_eq(got->body_status, RMQ_OK);
        ck_assert_uint_eq(got->body.len, size);
        ck_assert_mem_eq(got->body.data, body, size);
        rmq_batch_unref(batch);
    }
    free(body);
}
END_TEST

START_TEST(queues_take_turns)
{
    int count[4] = {0, 0, 0, 0};
    rmq_send_result result;
    rmq_outgoing message = message_of("x");
    for (int i = 0; i < 12; i++) {
        ck_ok(rmq_producer_send(producer, &message, &result, &err), &err);
        ck_assert(result.queue_id >= 0 && result.queue_id < 4);
        count[result.queue_id]++;
    }
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(count[i], 3);
}
END_TEST

START_TEST(one_key_one_queue)
{
    int used[4] = {0, 0, 0, 0};
    for (int key = 0; key < 20; key++) {
        char name[16];
        snprintf(name, sizeof(name), "key-%d", key);
        int32_t first = -1;
        for (int i = 0; i < 3; i++) {
            rmq_send_result result;
            rmq_outgoing message = message_of("x");
            message.sharding_key = name;
            ck_ok(rmq_producer_send(producer, &message, &result, &err), &err);
            if (i == 0)
                first = result.queue_id;
            ck_assert_int_eq(result.queue_id, first);
        }
        used[first]++;
    }
    ck_assert(used[0] && used[1] && used[2] && used[3]);
}
END_TEST

START_TEST(the_very_queue)
{
    rmq_send_result result;
    rmq_outgoing message = message_of("x");
    message.broker_name = queue.broker_name;
    for (int32_t i = 0; i < 8; i++) {
        message.queue_id = i % 4;
        ck_ok(rmq_producer_send(producer, &message, &result, &err), &err);
        ck_assert_int_eq(result.queue_id, i % 4);
    }
    message.broker_name = "no-such-broker";
    ck_status(rmq_producer_send(producer, &message, &result, &err), RMQ_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "no-such-broker"));
    message.broker_name = queue.broker_name;
    message.queue_id = 99;
    ck_status(rmq_producer_send(producer, &message, &result, &err), RMQ_INVAL);
}
END_TEST

START_TEST(batch_is_stored_in_one_piece)
{
    enum { N = 100 };
    rmq_outgoing messages[N];
    char bodies[N][16];
    for (int i = 0; i < N; i++) {
        snprintf(bodies[i], sizeof(bodies[i]), "member-%d", i);
        messages[i] = message_of(bodies[i]);
        messages[i].tags = i % 2 ? "odd" : "even";
    }
    rmq_send_result result;
    ck_ok(rmq_producer_send_batch(producer, messages, N, &result, &err), &err);
    rmq_reader *reader = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = (rmq_queue){topic, result.broker_name, result.queue_id};
    config.start_offset = result.queue_offset;
    config.end_offset = RMQ_READ_ENDLESS;
    ck_ok(rmq_reader_open(broker.client, &config, &reader, &err), &err);
    for (int n = 0; n < N;) {
        rmq_batch *batch = NULL;
        ck_ok(rmq_reader_next(reader, 10000, &batch, &err), &err);
        for (size_t i = 0; i < rmq_batch_count(batch); i++, n++) {
            const rmq_message *message = rmq_batch_at(batch, i);
            ck_assert_int_eq(message->queue_offset, result.queue_offset + n);
            ck_assert(rmq_slice_equals(message->body, bodies[n]));
            ck_assert(rmq_slice_equals(rmq_message_tags(message), n % 2 ? "odd" : "even"));
            ck_assert_uint_eq(rmq_message_unique_key(message).len, 32);
            if (n == 0) {
                char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
                rmq_message_offset_id(message, id);
                ck_assert_str_eq(id, result.offset_message_id);
                ck_assert(rmq_slice_equals(rmq_message_unique_key(message), result.unique_key));
            }
        }
        rmq_batch_unref(batch);
    }
    rmq_reader_close(reader);
}
END_TEST

START_TEST(first_send_creates_the_topic)
{
    rmq_send_result result;
    char name[80];
    snprintf(name, sizeof(name), "%s_new", topic);
    rmq_outgoing message = message_of("x");
    message.topic = name;
    ck_ok(rmq_producer_send(producer, &message, &result, &err), &err);
    ck_assert_int_lt(result.queue_id, 4);
    for (int i = 0; i < 8; i++)
        ck_ok(rmq_producer_send(producer, &message, &result, &err), &err);
    rmq_topic_description *description = NULL;
    ck_ok(rmq_topic_describe(broker.client, name, &description, &err), &err);
    ck_assert_uint_eq(rmq_topic_description_count(description), 4);
    rmq_topic_description_free(description);
}
END_TEST

/* ---- async ---- */

typedef struct tally {
    atomic_int n_ok;
    atomic_int n_other;
    atomic_int last_status;
} tally;

static void count_result(rmq_status status, const rmq_send_result *result, const rmq_error *why,
                         void *ctx)
{
    tally *sum = ctx;
    bool consistent = status == RMQ_OK ? result != NULL : result == NULL && why != NULL;
    if (status == RMQ_OK && consistent) {
        atomic_fetch_add(&sum->n_ok, 1);
        return;
    }
    atomic_fetch_add(&sum->n_other, 1);
    atomic_store(&sum->last_status, consistent ? (int)status : -1);
}

START_TEST(async_sends_each_end_once)
{
    enum { N = 3000 };
    tally sum = {0, 0, 0};
    rmq_outgoing message = message_of("async");
    for (int i = 0; i < N; i++)
        ck_ok(rmq_producer_send_async(producer, &message, count_result, &sum, &err), &err);
    ck_ok(rmq_producer_flush(producer, 60000, &err), &err);
    ck_assert_int_eq(atomic_load(&sum.n_ok), N);
    ck_assert_int_eq(atomic_load(&sum.n_other), 0);
    int64_t stored = 0;
    rmq_queue each = queue;
    for (int tries = 0; tries < 100 && stored < N; tries++) {
        stored = 0;
        for (each.queue_id = 0; each.queue_id < 4; each.queue_id++) {
            int64_t max = 0;
            ck_ok(rmq_queue_max_offset(broker.client, &each, &max, &err), &err);
            stored += max;
        }
    }
    ck_assert_int_eq(stored, N);
    ck_ok(rmq_producer_flush(producer, 0, &err), &err);
}
END_TEST

typedef struct chain {
    atomic_int left;
    atomic_int n_refused;
    tally sum;
} chain;

/* A completion that sends the next message. */
static void send_next(rmq_status status, const rmq_send_result *result, const rmq_error *why,
                      void *ctx)
{
    chain *self = ctx;
    count_result(status, result, why, &self->sum);
    if (atomic_fetch_sub(&self->left, 1) <= 1)
        return;
    rmq_error refused;
    rmq_outgoing message = message_of("chain");
    if (rmq_producer_send_async(producer, &message, send_next, self, &refused) != RMQ_OK)
        atomic_fetch_add(&self->n_refused, 1);
}

START_TEST(completions_may_send_more)
{
    chain self = {.left = 200};
    rmq_outgoing message = message_of("chain");
    ck_ok(rmq_producer_send_async(producer, &message, send_next, &self, &err), &err);
    ck_ok(rmq_producer_flush(producer, 60000, &err), &err);
    ck_assert_int_eq(atomic_load(&self.sum.n_ok), 200);
    ck_assert_int_eq(atomic_load(&self.n_refused), 0);
}
END_TEST

static void *send_many(void *ctx)
{
    rmq_error why;
    rmq_outgoing message = message_of("thread");
    for (int i = 0; i < 300; i++) {
        if (rmq_producer_send_async(producer, &message, count_result, ctx, &why) != RMQ_OK)
            atomic_fetch_add(&((tally *)ctx)->n_other, 1);
    }
    return NULL;
}

START_TEST(many_threads_and_a_small_window)
{
    pthread_t threads[4];
    tally sum = {0, 0, 0};
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    config.max_in_flight = 3;
    rmq_producer_free(producer);
    ck_ok(rmq_producer_new(broker.client, &config, &producer, &err), &err);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_many, &sum), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_ok(rmq_producer_flush(producer, 60000, &err), &err);
    ck_assert_int_eq(atomic_load(&sum.n_ok), 1200);
    ck_assert_int_eq(atomic_load(&sum.n_other), 0);
}
END_TEST

START_TEST(free_ends_what_is_under_way)
{
    enum { N = 500 };
    tally sum = {0, 0, 0};
    rmq_outgoing message = message_of("free");
    for (int i = 0; i < N; i++)
        ck_ok(rmq_producer_send_async(producer, &message, count_result, &sum, &err), &err);
    rmq_producer_free(producer);
    producer = NULL;
    ck_assert_int_eq(atomic_load(&sum.n_ok) + atomic_load(&sum.n_other), N);
    if (atomic_load(&sum.n_other) > 0)
        ck_assert_int_eq(atomic_load(&sum.last_status), RMQ_CANCELLED);
}
END_TEST

START_TEST(cancelled_client_sends_nothing)
{
    rmq_send_result result;
    rmq_outgoing message = message_of("x");
    rmq_client_cancel(broker.client);
    ck_status(rmq_producer_send(producer, &message, &result, &err), RMQ_CANCELLED);
    ck_ok(rmq_producer_flush(producer, 5000, &err), &err);
}
END_TEST

START_TEST(mistakes)
{
    rmq_send_result result;
    rmq_producer *other = NULL;
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    rmq_outgoing message = message_of("");
    ck_status(rmq_producer_send(producer, &message, &result, &err), RMQ_INVAL);
    message = message_of("x");
    message.topic = "not a topic";
    ck_status(rmq_producer_send_async(producer, &message, count_result, NULL, &err), RMQ_INVAL);
    config.max_retries = -2;
    ck_status(rmq_producer_new(broker.client, &config, &other, &err), RMQ_INVAL);
    config = (rmq_producer_config)RMQ_PRODUCER_CONFIG_INIT;
    config.send_timeout_ms = -1;
    ck_status(rmq_producer_new(broker.client, &config, &other, &err), RMQ_INVAL);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("producer");
    TCase *tcase = tcase_create("producer");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, message_arrives_as_it_was_sent);
    tcase_add_loop_test(tcase, bodies_of_every_size_and_compression, 0, 16);
    tcase_add_test(tcase, queues_take_turns);
    tcase_add_test(tcase, one_key_one_queue);
    tcase_add_test(tcase, the_very_queue);
    tcase_add_test(tcase, batch_is_stored_in_one_piece);
    tcase_add_test(tcase, first_send_creates_the_topic);
    tcase_add_test(tcase, async_sends_each_end_once);
    tcase_add_test(tcase, completions_may_send_more);
    tcase_add_test(tcase, many_threads_and_a_small_window);
    tcase_add_test(tcase, free_ends_what_is_under_way);
    tcase_add_test(tcase, cancelled_client_sends_nothing);
    tcase_add_test(tcase, mistakes);
    suite_add_tcase(suite, tcase);
    return suite;
}
