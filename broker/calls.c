/* The way in for other threads. A call stands on its caller's stack, is appended to a list under a
 * short mutex, and the loop, woken by an eventfd, takes the whole list and runs it. So no part of
 * the broker needs a lock.
 *
 * Locks: calls_mutex guards the list (calls, calls_end); each call's own mutex guards its done
 * flag. No thread holds two. */
#include "calls.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker_state.h"

typedef struct rmq_dev_call {
    struct rmq_dev_call *next;
    rmq_dev_call_fn fn;
    void *argument;
    rmq_error *err;
    rmq_status status;
    pthread_mutex_t mutex; /* guards the next two */
    pthread_cond_t cond;
    bool done;
} rmq_dev_call;

static void run(rmq_devbroker *broker, rmq_dev_call *call)
{
    call->status = call->fn(broker, call->argument, call->err);
    rmq_dev_settle(broker);
    pthread_mutex_lock(&call->mutex);
    call->done = true;
    pthread_cond_signal(&call->cond);
    pthread_mutex_unlock(&call->mutex);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    rmq_devbroker *broker = ctx;
    uint64_t count;
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&broker->calls_mutex);
    rmq_dev_call *call = broker->calls;
    broker->calls = NULL;
    broker->calls_end = &broker->calls;
    pthread_mutex_unlock(&broker->calls_mutex);
    while (call != NULL) {
        rmq_dev_call *next = call->next; /* the caller's stack is gone once it is done */
        run(broker, call);
        call = next;
    }
}

rmq_status rmq_dev_calls_init(rmq_devbroker *broker, rmq_error *err)
{
    broker->calls_end = &broker->calls;
    broker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (broker->wake_fd < 0)
        return rmq_error_set_errno(err, errno, "eventfd");
    broker->wake_event =
        event_new(broker->base, broker->wake_fd, EV_READ | EV_PERSIST, on_wake, broker);
    if (broker->wake_event == NULL || event_add(broker->wake_event, NULL) != 0)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the broker's calls");
    return RMQ_OK;
}

void rmq_dev_calls_deinit(rmq_devbroker *broker)
{
    if (broker->wake_event != NULL)
        event_free(broker->wake_event);
    if (broker->wake_fd >= 0)
        close(broker->wake_fd);
}

rmq_status rmq_dev_call_sync(rmq_devbroker *broker, rmq_dev_call_fn fn, void *argument,
                             rmq_error *err)
{
    if (pthread_equal(pthread_self(), broker->thread))
        return fn(broker, argument, err);
    rmq_dev_call call = {.fn = fn, .argument = argument, .err = err};
    pthread_mutex_init(&call.mutex, NULL);
    pthread_cond_init(&call.cond, NULL);
    pthread_mutex_lock(&broker->calls_mutex);
    *broker->calls_end = &call;
    broker->calls_end = &call.next;
    pthread_mutex_unlock(&broker->calls_mutex);
    uint64_t one = 1;
    while (write(broker->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&call.mutex);
    while (!call.done)
        pthread_cond_wait(&call.cond, &call.mutex);
    pthread_mutex_unlock(&call.mutex);
    pthread_mutex_destroy(&call.mutex);
    pthread_cond_destroy(&call.cond);
    return call.status;
}
