/* The client: one loop thread that owns connections, calls in flight, routes and timers.
 *
 * All other handles (readers, producers) belong to a client and must be closed before it is freed.
 */
#ifndef RMQ_CLIENT_H
#define RMQ_CLIENT_H

#include <rmq/base.h>
#include <rmq/message.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmq_client rmq_client;

/* Zero means "default" in every field. Everything is copied by rmq_client_new. */
typedef struct rmq_client_config {
    size_t struct_size;
    const char
        *namesrv; /* "host:port;host:port"; default "127.0.0.1:9876"; [v6]:port is understood */
    const char *client_id;  /* must be unique; default "address@pid#random" */
    const char *access_key; /* ACL; with secret_key */
    const char *secret_key;
    const char *security_token;
    bool tls;             /* TLS 1.2 or newer to name servers and brokers */
    const char *tls_ca;   /* PEM file; default: the system's */
    const char *tls_cert; /* PEM file of our certificate chain, with tls_key: mutual TLS */
    const char *tls_key;
    const char *tls_server_name; /* checked instead of the address, since routes carry addresses */
    bool tls_insecure;           /* no verification at all; a warning is logged */
    int64_t connect_timeout_ms;  /* of one TCP connect and TLS handshake; default 5000 */
    int64_t request_timeout_ms;  /* of one request where nothing else is said; default 3000 */
    int64_t route_refresh_ms;    /* default 30000 */
    int64_t heartbeat_ms;        /* default 30000 */
    int64_t reconnect_max_ms;    /* longest pause between two tries; default 2000, with which a
                                    reader is back at work within 5 s of its broker */
    size_t max_frame_bytes;      /* largest frame taken from a peer; default 64 MiB */
    size_t max_write_bytes; /* bytes waiting to be written to one peer, then RMQ_FULL; default 64
                               MiB */
    bool binary_headers;    /* send ROCKETMQ binary headers instead of JSON */
    rmq_log_fn log;         /* NULL: silent */
    void *log_ctx;
    rmq_log_level log_level; /* default RMQ_LOG_WARN */
} rmq_client_config;

#define RMQ_CLIENT_CONFIG_INIT                                                                     \
    {                                                                                              \
        .struct_size = sizeof(rmq_client_config)                                                   \
    }

/* Starts a client: validates `config` (NULL: all defaults), starts the loop thread. Connects to
 * nothing yet. Errors: INVAL (what is wrong with which field), TLS (certificate files), NOMEM, IO.
 * Thread: any. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_client_new(const rmq_client_config *config,
                                                 rmq_client **out_client, rmq_error *err);

/* Waits until one name server is connected (TLS handshake included), at most `timeout_ms` (0: the
 * connect timeout). Afterwards the client reconnects by itself, for ever. Errors: IO or TIMEOUT
 * with all addresses tried and why each failed, TLS, CANCELLED. Thread: any but the loop. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_client_connect(rmq_client *client, int64_t timeout_ms,
                                                     rmq_error *err);

/* Stops and frees: calls in flight end with RMQ_CANCELLED, connections are closed, the loop thread
 * joined. Takes bounded time whatever the brokers do. Accepts NULL. Thread: any but the loop. */
RMQ_API void rmq_client_free(rmq_client *client);

/* Ends every waiting call and reader of this client with RMQ_CANCELLED, now and from now on; the
 * client must still be freed. For signal-driven stops. Thread: any. */
RMQ_API void rmq_client_cancel(rmq_client *client);

/* The client's id, as brokers see it. Borrowed until free. */
RMQ_API const char *rmq_client_id(const rmq_client *client);

/* One queue of a topic. (topic, broker_name, queue_id) is its identity: queue ids repeat on each
 * broker. */
typedef struct rmq_queue {
    const char *topic;
    const char *broker_name;
    int32_t queue_id;
} rmq_queue;

/* -1, 0 or 1 by topic, broker name, queue id: the order in which allocation sorts queues. */
RMQ_API int rmq_queue_compare(const rmq_queue *left, const rmq_queue *right);

typedef struct rmq_queue_list rmq_queue_list;

/* The topic's readable queues, sorted, by a fresh question to a name server (retried on another one
 * until the request timeout). Errors: NOT_FOUND (no such topic), AUTH, TIMEOUT, IO, PROTO,
 * CANCELLED. Thread: any but the loop. Source: GET_ROUTEINFO_BY_TOPIC (105). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_client_queues(rmq_client *client, const char *topic,
                                                    rmq_queue_list **out_queues, rmq_error *err);
RMQ_API size_t rmq_queue_list_count(const rmq_queue_list *queues);
/* Borrowed until the list is freed. */
RMQ_API const rmq_queue *rmq_queue_list_at(const rmq_queue_list *queues, size_t index);
RMQ_API void rmq_queue_list_free(rmq_queue_list *queues);

/* First available offset, and the offset that the next message will get (exclusive end), of a
 * queue, asked of its master. Brokers answer 0 for unknown queues: these are no existence test.
 * Errors: NOT_FOUND (broker not in the route), AUTH, TIMEOUT, IO, BROKER, PROTO, CANCELLED.
 * Thread: any but the loop. Source: GET_MIN_OFFSET (31), GET_MAX_OFFSET (30). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_queue_min_offset(rmq_client *client, const rmq_queue *queue,
                                                       int64_t *out_offset, rmq_error *err);
RMQ_API RMQ_MUST_CHECK rmq_status rmq_queue_max_offset(rmq_client *client, const rmq_queue *queue,
                                                       int64_t *out_offset, rmq_error *err);
/* Maximum offsets of `count` queues with the requests overlapping; out_statuses[i] says whether
 * out_offsets[i] is valid. Returns RMQ_OK if every question was asked and answered or refused;
 * errors as above otherwise. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_queues_max_offset(rmq_client *client, const rmq_queue *queues,
                                                        size_t count, int64_t *out_offsets,
                                                        rmq_status *out_statuses, rmq_error *err);

/* First message stored at or after `timestamp_ms` (the broker's clock); the maximum offset if all
 * are older. Thread: any but the loop. Source: SEARCH_OFFSET_BY_TIMESTAMP (29). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_queue_offset_at(rmq_client *client, const rmq_queue *queue,
                                                      int64_t timestamp_ms, int64_t *out_offset,
                                                      rmq_error *err);

/* The group's committed offset of a queue. RMQ_NOT_FOUND if the group never committed there, also
 * where a broker would answer 0 for "never" (5.x is asked with setZeroIfNotFound=false; a 0
 * from 4.x is checked against what the broker lists). Thread: any but the loop. Source:
 * QUERY_CONSUMER_OFFSET (14), GET_CONSUME_STATS (208), GET_ALL_CONSUMER_OFFSET (43). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_group_offset(rmq_client *client, const char *group,
                                                   const rmq_queue *queue, int64_t *out_offset,
                                                   rmq_error *err);
/* Commits `next_offset` (the offset to be read next) for the group, creating the group if the
 * broker wants it created first. Thread: any but the loop. Source: UPDATE_CONSUMER_OFFSET (15), 352
 * on code 26. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_group_offset_commit(rmq_client *client, const char *group,
                                                          const rmq_queue *queue,
                                                          int64_t next_offset, rmq_error *err);

/* Clocks behind a hook, so that tests set time. Process-wide; set before the first client; NULL
 * restores the default. */
typedef struct rmq_clock {
    int64_t (*monotonic_ns)(void *ctx);
    int64_t (*wall_ms)(void *ctx);
    void *ctx;
} rmq_clock;
RMQ_API void rmq_clock_set(const rmq_clock *clock);
RMQ_API int64_t rmq_clock_monotonic_ns(void);
RMQ_API int64_t rmq_clock_wall_ms(void);

#ifdef __cplusplus
}
#endif

#endif
