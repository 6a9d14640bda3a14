/* What a call is made of. Shared by the files that move calls about (call.c, pending.c, brokers.c);
 * everybody else sees only call.h. */
#ifndef RMQ_CALL_STATE_H
#define RMQ_CALL_STATE_H

#include <event2/event_struct.h>

#include "call.h"
#include "conn.h"

struct rmq_peer;

/*   start -> WAITING (not connected) -> IN_FLIGHT -> done, freed
 *     |           |                        |
 *     |           +-- deadline, cancel ----+--> ABANDONED (sent; kept so that a late answer is
 * known)
 *     +-> REFUSED (failed in start; told by a posted task) -> done, freed */
typedef enum rmq_call_state {
    RMQ_CALL_WAITING = 0,
    RMQ_CALL_IN_FLIGHT,
    RMQ_CALL_ABANDONED,
    RMQ_CALL_REFUSED
} rmq_call_state;

struct rmq_call {
    rmq_call *next; /* in a list of the peer, or in the client's reserve */
    rmq_call **link;
    rmq_call *bucket_next; /* in rmq_pending */
    rmq_client *client;
    struct rmq_peer *peer;
    rmq_call_state state;
    int32_t opaque;
    int32_t request_code;
    bool oneway;
    bool sent; /* valid once its connection went down; see rmq_call_was_sent */
    bool from_reserve;
    bool has_timer;
    struct event timer;
    int64_t timeout_ms;
    int32_t patience; /* how often the deadline may be put off */
    uint8_t *frame;   /* encoded; NULL once it was given to the connection */
    size_t frame_len;
    rmq_write *write; /* not NULL: not a byte of it was tried on the socket */
    rmq_call_fn done; /* NULL: nobody waits any more */
    void *ctx;
    rmq_task task; /* of REFUSED */
    rmq_status status;
    rmq_error error;
};

/* Doubly linked by `link`, so that a call can leave whatever list it is in. */
typedef struct rmq_call_list {
    rmq_call *first;
    rmq_call **tail;
} rmq_call_list;

void rmq_call_list_init(rmq_call_list *list);
void rmq_call_list_append(rmq_call_list *list, rmq_call *call);
void rmq_call_list_remove(rmq_call_list *list, rmq_call *call);
/* Moves all of `from` to the end of `to`. */
void rmq_call_list_move(rmq_call_list *to, rmq_call_list *from);

/* call.c: ends a call that is in no list and no table: `done` is called, then it is freed. */
void rmq_call_finish(rmq_call *call, const rmq_call_outcome *outcome);
void rmq_call_fail(rmq_call *call, rmq_status status, const rmq_error *err, bool sent);
void rmq_call_free(rmq_call *call);
/* Whether a byte of it may have reached the peer. */
bool rmq_call_was_sent(const rmq_call *call);

#endif
