/* Bodies that tell what a group has committed. Both are near-JSON: 208 has whole objects as map
 * keys, 43 bare numbers. Source: ConsumeStats, ConsumerOffsetSerializeWrapper; protocol facts 14;
 * vector consume_stats_resp. */
#include "group_stats.h"

#include <rmq/json.h>

#include <stdio.h>
#include <string.h>

/* {"brokerName":"b","queueId":0,"topic":"T"}, the key of an entry. */
static bool key_is(rmq_slice key, const rmq_queue *queue)
{
    rmq_json json;
    rmq_slice name;
    rmq_slice text;
    int64_t queue_id = -1;
    bool same_broker = false;
    bool same_topic = false;
    rmq_json_init(&json, key, true);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &name)) {
            if (rmq_slice_equals(name, "brokerName") && rmq_json_read_string(&json, &text))
                same_broker = rmq_slice_equals(text, queue->broker_name);
            else if (rmq_slice_equals(name, "topic") && rmq_json_read_string(&json, &text))
                same_topic = rmq_slice_equals(text, queue->topic);
            else if (rmq_slice_equals(name, "queueId"))
                rmq_json_read_int64(&json, &queue_id);
            else
                rmq_json_skip(&json);
        }
    }
    rmq_json_deinit(&json);
    return same_broker && same_topic && queue_id == queue->queue_id;
}

static void read_stat(rmq_json *json, rmq_group_commit *out_commit)
{
    rmq_slice name;
    if (!rmq_json_enter_object(json))
        return;
    while (rmq_json_next_key(json, &name)) {
        if (rmq_slice_equals(name, "consumerOffset"))
            out_commit->found = rmq_json_read_int64(json, &out_commit->offset);
        else
            rmq_json_skip(json);
    }
}

static void read_stats_table(rmq_json *json, const rmq_queue *queue, rmq_group_commit *out_commit)
{
    rmq_slice key;
    if (!rmq_json_enter_object(json))
        return;
    while (rmq_json_next_key(json, &key)) {
        if (key_is(key, queue))
            read_stat(json, out_commit);
        else
            rmq_json_skip(json);
    }
}

rmq_status rmq_consume_stats_find(rmq_slice body, const rmq_queue *queue,
                                  rmq_group_commit *out_commit, rmq_error *err)
{
    rmq_json json;
    rmq_slice name;
    rmq_group_commit commit = {.found = false};
    rmq_json_init(&json, body, true);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &name)) {
            if (rmq_slice_equals(name, "offsetTable"))
                read_stats_table(&json, queue, &commit);
            else
                rmq_json_skip(&json);
        }
    }
    rmq_status status = rmq_json_status(&json, err);
    rmq_json_deinit(&json);
    if (status != RMQ_OK) {
        rmq_error_wrap(err, "answer to GET_CONSUME_STATS");
        return status;
    }
    *out_commit = commit;
    return RMQ_OK;
}

static void read_queue_offsets(rmq_json *json, const char *wanted_id, rmq_group_commit *out_commit)
{
    rmq_slice key;
    if (!rmq_json_enter_object(json))
        return;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, wanted_id))
            out_commit->found = rmq_json_read_int64(json, &out_commit->offset);
        else
            rmq_json_skip(json);
    }
}

static bool is_topic_at_group(rmq_slice key, const char *topic, const char *group)
{
    size_t topic_len = strlen(topic);
    return key.len == topic_len + 1 + strlen(group) && memcmp(key.data, topic, topic_len) == 0 &&
           key.data[topic_len] == '@' &&
           memcmp(key.data + topic_len + 1, group, key.len - topic_len - 1) == 0;
}

rmq_status rmq_all_offsets_find(rmq_slice body, const char *group, const rmq_queue *queue,
                                rmq_group_commit *out_commit, rmq_error *err)
{
    rmq_json json;
    rmq_slice name;
    char wanted_id[16];
    rmq_group_commit commit = {.found = false};
    snprintf(wanted_id, sizeof(wanted_id), "%d", queue->queue_id);
    rmq_json_init(&json, body, true);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &name)) {
            if (!rmq_slice_equals(name, "offsetTable") || !rmq_json_enter_object(&json)) {
                rmq_json_skip(&json);
                continue;
            }
            while (rmq_json_next_key(&json, &name)) {
                if (is_topic_at_group(name, queue->topic, group))
                    read_queue_offsets(&json, wanted_id, &commit);
                else
                    rmq_json_skip(&json);
            }
        }
    }
    rmq_status status = rmq_json_status(&json, err);
    rmq_json_deinit(&json);
    if (status != RMQ_OK) {
        rmq_error_wrap(err, "answer to GET_ALL_CONSUMER_OFFSET");
        return status;
    }
    *out_commit = commit;
    return RMQ_OK;
}
