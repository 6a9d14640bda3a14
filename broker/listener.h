/* A listening port that stays ours while nothing listens on it. */
#ifndef RMQ_DEV_LISTENER_H
#define RMQ_DEV_LISTENER_H

#include <rmq/base.h>

#include <event2/event.h>

typedef enum rmq_dev_port { RMQ_DEV_PORT_NAMESRV = 0, RMQ_DEV_PORT_BROKER = 1 } rmq_dev_port;

/* Takes over the accepted socket. */
typedef void (*rmq_dev_accept_fn)(void *ctx, rmq_dev_port port, int take_fd);

typedef struct rmq_dev_listener {
    struct event_base *base;
    rmq_dev_port port;
    rmq_dev_accept_fn accept_fn;
    void *ctx;
    const char *address; /* borrowed */
    uint16_t port_number;
    int guard_fd; /* bound to the port for as long as the broker lives */
    int fd;       /* listening, or -1 */
    struct event *event;
    struct event *retry; /* accepts again after file descriptors had run out */
    char text[64];       /* 127.0.0.1:40321 */
} rmq_dev_listener;

void rmq_dev_listener_init(rmq_dev_listener *listener);
/* Binds `address`:`port_number` (0: a free one). Errors: IO, NOMEM, INVAL. */
RMQ_MUST_CHECK rmq_status rmq_dev_listener_bind(rmq_dev_listener *listener, const char *address,
                                                uint16_t port_number, rmq_error *err);
/* Listens. Does nothing if it listens already. */
RMQ_MUST_CHECK rmq_status rmq_dev_listener_open(rmq_dev_listener *listener, rmq_error *err);
void rmq_dev_listener_close(rmq_dev_listener *listener); /* refuses connections, keeps the port */
void rmq_dev_listener_deinit(rmq_dev_listener *listener);

#endif
