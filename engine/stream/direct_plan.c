/* Planning a direct stream: which offsets of which queues are the next batch.
 *
 *   queues of the plan = queues of the last state  (also of a broker that is away, or gone)
 *                      + queues of the newest routes that the state doesn't have
 *
 * A queue that the state has goes on where it was. One that it hasn't is new and begins at its
 * first message, whatever the stream's start says: nobody has decided to leave its messages out.
 * All queues are asked for their ends at once; a broker that doesn't answer gets empty ranges and
 * is left alone for a growing while, so that it costs the others one timeout now and then and not
 * one in each batch.
 *
 * A queue whose end lies before our position has lost what we have read: the topic was made anew,
 * or the broker was rolled back. Going on at that position would pass over what comes below it, so
 * this is loss of data even though nothing is missing yet. */
#include "direct.h"

#include <string.h>

#include "../core/run.h"
#include "rate.h"
#include "streaming_context.h"

#define AWAY_FIRST_MS 100
#define AWAY_MAX_MS 10000
/* A throttled stream without an interval plans in steps of this. */
#define THROTTLE_STEP_MS 100
#define THROTTLE_MAX_MS 1000

/* ---- brokers that are away ---- */

static mill_direct_broker *broker_of(mill_direct *direct, const char *name, rmq_error *err)
{
    for (size_t i = 0; i < direct->n_brokers; i++) {
        if (strcmp(direct->brokers[i].name, name) == 0)
            return &direct->brokers[i];
    }
    mill_direct_broker *brokers =
        rmq_realloc(direct->brokers, (direct->n_brokers + 1) * sizeof(*brokers));
    char *copy = rmq_strdup(name);
    if (brokers != NULL)
        direct->brokers = brokers;
    if (brokers == NULL || copy == NULL) {
        rmq_free(copy);
        rmq_error_set(err, RMQ_NOMEM, "out of memory for a direct stream");
        return NULL;
    }
    brokers[direct->n_brokers] = (mill_direct_broker){.name = copy};
    return &brokers[direct->n_brokers++];
}

static bool is_away(const mill_direct *direct, const char *name)
{
    for (size_t i = 0; i < direct->n_brokers; i++) {
        if (strcmp(direct->brokers[i].name, name) == 0)
            return direct->brokers[i].away_until_ns > mill_stream_now_ns();
    }
    return false;
}

static void tell_away(const mill_direct *direct, const mill_direct_broker *broker)
{
    mill_context_log(mill_stream_engine(direct->stream), RMQ_LOG_WARN, "direct",
                     "%s: broker %s doesn't answer (%s): its queues wait, the others go on",
                     direct->name, broker->name, rmq_status_name(broker->answer));
}

/* Takes note of an answer, or of none; `err` holds what the asking said, if it failed. Errors: what
 * can't get better by waiting. */
static rmq_status note_quietly(mill_direct *direct, const rmq_queue *queue, rmq_status answer,
                               bool *out_went_away, rmq_error *err)
{
    if (answer == RMQ_NOMEM || answer == RMQ_CANCELLED || answer == RMQ_AUTH) {
        rmq_error_wrap(err, "queue %s/%s/%d", queue->topic, queue->broker_name, queue->queue_id);
        return answer;
    }
    mill_direct_broker *broker = broker_of(direct, queue->broker_name, err);
    if (broker == NULL)
        return RMQ_NOMEM;
    mill_context *context = mill_stream_engine(direct->stream);
    int64_t now_ns = mill_stream_now_ns();
    if (broker->away_until_ns > now_ns)
        return RMQ_OK; /* another queue of it was noted in this round */
    if (answer == RMQ_OK) {
        if (broker->wait_ms > 0)
            mill_context_log(context, RMQ_LOG_WARN, "direct", "%s: broker %s answers again",
                             direct->name, broker->name);
        broker->away_until_ns = broker->wait_ms = 0;
        return RMQ_OK;
    }
    *out_went_away = broker->wait_ms == 0;
    broker->answer = answer;
    broker->wait_ms = broker->wait_ms == 0 ? AWAY_FIRST_MS : broker->wait_ms * 2;
    if (broker->wait_ms > AWAY_MAX_MS)
        broker->wait_ms = AWAY_MAX_MS;
    broker->away_until_ns = now_ns + broker->wait_ms * 1000000;
    return RMQ_OK;
}

static rmq_status note_answer(mill_direct *direct, const rmq_queue *queue, rmq_status answer,
                              rmq_error *err)
{
    bool went_away = false;
    rmq_status status = note_quietly(direct, queue, answer, &went_away, err);
    if (status == RMQ_OK && went_away)
        tell_away(direct, broker_of(direct, queue->broker_name, err));
    return status;
}

/* ---- where queues begin ---- */

/* Takes over the newest routes; a queue that stays known keeps where it begins. */
static rmq_status take_routes(mill_direct *direct, rmq_error *err)
{
    pthread_mutex_lock(&direct->lock);
    mill_positions fresh = {0};
    rmq_status status = RMQ_OK;
    bool changed = direct->queues_changed;
    for (size_t i = 0; changed && status == RMQ_OK && i < direct->queues.count; i++)
        status = mill_positions_copy(&fresh, &direct->queues.items[i], err);
    if (status == RMQ_OK)
        direct->queues_changed = false;
    pthread_mutex_unlock(&direct->lock);
    if (!changed || status != RMQ_OK) {
        mill_positions_clear(&fresh);
        return status;
    }
    for (size_t i = 0; i < fresh.count; i++) {
        rmq_queue queue = mill_position_queue(&fresh.items[i]);
        const mill_position *before = mill_positions_find(&direct->known, &queue);
        fresh.items[i].next_offset = before != NULL ? before->next_offset : -1;
    }
    mill_positions_clear(&direct->known);
    direct->known = fresh;
    return RMQ_OK;
}

static rmq_status first_offset(mill_direct *direct, const rmq_queue *queue, int64_t *out_offset,
                               rmq_error *err)
{
    rmq_status status = RMQ_NOT_FOUND;
    switch (direct->start) {
    case MILL_START_LATEST:
        return rmq_queue_max_offset(direct->client, queue, out_offset, err);
    case MILL_START_TIMESTAMP:
        return rmq_queue_offset_at(direct->client, queue, direct->start_timestamp_ms, out_offset,
                                   err);
    case MILL_START_GROUP:
        status = rmq_group_offset(direct->client, direct->group, queue, out_offset, err);
        break;
    case MILL_START_EARLIEST:
        break;
    }
    return status == RMQ_NOT_FOUND ? rmq_queue_min_offset(direct->client, queue, out_offset, err)
                                   : status;
}

rmq_status mill_direct_start(void *self, mill_positions *positions, rmq_error *err)
{
    mill_direct *direct = self;
    rmq_status status = take_routes(direct, err);
    rmq_status trouble = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < direct->known.count; i++) {
        rmq_queue queue = mill_position_queue(&direct->known.items[i]);
        if (is_away(direct, queue.broker_name))
            continue;
        int64_t offset = 0;
        rmq_status answer = first_offset(direct, &queue, &offset, err);
        if (answer == RMQ_OK)
            status = mill_positions_add(positions, &queue, offset, err);
        else
            trouble = answer;
        bool went_away = false;
        if (status == RMQ_OK)
            status = note_quietly(direct, &queue, answer, &went_away, err);
    }
    /* Not one queue could be asked: better to say so than to begin elsewhere later. */
    if (status == RMQ_OK && positions->count == 0 && trouble != RMQ_OK)
        return trouble;
    for (size_t i = 0; status == RMQ_OK && i < direct->n_brokers; i++) {
        if (direct->brokers[i].wait_ms > 0)
            tell_away(direct, &direct->brokers[i]);
    }
    return status;
}

/* ---- one plan ---- */

/* A queue that takes part, and what is known of its end. */
typedef struct candidate {
    mill_position from; /* strings borrowed */
    int64_t end;        /* -1: unknown */
} candidate;

typedef struct planning {
    mill_direct *direct;
    const mill_plan_request *request;
    mill_plan_offer *offer;
    candidate *candidates;
    size_t count;
    int64_t *takes;
} planning;

/* Where a new queue begins: asked once. False: its broker doesn't answer. */
static bool begin_new(mill_direct *direct, mill_position *known, rmq_status *out_status,
                      rmq_error *err)
{
    rmq_queue queue = mill_position_queue(known);
    if (known->next_offset >= 0)
        return true;
    if (is_away(direct, queue.broker_name))
        return false;
    int64_t offset = 0;
    rmq_status answer = rmq_queue_min_offset(direct->client, &queue, &offset, err);
    *out_status = note_answer(direct, &queue, answer, err);
    if (answer == RMQ_OK)
        known->next_offset = offset;
    return answer == RMQ_OK && *out_status == RMQ_OK;
}

static rmq_status gather(planning *plan, rmq_error *err)
{
    mill_direct *direct = plan->direct;
    const mill_positions *positions = plan->request->positions;
    plan->candidates =
        rmq_calloc(positions->count + direct->known.count + 1, sizeof(*plan->candidates));
    if (plan->candidates == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a plan");
    for (size_t i = 0; i < positions->count; i++)
        plan->candidates[plan->count++] = (candidate){positions->items[i], -1};
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < direct->known.count; i++) {
        rmq_queue queue = mill_position_queue(&direct->known.items[i]);
        if (mill_positions_find(positions, &queue) != NULL)
            continue;
        if (begin_new(direct, &direct->known.items[i], &status, err))
            plan->candidates[plan->count++] = (candidate){direct->known.items[i], -1};
        else
            plan->offer->pending = true;
    }
    return status;
}

/* The asking, with the candidates that are asked. */
typedef struct question {
    rmq_queue *queues;
    int64_t *offsets;
    rmq_status *statuses;
    size_t *who;
    size_t count;
} question;

/* First those that failed: a broker that answers for some queues only is not well. */
static rmq_status note_answers(mill_direct *direct, const question *asked, bool good,
                               rmq_error *err)
{
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < asked->count; i++) {
        if ((asked->statuses[i] == RMQ_OK) == good)
            status = note_answer(direct, &asked->queues[i], asked->statuses[i], err);
    }
    return status;
}

/* Many questions at once tell statuses only: what is refused is asked alone, for the words. */
static void hear_refusals(mill_direct *direct, question *asked, rmq_error *err)
{
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < asked->count; i++) {
        if (asked->statuses[i] == RMQ_AUTH)
            asked->statuses[i] = status =
                rmq_queue_max_offset(direct->client, &asked->queues[i], &asked->offsets[i], err);
        else if (asked->statuses[i] == RMQ_NOMEM || asked->statuses[i] == RMQ_CANCELLED)
            status = rmq_error_set(err, asked->statuses[i], "asking for its end: %s",
                                   rmq_status_name(asked->statuses[i]));
    }
}

static rmq_status ask(planning *plan, question *asked, rmq_error *err)
{
    mill_direct *direct = plan->direct;
    for (size_t i = 0; i < plan->count; i++) {
        rmq_queue queue = mill_position_queue(&plan->candidates[i].from);
        if (is_away(direct, queue.broker_name))
            continue;
        asked->who[asked->count] = i;
        asked->statuses[asked->count] = RMQ_TIMEOUT;
        asked->queues[asked->count++] = queue;
    }
    if (asked->count == 0)
        return RMQ_OK;
    rmq_status status = rmq_queues_max_offset(direct->client, asked->queues, asked->count,
                                              asked->offsets, asked->statuses, err);
    if (status == RMQ_NOMEM || status == RMQ_CANCELLED || status == RMQ_INVAL)
        return status;
    hear_refusals(direct, asked, err);
    status = note_answers(direct, asked, false, err);
    if (status == RMQ_OK)
        status = note_answers(direct, asked, true, err);
    for (size_t i = 0; i < asked->count; i++) {
        if (asked->statuses[i] == RMQ_OK)
            plan->candidates[asked->who[i]].end = asked->offsets[i];
    }
    return status;
}

static rmq_status ask_ends(planning *plan, rmq_error *err)
{
    size_t count = plan->count + 1;
    question asked = {.queues = rmq_calloc(count, sizeof(rmq_queue)),
                      .offsets = rmq_calloc(count, sizeof(int64_t)),
                      .statuses = rmq_calloc(count, sizeof(rmq_status)),
                      .who = rmq_calloc(count, sizeof(size_t))};
    rmq_status status = RMQ_NOMEM;
    if (asked.queues != NULL && asked.offsets != NULL && asked.statuses != NULL &&
        asked.who != NULL)
        status = ask(plan, &asked, err);
    else
        rmq_error_set(err, RMQ_NOMEM, "out of memory for a plan");
    rmq_free(asked.queues);
    rmq_free(asked.offsets);
    rmq_free(asked.statuses);
    rmq_free(asked.who);
    return status;
}

/* Notes that the queue ends before our position, or that it doesn't; true once it has done so for
 * long enough. */
static bool doubted_long(mill_direct *direct, const rmq_queue *queue, bool before,
                         rmq_status *out_status, rmq_error *err)
{
    int64_t now_ms = mill_stream_now_ns() / 1000000;
    mill_position *doubt = (mill_position *)(uintptr_t)mill_positions_find(&direct->doubts, queue);
    if (doubt == NULL && before) {
        *out_status = mill_positions_add(&direct->doubts, queue, now_ms, err);
        mill_positions_sort(&direct->doubts);
        return false;
    }
    if (doubt == NULL)
        return false;
    if (!before || doubt->next_offset < 0)
        doubt->next_offset = before ? now_ms : -1;
    return before && now_ms - doubt->next_offset >= MILL_DIRECT_DOUBT_MS;
}

/* The queue ends before our position. */
static rmq_status lost_behind(planning *plan, candidate *each, rmq_error *err)
{
    mill_direct *direct = plan->direct;
    rmq_queue queue = mill_position_queue(&each->from);
    int64_t min_offset = 0;
    rmq_status status = rmq_queue_min_offset(direct->client, &queue, &min_offset, err);
    if (status == RMQ_OK && direct->on_data_loss == MILL_DATA_LOSS_FAIL)
        return mill_direct_loss(&each->from, each->from.next_offset, min_offset, each->end,
                                "the topic was made anew, or the broker was rolled back", err);
    int64_t resume = 0;
    if (status == RMQ_OK)
        status = mill_direct_resume(direct, &each->from, min_offset, &resume, err);
    if (status != RMQ_OK) {
        each->end = -1;
        return note_answer(direct, &queue, status, err);
    }
    mill_context_log(mill_stream_engine(direct->stream), RMQ_LOG_WARN, "direct",
                     "%s: queue %s/%s/%d ends at %lld, before %lld that was read: going on at %lld",
                     direct->name, queue.topic, queue.broker_name, queue.queue_id,
                     (long long)each->end, (long long)each->from.next_offset, (long long)resume);
    each->from.next_offset = resume;
    each->from.generation++;
    memset(&each->from.last, 0, sizeof(each->from.last));
    return RMQ_OK;
}

/* AVAILABLE_NOW reads up to the end that was seen first. */
static rmq_status bound(planning *plan, candidate *each, rmq_error *err)
{
    mill_direct *direct = plan->direct;
    rmq_queue queue = mill_position_queue(&each->from);
    const mill_position *end = mill_positions_find(&direct->ends, &queue);
    if (end == NULL) {
        rmq_status status = mill_positions_add(&direct->ends, &queue, each->end, err);
        mill_positions_sort(&direct->ends);
        return status;
    }
    if (each->end > end->next_offset)
        each->end =
            end->next_offset > each->from.next_offset ? end->next_offset : each->from.next_offset;
    return RMQ_OK;
}

/* How many messages the rate allows for each queue now; 0: wait a little. */
static int64_t allowed_now(const planning *plan, int64_t most_waiting)
{
    const mill_direct *direct = plan->direct;
    if (direct->max_rate_per_queue == 0)
        return INT64_MAX;
    if (plan->request->interval_ms > 0)
        return mill_rate_of(direct->max_rate_per_queue, plan->request->interval_ms);
    int64_t elapsed_ms = THROTTLE_MAX_MS;
    if (direct->taken_ns > 0)
        elapsed_ms = (mill_stream_now_ns() - direct->taken_ns) / 1000000;
    if (elapsed_ms > THROTTLE_MAX_MS)
        elapsed_ms = THROTTLE_MAX_MS;
    /* "At least 1" is for slow rates, and must not come more often than the rate says. */
    int64_t step_ms = 1000 / direct->max_rate_per_queue;
    if (step_ms < THROTTLE_STEP_MS)
        step_ms = THROTTLE_STEP_MS;
    int64_t allowed = mill_rate_of(direct->max_rate_per_queue, elapsed_ms);
    return most_waiting <= allowed || elapsed_ms >= step_ms ? allowed : 0;
}

static rmq_status choose(planning *plan, rmq_error *err)
{
    mill_direct *direct = plan->direct;
    int64_t most = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const candidate *each = &plan->candidates[i];
        bool more = each->end > each->from.next_offset;
        plan->takes[i] = more ? each->end - each->from.next_offset : 0;
        most = plan->takes[i] > most ? plan->takes[i] : most;
        plan->offer->lag += (uint64_t)plan->takes[i];
        plan->offer->pending = plan->offer->pending || each->end < 0;
    }
    int64_t allowed = allowed_now(plan, most);
    if (allowed == 0)
        plan->offer->pending = true;
    if (allowed == 0)
        memset(plan->takes, 0, plan->count * sizeof(int64_t));
    mill_rate_share(plan->takes, plan->count, allowed, direct->max_records_per_batch);
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < plan->count; i++) {
        status = mill_ranges_add(plan->offer->ranges, &plan->candidates[i].from, err);
        if (status == RMQ_OK)
            plan->offer->ranges->items[plan->offer->ranges->count - 1].end_offset += plan->takes[i];
        plan->offer->lag -= (uint64_t)plan->takes[i];
    }
    if (most > 0 && allowed > 0)
        direct->taken_ns = mill_stream_now_ns();
    return status;
}

rmq_status mill_direct_plan(void *self, const mill_plan_request *request, mill_plan_offer *offer,
                            rmq_error *err)
{
    mill_direct *direct = self;
    planning plan = {.direct = direct, .request = request, .offer = offer};
    rmq_status status = take_routes(direct, err);
    if (status == RMQ_OK)
        status = gather(&plan, err);
    if (status == RMQ_OK)
        status = ask_ends(&plan, err);
    for (size_t i = 0; status == RMQ_OK && i < plan.count; i++) {
        candidate *each = &plan.candidates[i];
        rmq_queue queue = mill_position_queue(&each->from);
        bool before = each->end >= 0 && each->end < each->from.next_offset;
        if (each->end >= 0 && doubted_long(direct, &queue, before, &status, err))
            status = lost_behind(&plan, each, err);
        else if (before)
            each->end = -1;
        if (status == RMQ_OK && each->end >= 0 && request->bounded)
            status = bound(&plan, each, err);
    }
    if (status == RMQ_OK) {
        plan.takes = rmq_calloc(plan.count + 1, sizeof(int64_t));
        status = plan.takes != NULL ? choose(&plan, err)
                                    : rmq_error_set(err, RMQ_NOMEM, "out of memory for a plan");
    }
    rmq_free(plan.candidates);
    rmq_free(plan.takes);
    return status;
}
