/* The queues of a topic with their offsets, as one broker tells them (202).
 *
 * The body is a map whose keys are objects, `{{"brokerName":..,"queueId":..,"topic":..}:{..},..}`,
 * which is no JSON: the lenient reader gives such a key as its raw text, and a second reader reads
 * that. Source: TopicStatsTable 5.4.0; protocol facts 14; golden topic_stats_resp. */
#include "body_json.h"
#include "json_scan.h"
#include "route.h"

static void read_queue(rmq_json *outer, rmq_slice key, rmq_topic_stat *stat)
{
    rmq_json json;
    rmq_slice name;
    rmq_json_init(&json, key, true);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &name)) {
            if (rmq_slice_equals(name, "brokerName"))
                rmq_body_text(&json, &stat->broker_name);
            else if (rmq_slice_equals(name, "topic"))
                rmq_body_text(&json, &stat->topic);
            else if (rmq_slice_equals(name, "queueId"))
                rmq_body_int32(&json, &stat->queue_id);
            else
                rmq_json_skip(&json);
        }
    }
    rmq_status status = rmq_body_finish(&json, "queue", NULL);
    rmq_json_deinit(&json);
    if (status == RMQ_NOMEM)
        rmq_json_fail_no_memory(outer);
    else if (status != RMQ_OK || stat->broker_name == NULL || stat->topic == NULL)
        rmq_json_fail_at(outer, "a key is not a queue", outer->at);
}

static void read_offsets(rmq_json *json, rmq_topic_stat *stat)
{
    rmq_slice name;
    if (!rmq_body_enter_object(json))
        return;
    while (rmq_json_next_key(json, &name)) {
        if (rmq_slice_equals(name, "minOffset"))
            rmq_body_int64(json, &stat->min_offset);
        else if (rmq_slice_equals(name, "maxOffset"))
            rmq_body_int64(json, &stat->max_offset);
        else if (rmq_slice_equals(name, "lastUpdateTimestamp"))
            rmq_body_int64(json, &stat->last_update_ms);
        else
            rmq_json_skip(json);
    }
}

static void read_table(rmq_json *json, rmq_body_list *stats)
{
    rmq_slice key;
    if (!rmq_body_enter_object(json))
        return;
    while (rmq_json_next_key(json, &key)) {
        rmq_topic_stat *stat =
            rmq_body_list_add(json, stats, sizeof(*stat), RMQ_ROUTE_MAX_QUEUES_PER_BROKER);
        if (stat == NULL)
            return;
        read_queue(json, key, stat);
        read_offsets(json, stat);
    }
}

rmq_status rmq_topic_stats_decode(rmq_slice body, rmq_topic_stat **out_stats, size_t *out_count,
                                  rmq_error *err)
{
    rmq_json json;
    rmq_body_list stats = {0};
    rmq_slice key;
    rmq_body_init(&json, body);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &key)) {
            if (rmq_slice_equals(key, "offsetTable"))
                read_table(&json, &stats);
            else
                rmq_json_skip(&json);
        }
    }
    rmq_status status = rmq_body_finish(&json, "topic statistics", err);
    rmq_json_deinit(&json);
    if (status != RMQ_OK) {
        rmq_topic_stats_free(stats.items, stats.count);
        return status;
    }
    *out_stats = stats.items;
    *out_count = stats.count;
    return RMQ_OK;
}

void rmq_topic_stats_free(rmq_topic_stat *stats, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rmq_free(stats[i].broker_name);
        rmq_free(stats[i].topic);
    }
    rmq_free(stats);
}
