/* Pulling: the checks of a 5.4.0 broker in its order (read_* and check_*), then one look at the
 * queue (look), then the answer, whose body is written from the store's chunks.
 *
 * How far one pull goes: to the cap of messages (32) or bytes (256 KiB), but always one message;
 * and over at most 800 index entries, matching or not. Source: PullMessageProcessor,
 * DefaultMessageStore.getMessage 5.4.0; protocol facts 8. */
#include "pull.h"

#include <string.h>

#include "broker_state.h"
#include "codes.h"
#include "long_poll.h"
#include "route.h"

#define SYSFLAG_COMMIT 1
#define SYSFLAG_SUSPEND 2
#define SYSFLAG_SUBSCRIPTION 4
#define SCANNED_AT_ONCE 800

/* What a look at the queue found. */
typedef struct look_result {
    int32_t code;
    const char *remark;
    int64_t next_offset;
    int64_t min_offset;
    int64_t max_offset;
    size_t n_runs; /* in broker->runs */
} look_result;

void rmq_dev_pull_deinit(rmq_dev_pull *pull)
{
    rmq_free(pull->group);
    rmq_free(pull->topic);
    rmq_dev_tag_filter_deinit(&pull->filter);
    memset(pull, 0, sizeof(*pull));
}

/* ---- looking ---- */

static void add_run(rmq_devbroker *broker, look_result *result, const rmq_dev_stored *stored)
{
    rmq_dev_run *last = result->n_runs > 0 ? &broker->runs[result->n_runs - 1] : NULL;
    if (last != NULL && last->chunk == stored->chunk && last->data + last->len == stored->data) {
        last->len += stored->size_bytes;
        return;
    }
    broker->runs[result->n_runs++] = (rmq_dev_run){stored->chunk, stored->data, stored->size_bytes};
}

static void collect(rmq_devbroker *broker, const rmq_dev_queue *queue, const rmq_dev_pull *pull,
                    look_result *result)
{
    const rmq_dev_settings *settings = &broker->settings;
    int64_t scan_end = pull->offset + (pull->max_messages > SCANNED_AT_ONCE ? pull->max_messages
                                                                            : SCANNED_AT_ONCE);
    int32_t n_messages = 0;
    size_t n_bytes = 0;
    int64_t offset = pull->offset;
    for (; offset < result->max_offset && offset < scan_end; offset++) {
        const rmq_dev_stored *stored = rmq_dev_queue_at(queue, offset);
        if (n_messages > 0 &&
            (n_messages >= pull->max_messages || n_messages >= settings->max_pull_messages ||
             n_bytes + stored->size_bytes > settings->max_pull_bytes))
            break;
        if (!rmq_dev_tag_filter_matches(&pull->filter, stored->tag_hash))
            continue;
        add_run(broker, result, stored);
        n_messages++;
        n_bytes += stored->size_bytes;
    }
    result->next_offset = offset;
    result->code = n_messages > 0 ? RMQ_RESPONSE_SUCCESS : RMQ_RESPONSE_PULL_RETRY_IMMEDIATELY;
    result->remark = n_messages > 0 ? "FOUND" : "NO_MATCHED_MESSAGE";
}

static look_result look(rmq_devbroker *broker, const rmq_dev_queue *queue, const rmq_dev_pull *pull)
{
    look_result result = {.code = RMQ_RESPONSE_PULL_OFFSET_MOVED};
    if (queue != NULL) {
        result.min_offset = queue->min_offset;
        result.max_offset = rmq_dev_queue_max(queue);
    }
    if (result.max_offset == 0) {
        if (pull->offset == 0)
            result.code = RMQ_RESPONSE_PULL_NOT_FOUND;
        result.remark = "NO_MESSAGE_IN_QUEUE";
    } else if (pull->offset < result.min_offset) {
        result.remark = "OFFSET_TOO_SMALL";
        result.next_offset = result.min_offset;
    } else if (pull->offset == result.max_offset) {
        result.code = RMQ_RESPONSE_PULL_NOT_FOUND;
        result.remark = "OFFSET_OVERFLOW_ONE";
        result.next_offset = pull->offset;
    } else if (pull->offset > result.max_offset) {
        result.remark = "OFFSET_OVERFLOW_BADLY";
        result.next_offset = result.max_offset;
    } else {
        collect(broker, queue, pull, &result);
    }
    return result;
}

static void answer_look(const rmq_dev_reply *reply, const rmq_dev_pull *pull,
                        const look_result *result)
{
    rmq_devbroker *broker = reply->session->broker;
    rmq_command answer;
    rmq_dev_answer_begin(&answer, result->code);
    rmq_command_set_remark(&answer, result->remark);
    rmq_command_set(&answer, "suggestWhichBrokerId", "0");
    rmq_command_set_int(&answer, "nextBeginOffset", result->next_offset);
    rmq_command_set_int(&answer, "minOffset", result->min_offset);
    rmq_command_set_int(&answer, "maxOffset", result->max_offset);
    if (rmq_dev_settings_is_v5(&broker->settings)) {
        rmq_command_set(&answer, "topicSysFlag", "0");
        rmq_command_set(&answer, "groupSysFlag", "0");
    }
    rmq_dev_offsets_note_pull(
        &broker->offsets,
        &(rmq_dev_offset_key){rmq_slice_of(pull->group), rmq_slice_of(pull->topic), pull->queue_id},
        result->next_offset);
    rmq_dev_answer_end_runs(reply, &answer, broker->runs, result->n_runs);
}

/* ---- checking ---- */

/* An error answer to a pull, which has ext fields (none of them needed). */
static void refuse(rmq_dev_request *request, int32_t code, const char *remark)
{
    rmq_dev_answer(&request->reply, code, remark);
}

static const rmq_dev_topic *check_topic(rmq_dev_request *request, rmq_slice name, int32_t queue_id)
{
    const rmq_dev_topic *topic = rmq_dev_store_topic(&request->broker->store, name);
    int shown = (int)(name.len < 256 ? name.len : 256);
    if (topic == NULL) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_TOPIC_NOT_EXIST,
                              "topic[%.*s] not exist, apply first please! " RMQ_DEV_FAQ, shown,
                              name.data);
        return NULL;
    }
    if ((topic->perm & RMQ_PERM_READ) == 0) {
        rmq_command answer;
        rmq_dev_answer_begin(&answer, RMQ_RESPONSE_NO_PERMISSION);
        rmq_dev_set_remark(&answer, "the topic[%s] pulling message is forbidden", topic->name);
        if (rmq_dev_settings_is_v5(&request->broker->settings))
            rmq_command_set(&answer, "forbiddenType", "3");
        rmq_dev_answer_end(&request->reply, &answer);
        return NULL;
    }
    if (queue_id < 0 || queue_id >= topic->read_queues) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_INVALID_PARAMETER,
                              "queueId[%d] is illegal, topic:[%s] topicConfig.readQueueNums:[%d] "
                              "consumer:[/%s]",
                              queue_id, topic->name, topic->read_queues,
                              request->reply.session->peer_text);
        return NULL;
    }
    return topic;
}

static bool check_group(rmq_dev_request *request, rmq_slice name)
{
    rmq_error err;
    const rmq_dev_group *group = NULL;
    rmq_status status = rmq_dev_groups_make(request->broker, name, &group, &err);
    if (status == RMQ_OK)
        return true;
    if (status == RMQ_INVAL)
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST,
                              "subscription group [%.*s] does not exist, " RMQ_DEV_FAQ,
                              (int)(name.len < 256 ? name.len : 256), name.data);
    else
        rmq_dev_answer_failure(&request->reply, &err);
    return false;
}

/* The filter of a subscription; answers and returns false if it isn't one by tags. */
static bool make_filter(rmq_dev_request *request, rmq_slice type, rmq_slice expression,
                        rmq_dev_pull *pull)
{
    if (!rmq_dev_is_tag_type(type)) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                              "The broker does not support consumer to filter message by %.*s",
                              (int)(type.len < 64 ? type.len : 64), type.data);
        return false;
    }
    rmq_status status = rmq_dev_tag_filter_init(&pull->filter, expression);
    if (status == RMQ_OK)
        return true;
    refuse(request,
           status == RMQ_INVAL ? RMQ_RESPONSE_SUBSCRIPTION_PARSE_FAILED : RMQ_RESPONSE_SYSTEM_ERROR,
           status == RMQ_INVAL ? "parse the consumer's subscription failed" : "no memory");
    return false;
}

/* The subscription that the group's heartbeats brought. */
static bool registered_filter(rmq_dev_request *request, rmq_slice group_name, rmq_slice topic,
                              rmq_dev_pull *pull)
{
    const rmq_dev_group *group = rmq_dev_groups_find(&request->broker->groups, group_name);
    if (group == NULL || group->members == NULL) {
        refuse(request, RMQ_RESPONSE_SUBSCRIPTION_NOT_EXIST,
               "the consumer's group info not exist" RMQ_DEV_FAQ);
        return false;
    }
    const rmq_subscription *subscription = rmq_dev_group_subscription(group, topic);
    if (subscription == NULL) {
        refuse(request, RMQ_RESPONSE_SUBSCRIPTION_NOT_EXIST,
               "the consumer's subscription not exist" RMQ_DEV_FAQ);
        return false;
    }
    int64_t version = 0;
    rmq_command_get_int64(request->command, "subVersion", &version);
    if (version > subscription->version) {
        refuse(request, RMQ_RESPONSE_SUBSCRIPTION_NOT_LATEST,
               "the consumer's subscription not latest");
        return false;
    }
    return make_filter(request, rmq_slice_of(subscription->expression_type),
                       rmq_slice_of(subscription->expression), pull);
}

static bool find_filter(rmq_dev_request *request, int32_t sys_flag, rmq_slice group,
                        rmq_slice topic, rmq_dev_pull *pull)
{
    if ((sys_flag & SYSFLAG_SUBSCRIPTION) == 0)
        return registered_filter(request, group, topic, pull);
    rmq_slice type = {NULL, 0};
    rmq_slice expression = {NULL, 0};
    rmq_command_get(request->command, "expressionType", &type);
    rmq_command_get(request->command, "subscription", &expression);
    return make_filter(request, type, expression, pull);
}

static void commit(rmq_dev_request *request, const rmq_dev_pull *pull)
{
    int64_t offset = 0;
    rmq_error err;
    if (!rmq_command_get_int64(request->command, "commitOffset", &offset))
        return;
    rmq_dev_offset_key key = {rmq_slice_of(pull->group), rmq_slice_of(pull->topic), pull->queue_id};
    if (rmq_dev_offsets_commit(&request->broker->offsets, &key, offset, &err) != RMQ_OK)
        rmq_dev_log(&request->broker->settings, RMQ_LOG_WARN, "%s", err.text);
}

/* Reads and checks the request up to the numbers; false if it was answered. */
static bool read_pull(rmq_dev_request *request, rmq_dev_pull *pull, int32_t *out_sys_flag,
                      const rmq_dev_topic **out_topic)
{
    rmq_slice group;
    rmq_slice topic;
    if (!rmq_dev_need_string(request, "consumerGroup", &group) ||
        !rmq_dev_need_string(request, "topic", &topic) || !check_group(request, group) ||
        !rmq_dev_need_int32(request, "queueId", &pull->queue_id))
        return false;
    *out_topic = check_topic(request, topic, pull->queue_id);
    if (*out_topic == NULL || !rmq_dev_need_int32(request, "sysFlag", out_sys_flag) ||
        !find_filter(request, *out_sys_flag, group, topic, pull) ||
        !rmq_dev_need_int64(request, "queueOffset", &pull->offset) ||
        !rmq_dev_need_int32(request, "maxMsgNums", &pull->max_messages))
        return false;
    pull->group = rmq_slice_dup(group);
    pull->topic = rmq_slice_dup(topic);
    if (pull->group != NULL && pull->topic != NULL)
        return true;
    refuse(request, RMQ_RESPONSE_SYSTEM_ERROR, "no memory");
    return false;
}

void rmq_dev_handle_pull(rmq_dev_request *request)
{
    rmq_dev_pull pull;
    int32_t sys_flag = 0;
    const rmq_dev_topic *topic = NULL;
    memset(&pull, 0, sizeof(pull));
    if (!read_pull(request, &pull, &sys_flag, &topic)) {
        rmq_dev_pull_deinit(&pull);
        return;
    }
    look_result result = look(request->broker, rmq_dev_topic_queue(topic, pull.queue_id), &pull);
    if ((sys_flag & SYSFLAG_COMMIT) != 0)
        commit(request, &pull);
    rmq_command_get_int64(request->command, "suspendTimeoutMillis", &pull.hold_ms);
    if (result.code == RMQ_RESPONSE_PULL_NOT_FOUND && (sys_flag & SYSFLAG_SUSPEND) != 0 &&
        rmq_dev_hold(&request->reply, &pull))
        return; /* the hold has taken it over */
    answer_look(&request->reply, &pull, &result);
    rmq_dev_pull_deinit(&pull);
}

void rmq_dev_pull_answer_gone(const rmq_dev_reply *reply, const rmq_dev_pull *pull)
{
    rmq_dev_answer_format(reply, RMQ_RESPONSE_TOPIC_NOT_EXIST,
                          "topic[%s] not exist, apply first please! " RMQ_DEV_FAQ, pull->topic);
}

void rmq_dev_pull_answer(const rmq_dev_reply *reply, const rmq_dev_pull *pull)
{
    rmq_devbroker *broker = reply->session->broker;
    const rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, rmq_slice_of(pull->topic));
    if (topic == NULL) {
        rmq_dev_pull_answer_gone(reply, pull);
        return;
    }
    look_result result = look(broker, rmq_dev_topic_queue(topic, pull->queue_id), pull);
    answer_look(reply, pull, &result);
}
