/* Listening that can be stopped and started again on the same port.
 *
 * While a broker is "down" its port must not be given to another process, or the test that restarts
 * it would talk to a stranger. So a guard socket is bound to the port from the start and never
 * listens; the listening socket is a second one with SO_REUSEADDR, made and closed as often as
 * needed. Connecting to the guard alone is refused, as it shall be. (On Linux a bound port is
 * handed out neither for bind to port 0 nor for connect.) */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 512
#define ACCEPTS_AT_ONCE 64
#define RETRY_MS 100

void rmq_dev_listener_init(rmq_dev_listener *listener)
{
    memset(listener, 0, sizeof(*listener));
    listener->guard_fd = -1;
    listener->fd = -1;
}

static rmq_status make_socket(const rmq_dev_listener *listener, int *out_fd, rmq_error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener->port_number)};
    if (inet_pton(AF_INET, listener->address, &address.sin_addr) != 1)
        return rmq_error_set(err, RMQ_INVAL, "%s is no IPv4 address", listener->address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        rmq_error_set_errno(err, errno, "no socket to listen on");
        return RMQ_IO;
    }
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int bind_errno = errno;
        close(fd);
        return rmq_error_set_errno(err, bind_errno, "can't bind %s:%u", listener->address,
                                   listener->port_number);
    }
    *out_fd = fd;
    return RMQ_OK;
}

rmq_status rmq_dev_listener_bind(rmq_dev_listener *listener, const char *address,
                                 uint16_t port_number, rmq_error *err)
{
    listener->address = address;
    listener->port_number = port_number;
    rmq_status status = make_socket(listener, &listener->guard_fd, err);
    if (status != RMQ_OK)
        return status;
    struct sockaddr_in bound = {0};
    socklen_t len = sizeof(bound);
    if (getsockname(listener->guard_fd, (struct sockaddr *)&bound, &len) != 0)
        return rmq_error_set_errno(err, errno, "getsockname");
    listener->port_number = ntohs(bound.sin_port);
    snprintf(listener->text, sizeof(listener->text), "%s:%u", address, listener->port_number);
    return RMQ_OK;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    rmq_dev_listener *listener = ctx;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                struct timeval later = {0, RETRY_MS * 1000};
                event_del(listener->event);
                event_add(listener->retry, &later);
            }
            return;
        }
        int on = 1;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        listener->accept_fn(listener->ctx, listener->port, accepted);
    }
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_dev_listener *listener = ctx;
    event_add(listener->event, NULL);
}

rmq_status rmq_dev_listener_open(rmq_dev_listener *listener, rmq_error *err)
{
    if (listener->fd >= 0)
        return RMQ_OK;
    rmq_status status = make_socket(listener, &listener->fd, err);
    if (status != RMQ_OK)
        return status;
    if (listen(listener->fd, BACKLOG) != 0) {
        status = rmq_error_set_errno(err, errno, "can't listen on %s", listener->text);
        goto out;
    }
    listener->event =
        event_new(listener->base, listener->fd, EV_READ | EV_PERSIST, on_readable, listener);
    listener->retry = evtimer_new(listener->base, on_retry, listener);
    if (listener->event == NULL || listener->retry == NULL || event_add(listener->event, NULL) != 0)
        status = rmq_error_set(err, RMQ_NOMEM, "no memory to listen");
out:
    if (status != RMQ_OK)
        rmq_dev_listener_close(listener);
    return status;
}

void rmq_dev_listener_close(rmq_dev_listener *listener)
{
    if (listener->event != NULL)
        event_free(listener->event);
    if (listener->retry != NULL)
        event_free(listener->retry);
    listener->event = NULL;
    listener->retry = NULL;
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
}

void rmq_dev_listener_deinit(rmq_dev_listener *listener)
{
    rmq_dev_listener_close(listener);
    if (listener->guard_fd >= 0)
        close(listener->guard_fd);
    listener->guard_fd = -1;
}
