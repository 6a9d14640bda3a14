/* The loop thread: libevent's event_base on a thread of its own, and a list of posted closures.
 *
 *   any thread: post -> list (short mutex) -> eventfd -> loop thread takes the whole list at once
 *
 * Everything that belongs to the loop is touched by its thread only; the base is made without
 * locks. The eventfd is written only when the list was empty, so a burst of posts costs one wake.
 *
 * Stopping: the last posted task breaks the loop; then what was posted meanwhile still runs (a
 * completion is never lost), with a turn of the event loop between, since name lookups that were
 * torn down deliver their last callbacks there. The owner has removed its events by then.
 *
 * Signals are blocked on the loop thread: they belong to the program. */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_WAKE_TRIES 100

struct rmq_loop {
    struct event_base *base;
    struct event *wake_event;
    int wake_fd;
    pthread_t thread;
    bool stopping; /* loop thread */
    rmq_task stop_task;

    pthread_mutex_t mutex; /* guards the two below */
    rmq_task *first;
    rmq_task **tail;
};

static _Thread_local const rmq_loop *current_loop;

static pthread_once_t libevent_once = PTHREAD_ONCE_INIT;

/* libevent would print its warnings to stderr, which belongs to the program; what failed comes back
 * as a status, or is tried again in the loop's next turn. */
static void ignore_warning(int severity, const char *text)
{
    (void)severity;
    (void)text;
}

static void prepare_libevent(void)
{
    event_set_log_callback(ignore_warning);
    /* Bases here need no locks, but libevent's random generator is shared by all of them. */
    (void)evthread_use_pthreads();
}

static rmq_task *take_posted(rmq_loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    rmq_task *list = loop->first;
    loop->first = NULL;
    loop->tail = &loop->first;
    pthread_mutex_unlock(&loop->mutex);
    return list;
}

static bool run_posted(rmq_loop *loop)
{
    rmq_task *list = take_posted(loop);
    bool any = list != NULL;
    while (list != NULL) {
        rmq_task *task = list;
        list = task->next; /* before run, which may free it */
        task->run(task);
    }
    return any;
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    rmq_loop *loop = ctx;
    uint64_t count;
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    run_posted(loop);
    if (loop->stopping)
        event_base_loopbreak(loop->base);
}

static void run_stop(rmq_task *task)
{
    rmq_loop *loop = (rmq_loop *)((char *)task - offsetof(rmq_loop, stop_task));
    loop->stopping = true;
}

static void *loop_main(void *ctx)
{
    rmq_loop *loop = ctx;
    pthread_setname_np(pthread_self(), "rmq-loop");
    current_loop = loop;
    while (!loop->stopping)
        event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    do {
        event_base_loop(loop->base, EVLOOP_NONBLOCK);
    } while (run_posted(loop));
    current_loop = NULL;
    return NULL;
}

static rmq_status make_base(rmq_loop *loop, rmq_error *err)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for an event loop");
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    /* Cached time would let a deadline fire early by as long as the callbacks before it took. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    if (loop->base == NULL)
        return rmq_error_set(err, RMQ_IO, "cannot make an event loop");
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        return rmq_error_set_errno(err, errno, "eventfd");
    loop->wake_event = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    if (loop->wake_event == NULL || event_add(loop->wake_event, NULL) != 0)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for an event loop");
    return RMQ_OK;
}

static rmq_status start_thread(rmq_loop *loop, rmq_error *err)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&loop->thread, NULL, loop_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0)
        return rmq_error_set_errno(err, failure, "cannot start the loop thread");
    return RMQ_OK;
}

static void free_parts(rmq_loop *loop)
{
    if (loop->wake_event != NULL)
        event_free(loop->wake_event);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    if (loop->base != NULL)
        event_base_free(loop->base);
    pthread_mutex_destroy(&loop->mutex);
    rmq_free(loop);
}

rmq_status rmq_loop_new(rmq_loop **out_loop, rmq_error *err)
{
    pthread_once(&libevent_once, prepare_libevent);
    rmq_loop *loop = rmq_calloc(1, sizeof(*loop));
    if (loop == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for an event loop");
    loop->wake_fd = -1;
    loop->tail = &loop->first;
    loop->stop_task.run = run_stop;
    pthread_mutex_init(&loop->mutex, NULL);
    rmq_status status = make_base(loop, err);
    if (status == RMQ_OK)
        status = start_thread(loop, err);
    if (status != RMQ_OK) {
        free_parts(loop);
        return status;
    }
    *out_loop = loop;
    return RMQ_OK;
}

void rmq_loop_free(rmq_loop *loop)
{
    if (loop == NULL)
        return;
    assert(!rmq_loop_is_current(loop));
    rmq_loop_post(loop, &loop->stop_task);
    pthread_join(loop->thread, NULL);
    free_parts(loop);
}

void rmq_loop_post(rmq_loop *loop, rmq_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&loop->mutex);
    bool was_empty = loop->first == NULL;
    *loop->tail = task;
    loop->tail = &task->next;
    pthread_mutex_unlock(&loop->mutex);
    if (!was_empty)
        return;
    const uint64_t one = 1;
    /* EAGAIN means that the counter is full, hence readable: the loop wakes anyway. Any other
     * failure is asked again: the next post writes nothing, so a lost wake would be for ever. */
    for (int tries = 0; tries < MAX_WAKE_TRIES; tries++) {
        if (write(loop->wake_fd, &one, sizeof(one)) >= 0 || errno == EAGAIN)
            return;
    }
}

/* A task and the thread that waits for it. */
typedef struct sync_task {
    rmq_task task;
    rmq_task *inner;
    pthread_mutex_t mutex; /* guards done */
    pthread_cond_t cond;
    bool done;
} sync_task;

static void run_sync(rmq_task *task)
{
    sync_task *sync = (sync_task *)task;
    sync->inner->run(sync->inner);
    pthread_mutex_lock(&sync->mutex);
    sync->done = true;
    pthread_cond_signal(&sync->cond);
    pthread_mutex_unlock(&sync->mutex);
}

void rmq_loop_run_sync(rmq_loop *loop, rmq_task *task)
{
    assert(!rmq_loop_is_current(loop));
    sync_task sync = {.task = {.run = run_sync}, .inner = task};
    pthread_mutex_init(&sync.mutex, NULL);
    pthread_cond_init(&sync.cond, NULL);
    rmq_loop_post(loop, &sync.task);
    pthread_mutex_lock(&sync.mutex);
    while (!sync.done)
        pthread_cond_wait(&sync.cond, &sync.mutex);
    pthread_mutex_unlock(&sync.mutex);
    pthread_cond_destroy(&sync.cond);
    pthread_mutex_destroy(&sync.mutex);
}

bool rmq_loop_is_current(const rmq_loop *loop)
{
    return current_loop == loop;
}

struct event_base *rmq_loop_base(rmq_loop *loop)
{
    return loop->base;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_timer *timer = ctx;
    timer->fire(timer);
}

rmq_status rmq_timer_init(rmq_timer *timer, rmq_loop *loop, void (*fire)(rmq_timer *timer),
                          rmq_error *err)
{
    timer->fire = fire;
    timer->event = event_new(loop->base, -1, 0, on_timer, timer);
    if (timer->event == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a timer");
    return RMQ_OK;
}

void rmq_timer_set(rmq_timer *timer, int64_t delay_ms)
{
    if (delay_ms < 0)
        delay_ms = 0;
    struct timeval delay = {.tv_sec = (time_t)(delay_ms / 1000),
                            .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000)};
    /* Without memory for the timer heap it fires at once: early, but never not at all. */
    if (event_add(timer->event, &delay) != 0)
        event_active(timer->event, EV_TIMEOUT, 0);
}

void rmq_timer_set_soon(rmq_timer *timer)
{
    event_active(timer->event, EV_TIMEOUT, 0);
}

void rmq_timer_clear(rmq_timer *timer)
{
    if (timer->event != NULL)
        event_del(timer->event);
}

void rmq_timer_deinit(rmq_timer *timer)
{
    if (timer->event != NULL)
        event_free(timer->event);
    timer->event = NULL;
}
