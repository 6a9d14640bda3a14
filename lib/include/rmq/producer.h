/* Sending messages. A send's result is known or an error: nothing is dropped silently. */
#ifndef RMQ_PRODUCER_H
#define RMQ_PRODUCER_H

#include <rmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmq_producer rmq_producer;

/* What a producer does when its window is full. */
typedef enum rmq_full_policy {
    RMQ_FULL_WAIT = 0,  /* the call waits for room */
    RMQ_FULL_REFUSE = 1 /* the call returns RMQ_FULL */
} rmq_full_policy;

/* Zero means "default". Everything is copied. */
typedef struct rmq_producer_config {
    size_t struct_size;
    const char *group;       /* default "MILLRACE_PRODUCER" */
    int64_t send_timeout_ms; /* of one try; default 3000 */
    int32_t max_retries;     /* more tries after a failed one, on another broker where there is one;
                                default 2;     -1 for none. A repeated send can store a message twice:
                                the     protocol has no     idempotent producer */
    size_t max_in_flight;    /* messages sent and not yet answered; default 1024 */
    size_t max_in_flight_bytes; /* default 32 MiB */
    rmq_full_policy when_full;
    int32_t default_topic_queues; /* wish when a topic is made by the first send; default 4 */
} rmq_producer_config;

#define RMQ_PRODUCER_CONFIG_INIT                                                                   \
    {                                                                                              \
        .struct_size = sizeof(rmq_producer_config)                                                 \
    }

typedef enum rmq_send_state {
    RMQ_SEND_OK = 0,
    RMQ_SEND_FLUSH_DISK_TIMEOUT = 10, /* stored; durability not confirmed */
    RMQ_SEND_SLAVE_NOT_AVAILABLE = 11,
    RMQ_SEND_FLUSH_SLAVE_TIMEOUT = 12
} rmq_send_state;

/* Where a message went. */
typedef struct rmq_send_result {
    rmq_send_state state;
    char broker_name[256];
    int32_t queue_id;
    int64_t queue_offset;                                /* of the first message of a batch */
    char offset_message_id[RMQ_OFFSET_MESSAGE_ID_BYTES]; /* of the first message of a batch */
    char unique_key[64];                                 /* UNIQ_KEY of the (first) message */
    int32_t tries;                                       /* 1 if the first one was answered */
} rmq_send_result;

/* Called on the loop thread, exactly once per accepted send: `result` is NULL unless status is
 * RMQ_OK. It may start new sends with RMQ_FULL_REFUSE, but must not block. */
typedef void (*rmq_send_fn)(rmq_status status, const rmq_send_result *result, const rmq_error *err,
                            void *ctx);

/* Errors: INVAL, NOMEM. Thread: any. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_producer_new(rmq_client *client,
                                                   const rmq_producer_config *config,
                                                   rmq_producer **out_producer, rmq_error *err);
/* Sends and waits. TIMEOUT: the fate of the message is unknown. NOT_FOUND: no such topic, and it
 * may not be created. FULL: the window is full and the policy is REFUSE. INVAL: topic or properties
 * are illegal, body empty or too big. AUTH, BROKER, IO, CANCELLED. Thread: any but the loop.
 * Source: SEND_MESSAGE_V2 (310). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_producer_send(rmq_producer *producer,
                                                    const rmq_outgoing *message,
                                                    rmq_send_result *out_result, rmq_error *err);
/* Starts a send. RMQ_OK: `done` will be called once. Otherwise it never is. Thread: any. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_producer_send_async(rmq_producer *producer,
                                                          const rmq_outgoing *message,
                                                          rmq_send_fn done, void *ctx,
                                                          rmq_error *err);
/* Sends messages of one topic as one batch to one queue; all are stored or none. The whole must fit
 * in 4 MiB; no delay, no compression. Thread: any but the loop. Source: SEND_BATCH_MESSAGE (320).
 */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_producer_send_batch(rmq_producer *producer,
                                                          const rmq_outgoing *messages,
                                                          size_t count, rmq_send_result *out_result,
                                                          rmq_error *err);
RMQ_API RMQ_MUST_CHECK rmq_status rmq_producer_send_batch_async(rmq_producer *producer,
                                                                const rmq_outgoing *messages,
                                                                size_t count, rmq_send_fn done,
                                                                void *ctx, rmq_error *err);
/* Waits until every accepted send is answered. TIMEOUT: some are not, after `timeout_ms`. Thread:
 * any but the loop. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_producer_flush(rmq_producer *producer, int64_t timeout_ms,
                                                     rmq_error *err);
/* Ends what is in flight with RMQ_CANCELLED (flush first to avoid it) and frees. Accepts NULL. */
RMQ_API void rmq_producer_free(rmq_producer *producer);

#ifdef __cplusplus
}
#endif

#endif
