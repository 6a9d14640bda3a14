/* What a puller does while its broker does not answer: pauses that grow, one text for people, and
 * how long a doubt has lasted. Loop thread only. */
#ifndef RMQ_PULL_TROUBLE_H
#define RMQ_PULL_TROUBLE_H

#include "call.h"

typedef struct rmq_pull_trouble {
    rmq_timer timer; /* set while the pause lasts */
    rmq_client *client;
    void (*again)(void *ctx);                     /* the pause is over */
    void (*changed)(void *ctx, const char *text); /* empty: all is well again */
    void *ctx;
    const char *queue_name; /* for the log; borrowed */
    bool paused;
    int64_t backoff_ms;     /* last pause; 0: all is well */
    int64_t idle_ms;        /* last pause because answers came too soon */
    int64_t doubt_since_ns; /* 0: no doubt */
    uint64_t random;
    bool warned;
    char text[256];
} rmq_pull_trouble;

/* The caller has set client, again, changed, ctx and queue_name. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_pull_trouble_init(rmq_pull_trouble *trouble, rmq_error *err);
void rmq_pull_trouble_deinit(rmq_pull_trouble *trouble);

/* How long a pause of at most `longest_ms` is, by chance. */
int64_t rmq_pull_trouble_pause(int64_t longest_ms, uint64_t random);
/* A try failed: pauses (longer each time), unless a pause lasts already. */
void rmq_pull_trouble_begin(rmq_pull_trouble *trouble, const char *text);
/* As begin, after a link was lost or could not be made: that is logged once for all of its queues,
 * so that this queue is no warning of its own. */
void rmq_pull_trouble_link(rmq_pull_trouble *trouble, const char *text);
/* As begin, for something that should not be, but may be over soon. True once it has lasted too
 * long: then nothing is done, and it is to be believed. */
RMQ_MUST_CHECK bool rmq_pull_trouble_doubt(rmq_pull_trouble *trouble, const char *text);
/* The doubt is of another kind now: its time starts anew. */
void rmq_pull_trouble_no_doubt(rmq_pull_trouble *trouble);
/* The broker had nothing and did not hold the pull: a short pause that is no trouble. */
void rmq_pull_trouble_idle(rmq_pull_trouble *trouble);
/* All is well: ends a pause. `again` is not called. */
void rmq_pull_trouble_over(rmq_pull_trouble *trouble);
/* As over, but nobody is told: the reader stops. */
void rmq_pull_trouble_stop(rmq_pull_trouble *trouble);

#endif
