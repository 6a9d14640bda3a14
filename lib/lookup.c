/* Blocking questions with patience. What may pass is asked again until the deadline, with pauses
 * that grow and that rmq_client_cancel ends: a connection refused or lost, a broker that is busy or
 * not registered yet (protocol facts 4.4). After each failure the route is asked anew, since a
 * broker may have come back under another address. When the deadline passes, the last real reason
 * is what the caller gets, not just "timeout". */
#include "lookup.h"

#include "../proto/codes.h"
#include "address.h"
#include "client_state.h"
#include "future.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_FIRST_MS 20
#define PAUSE_MAX_MS 200
/* A cached route of this age is good enough for a first try. */
#define MASTER_MAX_AGE_MS 60000

int64_t rmq_lookup_deadline(rmq_client *client)
{
    return rmq_clock_monotonic_ns() + client->settings.config.request_timeout_ms * 1000000;
}

int64_t rmq_lookup_left_ms(int64_t deadline_ns)
{
    return (deadline_ns - rmq_clock_monotonic_ns()) / 1000000;
}

/* Sleeps before the next try; false if there is no time left for one. */
static bool pause_before_retry(rmq_client *client, int64_t deadline_ns, int64_t *pause_ms,
                               rmq_status *status, rmq_error *err)
{
    int64_t left_ms = rmq_lookup_left_ms(deadline_ns);
    if (left_ms <= *pause_ms)
        return false;
    rmq_error cancelled;
    if (rmq_client_pause(client, *pause_ms, &cancelled) != RMQ_OK) {
        *status = RMQ_CANCELLED;
        if (err != NULL)
            *err = cancelled;
        return false;
    }
    *pause_ms = *pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : *pause_ms * 2;
    return true;
}

typedef struct route_question {
    rmq_task task;
    rmq_client *client;
    const rmq_lookup *lookup;
    int64_t max_age_ms;
    rmq_route_use_fn use;
    void *ctx;
    rmq_future future;
} route_question;

static void on_route(void *ctx, rmq_status status, const rmq_route *route, const rmq_error *err)
{
    route_question *question = ctx;
    rmq_error error;
    if (status == RMQ_OK) {
        status = question->use(question->ctx, route, &error);
        err = &error;
    }
    rmq_future_set(&question->future, status, err, NULL);
}

static void run_route_question(rmq_task *task)
{
    route_question *question = (route_question *)task;
    rmq_route_lookup(question->client, question->lookup->topic, question->max_age_ms, on_route,
                     question);
}

static rmq_status ask_route_once(route_question *question, rmq_error *err)
{
    rmq_future_init(&question->future);
    rmq_loop_post(question->client->loop, &question->task);
    rmq_status status = rmq_future_wait(&question->future, NULL, err);
    rmq_future_deinit(&question->future);
    return status;
}

bool rmq_lookup_may_pass(rmq_status status, const rmq_error *err)
{
    if (status == RMQ_BROKER)
        return err->retriable;
    /* PROTO: a broken frame ends the link, and with it every call that shares it, guilty or not. */
    return status == RMQ_IO || status == RMQ_CLOSED || status == RMQ_TIMEOUT || status == RMQ_PROTO;
}

rmq_status rmq_lookup_route(rmq_client *client, const rmq_lookup *lookup, rmq_route_use_fn use,
                            void *ctx, rmq_error *err)
{
    assert(!rmq_loop_is_current(client->loop));
    rmq_error error;
    route_question question = {.task = {.run = run_route_question},
                               .client = client,
                               .lookup = lookup,
                               .max_age_ms = lookup->max_age_ms,
                               .use = use,
                               .ctx = ctx};
    int64_t pause_ms = PAUSE_FIRST_MS;
    rmq_status status;
    rmq_client_enter(client);
    do {
        status = ask_route_once(&question, &error);
        question.max_age_ms = 0;
    } while (
        status != RMQ_OK &&
        (rmq_lookup_may_pass(status, &error) || (status == RMQ_NOT_FOUND && lookup->patient)) &&
        pause_before_retry(client, lookup->deadline_ns, &pause_ms, &status, &error));
    rmq_client_leave(client);
    if (status != RMQ_OK && err != NULL)
        *err = error;
    return status;
}

typedef struct master_question {
    const rmq_queue *queue;
    char *address;
} master_question;

static rmq_status use_master(void *ctx, const rmq_route *route, rmq_error *err)
{
    master_question *question = ctx;
    const rmq_route_broker *broker =
        rmq_route_broker_find(route, rmq_slice_of(question->queue->broker_name));
    const char *address = broker != NULL ? rmq_route_broker_address(broker, 0) : NULL;
    if (address == NULL)
        return rmq_error_set(err, RMQ_NOT_FOUND, "topic \"%s\" has no master broker \"%s\"",
                             question->queue->topic, question->queue->broker_name);
    rmq_address parsed;
    if (rmq_address_parse(rmq_slice_of(address), &parsed, err) != RMQ_OK) {
        rmq_error_wrap(err, "route of \"%s\", broker \"%s\"", question->queue->topic,
                       question->queue->broker_name);
        /* The name server's fault, which it may mend by the next answer. */
        return err->status = RMQ_PROTO;
    }
    snprintf(question->address, RMQ_ADDRESS_MAX_BYTES, "%s", address);
    return RMQ_OK;
}

rmq_status rmq_lookup_master(rmq_client *client, const rmq_queue *queue, const rmq_lookup *lookup,
                             char out_address[RMQ_ADDRESS_MAX_BYTES], rmq_error *err)
{
    master_question question = {queue, out_address};
    return rmq_lookup_route(client, lookup, use_master, &question, err);
}

/* One try: route, call, answer. */
static rmq_status ask_once(rmq_client *client, const rmq_queue *queue, const rmq_lookup *lookup,
                           rmq_command *request, rmq_answer **out_answer, rmq_error *err)
{
    char address[RMQ_ADDRESS_MAX_BYTES];
    rmq_answer *answer = NULL;
    rmq_status status = rmq_lookup_master(client, queue, lookup, address, err);
    if (status != RMQ_OK)
        return status;
    int64_t left_ms = rmq_lookup_left_ms(lookup->deadline_ns);
    status = rmq_call_sync(client, address, request, left_ms > 1 ? left_ms : 1, &answer, err);
    if (status != RMQ_OK)
        return status;
    status = rmq_answer_error(answer, rmq_request_code_name(request->code), address, err);
    if (status != RMQ_OK)
        rmq_answer_free(answer);
    else
        *out_answer = answer;
    return status;
}

rmq_status rmq_lookup_ask(rmq_client *client, const rmq_queue *queue, rmq_command *request,
                          int64_t deadline_ns, rmq_answer **out_answer, rmq_error *err)
{
    rmq_lookup lookup = {.topic = queue->topic,
                         .max_age_ms = MASTER_MAX_AGE_MS,
                         .deadline_ns = deadline_ns,
                         .patient = true};
    int64_t pause_ms = PAUSE_FIRST_MS;
    rmq_error error;
    rmq_status status;
    rmq_client_enter(client);
    do {
        status = ask_once(client, queue, &lookup, request, out_answer, &error);
        lookup.max_age_ms = 0;
    } while (status != RMQ_OK && rmq_lookup_may_pass(status, &error) &&
             pause_before_retry(client, deadline_ns, &pause_ms, &status, &error));
    rmq_client_leave(client);
    if (status != RMQ_OK && err != NULL)
        *err = error;
    return status;
}
