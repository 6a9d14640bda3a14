/* The parts of `millrace demo`: the ledger, the child, and what they share. */
#ifndef MILL_CLI_DEMO_H
#define MILL_CLI_DEMO_H

#include <rmq/client.h>
#include <stdatomic.h>
#include <sys/types.h>

/* The producer's own books: which orders were acknowledged, and what each customer owes. Written by
 * the producer's thread and callbacks, read by others through the counters, and whole once the
 * producer has ended. */
typedef struct mill_ledger {
    uint64_t seed;
    int64_t n_orders;
    int64_t n_keys;
    atomic_uchar *acknowledged; /* by order number */
    atomic_llong sent;
    atomic_llong allowed; /* beyond this order the producer only trickles */
} mill_ledger;

RMQ_MUST_CHECK rmq_status mill_ledger_init(mill_ledger *ledger, uint64_t seed, int64_t n_orders,
                                           int64_t n_keys, rmq_error *err);
void mill_ledger_deinit(mill_ledger *ledger);
/* Order `number`'s customer and cost, by the seed. */
int64_t mill_ledger_customer(const mill_ledger *ledger, int64_t number);
int64_t mill_ledger_cost(const mill_ledger *ledger, int64_t number);

/* What the database says against what the ledger says. */
typedef struct mill_balance {
    int64_t lost;       /* acknowledged orders without effect */
    int64_t twice;      /* effects too many */
    int64_t unknown;    /* effects of orders that nobody sent */
    int64_t wrong_keys; /* customers whose total is wrong */
} mill_balance;
RMQ_MUST_CHECK rmq_status mill_ledger_compare(const mill_ledger *ledger, const char *database,
                                              mill_balance *out_balance, rmq_error *err);

/* The producer: a thread that sends all orders in about `spread_ms`, in batches. */
typedef struct mill_demo_producer mill_demo_producer;
RMQ_MUST_CHECK rmq_status mill_demo_producer_start(rmq_client *client, const char *topic,
                                                   mill_ledger *ledger, int64_t spread_ms,
                                                   mill_demo_producer **out_producer,
                                                   rmq_error *err);
/* True once all orders are acknowledged or the producer has failed. */
bool mill_demo_producer_done(const mill_demo_producer *producer);
/* Joins; the status says whether every order was acknowledged. */
rmq_status mill_demo_producer_finish(mill_demo_producer *producer, rmq_error *err);

/* The child: `millrace demo job`. */
typedef struct mill_demo_child {
    const char *program; /* this program's path */
    const char *namesrv;
    const char *topic;
    const char *database;
    const char *checkpoint;
    char **connection; /* words that say how it connects; its keys are in our environment */
    size_t n_connection;
    bool unsafe;
    pid_t pid; /* 0: none */
} mill_demo_child;
RMQ_MUST_CHECK rmq_status mill_demo_child_start(mill_demo_child *child, bool until_end,
                                                rmq_error *err);
/* True if it has ended; *out_status is wait's. */
bool mill_demo_child_ended(mill_demo_child *child, int *out_status);
/* Sends `number` and waits for the end; *out_status (may be NULL) is wait's. */
void mill_demo_child_end(mill_demo_child *child, int number, int *out_status);

/* Where a batch stood when its process was killed, by what is on disk. */
typedef struct mill_demo_wreck {
    int64_t batch_id;
    bool hit; /* between plan/N and done/N */
    const char *step;
} mill_demo_wreck;
/* The newest batch number with a plan, 0 if there is none; *out_done: it has a done file too. */
int64_t mill_demo_newest_plan(const char *checkpoint, bool *out_done);
/* Messages below the offsets that the sink has committed: for the show only, the verdict doesn't
 * use it. */
int64_t mill_demo_applied(const char *database);
void mill_demo_inspect(const mill_demo_child *child, mill_demo_wreck *out_wreck);
/* What a kill waits for, after a batch's plan has appeared. */
typedef enum mill_demo_aim {
    MILL_AIM_PLAN,  /* nothing more */
    MILL_AIM_STATE, /* its state file */
    MILL_AIM_COMMIT /* a commit in the database (unsafe: its rows, which are there before its
                       offsets) */
} mill_demo_aim;
/* Kills the child with SIGKILL in the middle of a batch. Aim is taken, but what was hit is told by
 * what lies on disk afterwards. False if the child ended by itself or a stop was asked for. */
bool mill_demo_kill(mill_demo_child *child, mill_demo_aim aim, mill_demo_wreck *out_wreck);

#endif
