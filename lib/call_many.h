/* Many calls at once, waited for together. */
#ifndef RMQ_CALL_MANY_H
#define RMQ_CALL_MANY_H

#include "address.h"
#include "call.h"

typedef struct rmq_many_item {
    bool skip;                           /* leave this one alone */
    char address[RMQ_ADDRESS_MAX_BYTES]; /* in */
    rmq_command request;                 /* in; the caller's */
    rmq_status status;                   /* out: RMQ_OK: an answer with code 0 came */
    rmq_answer *answer;                  /* out, of RMQ_OK; the caller frees it */
    rmq_error error;                     /* out, of the other statuses */
} rmq_many_item;

/* Starts all requests in one turn of the loop and waits for all answers. Thread: any but the loop.
 */
void rmq_call_many(rmq_client *client, rmq_many_item *items, size_t count, int64_t timeout_ms);

#endif
