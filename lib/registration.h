/* Groups announced to brokers by heartbeats: as a producer, and as a member. Loop thread. */
#ifndef RMQ_REGISTRATION_H
#define RMQ_REGISTRATION_H

#include <rmq/client.h>

#include "../proto/heartbeat.h"
#include "loop.h"

struct rmq_peer;

typedef struct rmq_producer_group {
    struct rmq_producer_group *next;
    size_t n_refs;
    char name[]; /* zero-terminated */
} rmq_producer_group;

/* A consumer group that the client is a member of; embed. The names in it are the member's. */
typedef struct rmq_consumer_group {
    struct rmq_consumer_group *next;
    rmq_consumer_data data;
    /* The group's members changed, or may have: a broker says so, or came back. */
    void (*changed)(struct rmq_consumer_group *group);
    /* A broker doesn't let the client into the group. */
    void (*refused)(struct rmq_consumer_group *group, const rmq_error *err);
} rmq_consumer_group;

typedef struct rmq_registration {
    rmq_client *client;
    rmq_producer_group *groups;
    rmq_consumer_group *consumers;
    rmq_timer timer;
    bool refused; /* warned of; cleared by the next heartbeat that is accepted */
    bool soon;    /* the next heartbeat comes early, since one failed here */
} rmq_registration;

RMQ_MUST_CHECK rmq_status rmq_registration_init(rmq_registration *registration, rmq_client *client,
                                                rmq_error *err);
/* Stops the heartbeats; the groups' memory stays for those who still remove them. */
void rmq_registration_stop(rmq_registration *registration);
void rmq_registration_deinit(rmq_registration *registration);
/* A connection came up: announces the groups on it, before anything else. */
void rmq_registration_connected(rmq_registration *registration, struct rmq_peer *peer);
/* Announces all groups now, to every master that is known. */
void rmq_registration_beat(rmq_registration *registration);
/* Errors: INVAL (the client is a member already). The group stays the caller's. */
RMQ_MUST_CHECK rmq_status rmq_registration_add_consumer(rmq_registration *registration,
                                                        rmq_consumer_group *group, rmq_error *err);
/* Takes it out and tells the brokers. */
void rmq_registration_remove_consumer(rmq_registration *registration, rmq_consumer_group *group);
/* A broker says that the members of `group` changed. */
void rmq_registration_notify(rmq_registration *registration, rmq_slice group);
/* Whether a connection to this peer is owed even if nobody calls. */
bool rmq_registration_wants(rmq_registration *registration, const struct rmq_peer *peer);

#endif
