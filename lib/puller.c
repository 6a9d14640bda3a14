/* The puller: keeps one queue's window (pull_window.c) full of pulls, as far as memory, the queue's
 * known end and the broker's health allow, and hands its answers on in queue order.
 *
 *   start ──> pump ──> pulls sent ──> answers ──> settle the window ──> chunks in order ──┐
 *              ^                         │                                                │
 *              │                         └ trouble: pause, then the first pull alone      │
 *              └───────────── the reading thread has consumed: room again ────────────────┘
 *
 * Reading ahead. Without a filter offsets are dense, so the ranges behind the first are asked for
 * at once, up to the fixed end, or up to the largest maximum offset that the broker told. At the
 * known end of an endless read stands one open pull, a long poll. Through a filter nothing can be
 * predicted: one pull at a time, sent as soon as the answer's header is there.
 *
 * Memory: handed over and not yet consumed + answered and waiting + expected of those in flight
 * stays at or below max_buffered_bytes (an answer counts as all the memory that it keeps alive, and
 * is copied out of the memory that it shares with others once half of the bound is used); the first
 * pull may always go when nothing is handed over, so that a message larger than the bound is read,
 * too. */
#include "puller.h"

#include <assert.h>
#include <stdio.h>

#include "expression_check.h"
#include "puller_state.h"

/* A broker looks at holds only every 5 s (protocol facts 8.4). */
#define HOLD_SLACK_MS 5000
/* Answers share a link with all pulls before them: one may be late without trouble, as long as
 * others come. */
#define PULL_PATIENCE 4
/* A broker that is slow, not gone, must be given the time it takes some day. */
#define MAX_SILENCES 4

/* ---- planning and sending ---- */

static bool has_room(rmq_puller *puller, bool is_first, size_t expected_bytes)
{
    const rmq_pull_window *window = &puller->window;
    size_t behind = is_first ? 0 : window->expected_bytes + window->waiting_bytes;
    for (int pass = 0; pass < 2; pass++) {
        size_t handed = atomic_load(&puller->handed_bytes);
        if (handed + behind + expected_bytes <= puller->max_buffered_bytes ||
            (is_first && handed == 0)) {
            atomic_store(&puller->starved, false);
            return true;
        }
        /* Said first, looked at once more: else the last bytes could be consumed in between. */
        atomic_store(&puller->starved, true);
    }
    return false;
}

static int32_t messages_to_ask(rmq_puller *puller, const rmq_pull *pull)
{
    int64_t limit = puller->end_offset - pull->chunk.from;
    int64_t wish = puller->size.max;
    if (!rmq_pull_is_open(pull))
        wish = rmq_pull_size_ask(&puller->size, pull->chunk.to - pull->chunk.from);
    return (int32_t)(wish < limit ? wish : limit);
}

static size_t expected_bytes_of(const rmq_puller *puller, const rmq_pull *pull)
{
    int64_t n = rmq_pull_is_open(pull) ? puller->size.ask : pull->chunk.to - pull->chunk.from;
    return rmq_pull_size_bytes(&puller->size, n);
}

static int64_t timeout_of(const rmq_puller *puller, const rmq_pull *pull)
{
    int64_t timeout_ms = rmq_client_settings(puller->client)->request_timeout_ms;
    if (pull->hold)
        return puller->target.hold_ms + HOLD_SLACK_MS + timeout_ms;
    return timeout_ms * (1 + (puller->silences < MAX_SILENCES ? puller->silences : MAX_SILENCES));
}

/* False: not now. */
static bool send_pull(rmq_puller *puller, rmq_pull *pull)
{
    const char *address = rmq_pull_route_address(puller->route);
    if (address == NULL) {
        rmq_pull_route_ask(puller->route);
        if (!rmq_pull_route_is_asking(puller->route))
            rmq_pull_trouble_begin(&puller->trouble, "out of memory");
        return false;
    }
    pull->hold = puller->end_offset == RMQ_READ_ENDLESS && rmq_pull_is_open(pull);
    pull->head_only = false;
    pull->asked = messages_to_ask(puller, pull);
    pull->owner = puller;
    pull->sent_ns = pull->hold ? rmq_clock_monotonic_ns() : 0;
    rmq_command *command =
        rmq_pull_request_for(&puller->request, pull->chunk.from, pull->asked, pull->hold);
    rmq_pull_window_sent(&puller->window, pull, expected_bytes_of(puller, pull));
    pull->call = rmq_call_start_cancellable(puller->client, address, command,
                                            timeout_of(puller, pull), rmq_puller_pull_done, pull);
    if (pull->call != NULL && !pull->hold)
        rmq_call_be_patient(pull->call, PULL_PATIENCE);
    return true;
}

/* Where the next pull ends that stands behind all others; 0: there is none to be sent. */
static int64_t next_range_end(const rmq_puller *puller)
{
    const rmq_pull_window *window = &puller->window;
    int64_t from = rmq_pull_window_end(window);
    if (from >= puller->end_offset)
        return 0; /* also behind an open one */
    if (puller->filtered)
        return window->first == NULL ? RMQ_READ_ENDLESS : 0;
    int64_t known_end = puller->end_offset;
    if (puller->end_offset == RMQ_READ_ENDLESS) {
        if (puller->max_offset < 0 && window->first != NULL)
            return 0;
        if (puller->max_offset - from <= puller->size.ask)
            return RMQ_READ_ENDLESS;
        known_end = puller->max_offset;
    }
    return known_end - from <= puller->size.ask ? known_end : from + puller->size.ask;
}

static void send_idle(rmq_puller *puller)
{
    rmq_pull_window *window = &puller->window;
    for (rmq_pull *pull = window->first; pull != NULL && window->n_idle > 0; pull = pull->behind) {
        if (pull->state != RMQ_PULL_IDLE)
            continue;
        bool is_first = pull == window->first;
        if (!is_first && (pull->head_only || puller->trouble.backoff_ms > 0 ||
                          (int32_t)window->n_in_flight >= puller->width))
            return;
        if (!has_room(puller, is_first, expected_bytes_of(puller, pull)) ||
            !send_pull(puller, pull))
            return;
    }
}

static void send_ahead(rmq_puller *puller)
{
    rmq_pull_window *window = &puller->window;
    while (window->n_idle == 0 && (int32_t)window->n_in_flight < puller->width) {
        bool is_first = window->first == NULL;
        if (!is_first && puller->trouble.backoff_ms > 0)
            return;
        int64_t to = next_range_end(puller);
        if (to == 0 ||
            !has_room(puller, is_first, rmq_pull_size_bytes(&puller->size, puller->size.ask)))
            return;
        rmq_pull *pull = rmq_pull_window_add(window, to);
        if (pull == NULL) {
            if (is_first)
                rmq_pull_trouble_begin(&puller->trouble, "out of memory");
            return;
        }
        if (!send_pull(puller, pull))
            return;
    }
}

static void start_check(rmq_puller *puller)
{
    if (puller->check != NULL)
        return;
    const char *address = rmq_pull_route_address(puller->route);
    if (address == NULL) {
        rmq_pull_route_ask(puller->route);
        if (rmq_pull_route_is_asking(puller->route))
            return;
    } else {
        puller->check = rmq_expression_check_start(puller->client, address, &puller->target,
                                                   rmq_puller_check_done, puller);
    }
    if (puller->check == NULL)
        rmq_pull_trouble_begin(&puller->trouble, "out of memory");
}

void rmq_puller_pump(rmq_puller *puller)
{
    if (!puller->running || puller->trouble.paused)
        return;
    if (!puller->checked) {
        start_check(puller);
        return;
    }
    if (puller->window.n_idle > 0)
        send_idle(puller);
    send_ahead(puller);
}

/* ---- ending ---- */

void rmq_puller_drop(rmq_puller *puller, rmq_pull *list)
{
    while (list != NULL) {
        rmq_pull *behind = list->behind;
        if (list->call != NULL)
            rmq_call_cancel(list->call);
        if (list->asked > 0 && !rmq_pull_is_open(list))
            rmq_pull_size_lost(&puller->size, list->chunk.to - list->asked_from, list->asked);
        rmq_chunk_free(&list->chunk);
        list = behind;
    }
}

void rmq_puller_stop(rmq_puller *puller)
{
    puller->running = false;
    rmq_puller_drop(puller, rmq_pull_window_reset(&puller->window, puller->window.position));
    if (puller->check != NULL)
        rmq_call_cancel(puller->check);
    puller->check = NULL;
    rmq_pull_trouble_stop(&puller->trouble);
}

void rmq_puller_finish(rmq_puller *puller, rmq_status status, const rmq_data_loss *loss,
                       const rmq_error *err)
{
    rmq_puller_stop(puller);
    puller->events.stopped(puller->ctx, status, loss, err);
}

/* ---- what else wakes a puller ---- */

static void route_asked(void *ctx, const rmq_error *err)
{
    rmq_puller *puller = ctx;
    if (!puller->running || puller->trouble.paused)
        return;
    if (rmq_pull_route_address(puller->route) != NULL)
        rmq_puller_pump(puller);
    else
        rmq_pull_trouble_begin(&puller->trouble,
                               err != NULL ? err->text : "the route holds no usable address");
}

static void pause_over(void *ctx)
{
    rmq_puller_pump(ctx);
}

static void trouble_changed(void *ctx, const char *text)
{
    rmq_puller *puller = ctx;
    puller->events.trouble(puller->ctx, text);
}

static void room_again(rmq_task *task)
{
    rmq_puller *puller =
        (rmq_puller *)(void *)((char *)task - offsetof(struct rmq_puller, room_task));
    atomic_store(&puller->room_posted, false);
    rmq_puller_pump(puller);
}

void rmq_puller_consumed(rmq_puller *puller, size_t bytes)
{
    size_t left = atomic_fetch_sub(&puller->handed_bytes, bytes) - bytes;
    if (left > puller->max_buffered_bytes / 2 || !atomic_load(&puller->starved))
        return;
    if (atomic_exchange(&puller->starved, false) && !atomic_exchange(&puller->room_posted, true))
        rmq_loop_post(rmq_client_loop(puller->client), &puller->room_task);
}

/* ---- making and freeing ---- */

void rmq_puller_start(rmq_puller *puller, int64_t offset)
{
    assert(!puller->running);
    puller->running = true;
    atomic_store(&puller->handed_bytes, 0);
    atomic_store(&puller->starved, false);
    rmq_pull *left = rmq_pull_window_reset(&puller->window, offset);
    assert(left == NULL);
    (void)left;
    if (offset >= puller->end_offset)
        rmq_puller_finish(puller, RMQ_NOT_FOUND, NULL, NULL);
    else
        rmq_puller_pump(puller);
}

static bool is_filter(const rmq_puller_config *config)
{
    return config->sql92 || !(config->expression[0] == '*' && config->expression[1] == '\0');
}

static rmq_status copy_target(rmq_puller *puller, const rmq_puller_config *config, rmq_error *err)
{
    rmq_pull_target *target = &puller->target;
    target->group = rmq_strdup(config->group);
    target->topic = rmq_strdup(config->queue.topic);
    target->expression = rmq_strdup(config->expression);
    target->queue_id = config->queue.queue_id;
    target->sql92 = config->sql92;
    target->hold_ms = config->hold_ms;
    char name[512];
    snprintf(name, sizeof(name), "%s/%s/%d", config->queue.topic, config->queue.broker_name,
             config->queue.queue_id);
    puller->queue_name = rmq_strdup(name);
    puller->route = rmq_pull_route_new(puller->client, config->queue.topic,
                                       config->queue.broker_name, route_asked, puller);
    if (target->group == NULL || target->topic == NULL || target->expression == NULL ||
        puller->queue_name == NULL || puller->route == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a puller");
    return RMQ_OK;
}

static void free_puller(rmq_puller *puller)
{
    rmq_pull_route_free(puller->route);
    rmq_free((char *)puller->target.group);
    rmq_free((char *)puller->target.topic);
    rmq_free((char *)puller->target.expression);
    rmq_free(puller->queue_name);
    rmq_free(puller);
}

rmq_status rmq_puller_new(rmq_client *client, const rmq_puller_config *config,
                          const rmq_puller_events *events, void *ctx, rmq_puller **out_puller,
                          rmq_error *err)
{
    rmq_puller *puller = rmq_calloc(1, sizeof(*puller));
    if (puller == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a puller");
    puller->client = client;
    puller->events = *events;
    puller->ctx = ctx;
    puller->end_offset = config->end_offset;
    puller->max_buffered_bytes = config->max_buffered_bytes;
    puller->max_pulls = config->max_pulls;
    puller->width = config->max_pulls;
    puller->max_offset = -1;
    puller->filtered = is_filter(config);
    puller->checked = !config->sql92;
    puller->room_task.run = room_again;
    rmq_pull_size_init(&puller->size, RMQ_PULL_SIZE_USUAL, config->max_messages);
    rmq_status status = copy_target(puller, config, err);
    if (status != RMQ_OK) {
        free_puller(puller);
        return status;
    }
    status = rmq_pull_request_init(&puller->request, &puller->target, err);
    if (status != RMQ_OK) {
        free_puller(puller);
        return status;
    }
    puller->trouble.client = client;
    puller->trouble.again = pause_over;
    puller->trouble.changed = trouble_changed;
    puller->trouble.ctx = puller;
    puller->trouble.queue_name = puller->queue_name;
    status = rmq_pull_trouble_init(&puller->trouble, err);
    if (status != RMQ_OK) {
        rmq_pull_request_deinit(&puller->request);
        free_puller(puller);
        return status;
    }
    *out_puller = puller;
    return RMQ_OK;
}

void rmq_puller_free(rmq_puller *puller)
{
    if (puller == NULL)
        return;
    rmq_puller_stop(puller);
    rmq_pull_trouble_deinit(&puller->trouble);
    rmq_pull_request_deinit(&puller->request);
    free_puller(puller);
}
