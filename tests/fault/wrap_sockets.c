/* In front of the calls to the network, to epoll and to threads.
 *
 * The calls of libevent to epoll cannot be wrapped by the linker, since libevent is linked already:
 * the program defines epoll's functions itself, and the dynamic linker takes those. */
#include "fault_calls.h"
#include "fault_wraps.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

FAULT_WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), socket,
           return -1)
FAULT_WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
           (fd, level, name, value, len), getsockopt, return -1)
FAULT_WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
           (fd, level, name, value, len), setsockopt, return -1)
FAULT_WRAP(int, getifaddrs, (struct ifaddrs * *interfaces), (interfaces), getifaddrs, return -1)
FAULT_WRAP(int, eventfd, (unsigned int count, int flags), (count, flags), eventfd, return -1)
FAULT_WRAP(ssize_t, getrandom, (void *bytes, size_t len, unsigned int flags), (bytes, len, flags),
           getrandom, return -1)
FAULT_WRAP(int, getentropy, (void *bytes, size_t len), (bytes, len), getentropy, return -1)

int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    if (fault_strikes(FAULT_CALL_connect) != NULL)
        return -1;
    struct sockaddr_in mapped;
    if (address->sa_family != AF_INET || len != sizeof(mapped))
        return __real_connect(fd, address, len);
    memcpy(&mapped, address, sizeof(mapped));
    mapped.sin_port = htons(fault_mapped_port(ntohs(mapped.sin_port)));
    return __real_connect(fd, (const struct sockaddr *)&mapped, len);
}

ssize_t __real_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags)
{
    const fault_way *way = fault_strikes(FAULT_CALL_recv);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    if (way != NULL && way->effect == FAULT_END)
        return 0;
    return __real_recv(fd, data, way != NULL ? 1 : len, flags);
}

ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
    const fault_way *way = fault_strikes(FAULT_CALL_send);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    return __real_send(fd, data, way != NULL ? 1 : len, flags);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    const fault_way *way = fault_strikes(FAULT_CALL_sendmsg);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    if (way == NULL || message->msg_iovlen == 0)
        return __real_sendmsg(fd, message, flags);
    return __real_send(fd, message->msg_iov[0].iov_base, 1, flags);
}

/* ---- wakes of the loop, and files: the same calls ---- */

int __real_fstat64(int fd, struct stat64 *about);

static bool is_file(int fd)
{
    struct stat64 about;
    return __real_fstat64(fd, &about) == 0 && S_ISREG(about.st_mode);
}

ssize_t __real_read(int fd, void *data, size_t len);
ssize_t __wrap_read(int fd, void *data, size_t len);
ssize_t __wrap_read(int fd, void *data, size_t len)
{
    if (fault_strikes(FAULT_CALL_wake_read) != NULL)
        return -1;
    return __real_read(fd, data, len);
}

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    const fault_way *way = fault_strikes(is_file(fd) ? FAULT_CALL_write : FAULT_CALL_wake_write);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    ssize_t written = __real_write(fd, data, way != NULL && way->effect == FAULT_SHORT ? 1 : len);
    if (way != NULL && way->effect == FAULT_FAIL_AFTER) {
        errno = way->reason;
        return -1;
    }
    return written;
}

/* ---- epoll, in front of the C library's ---- */

int epoll_create1(int flags)
{
    if (fault_strikes(FAULT_CALL_epoll_create) != NULL)
        return -1;
    return (int)syscall(SYS_epoll_create1, flags);
}

int epoll_ctl(int fd, int operation, int on_fd, struct epoll_event *event)
{
    if (operation != EPOLL_CTL_DEL && fault_strikes(FAULT_CALL_epoll_ctl) != NULL)
        return -1;
    return (int)syscall(SYS_epoll_ctl, fd, operation, on_fd, event);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
    const fault_way *way = fault_strikes(FAULT_CALL_epoll_wait);
    if (way != NULL)
        return way->effect == FAULT_EARLY ? 0 : -1;
    return (int)syscall(SYS_epoll_pwait, fd, events, count, timeout_ms, NULL, (size_t)8);
}

/* ---- threads ---- */

FAULT_WRAP(int, pthread_create,
           (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *ctx),
           (thread, attributes, run, ctx), pthread_create, return way->reason)
/* A wait may return for no reason. */
FAULT_WRAP(int, pthread_cond_wait, (pthread_cond_t * cond, pthread_mutex_t *mutex), (cond, mutex),
           pthread_cond_wait, return 0)
FAULT_WRAP(int, pthread_cond_timedwait,
           (pthread_cond_t * cond, pthread_mutex_t *mutex, const struct timespec *until),
           (cond, mutex, until), pthread_cond_timedwait, return 0)
