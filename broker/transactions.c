/* Transactions, with their traps (facts 7).
 *
 * A half message is stored in an internal topic, where no consumer sees it. Ending it with commit
 * puts a copy into the real queue; with rollback nothing is put anywhere. Either takes it off the
 * list of undecided ones, and nothing more: as with a real broker a second commit publishes a
 * second copy, and so does a commit after a rollback. An end that says "unknown" isn't even
 * answered.
 *
 * Undecided ones are looked at every so often (30 s). One that is old enough (6 s) is asked for
 * with a 39 to some connection of its producer group, for which it is stored once more, so that the
 * request carries new offsets; the old ones still work, which is one more way to publish twice.
 * After 15 checks it is given up. */
#include "transactions.h"

#include <string.h>

#include "broker_state.h"
#include "codes.h"
#include "journal.h"
#include "properties.h"
#include "props.h"
#include "real_place.h"
#include "record.h"
#include "record_view.h"

#define COMMIT 8
#define ROLLBACK 12
#define CHECK_TIMES "TRANSACTION_CHECK_TIMES"
#define PROPERTIES_ROOM 65536

/* ---- the list of undecided ones ---- */

rmq_status rmq_dev_half_add(rmq_dev_transactions *transactions, int64_t offset, int64_t since_ms,
                            int32_t checks)
{
    if (transactions->n_halves == transactions->capacity) {
        size_t capacity = transactions->capacity == 0 ? 64 : transactions->capacity * 2;
        rmq_dev_half *halves = rmq_realloc(transactions->halves, capacity * sizeof(rmq_dev_half));
        if (halves == NULL)
            return RMQ_NOMEM;
        transactions->halves = halves;
        transactions->capacity = capacity;
    }
    transactions->halves[transactions->n_halves++] = (rmq_dev_half){offset, since_ms, checks};
    return RMQ_OK;
}

/* Index of the first half at or behind `offset`. */
static size_t half_index(const rmq_dev_transactions *transactions, int64_t offset)
{
    size_t low = 0;
    size_t high = transactions->n_halves;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (transactions->halves[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void rmq_dev_half_forget(rmq_dev_transactions *transactions, int64_t offset)
{
    size_t index = half_index(transactions, offset);
    if (index == transactions->n_halves || transactions->halves[index].offset != offset)
        return;
    memmove(&transactions->halves[index], &transactions->halves[index + 1],
            (transactions->n_halves - index - 1) * sizeof(rmq_dev_half));
    transactions->n_halves--;
}

static rmq_status decide(rmq_devbroker *broker, int64_t offset, rmq_error *err)
{
    if (broker->journal != NULL) {
        rmq_status status = rmq_dev_journal_half_decided(broker->journal, offset, err);
        if (status != RMQ_OK)
            return status;
    }
    rmq_dev_half_forget(&broker->transactions, offset);
    return RMQ_OK;
}

int32_t rmq_dev_half_checks(rmq_slice properties)
{
    int64_t checks = 0;
    if (!rmq_dev_property_int(properties, CHECK_TIMES, &checks) || checks < 0)
        return 0;
    return checks < RMQ_DEV_MAX_CHECKS ? (int32_t)checks : RMQ_DEV_MAX_CHECKS;
}

/* ---- half messages ---- */

static rmq_status append_half(rmq_devbroker *broker, rmq_message *message, int64_t since_ms,
                              rmq_error *err)
{
    rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, rmq_slice_of(RMQ_DEV_HALF_TOPIC));
    rmq_dev_transactions *transactions = &broker->transactions;
    message->topic = rmq_slice_of(topic->name);
    message->queue_id = 0;
    message->sys_flag &= ~RMQ_SYSFLAG_TRANSACTION_MASK;
    rmq_status status = rmq_dev_store_append(&broker->store, topic, message, err);
    if (status != RMQ_OK)
        return status;
    int32_t checks = rmq_dev_half_checks(message->properties);
    if (rmq_dev_half_add(transactions, message->queue_offset, since_ms, checks) == RMQ_OK)
        return RMQ_OK;
    status = rmq_dev_store_delete_from(&broker->store, topic, 0, message->queue_offset, err);
    return status == RMQ_OK ? rmq_error_set(err, RMQ_NOMEM, "no memory for a half message")
                            : status;
}

rmq_status rmq_dev_half_store(rmq_devbroker *broker, rmq_message *message, rmq_buf *properties,
                              rmq_error *err)
{
    int32_t queue_id = message->queue_id;
    rmq_slice unique_key;
    rmq_dev_real_place_note(properties, message);
    if (rmq_props_get((rmq_slice){(const char *)properties->data, properties->len},
                      RMQ_PROPERTY_UNIQUE_KEY, &unique_key)) {
        char key[128];
        size_t len = unique_key.len < sizeof(key) ? unique_key.len : sizeof(key);
        memcpy(key, unique_key.data, len); /* the block may move while it grows */
        rmq_dev_property_append(properties, "__transactionId__", (rmq_slice){key, len});
    }
    if (properties->failed != RMQ_OK)
        return rmq_error_set(err, properties->failed, "no room for a half message's properties");
    message->properties = (rmq_slice){(const char *)properties->data, properties->len};
    rmq_status status = append_half(broker, message, message->store_timestamp_ms, err);
    message->queue_id = queue_id; /* the answer names the one that was wished */
    return status;
}

/* ---- the end ---- */

/* The half message that the request means, or an answer and false. */
static bool find_half(rmq_dev_request *request, rmq_message *out_half)
{
    int64_t physical_offset;
    int64_t offset;
    rmq_slice group;
    rmq_slice value = {NULL, 0};
    if (!rmq_dev_need_string(request, "producerGroup", &group) ||
        !rmq_dev_need_int64(request, "commitLogOffset", &physical_offset) ||
        !rmq_dev_need_int64(request, "tranStateTableOffset", &offset))
        return false;
    const rmq_dev_stored *stored = rmq_dev_store_find(&request->broker->store, physical_offset);
    const char *remark = NULL;
    if (stored == NULL ||
        !rmq_dev_record_read((rmq_slice){(const char *)stored->data, stored->size_bytes},
                             out_half) ||
        !rmq_slice_equals(out_half->topic, RMQ_DEV_HALF_TOPIC))
        remark = "Find prepared transaction message failed";
    else if (!rmq_props_get(out_half->properties, "PGROUP", &value) || value.len != group.len ||
             memcmp(value.data, group.data, group.len) != 0)
        remark = "The producer group wrong";
    else if (out_half->queue_offset != offset)
        remark = "The transaction state table offset wrong";
    if (remark != NULL)
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR, remark);
    return remark == NULL;
}

static rmq_status publish(rmq_devbroker *broker, const rmq_message *half, rmq_error *err)
{
    static const char *const only_halves[] = {"REAL_TOPIC", "REAL_QID", CHECK_TIMES, NULL};
    rmq_message message = *half;
    rmq_dev_topic *topic = rmq_dev_real_place(broker, half->properties, &message.queue_id);
    if (topic == NULL)
        return rmq_error_set(err, RMQ_NOT_FOUND, "the half message's topic is gone");
    rmq_buf properties;
    rmq_buf_init(&properties, PROPERTIES_ROOM);
    rmq_dev_properties_copy(half->properties, only_halves, &properties);
    message.sys_flag |= RMQ_SYSFLAG_TRANSACTION_COMMIT;
    message.prepared_transaction_offset = half->physical_offset;
    rmq_status status = rmq_dev_real_place_store(broker, topic, &message, &properties, err);
    rmq_buf_deinit(&properties);
    return status;
}

void rmq_dev_handle_end_transaction(rmq_dev_request *request)
{
    int32_t decision;
    rmq_message half;
    rmq_error err;
    if (!rmq_dev_need_int32(request, "commitOrRollback", &decision))
        return;
    if (decision != COMMIT && decision != ROLLBACK) {
        if (decision != 0)
            rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                                  "org.apache.rocketmq.remoting.exception."
                                  "RemotingCommandException: commitOrRollback field wrong");
        return; /* 0, unknown, is never answered */
    }
    if (!find_half(request, &half))
        return;
    rmq_status status = RMQ_OK;
    if (decision == COMMIT)
        status = publish(request->broker, &half, &err);
    if (status == RMQ_OK)
        status = decide(request->broker, half.queue_offset, &err);
    if (status == RMQ_OK)
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
    else
        rmq_dev_answer_failure(&request->reply, &err);
}

/* ---- checks ---- */

/* The record as the producer shall see it: its real topic and queue, its half's offsets. */
static void ask_producer(rmq_devbroker *broker, rmq_dev_session *session, const rmq_message *half)
{
    rmq_message shown = *half;
    rmq_dev_topic *topic = rmq_dev_real_place(broker, half->properties, &shown.queue_id);
    if (topic == NULL)
        return;
    shown.topic = rmq_slice_of(topic->name);
    rmq_buf body;
    rmq_buf_init(&body, RMQ_FRAME_MAX_BYTES_DEFAULT);
    rmq_record_encode(&shown, &body);
    if (body.failed == RMQ_OK) {
        char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
        rmq_slice key;
        rmq_command request;
        rmq_command_init(&request, RMQ_REQUEST_CHECK_TRANSACTION_STATE);
        rmq_offset_id_format(&half->store_host, half->physical_offset, id);
        rmq_command_set_int(&request, "tranStateTableOffset", half->queue_offset);
        rmq_command_set_int(&request, "commitLogOffset", half->physical_offset);
        rmq_command_set(&request, "offsetMsgId", id);
        if (rmq_props_get(half->properties, RMQ_PROPERTY_UNIQUE_KEY, &key)) {
            rmq_command_set_slice(&request, "msgId", key);
            rmq_command_set_slice(&request, "transactionId", key);
        }
        rmq_command_set(&request, "bname", broker->settings.broker_name);
        if (rmq_dev_settings_is_v5(&broker->settings))
            rmq_command_set(&request, "topic", RMQ_DEV_HALF_TOPIC);
        request.body = (rmq_slice){(const char *)body.data, body.len};
        rmq_dev_push(session, &request);
    }
    rmq_buf_deinit(&body);
}

/* Stores the half once more with one check more; *inout_half becomes the new one. Its properties
 * are in `properties`. */
static rmq_status store_again(rmq_devbroker *broker, const rmq_dev_half *undecided,
                              rmq_message *inout_half, rmq_buf *properties, rmq_error *err)
{
    static const char *const counted_anew[] = {CHECK_TIMES, NULL};
    rmq_dev_properties_copy(inout_half->properties, counted_anew, properties);
    rmq_dev_property_append_int(properties, CHECK_TIMES, undecided->checks + 1);
    if (properties->failed != RMQ_OK)
        return rmq_error_set(err, properties->failed, "no memory for properties");
    inout_half->properties = (rmq_slice){(const char *)properties->data, properties->len};
    inout_half->store_timestamp_ms = rmq_dev_store_time(&broker->store, rmq_dev_wall_ms());
    return append_half(broker, inout_half, undecided->since_ms, err);
}

static void check_half(rmq_devbroker *broker, const rmq_dev_half *undecided)
{
    const rmq_dev_queue *queue = rmq_dev_topic_queue(
        rmq_dev_store_topic(&broker->store, rmq_slice_of(RMQ_DEV_HALF_TOPIC)), 0);
    rmq_message half;
    rmq_slice group;
    rmq_error err;
    if (queue == NULL || undecided->offset < queue->min_offset ||
        undecided->offset >= rmq_dev_queue_max(queue))
        return;
    const rmq_dev_stored *stored = rmq_dev_queue_at(queue, undecided->offset);
    if (!rmq_dev_record_read((rmq_slice){(const char *)stored->data, stored->size_bytes}, &half) ||
        !rmq_props_get(half.properties, "PGROUP", &group))
        return;
    const rmq_dev_producers *producers = rmq_dev_producers_find(&broker->groups, group);
    if (producers == NULL)
        return; /* nobody to ask; later perhaps */
    rmq_buf properties;
    rmq_buf_init(&properties, PROPERTIES_ROOM);
    rmq_status status = store_again(broker, undecided, &half, &properties, &err);
    if (status == RMQ_OK)
        status = decide(broker, undecided->offset, &err); /* the new one stands for it */
    if (status == RMQ_OK)
        ask_producer(broker, producers->members->session, &half);
    else
        rmq_dev_log(&broker->settings, RMQ_LOG_WARN, "no transaction check: %s", err.text);
    rmq_buf_deinit(&properties);
}

void rmq_dev_transactions_check(rmq_devbroker *broker)
{
    rmq_dev_transactions *transactions = &broker->transactions;
    int64_t now_ms = rmq_dev_wall_ms();
    /* Those that are there now; what is stored again comes behind them. */
    int64_t end =
        transactions->n_halves > 0 ? transactions->halves[transactions->n_halves - 1].offset : -1;
    for (size_t i = 0; i < transactions->n_halves && transactions->halves[i].offset <= end;) {
        rmq_dev_half undecided = transactions->halves[i];
        if (now_ms - undecided.since_ms >= broker->settings.transaction_age_ms) {
            rmq_error err;
            if (undecided.checks < RMQ_DEV_MAX_CHECKS)
                check_half(broker, &undecided);
            else if (decide(broker, undecided.offset, &err) == RMQ_OK)
                rmq_dev_log(&broker->settings, RMQ_LOG_WARN, "a half message is given up");
        }
        if (i < transactions->n_halves && transactions->halves[i].offset == undecided.offset)
            i++;
    }
}

static void on_check_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_devbroker *broker = ctx;
    rmq_dev_transactions_check(broker);
    rmq_dev_settle(broker);
}

rmq_status rmq_dev_transactions_start(rmq_devbroker *broker, rmq_error *err)
{
    int64_t every_ms = broker->settings.transaction_check_ms;
    struct timeval every = {every_ms / 1000, (every_ms % 1000) * 1000};
    broker->transactions.timer = event_new(broker->base, -1, EV_PERSIST, on_check_timer, broker);
    if (broker->transactions.timer == NULL || event_add(broker->transactions.timer, &every) != 0)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the broker's timers");
    return RMQ_OK;
}

void rmq_dev_transactions_free(rmq_devbroker *broker)
{
    if (broker->transactions.timer != NULL)
        event_free(broker->transactions.timer);
    rmq_free(broker->transactions.halves);
}
