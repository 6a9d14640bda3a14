/* Many calls at once: all are started in one turn of the loop, so they take one round trip together
 * (and leave in few writes), and one thread waits for the last of them. */
#include "call_many.h"

#include "../proto/codes.h"
#include "client_state.h"
#include "future.h"

#include <assert.h>

typedef struct many_calls {
    rmq_task task;
    rmq_client *client;
    rmq_many_item *items;
    size_t count;
    int64_t timeout_ms;
    size_t n_running; /* loop thread */
    rmq_future future;
} many_calls;

typedef struct one {
    many_calls *many;
    rmq_many_item *item;
} one;

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

static void on_answer(void *ctx, const rmq_call_outcome *outcome)
{
    one *each = ctx;
    many_calls *many = each->many;
    rmq_many_item *item = each->item;
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
        *each = (one){many, item};
        many->n_running++;
        rmq_call_start(many->client, item->address, &item->request, many->timeout_ms, on_answer,
                       each);
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
                       .timeout_ms = timeout_ms};
    rmq_client_enter(client);
    rmq_future_init(&many.future);
    rmq_loop_post(client->loop, &many.task);
    (void)rmq_future_wait(&many.future, NULL, NULL);
    rmq_future_deinit(&many.future);
    rmq_client_leave(client);
}
