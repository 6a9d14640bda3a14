/* What a puller is made of, for its two halves: puller.c plans and sends, puller_answer.c takes the
 * answers. Loop thread only, but for what is said to be shared. */
#ifndef RMQ_PULLER_STATE_H
#define RMQ_PULLER_STATE_H

#include <stdatomic.h>

#include "pull_request.h"
#include "pull_route.h"
#include "pull_size.h"
#include "pull_trouble.h"
#include "puller.h"

struct rmq_puller {
    rmq_client *client;
    rmq_puller_events events;
    void *ctx;
    rmq_pull_target target; /* strings owned */
    char *queue_name;
    int64_t end_offset;
    size_t max_buffered_bytes;
    bool filtered;
    bool checked; /* the broker understands the expression, or need not be asked */
    bool running;
    rmq_pull_window window;
    rmq_pull_size size;
    rmq_pull_request request;
    rmq_pull_route *route;
    rmq_pull_trouble trouble;
    rmq_call *check;
    int32_t max_pulls;
    int32_t width;     /* pulls in flight at most, now: halved by timeouts */
    int32_t successes; /* since the width changed */
    int32_t silences;  /* pulls that were not answered in time, one for each trouble */
    bool any_head_only;
    int64_t max_offset; /* as last told; -1 */
    /* Shared with the reading thread. */
    atomic_size_t handed_bytes;
    atomic_bool starved;     /* the window waits for handed_bytes to fall */
    atomic_bool room_posted; /* room_task is on its way */
    rmq_task room_task;
};

/* puller.c */
/* Sends all that may be sent now. */
void rmq_puller_pump(rmq_puller *puller);
/* Cancels and frees pulls that were taken out of the window, linked by `behind`. */
void rmq_puller_drop(rmq_puller *puller, rmq_pull *list);
/* Stops and tells so. */
void rmq_puller_finish(rmq_puller *puller, rmq_status status, const rmq_data_loss *loss,
                       const rmq_error *err);

/* puller_answer.c: completions of a pull and of the check of the expression. */
void rmq_puller_pull_done(void *ctx, const rmq_call_outcome *outcome);
void rmq_puller_check_done(void *ctx, const rmq_call_outcome *outcome);

#endif
