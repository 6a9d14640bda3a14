/* Producer groups, announced by heartbeats: brokers ask a registered producer about undecided
 * transactions, and list it. A registration belongs to the connection it came on (protocol facts
 * 2), so it is repeated at once on every new connection to a master, before the calls that waited
 * for it, and then every heartbeat_ms (brokers forget a member after 120 s). That also keeps the
 * connection from being closed as idle.
 *
 * Without a group nothing is sent: a client that only reads ranges is no member of anything.
 *
 * An unanswered heartbeat is no error here: the link layer notices a silent peer, and the next
 * connection announces the groups again. */
#include "registration.h"

#include "../proto/codes.h"
#include "../proto/heartbeat.h"
#include "client_state.h"

#include <assert.h>
#include <string.h>

static void on_heartbeat_answer(void *ctx, const rmq_call_outcome *outcome)
{
    rmq_client *client = ctx;
    rmq_error error;
    if (outcome->status != RMQ_OK)
        return; /* the link layer tells of it */
    bool refused = rmq_answer_error(outcome->answer, "HEART_BEAT", "a broker", &error) != RMQ_OK;
    if (refused && !client->registration.refused)
        rmq_client_log(client, RMQ_LOG_WARN, "heartbeat", "%s", error.text);
    client->registration.refused = refused;
}

static rmq_status encode_groups(const rmq_registration *registration, rmq_buf *out, rmq_error *err)
{
    size_t count = 0;
    for (rmq_producer_group *group = registration->groups; group != NULL; group = group->next)
        count++;
    char **names = rmq_calloc(count, sizeof(*names));
    if (names == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a heartbeat");
    size_t i = 0;
    for (rmq_producer_group *group = registration->groups; group != NULL; group = group->next)
        names[i++] = group->name;
    const rmq_heartbeat heartbeat = {.client_id = registration->client->client_id,
                                     .producer_groups = names,
                                     .n_producer_groups = count};
    rmq_status status = rmq_heartbeat_encode(&heartbeat, out, err);
    rmq_free(names);
    return status;
}

static void send_heartbeat(rmq_registration *registration, const char *address)
{
    rmq_client *client = registration->client;
    rmq_command request;
    rmq_buf body;
    rmq_error error;
    rmq_command_init(&request, RMQ_REQUEST_HEART_BEAT);
    rmq_buf_init(&body, client->settings.config.max_write_bytes);
    if (encode_groups(registration, &body, &error) == RMQ_OK) {
        request.body = (rmq_slice){(const char *)body.data, body.len};
        rmq_call_start(client, address, &request, client->settings.config.request_timeout_ms,
                       on_heartbeat_answer, client);
    } else {
        rmq_client_log(client, RMQ_LOG_WARN, "heartbeat", "%s", error.text);
    }
    rmq_buf_deinit(&body);
    rmq_command_deinit(&request);
}

/* A master without a connection gets one, and the groups are announced when it is up. */
static void visit_master(void *ctx, const char *address)
{
    rmq_registration *registration = ctx;
    rmq_peer *peer = NULL;
    rmq_error error;
    if (rmq_brokers_get(&registration->client->brokers, address, &peer, &error) != RMQ_OK) {
        rmq_client_log(registration->client, RMQ_LOG_WARN, "heartbeat", "%s", error.text);
        return;
    }
    if (peer->up)
        send_heartbeat(registration, address);
    else
        rmq_peer_connect(peer);
}

static void beat(rmq_registration *registration)
{
    if (registration->groups == NULL || registration->client->closing)
        return;
    rmq_route_cache_each_master(&registration->client->routes, visit_master, registration);
    rmq_timer_set(&registration->timer, registration->client->settings.config.heartbeat_ms);
}

static void on_timer(rmq_timer *timer)
{
    beat((rmq_registration *)((char *)timer - offsetof(rmq_registration, timer)));
}

rmq_status rmq_registration_init(rmq_registration *registration, rmq_client *client, rmq_error *err)
{
    registration->client = client;
    registration->groups = NULL;
    registration->refused = false;
    return rmq_timer_init(&registration->timer, client->loop, on_timer, err);
}

void rmq_registration_stop(rmq_registration *registration)
{
    rmq_timer_deinit(&registration->timer);
}

void rmq_registration_deinit(rmq_registration *registration)
{
    while (registration->groups != NULL) {
        rmq_producer_group *group = registration->groups;
        registration->groups = group->next;
        rmq_free(group);
    }
}

void rmq_registration_connected(rmq_registration *registration, struct rmq_peer *peer)
{
    if (rmq_registration_wants(registration, peer))
        send_heartbeat(registration, peer->text);
}

bool rmq_registration_wants(rmq_registration *registration, const struct rmq_peer *peer)
{
    return registration->groups != NULL && !registration->client->closing &&
           !rmq_client_is_cancelled(registration->client) &&
           rmq_route_cache_is_master(&registration->client->routes, peer->text);
}

static rmq_producer_group **find_group(rmq_registration *registration, const char *name)
{
    rmq_producer_group **at = &registration->groups;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

rmq_status rmq_client_add_producer_group(rmq_client *client, const char *group, rmq_error *err)
{
    rmq_loop_assert(client->loop);
    rmq_producer_group **at = find_group(&client->registration, group);
    if (*at != NULL) {
        (*at)->n_refs++;
        return RMQ_OK;
    }
    size_t len = strlen(group);
    rmq_producer_group *added = rmq_malloc(sizeof(*added) + len + 1);
    if (added == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for producer group \"%s\"", group);
    memcpy(added->name, group, len + 1);
    added->n_refs = 1;
    added->next = NULL;
    *at = added;
    beat(&client->registration);
    return RMQ_OK;
}

static void unregister(rmq_peer *peer, void *ctx)
{
    const char *group = ctx;
    rmq_command request;
    if (!peer->up || !rmq_route_cache_is_master(&peer->client->routes, peer->text))
        return;
    rmq_command_init(&request, RMQ_REQUEST_UNREGISTER_CLIENT);
    rmq_command_set(&request, "clientID", peer->client->client_id);
    rmq_command_set(&request, "producerGroup", group);
    rmq_call_oneway(peer->client, peer->text, &request);
    rmq_command_deinit(&request);
}

void rmq_client_remove_producer_group(rmq_client *client, const char *group)
{
    rmq_loop_assert(client->loop);
    rmq_producer_group **at = find_group(&client->registration, group);
    if (*at == NULL || --(*at)->n_refs > 0)
        return;
    rmq_producer_group *removed = *at;
    *at = removed->next;
    rmq_brokers_each(&client->brokers, unregister, removed->name);
    rmq_free(removed);
}
