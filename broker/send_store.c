/* Stores the message or the messages of a send that was found right.
 *
 * A single message gets the properties that a real broker adds: 5.4.0 CLUSTER, MSG_REGION, TRACE_ON
 * and a UNIQ_KEY if it has none, 4.9.7 only CLUSTER. Members of a batch stay as they are. A batch
 * is stored whole or not at all.
 *
 * A delayed message is stored where it waits (delays.c), a half one where no consumer sees it
 * (transactions.c); the answer carries the offsets of that place. */
#include "send.h"

#include <stdio.h>
#include <string.h>

#include "broker_state.h"
#include "codes.h"
#include "delays.h"
#include "long_poll.h"
#include "names.h"
#include "properties.h"
#include "props.h"
#include "record.h"
#include "transactions.h"

#define ILLEGAL_REMARK                                                                             \
    "the message is illegal, maybe msg body or properties length not matched. msg body length "    \
    "limit 4194304B, msg properties length limit 32KB."
#define TIMER_REMARK                                                                               \
    "timer message illegal, the delay time should not be bigger than the max delay 259200000ms; "  \
    "or if set del msg, the delay time should be bigger than the current time"
#define FULL_REMARK                                                                                \
    "service not available now. It may be caused by one of the following reasons: the broker's "   \
    "disk is full, messages are put to the slave, message store has been shut down, etc."
#define PROPERTIES_ROOM (2 * RMQ_PROPERTIES_MAX_BYTES + 1024)

static void refuse_illegal(rmq_dev_request *request)
{
    rmq_dev_send_refuse(request, RMQ_RESPONSE_MESSAGE_ILLEGAL, "%s", ILLEGAL_REMARK);
}

static void refuse_failure(rmq_dev_request *request, const rmq_error *err)
{
    if (err->status == RMQ_FULL || err->status == RMQ_IO)
        rmq_dev_send_refuse(request, RMQ_RESPONSE_SERVICE_NOT_AVAILABLE, "%s", FULL_REMARK);
    else
        rmq_dev_send_refuse(request, RMQ_RESPONSE_SYSTEM_ERROR, "%s", err->text);
}

/* The record's fields that all messages of the request share. */
static void message_begin(const rmq_dev_request *request, const rmq_dev_send *send,
                          rmq_message *message)
{
    memset(message, 0, sizeof(*message));
    message->topic = rmq_slice_of(send->topic->name);
    message->queue_id = send->queue_id;
    message->flag = send->flag;
    /* Both hosts are written as IPv4, whatever the client claims. */
    message->sys_flag = send->sys_flag & ~(RMQ_SYSFLAG_BORNHOST_V6 | RMQ_SYSFLAG_STOREHOST_V6);
    message->born_timestamp_ms = send->born_ms;
    message->store_timestamp_ms = send->store_ms;
    message->born_host = request->reply.session->peer;
    message->store_host = request->broker->store_host;
    message->reconsume_times = send->reconsume_times;
}

/* ---- single ---- */

/* The client's properties without empty ones, and the broker's. */
static void build_properties(rmq_devbroker *broker, rmq_slice given, rmq_buf *out)
{
    static const char *const own[] = {"CLUSTER", "MSG_REGION", "TRACE_ON", NULL};
    static const char *const own_of_4_9[] = {"CLUSTER", NULL};
    bool is_v5 = rmq_dev_settings_is_v5(&broker->settings);
    rmq_slice unique_key;
    rmq_dev_properties_copy(given, is_v5 ? own : own_of_4_9, out);
    rmq_dev_property_append(out, "CLUSTER", rmq_slice_of(broker->settings.cluster));
    if (!is_v5)
        return;
    rmq_dev_property_append(out, "MSG_REGION", RMQ_SLICE_LITERAL("DefaultRegion"));
    rmq_dev_property_append(out, "TRACE_ON", RMQ_SLICE_LITERAL("true"));
    if (!rmq_props_get(given, RMQ_PROPERTY_UNIQUE_KEY, &unique_key)) {
        char id[RMQ_UNIQUE_ID_BYTES];
        rmq_unique_id_next(&broker->unique_ids, rmq_dev_wall_ms(), id);
        rmq_dev_property_append(out, RMQ_PROPERTY_UNIQUE_KEY, rmq_slice_of(id));
    }
}

static bool is_half(const rmq_dev_send *send)
{
    rmq_slice value;
    return rmq_props_get(send->properties, "TRAN_MSG", &value) && rmq_slice_equals(value, "true");
}

static bool is_lost(const rmq_dev_send *send)
{
    int32_t kind = send->sys_flag & RMQ_SYSFLAG_TRANSACTION_MASK;
    return !is_half(send) &&
           (kind == RMQ_SYSFLAG_TRANSACTION_PREPARED || kind == RMQ_SYSFLAG_TRANSACTION_ROLLBACK);
}

/* Whether it goes to its queue now, where a held pull may wait for it. */
static bool is_visible(const rmq_dev_send *send)
{
    return send->plan.level == 0 && send->plan.out_ms == 0 && !is_half(send) && !is_lost(send);
}

/* Only flagged as a half message, without the property: a real broker takes it and it is never
 * seen again (facts 7.1). It only takes up room in the commit log. */
static rmq_status lose(rmq_dev_store *store, rmq_message *message, rmq_error *err)
{
    rmq_buf record;
    rmq_buf_init(&record, RMQ_FRAME_MAX_BYTES_DEFAULT);
    message->queue_offset = 0;
    message->physical_offset = store->next_physical_offset;
    rmq_record_encode(message, &record);
    rmq_status status = record.failed;
    if (status == RMQ_OK)
        store->next_physical_offset += (int64_t)record.len;
    else
        rmq_error_set(err, status, "no room to encode a message");
    rmq_buf_deinit(&record);
    return status;
}

/* URL-safe base64 with its padding; `out_text` has room for 4 bytes per 3, and one. */
static void base64_url(rmq_slice bytes, char *out_text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *data = (const uint8_t *)bytes.data;
    size_t at = 0;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0);
        out_text[at++] = digits[group >> 18];
        out_text[at++] = digits[group >> 12 & 63];
        out_text[at++] = left > 1 ? digits[group >> 6 & 63] : '=';
        out_text[at++] = left > 2 ? digits[group & 63] : '=';
    }
    out_text[at] = '\0';
}

/* The handle by which a timer message could be recalled: "v1 topic broker time key" in base64. */
static void set_recall_handle(rmq_command *answer, const rmq_dev_request *request,
                              const rmq_dev_send *send, rmq_slice unique_key)
{
    char text[512];
    char handle[700];
    int len = snprintf(text, sizeof(text), "v1 %s %s %lld %.*s", send->topic->name,
                       request->broker->settings.broker_name, (long long)send->plan.out_ms + 1,
                       (int)unique_key.len, unique_key.data);
    if (len > 0 && (size_t)len < sizeof(text)) {
        base64_url((rmq_slice){text, (size_t)len}, handle);
        rmq_command_set(answer, "recallHandle", handle);
    }
}

static void answer_single(rmq_dev_request *request, const rmq_dev_send *send,
                          const rmq_message *message)
{
    rmq_command answer;
    rmq_slice unique_key;
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_dev_send_answer_begin(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_offset_id_format(&message->store_host, message->physical_offset, id);
    rmq_command_set(&answer, "msgId", id);
    rmq_command_set_int(&answer, "queueId", message->queue_id);
    rmq_command_set_int(&answer, "queueOffset", message->queue_offset);
    if (rmq_dev_settings_is_v5(&request->broker->settings) &&
        rmq_props_get(message->properties, RMQ_PROPERTY_UNIQUE_KEY, &unique_key)) {
        rmq_command_set_slice(&answer, "transactionId", unique_key);
        if (send->plan.out_ms != 0)
            set_recall_handle(&answer, request, send, unique_key);
    }
    rmq_dev_answer_end(&request->reply, &answer);
}

/* Whether the message can be delayed as its properties wish; if not, it is answered. */
static bool read_plan(rmq_dev_request *request, const rmq_dev_send *send,
                      rmq_dev_delay_plan *out_plan)
{
    if (send->dead)
        return true;
    rmq_status status = rmq_dev_delay_plan_read(send->properties,
                                                rmq_dev_settings_is_v5(&request->broker->settings),
                                                rmq_dev_wall_ms(), out_plan);
    if (status == RMQ_OK)
        return true;
    if (status == RMQ_INVAL)
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                       "java.lang.NumberFormatException: the delay level is no number");
    else
        rmq_dev_send_refuse(request, RMQ_RESPONSE_MESSAGE_ILLEGAL, "%s", TIMER_REMARK);
    return false;
}

/* Stores the message in its queue, or where it waits for its time. */
static rmq_status store_single(rmq_dev_request *request, rmq_dev_send *send, rmq_message *message,
                               rmq_buf *properties, rmq_error *err)
{
    rmq_devbroker *broker = request->broker;
    const rmq_dev_delay_plan *plan = &send->plan;
    if (is_half(send))
        return rmq_dev_half_store(broker, message, properties, err);
    if (is_lost(send))
        return lose(&broker->store, message, err);
    if (plan->level != 0 || plan->out_ms != 0)
        return rmq_dev_delay_store(broker, message, properties, plan, err);
    return rmq_dev_store_append(&broker->store, send->topic, message, err);
}

void rmq_dev_send_single(rmq_dev_request *request, rmq_dev_send *send)
{
    rmq_devbroker *broker = request->broker;
    if (!read_plan(request, send, &send->plan))
        return;
    rmq_buf properties;
    rmq_buf_init(&properties, PROPERTIES_ROOM);
    build_properties(broker, send->properties, &properties);
    rmq_message message;
    message_begin(request, send, &message);
    message.body = request->command->body;
    message.properties = (rmq_slice){(const char *)properties.data, properties.len};
    rmq_error err;
    if (properties.failed == RMQ_NOMEM) {
        rmq_dev_send_refuse(request, RMQ_RESPONSE_SYSTEM_ERROR, "no memory");
    } else if (properties.failed != RMQ_OK || properties.len > RMQ_PROPERTIES_MAX_BYTES ||
               message.body.len > RMQ_MESSAGE_MAX_BYTES) {
        refuse_illegal(request);
    } else if (store_single(request, send, &message, &properties, &err) != RMQ_OK) {
        refuse_failure(request, &err);
    } else {
        answer_single(request, send, &message);
        if (is_visible(send))
            rmq_dev_holds_wake(send->topic, send->queue_id, message.queue_offset);
    }
    rmq_buf_deinit(&properties);
}

/* ---- batch ---- */

/* Whether all members can be read, and how many there are. */
static bool count_members(rmq_slice body, size_t *out_count)
{
    size_t position = 0;
    size_t count = 0;
    int32_t flag;
    rmq_slice member_body;
    rmq_slice properties;
    rmq_status status;
    do {
        status = rmq_batch_member_next(body, &position, &flag, &member_body, &properties, NULL);
        if (status == RMQ_OK)
            count++;
    } while (status == RMQ_OK);
    *out_count = count;
    return status == RMQ_NOT_FOUND && count > 0;
}

static bool batch_legal(rmq_dev_request *request, const rmq_dev_send *send, size_t *out_count)
{
    rmq_slice delay;
    rmq_slice body = request->command->body;
    if (rmq_dev_topic_is_retry(send->topic_name))
        rmq_dev_send_refuse(request, RMQ_RESPONSE_MESSAGE_ILLEGAL,
                            "batch request does not support retry group %.*s",
                            (int)send->topic_name.len, send->topic_name.data);
    else if (rmq_props_get(send->properties, RMQ_PROPERTY_DELAY, &delay) ||
             body.len > RMQ_MESSAGE_MAX_BYTES)
        refuse_illegal(request);
    else if (!count_members(body, out_count))
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                       "java.lang.ArrayIndexOutOfBoundsException: the batch is broken");
    else
        return true;
    return false;
}

static rmq_status store_member(rmq_dev_request *request, rmq_dev_send *send, rmq_message *message,
                               rmq_buf *ids, rmq_error *err)
{
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_status status = rmq_dev_store_append(&request->broker->store, send->topic, message, err);
    if (status != RMQ_OK)
        return status;
    rmq_offset_id_format(&message->store_host, message->physical_offset, id);
    if (ids->len > 0)
        rmq_buf_append_u8(ids, ',');
    rmq_buf_append_slice(ids, rmq_slice_of(id));
    return RMQ_OK;
}

static rmq_status store_members(rmq_dev_request *request, rmq_dev_send *send, rmq_buf *ids,
                                int64_t *out_first, rmq_error *err)
{
    rmq_message message;
    rmq_status status = RMQ_OK;
    size_t position = 0;
    int64_t first = -1;
    message_begin(request, send, &message);
    while (status == RMQ_OK) {
        status = rmq_batch_member_next(request->command->body, &position, &message.flag,
                                       &message.body, &message.properties, err);
        if (status == RMQ_OK)
            status = store_member(request, send, &message, ids, err);
        if (status == RMQ_OK && first < 0)
            first = message.queue_offset;
    }
    *out_first = first;
    if (status == RMQ_NOT_FOUND)
        return ids->failed == RMQ_OK ? RMQ_OK : rmq_error_set(err, RMQ_NOMEM, "no memory");
    return status;
}

void rmq_dev_send_batch(rmq_dev_request *request, rmq_dev_send *send)
{
    rmq_devbroker *broker = request->broker;
    size_t count = 0;
    if (!batch_legal(request, send, &count))
        return;
    if (!rmq_dev_store_fits(&broker->store, request->command->body.len, count)) {
        rmq_dev_send_refuse(request, RMQ_RESPONSE_SERVICE_NOT_AVAILABLE, "%s", FULL_REMARK);
        return;
    }
    rmq_buf ids;
    rmq_error err;
    int64_t first = -1;
    rmq_buf_init(&ids, RMQ_FRAME_MAX_BYTES_DEFAULT);
    if (store_members(request, send, &ids, &first, &err) == RMQ_OK) {
        rmq_command answer;
        rmq_dev_send_answer_begin(&answer, RMQ_RESPONSE_SUCCESS);
        rmq_command_set_slice(&answer, "msgId", (rmq_slice){(const char *)ids.data, ids.len});
        rmq_command_set_int(&answer, "queueId", send->queue_id);
        rmq_command_set_int(&answer, "queueOffset", first);
        rmq_dev_answer_end(&request->reply, &answer);
        rmq_dev_holds_wake(send->topic, send->queue_id, first);
    } else {
        if (first >= 0) {
            rmq_status undone =
                rmq_dev_store_delete_from(&broker->store, send->topic, send->queue_id, first, NULL);
            (void)undone; /* if it can't be written either, the session is closed anyway */
        }
        refuse_failure(request, &err);
    }
    rmq_buf_deinit(&ids);
}
