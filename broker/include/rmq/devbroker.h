/* The development broker: name server and broker in one process, for development and fault tests.
 * Not a production broker: messages live in memory (or in a directory, without replication), and
 * nothing is promised beyond tests. */
#ifndef RMQ_DEVBROKER_H
#define RMQ_DEVBROKER_H

#include <rmq/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmq_devbroker rmq_devbroker;

/* Zero means "default". Everything is copied. */
typedef struct rmq_devbroker_config {
    size_t struct_size;
    const char *listen_address; /* default "127.0.0.1" */
    uint16_t namesrv_port;      /* 0: a free one */
    uint16_t broker_port;       /* 0: a free one */
    const char *broker_name;    /* default "broker-a" */
    const char *cluster;        /* default "DefaultCluster" */
    const char *directory; /* NULL: memory only; else messages and offsets survive a restart of the
                              process */
    bool no_auto_create_topic;
    int32_t default_queues;    /* of an auto-created topic; default 8, as 5.4.0 */
    int32_t max_pull_messages; /* default 32 */
    size_t max_pull_bytes;     /* default 262144 */
    size_t
        max_memory_bytes; /* of stored messages, then sends are refused (code 14); default 1 GiB */
    int32_t version;      /* announced; default 493 (5.4.0); 407 plays 4.9.7 where they differ */
    bool binary_headers;  /* answer in ROCKETMQ headers */
    int64_t long_poll_check_ms; /* how often holds are looked at; default 5000, as 5.4.0 */
    rmq_log_fn log;
    void *log_ctx;
    rmq_log_level log_level;
    int64_t transaction_check_ms; /* how often undecided transactions are looked at; default 30000,
                                     as 5.4.0. Producers are asked once they are 6 s old, or this */
} rmq_devbroker_config;

#define RMQ_DEVBROKER_CONFIG_INIT                                                                  \
    {                                                                                              \
        .struct_size = sizeof(rmq_devbroker_config)                                                \
    }

/* Starts it on a thread of its own; it listens when the function returns. Errors: INVAL, IO (port
 * in use), NOMEM, CORRUPT (directory). Thread: any, as for all here. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_new(const rmq_devbroker_config *config,
                                                    rmq_devbroker **out_broker, rmq_error *err);
RMQ_API void rmq_devbroker_free(rmq_devbroker *broker);

/* "127.0.0.1:40321"; borrowed until free. */
RMQ_API const char *rmq_devbroker_namesrv(const rmq_devbroker *broker);
RMQ_API const char *rmq_devbroker_address(const rmq_devbroker *broker);

/* Creates or grows a topic. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_topic(rmq_devbroker *broker, const char *topic,
                                                      int32_t n_queues, rmq_error *err);

/* Stops listening and cuts all connections; start listens again on the same ports, with the same
 * messages. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_stop(rmq_devbroker *broker, rmq_error *err);
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_start(rmq_devbroker *broker, rmq_error *err);
/* The name server's part alone. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_stop_namesrv(rmq_devbroker *broker, rmq_error *err);
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_start_namesrv(rmq_devbroker *broker,
                                                              rmq_error *err);

/* Deletes the messages of a queue below `offset` (as retention does), or from `offset` on (a
 * rolled-back broker). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_delete_below(rmq_devbroker *broker,
                                                             const char *topic, int32_t queue_id,
                                                             int64_t offset, rmq_error *err);
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_delete_from(rmq_devbroker *broker,
                                                            const char *topic, int32_t queue_id,
                                                            int64_t offset, rmq_error *err);

/* ---- fault rules ---- */

typedef enum rmq_fault_action {
    RMQ_FAULT_DELAY = 1,   /* answer `delay_ms` later */
    RMQ_FAULT_DROP = 2,    /* do it, don't answer */
    RMQ_FAULT_IGNORE = 3,  /* neither do it nor answer */
    RMQ_FAULT_CUT = 4,     /* answer with the first `cut_bytes` bytes of the frame, then close */
    RMQ_FAULT_CLOSE = 5,   /* close without an answer */
    RMQ_FAULT_REPEAT = 6,  /* answer twice */
    RMQ_FAULT_REORDER = 7, /* hold the answer back until the next one was sent */
    RMQ_FAULT_CORRUPT =
        8, /* flip bit `corrupt_bit` (counted from the frame's start; -1: a seeded random one) */
    RMQ_FAULT_CODE = 9,     /* answer with `response_code` and remark, don't do it */
    RMQ_FAULT_RESTART = 10, /* stop, and start again `delay_ms` later */
    RMQ_FAULT_STALL = 11    /* read nothing more from this connection */
} rmq_fault_action;

/* Which requests a rule hits, and what happens to them. The first rule that hits wins. */
typedef struct rmq_fault_rule {
    size_t struct_size;
    int32_t request_code; /* 0: any */
    const char *topic;    /* NULL: any */
    int32_t skip;         /* let so many pass first */
    int32_t times;        /* then hit so many; 0: always */
    uint32_t percent;     /* hit each with this probability by the seed; 0 counts as 100 */
    rmq_fault_action action;
    int64_t delay_ms;
    int64_t cut_bytes;
    int64_t corrupt_bit;
    int32_t response_code;
    uint64_t seed;
} rmq_fault_rule;

#define RMQ_FAULT_RULE_INIT                                                                        \
    {                                                                                              \
        .struct_size = sizeof(rmq_fault_rule)                                                      \
    }

RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_add_fault(rmq_devbroker *broker,
                                                          const rmq_fault_rule *rule,
                                                          int32_t *out_rule_id, rmq_error *err);
/* Parses "code=11,topic=T,skip=2,times=1,action=cut,bytes=20" (for the command line), and adds it.
 */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_devbroker_add_fault_text(rmq_devbroker *broker,
                                                               const char *text,
                                                               int32_t *out_rule_id,
                                                               rmq_error *err);
RMQ_API void rmq_devbroker_clear_faults(rmq_devbroker *broker);
/* How often a rule hit. */
RMQ_API uint64_t rmq_devbroker_fault_hits(rmq_devbroker *broker, int32_t rule_id);
/* How many requests with this code came (0: all). */
RMQ_API uint64_t rmq_devbroker_requests(rmq_devbroker *broker, int32_t request_code);

#ifdef __cplusplus
}
#endif

#endif
