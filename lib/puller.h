/* Reading one queue on the loop thread: a window of pulls in flight, answers in queue order. What
 * the range readers stand on. Everything here belongs to the loop thread, unless it says otherwise.
 */
#ifndef RMQ_PULLER_H
#define RMQ_PULLER_H

#include <rmq/consumer.h>

#include "pull_window.h"

typedef struct rmq_puller rmq_puller;

/* What a puller is told. Strings are copied; everything is filled (no defaults here). */
typedef struct rmq_puller_config {
    rmq_queue queue;
    int64_t end_offset; /* exclusive; RMQ_READ_ENDLESS */
    const char *group;
    const char *expression;
    bool sql92;
    int32_t max_messages;
    int32_t max_pulls;
    size_t max_buffered_bytes;
    int64_t hold_ms;
} rmq_puller_config;

/* What a puller tells, on the loop thread. `stopped` comes at most once per start: NOT_FOUND at the
 * end of the range, DATA_LOSS with `loss`, or the error. It may be called from inside rmq_puller
 * functions, never after rmq_puller_stop. */
typedef struct rmq_puller_events {
    void (*chunk)(void *ctx, rmq_chunk *take_chunk);
    void (*bounds)(void *ctx, int64_t min_offset, int64_t max_offset);
    void (*stopped)(void *ctx, rmq_status status, const rmq_data_loss *loss, const rmq_error *err);
    void (*trouble)(void *ctx, const char *text); /* empty: it is over */
} rmq_puller_events;

/* Thread: any, as nothing is shared yet. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_puller_new(rmq_client *client, const rmq_puller_config *config,
                                         const rmq_puller_events *events, void *ctx,
                                         rmq_puller **out_puller, rmq_error *err);
/* Starts reading at `offset`. It must not be running. */
void rmq_puller_start(rmq_puller *puller, int64_t offset);
/* Drops what is in flight and answered; no event comes afterwards until it is started again. */
void rmq_puller_stop(rmq_puller *puller);
/* Stops and frees. */
void rmq_puller_free(rmq_puller *puller);

/* The reader of the chunks is done with `bytes` of them: makes room for more. Thread: any. */
void rmq_puller_consumed(rmq_puller *puller, size_t bytes);

#endif
