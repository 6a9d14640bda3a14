/* Producer groups announced to brokers by heartbeats. Loop thread. */
#ifndef RMQ_REGISTRATION_H
#define RMQ_REGISTRATION_H

#include <rmq/client.h>

#include "loop.h"

struct rmq_peer;

typedef struct rmq_producer_group {
    struct rmq_producer_group *next;
    size_t n_refs;
    char name[]; /* zero-terminated */
} rmq_producer_group;

typedef struct rmq_registration {
    rmq_client *client;
    rmq_producer_group *groups;
    rmq_timer timer;
    bool refused; /* warned of; cleared by the next heartbeat that is accepted */
} rmq_registration;

RMQ_MUST_CHECK rmq_status rmq_registration_init(rmq_registration *registration, rmq_client *client,
                                                rmq_error *err);
/* Stops the heartbeats; the groups' memory stays for those who still remove them. */
void rmq_registration_stop(rmq_registration *registration);
void rmq_registration_deinit(rmq_registration *registration);
/* A connection came up: announces the groups on it, before anything else. */
void rmq_registration_connected(rmq_registration *registration, struct rmq_peer *peer);
/* Whether a connection to this peer is owed even if nobody calls. */
bool rmq_registration_wants(rmq_registration *registration, const struct rmq_peer *peer);

#endif
