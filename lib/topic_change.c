/* Creating and deleting topics. Brokers keep topics, name servers only learn of them: a topic is
 * made at each master, and there once every name server's route shows it; it is deleted at each
 * broker, and gone when each name server was told so.
 * Source: AdminBrokerProcessor, DefaultMQAdminExtImpl 5.4.0; protocol facts 14. */
#include <rmq/admin.h>

#include "../proto/codes.h"
#include "../proto/sized_struct.h"
#include "client_state.h"
#include "lookup.h"
#include "namesrv.h"
#include "outgoing.h"

#include <string.h>

#define DEFAULT_QUEUES 4
#define MAX_QUEUES 65535
#define VISIBLE_PAUSE_MS 20

static rmq_status take_config(const rmq_topic_config *given, rmq_topic_config *out_config,
                              rmq_error *err)
{
    rmq_status status =
        rmq_sized_struct_copy("topic config", given, out_config, sizeof(*out_config), err);
    if (status == RMQ_OK)
        status = rmq_topic_check(out_config->topic, err);
    if (status != RMQ_OK)
        return status;
    if (out_config->read_queues == 0)
        out_config->read_queues = DEFAULT_QUEUES;
    if (out_config->write_queues == 0)
        out_config->write_queues = DEFAULT_QUEUES;
    if (out_config->perm == 0)
        out_config->perm = RMQ_PERM_READ | RMQ_PERM_WRITE;
    if (out_config->read_queues < 0 || out_config->read_queues > MAX_QUEUES ||
        out_config->write_queues < 0 || out_config->write_queues > MAX_QUEUES)
        return rmq_error_set(err, RMQ_INVAL, "a topic has from 1 to %d queues", MAX_QUEUES);
    if ((out_config->perm & ~(RMQ_PERM_READ | RMQ_PERM_WRITE)) != 0)
        return rmq_error_set(err, RMQ_INVAL, "perm is %d: 4 is read, 2 is write, 6 is both",
                             out_config->perm);
    return RMQ_OK;
}

static rmq_status create_at(rmq_client *client, const char *address, const rmq_topic_config *config,
                            int64_t deadline_ns, rmq_error *err)
{
    rmq_answer *answer = NULL;
    rmq_command request;
    rmq_command_init(&request, RMQ_REQUEST_UPDATE_AND_CREATE_TOPIC);
    rmq_command_set(&request, "topic", config->topic);
    rmq_command_set(&request, "defaultTopic", "TBW102");
    rmq_command_set_int(&request, "readQueueNums", config->read_queues);
    rmq_command_set_int(&request, "writeQueueNums", config->write_queues);
    rmq_command_set_int(&request, "perm", config->perm);
    rmq_command_set(&request, "topicFilterType", "SINGLE_TAG");
    rmq_command_set_int(&request, "topicSysFlag", 0);
    rmq_command_set_bool(&request, "order", false);
    if (config->attributes != NULL && config->attributes[0] != '\0')
        rmq_command_set(&request, "attributes", config->attributes);
    rmq_status status = rmq_ask_address(client, address, &request, deadline_ns, &answer, err);
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    return status;
}

/* Does the topic's route show the broker with so many queues? */
static bool route_shows(const rmq_route *route, const char *broker_name,
                        const rmq_topic_config *config)
{
    for (size_t i = 0; i < route->n_queues; i++) {
        const rmq_route_queues *queues = &route->queues[i];
        if (strcmp(queues->broker_name, broker_name) == 0)
            return queues->read_queues == config->read_queues &&
                   queues->write_queues == config->write_queues && queues->perm == config->perm;
    }
    return false;
}

static bool is_wanted(const rmq_topic_config *config, const rmq_route_broker *broker)
{
    return rmq_route_broker_address(broker, 0) != NULL &&
           (config->broker_name == NULL || strcmp(config->broker_name, broker->broker_name) == 0);
}

static rmq_status check_shown(const rmq_route *route, const rmq_topic_config *config,
                              const rmq_route *cluster, const char *namesrv, rmq_error *err)
{
    for (size_t i = 0; i < cluster->n_brokers; i++) {
        const rmq_route_broker *broker = &cluster->brokers[i];
        if (is_wanted(config, broker) && !route_shows(route, broker->broker_name, config))
            return rmq_error_set(err, RMQ_TIMEOUT,
                                 "topic \"%s\" is created, but name server %s does not show it on "
                                 "%s yet",
                                 config->topic, namesrv, broker->broker_name);
    }
    return RMQ_OK;
}

/* RMQ_OK, TIMEOUT (not yet), or what kept us from knowing. */
static rmq_status shown_by(rmq_client *client, const char *namesrv, const rmq_topic_config *config,
                           const rmq_route *cluster, int64_t deadline_ns, rmq_error *err)
{
    int64_t left_ms = rmq_lookup_left_ms(deadline_ns);
    rmq_answer *answer = NULL;
    rmq_route route;
    rmq_command request;
    rmq_command_init(&request, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC);
    rmq_command_set(&request, "topic", config->topic);
    rmq_command_set_bool(&request, "acceptStandardJsonOnly", true);
    rmq_status status =
        rmq_call_sync(client, namesrv, &request, left_ms > 0 ? left_ms : 1, &answer, err);
    rmq_command_deinit(&request);
    if (status != RMQ_OK)
        return status == RMQ_TIMEOUT ? RMQ_IO : status;
    memset(&route, 0, sizeof(route));
    if (answer->command.code == RMQ_RESPONSE_SUCCESS)
        status = rmq_route_decode(answer->command.body, &route, err);
    rmq_answer_free(answer);
    if (status != RMQ_OK)
        return status;
    status = check_shown(&route, config, cluster, namesrv, err);
    rmq_route_deinit(&route);
    return status;
}

/* A name server that is down can't be asked, and doesn't hold up the rest; one must show it. */
static rmq_status wait_until_shown(rmq_client *client, const rmq_topic_config *config,
                                   const rmq_route *cluster, int64_t deadline_ns, rmq_error *err)
{
    size_t n_shown = 0;
    rmq_status last = RMQ_OK;
    for (size_t i = 0; i < client->settings.n_namesrvs; i++) {
        rmq_status status;
        for (;;) {
            status =
                shown_by(client, client->settings.namesrvs[i], config, cluster, deadline_ns, err);
            if (status != RMQ_TIMEOUT || rmq_lookup_left_ms(deadline_ns) <= VISIBLE_PAUSE_MS)
                break;
            status = rmq_client_pause(client, VISIBLE_PAUSE_MS, err);
            if (status != RMQ_OK)
                break;
        }
        if (status == RMQ_TIMEOUT || status == RMQ_CANCELLED || status == RMQ_NOMEM)
            return status;
        if (status == RMQ_OK)
            n_shown++;
        else
            last = status;
    }
    return n_shown > 0 ? RMQ_OK : last;
}

static rmq_status create_everywhere(rmq_client *client, const rmq_topic_config *config,
                                    rmq_error *err)
{
    int64_t deadline_ns = rmq_lookup_deadline(client);
    rmq_route cluster;
    rmq_status status = rmq_ask_cluster(client, deadline_ns, &cluster, err);
    if (status != RMQ_OK)
        return status;
    size_t n_created = 0;
    for (size_t i = 0; i < cluster.n_brokers && status == RMQ_OK; i++) {
        if (!is_wanted(config, &cluster.brokers[i]))
            continue;
        n_created++;
        status = create_at(client, rmq_route_broker_address(&cluster.brokers[i], 0), config,
                           deadline_ns, err);
    }
    if (status == RMQ_OK && n_created == 0)
        status = rmq_error_set(err, RMQ_NOT_FOUND, "no master broker%s%s is registered",
                               config->broker_name != NULL ? " " : "",
                               config->broker_name != NULL ? config->broker_name : "");
    if (status == RMQ_OK)
        status = wait_until_shown(client, config, &cluster, deadline_ns, err);
    rmq_route_deinit(&cluster);
    return status;
}

rmq_status rmq_topic_create(rmq_client *client, const rmq_topic_config *config, rmq_error *err)
{
    rmq_topic_config taken;
    rmq_status status = take_config(config, &taken, err);
    if (status != RMQ_OK)
        return status;
    rmq_client_enter(client);
    status = create_everywhere(client, &taken, err);
    rmq_client_leave(client);
    return status;
}

/* ---- deleting ---- */

static rmq_status delete_at(rmq_client *client, const char *address, int32_t code,
                            const char *topic, int64_t deadline_ns, rmq_error *err)
{
    rmq_answer *answer = NULL;
    rmq_command request;
    rmq_command_init(&request, code);
    rmq_command_set(&request, "topic", topic);
    rmq_status status = rmq_ask_address(client, address, &request, deadline_ns, &answer, err);
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    return status;
}

typedef struct masters_question {
    char (*addresses)[RMQ_ADDRESS_MAX_BYTES];
    size_t count;
} masters_question;

static rmq_status use_masters(void *ctx, const rmq_route *route, rmq_error *err)
{
    masters_question *question = ctx;
    question->addresses = rmq_calloc(route->n_brokers + 1, sizeof(*question->addresses));
    if (question->addresses == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu brokers", route->n_brokers);
    for (size_t i = 0; i < route->n_brokers; i++) {
        const char *address = rmq_route_broker_address(&route->brokers[i], 0);
        if (address == NULL)
            continue;
        strncpy(question->addresses[question->count++], address, RMQ_ADDRESS_MAX_BYTES - 1);
    }
    return RMQ_OK;
}

typedef struct forget_task {
    rmq_task task;
    rmq_client *client;
    const char *topic;
} forget_task;

static void run_forget(rmq_task *task)
{
    forget_task *forget = (forget_task *)task;
    rmq_route_cache_forget(&forget->client->routes, forget->topic);
}

static rmq_status delete_everywhere(rmq_client *client, const char *topic, rmq_error *err)
{
    int64_t deadline_ns = rmq_lookup_deadline(client);
    const rmq_lookup lookup = {.topic = topic, .deadline_ns = deadline_ns};
    forget_task forget = {.task = {.run = run_forget}, .client = client, .topic = topic};
    masters_question masters = {.addresses = NULL};
    rmq_status status = rmq_lookup_route(client, &lookup, use_masters, &masters, err);
    for (size_t i = 0; i < masters.count && status == RMQ_OK; i++)
        status = delete_at(client, masters.addresses[i], RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, topic,
                           deadline_ns, err);
    for (size_t i = 0; i < client->settings.n_namesrvs && status == RMQ_OK; i++)
        status = delete_at(client, client->settings.namesrvs[i],
                           RMQ_REQUEST_DELETE_TOPIC_IN_NAMESRV, topic, deadline_ns, err);
    if (status == RMQ_OK)
        rmq_loop_run_sync(client->loop, &forget.task);
    rmq_free(masters.addresses);
    return status;
}

rmq_status rmq_topic_delete(rmq_client *client, const char *topic, rmq_error *err)
{
    rmq_status status = rmq_topic_check(topic, err);
    if (status != RMQ_OK)
        return status;
    rmq_client_enter(client);
    status = delete_everywhere(client, topic, err);
    rmq_client_leave(client);
    return status;
}
