/* A one-shot result: the loop sets it, a caller's thread waits for it. Behind every blocking call.
 */
#ifndef RMQ_FUTURE_H
#define RMQ_FUTURE_H

#include <rmq/base.h>

#include <pthread.h>

typedef struct rmq_future {
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    bool done;
    rmq_status status;
    rmq_error error;
    void *value; /* ownership passes to who waits */
} rmq_future;

void rmq_future_init(rmq_future *future);
void rmq_future_deinit(rmq_future *future);
/* Sets the result, once. `err` may be NULL. The waiting thread may free the future as soon as this
 * returns, or before: don't touch it afterwards. Thread: any. */
void rmq_future_set(rmq_future *future, rmq_status status, const rmq_error *err, void *value);
/* Waits for the result; there is no timeout, since who promised the future owes it. Thread: any but
 * the one that sets it. */
rmq_status rmq_future_wait(rmq_future *future, void **out_value, rmq_error *err);

#endif
