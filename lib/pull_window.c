/* The window: a list of pulls whose ranges [from, to) follow each other without a hole.
 *
 *      position                                            end
 *         | answered  | in flight | answered  | in flight  | (next pull goes here)
 *         +-----------+-----------+-----------+------------+
 *
 * Each range is a plan. Offsets are dense and a queue is never rewritten, so an answer to any one
 * of them is the truth about its own range, whatever became of the others: an answer that is
 * shorter than planned leaves a hole, for which a pull is put in between, and nothing behind it is
 * lost; one that brought more than planned makes those behind it needless, in whole or in part.
 * Ranges are handed out from the front only.
 *
 * The last pull may be open (`to` is RMQ_READ_ENDLESS): a long poll at the queue's end, or a pull
 * through a filter, where nothing can be said about where its answer ends. Nothing stands behind
 * an open one. */
#include "pull_window.h"

#include <assert.h>

#include <rmq/consumer.h>

void rmq_chunk_free(rmq_chunk *chunk)
{
    if (chunk == NULL)
        return;
    rmq_frame_unref(chunk->frame);
    rmq_free(chunk);
}

void rmq_chunk_free_all(rmq_chunk *list)
{
    while (list != NULL) {
        rmq_chunk *next = list->next;
        rmq_chunk_free(list);
        list = next;
    }
}

int64_t rmq_pull_window_end(const rmq_pull_window *window)
{
    return window->last != NULL ? window->last->chunk.to : window->position;
}

bool rmq_pull_is_open(const rmq_pull *pull)
{
    return pull->chunk.to == RMQ_READ_ENDLESS;
}

static void link_behind(rmq_pull_window *window, rmq_pull *place, rmq_pull *pull)
{
    pull->before = place;
    pull->behind = place != NULL ? place->behind : window->first;
    if (pull->behind != NULL)
        pull->behind->before = pull;
    else
        window->last = pull;
    if (place != NULL)
        place->behind = pull;
    else
        window->first = pull;
    window->n_idle++;
}

static rmq_pull *pull_new(int64_t from, int64_t to)
{
    rmq_pull *pull = rmq_calloc(1, sizeof(*pull));
    if (pull == NULL)
        return NULL;
    pull->chunk.from = from;
    pull->chunk.to = to;
    pull->asked_from = from;
    return pull;
}

rmq_pull *rmq_pull_window_add(rmq_pull_window *window, int64_t to)
{
    int64_t from = rmq_pull_window_end(window);
    assert(from < to);
    rmq_pull *pull = pull_new(from, to);
    if (pull != NULL)
        link_behind(window, window->last, pull);
    return pull;
}

/* Takes a pull's share out of the counters, whatever its state. */
static void uncount(rmq_pull_window *window, rmq_pull *pull)
{
    switch (pull->state) {
    case RMQ_PULL_IDLE:
        window->n_idle--;
        break;
    case RMQ_PULL_IN_FLIGHT:
        window->n_in_flight--;
        window->expected_bytes -= pull->expected_bytes;
        break;
    case RMQ_PULL_ANSWERED:
        window->waiting_bytes -= pull->chunk.bytes;
        break;
    }
    pull->expected_bytes = 0;
}

static void unlink_pull(rmq_pull_window *window, rmq_pull *pull)
{
    uncount(window, pull);
    if (pull->before != NULL)
        pull->before->behind = pull->behind;
    else
        window->first = pull->behind;
    if (pull->behind != NULL)
        pull->behind->before = pull->before;
    else
        window->last = pull->before;
    pull->before = NULL;
    pull->behind = NULL;
}

void rmq_pull_window_sent(rmq_pull_window *window, rmq_pull *pull, size_t expected_bytes)
{
    assert(pull->state == RMQ_PULL_IDLE);
    uncount(window, pull);
    pull->state = RMQ_PULL_IN_FLIGHT;
    pull->asked_from = pull->chunk.from;
    pull->expected_bytes = expected_bytes;
    window->n_in_flight++;
    window->expected_bytes += expected_bytes;
}

void rmq_pull_window_unsent(rmq_pull_window *window, rmq_pull *pull)
{
    assert(pull->state == RMQ_PULL_IN_FLIGHT);
    uncount(window, pull);
    pull->state = RMQ_PULL_IDLE;
    pull->call = NULL;
    pull->asked = 0;
    window->n_idle++;
}

/* Takes out what lies below `next` behind `pull`. */
static rmq_pull *take_covered(rmq_pull_window *window, rmq_pull *pull, int64_t next)
{
    rmq_pull *needless = NULL;
    rmq_pull *other = pull->behind;
    while (other != NULL && other->chunk.from < next) {
        rmq_pull *after = other->behind;
        if (other->chunk.to <= next) {
            unlink_pull(window, other);
            other->behind = needless;
            needless = other;
        } else {
            other->chunk.from = next;
        }
        other = after;
    }
    return needless;
}

rmq_status rmq_pull_window_settle(rmq_pull_window *window, rmq_pull *pull, int64_t next,
                                  rmq_frame *frame, rmq_pull **out_needless)
{
    assert(pull->state == RMQ_PULL_IN_FLIGHT && next > pull->chunk.from);
    rmq_pull *needless = NULL;
    if (!rmq_pull_is_open(pull) && next < pull->chunk.to) {
        rmq_pull *rest = pull_new(next, pull->chunk.to);
        if (rest == NULL)
            return RMQ_NOMEM;
        rest->owner = pull->owner;
        link_behind(window, pull, rest);
    } else if (!rmq_pull_is_open(pull) && next > pull->chunk.to) {
        needless = take_covered(window, pull, next);
    }
    uncount(window, pull);
    pull->state = RMQ_PULL_ANSWERED;
    pull->call = NULL;
    pull->chunk.to = next;
    pull->chunk.frame = frame != NULL ? rmq_frame_ref(frame) : NULL;
    pull->chunk.body = frame != NULL ? frame->body : (rmq_slice){NULL, 0};
    pull->chunk.bytes = sizeof(*pull) + (frame != NULL ? rmq_frame_memory_bytes(frame) : 0);
    window->waiting_bytes += pull->chunk.bytes;
    *out_needless = needless;
    return RMQ_OK;
}

rmq_chunk *rmq_pull_window_pop(rmq_pull_window *window)
{
    rmq_pull *pull = window->first;
    if (pull == NULL || pull->state != RMQ_PULL_ANSWERED)
        return NULL;
    unlink_pull(window, pull);
    window->position = pull->chunk.to;
    return &pull->chunk;
}

rmq_pull *rmq_pull_window_open(rmq_pull_window *window, rmq_pull *pull)
{
    pull->chunk.to = RMQ_READ_ENDLESS;
    rmq_pull *taken = NULL;
    while (pull->behind != NULL) {
        rmq_pull *other = pull->behind;
        unlink_pull(window, other);
        other->behind = taken;
        taken = other;
    }
    return taken;
}

rmq_pull *rmq_pull_window_reset(rmq_pull_window *window, int64_t position)
{
    rmq_pull *taken = NULL;
    while (window->last != NULL) {
        rmq_pull *other = window->last;
        unlink_pull(window, other);
        other->behind = taken;
        taken = other;
    }
    window->position = position;
    return taken;
}
