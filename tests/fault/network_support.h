/* What the network tests share: the seed, a client behind a fault proxy of its own, and the ledger
 * of what was sent and acknowledged. */
#ifndef TEST_NETWORK_SUPPORT_H
#define TEST_NETWORK_SUPPORT_H

#include "../support/fault_proxy.h"
#include "../support/test_broker.h"

/* MILLRACE_SEED (printed once, as a TAP comment), and MILLRACE_FAULT_SCALE: 1 in CI, 100 in full.
 */
uint64_t network_seed(void);
int64_t network_scale(void);
int64_t network_now_ms(void);

/* A client that reaches the broker only through its proxy. */
typedef struct station {
    test_broker *broker;
    fault_proxy *proxy;
    rmq_client *client;
    rmq_producer *producer;
} station;

void station_open(station *at, test_broker *broker, uint64_t seed);
/* The client and its connections anew. */
void station_reconnect(station *at);
void station_close(station *at);

/* Messages that were acknowledged, by number; each test thread has numbers of its own. */
typedef struct ledger {
    uint8_t *acknowledged; /* 1: sent and acknowledged; 0: not known to be stored */
    int64_t capacity;
} ledger;

typedef struct ledger_count {
    int64_t lost;     /* acknowledged, and not there */
    int64_t repeated; /* there more than once: how many too many */
    int64_t foreign;  /* there, and never sent */
} ledger_count;

void ledger_init(ledger *book, int64_t capacity);
void ledger_deinit(ledger *book);
/* Reads the whole queue without a proxy and compares. Every body is a number in digits. */
ledger_count ledger_compare(const ledger *book, test_broker *broker, const rmq_queue *queue);

#endif
