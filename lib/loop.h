/* The loop thread: one event_base, posted closures, timers. State on the loop belongs to that
 * thread; others post to it. */
#ifndef RMQ_LOOP_H
#define RMQ_LOOP_H

#include <rmq/base.h>

struct event_base;

typedef struct rmq_loop rmq_loop;

/* A closure that is run on the loop. Embed it in what it is about; `run` may free its owner. */
typedef struct rmq_task {
    struct rmq_task *next;
    void (*run)(struct rmq_task *task);
} rmq_task;

RMQ_MUST_CHECK rmq_status rmq_loop_new(rmq_loop **out_loop, rmq_error *err);
/* Runs what is posted, then stops and joins the thread, and frees. */
void rmq_loop_free(rmq_loop *loop);
/* Appends `task` under a short mutex and wakes the loop if it had nothing posted. Never fails.
 * Tasks run in the order of posting. Thread: any. */
void rmq_loop_post(rmq_loop *loop, rmq_task *task);
/* As post, and waits until it ran. Thread: any but the loop. */
void rmq_loop_run_sync(rmq_loop *loop, rmq_task *task);
bool rmq_loop_is_current(const rmq_loop *loop);
#define rmq_loop_assert(loop) assert(rmq_loop_is_current(loop))
struct event_base *rmq_loop_base(rmq_loop *loop); /* loop thread only */

/* A one-shot timer, loop thread only; embed. Deadlines by rmq_clock_monotonic_ns. */
typedef struct rmq_timer {
    void *event; /* struct event, made by rmq_timer_init */
    void (*fire)(struct rmq_timer *timer);
} rmq_timer;
RMQ_MUST_CHECK rmq_status rmq_timer_init(rmq_timer *timer, rmq_loop *loop,
                                         void (*fire)(rmq_timer *timer), rmq_error *err);
void rmq_timer_set(rmq_timer *timer, int64_t delay_ms); /* (re)arms */
/* Fires once everything that is ready now has been handled, before the loop waits again. */
void rmq_timer_set_soon(rmq_timer *timer);
void rmq_timer_clear(rmq_timer *timer);
void rmq_timer_deinit(rmq_timer *timer);

#endif
