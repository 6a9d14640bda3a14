/* Offsets of queues and of groups, with the peculiarities of real brokers: an unknown topic or
 * queue has offset 0 and no error (30, 31, 29), and a group that never committed gets 0 as long as
 * its queue still starts there (14). Source: AdminBrokerProcessor, ConsumerManageProcessor 5.4.0;
 * protocol facts 8.7 and 9. */
#include "offset_queries.h"

#include <strings.h>

#include "broker_state.h"
#include "codes.h"

/* Reads `topic` and `queueId`; false if one is missing and the request was answered. *out_queue may
 * be NULL. */
static bool read_queue(rmq_dev_request *request, const rmq_dev_queue **out_queue)
{
    rmq_slice topic;
    int32_t queue_id;
    if (!rmq_dev_need_string(request, "topic", &topic) ||
        !rmq_dev_need_int32(request, "queueId", &queue_id))
        return false;
    *out_queue = rmq_dev_topic_queue(rmq_dev_store_topic(&request->broker->store, topic), queue_id);
    return true;
}

void rmq_dev_handle_max_offset(rmq_dev_request *request)
{
    const rmq_dev_queue *queue;
    if (read_queue(request, &queue))
        rmq_dev_answer_int(&request->reply, "offset", queue != NULL ? rmq_dev_queue_max(queue) : 0);
}

void rmq_dev_handle_min_offset(rmq_dev_request *request)
{
    const rmq_dev_queue *queue;
    if (!read_queue(request, &queue))
        return;
    rmq_command answer;
    rmq_dev_answer_begin(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_command_set_int(&answer, "offset", queue != NULL ? queue->min_offset : 0);
    rmq_command_set_remark(&answer, "");
    rmq_dev_answer_end(&request->reply, &answer);
}

/* The last message with a store time of at most `timestamp`, as 5.4.0 says it at the edges. */
static int64_t upper_bound(const rmq_dev_queue *queue, int64_t timestamp)
{
    if (queue->count == 0)
        return queue->min_offset;
    int64_t above = timestamp == INT64_MAX ? rmq_dev_queue_max(queue)
                                           : rmq_dev_queue_lower_bound(queue, timestamp + 1);
    return above > queue->min_offset ? above - 1 : 0;
}

/* 4.9.7 gives the last message, not the end, for a time beyond it. */
static int64_t lower_bound_of_4_9(const rmq_dev_queue *queue, int64_t timestamp)
{
    int64_t offset = rmq_dev_queue_lower_bound(queue, timestamp);
    int64_t last = rmq_dev_queue_max(queue) - 1;
    return offset < last ? offset : last;
}

void rmq_dev_handle_search_offset(rmq_dev_request *request)
{
    const rmq_dev_queue *queue;
    int64_t timestamp;
    rmq_slice boundary = {NULL, 0};
    if (!read_queue(request, &queue) || !rmq_dev_need_int64(request, "timestamp", &timestamp))
        return;
    rmq_command_get(request->command, "boundaryType", &boundary);
    bool upper = rmq_dev_settings_is_v5(&request->broker->settings) && boundary.len == 5 &&
                 strncasecmp(boundary.data, "upper", 5) == 0;
    int64_t offset = 0;
    if (queue != NULL && queue->count > 0 && !rmq_dev_settings_is_v5(&request->broker->settings))
        offset = lower_bound_of_4_9(queue, timestamp);
    else if (queue != NULL)
        offset =
            upper ? upper_bound(queue, timestamp) : rmq_dev_queue_lower_bound(queue, timestamp);
    rmq_dev_answer_int(&request->reply, "offset", offset);
}

void rmq_dev_handle_earliest_time(rmq_dev_request *request)
{
    const rmq_dev_queue *queue;
    if (!read_queue(request, &queue))
        return;
    bool any = queue != NULL && queue->count > 0;
    rmq_dev_answer_int(&request->reply, "timestamp",
                       any ? rmq_dev_queue_at(queue, queue->min_offset)->store_ms : -1);
}

void rmq_dev_handle_view_message(rmq_dev_request *request)
{
    int64_t offset;
    if (!rmq_dev_need_int64(request, "offset", &offset))
        return;
    const rmq_dev_stored *stored = rmq_dev_store_find(&request->broker->store, offset);
    if (stored == NULL) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                              "can not find message by the offset, %lld", (long long)offset);
        return;
    }
    rmq_command answer;
    rmq_dev_run run = {stored->chunk, stored->data, stored->size_bytes};
    rmq_dev_answer_begin(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_dev_answer_end_runs(&request->reply, &answer, &run, 1);
}

/* ---- committed offsets ---- */

/* Whether a group without an offset is told 0: the queue has a first message, and it is the first
 * ever. A 4.9 broker also says so where nothing was ever stored. */
static bool starts_at_zero(const rmq_dev_request *request, const rmq_dev_offset_key *key)
{
    const rmq_dev_queue *queue = rmq_dev_topic_queue(
        rmq_dev_store_topic(&request->broker->store, key->topic), key->queue_id);
    if (!rmq_dev_settings_is_v5(&request->broker->settings))
        return queue == NULL || queue->min_offset == 0;
    return queue != NULL && queue->count > 0 && queue->min_offset == 0;
}

void rmq_dev_handle_query_consumer_offset(rmq_dev_request *request)
{
    rmq_dev_offset_key key;
    if (!rmq_dev_need_string(request, "consumerGroup", &key.group) ||
        !rmq_dev_need_string(request, "topic", &key.topic) ||
        !rmq_dev_need_int32(request, "queueId", &key.queue_id))
        return;
    const rmq_dev_offset *offset = rmq_dev_offsets_find(&request->broker->offsets, &key);
    bool zero_if_missing = true;
    if (rmq_dev_settings_is_v5(&request->broker->settings))
        rmq_command_get_bool(request->command, "setZeroIfNotFound", &zero_if_missing);
    if (offset != NULL && offset->committed >= 0)
        rmq_dev_answer_int(&request->reply, "offset", offset->committed);
    else if (!zero_if_missing)
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_QUERY_NOT_FOUND,
                       "Not found, do not set to zero, maybe this group boot first");
    else if (starts_at_zero(request, &key))
        rmq_dev_answer_int(&request->reply, "offset", 0);
    else
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_QUERY_NOT_FOUND,
                       "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first");
}

/* What a 5.x broker asks before it commits; false if it was answered. */
static bool may_commit(rmq_dev_request *request, const rmq_dev_offset_key *key)
{
    int group_shown = (int)(key->group.len < 256 ? key->group.len : 256);
    int topic_shown = (int)(key->topic.len < 256 ? key->topic.len : 256);
    rmq_slice value;
    if (!rmq_dev_groups_exists(&request->broker->groups, key->group))
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST,
                              "Group %.*s not exist!", group_shown, key->group.data);
    else if (rmq_dev_store_topic(&request->broker->store, key->topic) == NULL)
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_TOPIC_NOT_EXIST,
                              "Topic %.*s not exist!", topic_shown, key->topic.data);
    else if (!rmq_command_get(request->command, "queueId", &value))
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_INVALID_PARAMETER,
                              "QueueId is null, topic is %.*s", topic_shown, key->topic.data);
    else if (!rmq_command_get(request->command, "commitOffset", &value))
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_INVALID_PARAMETER,
                              "Offset is null, topic is %.*s", topic_shown, key->topic.data);
    else
        return true;
    return false;
}

void rmq_dev_handle_update_consumer_offset(rmq_dev_request *request)
{
    rmq_dev_offset_key key;
    int64_t offset;
    rmq_error err;
    if (!rmq_dev_need_string(request, "topic", &key.topic) ||
        !rmq_dev_need_string(request, "consumerGroup", &key.group) ||
        (rmq_dev_settings_is_v5(&request->broker->settings) && !may_commit(request, &key)) ||
        !rmq_dev_need_int32(request, "queueId", &key.queue_id) ||
        !rmq_dev_need_int64(request, "commitOffset", &offset))
        return;
    if (rmq_dev_offsets_commit(&request->broker->offsets, &key, offset, &err) == RMQ_OK)
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
    else
        rmq_dev_answer_failure(&request->reply, &err);
}
