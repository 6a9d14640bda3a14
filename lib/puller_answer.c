/* What a puller does with answers.
 *
 * Answered well, a pull is settled in the window and what is answered at the window's front is
 * handed on.
 *
 * Failures. A failed pull becomes idle. What is not the first in the window is not judged: it is
 * asked again when it has become the first (or all is well again), since only the first one's
 * answer decides about the reader's position. In trouble only the first is sent, until it succeeds.
 */
#include <stdio.h>

#include "expression_check.h"
#include "pull_judge.h"
#include "puller_state.h"

/* A long poll that comes back empty sooner than this was not held. */
#define TOO_SOON_NS 50000000
/* What answers may hold beyond max_buffered_bytes, together. */
#define OVERRUN_BYTES ((size_t)8 * 1024 * 1024)

static void finish_with_loss(rmq_puller *puller, const rmq_pull_verdict *verdict, int64_t wanted)
{
    rmq_data_loss loss = {
        .wanted_offset = wanted,
        .min_offset = verdict->min_offset,
        .max_offset = verdict->max_offset,
        .reset = verdict->reset,
        .next_offset = verdict->next_offset,
    };
    rmq_error err;
    if (verdict->reset)
        rmq_error_set(&err, RMQ_DATA_LOSS,
                      "%s: an administrator reset the group's position from %lld to %lld",
                      puller->queue_name, (long long)wanted, (long long)verdict->next_offset);
    else
        rmq_error_set(&err, RMQ_DATA_LOSS, "%s: offset %lld is wanted, the broker has %lld to %lld",
                      puller->queue_name, (long long)wanted, (long long)verdict->min_offset,
                      (long long)verdict->max_offset);
    rmq_puller_finish(puller, RMQ_DATA_LOSS, &loss, &err);
}

/* The first pull was answered well: everything may be sent again. */
static void recovered(rmq_puller *puller)
{
    rmq_pull_trouble_over(&puller->trouble);
    puller->silences = 0;
    if (!puller->any_head_only)
        return;
    puller->any_head_only = false;
    for (rmq_pull *pull = puller->window.first; pull != NULL; pull = pull->behind)
        pull->head_only = false;
}

static void widen(rmq_puller *puller)
{
    if (puller->width < puller->max_pulls && ++puller->successes >= puller->width) {
        puller->width++;
        puller->successes = 0;
    }
}

/* Hands on what is answered at the front. */
static void deliver(rmq_puller *puller)
{
    rmq_chunk *chunk = rmq_pull_window_pop(&puller->window);
    while (chunk != NULL) {
        atomic_fetch_add(&puller->handed_bytes, chunk->bytes);
        puller->events.chunk(puller->ctx, chunk);
        chunk = rmq_pull_window_pop(&puller->window);
    }
    if (puller->window.position >= puller->end_offset)
        rmq_puller_finish(puller, RMQ_NOT_FOUND, NULL, NULL);
}

/* The frame to be kept while its records wait, referenced. Where much waits already, it must not
 * keep its neighbours' bytes alive besides. */
static rmq_frame *take_frame(rmq_puller *puller, rmq_frame *frame)
{
    size_t waiting = atomic_load(&puller->handed_bytes) + puller->window.waiting_bytes;
    rmq_frame *alone = waiting > puller->max_buffered_bytes / 2 ? rmq_frame_detach(frame) : NULL;
    return alone != NULL ? alone : rmq_frame_ref(frame);
}

/* Answers may be larger than was expected when their pulls were sent, but not so many so much that
 * the bound on memory means nothing. The first one must be taken when nothing else is there. */
static bool may_keep(rmq_puller *puller, const rmq_pull *pull, const rmq_answer *answer)
{
    size_t handed = atomic_load(&puller->handed_bytes);
    if (handed == 0 && pull == puller->window.first)
        return true;
    size_t held = handed + puller->window.waiting_bytes;
    return held + rmq_frame_bytes(answer->frame) <= puller->max_buffered_bytes + OVERRUN_BYTES;
}

/* Asks again later, when it has become the first. */
static void give_back(rmq_puller *puller, rmq_pull *pull)
{
    rmq_pull_window_unsent(&puller->window, pull);
    pull->head_only = true;
    puller->any_head_only = true;
    rmq_puller_pump(puller);
}

static void accept(rmq_puller *puller, rmq_pull *pull, const rmq_answer *answer,
                   const rmq_pull_verdict *verdict)
{
    bool has_records = verdict->meaning == RMQ_PULL_RECORDS;
    int64_t planned = rmq_pull_is_open(pull) ? 0 : pull->chunk.to - pull->asked_from;
    int64_t next =
        verdict->next_offset < puller->end_offset ? verdict->next_offset : puller->end_offset;
    if (has_records)
        rmq_pull_size_learn(&puller->size, planned, pull->asked, next - pull->asked_from,
                            answer->command.body.len);
    else
        rmq_pull_size_lost(&puller->size, planned, pull->asked);
    if (next <= pull->chunk.from) { /* one before it brought all that this one did */
        rmq_pull_window_unsent(&puller->window, pull);
        rmq_puller_pump(puller);
        return;
    }
    if (has_records && !may_keep(puller, pull, answer)) {
        give_back(puller, pull);
        return;
    }
    bool is_first = pull == puller->window.first;
    rmq_pull *needless = NULL;
    rmq_frame *frame = has_records ? take_frame(puller, answer->frame) : NULL;
    rmq_status status = rmq_pull_window_settle(&puller->window, pull, next, frame, &needless);
    rmq_frame_unref(frame);
    if (status != RMQ_OK) {
        rmq_pull_window_unsent(&puller->window, pull);
        rmq_pull_trouble_begin(&puller->trouble, "out of memory");
        return;
    }
    pull->chunk.offset_delta = verdict->offset_delta;
    rmq_puller_drop(puller, needless);
    widen(puller);
    if (is_first) {
        recovered(puller);
        deliver(puller);
    }
    rmq_puller_pump(puller);
}

/* Nothing new at the queue's end, as an endless reader expects. */
static void wait_at_end(rmq_puller *puller, rmq_pull *pull)
{
    bool too_soon = pull->hold && rmq_clock_monotonic_ns() - pull->sent_ns < TOO_SOON_NS;
    rmq_puller_drop(puller, rmq_pull_window_open(&puller->window, pull));
    if (puller->trouble.backoff_ms > 0)
        recovered(puller);
    if (too_soon)
        rmq_pull_trouble_idle(&puller->trouble);
    rmq_puller_pump(puller);
}

/* The first pull was answered, but brought neither records nor a step forward. */
static void judge_first(rmq_puller *puller, rmq_pull *pull, const rmq_pull_verdict *verdict,
                        const rmq_error *err)
{
    char text[160];
    switch (verdict->meaning) {
    case RMQ_PULL_NOTHING:
        if (puller->end_offset == RMQ_READ_ENDLESS) {
            wait_at_end(puller, pull);
            return;
        }
        /* fall through - a range was within the queue when it was planned */
    case RMQ_PULL_BEYOND:
        snprintf(text, sizeof(text), "offset %lld lies beyond the broker's end %lld",
                 (long long)pull->chunk.from, (long long)verdict->max_offset);
        if (rmq_pull_trouble_doubt(&puller->trouble, text))
            finish_with_loss(puller, verdict, pull->chunk.from);
        return;
    case RMQ_PULL_GONE:
        finish_with_loss(puller, verdict, pull->chunk.from);
        return;
    case RMQ_PULL_DOUBTFUL:
        if (rmq_pull_trouble_doubt(&puller->trouble, err->text))
            rmq_puller_finish(puller, verdict->status, NULL, err);
        return;
    default:
        rmq_puller_finish(puller, verdict->status, NULL, err);
        return;
    }
}

static void refuse(rmq_puller *puller, rmq_pull *pull, const rmq_pull_verdict *verdict,
                   const rmq_error *err)
{
    if (!rmq_pull_is_open(pull))
        rmq_pull_size_lost(&puller->size, pull->chunk.to - pull->asked_from, pull->asked);
    rmq_pull_window_unsent(&puller->window, pull);
    if (verdict->ask_route) {
        rmq_pull_route_doubt(puller->route);
        rmq_pull_route_ask(puller->route);
    }
    if (verdict->meaning == RMQ_PULL_TROUBLE) {
        rmq_pull_trouble_begin(&puller->trouble, err->text);
    } else if (pull == puller->window.first) {
        judge_first(puller, pull, verdict, err);
    } else {
        pull->head_only = true;
        puller->any_head_only = true;
        rmq_puller_pump(puller);
    }
}

/* The call itself failed: the link, not the broker's mind. */
static void call_failed(rmq_puller *puller, const rmq_call_outcome *outcome)
{
    if (outcome->status == RMQ_CANCELLED) {
        rmq_puller_finish(puller, RMQ_CANCELLED, NULL, outcome->err);
        return;
    }
    if (outcome->status == RMQ_TIMEOUT && !puller->trouble.paused) {
        puller->width = puller->width > 1 ? puller->width / 2 : 1;
        puller->successes = 0;
        puller->silences++;
    }
    rmq_pull_trouble_no_doubt(&puller->trouble);
    if (outcome->status != RMQ_NOMEM && outcome->status != RMQ_FULL) {
        rmq_pull_route_doubt(puller->route);
        rmq_pull_route_ask(puller->route);
    }
    const char *why = outcome->err != NULL ? outcome->err->text : rmq_status_name(outcome->status);
    if (outcome->status == RMQ_IO || outcome->status == RMQ_CLOSED)
        rmq_pull_trouble_link(&puller->trouble, why);
    else
        rmq_pull_trouble_begin(&puller->trouble, why);
}

void rmq_puller_pull_done(void *ctx, const rmq_call_outcome *outcome)
{
    rmq_pull *pull = ctx;
    rmq_puller *puller = pull->owner;
    pull->call = NULL;
    if (outcome->status != RMQ_OK) {
        if (!rmq_pull_is_open(pull))
            rmq_pull_size_lost(&puller->size, pull->chunk.to - pull->asked_from, pull->asked);
        rmq_pull_window_unsent(&puller->window, pull);
        call_failed(puller, outcome);
        return;
    }
    rmq_error err;
    rmq_pull_verdict verdict;
    rmq_pull_judge(outcome->answer, pull->asked_from, puller->queue_name, &verdict, &err);
    rmq_pull_route_suggest(puller->route, verdict.suggested_broker_id);
    if (verdict.max_offset >= 0) {
        puller->max_offset = verdict.max_offset;
        if (verdict.meaning == RMQ_PULL_RECORDS && verdict.next_offset > puller->max_offset)
            puller->max_offset = verdict.next_offset;
        puller->events.bounds(puller->ctx, verdict.min_offset, puller->max_offset);
    }
    if (verdict.meaning == RMQ_PULL_RECORDS || verdict.meaning == RMQ_PULL_MOVED)
        accept(puller, pull, outcome->answer, &verdict);
    else
        refuse(puller, pull, &verdict, &err);
}

void rmq_puller_check_done(void *ctx, const rmq_call_outcome *outcome)
{
    rmq_puller *puller = ctx;
    puller->check = NULL;
    rmq_error err;
    rmq_status status = rmq_expression_check_result(outcome, puller->queue_name, &err);
    if (status == RMQ_OK) {
        puller->checked = true;
        recovered(puller);
        rmq_puller_pump(puller);
    } else if (outcome->status != RMQ_OK) {
        call_failed(puller, outcome);
    } else if (status == RMQ_INVAL || status == RMQ_UNSUPPORTED || status == RMQ_AUTH) {
        rmq_puller_finish(puller, status, NULL, &err);
    } else {
        rmq_pull_trouble_begin(&puller->trouble, err.text);
    }
}
