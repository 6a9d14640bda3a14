/* Membership of a consumer group: the members share the queues of their topics, each taking the
 * part that the allocation gives it, and are told when the parts change. Reading and committing the
 * assigned queues is the caller's: rmq_reader_open, rmq_group_offset, rmq_group_offset_commit. */
#ifndef RMQ_GROUP_H
#define RMQ_GROUP_H

#include <rmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmq_group_member rmq_group_member;

/* How the sorted queues of a topic are dealt out to the sorted members. All members of a group must
 * do it alike. Source: AllocateMessageQueueAveragely and ...AveragelyByCircle 5.4.0. */
typedef enum rmq_allocation {
    RMQ_ALLOCATE_AVERAGE = 0, /* neighbouring queues to one member; the official default */
    RMQ_ALLOCATE_CIRCLE = 1,  /* one queue to each member in turn */
} rmq_allocation;

/* A topic and which of its messages the group wants. All members must ask for the same: brokers
 * keep what the last heartbeat said. */
typedef struct rmq_topic_filter {
    const char *topic;
    const char *expression; /* NULL: "*" */
    bool sql92;             /* `expression` is SQL92, else tags */
} rmq_topic_filter;

/* Zero means "default". Everything is copied. */
typedef struct rmq_group_member_config {
    size_t struct_size;
    const char *group;
    const rmq_topic_filter *topics;
    size_t n_topics; /* 1 to 1,000 */
    rmq_allocation allocation;
    int64_t rebalance_ms;         /* looked at again so often even if no broker tells; 20000 */
    void (*on_change)(void *ctx); /* called on the loop thread when rmq_group_member_poll has
                                     something to tell; must not block. May be NULL */
    void *on_change_ctx;
} rmq_group_member_config;

#define RMQ_GROUP_MEMBER_CONFIG_INIT                                                               \
    {                                                                                              \
        .struct_size = sizeof(rmq_group_member_config)                                             \
    }

/* Becomes a member: announces the client to the brokers of its topics with every heartbeat, asks
 * for the members and takes its part, for ever again after failures. Returns before the first part
 * is known. Errors: INVAL (also: this client is a member already; use one client per member),
 * NOMEM. Thread: any but the loop. Source: HEART_BEAT (34), GET_CONSUMER_LIST_BY_GROUP (38),
 * NOTIFY_CONSUMER_IDS_CHANGED (40). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_group_join(rmq_client *client,
                                                 const rmq_group_member_config *config,
                                                 rmq_group_member **out_member, rmq_error *err);

/* The queues that are this member's from now on, sorted, when they are others than at the last call
 * that returned RMQ_OK; the list may be empty, and is the caller's (rmq_queue_list_free). Waits up
 * to `timeout_ms` (0: not at all). What is not in the list belongs to another member at any moment:
 * commit its offset if at all then at once, and never later. Errors: AGAIN (no change), AUTH (a
 * broker refuses the group), CANCELLED, NOMEM. Thread: one at a time, not the loop. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_group_member_poll(rmq_group_member *member,
                                                        int64_t timeout_ms,
                                                        rmq_queue_list **out_queues,
                                                        rmq_error *err);

/* Tells the brokers, so that the others take over at once, and frees. Commit first. Bounded time.
 * Accepts NULL. Thread: any but the loop. Source: UNREGISTER_CLIENT (35). */
RMQ_API void rmq_group_leave(rmq_group_member *member);

#ifdef __cplusplus
}
#endif

#endif
