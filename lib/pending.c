/* Calls in flight by opaque.
 *
 * An answer to an opaque that was never asked, or asked and already answered, means that the peer
 * or the stream is broken, and the connection must go. A late answer to a call that timed out or
 * was cancelled is normal. To tell them apart an abandoned call stays in the table until its answer
 * comes or the connection ends. A broker that drops requests would let that grow, so only the
 * newest few thousand are kept; once one is forgotten, unasked answers up to its opaque are let
 * pass.
 *
 * Opaques are handed out in order, so a table of chained buckets is balanced by itself. */
#include "pending.h"

#include <string.h>

void rmq_call_list_init(rmq_call_list *list)
{
    list->first = NULL;
    list->tail = &list->first;
}

void rmq_call_list_append(rmq_call_list *list, rmq_call *call)
{
    call->next = NULL;
    call->link = list->tail;
    *list->tail = call;
    list->tail = &call->next;
}

void rmq_call_list_remove(rmq_call_list *list, rmq_call *call)
{
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    else
        list->tail = call->link;
    call->next = NULL;
    call->link = NULL;
}

void rmq_call_list_move(rmq_call_list *to, rmq_call_list *from)
{
    while (from->first != NULL) {
        rmq_call *call = from->first;
        rmq_call_list_remove(from, call);
        rmq_call_list_append(to, call);
    }
}

void rmq_pending_init(rmq_pending *pending)
{
    memset(pending, 0, sizeof(*pending));
    rmq_call_list_init(&pending->in_flight);
    rmq_call_list_init(&pending->abandoned);
}

static rmq_call **bucket_of(rmq_pending *pending, int32_t opaque)
{
    return &pending->buckets[(uint32_t)opaque % RMQ_PENDING_BUCKETS];
}

static rmq_call **find(rmq_pending *pending, int32_t opaque)
{
    rmq_call **at = bucket_of(pending, opaque);
    while (*at != NULL && (*at)->opaque != opaque)
        at = &(*at)->bucket_next;
    return at;
}

int32_t rmq_pending_opaque(rmq_pending *pending)
{
    int32_t opaque;
    do {
        opaque = pending->next_opaque;
        if (opaque == INT32_MAX) {
            pending->next_opaque = 0;
            pending->forgot_some = false;
        } else {
            pending->next_opaque = opaque + 1;
        }
    } while (*find(pending, opaque) != NULL);
    return opaque;
}

void rmq_pending_add(rmq_pending *pending, rmq_call *call)
{
    rmq_call **bucket = bucket_of(pending, call->opaque);
    call->bucket_next = *bucket;
    *bucket = call;
    rmq_call_list_append(&pending->in_flight, call);
    pending->n_in_flight++;
}

static void unhash(rmq_pending *pending, rmq_call *call)
{
    rmq_call **at = find(pending, call->opaque);
    *at = call->bucket_next;
    call->bucket_next = NULL;
}

void rmq_pending_remove(rmq_pending *pending, rmq_call *call)
{
    unhash(pending, call);
    rmq_call_list_remove(&pending->in_flight, call);
    pending->n_in_flight--;
}

static void drop_abandoned(rmq_pending *pending, rmq_call *call)
{
    unhash(pending, call);
    rmq_call_list_remove(&pending->abandoned, call);
    pending->n_abandoned--;
    rmq_call_free(call);
}

void rmq_pending_abandon(rmq_pending *pending, rmq_call *call)
{
    rmq_call_list_remove(&pending->in_flight, call);
    pending->n_in_flight--;
    call->state = RMQ_CALL_ABANDONED;
    call->done = NULL;
    rmq_call_list_append(&pending->abandoned, call);
    if (++pending->n_abandoned <= RMQ_PENDING_MAX_ABANDONED)
        return;
    rmq_call *oldest = pending->abandoned.first;
    if (!pending->forgot_some || oldest->opaque > pending->forgotten_up_to)
        pending->forgotten_up_to = oldest->opaque;
    pending->forgot_some = true;
    drop_abandoned(pending, oldest);
}

rmq_pending_kind rmq_pending_take(rmq_pending *pending, int32_t opaque, rmq_call **out_call)
{
    rmq_call *call = *find(pending, opaque);
    if (call == NULL)
        return pending->forgot_some && opaque <= pending->forgotten_up_to ? RMQ_PENDING_LATE
                                                                          : RMQ_PENDING_UNKNOWN;
    if (call->state == RMQ_CALL_ABANDONED) {
        drop_abandoned(pending, call);
        return RMQ_PENDING_LATE;
    }
    rmq_pending_remove(pending, call);
    *out_call = call;
    return RMQ_PENDING_WANTED;
}

void rmq_pending_reset(rmq_pending *pending, rmq_call_list *out_calls)
{
    while (pending->abandoned.first != NULL)
        drop_abandoned(pending, pending->abandoned.first);
    rmq_call_list_move(out_calls, &pending->in_flight);
    for (rmq_call *call = out_calls->first; call != NULL; call = call->next)
        call->bucket_next = NULL;
    int32_t next_opaque = pending->next_opaque;
    rmq_pending_init(pending);
    pending->next_opaque = next_opaque;
}
