/* The allocations that members of a group agree on without talking: each computes its own part from
 * the same two sorted lists, so the formulas are part of the protocol and must equal the official
 * ones to the last queue. Source: AllocateMessageQueueAveragely,
 * AllocateMessageQueueAveragelyByCircle 5.4.0; protocol facts 10.3. */
#include "allocate.h"

#include <assert.h>

static rmq_share average(size_t n_queues, size_t n_members, size_t index)
{
    const size_t rest = n_queues % n_members;
    const size_t size = n_queues / n_members + (index < rest ? 1 : 0);
    const size_t first = index < rest ? index * size : index * size + rest;
    return (rmq_share){first, 1, size};
}

static rmq_share circle(size_t n_queues, size_t n_members, size_t index)
{
    const size_t count = index < n_queues ? (n_queues - index - 1) / n_members + 1 : 0;
    return (rmq_share){index, n_members, count};
}

rmq_share rmq_allocate(rmq_allocation allocation, size_t n_queues, size_t n_members, size_t index)
{
    assert(index < n_members);
    return allocation == RMQ_ALLOCATE_CIRCLE ? circle(n_queues, n_members, index)
                                             : average(n_queues, n_members, index);
}
