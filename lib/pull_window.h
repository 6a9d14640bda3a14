/* The pulls of one queue, in queue order: what each is to bring, and what was answered. No I/O. */
#ifndef RMQ_PULL_WINDOW_H
#define RMQ_PULL_WINDOW_H

#include "../proto/frame.h"
#include "call.h"

/* An answered pull, as it is handed to the reading thread. */
typedef struct rmq_chunk {
    struct rmq_chunk *next;
    rmq_frame *frame; /* NULL: no records, only the position moves */
    rmq_slice body;
    int64_t from; /* records below are not wanted (any more) */
    int64_t to;   /* where the next chunk begins; RMQ_READ_ENDLESS while that is open */
    int64_t offset_delta;
    size_t bytes; /* memory that it keeps alive, counted against the buffer's bound */
} rmq_chunk;

/* Drops the frame and frees. Accepts NULL. Thread: any. */
void rmq_chunk_free(rmq_chunk *chunk);
/* Frees a list. */
void rmq_chunk_free_all(rmq_chunk *list);

typedef enum rmq_pull_state {
    RMQ_PULL_IDLE = 0, /* to be sent */
    RMQ_PULL_IN_FLIGHT,
    RMQ_PULL_ANSWERED /* waits for those before it */
} rmq_pull_state;

typedef struct rmq_pull {
    rmq_chunk chunk; /* first: a delivered pull lives on as its chunk */
    struct rmq_pull *before;
    struct rmq_pull *behind;
    void *owner;
    rmq_call *call;
    rmq_pull_state state;
    bool hold;          /* a long poll */
    bool head_only;     /* it failed: not sent again before it is the first */
    int32_t asked;      /* messages asked for */
    int64_t asked_from; /* offset asked for; chunk.from may have moved on since */
    int64_t sent_ns;
    size_t expected_bytes; /* while in flight */
} rmq_pull;

typedef struct rmq_pull_window {
    rmq_pull *first;
    rmq_pull *last;
    int64_t position; /* where the first begins, or would */
    size_t n_idle;
    size_t n_in_flight;
    size_t expected_bytes; /* of those in flight */
    size_t waiting_bytes;  /* of those answered */
} rmq_pull_window;

/* Where a pull behind all others would begin; RMQ_READ_ENDLESS if the last one is open. */
int64_t rmq_pull_window_end(const rmq_pull_window *window);
bool rmq_pull_is_open(const rmq_pull *pull);

/* A new idle pull at the window's end; NULL: no memory. */
rmq_pull *rmq_pull_window_add(rmq_pull_window *window, int64_t to);
void rmq_pull_window_sent(rmq_pull_window *window, rmq_pull *pull, size_t expected_bytes);
/* Its call ended without a usable answer: it is idle again. */
void rmq_pull_window_unsent(rmq_pull_window *window, rmq_pull *pull);

/* `pull` (in flight) brought everything up to `next` (> its from): keeps `frame` (a reference is
 * taken; may be NULL) and makes the window fit the truth. Short of its plan: a new idle pull for
 * the rest is put behind it. Beyond its plan: pulls that became needless are taken out and given as
 * a list linked by `behind`; one that overlaps in part begins later. NOMEM: nothing changed. */
RMQ_MUST_CHECK rmq_status rmq_pull_window_settle(rmq_pull_window *window, rmq_pull *pull,
                                                 int64_t next, rmq_frame *frame,
                                                 rmq_pull **out_needless);

/* Takes the first one out if it is answered; NULL otherwise. The window's position moves on. */
rmq_chunk *rmq_pull_window_pop(rmq_pull_window *window);
/* Makes `pull` open; all behind it are taken out and given as a list linked by `behind`. */
rmq_pull *rmq_pull_window_open(rmq_pull_window *window, rmq_pull *pull);
/* Takes out all, as a list linked by `behind`. The position becomes `position`. */
rmq_pull *rmq_pull_window_reset(rmq_pull_window *window, int64_t position);

#endif
