/* Groups, announced by heartbeats: brokers ask a registered producer about undecided transactions,
 * and count the client among the members of its consumer groups. A registration belongs to the
 * connection it came on (protocol facts 2), so it is repeated at once on every new connection to a
 * master, before the calls that waited for it, and then every heartbeat_ms (brokers forget a member
 * after 120 s). That also keeps the connection from being closed as idle.
 *
 * Without a group nothing is sent: a client that only reads ranges is no member of anything.
 *
 * An unanswered heartbeat is no error here: the link layer notices a silent peer, and the next
 * connection announces the groups again. One that could not be sent for want of memory is tried
 * again soon.
 *
 * A group that is left is unregistered on the connection that is up, or not at all: brokers forget
 * the members on a connection that is gone, and on the next one the group may have been joined
 * again before. */
#include "registration.h"

#include "../proto/codes.h"
#include "../proto/heartbeat.h"
#include "client_state.h"

#include <assert.h>
#include <string.h>

#define SOON_MS 1000

static void beat_soon(rmq_registration *registration)
{
    if (registration->client->closing)
        return;
    registration->soon = true;
    rmq_timer_set(&registration->timer, SOON_MS);
}

static void on_heartbeat_answer(void *ctx, const rmq_call_outcome *outcome)
{
    rmq_client *client = ctx;
    rmq_error error;
    if (outcome->status == RMQ_NOMEM)
        beat_soon(&client->registration);
    if (outcome->status != RMQ_OK)
        return; /* the link layer tells of it */
    rmq_status status = rmq_answer_error(outcome->answer, "HEART_BEAT", "a broker", &error);
    bool refused = status != RMQ_OK;
    if (refused && !client->registration.refused)
        rmq_client_log(client, RMQ_LOG_WARN, "heartbeat", "%s", error.text);
    client->registration.refused = refused;
    if (status != RMQ_AUTH)
        return;
    for (rmq_consumer_group *at = client->registration.consumers; at != NULL; at = at->next)
        at->refused(at, &error);
}

static rmq_status encode_groups(const rmq_registration *registration, rmq_buf *out, rmq_error *err)
{
    rmq_heartbeat heartbeat = {.client_id = registration->client->client_id};
    for (rmq_producer_group *group = registration->groups; group != NULL; group = group->next)
        heartbeat.n_producer_groups++;
    for (rmq_consumer_group *group = registration->consumers; group != NULL; group = group->next)
        heartbeat.n_consumers++;
    heartbeat.producer_groups =
        rmq_calloc(heartbeat.n_producer_groups + 1, sizeof(*heartbeat.producer_groups));
    heartbeat.consumers = rmq_calloc(heartbeat.n_consumers + 1, sizeof(*heartbeat.consumers));
    rmq_status status = RMQ_NOMEM;
    if (heartbeat.producer_groups != NULL && heartbeat.consumers != NULL) {
        size_t i = 0;
        for (rmq_producer_group *group = registration->groups; group != NULL; group = group->next)
            heartbeat.producer_groups[i++] = group->name;
        i = 0;
        for (const rmq_consumer_group *group = registration->consumers; group != NULL;
             group = group->next)
            heartbeat.consumers[i++] = group->data;
        status = rmq_heartbeat_encode(&heartbeat, out, err);
    } else {
        rmq_error_set(err, RMQ_NOMEM, "no memory for a heartbeat");
    }
    rmq_free(heartbeat.producer_groups);
    rmq_free(heartbeat.consumers);
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
        beat_soon(registration);
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
        beat_soon(registration);
        return;
    }
    if (peer->up)
        send_heartbeat(registration, address);
    else
        rmq_peer_connect(peer);
}

static bool is_empty(const rmq_registration *registration)
{
    return registration->groups == NULL && registration->consumers == NULL;
}

void rmq_registration_beat(rmq_registration *registration)
{
    if (is_empty(registration) || registration->client->closing)
        return;
    registration->soon = false;
    rmq_route_cache_each_master(&registration->client->routes, visit_master, registration);
    if (!registration->soon)
        rmq_timer_set(&registration->timer, registration->client->settings.config.heartbeat_ms);
}

static void on_timer(rmq_timer *timer)
{
    rmq_registration_beat((rmq_registration *)((char *)timer - offsetof(rmq_registration, timer)));
}

rmq_status rmq_registration_init(rmq_registration *registration, rmq_client *client, rmq_error *err)
{
    registration->client = client;
    registration->groups = NULL;
    registration->consumers = NULL;
    registration->refused = false;
    registration->soon = false;
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
    if (!rmq_registration_wants(registration, peer))
        return;
    send_heartbeat(registration, peer->text);
    for (rmq_consumer_group *at = registration->consumers; at != NULL; at = at->next)
        at->changed(at);
}

bool rmq_registration_wants(rmq_registration *registration, const struct rmq_peer *peer)
{
    return !is_empty(registration) && !registration->client->closing &&
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
    rmq_registration_beat(&client->registration);
    return RMQ_OK;
}

/* A group that is left, and what the brokers call it there. */
typedef struct departure {
    const char *field;
    const char *group;
} departure;

static void unregister(rmq_peer *peer, void *ctx)
{
    const departure *left = ctx;
    rmq_command request;
    if (!peer->up || !rmq_conn_is_up(peer->conn) ||
        !rmq_route_cache_is_master(&peer->client->routes, peer->text))
        return;
    rmq_command_init(&request, RMQ_REQUEST_UNREGISTER_CLIENT);
    rmq_command_set(&request, "clientID", peer->client->client_id);
    rmq_command_set(&request, left->field, left->group);
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
    departure left = {"producerGroup", removed->name};
    rmq_brokers_each(&client->brokers, unregister, &left);
    rmq_free(removed);
}

rmq_status rmq_registration_add_consumer(rmq_registration *registration, rmq_consumer_group *group,
                                         rmq_error *err)
{
    for (const rmq_consumer_group *at = registration->consumers; at != NULL; at = at->next)
        if (strcmp(at->data.group, group->data.group) == 0)
            return rmq_error_set(err, RMQ_INVAL,
                                 "this client is a member of group \"%s\" already; a second "
                                 "member needs a client of its own",
                                 group->data.group);
    group->next = registration->consumers;
    registration->consumers = group;
    rmq_registration_beat(registration);
    return RMQ_OK;
}

void rmq_registration_remove_consumer(rmq_registration *registration, rmq_consumer_group *group)
{
    rmq_consumer_group **at = &registration->consumers;
    while (*at != NULL && *at != group)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    *at = group->next;
    departure left = {"consumerGroup", group->data.group};
    rmq_brokers_each(&registration->client->brokers, unregister, &left);
}

void rmq_registration_notify(rmq_registration *registration, rmq_slice group)
{
    for (rmq_consumer_group *at = registration->consumers; at != NULL; at = at->next)
        if (rmq_slice_equals(group, at->data.group))
            at->changed(at);
}
