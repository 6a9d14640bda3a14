/* A one-shot result. The setter signals under the mutex, so that a waiter on whose stack the future
 * lives cannot destroy it while the setter still holds on to it. */
#include "future.h"

#include <assert.h>
#include <stddef.h>

void rmq_future_init(rmq_future *future)
{
    pthread_mutex_init(&future->mutex, NULL);
    pthread_cond_init(&future->cond, NULL);
    future->done = false;
    future->status = RMQ_OK;
    future->value = NULL;
}

void rmq_future_deinit(rmq_future *future)
{
    pthread_cond_destroy(&future->cond);
    pthread_mutex_destroy(&future->mutex);
}

void rmq_future_set(rmq_future *future, rmq_status status, const rmq_error *err, void *value)
{
    pthread_mutex_lock(&future->mutex);
    assert(!future->done);
    future->done = true;
    future->status = status;
    future->value = value;
    if (status != RMQ_OK && err != NULL)
        future->error = *err;
    else if (status != RMQ_OK)
        rmq_error_set(&future->error, status, "%s", rmq_status_name(status));
    pthread_cond_signal(&future->cond);
    pthread_mutex_unlock(&future->mutex);
}

rmq_status rmq_future_wait(rmq_future *future, void **out_value, rmq_error *err)
{
    pthread_mutex_lock(&future->mutex);
    while (!future->done)
        pthread_cond_wait(&future->cond, &future->mutex);
    rmq_status status = future->status;
    if (status != RMQ_OK && err != NULL)
        *err = future->error;
    if (out_value != NULL && status == RMQ_OK)
        *out_value = future->value;
    pthread_mutex_unlock(&future->mutex);
    return status;
}
