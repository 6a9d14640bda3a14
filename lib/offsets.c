/* Offsets: a queue's bounds, the offset of a time, and what a group has committed. All are asked of
 * the queue's master; all requests here may be repeated without harm.
 *
 * Brokers answer minimum and maximum with 0 for queues that don't exist: no existence test.
 * Source: PullMessageProcessor, AdminBrokerProcessor, ConsumerManageProcessor 5.4.0; protocol facts
 * 8.7 and 9. */
#include "../proto/codes.h"
#include "client_state.h"
#include "group_stats.h"
#include "lookup.h"
#include "offset_at.h"

#include <string.h>

/* Peers below it ignore setZeroIfNotFound. Protocol facts 1.5 and 18. */
#define VERSION_5_0_0 413

static rmq_status check_queue(const rmq_queue *queue, rmq_error *err)
{
    if (queue->topic == NULL || queue->topic[0] == '\0' || queue->broker_name == NULL ||
        queue->broker_name[0] == '\0' || queue->queue_id < 0)
        return rmq_error_set(err, RMQ_INVAL, "a queue needs a topic, a broker name and an id");
    return RMQ_OK;
}

static rmq_status take_offset(const rmq_answer *answer, const char *request_name,
                              int64_t *out_offset, rmq_error *err)
{
    int64_t offset = 0;
    if (!rmq_command_get_int64(&answer->command, "offset", &offset))
        return rmq_error_set(err, RMQ_PROTO, "the answer to %s has no offset", request_name);
    if (offset < 0)
        return rmq_error_set(err, RMQ_PROTO, "the answer to %s is offset %lld", request_name,
                             (long long)offset);
    *out_offset = offset;
    return RMQ_OK;
}

static void init_queue_request(rmq_command *request, int32_t code, const rmq_queue *queue)
{
    rmq_command_init(request, code);
    rmq_command_set(request, "topic", queue->topic);
    rmq_command_set_int(request, "queueId", queue->queue_id);
}

/* Sends `request` (deinits it) and takes the offset out of the answer. */
static rmq_status ask_offset(rmq_client *client, const rmq_queue *queue, rmq_command *request,
                             int64_t *out_offset, rmq_error *err)
{
    rmq_answer *answer = NULL;
    rmq_status status =
        rmq_lookup_ask(client, queue, request, rmq_lookup_deadline(client), &answer, err);
    if (status == RMQ_OK)
        status = take_offset(answer, rmq_request_code_name(request->code), out_offset, err);
    rmq_answer_free(answer);
    rmq_command_deinit(request);
    return status;
}

static rmq_status ask_bound(rmq_client *client, const rmq_queue *queue, int32_t code,
                            int64_t *out_offset, rmq_error *err)
{
    rmq_command request;
    rmq_status status = check_queue(queue, err);
    if (status != RMQ_OK)
        return status;
    init_queue_request(&request, code, queue);
    return ask_offset(client, queue, &request, out_offset, err);
}

rmq_status rmq_queue_min_offset(rmq_client *client, const rmq_queue *queue, int64_t *out_offset,
                                rmq_error *err)
{
    return ask_bound(client, queue, RMQ_REQUEST_GET_MIN_OFFSET, out_offset, err);
}

rmq_status rmq_queue_max_offset(rmq_client *client, const rmq_queue *queue, int64_t *out_offset,
                                rmq_error *err)
{
    return ask_bound(client, queue, RMQ_REQUEST_GET_MAX_OFFSET, out_offset, err);
}

rmq_status rmq_offset_at_ask(rmq_client *client, const rmq_queue *queue, int64_t timestamp_ms,
                             int64_t *out_offset, rmq_error *err)
{
    rmq_command request;
    rmq_status status = check_queue(queue, err);
    if (status != RMQ_OK)
        return status;
    init_queue_request(&request, RMQ_REQUEST_SEARCH_OFFSET_BY_TIMESTAMP, queue);
    rmq_command_set_int(&request, "timestamp", timestamp_ms);
    return ask_offset(client, queue, &request, out_offset, err);
}

/* ---- committed offsets ---- */

static rmq_status check_group(const char *group, const rmq_queue *queue, rmq_error *err)
{
    if (group == NULL || group[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "no group is named");
    return check_queue(queue, err);
}

static rmq_status never_committed(const char *group, const rmq_queue *queue, rmq_error *err)
{
    return rmq_error_set(err, RMQ_NOT_FOUND, "group \"%s\" has committed nothing in %s %s/%d",
                         group, queue->topic, queue->broker_name, queue->queue_id);
}

/* What the answer to 208 or 43 says of the group's commit in this queue. */
static rmq_status ask_committed(rmq_client *client, const char *group, const rmq_queue *queue,
                                int32_t code, rmq_group_commit *out_commit, rmq_error *err)
{
    rmq_command request;
    rmq_answer *answer = NULL;
    rmq_command_init(&request, code);
    if (code == RMQ_REQUEST_GET_CONSUME_STATS)
        rmq_command_set(&request, "consumerGroup", group);
    rmq_status status =
        rmq_lookup_ask(client, queue, &request, rmq_lookup_deadline(client), &answer, err);
    if (status == RMQ_OK)
        status = code == RMQ_REQUEST_GET_CONSUME_STATS
                     ? rmq_consume_stats_find(answer->command.body, queue, out_commit, err)
                     : rmq_all_offsets_find(answer->command.body, group, queue, out_commit, err);
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    return status;
}

/* A 4.x broker answers 0 for a group that never committed, as long as the queue still starts at 0.
 * Is this 0 a real one? Seen on a live 4.9.7:
 * - GET_CONSUME_STATS of a group without any commit is an empty table, if no topic is named (with
 *   one named, all its queues are shown with 0). That settles most cases.
 * - Once the group has committed in one queue of a topic, all queues of the topic are shown, those
 *   never committed with consumerOffset 0. Only GET_ALL_CONSUMER_OFFSET tells them apart: it lists
 *   what was committed and nothing else. It is one answer for all groups of the broker, so it is
 *   asked last. A broker that refuses it leaves us with 0: reading too much loses nothing. */
static rmq_status distrust_zero(rmq_client *client, const char *group, const rmq_queue *queue,
                                rmq_error *err)
{
    static const int32_t questions[] = {RMQ_REQUEST_GET_CONSUME_STATS,
                                        RMQ_REQUEST_GET_ALL_CONSUMER_OFFSET};
    rmq_group_commit commit = {.found = true, .offset = 0};
    for (size_t i = 0; i < 2 && commit.found && commit.offset == 0; i++) {
        rmq_status status = ask_committed(client, group, queue, questions[i], &commit, err);
        if (status != RMQ_OK && status != RMQ_AUTH && status != RMQ_UNSUPPORTED)
            return status;
    }
    return commit.found ? RMQ_OK : never_committed(group, queue, err);
}

rmq_status rmq_group_offset(rmq_client *client, const char *group, const rmq_queue *queue,
                            int64_t *out_offset, rmq_error *err)
{
    rmq_command request;
    rmq_answer *answer = NULL;
    rmq_error error;
    int64_t offset = 0;
    rmq_status status = check_group(group, queue, err);
    if (status != RMQ_OK)
        return status;
    init_queue_request(&request, RMQ_REQUEST_QUERY_CONSUMER_OFFSET, queue);
    rmq_command_set(&request, "consumerGroup", group);
    rmq_command_set_bool(&request, "setZeroIfNotFound", false);
    status = rmq_lookup_ask(client, queue, &request, rmq_lookup_deadline(client), &answer, &error);
    int32_t version = 0;
    if (status == RMQ_OK) {
        version = answer->command.version;
        status = take_offset(answer, "QUERY_CONSUMER_OFFSET", &offset, &error);
    } else if (error.broker_code == RMQ_RESPONSE_QUERY_NOT_FOUND) {
        status = never_committed(group, queue, &error);
    }
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    if (status == RMQ_OK && offset == 0 && version < VERSION_5_0_0)
        status = distrust_zero(client, group, queue, &error);
    if (status == RMQ_OK)
        *out_offset = offset;
    else if (err != NULL)
        *err = error;
    return status;
}

/* 5.x makes a group when its configuration is asked for. */
static rmq_status make_group(rmq_client *client, const char *group, const rmq_queue *queue,
                             int64_t deadline_ns, rmq_error *err)
{
    rmq_command request;
    rmq_answer *answer = NULL;
    rmq_command_init(&request, RMQ_REQUEST_GET_SUBSCRIPTIONGROUP_CONFIG);
    rmq_command_set(&request, "group", group);
    rmq_status status = rmq_lookup_ask(client, queue, &request, deadline_ns, &answer, err);
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    return status;
}

rmq_status rmq_group_offset_commit(rmq_client *client, const char *group, const rmq_queue *queue,
                                   int64_t next_offset, rmq_error *err)
{
    rmq_command request;
    rmq_answer *answer = NULL;
    rmq_error error;
    rmq_status status = check_group(group, queue, err);
    if (status != RMQ_OK)
        return status;
    if (next_offset < 0)
        return rmq_error_set(err, RMQ_INVAL, "offset %lld cannot be committed",
                             (long long)next_offset);
    int64_t deadline_ns = rmq_lookup_deadline(client);
    init_queue_request(&request, RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, queue);
    rmq_command_set(&request, "consumerGroup", group);
    rmq_command_set_int(&request, "commitOffset", next_offset);
    status = rmq_lookup_ask(client, queue, &request, deadline_ns, &answer, &error);
    if (status != RMQ_OK && error.broker_code == RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST) {
        status = make_group(client, group, queue, deadline_ns, &error);
        if (status == RMQ_OK)
            status = rmq_lookup_ask(client, queue, &request, deadline_ns, &answer, &error);
    }
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    if (status != RMQ_OK && err != NULL)
        *err = error;
    return status;
}
