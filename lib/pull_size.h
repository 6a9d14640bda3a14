/* How many messages a pull brings: learnt from the answers, so that the offset after an answer can
 * be predicted before it is there. Pure arithmetic. */
#ifndef RMQ_PULL_SIZE_H
#define RMQ_PULL_SIZE_H

#include <rmq/base.h>

/* What brokers hand out unless configured otherwise. Protocol facts 8.3. */
#define RMQ_PULL_SIZE_USUAL 32

typedef struct rmq_pull_size {
    int32_t ask;               /* messages that the next pull is planned to bring */
    int32_t max;               /* the caller's wish: never asked for more */
    int32_t full;              /* full answers in a row */
    int32_t patience;          /* so many full ones before more is tried */
    bool probing;              /* a pull that asks for more than planned is under way */
    int64_t bytes_per_message; /* running average; 0: not known yet */
} rmq_pull_size;

void rmq_pull_size_init(rmq_pull_size *size, int32_t usual, int32_t max);

/* How many messages to ask for in a pull that is planned to bring `planned`: more than that now and
 * then, to find out whether the broker would give more. */
int32_t rmq_pull_size_ask(rmq_pull_size *size, int64_t planned);

/* Takes in an answer of `got` messages in `bytes` to a pull that was planned to bring `planned` and
 * asked for `asked`. planned 0: it had no plan. */
void rmq_pull_size_learn(rmq_pull_size *size, int64_t planned, int32_t asked, int64_t got,
                         size_t bytes);
/* A pull that probed will not be answered. */
void rmq_pull_size_lost(rmq_pull_size *size, int64_t planned, int32_t asked);

/* Bytes that `n_messages` will take, as far as is known. */
size_t rmq_pull_size_bytes(const rmq_pull_size *size, int64_t n_messages);

#endif
