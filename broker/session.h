/* One accepted connection: frames in, answers out. */
#ifndef RMQ_DEV_SESSION_H
#define RMQ_DEV_SESSION_H

#include <rmq/devbroker.h>
#include <rmq/message.h>

#include <event2/event.h>

#include "frame.h"
#include "listener.h"
#include "write_queue.h"

typedef struct rmq_dev_session {
    rmq_devbroker *broker;
    rmq_dev_port port;
    int fd;
    struct event *read_event;
    struct event *write_event;
    rmq_splitter *splitter;
    rmq_dev_write_queue out;
    size_t delayed_bytes; /* of answers that a fault rule holds back; they count as waiting */
    bool closed;          /* freed at the end of this callback */
    bool finishing;       /* closed once what waits is written; answers are no longer taken */
    int64_t finished_ms;  /* when all was written; 0 before */
    bool stalled;         /* by a fault rule: nothing more is read */
    bool paused;          /* too much waits to be written */
    bool dirty;           /* in the list of sessions to be settled */
    int64_t last_traffic_ms;
    int64_t last_write_ms; /* when the socket took something, or the queue was empty */
    rmq_host peer;
    char peer_text[32];                /* 127.0.0.1:51412 */
    struct rmq_dev_hold *holds;        /* long_poll.c */
    struct rmq_dev_delayed *delayed;   /* answers that wait for their time: deliver.c */
    struct rmq_dev_delayed *reordered; /* the answer that waits for the next one: deliver.c */
    struct rmq_dev_session *next;
    struct rmq_dev_session *previous;
    struct rmq_dev_session *next_dirty;
} rmq_dev_session;

typedef struct rmq_dev_sessions {
    rmq_dev_session *first;
    rmq_dev_session *dirty;
    size_t count;
} rmq_dev_sessions;

/* Takes over an accepted socket; an rmq_dev_accept_fn with the broker as ctx. */
void rmq_dev_session_accept(void *ctx, rmq_dev_port port, int take_fd);

/* Queues a whole frame (of rmq_malloc) or a part of one. A session that can't take it (memory, cap)
 * is closed, since a gap in its stream would be worse. */
void rmq_dev_session_write(rmq_dev_session *session, uint8_t *take_data, size_t len);
void rmq_dev_session_write_chunk(rmq_dev_session *session, rmq_dev_chunk *chunk,
                                 const uint8_t *data, size_t len);

/* Marks it closed: nothing more is read, answered or written. It is freed by the next settle. */
void rmq_dev_session_close(rmq_dev_session *session, const char *why);
/* Closes it after what waits is written. */
void rmq_dev_session_finish(rmq_dev_session *session);
void rmq_dev_session_stop_reading(rmq_dev_session *session);
/* Has it settled. */
void rmq_dev_session_touch(rmq_dev_session *session);
void rmq_dev_sessions_close_all(rmq_devbroker *broker, rmq_dev_port port, const char *why);
/* Closes those without traffic, and those that don't take what waits for them. */
void rmq_dev_sessions_sweep(rmq_devbroker *broker);

/* Ends every callback of the loop: restarts if a fault rule asked for it, commits the journal,
 * writes what was answered, frees what was closed. */
void rmq_dev_settle(rmq_devbroker *broker);

#endif
