/* Signals.
 *
 * The signals are blocked in every thread (mill_signals_setup runs before any other thread starts)
 * and taken by one thread with sigwait, so that what a stop does needs not be safe in a signal
 * handler. */
#include "signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static pthread_mutex_t stop_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the three below */
static rmq_client *stop_client;
static void (*stop_fn)(void *ctx);
static void *stop_ctx;

static atomic_bool stopping;
static int stop_fd = -1;

static void *wait_for_signals(void *set)
{
    pthread_setname_np(pthread_self(), "mill-signals");
    for (;;) {
        int number = 0;
        if (sigwait(set, &number) != 0)
            continue;
        if (atomic_exchange(&stopping, true)) {
            if (number == SIGINT)
                _exit(130);
            continue;
        }
        uint64_t one = 1;
        if (write(stop_fd, &one, sizeof(one)) < 0)
            _exit(130);
        pthread_mutex_lock(&stop_lock);
        if (stop_client != NULL)
            rmq_client_cancel(stop_client);
        if (stop_fn != NULL)
            stop_fn(stop_ctx);
        pthread_mutex_unlock(&stop_lock);
    }
    return NULL;
}

void mill_signals_setup(void)
{
    static sigset_t set;
    pthread_t thread;
    signal(SIGPIPE, SIG_IGN);
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (stop_fd < 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return;
    if (pthread_create(&thread, NULL, wait_for_signals, &set) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool mill_signals_stopping(void)
{
    return atomic_load(&stopping);
}

int mill_signals_fd(void)
{
    return stop_fd;
}

void mill_signals_cancel_client(rmq_client *client)
{
    pthread_mutex_lock(&stop_lock);
    stop_client = client;
    if (client != NULL && atomic_load(&stopping))
        rmq_client_cancel(client);
    pthread_mutex_unlock(&stop_lock);
}

void mill_signals_on_stop(void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&stop_lock);
    stop_fn = fn;
    stop_ctx = ctx;
    if (fn != NULL && atomic_load(&stopping))
        fn(ctx);
    pthread_mutex_unlock(&stop_lock);
}
