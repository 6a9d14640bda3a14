/* Which queue a message is sent to. Pure. */
#ifndef RMQ_PUBLISH_QUEUE_H
#define RMQ_PUBLISH_QUEUE_H

#include "../proto/route.h"

/* What is wanted of the queue. */
typedef struct rmq_publish_wish {
    const char *broker_name; /* NULL: any; else this one's queue_id */
    int32_t queue_id;
    bool by_hash; /* the queue that `hash` chooses */
    int32_t hash;
    const char *avoid_broker; /* a try failed there: another one, if there is one; may be NULL */
    int32_t max_queues;       /* of each broker: auto-creation; 0: as the route says */
    uint32_t turn;            /* round robin */
} rmq_publish_wish;

/* Borrows from the route. */
typedef struct rmq_publish_queue {
    const char *broker_name;
    const char *address; /* of the master */
    int32_t queue_id;
} rmq_publish_queue;

/* NOT_FOUND: the route has no queue to write to that fits. Source: TopicPublishInfo,
 * SelectMessageQueueByHash; protocol facts 4.2, 6.2. */
RMQ_MUST_CHECK rmq_status rmq_publish_queue_choose(const struct rmq_route *route,
                                                   const rmq_publish_wish *wish,
                                                   rmq_publish_queue *out_queue, rmq_error *err);
/* How many brokers could take a message. */
size_t rmq_publish_brokers(const struct rmq_route *route);

#endif
