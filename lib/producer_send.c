/* The life of one send, on the loop thread.
 *
 *   begin ──> route ──> choose a queue ──> call ──> stored ──> end
 *    ^          │ unknown: ask; still unknown: ask TBW102's, and let the broker make the topic
 *    └─ pause <─┴──────── failed, and worth another try
 *
 * What is worth another try follows from what the failure says about the message: codes by which a
 * broker says that it did not store it (busy, shutting down, no such topic), and calls that never
 * left, are tried again on another broker; a lost connection or a missing answer says nothing, so
 * another try may store the message a second time (the protocol has no idempotent producer; readers
 * know repeats by UNIQ_KEY, which all tries share). Code 1 is any exception in the broker, also one
 * after storing: it is not repeated. Once the fate of a try is unknown, no later "no" can be
 * believed about the whole send: it ends with RMQ_TIMEOUT.
 *
 * Source: DefaultMQProducerImpl.sendDefaultImpl, SendMessageProcessor 5.4.0; protocol
 * facts 3.2, 4.3, 6.1, 6.2. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "../proto/codes.h"
#include "../proto/command.h"
#include "../proto/props.h"
#include "producer_state.h"
#include "remark.h"

#define CREATE_TOPIC_KEY "TBW102"
#define N_SEND_FIELDS 14
#define PAUSE_MS 100

static void find_route(rmq_send *send);

/* ---- ending ---- */

static void end(rmq_send *send, rmq_status status, const rmq_error *err)
{
    rmq_error told;
    if (send->fate_unknown && status != RMQ_TIMEOUT) {
        rmq_error_set(&told, RMQ_TIMEOUT,
                      "%s; whether an earlier one of %d tries was stored is unknown",
                      err != NULL ? err->text : rmq_status_name(status), send->tries);
        status = RMQ_TIMEOUT;
        err = &told;
    }
    rmq_producer_ended(send, status, NULL, err);
}

void rmq_send_cancel(rmq_send *send)
{
    rmq_error err;
    rmq_error_set(&err, RMQ_CANCELLED, "send to %s: cancelled", send->topic);
    rmq_producer_ended(send, RMQ_CANCELLED, NULL, &err);
}

/* ---- trying again ---- */

static void pause_over(rmq_timer *timer)
{
    find_route((rmq_send *)(void *)((char *)timer - offsetof(rmq_send, pause)));
}

/* A try failed. `worth`: another one may succeed; `slow`: not at once. */
static void try_failed(rmq_send *send, rmq_status status, bool worth, bool slow,
                       const rmq_error *err)
{
    int32_t max_retries = send->producer->config.max_retries;
    if (!worth || send->tries > max_retries || send->producer->closing) {
        end(send, status, err);
        return;
    }
    rmq_client_log(send->producer->client, RMQ_LOG_INFO, "producer", "send to %s: %s; trying again",
                   send->topic, err != NULL ? err->text : rmq_status_name(status));
    if (!slow) {
        find_route(send);
        return;
    }
    if (!send->has_pause) {
        if (rmq_timer_init(&send->pause, rmq_client_loop(send->producer->client), pause_over,
                           NULL) != RMQ_OK) {
            end(send, status, err);
            return;
        }
        send->has_pause = true;
    }
    rmq_timer_set(&send->pause, (int64_t)PAUSE_MS << (send->tries < 5 ? send->tries - 1 : 4));
}

/* ---- answers ---- */

static void stored(rmq_send *send, const rmq_command *command)
{
    rmq_send_result result = {.state = (rmq_send_state)command->code, .tries = send->tries};
    rmq_slice id;
    if (!rmq_command_get_int64(command, "queueOffset", &result.queue_offset) ||
        !rmq_command_get_int32(command, "queueId", &result.queue_id) ||
        !rmq_command_get(command, "msgId", &id) || result.queue_offset < 0 || result.queue_id < 0) {
        rmq_error err;
        rmq_error_set(&err, RMQ_PROTO, "%s stored a message to %s but does not say where",
                      send->broker_name, send->topic);
        end(send, RMQ_PROTO, &err);
        return;
    }
    const char *comma = id.len > 0 ? memchr(id.data, ',', id.len) : NULL;
    size_t id_len = comma != NULL ? (size_t)(comma - id.data) : id.len;
    if (id_len >= sizeof(result.offset_message_id))
        id_len = 0;
    if (id_len > 0)
        memcpy(result.offset_message_id, id.data, id_len);
    memcpy(result.broker_name, send->broker_name, sizeof(result.broker_name));
    memcpy(result.unique_key, send->letter.unique_key, sizeof(result.unique_key));
    rmq_producer_ended(send, RMQ_OK, &result, NULL);
}

static void refused(rmq_send *send, const rmq_answer *answer)
{
    rmq_error err;
    rmq_status status = rmq_answer_error(answer, send->letter.batch ? "SEND_BATCH" : "SEND_MESSAGE",
                                         send->broker_name, &err);
    bool worth = false;
    switch (answer->command.code) {
    case RMQ_RESPONSE_SYSTEM_BUSY:
    case RMQ_RESPONSE_SERVICE_NOT_AVAILABLE:
    case RMQ_RESPONSE_TOPIC_NOT_EXIST:
    case RMQ_RESPONSE_FLOW_CONTROL:
    case RMQ_RESPONSE_GO_AWAY:
    case 204: /* NO_BUYER_ID */
    case 205: /* NOT_IN_CURRENT_UNIT */
        worth = true;
        break;
    case RMQ_RESPONSE_NO_PERMISSION: /* this broker may be closed for writing: is there another? */
        worth = send->n_brokers > 1 && send->wanted_broker == NULL && !send->by_hash;
        break;
    case RMQ_RESPONSE_INVALID_PARAMETER:
        worth = send->auto_create; /* another sender made the topic, with fewer queues */
        status = RMQ_INVAL;
        break;
    case RMQ_RESPONSE_MESSAGE_ILLEGAL:
        status = RMQ_INVAL;
        break;
    case RMQ_RESPONSE_SYSTEM_ERROR:
        if (rmq_remark_holds(&answer->command, RMQ_REMARK_ILLEGAL_QUEUE))
            status = RMQ_INVAL;
        break;
    default:
        break;
    }
    err.status = status;
    try_failed(send, status, worth, true, &err);
}

static void call_done(void *ctx, const rmq_call_outcome *outcome)
{
    rmq_send *send = ctx;
    send->call = NULL;
    if (outcome->status == RMQ_OK) {
        const rmq_command *command = &outcome->answer->command;
        switch (command->code) {
        case RMQ_RESPONSE_SUCCESS:
        case RMQ_RESPONSE_FLUSH_DISK_TIMEOUT:
        case RMQ_RESPONSE_SLAVE_NOT_AVAILABLE:
        case RMQ_RESPONSE_FLUSH_SLAVE_TIMEOUT:
            stored(send, command);
            return;
        default:
            refused(send, outcome->answer);
            return;
        }
    }
    if (outcome->status == RMQ_CANCELLED) {
        rmq_producer_ended(send, RMQ_CANCELLED, NULL, outcome->err);
        return;
    }
    if (outcome->sent)
        send->fate_unknown = true;
    bool worth = outcome->status != RMQ_NOMEM && outcome->status != RMQ_FULL;
    try_failed(send, outcome->status, worth, false, outcome->err);
}

/* ---- one try ---- */

static rmq_field text_field(const char *key, const char *value)
{
    return (rmq_field){rmq_slice_of(key), rmq_slice_of(value)};
}

/* Fields of SEND_MESSAGE_V2 (310) and SEND_BATCH_MESSAGE (320), borrowed all of them: this runs for
 * every message. Empty values are left out (protocol facts 1.3, 15.1). */
static void start_call(rmq_send *send, const char *address, int32_t queue_id)
{
    const rmq_producer *producer = send->producer;
    char queue[16];
    char sys_flag[16];
    char born[24];
    char flag[16];
    char wish[16];
    snprintf(queue, sizeof(queue), "%d", queue_id);
    snprintf(sys_flag, sizeof(sys_flag), "%d", send->letter.sys_flag);
    snprintf(born, sizeof(born), "%lld", (long long)send->born_ms);
    snprintf(flag, sizeof(flag), "%d", send->letter.batch ? 0 : send->letter.flag);
    snprintf(wish, sizeof(wish), "%d", producer->config.default_topic_queues);
    rmq_field fields[N_SEND_FIELDS] = {
        text_field("a", producer->config.group),
        text_field("b", send->topic),
        text_field("c", CREATE_TOPIC_KEY),
        text_field("d", wish),
        text_field("e", queue),
        text_field("f", sys_flag),
        text_field("g", born),
        text_field("h", flag),
        text_field("j", "0"),
        text_field("k", "false"),
        text_field("m", send->letter.batch ? "true" : "false"),
        text_field("n", send->broker_name),
    };
    size_t n = 12;
    const rmq_buf *properties = &send->letter.properties;
    if (properties->len > 0)
        fields[n++] =
            (rmq_field){RMQ_SLICE_LITERAL("i"), {(const char *)properties->data, properties->len}};
    rmq_command command;
    rmq_command_init(&command, send->letter.batch ? RMQ_REQUEST_SEND_BATCH_MESSAGE
                                                  : RMQ_REQUEST_SEND_MESSAGE_V2);
    command.fields = fields;
    command.n_fields = n;
    command.fields_capacity = N_SEND_FIELDS;
    command.body = (rmq_slice){(const char *)send->letter.body.data, send->letter.body.len};
    rmq_call *call = rmq_call_start_cancellable(producer->client, address, &command,
                                                producer->config.send_timeout_ms, call_done, send);
    if (call != NULL) /* else there was no memory at all, and it has ended already */
        send->call = call;
    command.fields = NULL;
    command.n_fields = 0;
    command.fields_capacity = 0;
    rmq_command_deinit(&command);
}

static void try_with(rmq_send *send, const struct rmq_route *route)
{
    rmq_producer *producer = send->producer;
    uint32_t slot = (uint32_t)rmq_tag_hash(rmq_slice_of(send->topic)) % RMQ_PRODUCER_TURNS;
    rmq_publish_wish wish = {
        .broker_name = send->wanted_broker,
        .queue_id = send->wanted_queue,
        .by_hash = send->by_hash,
        .hash = send->hash,
        .avoid_broker = send->tries > 0 && send->broker_name[0] != '\0' ? send->broker_name : NULL,
        .max_queues = send->auto_create ? producer->config.default_topic_queues : 0,
        .turn = producer->turns[slot]++,
    };
    rmq_error err;
    rmq_publish_queue queue;
    send->tries++;
    rmq_status status = rmq_publish_queue_choose(route, &wish, &queue, &err);
    if (status == RMQ_OK && strlen(queue.broker_name) >= sizeof(send->broker_name))
        status = rmq_error_set(&err, RMQ_PROTO, "%s: its route has too long a broker's name",
                               send->topic);
    if (status != RMQ_OK) {
        try_failed(send, status, true, true, &err);
        return;
    }
    send->n_brokers = rmq_publish_brokers(route);
    snprintf(send->broker_name, sizeof(send->broker_name), "%s", queue.broker_name);
    start_call(send, queue.address, queue.queue_id);
}

static void default_route_known(void *ctx, rmq_status status, const struct rmq_route *route,
                                const rmq_error *err)
{
    rmq_send *send = ctx;
    send->question = NULL;
    if (status == RMQ_OK) {
        send->auto_create = true;
        try_with(send, route);
        return;
    }
    rmq_error told;
    if (status == RMQ_NOT_FOUND) {
        rmq_error_set(&told, RMQ_NOT_FOUND,
                      "topic \"%s\" does not exist, and no broker lets a send create it; check its "
                      "name, or create it",
                      send->topic);
        err = &told;
    }
    send->tries++;
    try_failed(send, status, status != RMQ_CANCELLED, true, err);
}

static void route_known(void *ctx, rmq_status status, const struct rmq_route *route,
                        const rmq_error *err)
{
    rmq_send *send = ctx;
    send->question = NULL;
    if (status == RMQ_OK) {
        send->auto_create = false;
        try_with(send, route);
        return;
    }
    if (status == RMQ_NOT_FOUND && send->wanted_broker == NULL) {
        send->question =
            rmq_route_question_ask(send->producer->client, CREATE_TOPIC_KEY,
                                   rmq_client_settings(send->producer->client)->route_refresh_ms,
                                   default_route_known, send);
        if (send->question != NULL)
            return;
        status = RMQ_NOMEM;
        err = NULL;
    }
    send->tries++;
    try_failed(send, status, status != RMQ_CANCELLED && status != RMQ_NOMEM, true, err);
}

/* The first try goes by the cached route; after a failure it is asked for anew. */
static void find_route(rmq_send *send)
{
    rmq_client *client = send->producer->client;
    const struct rmq_route *cached =
        send->tries == 0 ? rmq_route_cached(client, send->topic) : NULL;
    if (cached != NULL) {
        send->auto_create = false;
        try_with(send, cached);
        return;
    }
    int64_t max_age_ms = send->tries == 0 ? rmq_client_settings(client)->route_refresh_ms : 0;
    send->question = rmq_route_question_ask(client, send->topic, max_age_ms, route_known, send);
    if (send->question == NULL) {
        rmq_error err;
        rmq_error_set(&err, RMQ_NOMEM, "no memory to send to %s", send->topic);
        end(send, RMQ_NOMEM, &err);
    }
}

void rmq_send_begin(rmq_task *task)
{
    rmq_send *send = (rmq_send *)(void *)task;
    rmq_producer *producer = send->producer;
    send->next = producer->sends;
    send->link = &producer->sends;
    if (send->next != NULL)
        send->next->link = &send->next;
    producer->sends = send;
    if (producer->closing)
        rmq_send_cancel(send);
    else
        find_route(send);
}
