/* Deadlines for pthread_cond_timedwait. They follow the system's own clock, not the hook of
 * rmq_clock_set: a thread sleeps in real time whatever a test calls the time. */
#include "deadline.h"

#define LONGEST_MS (INT64_C(1000) * 3600 * 24 * 365)

void rmq_deadline_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct timespec rmq_deadline_after(int64_t timeout_ms)
{
    int64_t wait_ms = timeout_ms < 0 ? 0 : timeout_ms;
    if (wait_ms > LONGEST_MS)
        wait_ms = LONGEST_MS;
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (time_t)(wait_ms / 1000);
    deadline.tv_nsec += (long)(wait_ms % 1000 * 1000000);
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}
