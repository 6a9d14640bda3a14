/* What a producer and one of its sends are made of, for their two halves: producer.c (callers'
 * threads, the window) and producer_send.c (the life of a send, on the loop). */
#ifndef RMQ_PRODUCER_STATE_H
#define RMQ_PRODUCER_STATE_H

#include <pthread.h>

#include <rmq/producer.h>

#include "call.h"
#include "outgoing.h"
#include "publish_queue.h"
#include "route_question.h"

#define RMQ_PRODUCER_TURNS 64

/* One accepted send. Made on the caller's thread; the loop's from when it is posted. */
typedef struct rmq_send {
    rmq_task task; /* first */
    struct rmq_send *next;
    struct rmq_send **link;
    rmq_producer *producer;
    rmq_send_fn done;
    void *ctx;
    bool awaited; /* `done` only wakes a caller, who may flush at once */
    char *topic;
    rmq_letter letter;
    size_t n_messages;
    size_t n_bytes; /* counted in the window */
    int64_t born_ms;
    char *wanted_broker; /* NULL: any */
    int32_t wanted_queue;
    bool by_hash;
    int32_t hash;
    /* of the tries */
    int32_t tries;
    bool auto_create;  /* the topic is to be made by this send */
    bool fate_unknown; /* a try may have been stored */
    size_t n_brokers;  /* that could have taken the last try */
    rmq_call *call;
    rmq_route_question *question;
    rmq_timer pause;
    bool has_pause;
    int32_t queue_id;
    char broker_name[256];
} rmq_send;

struct rmq_producer {
    rmq_client *client;
    rmq_producer_config config; /* defaults filled in; strings owned */
    rmq_unique_id_source ids;
    rmq_cancel_hook cancel_hook;

    /* The loop's. */
    rmq_send *sends; /* accepted, not ended */
    bool closing;
    uint32_t turns[RMQ_PRODUCER_TURNS]; /* round robin, by the topic's hash */

    pthread_mutex_t codec_mutex; /* guards codec; only ever tried */
    rmq_codec codec;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;   /* room in the window, or all ended, or cancelled */
    size_t in_flight;
    size_t in_flight_bytes;
    size_t unfinished; /* sends whose completion has not run to its end */
    bool cancelled;
};

/* producer_send.c; on the loop. */
void rmq_send_begin(rmq_task *task);
/* Ends it with CANCELLED, whatever it waits for. */
void rmq_send_cancel(rmq_send *send);

/* producer.c */
void rmq_send_free(rmq_send *send);
/* Takes it out of the window, tells its result, frees it. Thread: loop. */
void rmq_producer_ended(rmq_send *send, rmq_status status, const rmq_send_result *result,
                        const rmq_error *err);

#endif
