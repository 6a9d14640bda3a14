/* The heartbeat: who a client is, and what its groups produce and subscribe to.
 *
 * A subscription by tags carries the tags and their hash codes beside the expression, so that the
 * broker need not parse it; they follow from the expression and are made here, and not kept when
 * read. Only clientID and the groups' names are needed by a broker; the rest gets the Java client's
 * defaults when it is absent. Entries of all lists together are capped.
 * Source: HeartbeatData, ConsumerData, SubscriptionData 5.4.0; protocol facts 10.2; golden
 * heartbeat_req. */
#include "heartbeat.h"

#include "body_json.h"
#include "json_scan.h"
#include "props.h"

#define MAX_ENTRIES 10000

typedef struct heartbeat_reader {
    rmq_json json;
    size_t entries_left;
    char *client_id;
    rmq_body_list producers; /* of char * */
    rmq_body_list consumers; /* of rmq_consumer_data */
} heartbeat_reader;

static const char *or_default(const char *text, const char *default_text)
{
    return text != NULL ? text : default_text;
}

/* ---- encode ---- */

static bool is_by_tags(const rmq_subscription *subscription)
{
    return subscription->expression_type == NULL ||
           rmq_slice_equals(rmq_slice_of(subscription->expression_type), "TAG");
}

static void write_tags(rmq_json_writer *writer, const rmq_subscription *subscription)
{
    rmq_slice expression = rmq_slice_of(or_default(subscription->expression, "*"));
    bool any = !is_by_tags(subscription) || rmq_slice_equals(expression, "*");
    size_t position = any ? expression.len : 0;
    rmq_slice tag;
    rmq_json_key(writer, "tagsSet");
    rmq_json_begin_array(writer);
    while (rmq_tags_next(expression, &position, &tag))
        rmq_json_string_slice(writer, tag);
    rmq_json_end_array(writer);
    position = any ? expression.len : 0;
    rmq_json_key(writer, "codeSet");
    rmq_json_begin_array(writer);
    while (rmq_tags_next(expression, &position, &tag))
        rmq_json_int64(writer, rmq_tag_hash(tag));
    rmq_json_end_array(writer);
}

static void write_subscription(rmq_json_writer *writer, const rmq_subscription *subscription)
{
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "classFilterMode");
    rmq_json_bool(writer, false);
    rmq_json_key(writer, "topic");
    rmq_json_string(writer, subscription->topic);
    rmq_json_key(writer, "subString");
    rmq_json_string(writer, or_default(subscription->expression, "*"));
    write_tags(writer, subscription);
    rmq_json_key(writer, "subVersion");
    rmq_json_int64(writer, subscription->version);
    rmq_json_key(writer, "expressionType");
    rmq_json_string(writer, or_default(subscription->expression_type, "TAG"));
    rmq_json_end_object(writer);
}

static void write_consumer(rmq_json_writer *writer, const rmq_consumer_data *consumer)
{
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "groupName");
    rmq_json_string(writer, consumer->group);
    rmq_json_key(writer, "consumeType");
    rmq_json_string(writer, or_default(consumer->consume_type, "CONSUME_PASSIVELY"));
    rmq_json_key(writer, "messageModel");
    rmq_json_string(writer, or_default(consumer->message_model, "CLUSTERING"));
    rmq_json_key(writer, "consumeFromWhere");
    rmq_json_string(writer, or_default(consumer->consume_from_where, "CONSUME_FROM_LAST_OFFSET"));
    rmq_json_key(writer, "unitMode");
    rmq_json_bool(writer, false);
    rmq_json_key(writer, "subscriptionDataSet");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < consumer->n_subscriptions; i++)
        write_subscription(writer, &consumer->subscriptions[i]);
    rmq_json_end_array(writer);
    rmq_json_end_object(writer);
}

static void write_heartbeat(rmq_json_writer *writer, const rmq_heartbeat *heartbeat)
{
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "clientID");
    rmq_json_string(writer, heartbeat->client_id);
    rmq_json_key(writer, "heartbeatFingerprint"); /* 0: always sent whole, never by fingerprint */
    rmq_json_int64(writer, 0);
    rmq_json_key(writer, "withoutSub");
    rmq_json_bool(writer, false);
    rmq_json_key(writer, "producerDataSet");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < heartbeat->n_producer_groups; i++) {
        rmq_json_begin_object(writer);
        rmq_json_key(writer, "groupName");
        rmq_json_string(writer, heartbeat->producer_groups[i]);
        rmq_json_end_object(writer);
    }
    rmq_json_end_array(writer);
    rmq_json_key(writer, "consumerDataSet");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < heartbeat->n_consumers; i++)
        write_consumer(writer, &heartbeat->consumers[i]);
    rmq_json_end_array(writer);
    rmq_json_end_object(writer);
}

rmq_status rmq_heartbeat_encode(const rmq_heartbeat *heartbeat, rmq_buf *out, rmq_error *err)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    write_heartbeat(&writer, heartbeat);
    rmq_status status = rmq_body_append(&writer, out);
    rmq_json_writer_deinit(&writer);
    return status == RMQ_OK ? RMQ_OK : rmq_error_set(err, status, "heartbeat: no room for it");
}

/* ---- decode ---- */

static bool take_entry(heartbeat_reader *reader)
{
    if (reader->entries_left == 0)
        return rmq_body_full(&reader->json);
    reader->entries_left--;
    return true;
}

/* Puts a copy of `text` where nothing was read. */
static void set_default(rmq_json *json, char **io_text, const char *text)
{
    if (*io_text == NULL && json->error == NULL) {
        *io_text = rmq_strdup(text);
        if (*io_text == NULL)
            rmq_json_fail_no_memory(json);
    }
}

static void read_producer(heartbeat_reader *reader)
{
    rmq_json *json = &reader->json;
    rmq_slice key;
    if (!take_entry(reader) || !rmq_body_enter_object(json))
        return;
    char **group = rmq_body_list_add(json, &reader->producers, sizeof(*group), MAX_ENTRIES);
    if (group == NULL)
        return;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "groupName"))
            rmq_body_text(json, group);
        else
            rmq_json_skip(json);
    }
    if (*group == NULL)
        rmq_json_fail_at(json, "a producer group without a name", json->at);
}

static void read_subscription(heartbeat_reader *reader, rmq_body_list *subscriptions)
{
    rmq_json *json = &reader->json;
    rmq_slice key;
    if (!take_entry(reader) || !rmq_body_enter_object(json))
        return;
    rmq_subscription *added = rmq_body_list_add(json, subscriptions, sizeof(*added), MAX_ENTRIES);
    if (added == NULL)
        return;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "topic"))
            rmq_body_text(json, &added->topic);
        else if (rmq_slice_equals(key, "subString"))
            rmq_body_text(json, &added->expression);
        else if (rmq_slice_equals(key, "expressionType"))
            rmq_body_text(json, &added->expression_type);
        else if (rmq_slice_equals(key, "subVersion"))
            rmq_body_int64(json, &added->version);
        else
            rmq_json_skip(json);
    }
    if (added->topic == NULL)
        rmq_json_fail_at(json, "a subscription without a topic", json->at);
    set_default(json, &added->expression, "*");
    set_default(json, &added->expression_type, "TAG");
}

static void read_subscriptions(heartbeat_reader *reader, rmq_consumer_data *consumer)
{
    rmq_body_list list = {.items = consumer->subscriptions,
                          .count = consumer->n_subscriptions,
                          .capacity = consumer->n_subscriptions};
    if (!rmq_body_enter_array(&reader->json))
        return;
    while (rmq_json_next_element(&reader->json))
        read_subscription(reader, &list);
    consumer->subscriptions = list.items;
    consumer->n_subscriptions = list.count;
}

static void read_consumer(heartbeat_reader *reader)
{
    rmq_json *json = &reader->json;
    rmq_slice key;
    if (!take_entry(reader) || !rmq_body_enter_object(json))
        return;
    rmq_consumer_data *added =
        rmq_body_list_add(json, &reader->consumers, sizeof(*added), MAX_ENTRIES);
    if (added == NULL)
        return;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "groupName"))
            rmq_body_text(json, &added->group);
        else if (rmq_slice_equals(key, "consumeType"))
            rmq_body_text(json, &added->consume_type);
        else if (rmq_slice_equals(key, "messageModel"))
            rmq_body_text(json, &added->message_model);
        else if (rmq_slice_equals(key, "consumeFromWhere"))
            rmq_body_text(json, &added->consume_from_where);
        else if (rmq_slice_equals(key, "subscriptionDataSet"))
            read_subscriptions(reader, added);
        else
            rmq_json_skip(json);
    }
    if (added->group == NULL)
        rmq_json_fail_at(json, "a consumer group without a name", json->at);
    set_default(json, &added->consume_type, "CONSUME_PASSIVELY");
    set_default(json, &added->message_model, "CLUSTERING");
    set_default(json, &added->consume_from_where, "CONSUME_FROM_LAST_OFFSET");
}

static void read_heartbeat(heartbeat_reader *reader)
{
    rmq_json *json = &reader->json;
    rmq_slice key;
    if (!rmq_json_enter_object(json))
        return;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "clientID")) {
            rmq_body_text(json, &reader->client_id);
        } else if (rmq_slice_equals(key, "producerDataSet")) {
            if (rmq_body_enter_array(json)) {
                while (rmq_json_next_element(json))
                    read_producer(reader);
            }
        } else if (rmq_slice_equals(key, "consumerDataSet")) {
            if (rmq_body_enter_array(json)) {
                while (rmq_json_next_element(json))
                    read_consumer(reader);
            }
        } else {
            rmq_json_skip(json);
        }
    }
    if (reader->client_id == NULL)
        rmq_json_fail_at(json, "no clientID", json->at);
}

rmq_status rmq_heartbeat_decode(rmq_slice body, rmq_heartbeat *out_heartbeat, rmq_error *err)
{
    heartbeat_reader reader = {.entries_left = MAX_ENTRIES};
    rmq_json_init(&reader.json, body, true);
    read_heartbeat(&reader);
    rmq_status status = rmq_body_finish(&reader.json, "heartbeat", err);
    rmq_json_deinit(&reader.json);
    rmq_heartbeat heartbeat = {.client_id = reader.client_id,
                               .producer_groups = reader.producers.items,
                               .n_producer_groups = reader.producers.count,
                               .consumers = reader.consumers.items,
                               .n_consumers = reader.consumers.count};
    if (status == RMQ_OK)
        *out_heartbeat = heartbeat;
    else
        rmq_heartbeat_deinit(&heartbeat);
    return status;
}

void rmq_consumer_data_deinit(rmq_consumer_data *consumer)
{
    for (size_t i = 0; i < consumer->n_subscriptions; i++) {
        rmq_free(consumer->subscriptions[i].topic);
        rmq_free(consumer->subscriptions[i].expression);
        rmq_free(consumer->subscriptions[i].expression_type);
    }
    rmq_free(consumer->subscriptions);
    rmq_free(consumer->group);
    rmq_free(consumer->consume_type);
    rmq_free(consumer->message_model);
    rmq_free(consumer->consume_from_where);
}

void rmq_heartbeat_deinit(rmq_heartbeat *heartbeat)
{
    rmq_body_strings_free(heartbeat->producer_groups, heartbeat->n_producer_groups);
    for (size_t i = 0; i < heartbeat->n_consumers; i++)
        rmq_consumer_data_deinit(&heartbeat->consumers[i]);
    rmq_free(heartbeat->consumers);
    rmq_free(heartbeat->client_id);
    *heartbeat = (rmq_heartbeat){.client_id = NULL};
}

rmq_status rmq_consumer_list_decode(rmq_slice body, char ***out_ids, size_t *out_count,
                                    rmq_error *err)
{
    return rmq_body_strings_decode(body, "consumerIdList", out_ids, out_count, err);
}
