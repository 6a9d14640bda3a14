/* The queues that a consume command reads: which, from where, to where. */
#ifndef MILL_CLI_CONSUME_QUEUES_H
#define MILL_CLI_CONSUME_QUEUES_H

#include <rmq/consumer.h>

#include "position.h"

typedef struct mill_consume_plan {
    rmq_client *client;
    const char *topic;
    const char *group;  /* NULL: none */
    const char *broker; /* NULL: any */
    int64_t queue_id;   /* -1: any */
    mill_position from;
    mill_position until;
    const char *expression;
    bool sql92;
    void (*on_ready)(void *ctx);
    void *ctx;
} mill_consume_plan;

/* One queue being read. */
typedef struct mill_consume_queue {
    char *broker_name;
    int32_t queue_id;
    rmq_reader *reader;
    bool ended;
    int64_t printed;   /* next offset: everything below is printed */
    int64_t committed; /* what the group was told; -1: nothing */
} mill_consume_queue;

typedef struct mill_consume_queues {
    mill_consume_queue *items;
    size_t count;
} mill_consume_queues;

/* Opens readers for the topic's queues that are not read yet. `first` is false for queues found
 * while running: those start at their first message. Errors: as rmq_client_queues and the offset
 * questions; NOT_FOUND if no queue fits. */
RMQ_MUST_CHECK rmq_status mill_consume_queues_find(const mill_consume_plan *plan, bool first,
                                                   mill_consume_queues *queues, rmq_error *err);
void mill_consume_queues_close(mill_consume_queues *queues);

#endif
