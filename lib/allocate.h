/* Which of a topic's queues are whose. Pure. */
#ifndef RMQ_ALLOCATE_H
#define RMQ_ALLOCATE_H

#include <rmq/group.h>

/* A member's part of `n_queues` sorted queues: those at first, first + step, ... `count` of them.
 */
typedef struct rmq_share {
    size_t first;
    size_t step;
    size_t count;
} rmq_share;

/* The part of member `index` of `n_members` sorted ones; index < n_members. */
rmq_share rmq_allocate(rmq_allocation allocation, size_t n_queues, size_t n_members, size_t index);

#endif
