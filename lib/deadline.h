/* Waiting on a condition until a moment of the monotonic clock, which nobody sets. */
#ifndef RMQ_DEADLINE_H
#define RMQ_DEADLINE_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* A condition whose timed waits take what rmq_deadline_after gives. */
void rmq_deadline_cond_init(pthread_cond_t *cond);
/* So many milliseconds from now; more than a year is a year, less than 0 is now. */
struct timespec rmq_deadline_after(int64_t timeout_ms);

#endif
