/* What an administrator asks about groups, and the member list that rebalancing needs. Source:
 * ConsumerManageProcessor, AdminBrokerProcessor 5.4.0; protocol facts 10.3 and 14. */
#include "group_admin.h"

#include <stdio.h>
#include <string.h>

#include <rmq/json.h>

#include "broker_state.h"
#include "codes.h"
#include "names.h"
#include "offset_table.h"
#include "tag_filter.h"

void rmq_dev_handle_consumer_list(rmq_dev_request *request)
{
    rmq_slice name;
    if (!rmq_dev_need_string(request, "consumerGroup", &name))
        return;
    const rmq_dev_group *group = rmq_dev_groups_find(&request->broker->groups, name);
    if (group == NULL || group->members == NULL) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                              "no consumer for this group, %.*s",
                              (int)(name.len < 256 ? name.len : 256), name.data);
        return;
    }
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "consumerIdList");
    rmq_json_begin_array(&writer);
    for (const rmq_dev_member *member = group->members; member != NULL; member = member->next)
        rmq_json_string(&writer, member->client_id);
    rmq_json_end_array(&writer);
    rmq_json_end_object(&writer);
    rmq_dev_answer_json(&request->reply, &writer);
}

/* ---- 203, 204 ---- */

static void write_connections(rmq_json_writer *writer, const rmq_dev_member *members)
{
    rmq_json_key(writer, "connectionSet");
    rmq_json_begin_array(writer);
    for (; members != NULL; members = members->next) {
        rmq_json_begin_object(writer);
        rmq_json_key(writer, "clientAddr");
        rmq_json_string(writer, members->session->peer_text);
        rmq_json_key(writer, "clientId");
        rmq_json_string(writer, members->client_id);
        rmq_json_key(writer, "language");
        rmq_json_string(writer, rmq_language_name(members->language));
        rmq_json_key(writer, "version");
        rmq_json_int64(writer, members->version);
        rmq_json_end_object(writer);
    }
    rmq_json_end_array(writer);
}

/* The tags of an expression with their hashes, as a heartbeat carries them. */
static void write_tags(rmq_json_writer *writer, const char *expression)
{
    rmq_dev_tag_filter filter;
    rmq_json_key(writer, "codeSet");
    rmq_json_begin_array(writer);
    if (rmq_dev_tag_filter_init(&filter, rmq_slice_of(expression)) == RMQ_OK) {
        for (size_t i = 0; i < filter.n_hashes; i++)
            rmq_json_int64(writer, filter.hashes[i]);
        rmq_dev_tag_filter_deinit(&filter);
    }
    rmq_json_end_array(writer);
}

static void write_subscriptions(rmq_json_writer *writer, const rmq_consumer_data *data)
{
    rmq_json_key(writer, "subscriptionTable");
    rmq_json_begin_object(writer);
    for (size_t i = 0; i < data->n_subscriptions; i++) {
        const rmq_subscription *subscription = &data->subscriptions[i];
        rmq_json_key(writer, subscription->topic);
        rmq_json_begin_object(writer);
        rmq_json_key(writer, "classFilterMode");
        rmq_json_bool(writer, false);
        write_tags(writer, subscription->expression);
        rmq_json_key(writer, "expressionType");
        rmq_json_string(writer, subscription->expression_type);
        rmq_json_key(writer, "subString");
        rmq_json_string(writer, subscription->expression);
        rmq_json_key(writer, "subVersion");
        rmq_json_int64(writer, subscription->version);
        rmq_json_key(writer, "topic");
        rmq_json_string(writer, subscription->topic);
        rmq_json_end_object(writer);
    }
    rmq_json_end_object(writer);
}

static void write_text(rmq_json_writer *writer, const char *key, const char *value)
{
    if (value == NULL)
        return;
    rmq_json_key(writer, key);
    rmq_json_string(writer, value);
}

void rmq_dev_handle_consumer_connections(rmq_dev_request *request)
{
    rmq_slice name;
    if (!rmq_dev_need_string(request, "consumerGroup", &name))
        return;
    const rmq_dev_group *group = rmq_dev_groups_find(&request->broker->groups, name);
    if (group == NULL || group->members == NULL) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_CONSUMER_NOT_ONLINE,
                              "the consumer group[%.*s] not online",
                              (int)(name.len < 256 ? name.len : 256), name.data);
        return;
    }
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    write_connections(&writer, group->members);
    write_text(&writer, "consumeFromWhere", group->data->consume_from_where);
    write_text(&writer, "consumeType", group->data->consume_type);
    write_text(&writer, "messageModel", group->data->message_model);
    write_subscriptions(&writer, group->data);
    rmq_json_end_object(&writer);
    rmq_dev_answer_json(&request->reply, &writer);
}

void rmq_dev_handle_producer_connections(rmq_dev_request *request)
{
    rmq_slice name;
    if (!rmq_dev_need_string(request, "producerGroup", &name))
        return;
    const rmq_dev_producers *producers = rmq_dev_producers_find(&request->broker->groups, name);
    if (producers == NULL) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                              "the producer group[%.*s] not exist",
                              (int)(name.len < 256 ? name.len : 256), name.data);
        return;
    }
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    write_connections(&writer, producers->members);
    rmq_json_end_object(&writer);
    rmq_dev_answer_json(&request->reply, &writer);
}

/* ---- 200, 207, 352 ---- */

void rmq_dev_handle_group_create(rmq_dev_request *request)
{
    rmq_json json;
    rmq_slice key;
    rmq_slice name = {NULL, 0};
    rmq_error err;
    const rmq_dev_group *group = NULL;
    rmq_json_init(&json, request->command->body, true);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &key)) {
            if (rmq_slice_equals(key, "groupName"))
                rmq_json_read_string(&json, &name);
            else
                rmq_json_skip(&json);
        }
    }
    rmq_status status = rmq_json_status(&json, &err);
    if (status == RMQ_OK)
        status = rmq_dev_groups_make(request->broker, name, &group, &err);
    if (status == RMQ_OK)
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
    else if (status == RMQ_INVAL)
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_INVALID_PARAMETER,
                              "The specified group: %.*s, contains illegal characters, allowing "
                              "only ^[%%|a-zA-Z0-9_-]+$",
                              (int)(name.len < 256 ? name.len : 256), name.data);
    else
        rmq_dev_answer_failure(&request->reply, &err);
    rmq_json_deinit(&json);
}

void rmq_dev_handle_group_delete(rmq_dev_request *request)
{
    rmq_slice name;
    bool forget = false;
    rmq_error err;
    if (!rmq_dev_need_string(request, "groupName", &name))
        return;
    if (!rmq_command_get_bool(request->command, "cleanOffset", &forget))
        rmq_command_get_bool(request->command, "removeOffset", &forget);
    if (rmq_dev_groups_delete(request->broker, name, &err) != RMQ_OK) {
        rmq_dev_answer_failure(&request->reply, &err);
        return;
    }
    if (forget && name.len > 0)
        rmq_dev_offsets_forget(&request->broker->offsets, (rmq_slice){NULL, 0}, name);
    rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
}

void rmq_dev_handle_group_config(rmq_dev_request *request)
{
    rmq_slice name;
    rmq_error err;
    const rmq_dev_group *group = NULL;
    if (!rmq_dev_need_string(request, "group", &name))
        return;
    rmq_status status = rmq_dev_groups_make(request->broker, name, &group, &err);
    if (status == RMQ_INVAL) {
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST,
                       "No group in this broker");
    } else if (status != RMQ_OK) {
        rmq_dev_answer_failure(&request->reply, &err);
    } else {
        char body[1024];
        int len = snprintf(
            body, sizeof(body),
            "{\"attributes\":{},\"brokerId\":0,\"consumeBroadcastEnable\":true,"
            "\"consumeEnable\":true,\"consumeFromMinEnable\":true,"
            "\"consumeMessageOrderly\":false,\"consumeTimeoutMinute\":15,\"groupName\":\"%s\","
            "\"groupRetryPolicy\":{\"type\":\"CUSTOMIZED\"},\"groupSysFlag\":0,"
            "\"notifyConsumerIdsChangedEnable\":true,\"retryMaxTimes\":16,"
            "\"retryQueueNums\":1,\"whichBrokerWhenConsumeSlowly\":1}",
            group->name); /* a legal name needs no escapes */
        rmq_dev_answer_body(&request->reply, (rmq_slice){body, (size_t)len});
    }
}

/* ---- 208 ---- */

static void add_queue(rmq_dev_offset_table *table, const rmq_dev_request *request,
                      const rmq_dev_topic *topic, const rmq_dev_offset_key *key)
{
    const rmq_dev_queue *queue = rmq_dev_topic_queue(topic, key->queue_id);
    const rmq_dev_offset *offset = rmq_dev_offsets_find(&request->broker->offsets, key);
    int64_t max_offset = queue != NULL ? rmq_dev_queue_max(queue) : 0;
    int64_t committed = offset != NULL && offset->committed > 0 ? offset->committed : 0;
    int64_t last_ms = 0;
    if (queue != NULL && committed - 1 >= queue->min_offset && committed - 1 < max_offset)
        last_ms = rmq_dev_queue_at(queue, committed - 1)->store_ms;
    char value[256];
    snprintf(value, sizeof(value),
             "{\"brokerOffset\":%lld,\"consumerOffset\":%lld,\"lastTimestamp\":%lld,"
             "\"pullOffset\":%lld}",
             (long long)max_offset, (long long)committed, (long long)last_ms,
             (long long)(offset != NULL && offset->pulled > 0 ? offset->pulled : 0));
    rmq_dev_offset_table_add(table, topic->name, key->queue_id, value);
}

/* Of the topics that the group committed or pulled, or of the one that was asked for. */
void rmq_dev_handle_consume_stats(rmq_dev_request *request)
{
    rmq_slice group;
    rmq_slice wanted = {NULL, 0};
    if (!rmq_dev_need_string(request, "consumerGroup", &group))
        return;
    rmq_command_get(request->command, "topic", &wanted);
    rmq_dev_offset_table table;
    rmq_dev_offset_table_begin(&table, &request->broker->settings, "{\"consumeTps\":0.0,");
    const rmq_dev_map_entry *entry = request->broker->offsets.lists.first;
    for (; entry != NULL; entry = entry->next) {
        const rmq_dev_offset_list *list = entry->value;
        const rmq_dev_topic *topic =
            rmq_dev_store_topic(&request->broker->store, rmq_slice_of(list->topic));
        if (topic == NULL || !rmq_slice_equals(group, list->group) ||
            (wanted.len > 0 && !rmq_slice_equals(wanted, list->topic)))
            continue;
        for (int32_t i = 0; i < topic->write_queues; i++)
            add_queue(&table, request, topic,
                      &(rmq_dev_offset_key){group, rmq_slice_of(topic->name), i});
    }
    rmq_dev_offset_table_answer(&table, &request->reply, "}");
}
