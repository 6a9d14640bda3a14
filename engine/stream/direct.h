/* The direct stream: the driver plans ranges of queue offsets, tasks read them. */
#ifndef MILL_DIRECT_H
#define MILL_DIRECT_H

#include <mill/stream.h>

#include <pthread.h>
#include <stdatomic.h>

#include "source.h"

/* A broker that doesn't answer is left alone for a while. */
typedef struct mill_direct_broker {
    char *name;
    int64_t away_until_ns; /* 0: it answers */
    int64_t wait_ms;
    rmq_status answer; /* while it is away: what it gave last */
} mill_direct_broker;

typedef struct mill_direct {
    mill_streaming_context *stream;
    char *name;
    char *topic_list; /* topics, each zero-terminated, one after the other */
    const char **topics;
    size_t n_topics;
    char *group;
    mill_start start;
    int64_t start_timestamp_ms;
    mill_on_data_loss on_data_loss;
    int64_t max_rate_per_queue;
    int64_t max_records_per_batch;
    rmq_client *client;
    _Atomic bool gave_up; /* a stop came while a broker was away: no more tries */

    /* Of the driver. */
    mill_positions known; /* all queues of the routes; next_offset: where one begins, -1: unasked */
    mill_positions ends;  /* AVAILABLE_NOW: where each queue ended when it was first asked */
    mill_positions doubts; /* queues that end before our position; next_offset: since when, ms */
    mill_direct_broker *brokers;
    size_t n_brokers;
    int64_t taken_ns; /* when the last ranges were planned; 0: never */

    pthread_t keeper;
    bool keeper_started;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool keeper_runs;
    mill_positions queues;  /* of the newest routes; next_offset has no meaning */
    bool queues_changed;    /* since the driver last looked */
    mill_positions reports; /* to be told to the brokers */
    bool has_reports;
    bool stopping;
} mill_direct;

/* A broker that has just restarted may tell an end that lies before its real one, until its index
 * has caught up; and a slave may lag behind. An end that is too low counts once the master has told
 * it for so long. */
#define MILL_DIRECT_DOUBT_MS 2000

/* direct_keeper.c: the thread that refreshes routes and reports offsets. */
RMQ_MUST_CHECK rmq_status mill_direct_keeper_start(mill_direct *direct, rmq_error *err);
void mill_direct_keeper_stop(mill_direct *direct);
/* The queues of all topics, asked now. */
RMQ_MUST_CHECK rmq_status mill_direct_ask_queues(mill_direct *direct, mill_positions *queues,
                                                 rmq_error *err);

/* direct_plan.c */
RMQ_MUST_CHECK rmq_status mill_direct_start(void *self, mill_positions *positions, rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_direct_plan(void *self, const mill_plan_request *request,
                                           mill_plan_offer *offer, rmq_error *err);

/* direct_read.c */
RMQ_MUST_CHECK rmq_status mill_direct_read(void *self, mill_source_read *read, mill_emitter *out,
                                           mill_task *task, rmq_error *err);
/* Where to go on in a queue whose records up to `position` are gone: at the first message stored
 * after the last one that was read, or at the first there is. */
RMQ_MUST_CHECK rmq_status mill_direct_resume(mill_direct *direct, const mill_position *position,
                                             int64_t min_offset, int64_t *out_offset,
                                             rmq_error *err);
/* DATA_LOSS with the queue, what was wanted and what there is, and what to do. */
rmq_status mill_direct_loss(const mill_position *position, int64_t wanted, int64_t min_offset,
                            int64_t max_offset, const char *why, rmq_error *err);

#endif
