/* The name server: which topic has how many queues on the (only) broker.
 *
 * It has a table of its own, fed by the broker as in a real cluster: a topic deleted at the broker
 * (215) keeps its route until it is deleted here (216), and one deleted only here comes back with
 * the broker's next registration. Source: RouteInfoManager, DefaultRequestProcessor 5.4.0; protocol
 * facts 4. */
#include "name_server.h"

#include <stdio.h>

#include <rmq/json.h>

#include "answer.h"
#include "broker_state.h"
#include "codes.h"
#include "old_answers.h"
#include "route.h"

#define STANDARD_JSON_VERSION 401 /* 4.9.4; facts 1.5 */
#define BODY_MAX_BYTES (16u * 1024 * 1024)

typedef struct route_entry {
    int32_t read_queues;
    int32_t write_queues;
    int32_t perm;
    int32_t sys_flag;
} route_entry;

void rmq_dev_name_server_init(rmq_dev_name_server *name_server, uint32_t seed)
{
    rmq_dev_map_init(&name_server->routes, seed);
    rmq_dev_map_init(&name_server->settings, seed);
}

void rmq_dev_name_server_deinit(rmq_dev_name_server *name_server)
{
    for (rmq_dev_map_entry *entry = name_server->routes.first; entry != NULL; entry = entry->next)
        rmq_free(entry->value);
    for (rmq_dev_map_entry *entry = name_server->settings.first; entry != NULL; entry = entry->next)
        rmq_free(entry->value);
    rmq_dev_map_deinit(&name_server->routes);
    rmq_dev_map_deinit(&name_server->settings);
}

rmq_status rmq_dev_register_topic(rmq_devbroker *broker, const rmq_dev_topic *topic, rmq_error *err)
{
    rmq_dev_map *routes = &broker->name_server.routes;
    rmq_slice name = rmq_slice_of(topic->name);
    route_entry *entry = rmq_dev_map_get(routes, name);
    if (entry == NULL) {
        entry = rmq_calloc(1, sizeof(*entry));
        if (entry == NULL || rmq_dev_map_add(routes, name, entry) != RMQ_OK) {
            rmq_free(entry);
            return rmq_error_set(err, RMQ_NOMEM, "no memory for a route");
        }
    }
    entry->read_queues = topic->read_queues;
    entry->write_queues = topic->write_queues;
    entry->perm = topic->perm;
    entry->sys_flag = topic->sys_flag;
    return RMQ_OK;
}

rmq_status rmq_dev_register_all(rmq_devbroker *broker, rmq_error *err)
{
    rmq_status status = RMQ_OK;
    const rmq_dev_map_entry *entry = broker->store.topics.first;
    for (; entry != NULL && status == RMQ_OK; entry = entry->next)
        status = rmq_dev_register_topic(broker, entry->value, err);
    return status;
}

/* ---- 105 ---- */

static void answer_route(rmq_dev_request *request, const route_entry *entry, bool standard_json)
{
    rmq_devbroker *broker = request->broker;
    rmq_route_address address = {.broker_id = 0,
                                 .address = broker->listeners[RMQ_DEV_PORT_BROKER].text};
    rmq_route_broker broker_data = {.broker_name = broker->settings.broker_name,
                                    .cluster = broker->settings.cluster,
                                    .addresses = &address,
                                    .n_addresses = 1};
    rmq_route_queues queues = {.broker_name = broker->settings.broker_name,
                               .read_queues = entry->read_queues,
                               .write_queues = entry->write_queues,
                               .perm = entry->perm,
                               .topic_sys_flag = entry->sys_flag};
    rmq_route route = {.brokers = &broker_data, .n_brokers = 1, .queues = &queues, .n_queues = 1};
    rmq_buf body;
    rmq_buf_init(&body, BODY_MAX_BYTES);
    rmq_error err;
    rmq_status status = rmq_route_encode(&route, standard_json, &body, &err);
    if (status == RMQ_OK && !rmq_dev_settings_is_v5(&broker->settings))
        rmq_dev_route_make_old(&body);
    if (status == RMQ_OK)
        rmq_dev_answer_body(&request->reply, (rmq_slice){(const char *)body.data, body.len});
    else
        rmq_dev_answer_failure(&request->reply, &err);
    rmq_buf_deinit(&body);
}

void rmq_dev_handle_route(rmq_dev_request *request)
{
    rmq_slice topic = RMQ_SLICE_LITERAL("null");
    bool standard_json = false;
    rmq_command_get(request->command, "topic", &topic);
    rmq_command_get_bool(request->command, "acceptStandardJsonOnly", &standard_json);
    standard_json = standard_json || request->command->version >= STANDARD_JSON_VERSION;
    const route_entry *entry = rmq_dev_map_get(&request->broker->name_server.routes, topic);
    if (entry == NULL)
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_TOPIC_NOT_EXIST,
                              "No topic route info in name server for the topic: %.*s" RMQ_DEV_FAQ,
                              (int)(topic.len < 256 ? topic.len : 256), topic.data);
    else
        answer_route(request, entry, standard_json);
}

/* ---- bodies by the JSON writer ---- */

void rmq_dev_handle_cluster_info(rmq_dev_request *request)
{
    const rmq_dev_settings *settings = &request->broker->settings;
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "brokerAddrTable");
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, settings->broker_name);
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "brokerAddrs");
    /* The broker id is a bare number here whatever the client is (facts 4.2). */
    char addresses[128];
    snprintf(addresses, sizeof(addresses), "{0:\"%s\"}",
             request->broker->listeners[RMQ_DEV_PORT_BROKER].text);
    rmq_json_raw(&writer, rmq_slice_of(addresses));
    rmq_json_key(&writer, "brokerName");
    rmq_json_string(&writer, settings->broker_name);
    rmq_json_key(&writer, "cluster");
    rmq_json_string(&writer, settings->cluster);
    if (rmq_dev_settings_is_v5(settings)) {
        rmq_json_key(&writer, "enableActingMaster");
        rmq_json_bool(&writer, false);
    }
    rmq_json_end_object(&writer);
    rmq_json_end_object(&writer);
    rmq_json_key(&writer, "clusterAddrTable");
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, settings->cluster);
    rmq_json_begin_array(&writer);
    rmq_json_string(&writer, settings->broker_name);
    rmq_json_end_array(&writer);
    rmq_json_end_object(&writer);
    rmq_json_end_object(&writer);
    rmq_dev_answer_json(&request->reply, &writer);
}

static void answer_topics(rmq_dev_request *request, bool none)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "topicList");
    rmq_json_begin_array(&writer);
    const rmq_dev_map_entry *entry = none ? NULL : request->broker->name_server.routes.first;
    for (; entry != NULL; entry = entry->next)
        rmq_json_string(&writer, entry->key);
    rmq_json_end_array(&writer);
    rmq_json_end_object(&writer);
    rmq_dev_answer_json(&request->reply, &writer);
}

void rmq_dev_handle_topic_list(rmq_dev_request *request)
{
    answer_topics(request, false);
}

void rmq_dev_handle_topics_by_cluster(rmq_dev_request *request)
{
    rmq_slice cluster = {NULL, 0};
    rmq_command_get(request->command, "cluster", &cluster);
    answer_topics(request, !rmq_slice_equals(cluster, request->broker->settings.cluster));
}

void rmq_dev_handle_route_delete(rmq_dev_request *request)
{
    rmq_slice topic = {NULL, 0};
    if (rmq_command_get(request->command, "topic", &topic))
        rmq_free(rmq_dev_map_remove(&request->broker->name_server.routes, topic));
    rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
}
