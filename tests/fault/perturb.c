/* The linker (--wrap) puts these in front of what the objects of a test program call. */
#include "perturb.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_PAUSE_US 300

static _Atomic uint64_t seed;
static _Atomic uint64_t threads; /* that drew, in the order of their first draw */
static _Atomic uint64_t held_up;
static _Thread_local uint64_t state;
static _Thread_local uint64_t state_seed; /* of which seed `state` is */

uint64_t perturb_random(uint64_t bound)
{
    uint64_t current = atomic_load_explicit(&seed, memory_order_relaxed);
    if (state == 0 || state_seed != current) {
        state_seed = current;
        state = (current + 1) * UINT64_C(0x9E3779B97F4A7C15) ^
                (atomic_fetch_add(&threads, 1) + 1) * UINT64_C(0xD1B54A32D192ED03);
        state |= 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % bound;
}

static void shake(void)
{
    if (atomic_load_explicit(&seed, memory_order_relaxed) == 0)
        return;
    const uint64_t drawn = perturb_random(256);
    if (drawn >= 24)
        return;
    atomic_fetch_add_explicit(&held_up, 1, memory_order_relaxed);
    if (drawn >= 2) {
        sched_yield();
        return;
    }
    const struct timespec pause = {.tv_nsec = (long)perturb_random(LONGEST_PAUSE_US) * 1000};
    nanosleep(&pause, NULL);
}

void perturb_start(uint64_t new_seed)
{
    atomic_store(&seed, new_seed);
}

uint64_t perturb_count(void)
{
    return atomic_load(&held_up);
}

uint64_t perturb_seed(void)
{
    const char *text = getenv("MILLRACE_SEED");
    const uint64_t number = text != NULL ? strtoull(text, NULL, 10) : 1;
    return number != 0 ? number : 1;
}

int perturb_rounds(int base)
{
    const char *text = getenv("MILLRACE_FAULT_SCALE");
    const long scale = text != NULL ? strtol(text, NULL, 10) : 1;
    return scale <= 5 ? base : base * (int)(scale / 5);
}

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    shake();
    return __real_pthread_mutex_lock(mutex);
}

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int result = __real_pthread_mutex_unlock(mutex);
    shake();
    return result;
}

int __real_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    shake();
    return __real_pthread_cond_signal(cond);
}

int __real_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
    shake();
    return __real_pthread_cond_broadcast(cond);
}

ssize_t __real_read(int fd, void *out, size_t len);
ssize_t __wrap_read(int fd, void *out, size_t len);
ssize_t __wrap_read(int fd, void *out, size_t len)
{
    shake();
    return __real_read(fd, out, len);
}

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    shake();
    return __real_write(fd, data, len);
}

ssize_t __real_recv(int fd, void *out, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *out, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *out, size_t len, int flags)
{
    shake();
    return __real_recv(fd, out, len, flags);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    shake();
    return __real_sendmsg(fd, message, flags);
}
