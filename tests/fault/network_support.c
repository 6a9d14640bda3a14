/* Stations and ledgers of the network tests. The ledger is filled by the senders, from what they
 * were told, and compared with a read that knows nothing of proxies. */
#include "network_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t from_environment(const char *name, int64_t fallback)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoll(text, NULL, 10) : fallback;
}

uint64_t network_seed(void)
{
    static bool printed;
    uint64_t seed = (uint64_t)from_environment("MILLRACE_SEED", 1);
    if (!printed)
        printf("# MILLRACE_SEED=%llu MILLRACE_FAULT_SCALE=%lld\n", (unsigned long long)seed,
               (long long)network_scale());
    printed = true;
    return seed;
}

int64_t network_scale(void)
{
    int64_t scale = from_environment("MILLRACE_FAULT_SCALE", 1);
    return scale < 1 ? 1 : scale;
}

int64_t network_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void open_client(station *at)
{
    rmq_error err = {0};
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.namesrv = fault_proxy_address(at->proxy);
    config.request_timeout_ms = 800;
    config.connect_timeout_ms = 1000;
    config.reconnect_max_ms = 50;
    config.heartbeat_ms = 50;
    ck_ok(rmq_client_new(&config, &at->client, &err), &err);
    rmq_producer_config producer = RMQ_PRODUCER_CONFIG_INIT;
    producer.send_timeout_ms = 800;
    ck_ok(rmq_producer_new(at->client, &producer, &at->producer, &err), &err);
}

void station_open(station *at, test_broker *broker, uint64_t seed)
{
    memset(at, 0, sizeof(*at));
    at->broker = broker;
    at->proxy = fault_proxy_start(broker->namesrv, seed);
    open_client(at);
}

void station_reconnect(station *at)
{
    rmq_producer_free(at->producer);
    rmq_client_free(at->client);
    open_client(at);
}

void station_close(station *at)
{
    rmq_producer_free(at->producer);
    rmq_client_free(at->client);
    fault_proxy_stop(at->proxy);
}

void ledger_init(ledger *book, int64_t capacity)
{
    book->capacity = capacity;
    book->acknowledged = calloc((size_t)capacity, 1);
    ck_assert_ptr_nonnull(book->acknowledged);
}

void ledger_deinit(ledger *book)
{
    free(book->acknowledged);
}

static int64_t number_of(const rmq_message *message)
{
    char digits[24] = "";
    if (message->body.len == 0 || message->body.len >= sizeof(digits))
        return -1;
    memcpy(digits, message->body.data, message->body.len);
    return strtoll(digits, NULL, 10);
}

ledger_count ledger_compare(const ledger *book, test_broker *broker, const rmq_queue *queue)
{
    rmq_error err = {0};
    ledger_count count = {0, 0, 0};
    int64_t end = 0;
    rmq_reader *reader = NULL;
    int32_t *seen = calloc((size_t)book->capacity, sizeof(*seen));
    ck_assert_ptr_nonnull(seen);
    ck_ok(rmq_queue_max_offset(broker->filler, queue, &end, &err), &err);
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = *queue;
    config.end_offset = end;
    ck_ok(rmq_reader_open(broker->filler, &config, &reader, &err), &err);
    while (rmq_reader_position(reader) < end) {
        rmq_batch *batch = NULL;
        ck_ok(rmq_reader_next(reader, 10000, &batch, &err), &err);
        for (size_t i = 0; i < rmq_batch_count(batch); i++) {
            int64_t number = number_of(rmq_batch_at(batch, i));
            if (number < 0 || number >= book->capacity)
                count.foreign++;
            else if (seen[number]++ > 0)
                count.repeated++;
        }
        rmq_batch_unref(batch);
    }
    rmq_reader_close(reader);
    for (int64_t i = 0; i < book->capacity; i++)
        count.lost += book->acknowledged[i] != 0 && seen[i] == 0;
    free(seen);
    return count;
}
