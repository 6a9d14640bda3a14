/* Calls: a request, its deadline, its completion.
 *
 * A completion runs exactly once, on the loop, never from inside the function that starts the call.
 * So a call that fails while it is started is not completed there but by a posted task, which needs
 * no memory since it is part of the call. Should there be no memory for the call itself, one of a
 * small reserve is taken. (Only when that is empty too, which takes dozens of calls within one turn
 * of the loop, is NOMEM told from inside.)
 *
 * The deadline covers all: waiting out a pause, connecting, writing, the answer. When it passes
 * before a byte was tried on the socket, the request is taken back, so `sent` false means that it
 * did not and will not happen. A patient call's deadline is put off while the peer is heard: it is
 * silence that tells of trouble, not a long row of answers on a slow link. */
#include "call.h"

#include "../proto/codes.h"
#include "call_state.h"
#include "client_state.h"
#include "future.h"

#include <assert.h>
#include <event2/event.h>
#include <string.h>

/* What the start functions were given. */
typedef struct start_args {
    const char *address;
    rmq_command *request;
    int64_t timeout_ms;
    rmq_call_fn done;
    void *ctx;
    bool oneway;
} start_args;

/* ---- ending ---- */

void rmq_call_free(rmq_call *call)
{
    if (call->has_timer)
        event_del(&call->timer);
    rmq_free(call->frame);
    if (call->from_reserve) {
        call->next = call->client->reserve;
        call->client->reserve = call;
        return;
    }
    rmq_free(call);
}

bool rmq_call_was_sent(const rmq_call *call)
{
    return call->state == RMQ_CALL_IN_FLIGHT && call->write == NULL;
}

void rmq_call_finish(rmq_call *call, const rmq_call_outcome *outcome)
{
    rmq_call_fn done = call->done;
    void *ctx = call->ctx;
    /* The outcome's error may be the call's own. */
    if (call->has_timer)
        event_del(&call->timer);
    call->has_timer = false;
    if (done != NULL)
        done(ctx, outcome);
    rmq_call_free(call);
}

void rmq_call_fail(rmq_call *call, rmq_status status, const rmq_error *err, bool sent)
{
    const rmq_call_outcome outcome = {.status = status, .sent = sent, .err = err};
    rmq_call_finish(call, &outcome);
}

static void run_refused(rmq_task *task)
{
    rmq_call *call = (rmq_call *)((char *)task - offsetof(rmq_call, task));
    rmq_call_fail(call, call->status, &call->error, false);
}

void rmq_call_refuse(rmq_call *call, rmq_status status, const rmq_error *err)
{
    call->state = RMQ_CALL_REFUSED;
    call->peer = NULL;
    call->status = status;
    if (&call->error != err)
        call->error = *err;
    call->task.run = run_refused;
    rmq_loop_post(call->client->loop, &call->task);
}

static void fill_timeout(const rmq_call *call, bool sent, rmq_error *out_error)
{
    const rmq_peer *peer = call->peer;
    const char *name = rmq_request_code_name(call->request_code);
    long long waited_ms = (long long)call->timeout_ms;
    if (!sent && peer->has_error) {
        *out_error = peer->last_error;
        rmq_error_wrap(out_error, "%s not sent within %lld ms", name, waited_ms);
        return;
    }
    rmq_error_set(out_error, RMQ_TIMEOUT, "%s to %s: %s within %lld ms", name, peer->text,
                  sent ? "no answer" : "not sent", waited_ms);
    out_error->retriable = true;
}

static bool start_timer(rmq_call *call)
{
    struct timeval delay = {.tv_sec = (time_t)(call->timeout_ms / 1000),
                            .tv_usec = (suseconds_t)(call->timeout_ms % 1000 * 1000)};
    return event_add(&call->timer, &delay) == 0;
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_call *call = ctx;
    rmq_peer *peer = call->peer;
    rmq_error error;
    if (call->state == RMQ_CALL_REFUSED)
        return;
    bool sent = rmq_call_was_sent(call);
    if (sent && call->patience > 0 && rmq_peer_is_heard(peer, call->timeout_ms) &&
        start_timer(call)) {
        call->patience--;
        return;
    }
    fill_timeout(call, sent, &error);
    rmq_call_fn done = call->done;
    void *done_ctx = call->ctx;
    if (rmq_peer_release(peer, call))
        rmq_call_free(call);
    const rmq_call_outcome outcome = {.status = error.status, .sent = sent, .err = &error};
    /* Where nobody else waits the connection may go first, so that what `done` asks again gets a
     * new one. With others it must not: their completions may cancel this call, which is gone. */
    bool alone = sent && peer->pending.n_in_flight == 0;
    if (alone)
        rmq_peer_note_timeout(peer);
    if (done != NULL)
        done(done_ctx, &outcome);
    if (sent && !alone)
        rmq_peer_note_timeout(peer);
}

/* ---- starting ---- */

static rmq_call *take_call(rmq_client *client)
{
    rmq_call *call = rmq_malloc(sizeof(*call));
    bool from_reserve = call == NULL && client->reserve != NULL;
    if (from_reserve) {
        call = client->reserve;
        client->reserve = call->next;
    }
    if (call == NULL)
        return NULL;
    memset(call, 0, offsetof(rmq_call, error));
    call->client = client;
    call->from_reserve = from_reserve;
    return call;
}

static rmq_status encode(rmq_call *call, const rmq_command *request, rmq_error *err)
{
    rmq_client *client = call->client;
    /* Codes above 32767 don't fit the binary header. Protocol facts 1.3. */
    bool binary = client->settings.config.binary_headers && request->code <= INT16_MAX;
    rmq_command outgoing = *request;
    rmq_signed signed_fields = {.fields = NULL};
    rmq_buf out;
    rmq_status status = RMQ_OK;
    outgoing.opaque = call->opaque;
    if (call->oneway)
        outgoing.flag |= RMQ_FLAG_ONEWAY;
    if (client->signer.access_key != NULL) {
        status = rmq_signer_sign(&client->signer, request, binary, &signed_fields, err);
        outgoing.fields = signed_fields.fields;
        outgoing.n_fields = signed_fields.n_fields;
    }
    rmq_buf_init(&out, client->settings.config.max_write_bytes);
    if (status == RMQ_OK)
        status = rmq_command_encode(
            &outgoing, binary ? RMQ_SERIALIZATION_BINARY : RMQ_SERIALIZATION_JSON, &out, err);
    if (status == RMQ_OK)
        call->frame = rmq_buf_take(&out, &call->frame_len);
    rmq_buf_deinit(&out);
    rmq_signed_deinit(&signed_fields);
    return status;
}

static rmq_status arm_deadline(rmq_call *call, int64_t timeout_ms, rmq_error *err)
{
    if (timeout_ms <= 0)
        timeout_ms = call->client->settings.config.request_timeout_ms;
    call->timeout_ms = timeout_ms;
    if (event_assign(&call->timer, rmq_loop_base(call->client->loop), -1, 0, on_deadline, call) !=
            0 ||
        !start_timer(call))
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a deadline");
    call->has_timer = true;
    return RMQ_OK;
}

static rmq_status prepare(rmq_call *call, const start_args *args, rmq_peer **out_peer,
                          rmq_error *err)
{
    rmq_client *client = call->client;
    if (client->closing || rmq_client_is_cancelled(client))
        return rmq_error_set(err, RMQ_CANCELLED, "the client is being stopped");
    rmq_status status = rmq_brokers_get(&client->brokers, args->address, out_peer, err);
    if (status != RMQ_OK)
        return status;
    call->opaque = rmq_pending_opaque(&(*out_peer)->pending);
    status = encode(call, args->request, err);
    return status != RMQ_OK ? status : arm_deadline(call, args->timeout_ms, err);
}

static rmq_call *start(rmq_client *client, const start_args *args)
{
    rmq_loop_assert(client->loop);
    rmq_peer *peer = NULL;
    rmq_error error;
    rmq_call *call = take_call(client);
    if (call == NULL) {
        rmq_error_set(&error, RMQ_NOMEM, "no memory for a request");
        const rmq_call_outcome outcome = {.status = RMQ_NOMEM, .err = &error};
        if (args->done != NULL)
            args->done(args->ctx, &outcome);
        return NULL;
    }
    call->request_code = args->request->code;
    call->oneway = args->oneway;
    call->done = args->done;
    call->ctx = args->ctx;
    rmq_status status = prepare(call, args, &peer, &error);
    if (status != RMQ_OK)
        rmq_call_refuse(call, status, &error);
    else
        rmq_peer_submit(peer, call);
    return call;
}

void rmq_call_start(rmq_client *client, const char *address, rmq_command *request,
                    int64_t timeout_ms, rmq_call_fn done, void *ctx)
{
    const start_args args = {address, request, timeout_ms, done, ctx, false};
    (void)start(client, &args);
}

rmq_call *rmq_call_start_cancellable(rmq_client *client, const char *address, rmq_command *request,
                                     int64_t timeout_ms, rmq_call_fn done, void *ctx)
{
    const start_args args = {address, request, timeout_ms, done, ctx, false};
    return start(client, &args);
}

void rmq_call_oneway(rmq_client *client, const char *address, rmq_command *request)
{
    const start_args args = {address, request, 0, NULL, NULL, true};
    (void)start(client, &args);
}

void rmq_call_be_patient(rmq_call *call, int32_t n_times)
{
    rmq_loop_assert(call->client->loop);
    call->patience = n_times;
}

void rmq_call_cancel(rmq_call *call)
{
    rmq_loop_assert(call->client->loop);
    call->done = NULL;
    if (call->state == RMQ_CALL_REFUSED)
        return; /* its task frees it */
    if (call->peer == NULL) {
        /* In a list of calls that are being failed right now. */
        *call->link = call->next;
        if (call->next != NULL)
            call->next->link = call->link;
        rmq_call_free(call);
        return;
    }
    if (rmq_peer_release(call->peer, call)) {
        rmq_call_free(call);
        return;
    }
    /* It stays for its late answer, which has no deadline. */
    if (call->has_timer)
        event_del(&call->timer);
    call->has_timer = false;
}

int32_t rmq_peer_version(rmq_client *client, const char *address)
{
    rmq_loop_assert(client->loop);
    const rmq_peer *peer = rmq_brokers_find(&client->brokers, address);
    return peer != NULL ? peer->version : 0;
}

rmq_status rmq_answer_keep(rmq_answer *answer, rmq_answer **out_kept, rmq_error *err)
{
    rmq_answer *kept = rmq_malloc(sizeof(*kept));
    if (kept == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for an answer");
    *kept = *answer;
    rmq_frame_ref(kept->frame);
    rmq_command_init(&answer->command, kept->command.code);
    *out_kept = kept;
    return RMQ_OK;
}

/* ---- waiting for an answer ---- */

typedef struct sync_call {
    rmq_task task;
    rmq_client *client;
    const char *address;
    rmq_command *request;
    int64_t timeout_ms;
    rmq_future future;
} sync_call;

static void on_sync_done(void *ctx, const rmq_call_outcome *outcome)
{
    sync_call *sync = ctx;
    rmq_error error;
    if (outcome->status != RMQ_OK) {
        rmq_future_set(&sync->future, outcome->status, outcome->err, NULL);
        return;
    }
    rmq_answer *kept = NULL;
    rmq_status status = rmq_answer_keep(outcome->answer, &kept, &error);
    rmq_future_set(&sync->future, status, &error, kept);
}

static void run_sync_call(rmq_task *task)
{
    sync_call *sync = (sync_call *)task;
    rmq_call_start(sync->client, sync->address, sync->request, sync->timeout_ms, on_sync_done,
                   sync);
}

rmq_status rmq_call_sync(rmq_client *client, const char *address, rmq_command *request,
                         int64_t timeout_ms, rmq_answer **out_answer, rmq_error *err)
{
    assert(!rmq_loop_is_current(client->loop));
    void *answer = NULL;
    sync_call sync = {.task = {.run = run_sync_call},
                      .client = client,
                      .address = address,
                      .request = request,
                      .timeout_ms = timeout_ms};
    rmq_client_enter(client);
    rmq_future_init(&sync.future);
    rmq_loop_post(client->loop, &sync.task);
    rmq_status status = rmq_future_wait(&sync.future, &answer, err);
    rmq_future_deinit(&sync.future);
    rmq_client_leave(client);
    if (status == RMQ_OK)
        *out_answer = answer;
    return status;
}

void rmq_answer_free(rmq_answer *answer)
{
    if (answer == NULL)
        return;
    rmq_command_deinit(&answer->command);
    rmq_frame_unref(answer->frame);
    rmq_free(answer);
}

static rmq_status status_of_code(const rmq_command *command, bool *out_retriable)
{
    static const char acl_exception[] = "AclException";
    *out_retriable = false;
    switch (command->code) {
    case RMQ_RESPONSE_SYSTEM_ERROR:
        return command->remark.len > 0 && memmem(command->remark.data, command->remark.len,
                                                 acl_exception, sizeof(acl_exception) - 1) != NULL
                   ? RMQ_AUTH
                   : RMQ_BROKER;
    case RMQ_RESPONSE_NO_PERMISSION:
        return RMQ_AUTH;
    case RMQ_RESPONSE_TOPIC_NOT_EXIST:
    case RMQ_RESPONSE_QUERY_NOT_FOUND:
    case RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST:
        return RMQ_NOT_FOUND;
    case RMQ_RESPONSE_REQUEST_CODE_NOT_SUPPORTED:
        return RMQ_UNSUPPORTED;
    case RMQ_RESPONSE_MESSAGE_ILLEGAL:
    case RMQ_RESPONSE_SUBSCRIPTION_PARSE_FAILED:
    case RMQ_RESPONSE_INVALID_PARAMETER:
        return RMQ_INVAL;
    case RMQ_RESPONSE_SYSTEM_BUSY:
    case RMQ_RESPONSE_SERVICE_NOT_AVAILABLE:
    case RMQ_RESPONSE_FLOW_CONTROL:
    case RMQ_RESPONSE_GO_AWAY:
        *out_retriable = true;
        return RMQ_BROKER;
    default:
        return RMQ_BROKER;
    }
}

rmq_status rmq_answer_error(const rmq_answer *answer, const char *request_name, const char *address,
                            rmq_error *err)
{
    const rmq_command *command = &answer->command;
    if (command->code == RMQ_RESPONSE_SUCCESS)
        return RMQ_OK;
    bool retriable = false;
    rmq_status status = status_of_code(command, &retriable);
    int remark_len = command->remark.len > 300 ? 300 : (int)command->remark.len;
    rmq_error_set(err, status, "%s to %s: %s (code %d)%s%.*s%s", request_name, address,
                  rmq_response_code_name(command->code), command->code, remark_len > 0 ? ": " : "",
                  remark_len, remark_len > 0 ? command->remark.data : "",
                  status != RMQ_AUTH ? ""
                                     : "; the access key (access_key, --credentials) or the "
                                       "topic's perm does not allow it");
    if (err != NULL) {
        err->broker_code = command->code;
        err->retriable = retriable;
    }
    return status;
}
