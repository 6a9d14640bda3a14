/* A broker for client tests: the one that RMQ_TEST_NAMESRV names, or a development broker of the
 * test's own. The same tests run on both. What needs faults always takes a development broker
 * (test_broker_start_dev) and stands in files of its own. */
#ifndef TEST_BROKER_H
#define TEST_BROKER_H

#include "support.h"

#include <rmq/client.h>
#include <rmq/consumer.h>
#include <rmq/devbroker.h>
#include <rmq/producer.h>

typedef struct test_broker {
    rmq_devbroker *dev; /* NULL: an official one */
    char namesrv[256];
    rmq_client *client; /* connected */
    rmq_client *filler; /* for test_broker_fill, so that faults of a connection don't hit it */
} test_broker;

/* All fail the test if they can't. */
void test_broker_start(test_broker *broker);
/* A development broker, whatever the environment says. `config` may be NULL. The requests of
 * `client` time out after 300 ms, so that lost answers don't cost much time; what counts requests
 * and loses no answer uses `filler`, which waits as long as any client. */
void test_broker_start_dev(test_broker *broker, const rmq_devbroker_config *config);
void test_broker_stop(test_broker *broker);

/* Keys and certificates that an official broker may want, for a client of the test's own. */
void test_broker_credentials(const test_broker *broker, rmq_client_config *config);

/* A new topic with a name of its own; free() it. */
char *test_broker_topic(test_broker *broker, int32_t n_queues);

/* Name of the broker that has queue 0 of the topic; free() it. */
char *test_broker_name(test_broker *broker, const char *topic);

/* Message `index` of the numbered messages that the functions below send and check: a text with its
 * number, up to `max_len` bytes long, always the same. Returns its length. */
size_t test_message_body(int64_t index, size_t max_len, char *out);
#define TEST_MESSAGE_MAX_BYTES 65536

/* Sends messages [first, first + count) to one queue, in order, and waits until all are stored and
 * can be read. */
void test_broker_fill(test_broker *broker, const rmq_queue *queue, int64_t first, int64_t count,
                      size_t max_len);

/* Reads up to `count` messages and checks that they are the numbered ones from `first` on, each at
 * the offset that is its number. Returns how many came before `rmq_reader_next` gave *out_status
 * (RMQ_OK: all came). */
int64_t test_reader_expect(rmq_reader *reader, int64_t first, int64_t count, size_t max_len,
                           int64_t timeout_ms, rmq_status *out_status);

#endif
