/* The producer's transactions: half messages, their end (37), and the check for undecided ones
 * (39).
 */
#ifndef RMQ_DEV_TRANSACTIONS_H
#define RMQ_DEV_TRANSACTIONS_H

#include "answer.h"
#include "message_store.h"

#define RMQ_DEV_HALF_TOPIC "RMQ_SYS_TRANS_HALF_TOPIC"
#define RMQ_DEV_MAX_CHECKS 15

/* A half message that nobody has decided yet. */
typedef struct rmq_dev_half {
    int64_t offset;   /* in the half topic's queue */
    int64_t since_ms; /* when it was first stored; wall clock */
    int32_t checks;
} rmq_dev_half;

typedef struct rmq_dev_transactions {
    rmq_dev_half *halves; /* undecided, by offset */
    size_t n_halves;
    size_t capacity;
    struct event *timer;
} rmq_dev_transactions;

/* Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_transactions_start(rmq_devbroker *broker, rmq_error *err);
void rmq_dev_transactions_free(rmq_devbroker *broker);

/* Stores the message (which names the topic and queue that it is for) as a half one; its offsets
 * are set. Errors: as rmq_dev_store_append. */
RMQ_MUST_CHECK rmq_status rmq_dev_half_store(rmq_devbroker *broker, rmq_message *message,
                                             rmq_buf *properties, rmq_error *err);
/* For the replay of a journal. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_half_add(rmq_dev_transactions *transactions, int64_t offset,
                                           int64_t since_ms, int32_t checks);
void rmq_dev_half_forget(rmq_dev_transactions *transactions, int64_t offset);
int32_t rmq_dev_half_checks(rmq_slice properties);

void rmq_dev_handle_end_transaction(rmq_dev_request *request); /* 37 */
/* Looks for undecided ones that are old enough; called by the timer, and by tests. */
void rmq_dev_transactions_check(rmq_devbroker *broker);

#endif
