/* Address to connection, and what happens when it breaks.
 *
 *   call -> peer down?  -> waits; connect (at once, or when the pause since the last failure is
 * over) connect failed -> waiting calls end with the reason; pause doubles, with jitter, up to
 *                             reconnect_max_ms; tried again when somebody calls, or at once where a
 *                             connection is owed (a producer group is registered there), for ever
 *           up          -> registration, then the waiting calls, in order
 *           lost        -> calls in flight end with CLOSED or IO; if it had answered, the pause is
 * 0
 *
 * The pause starts anew only after an answer, not after a connect: a server that accepts and closes
 * would be called in a tight loop otherwise.
 *
 * Each outage is logged once when it begins and once when it ends. A server that closes a
 * connection on which nothing was asked (they do after 120 s of silence; protocol facts 2) is no
 * outage.
 *
 * A peer that vanished without a word, or hangs, is found by calls that time out with not a byte
 * received meanwhile: the connection is closed then, and made anew by the next call, perhaps to
 * another address of the name. One such call is enough where no other waits for its answer, since
 * there is nothing to lose; three one after another where some do. Where bytes trickle in and make
 * no answer, six: a slow link isn't made worse by that, since what it brings comes too late. */
#include "brokers.h"

#include "client_state.h"
#include "serve.h"

#include <stdio.h>
#include <string.h>

#define BACKOFF_FIRST_MS 100
#define RECONNECT_SPREAD_MS 50
#define MAX_SILENT_TIMEOUTS 3
#define MAX_TRICKLING_TIMEOUTS 6
#define FORGET_AFTER_NS ((int64_t)600 * 1000000000)

static const rmq_conn_events conn_events;

void rmq_brokers_init(rmq_brokers *brokers, rmq_client *client)
{
    memset(brokers, 0, sizeof(*brokers));
    brokers->client = client;
    brokers->random = client->random | 1;
}

/* xorshift64: jitter needs no better. */
static int64_t random_below(rmq_brokers *brokers, int64_t bound)
{
    brokers->random ^= brokers->random << 13;
    brokers->random ^= brokers->random >> 7;
    brokers->random ^= brokers->random << 17;
    return bound > 0 ? (int64_t)((brokers->random >> 1) % (uint64_t)bound) : 0;
}

/* FNV-1a. */
static size_t bucket_of(const char *address)
{
    uint32_t hash = 2166136261u;
    for (const char *at = address; *at != '\0'; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    return hash % RMQ_BROKERS_BUCKETS;
}

rmq_peer *rmq_brokers_find(const rmq_brokers *brokers, const char *address)
{
    rmq_peer *peer = brokers->buckets[bucket_of(address)];
    while (peer != NULL && strcmp(peer->text, address) != 0)
        peer = peer->next;
    return peer;
}

void rmq_brokers_each(rmq_brokers *brokers, void (*visit)(rmq_peer *peer, void *ctx), void *ctx)
{
    for (size_t i = 0; i < RMQ_BROKERS_BUCKETS; i++) {
        rmq_peer *next = NULL;
        for (rmq_peer *peer = brokers->buckets[i]; peer != NULL; peer = next) {
            next = peer->next;
            visit(peer, ctx);
        }
    }
}

/* ---- going down ---- */

static void fail_all(rmq_call_list *list, rmq_status status, const rmq_error *err)
{
    /* A completion may cancel others of the list: it leaves the list by its own links. */
    while (list->first != NULL) {
        rmq_call *call = list->first;
        rmq_call_list_remove(list, call);
        rmq_call_fail(call, status, err, call->sent);
    }
}

static void log_down(rmq_peer *peer, bool idle_close, const rmq_error *err)
{
    if (idle_close) {
        rmq_client_log(peer->client, RMQ_LOG_DEBUG, "link", "%s (idle)", err->text);
        return;
    }
    rmq_client_log(peer->client, peer->outage ? RMQ_LOG_DEBUG : RMQ_LOG_WARN, "link",
                   "%s; trying again", err->text);
    peer->outage = true;
}

static void set_backoff(rmq_peer *peer, bool was_up, bool idle)
{
    rmq_brokers *brokers = &peer->client->brokers;
    int64_t max_ms = peer->client->settings.config.reconnect_max_ms;
    int64_t delay_ms;
    if (was_up && peer->answered) {
        peer->backoff_ms = 0;
        delay_ms = idle ? 0 : random_below(brokers, RECONNECT_SPREAD_MS);
    } else {
        peer->backoff_ms = peer->backoff_ms == 0 ? BACKOFF_FIRST_MS : peer->backoff_ms * 2;
        if (peer->backoff_ms > max_ms)
            peer->backoff_ms = max_ms;
        delay_ms = peer->backoff_ms / 2 + random_below(brokers, peer->backoff_ms / 2 + 1);
    }
    peer->retry_at_ns = rmq_clock_monotonic_ns() + delay_ms * 1000000;
}

/* Takes the calls in flight off the connection, noting which were sent, and frees it. */
static void detach(rmq_peer *peer, rmq_call_list *out_calls)
{
    rmq_call_list_init(out_calls);
    rmq_pending_reset(&peer->pending, out_calls);
    for (rmq_call *call = out_calls->first; call != NULL; call = call->next) {
        call->sent = call->write == NULL;
        call->peer = NULL;
    }
    rmq_conn_free(peer->conn);
    peer->conn = NULL;
    peer->up = false;
}

/* `hung_up`: it was us. */
static void go_down(rmq_peer *peer, rmq_status status, const rmq_error *err, bool hung_up)
{
    bool was_up = peer->up;
    bool idle = peer->pending.n_in_flight == 0 && peer->waiting.first == NULL;
    rmq_call_list failed;
    rmq_error error = *err; /* it may live in the connection */
    peer->last_error = error;
    peer->has_error = !was_up;
    log_down(peer, was_up && idle && !hung_up && status == RMQ_CLOSED, &error);
    set_backoff(peer, was_up, idle);
    detach(peer, &failed);
    if (!was_up) {
        for (rmq_call *call = peer->waiting.first; call != NULL; call = call->next)
            call->peer = NULL;
        rmq_call_list_move(&failed, &peer->waiting);
    }
    fail_all(&failed, status, &error);
    if (peer->waiting.first != NULL || rmq_registration_wants(&peer->client->registration, peer))
        rmq_peer_connect(peer);
}

static void on_down(void *owner, rmq_status status, const rmq_error *err)
{
    go_down(owner, status, err, false);
}

/* We close it, since the peer broke the protocol. */
static void hang_up(rmq_peer *peer, const rmq_error *err)
{
    rmq_error error = *err;
    rmq_error_wrap(&error, "connection to %s closed", peer->text);
    go_down(peer, error.status, &error, true);
}

/* ---- coming up ---- */

static void open_now(rmq_peer *peer)
{
    const rmq_client_config *config = &peer->client->settings.config;
    const rmq_conn_options options = {
        .loop = peer->client->loop,
        .dns = peer->client->dns,
        .tls = peer->client->tls,
        .tls_server_name = config->tls_server_name,
        .address = peer->address,
        .connect_timeout_ms = config->connect_timeout_ms,
        .max_frame_bytes = config->max_frame_bytes,
        .max_write_bytes = config->max_write_bytes,
        .events = &conn_events,
        .owner = peer,
    };
    rmq_error error;
    peer->answered = false;
    peer->n_silent_timeouts = 0;
    if (rmq_conn_open(&options, &peer->conn, &error) == RMQ_OK)
        return;
    peer->last_error = error;
    peer->has_error = true;
    peer->open_failed = true;
    peer->retry_armed = true;
    rmq_timer_set(&peer->retry, BACKOFF_FIRST_MS);
}

static void on_retry(rmq_timer *timer)
{
    rmq_peer *peer = (rmq_peer *)((char *)timer - offsetof(rmq_peer, retry));
    peer->retry_armed = false;
    if (peer->open_failed) {
        peer->open_failed = false;
        rmq_call_list failed;
        rmq_call_list_init(&failed);
        for (rmq_call *call = peer->waiting.first; call != NULL; call = call->next)
            call->peer = NULL;
        rmq_call_list_move(&failed, &peer->waiting);
        rmq_error error = peer->last_error;
        fail_all(&failed, error.status, &error);
    }
    if (peer->conn == NULL && !peer->retry_armed)
        open_now(peer);
}

void rmq_peer_connect(rmq_peer *peer)
{
    if (peer->conn != NULL || peer->retry_armed || peer->client->closing)
        return;
    int64_t wait_ns = peer->retry_at_ns - rmq_clock_monotonic_ns();
    if (wait_ns <= 0) {
        open_now(peer);
        return;
    }
    peer->retry_armed = true;
    rmq_timer_set(&peer->retry, wait_ns / 1000000 + 1);
}

static void on_up(void *owner)
{
    rmq_peer *peer = owner;
    rmq_call_list waiting;
    peer->up = true;
    rmq_call_list_init(&waiting);
    rmq_call_list_move(&waiting, &peer->waiting);
    rmq_registration_connected(&peer->client->registration, peer);
    while (waiting.first != NULL) {
        rmq_call *call = waiting.first;
        rmq_call_list_remove(&waiting, call);
        rmq_peer_submit(peer, call);
    }
}

/* ---- frames ---- */

static void note_answer(rmq_peer *peer, const rmq_command *command)
{
    if (peer->outage)
        rmq_client_log(peer->client, RMQ_LOG_INFO, "link", "%s answers again", peer->text);
    peer->outage = false;
    peer->answered = true;
    peer->has_error = false;
    peer->backoff_ms = 0;
    peer->n_silent_timeouts = 0;
    if (rmq_command_is_response(command))
        peer->version = command->version;
}

/* False if nobody asked for it. */
static bool take_answer(rmq_peer *peer, rmq_answer *answer)
{
    rmq_call *call = NULL;
    switch (rmq_pending_take(&peer->pending, answer->command.opaque, &call)) {
    case RMQ_PENDING_WANTED: {
        const rmq_call_outcome outcome = {.status = RMQ_OK, .answer = answer, .sent = true};
        rmq_call_finish(call, &outcome);
        return true;
    }
    case RMQ_PENDING_LATE:
        rmq_client_log(peer->client, RMQ_LOG_DEBUG, "link", "late answer %d from %s dropped",
                       answer->command.opaque, peer->text);
        return true;
    case RMQ_PENDING_UNKNOWN:
        break;
    }
    return false;
}

static void on_frame(void *owner, rmq_frame *frame)
{
    rmq_peer *peer = owner;
    rmq_answer answer = {.frame = frame};
    rmq_error error;
    rmq_status status = rmq_command_decode(frame, &answer.command, &error);
    if (status != RMQ_OK) {
        hang_up(peer, &error);
        return;
    }
    note_answer(peer, &answer.command);
    if (!rmq_command_is_response(&answer.command)) {
        rmq_serve_request(peer, &answer.command);
    } else if (!take_answer(peer, &answer)) {
        rmq_error_set(&error, RMQ_PROTO, "an answer that nobody asked for (opaque %d, code %d)",
                      answer.command.opaque, answer.command.code);
        hang_up(peer, &error);
    }
    rmq_command_deinit(&answer.command);
}

static const rmq_conn_events conn_events = {.up = on_up, .frame = on_frame, .down = on_down};

/* ---- calls ---- */

void rmq_peer_submit(rmq_peer *peer, rmq_call *call)
{
    rmq_error error;
    call->peer = peer;
    peer->used_ns = rmq_clock_monotonic_ns();
    rmq_status status = RMQ_CLOSED;
    if (peer->up)
        status = rmq_conn_send(peer->conn, call->frame, call->frame_len,
                               call->oneway ? NULL : &call->write, &error);
    if (status == RMQ_OK) {
        call->frame = NULL;
        if (call->oneway) {
            rmq_call_free(call);
            return;
        }
        call->state = RMQ_CALL_IN_FLIGHT;
        rmq_pending_add(&peer->pending, call);
    } else if (status == RMQ_CLOSED) {
        call->state = RMQ_CALL_WAITING;
        rmq_call_list_append(&peer->waiting, call);
        rmq_peer_connect(peer);
    } else {
        rmq_error_wrap(&error, "%s", peer->text);
        rmq_call_refuse(call, status, &error);
    }
}

bool rmq_peer_release(rmq_peer *peer, rmq_call *call)
{
    if (call->state == RMQ_CALL_WAITING) {
        rmq_call_list_remove(&peer->waiting, call);
        return true;
    }
    if (call->write == NULL) {
        rmq_pending_abandon(&peer->pending, call);
        return false;
    }
    rmq_conn_withdraw(peer->conn, call->write);
    rmq_pending_remove(&peer->pending, call);
    return true;
}

bool rmq_peer_is_heard(const rmq_peer *peer, int64_t within_ms)
{
    int64_t silent_ns = rmq_clock_monotonic_ns() - rmq_conn_last_received_ns(peer->conn);
    return silent_ns / 1000000 < within_ms;
}

void rmq_peer_note_timeout(rmq_peer *peer)
{
    if (peer->conn == NULL)
        return;
    int limit = MAX_TRICKLING_TIMEOUTS;
    if (!rmq_peer_is_heard(peer, peer->client->settings.config.request_timeout_ms / 2))
        limit = peer->pending.n_in_flight > 0 ? MAX_SILENT_TIMEOUTS : 1;
    if (++peer->n_silent_timeouts < limit)
        return;
    rmq_error error;
    rmq_error_set(&error, RMQ_CLOSED, "no answer to %d request%s", peer->n_silent_timeouts,
                  peer->n_silent_timeouts == 1 ? "" : "s");
    hang_up(peer, &error);
}

/* ---- all of them ---- */

rmq_status rmq_brokers_get(rmq_brokers *brokers, const char *address, rmq_peer **out_peer,
                           rmq_error *err)
{
    rmq_peer *peer = rmq_brokers_find(brokers, address);
    if (peer != NULL) {
        *out_peer = peer;
        return RMQ_OK;
    }
    rmq_address parsed;
    rmq_status status = rmq_address_parse(rmq_slice_of(address), &parsed, err);
    if (status != RMQ_OK)
        return status;
    peer = rmq_calloc(1, sizeof(*peer));
    if (peer == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory to connect to %s", address);
    status = rmq_timer_init(&peer->retry, brokers->client->loop, on_retry, err);
    if (status != RMQ_OK) {
        rmq_free(peer);
        return status;
    }
    peer->client = brokers->client;
    peer->address = parsed;
    snprintf(peer->text, sizeof(peer->text), "%s", address);
    rmq_pending_init(&peer->pending);
    rmq_call_list_init(&peer->waiting);
    rmq_peer **bucket = &brokers->buckets[bucket_of(address)];
    peer->next = *bucket;
    *bucket = peer;
    *out_peer = peer;
    return RMQ_OK;
}

static void take_all_calls(rmq_peer *peer, rmq_call_list *out_calls)
{
    for (rmq_call *call = peer->waiting.first; call != NULL; call = call->next)
        call->peer = NULL;
    rmq_call_list_move(out_calls, &peer->waiting);
    while (peer->pending.in_flight.first != NULL) {
        rmq_call *call = peer->pending.in_flight.first;
        call->sent = call->write == NULL;
        if (call->write != NULL)
            rmq_conn_withdraw(peer->conn, call->write);
        rmq_pending_remove(&peer->pending, call);
        call->peer = NULL;
        rmq_call_list_append(out_calls, call);
    }
}

static void cancel_calls(rmq_peer *peer, void *ctx)
{
    const bool *keep_connection = ctx;
    rmq_call_list calls;
    rmq_error error;
    rmq_error_set(&error, RMQ_CANCELLED, "cancelled");
    rmq_call_list_init(&calls);
    take_all_calls(peer, &calls);
    /* Their answers can't be told from unasked ones any more: the connection goes with them. */
    bool drop = !*keep_connection || calls.first != NULL;
    if (drop && peer->conn != NULL) {
        rmq_call_list none;
        rmq_conn_flush(peer->conn);
        detach(peer, &none);
    }
    rmq_timer_clear(&peer->retry);
    peer->retry_armed = false;
    fail_all(&calls, RMQ_CANCELLED, &error);
}

void rmq_brokers_cancel_calls(rmq_brokers *brokers)
{
    bool keep_connection = true;
    rmq_brokers_each(brokers, cancel_calls, &keep_connection);
}

void rmq_brokers_shutdown(rmq_brokers *brokers)
{
    bool keep_connection = false;
    rmq_brokers_each(brokers, cancel_calls, &keep_connection);
}

static void free_peer(rmq_peer *peer)
{
    rmq_conn_free(peer->conn);
    rmq_timer_deinit(&peer->retry);
    rmq_free(peer);
}

void rmq_brokers_deinit(rmq_brokers *brokers)
{
    for (size_t i = 0; i < RMQ_BROKERS_BUCKETS; i++) {
        while (brokers->buckets[i] != NULL) {
            rmq_peer *peer = brokers->buckets[i];
            brokers->buckets[i] = peer->next;
            free_peer(peer);
        }
    }
}

void rmq_brokers_purge(rmq_brokers *brokers)
{
    int64_t limit_ns = rmq_clock_monotonic_ns() - FORGET_AFTER_NS;
    for (size_t i = 0; i < RMQ_BROKERS_BUCKETS; i++) {
        rmq_peer **at = &brokers->buckets[i];
        while (*at != NULL) {
            rmq_peer *peer = *at;
            if (peer->conn == NULL && !peer->retry_armed && peer->waiting.first == NULL &&
                peer->used_ns < limit_ns) {
                *at = peer->next;
                free_peer(peer);
            } else {
                at = &peer->next;
            }
        }
    }
}
