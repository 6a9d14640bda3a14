/* The calls in flight on one connection, by opaque; and those nobody waits for any more, whose
 * answers may still come. Loop thread. */
#ifndef RMQ_PENDING_H
#define RMQ_PENDING_H

#include "call_state.h"

#define RMQ_PENDING_BUCKETS 512
/* So many abandoned calls are remembered one by one. */
#define RMQ_PENDING_MAX_ABANDONED 4096

typedef struct rmq_pending {
    rmq_call *buckets[RMQ_PENDING_BUCKETS];
    rmq_call_list in_flight;
    rmq_call_list abandoned; /* oldest first */
    size_t n_in_flight;
    size_t n_abandoned;
    int32_t next_opaque;
    bool forgot_some;
    int32_t forgotten_up_to; /* answers to opaques up to here may come unasked */
} rmq_pending;

/* What an opaque of an answer stands for. */
typedef enum rmq_pending_kind {
    RMQ_PENDING_UNKNOWN = 0, /* nobody asked */
    RMQ_PENDING_WANTED,      /* the call is given, and is out of the table */
    RMQ_PENDING_LATE         /* its call was abandoned */
} rmq_pending_kind;

void rmq_pending_init(rmq_pending *pending);
/* An opaque that no call of the table has. */
int32_t rmq_pending_opaque(rmq_pending *pending);
void rmq_pending_add(rmq_pending *pending, rmq_call *call);
/* Takes a call out without an answer, because it was never sent. */
void rmq_pending_remove(rmq_pending *pending, rmq_call *call);
/* Its answer is not wanted any more, but may come. The call belongs to the table from now on. */
void rmq_pending_abandon(rmq_pending *pending, rmq_call *call);
rmq_pending_kind rmq_pending_take(rmq_pending *pending, int32_t opaque, rmq_call **out_call);
/* The connection is gone: moves the calls in flight to `out_calls`, forgets the abandoned ones. */
void rmq_pending_reset(rmq_pending *pending, rmq_call_list *out_calls);

#endif
