/* Which clients are registered: consumers by group with the group's subscriptions, and producers.
 */
#ifndef RMQ_DEV_CONSUMER_GROUPS_H
#define RMQ_DEV_CONSUMER_GROUPS_H

#include <rmq/devbroker.h>

#include "heartbeat.h"
#include "session.h"
#include "string_map.h"

#define RMQ_DEV_MAX_GROUPS 100000

struct rmq_dev_journal;

/* A client on its connection. */
typedef struct rmq_dev_member {
    struct rmq_dev_member *next;
    rmq_dev_session *session;
    char *client_id;
    int32_t language;
    int32_t version;
    int64_t last_heartbeat_ms;
} rmq_dev_member;

/* A consumer group: its configuration exists once it was made, members or not. */
typedef struct rmq_dev_group {
    char *name;
    rmq_dev_member *members;
    rmq_consumer_data *data; /* of the last heartbeat: types and subscriptions; owned, or NULL */
} rmq_dev_group;

/* A producer group exists while it has members. */
typedef struct rmq_dev_producers {
    char *name;
    rmq_dev_member *members;
} rmq_dev_producers;

typedef struct rmq_dev_groups {
    rmq_dev_map groups;
    rmq_dev_map producers;
    struct rmq_dev_journal *journal; /* or NULL */
} rmq_dev_groups;

void rmq_dev_groups_init(rmq_dev_groups *groups, uint32_t seed);
void rmq_dev_groups_deinit(rmq_dev_groups *groups);

bool rmq_dev_groups_exists(const rmq_dev_groups *groups, rmq_slice name);
const rmq_dev_group *rmq_dev_groups_find(const rmq_dev_groups *groups, rmq_slice name);
/* Finds it or makes it. Errors: INVAL (the name), FULL, NOMEM, IO. */
RMQ_MUST_CHECK rmq_status rmq_dev_groups_make(rmq_devbroker *broker, rmq_slice name,
                                              const rmq_dev_group **out_group, rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_groups_delete(rmq_devbroker *broker, rmq_slice name,
                                                rmq_error *err);
/* NULL if the group has none for the topic. */
const rmq_subscription *rmq_dev_group_subscription(const rmq_dev_group *group, rmq_slice topic);

/* Who sent a heartbeat. */
typedef struct rmq_dev_client {
    rmq_dev_session *session;
    const char *client_id;
    int32_t language;
    int32_t version;
} rmq_dev_client;

/* Registers the client as a member with the group's new subscriptions (which are taken out of
 * `take_data` on success). Everybody in the group is told if something changed. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_groups_join(rmq_devbroker *broker, const rmq_dev_client *client,
                                              const rmq_dev_group *group,
                                              rmq_consumer_data *take_data, rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_producers_join(rmq_devbroker *broker,
                                                 const rmq_dev_client *client, rmq_slice name,
                                                 rmq_error *err);
void rmq_dev_groups_leave(rmq_devbroker *broker, rmq_dev_session *session, rmq_slice name);
void rmq_dev_producers_leave(rmq_devbroker *broker, rmq_dev_session *session, rmq_slice name);
const rmq_dev_producers *rmq_dev_producers_find(const rmq_dev_groups *groups, rmq_slice name);
/* Takes a closed connection's client out of everything. */
void rmq_dev_groups_session_closed(rmq_devbroker *broker, rmq_dev_session *session);
/* Drops members without a heartbeat for member_ms, and closes their connections. */
void rmq_dev_groups_sweep(rmq_devbroker *broker);

#endif
