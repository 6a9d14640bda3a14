/* Decodes a frame's header, counts it, looks for a fault rule, and calls the handler of its code.
 *
 * Name server and broker are two ports with two tables: a code that belongs to the other is as
 * unknown as one that nobody knows (code 3). Responses are dropped: the broker's own requests to
 * clients are all oneway. */
#include "dispatch.h"

#include "answer.h"
#include "broker_state.h"
#include "codes.h"
#include "group_admin.h"
#include "lifecycle.h"
#include "offset_queries.h"
#include "pull.h"
#include "runtime.h"
#include "send.h"
#include "send_back.h"
#include "topic_admin.h"

/* Not in codes.h: no client of ours sends it. */
#define GET_KVLIST_BY_NAMESPACE 219

typedef struct handler_entry {
    int32_t code;
    void (*handle)(rmq_dev_request *request);
    bool v5_only;
} handler_entry;

static const handler_entry namesrv_handlers[] = {
    {RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, rmq_dev_handle_route, false},
    {RMQ_REQUEST_GET_BROKER_CLUSTER_INFO, rmq_dev_handle_cluster_info, false},
    {RMQ_REQUEST_GET_ALL_TOPIC_LIST_FROM_NAMESERVER, rmq_dev_handle_topic_list, false},
    {RMQ_REQUEST_GET_TOPICS_BY_CLUSTER, rmq_dev_handle_topics_by_cluster, false},
    {RMQ_REQUEST_DELETE_TOPIC_IN_NAMESRV, rmq_dev_handle_route_delete, false},
    {RMQ_REQUEST_PUT_KV_CONFIG, rmq_dev_handle_kv_put, false},
    {RMQ_REQUEST_GET_KV_CONFIG, rmq_dev_handle_kv_get, false},
    {RMQ_REQUEST_DELETE_KV_CONFIG, rmq_dev_handle_kv_delete, false},
    {GET_KVLIST_BY_NAMESPACE, rmq_dev_handle_kv_list, false},
};

static const handler_entry broker_handlers[] = {
    {RMQ_REQUEST_SEND_MESSAGE, rmq_dev_handle_send, false},
    {RMQ_REQUEST_SEND_MESSAGE_V2, rmq_dev_handle_send, false},
    {RMQ_REQUEST_SEND_BATCH_MESSAGE, rmq_dev_handle_send, false},
    {RMQ_REQUEST_PULL_MESSAGE, rmq_dev_handle_pull, false},
    {RMQ_REQUEST_LITE_PULL_MESSAGE, rmq_dev_handle_pull, true},
    {RMQ_REQUEST_GET_MAX_OFFSET, rmq_dev_handle_max_offset, false},
    {RMQ_REQUEST_GET_MIN_OFFSET, rmq_dev_handle_min_offset, false},
    {RMQ_REQUEST_SEARCH_OFFSET_BY_TIMESTAMP, rmq_dev_handle_search_offset, false},
    {RMQ_REQUEST_GET_EARLIEST_MSG_STORETIME, rmq_dev_handle_earliest_time, false},
    {RMQ_REQUEST_VIEW_MESSAGE_BY_ID, rmq_dev_handle_view_message, false},
    {RMQ_REQUEST_QUERY_CONSUMER_OFFSET, rmq_dev_handle_query_consumer_offset, false},
    {RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, rmq_dev_handle_update_consumer_offset, false},
    {RMQ_REQUEST_UPDATE_AND_CREATE_TOPIC, rmq_dev_handle_topic_create, false},
    {RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, rmq_dev_handle_topic_delete, false},
    {RMQ_REQUEST_GET_TOPIC_CONFIG, rmq_dev_handle_topic_config, true},
    {RMQ_REQUEST_GET_TOPIC_STATS_INFO, rmq_dev_handle_topic_stats, false},
    {RMQ_REQUEST_HEART_BEAT, rmq_dev_handle_heartbeat, false},
    {RMQ_REQUEST_UNREGISTER_CLIENT, rmq_dev_handle_unregister, false},
    {RMQ_REQUEST_CHECK_CLIENT_CONFIG, rmq_dev_handle_check_client, false},
    {RMQ_REQUEST_GET_CONSUMER_LIST_BY_GROUP, rmq_dev_handle_consumer_list, false},
    {RMQ_REQUEST_GET_CONSUMER_CONNECTION_LIST, rmq_dev_handle_consumer_connections, false},
    {RMQ_REQUEST_GET_PRODUCER_CONNECTION_LIST, rmq_dev_handle_producer_connections, false},
    {RMQ_REQUEST_UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, rmq_dev_handle_group_create, false},
    {RMQ_REQUEST_DELETE_SUBSCRIPTIONGROUP, rmq_dev_handle_group_delete, false},
    {RMQ_REQUEST_GET_SUBSCRIPTIONGROUP_CONFIG, rmq_dev_handle_group_config, true},
    {RMQ_REQUEST_GET_CONSUME_STATS, rmq_dev_handle_consume_stats, false},
    {RMQ_REQUEST_CONSUMER_SEND_MSG_BACK, rmq_dev_handle_send_back, false},
    {RMQ_REQUEST_END_TRANSACTION, rmq_dev_handle_end_transaction, false},
    {RMQ_REQUEST_LOCK_BATCH_MQ, rmq_dev_handle_lock, false},
    {RMQ_REQUEST_UNLOCK_BATCH_MQ, rmq_dev_handle_unlock, false},
    {RMQ_REQUEST_GET_BROKER_RUNTIME_INFO, rmq_dev_handle_runtime_info, false},
    {RMQ_REQUEST_GET_BROKER_CONFIG, rmq_dev_handle_broker_config, false},
};

static const handler_entry *find_handler(const rmq_dev_session *session, int32_t code)
{
    bool namesrv = session->port == RMQ_DEV_PORT_NAMESRV;
    const handler_entry *handlers = namesrv ? namesrv_handlers : broker_handlers;
    size_t count = namesrv ? sizeof(namesrv_handlers) / sizeof(namesrv_handlers[0])
                           : sizeof(broker_handlers) / sizeof(broker_handlers[0]);
    for (size_t i = 0; i < count; i++) {
        if (handlers[i].code == code &&
            (!handlers[i].v5_only || rmq_dev_settings_is_v5(&session->broker->settings)))
            return &handlers[i];
    }
    return NULL;
}

static rmq_slice topic_of(const rmq_command *command)
{
    rmq_slice topic = {NULL, 0};
    bool short_names = command->code == RMQ_REQUEST_SEND_MESSAGE_V2 ||
                       command->code == RMQ_REQUEST_SEND_BATCH_MESSAGE;
    if (!short_names || !rmq_command_get(command, "b", &topic))
        rmq_command_get(command, "topic", &topic);
    return topic;
}

/* Effects that come instead of handling the request. */
static bool broken_before(rmq_dev_request *request)
{
    rmq_dev_session *session = request->reply.session;
    rmq_dev_effect *effect = &request->reply.effect;
    switch (effect->action) {
    case RMQ_FAULT_IGNORE:
        return true;
    case RMQ_FAULT_CLOSE:
        rmq_dev_session_close(session, "by a fault rule");
        return true;
    case RMQ_FAULT_STALL:
        session->stalled = true;
        rmq_dev_session_stop_reading(session);
        return true;
    case RMQ_FAULT_RESTART:
        rmq_dev_restart_later(request->broker, effect->delay_ms);
        return true;
    case RMQ_FAULT_CODE:
        effect->action = 0;
        rmq_dev_answer(&request->reply, effect->response_code, "answered by a fault rule");
        return true;
    default:
        return false;
    }
}

static void handle(rmq_dev_session *session, const rmq_frame *frame, const rmq_command *command)
{
    rmq_devbroker *broker = session->broker;
    rmq_dev_request request = {
        .broker = broker,
        .command = command,
        .reply = {.session = session,
                  .opaque = command->opaque,
                  .serialization = frame->serialization,
                  .oneway = rmq_command_is_oneway(command)},
    };
    rmq_dev_request_counts_add(&broker->request_counts, command->code);
    request.reply.effect = rmq_dev_faults_match(&broker->faults, command->code, topic_of(command));
    if (broken_before(&request))
        return;
    const handler_entry *entry = find_handler(session, command->code);
    if (entry != NULL)
        entry->handle(&request);
    else if (session->port == RMQ_DEV_PORT_NAMESRV && !rmq_dev_settings_is_v5(&broker->settings))
        return; /* a 4.9 name server says nothing to a code it doesn't know */
    else
        rmq_dev_answer_format(&request.reply, RMQ_RESPONSE_REQUEST_CODE_NOT_SUPPORTED,
                              " request type %d not supported", command->code);
}

void rmq_dev_dispatch(rmq_dev_session *session, const rmq_frame *frame)
{
    rmq_command command;
    rmq_error err;
    if (rmq_command_decode(frame, &command, &err) != RMQ_OK) {
        rmq_dev_session_close(session, err.text);
        return;
    }
    if (!rmq_command_is_response(&command))
        handle(session, frame, &command);
    rmq_command_deinit(&command);
}
