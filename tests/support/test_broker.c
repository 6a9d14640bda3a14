/* Brokers for client tests, and numbered messages that can be recognised on the way back. */
#include "test_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rmq/admin.h>

void test_broker_credentials(const test_broker *broker, rmq_client_config *config)
{
    if (broker->dev != NULL)
        return;
    config->access_key = getenv("RMQ_TEST_ACCESS_KEY");
    config->secret_key = getenv("RMQ_TEST_SECRET_KEY");
    config->tls_ca = getenv("RMQ_TEST_TLS_CA");
    config->tls_cert = getenv("RMQ_TEST_TLS_CERT");
    config->tls_key = getenv("RMQ_TEST_TLS_KEY");
    config->tls = config->tls_ca != NULL;
}

static rmq_client *connect_client(const test_broker *broker, int64_t request_timeout_ms)
{
    rmq_error err = {0};
    rmq_client *client = NULL;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.namesrv = broker->namesrv;
    config.request_timeout_ms = request_timeout_ms;
    config.reconnect_max_ms = 500;
    test_broker_credentials(broker, &config);
    ck_ok(rmq_client_new(&config, &client, &err), &err);
    ck_ok(rmq_client_connect(client, 0, &err), &err);
    return client;
}

static void start_dev(test_broker *broker, const rmq_devbroker_config *config,
                      int64_t request_timeout_ms)
{
    rmq_error err = {0};
    memset(broker, 0, sizeof(*broker));
    ck_ok(rmq_devbroker_new(config, &broker->dev, &err), &err);
    snprintf(broker->namesrv, sizeof(broker->namesrv), "%s", rmq_devbroker_namesrv(broker->dev));
    broker->client = connect_client(broker, request_timeout_ms);
    broker->filler = connect_client(broker, 0);
}

void test_broker_start_dev(test_broker *broker, const rmq_devbroker_config *config)
{
    start_dev(broker, config, 300);
}

void test_broker_start(test_broker *broker)
{
    const char *official = getenv("RMQ_TEST_NAMESRV");
    if (official == NULL || official[0] == '\0') {
        start_dev(broker, NULL, 1000);
        return;
    }
    memset(broker, 0, sizeof(*broker));
    snprintf(broker->namesrv, sizeof(broker->namesrv), "%s", official);
    broker->client = connect_client(broker, 0);
    broker->filler = connect_client(broker, 0);
}

void test_broker_stop(test_broker *broker)
{
    rmq_client_free(broker->client);
    rmq_client_free(broker->filler);
    rmq_devbroker_free(broker->dev);
}

char *test_broker_topic(test_broker *broker, int32_t n_queues)
{
    static int n_topics;
    struct timespec now;
    rmq_error err = {0};
    char *topic = NULL;
    clock_gettime(CLOCK_REALTIME, &now);
    ck_assert_int_gt(asprintf(&topic, "test_%d_%lld_%ld_%d", (int)getpid(), (long long)now.tv_sec,
                              now.tv_nsec, n_topics++),
                     0);
    rmq_topic_config config = RMQ_TOPIC_CONFIG_INIT;
    config.topic = topic;
    config.read_queues = n_queues;
    config.write_queues = n_queues;
    ck_ok(rmq_topic_create(broker->client, &config, &err), &err);
    return topic;
}

char *test_broker_name(test_broker *broker, const char *topic)
{
    rmq_error err = {0};
    rmq_queue_list *queues = NULL;
    ck_ok(rmq_client_queues(broker->client, topic, &queues, &err), &err);
    ck_assert_uint_gt(rmq_queue_list_count(queues), 0);
    char *name = strdup(rmq_queue_list_at(queues, 0)->broker_name);
    rmq_queue_list_free(queues);
    ck_assert_ptr_nonnull(name);
    return name;
}

size_t test_message_body(int64_t index, size_t max_len, char *out)
{
    int head = snprintf(out, 32, "message-%lld-", (long long)index);
    size_t len = (size_t)head;
    if (max_len > len)
        len += (size_t)(index * 7919 % (int64_t)(max_len - len + 1));
    for (size_t i = (size_t)head; i < len; i++)
        out[i] = (char)('a' + (index + (int64_t)i) % 26);
    return len;
}

/* A stored message can be read a moment after the answer. */
static void wait_readable(test_broker *broker, const rmq_queue *queue, int64_t end)
{
    rmq_error err = {0};
    int64_t max = -1;
    for (int i = 0; i < 1000 && max < end; i++) {
        ck_ok(rmq_queue_max_offset(broker->filler, queue, &max, &err), &err);
        if (max < end)
            usleep(5000);
    }
    ck_assert_int_ge(max, end);
}

#define FILL_COUNT 64
#define FILL_BYTES (512 * 1024)

/* Sends up to FILL_COUNT messages as one batch: two sends on their way at once may be stored in
 * either order. Returns how many. */
static int64_t send_some(rmq_producer *producer, const rmq_queue *queue, int64_t first,
                         int64_t count, size_t max_len)
{
    rmq_error err = {0};
    rmq_send_result result;
    rmq_outgoing messages[FILL_COUNT];
    static char bodies[FILL_BYTES + TEST_MESSAGE_MAX_BYTES];
    size_t used = 0;
    int64_t n = 0;
    while (n < count && n < FILL_COUNT && used < FILL_BYTES) {
        size_t len = test_message_body(first + n, max_len, bodies + used);
        messages[n] = (rmq_outgoing)RMQ_OUTGOING_INIT;
        messages[n].topic = queue->topic;
        messages[n].broker_name = queue->broker_name;
        messages[n].queue_id = queue->queue_id;
        messages[n].body = (rmq_slice){bodies + used, len};
        messages[n].tags = (first + n) % 3 == 0 ? "Aa" : (first + n) % 3 == 1 ? "BB" : "C";
        used += len;
        n++;
    }
    if (n == 1)
        ck_ok(rmq_producer_send(producer, messages, &result, &err), &err);
    else
        ck_ok(rmq_producer_send_batch(producer, messages, (size_t)n, &result, &err), &err);
    return n;
}

void test_broker_fill(test_broker *broker, const rmq_queue *queue, int64_t first, int64_t count,
                      size_t max_len)
{
    rmq_error err = {0};
    int64_t before = 0;
    rmq_producer *producer = NULL;
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    config.max_retries = -1;
    config.send_timeout_ms = 10000;
    ck_ok(rmq_queue_max_offset(broker->filler, queue, &before, &err), &err);
    ck_ok(rmq_producer_new(broker->filler, &config, &producer, &err), &err);
    for (int64_t n = 0; n < count;)
        n += send_some(producer, queue, first + n, count - n, max_len);
    rmq_producer_free(producer);
    wait_readable(broker, queue, before + count);
}

int64_t test_reader_expect(rmq_reader *reader, int64_t first, int64_t count, size_t max_len,
                           int64_t timeout_ms, rmq_status *out_status)
{
    rmq_error err = {0};
    static char body[TEST_MESSAGE_MAX_BYTES];
    int64_t n = 0;
    *out_status = RMQ_OK;
    while (n < count) {
        rmq_batch *batch = NULL;
        *out_status = rmq_reader_next(reader, timeout_ms, &batch, &err);
        if (*out_status != RMQ_OK)
            return n;
        bool same = true;
        for (size_t i = 0; i < rmq_batch_count(batch); i++, n++) {
            const rmq_message *message = rmq_batch_at(batch, i);
            size_t len = test_message_body(first + n, max_len, body);
            same = same && message->queue_offset == first + n && message->body_status == RMQ_OK &&
                   message->body.len == len && memcmp(message->body.data, body, len) == 0;
        }
        rmq_batch_unref(batch);
        ck_assert_msg(same, "what was read up to message %lld is not what was sent",
                      (long long)(first + n));
    }
    return n;
}
