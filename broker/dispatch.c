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
    void (*handle)(rmq_dev_request *request);
    int32_t code;
    bool v5_only;
} handler_entry;

static const handler_entry namesrv_handlers[] = {
    {rmq_dev_handle_route, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, false},
    {rmq_dev_handle_cluster_info, RMQ_REQUEST_GET_BROKER_CLUSTER_INFO, false},
    {rmq_dev_handle_topic_list, RMQ_REQUEST_GET_ALL_TOPIC_LIST_FROM_NAMESERVER, false},
    {rmq_dev_handle_topics_by_cluster, RMQ_REQUEST_GET_TOPICS_BY_CLUSTER, false},
    {rmq_dev_handle_route_delete, RMQ_REQUEST_DELETE_TOPIC_IN_NAMESRV, false},
    {rmq_dev_handle_kv_put, RMQ_REQUEST_PUT_KV_CONFIG, false},
    {rmq_dev_handle_kv_get, RMQ_REQUEST_GET_KV_CONFIG, false},
    {rmq_dev_handle_kv_delete, RMQ_REQUEST_DELETE_KV_CONFIG, false},
    {rmq_dev_handle_kv_list, GET_KVLIST_BY_NAMESPACE, false},
};

static const handler_entry broker_handlers[] = {
    {rmq_dev_handle_send, RMQ_REQUEST_SEND_MESSAGE, false},
    {rmq_dev_handle_send, RMQ_REQUEST_SEND_MESSAGE_V2, false},
    {rmq_dev_handle_send, RMQ_REQUEST_SEND_BATCH_MESSAGE, false},
    {rmq_dev_handle_pull, RMQ_REQUEST_PULL_MESSAGE, false},
    {rmq_dev_handle_pull, RMQ_REQUEST_LITE_PULL_MESSAGE, true},
    {rmq_dev_handle_max_offset, RMQ_REQUEST_GET_MAX_OFFSET, false},
    {rmq_dev_handle_min_offset, RMQ_REQUEST_GET_MIN_OFFSET, false},
    {rmq_dev_handle_search_offset, RMQ_REQUEST_SEARCH_OFFSET_BY_TIMESTAMP, false},
    {rmq_dev_handle_earliest_time, RMQ_REQUEST_GET_EARLIEST_MSG_STORETIME, false},
    {rmq_dev_handle_view_message, RMQ_REQUEST_VIEW_MESSAGE_BY_ID, false},
    {rmq_dev_handle_query_consumer_offset, RMQ_REQUEST_QUERY_CONSUMER_OFFSET, false},
    {rmq_dev_handle_update_consumer_offset, RMQ_REQUEST_UPDATE_CONSUMER_OFFSET, false},
    {rmq_dev_handle_topic_create, RMQ_REQUEST_UPDATE_AND_CREATE_TOPIC, false},
    {rmq_dev_handle_topic_delete, RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, false},
    {rmq_dev_handle_topic_config, RMQ_REQUEST_GET_TOPIC_CONFIG, true},
    {rmq_dev_handle_topic_stats, RMQ_REQUEST_GET_TOPIC_STATS_INFO, false},
    {rmq_dev_handle_heartbeat, RMQ_REQUEST_HEART_BEAT, false},
    {rmq_dev_handle_unregister, RMQ_REQUEST_UNREGISTER_CLIENT, false},
    {rmq_dev_handle_check_client, RMQ_REQUEST_CHECK_CLIENT_CONFIG, false},
    {rmq_dev_handle_consumer_list, RMQ_REQUEST_GET_CONSUMER_LIST_BY_GROUP, false},
    {rmq_dev_handle_consumer_connections, RMQ_REQUEST_GET_CONSUMER_CONNECTION_LIST, false},
    {rmq_dev_handle_producer_connections, RMQ_REQUEST_GET_PRODUCER_CONNECTION_LIST, false},
    {rmq_dev_handle_group_create, RMQ_REQUEST_UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, false},
    {rmq_dev_handle_group_delete, RMQ_REQUEST_DELETE_SUBSCRIPTIONGROUP, false},
    {rmq_dev_handle_group_config, RMQ_REQUEST_GET_SUBSCRIPTIONGROUP_CONFIG, true},
    {rmq_dev_handle_consume_stats, RMQ_REQUEST_GET_CONSUME_STATS, false},
    {rmq_dev_handle_send_back, RMQ_REQUEST_CONSUMER_SEND_MSG_BACK, false},
    {rmq_dev_handle_end_transaction, RMQ_REQUEST_END_TRANSACTION, false},
    {rmq_dev_handle_lock, RMQ_REQUEST_LOCK_BATCH_MQ, false},
    {rmq_dev_handle_unlock, RMQ_REQUEST_UNLOCK_BATCH_MQ, false},
    {rmq_dev_handle_runtime_info, RMQ_REQUEST_GET_BROKER_RUNTIME_INFO, false},
    {rmq_dev_handle_broker_config, RMQ_REQUEST_GET_BROKER_CONFIG, false},
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
