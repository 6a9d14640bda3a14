/* What answers about a group's committed offsets say of one queue. */
#ifndef RMQ_GROUP_STATS_H
#define RMQ_GROUP_STATS_H

#include <rmq/client.h>

typedef struct rmq_group_commit {
    bool found;
    int64_t offset;
} rmq_group_commit;

/* Body of GET_CONSUME_STATS (208). Errors: PROTO, NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_consume_stats_find(rmq_slice body, const rmq_queue *queue,
                                                 rmq_group_commit *out_commit, rmq_error *err);
/* Body of GET_ALL_CONSUMER_OFFSET (43). Errors: PROTO, NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_all_offsets_find(rmq_slice body, const char *group,
                                               const rmq_queue *queue, rmq_group_commit *out_commit,
                                               rmq_error *err);

#endif
