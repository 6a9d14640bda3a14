/* The development broker's whole state, which belongs to its loop thread. Each part has its own
 * header; this one only says what a broker consists of. */
#ifndef RMQ_DEV_BROKER_STATE_H
#define RMQ_DEV_BROKER_STATE_H

#include <rmq/devbroker.h>

#include <event2/event.h>
#include <pthread.h>

#include "consumer_groups.h"
#include "consumer_offsets.h"
#include "deliver.h"
#include "faults.h"
#include "listener.h"
#include "message_store.h"
#include "msgid.h"
#include "name_server.h"
#include "queue_locks.h"
#include "request_counts.h"
#include "session.h"
#include "settings.h"
#include "transactions.h"

struct rmq_devbroker {
    rmq_dev_settings settings;
    struct event_base *base;
    rmq_dev_listener listeners[2]; /* by rmq_dev_port */
    bool wanted[2];                /* by rmq_dev_port: shall it listen? */
    rmq_dev_sessions sessions;
    rmq_dev_store store;
    struct rmq_dev_journal *journal;
    rmq_dev_name_server name_server;
    rmq_dev_groups groups;
    rmq_dev_offsets offsets;
    rmq_dev_locks locks;
    rmq_dev_transactions transactions;
    rmq_dev_faults faults;
    rmq_dev_request_counts request_counts;
    rmq_unique_id_source unique_ids;
    rmq_host store_host;
    uint64_t random_state;
    int32_t next_opaque; /* of the broker's own requests */
    int64_t boot_ms;
    int64_t registered_ms; /* when all topics were last registered with the name server */
    rmq_dev_run *runs;     /* room for one pull's answer: max_pull_messages */

    struct event *hold_timer;  /* every long_poll_check_ms */
    struct event *sweep_timer; /* idle connections, silent members, name server registration */
    struct event *restart_timer;
    struct event *delay_timer; /* the next delayed message */
    int64_t delay_due_ms;      /* when, by the wall clock; 0: none waits */
    bool restart_wanted;       /* by a fault rule, at the end of this callback */
    int64_t restart_delay_ms;

    /* Calls from other threads: calls.c. */
    pthread_t thread;
    bool thread_started;
    struct event *wake_event;
    int wake_fd;
    pthread_mutex_t calls_mutex; /* guards the next two */
    struct rmq_dev_call *calls;
    struct rmq_dev_call **calls_end;
};

#endif
