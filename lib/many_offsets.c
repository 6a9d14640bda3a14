/* Maximum offsets of many queues with the requests overlapping: what a batch plan needs. The
 * masters are looked up first (routes are cached, and neighbours share the answer), then all
 * requests of a round go out at once. What failed in a way that may pass is asked again, with a
 * fresh route, until the request timeout; a failure of one queue never hides the others' answers.
 */
#include "../proto/codes.h"
#include "call_many.h"
#include "client_state.h"
#include "lookup.h"

#include <assert.h>
#include <string.h>

#define ROUTE_MAX_AGE_MS 60000
#define RETRY_PAUSE_MS 50

typedef struct ask_round {
    rmq_client *client;
    const rmq_queue *queues;
    rmq_many_item *items;
    size_t count;
    int64_t deadline_ns;
    int64_t max_age_ms;
} ask_round;

static bool same_broker(const rmq_queue *left, const rmq_queue *right)
{
    return strcmp(left->topic, right->topic) == 0 &&
           strcmp(left->broker_name, right->broker_name) == 0;
}

/* Finds the masters of the open questions. A queue whose broker is not in the route fails alone. */
static rmq_status find_masters(ask_round *round)
{
    size_t previous = SIZE_MAX; /* the last one looked up */
    for (size_t i = 0; i < round->count; i++) {
        rmq_many_item *item = &round->items[i];
        if (item->skip && item->status == RMQ_OK)
            continue;
        if (previous != SIZE_MAX && same_broker(&round->queues[previous], &round->queues[i])) {
            const rmq_many_item *known = &round->items[previous];
            memcpy(item->address, known->address, sizeof(item->address));
            item->skip = known->skip;
            item->status = known->status;
            item->error = known->error;
            continue;
        }
        const rmq_lookup lookup = {.topic = round->queues[i].topic,
                                   .max_age_ms = round->max_age_ms,
                                   .deadline_ns = round->deadline_ns};
        item->status = rmq_lookup_master(round->client, &round->queues[i], &lookup, item->address,
                                         &item->error);
        item->skip = item->status != RMQ_OK;
        if (item->status == RMQ_CANCELLED || item->status == RMQ_NOMEM)
            return item->status;
        previous = i;
    }
    return RMQ_OK;
}

/* A broker that is not in a fresh route is away: whoever plans a batch must not wait for it. */
static bool may_pass(const ask_round *round, const rmq_many_item *item)
{
    if (item->status == RMQ_NOT_FOUND)
        return round->max_age_ms == ROUTE_MAX_AGE_MS;
    return rmq_lookup_may_pass(item->status, &item->error);
}

static void take_answers(ask_round *round, int64_t *out_offsets)
{
    for (size_t i = 0; i < round->count; i++) {
        rmq_many_item *item = &round->items[i];
        if (item->skip || item->status != RMQ_OK)
            continue;
        int64_t offset = -1;
        if (!rmq_command_get_int64(&item->answer->command, "offset", &offset) || offset < 0)
            item->status = rmq_error_set(&item->error, RMQ_PROTO,
                                         "the answer to GET_MAX_OFFSET has no offset");
        else
            out_offsets[i] = offset;
        rmq_answer_free(item->answer);
        item->answer = NULL;
        item->skip = item->status == RMQ_OK;
    }
}

static bool any_may_pass(const ask_round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        if (may_pass(round, &round->items[i]))
            return true;
    }
    return false;
}

static rmq_status run_rounds(ask_round *round, int64_t *out_offsets, rmq_error *err)
{
    assert(round->items != NULL);
    for (;;) {
        rmq_status status = find_masters(round);
        if (status != RMQ_OK)
            return status;
        int64_t left_ms = rmq_lookup_left_ms(round->deadline_ns);
        rmq_call_many(round->client, round->items, round->count, left_ms > 0 ? left_ms : 1);
        take_answers(round, out_offsets);
        if (!any_may_pass(round) || rmq_lookup_left_ms(round->deadline_ns) <= RETRY_PAUSE_MS)
            return RMQ_OK;
        status = rmq_client_pause(round->client, RETRY_PAUSE_MS, err);
        if (status != RMQ_OK)
            return status;
        round->max_age_ms = RETRY_PAUSE_MS; /* one fresh question serves all queues of a topic */
    }
}

/* A refusal is an answer; what is not one makes the whole fail. */
static bool is_failure(rmq_status status)
{
    return status == RMQ_IO || status == RMQ_CLOSED || status == RMQ_TIMEOUT || status == RMQ_TLS ||
           status == RMQ_CANCELLED || status == RMQ_NOMEM || status == RMQ_FULL;
}

static rmq_status make_items(ask_round *round, rmq_error *err)
{
    for (size_t i = 0; i < round->count; i++) {
        if (round->queues[i].topic == NULL || round->queues[i].broker_name == NULL)
            return rmq_error_set(err, RMQ_INVAL, "queue %zu has no topic or broker name", i);
    }
    round->items = rmq_calloc(round->count, sizeof(*round->items));
    if (round->items == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu questions", round->count);
    for (size_t i = 0; i < round->count; i++) {
        rmq_many_item *item = &round->items[i];
        rmq_command_init(&item->request, RMQ_REQUEST_GET_MAX_OFFSET);
        rmq_command_set(&item->request, "topic", round->queues[i].topic);
        rmq_command_set_int(&item->request, "queueId", round->queues[i].queue_id);
        item->status = RMQ_TIMEOUT;
    }
    return RMQ_OK;
}

rmq_status rmq_queues_max_offset(rmq_client *client, const rmq_queue *queues, size_t count,
                                 int64_t *out_offsets, rmq_status *out_statuses, rmq_error *err)
{
    ask_round round = {.client = client,
                       .queues = queues,
                       .count = count,
                       .deadline_ns = rmq_lookup_deadline(client),
                       .max_age_ms = ROUTE_MAX_AGE_MS};
    if (count == 0)
        return RMQ_OK;
    rmq_status status = make_items(&round, err);
    if (status != RMQ_OK)
        return status;
    rmq_client_enter(client);
    status = run_rounds(&round, out_offsets, err);
    rmq_client_leave(client);
    for (size_t i = 0; i < count; i++) {
        rmq_many_item *item = &round.items[i];
        out_statuses[i] = item->status;
        if (is_failure(item->status) && (status == RMQ_OK || status == item->status)) {
            status = item->status;
            if (err != NULL)
                *err = item->error;
        }
        rmq_command_deinit(&item->request);
    }
    rmq_free(round.items);
    return status;
}
