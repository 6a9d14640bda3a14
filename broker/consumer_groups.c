/* Group membership as a real broker sees it.
 *
 * A member is a connection: the same client id on two connections is two members, and a second id
 * on one connection replaces the first. The subscriptions belong to the group, and the last
 * heartbeat wins. Whenever a member or a subscription comes or goes, every member gets a 40, the
 * newcomer too and before its heartbeat's answer. A group whose last member left has no
 * subscriptions any more, but still exists. Source: ConsumerManager, ConsumerGroupInfo 5.4.0;
 * protocol facts 10. */
#include "consumer_groups.h"

#include <string.h>

#include "answer.h"
#include "broker_state.h"
#include "codes.h"
#include "journal.h"
#include "names.h"

void rmq_dev_groups_init(rmq_dev_groups *groups, uint32_t seed)
{
    memset(groups, 0, sizeof(*groups));
    rmq_dev_map_init(&groups->groups, seed);
    rmq_dev_map_init(&groups->producers, seed);
}

static void data_free(rmq_dev_group *group)
{
    /* A heartbeat of one consumer frees what one consumer holds. */
    rmq_heartbeat holder = {.consumers = group->data, .n_consumers = group->data != NULL ? 1 : 0};
    rmq_heartbeat_deinit(&holder);
    group->data = NULL;
}

static void member_free(rmq_dev_member *member)
{
    rmq_free(member->client_id);
    rmq_free(member);
}

static void members_free(rmq_dev_member *members)
{
    while (members != NULL) {
        rmq_dev_member *next = members->next;
        member_free(members);
        members = next;
    }
}

static void group_free(rmq_dev_group *group)
{
    members_free(group->members);
    data_free(group);
    rmq_free(group->name);
    rmq_free(group);
}

static void producers_free(rmq_dev_producers *producers)
{
    members_free(producers->members);
    rmq_free(producers->name);
    rmq_free(producers);
}

void rmq_dev_groups_deinit(rmq_dev_groups *groups)
{
    for (rmq_dev_map_entry *entry = groups->groups.first; entry != NULL; entry = entry->next)
        group_free(entry->value);
    for (rmq_dev_map_entry *entry = groups->producers.first; entry != NULL; entry = entry->next)
        producers_free(entry->value);
    rmq_dev_map_deinit(&groups->groups);
    rmq_dev_map_deinit(&groups->producers);
}

const rmq_dev_group *rmq_dev_groups_find(const rmq_dev_groups *groups, rmq_slice name)
{
    return rmq_dev_map_get(&groups->groups, name);
}

bool rmq_dev_groups_exists(const rmq_dev_groups *groups, rmq_slice name)
{
    return rmq_dev_groups_find(groups, name) != NULL;
}

rmq_status rmq_dev_groups_make(rmq_devbroker *broker, rmq_slice name,
                               const rmq_dev_group **out_group, rmq_error *err)
{
    rmq_dev_groups *groups = &broker->groups;
    *out_group = rmq_dev_groups_find(groups, name);
    if (*out_group != NULL)
        return RMQ_OK;
    if (!rmq_dev_group_name_legal(name))
        return rmq_error_set(err, RMQ_INVAL, "the group's name is not legal");
    if (groups->groups.count >= RMQ_DEV_MAX_GROUPS)
        return rmq_error_set(err, RMQ_FULL, "%d groups are the most", RMQ_DEV_MAX_GROUPS);
    rmq_dev_group *group = rmq_calloc(1, sizeof(*group));
    if (group == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a group");
    group->name = rmq_slice_dup(name);
    rmq_status status = RMQ_OK;
    if (group->name == NULL)
        status = rmq_error_set(err, RMQ_NOMEM, "no memory for a group");
    if (status == RMQ_OK && groups->journal != NULL)
        status = rmq_dev_journal_group(groups->journal, name, false, err);
    if (status == RMQ_OK && rmq_dev_map_add(&groups->groups, name, group) != RMQ_OK)
        status = rmq_error_set(err, RMQ_NOMEM, "no memory for a group");
    if (status != RMQ_OK)
        group_free(group);
    else
        *out_group = group;
    return status;
}

rmq_status rmq_dev_groups_delete(rmq_devbroker *broker, rmq_slice name, rmq_error *err)
{
    rmq_dev_groups *groups = &broker->groups;
    if (!rmq_dev_groups_exists(groups, name))
        return RMQ_OK;
    if (groups->journal != NULL) {
        rmq_status status = rmq_dev_journal_group(groups->journal, name, true, err);
        if (status != RMQ_OK)
            return status;
    }
    group_free(rmq_dev_map_remove(&groups->groups, name));
    return RMQ_OK;
}

const rmq_subscription *rmq_dev_group_subscription(const rmq_dev_group *group, rmq_slice topic)
{
    for (size_t i = 0; group->data != NULL && i < group->data->n_subscriptions; i++) {
        if (rmq_slice_equals(topic, group->data->subscriptions[i].topic))
            return &group->data->subscriptions[i];
    }
    return NULL;
}

/* ---- joining ---- */

static rmq_dev_member *find_member(rmq_dev_member *members, const rmq_dev_session *session)
{
    while (members != NULL && members->session != session)
        members = members->next;
    return members;
}

/* Adds or renews the client's entry; *out_is_new says which. */
static rmq_status join(rmq_dev_member **members, const rmq_dev_client *client, bool *out_is_new)
{
    rmq_dev_member *member = find_member(*members, client->session);
    *out_is_new = member == NULL;
    char *client_id = NULL;
    if (member == NULL || strcmp(member->client_id, client->client_id) != 0) {
        client_id = rmq_strdup(client->client_id);
        if (client_id == NULL)
            return RMQ_NOMEM;
    }
    if (member == NULL) {
        member = rmq_calloc(1, sizeof(*member));
        if (member == NULL) {
            rmq_free(client_id);
            return RMQ_NOMEM;
        }
        member->session = client->session;
        member->next = *members;
        *members = member;
    }
    if (client_id != NULL) {
        rmq_free(member->client_id);
        member->client_id = client_id;
    }
    member->language = client->language;
    member->version = client->version;
    member->last_heartbeat_ms = rmq_dev_monotonic_ms();
    return RMQ_OK;
}

static void notify(const rmq_dev_group *group)
{
    for (rmq_dev_member *member = group->members; member != NULL; member = member->next) {
        if (member->session->closed)
            continue;
        rmq_command request;
        rmq_command_init(&request, RMQ_REQUEST_NOTIFY_CONSUMER_IDS_CHANGED);
        rmq_command_set(&request, "consumerGroup", group->name);
        rmq_dev_push(member->session, &request);
    }
}

static bool same_subscriptions(const rmq_dev_group *group, const rmq_consumer_data *data)
{
    if (group->data == NULL || group->data->n_subscriptions != data->n_subscriptions)
        return false;
    for (size_t i = 0; i < data->n_subscriptions; i++) {
        const rmq_subscription *now = &data->subscriptions[i];
        const rmq_subscription *before =
            rmq_dev_group_subscription(group, rmq_slice_of(now->topic));
        if (before == NULL || before->version != now->version ||
            strcmp(before->expression, now->expression) != 0)
            return false;
    }
    return true;
}

rmq_status rmq_dev_groups_join(rmq_devbroker *broker, const rmq_dev_client *client,
                               const rmq_dev_group *group, rmq_consumer_data *take_data,
                               rmq_error *err)
{
    rmq_dev_group *found = rmq_dev_map_get(&broker->groups.groups, rmq_slice_of(group->name));
    bool is_new = false;
    rmq_consumer_data *data = rmq_malloc(sizeof(*data));
    if (data == NULL || join(&found->members, client, &is_new) != RMQ_OK) {
        rmq_free(data);
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a member");
    }
    bool changed = is_new || !same_subscriptions(found, take_data);
    data_free(found);
    *data = *take_data;
    found->data = data;
    memset(take_data, 0, sizeof(*take_data));
    if (changed)
        notify(found);
    return RMQ_OK;
}

const rmq_dev_producers *rmq_dev_producers_find(const rmq_dev_groups *groups, rmq_slice name)
{
    return rmq_dev_map_get(&groups->producers, name);
}

rmq_status rmq_dev_producers_join(rmq_devbroker *broker, const rmq_dev_client *client,
                                  rmq_slice name, rmq_error *err)
{
    rmq_dev_map *map = &broker->groups.producers;
    rmq_dev_producers *producers = rmq_dev_map_get(map, name);
    bool is_new = false;
    if (producers == NULL) {
        if (map->count >= RMQ_DEV_MAX_GROUPS)
            return rmq_error_set(err, RMQ_FULL, "%d groups are the most", RMQ_DEV_MAX_GROUPS);
        producers = rmq_calloc(1, sizeof(*producers));
        if (producers == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "no memory for a producer group");
        producers->name = rmq_slice_dup(name);
        if (producers->name == NULL || rmq_dev_map_add(map, name, producers) != RMQ_OK) {
            producers_free(producers);
            return rmq_error_set(err, RMQ_NOMEM, "no memory for a producer group");
        }
    }
    if (join(&producers->members, client, &is_new) != RMQ_OK)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a member");
    return RMQ_OK;
}

/* ---- leaving ---- */

static bool leave(rmq_dev_member **members, const rmq_dev_session *session)
{
    for (rmq_dev_member **at = members; *at != NULL; at = &(*at)->next) {
        if ((*at)->session != session)
            continue;
        rmq_dev_member *gone = *at;
        *at = gone->next;
        member_free(gone);
        return true;
    }
    return false;
}

static void leave_group(rmq_dev_group *group, const rmq_dev_session *session)
{
    if (!leave(&group->members, session))
        return;
    if (group->members == NULL)
        data_free(group);
    else
        notify(group);
}

void rmq_dev_groups_leave(rmq_devbroker *broker, rmq_dev_session *session, rmq_slice name)
{
    rmq_dev_group *group = rmq_dev_map_get(&broker->groups.groups, name);
    if (group != NULL)
        leave_group(group, session);
}

static void leave_producers(rmq_devbroker *broker, rmq_dev_producers *producers,
                            const rmq_dev_session *session)
{
    leave(&producers->members, session);
    if (producers->members != NULL)
        return;
    rmq_dev_map_remove(&broker->groups.producers, rmq_slice_of(producers->name));
    producers_free(producers);
}

void rmq_dev_producers_leave(rmq_devbroker *broker, rmq_dev_session *session, rmq_slice name)
{
    rmq_dev_producers *producers = rmq_dev_map_get(&broker->groups.producers, name);
    if (producers != NULL)
        leave_producers(broker, producers, session);
}

void rmq_dev_groups_session_closed(rmq_devbroker *broker, rmq_dev_session *session)
{
    for (rmq_dev_map_entry *entry = broker->groups.groups.first; entry != NULL; entry = entry->next)
        leave_group(entry->value, session);
    rmq_dev_map_entry *entry = broker->groups.producers.first;
    while (entry != NULL) {
        rmq_dev_map_entry *next = entry->next;
        leave_producers(broker, entry->value, session);
        entry = next;
    }
}

static void close_silent(const rmq_dev_settings *settings, const rmq_dev_member *members)
{
    int64_t now = rmq_dev_monotonic_ms();
    for (; members != NULL; members = members->next) {
        if (now - members->last_heartbeat_ms >= settings->member_ms)
            rmq_dev_session_close(members->session, "no heartbeat");
    }
}

void rmq_dev_groups_sweep(rmq_devbroker *broker)
{
    for (rmq_dev_map_entry *entry = broker->groups.groups.first; entry != NULL; entry = entry->next)
        close_silent(&broker->settings, ((rmq_dev_group *)entry->value)->members);
    for (rmq_dev_map_entry *entry = broker->groups.producers.first; entry != NULL;
         entry = entry->next)
        close_silent(&broker->settings, ((rmq_dev_producers *)entry->value)->members);
}
