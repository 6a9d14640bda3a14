/* The queues that a consume command reads: which, from where, to where. */
#ifndef MILL_CLI_CONSUME_QUEUES_H
#define MILL_CLI_CONSUME_QUEUES_H

#include <rmq/consumer.h>

#include "position.h"

typedef struct mill_consume_plan {
    rmq_client *client;
    const char *topic;
    const char *group;  /* NULL: none */
    bool join;          /* as a member of the group: only the queues that are ours */
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
    int64_t start;
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
/* Opens readers for the queues of `mine` that are not read yet: at the group's offset, or, where it
 * has none, as `known` (the topic's queues when the command began) says whether the queue is new.
 * Where the group had no offset the start is committed, so that it is the start for whoever reads
 * the queue next. Errors: as above. */
RMQ_MUST_CHECK rmq_status mill_consume_queues_take(const mill_consume_plan *plan,
                                                   const rmq_queue_list *known,
                                                   const rmq_queue_list *mine,
                                                   mill_consume_queues *queues, rmq_error *err);
bool mill_consume_queues_has(const rmq_queue_list *list, const mill_consume_queue *queue);
/* Closes the reader at `index`; those behind it move up. */
void mill_consume_queues_drop(mill_consume_queues *queues, size_t index);
void mill_consume_queues_close(mill_consume_queues *queues);

#endif
