/* The servers a client talks to, by address: their connection, the calls on it, reconnecting.
 * Loop thread. */
#ifndef RMQ_BROKERS_H
#define RMQ_BROKERS_H

#include "call_state.h"
#include "pending.h"

#define RMQ_BROKERS_BUCKETS 256

/* One server. */
typedef struct rmq_peer {
    struct rmq_peer *next;
    rmq_client *client;
    char text[RMQ_ADDRESS_MAX_BYTES]; /* as calls name it */
    rmq_address address;
    rmq_conn *conn; /* NULL: down */
    bool up;
    bool answered; /* a frame came on this connection */
    bool outage;   /* warned of; cleared by the next answer */
    bool retry_armed;
    bool open_failed; /* for want of memory: the retry timer tells the waiting calls */
    rmq_timer retry;
    int64_t retry_at_ns; /* no connect before */
    int64_t backoff_ms;
    int64_t used_ns;           /* by the last call */
    int32_t n_silent_timeouts; /* calls that timed out since the last frame */
    int32_t version;
    bool has_error;
    rmq_error last_error;
    rmq_call_list waiting; /* for the connection */
    rmq_pending pending;
} rmq_peer;

typedef struct rmq_brokers {
    rmq_client *client;
    rmq_peer *buckets[RMQ_BROKERS_BUCKETS];
    uint64_t random; /* state of the jitter's generator */
} rmq_brokers;

void rmq_brokers_init(rmq_brokers *brokers, rmq_client *client);
/* Closes all connections; calls end with CANCELLED, their completions run in here. */
void rmq_brokers_shutdown(rmq_brokers *brokers);
/* Calls end with CANCELLED, connections stay. */
void rmq_brokers_cancel_calls(rmq_brokers *brokers);
/* Frees the peers, after shutdown. */
void rmq_brokers_deinit(rmq_brokers *brokers);
/* Forgets servers that were not used for ten minutes. */
void rmq_brokers_purge(rmq_brokers *brokers);

/* The peer of an address, new if need be. Errors: INVAL (not an address), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_brokers_get(rmq_brokers *brokers, const char *address,
                                          rmq_peer **out_peer, rmq_error *err);
/* NULL if it was never called. */
rmq_peer *rmq_brokers_find(const rmq_brokers *brokers, const char *address);
void rmq_brokers_each(rmq_brokers *brokers, void (*visit)(rmq_peer *peer, void *ctx), void *ctx);

/* Sends an encoded call, or queues it until the connection is up. Failures come by a posted task.
 */
void rmq_peer_submit(rmq_peer *peer, rmq_call *call);
/* Takes a call back that waits or was not tried yet; one that was sent is abandoned (and belongs to
 * the table then). True if the caller owns it. */
bool rmq_peer_release(rmq_peer *peer, rmq_call *call);
/* Whether any byte came from it within the last `within_ms`. */
bool rmq_peer_is_heard(const rmq_peer *peer, int64_t within_ms);
/* A call that was sent timed out. Closes the connection of a peer that has gone silent. */
void rmq_peer_note_timeout(rmq_peer *peer);
/* Sees to it that it is connected, now or when its pause is over. */
void rmq_peer_connect(rmq_peer *peer);

#endif
