/* Queue locks of orderly consumers: LOCK_BATCH_MQ (41) and UNLOCK_BATCH_MQ (42). */
#ifndef RMQ_DEV_QUEUE_LOCKS_H
#define RMQ_DEV_QUEUE_LOCKS_H

#include "answer.h"
#include "string_map.h"

#define RMQ_DEV_MAX_LOCKS 100000

typedef struct rmq_dev_locks {
    rmq_dev_map locks; /* by "group\1topic\1broker\1queue" */
} rmq_dev_locks;

void rmq_dev_locks_init(rmq_dev_locks *locks, uint32_t seed);
void rmq_dev_locks_deinit(rmq_dev_locks *locks);

void rmq_dev_handle_lock(rmq_dev_request *request);   /* 41 */
void rmq_dev_handle_unlock(rmq_dev_request *request); /* 42 */

#endif
