/* What a client consists of. Only lib's own files look inside. */
#ifndef RMQ_CLIENT_STATE_H
#define RMQ_CLIENT_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "brokers.h"
#include "call.h"
#include "config.h"
#include "dns.h"
#include "registration.h"
#include "route_cache.h"
#include "signer.h"
#include "tls.h"

/* Calls kept for when memory runs out, so that the failure can still be told. */
#define RMQ_RESERVE_CALLS 32

struct rmq_client {
    rmq_settings settings; /* constant after new */
    char *client_id;
    uint64_t random;
    rmq_loop *loop;
    rmq_tls *tls; /* NULL: plain TCP */
    rmq_signer signer;
    atomic_bool cancelled;
    rmq_task cancel_task;
    rmq_task shutdown_task;

    /* loop thread */
    bool closing;
    rmq_dns *dns;
    rmq_brokers brokers;
    rmq_route_cache routes;
    rmq_registration registration;
    rmq_cancel_hook *cancel_hooks;
    rmq_call *reserve;

    pthread_mutex_t mutex; /* guards n_callers; `cond` tells of it and of cancelled */
    pthread_cond_t cond;
    size_t n_callers; /* threads inside a blocking call */
};

/* A thread is inside the client between the two; free waits for it. Thread: any. */
void rmq_client_enter(rmq_client *client);
void rmq_client_leave(rmq_client *client);
/* Sleeps, unless the client is cancelled: then CANCELLED, at once. Thread: any but the loop. */
RMQ_MUST_CHECK rmq_status rmq_client_pause(rmq_client *client, int64_t pause_ms, rmq_error *err);

/* call.c: ends a call that could not be started, by a posted task. */
void rmq_call_refuse(rmq_call *call, rmq_status status, const rmq_error *err);

#endif
