/* Many calls at once: all are started in one turn of the loop, so they take one round trip together
 * (and leave in few writes), and one thread waits for the last of them. A call whose link broke is
 * asked once more: the break may have been another call's, and all that go here may be asked twice.
 */
#include "call_many.h"

#include <rmq/client.h>

#include "../proto/codes.h"
#include "client_state.h"
#include "future.h"

#include <assert.h>

typedef struct many_calls {
    rmq_task task;
    rmq_client *client;
    rmq_many_item *items;
    size_t count;
    int64_t deadline_ns;
    size_t n_running; /* loop thread */
    rmq_future future;
} many_calls;

typedef struct one {
    many_calls *many;
    rmq_many_item *item;
    bool asked_again;
} one;

static void on_answer(void *ctx, const rmq_call_outcome *outcome);

static void close_one(many_calls *many)
{
    if (--many->n_running == 0)
        rmq_future_set(&many->future, RMQ_OK, NULL, NULL);
}

static rmq_status keep(rmq_many_item *item, rmq_answer *answer)
{
    rmq_status status = rmq_answer_error(answer, rmq_request_code_name(item->request.code),
                                         item->address, &item->error);
    return status != RMQ_OK ? status : rmq_answer_keep(answer, &item->answer, &item->error);
}

static void ask(one *each)
{
    many_calls *many = each->many;
    int64_t left_ms = (many->deadline_ns - rmq_clock_monotonic_ns()) / 1000000;
    rmq_call_start(many->client, each->item->address, &each->item->request,
                   left_ms > 1 ? left_ms : 1, on_answer, each);
}

static bool link_broke(const rmq_call_outcome *outcome)
{
    return outcome->sent && (outcome->status == RMQ_CLOSED || outcome->status == RMQ_IO ||
                             outcome->status == RMQ_PROTO);
}

static void on_answer(void *ctx, const rmq_call_outcome *outcome)
{
    one *each = ctx;
    many_calls *many = each->many;
    rmq_many_item *item = each->item;
    if (!each->asked_again && link_broke(outcome)) {
        each->asked_again = true;
        ask(each);
        return;
    }
    rmq_free(each);
    item->status = outcome->status;
    if (outcome->status != RMQ_OK)
        item->error = *outcome->err;
    else
        item->status = keep(item, outcome->answer);
    close_one(many);
}

static void start_all(rmq_task *task)
{
    many_calls *many = (many_calls *)task;
    many->n_running = 1; /* ours, so that it can't end before all are started */
    for (size_t i = 0; i < many->count; i++) {
        rmq_many_item *item = &many->items[i];
        if (item->skip)
            continue;
        one *each = rmq_malloc(sizeof(*each));
        if (each == NULL) {
            item->status = rmq_error_set(&item->error, RMQ_NOMEM, "no memory for a request");
            continue;
        }
        *each = (one){.many = many, .item = item};
        many->n_running++;
        ask(each);
    }
    close_one(many);
}

void rmq_call_many(rmq_client *client, rmq_many_item *items, size_t count, int64_t timeout_ms)
{
    assert(!rmq_loop_is_current(client->loop));
    many_calls many = {.task = {.run = start_all},
                       .client = client,
                       .items = items,
                       .count = count,
                       .deadline_ns = rmq_clock_monotonic_ns() + timeout_ms * 1000000};
    rmq_client_enter(client);
    rmq_future_init(&many.future);
    rmq_loop_post(client->loop, &many.task);
    (void)rmq_future_wait(&many.future, NULL, NULL);
    rmq_future_deinit(&many.future);
    rmq_client_leave(client);
}
