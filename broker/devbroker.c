/* The handle: everything is put together here, run on a thread of its own, and taken apart again.
 *
 *   caller threads --calls--> loop thread: listeners -> sessions -> dispatch -> handlers
 *                                                          |            |
 *                                                        faults    store, groups, offsets ->
 * journal
 *
 * All state belongs to the loop thread; the public functions send it a closure and wait (calls.c).
 * The broker listens before rmq_devbroker_new returns, and the thread is joined before free does.
 */
#include <rmq/devbroker.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "broker_state.h"
#include "calls.h"
#include "delays.h"
#include "journal.h"
#include "lifecycle.h"
#include "long_poll.h"
#include "names.h"
#include "open_directory.h"
#include "route.h"
#include "topic_admin.h"

/* ---- building ---- */

static void init_parts(rmq_devbroker *broker)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
        seed = (uint64_t)rmq_dev_wall_ms() * 0x9E3779B97F4A7C15u;
    broker->random_state = seed;
    uint32_t map_seed = (uint32_t)rmq_dev_random(broker);
    broker->wake_fd = -1;
    broker->next_opaque = 1;
    broker->boot_ms = rmq_dev_wall_ms();
    broker->unique_ids.process_id = (uint16_t)getpid();
    broker->unique_ids.noise = (uint32_t)rmq_dev_random(broker);
    inet_pton(AF_INET, broker->settings.listen_address, broker->unique_ids.address);
    rmq_dev_store_init(&broker->store, broker->settings.max_memory_bytes, map_seed);
    rmq_dev_groups_init(&broker->groups, map_seed);
    rmq_dev_offsets_init(&broker->offsets, map_seed);
    rmq_dev_name_server_init(&broker->name_server, map_seed);
    rmq_dev_locks_init(&broker->locks, map_seed);
    rmq_dev_faults_init(&broker->faults);
    for (int port = 0; port < 2; port++) {
        rmq_dev_listener_init(&broker->listeners[port]);
        broker->listeners[port].base = broker->base;
        broker->listeners[port].port = (rmq_dev_port)port;
        broker->listeners[port].accept_fn = rmq_dev_session_accept;
        broker->listeners[port].ctx = broker;
        broker->wanted[port] = true;
    }
}

static rmq_status bind_ports(rmq_devbroker *broker, rmq_error *err)
{
    const rmq_dev_settings *settings = &broker->settings;
    rmq_dev_listener *listeners = broker->listeners;
    rmq_status status = rmq_dev_listener_bind(
        &listeners[RMQ_DEV_PORT_NAMESRV], settings->listen_address, settings->namesrv_port, err);
    if (status == RMQ_OK)
        status = rmq_dev_listener_bind(&listeners[RMQ_DEV_PORT_BROKER], settings->listen_address,
                                       settings->broker_port, err);
    broker->store_host.address_bytes = 4;
    memcpy(broker->store_host.address, broker->unique_ids.address, 4);
    broker->store_host.port = listeners[RMQ_DEV_PORT_BROKER].port_number;
    return status;
}

static rmq_status open_ports(rmq_devbroker *broker, rmq_error *err)
{
    rmq_status status = rmq_dev_port_up(broker, RMQ_DEV_PORT_NAMESRV, err);
    return status == RMQ_OK ? rmq_dev_port_up(broker, RMQ_DEV_PORT_BROKER, err) : status;
}

static void *loop_main(void *argument)
{
    rmq_devbroker *broker = argument;
    pthread_setname_np(pthread_self(), "rmq-devbroker");
    event_base_dispatch(broker->base);
    return NULL;
}

static rmq_status start_thread(rmq_devbroker *broker, rmq_error *err)
{
    int failed = pthread_create(&broker->thread, NULL, loop_main, broker);
    if (failed != 0)
        return rmq_error_set_errno(err, failed, "no thread for the broker");
    broker->thread_started = true;
    return RMQ_OK;
}

static rmq_status build(rmq_devbroker *broker, rmq_error *err)
{
    broker->base = event_base_new();
    init_parts(broker);
    if (broker->base == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no event base");
    broker->runs = rmq_calloc((size_t)broker->settings.max_pull_messages, sizeof(rmq_dev_run));
    if (broker->runs == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the broker");
    rmq_status status = rmq_dev_make_system_topics(broker, err);
    if (status == RMQ_OK && broker->settings.directory != NULL)
        status = rmq_dev_directory_open(broker, err);
    if (status == RMQ_OK)
        status = bind_ports(broker, err);
    if (status == RMQ_OK)
        status = rmq_dev_calls_init(broker, err);
    if (status == RMQ_OK)
        status = rmq_dev_timers_start(broker, err);
    if (status == RMQ_OK)
        status = rmq_dev_delays_start(broker, err);
    if (status == RMQ_OK)
        status = rmq_dev_transactions_start(broker, err);
    if (status == RMQ_OK)
        status = open_ports(broker, err);
    if (status == RMQ_OK)
        status = start_thread(broker, err);
    return status;
}

rmq_status rmq_devbroker_new(const rmq_devbroker_config *config, rmq_devbroker **out_broker,
                             rmq_error *err)
{
    rmq_devbroker *broker = rmq_calloc(1, sizeof(*broker));
    if (broker == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the broker");
    pthread_mutex_init(&broker->calls_mutex, NULL);
    rmq_status status = rmq_dev_settings_init(&broker->settings, config, err);
    if (status == RMQ_OK)
        status = build(broker, err);
    if (status != RMQ_OK) {
        rmq_devbroker_free(broker);
        return status;
    }
    *out_broker = broker;
    return RMQ_OK;
}

/* ---- taking apart ---- */

static rmq_status end_loop(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    (void)argument;
    (void)err;
    rmq_dev_port_down(broker, RMQ_DEV_PORT_NAMESRV);
    rmq_dev_port_down(broker, RMQ_DEV_PORT_BROKER);
    event_base_loopbreak(broker->base);
    return RMQ_OK;
}

void rmq_devbroker_free(rmq_devbroker *broker)
{
    if (broker == NULL)
        return;
    if (broker->thread_started) {
        rmq_status ended = rmq_dev_call_sync(broker, end_loop, NULL, NULL);
        (void)ended; /* it can't fail */
        pthread_join(broker->thread, NULL);
    }
    if (broker->base != NULL) {
        rmq_dev_listener_deinit(&broker->listeners[RMQ_DEV_PORT_NAMESRV]);
        rmq_dev_listener_deinit(&broker->listeners[RMQ_DEV_PORT_BROKER]);
        rmq_dev_calls_deinit(broker);
        rmq_dev_timers_free(broker);
        rmq_dev_delays_free(broker);
        rmq_dev_transactions_free(broker);
        event_base_free(broker->base);
    }
    rmq_dev_journal_close(broker->journal);
    rmq_dev_faults_clear(&broker->faults);
    rmq_dev_name_server_deinit(&broker->name_server);
    rmq_dev_offsets_deinit(&broker->offsets);
    rmq_dev_locks_deinit(&broker->locks);
    rmq_dev_groups_deinit(&broker->groups);
    rmq_dev_store_deinit(&broker->store);
    rmq_free(broker->runs);
    rmq_dev_settings_deinit(&broker->settings);
    pthread_mutex_destroy(&broker->calls_mutex);
    rmq_free(broker);
}

/* ---- using ---- */

const char *rmq_devbroker_namesrv(const rmq_devbroker *broker)
{
    return broker->listeners[RMQ_DEV_PORT_NAMESRV].text;
}

const char *rmq_devbroker_address(const rmq_devbroker *broker)
{
    return broker->listeners[RMQ_DEV_PORT_BROKER].text;
}

typedef struct topic_call {
    const char *topic;
    int32_t number; /* of queues, or a queue's id */
    int64_t offset;
    bool below;
} topic_call;

static rmq_status do_topic(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    const topic_call *call = argument;
    rmq_slice name = rmq_slice_of(call->topic);
    char remark[512];
    if (!rmq_dev_topic_name_legal(name, remark, sizeof(remark)))
        return rmq_error_set(err, RMQ_INVAL, "%s", remark);
    if (call->number <= 0)
        return rmq_error_set(err, RMQ_INVAL, "a topic of %d queues", call->number);
    rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, name);
    int32_t n_queues = call->number;
    if (topic != NULL && topic->write_queues > n_queues)
        n_queues = topic->write_queues;
    rmq_dev_topic_spec spec = {.name = name,
                               .read_queues = n_queues,
                               .write_queues = n_queues,
                               .perm = RMQ_PERM_READ | RMQ_PERM_WRITE};
    rmq_status status = rmq_dev_store_topic_set(&broker->store, &spec, &topic, err);
    if (status == RMQ_OK)
        status = rmq_dev_register_topic(broker, topic, err);
    return status;
}

rmq_status rmq_devbroker_topic(rmq_devbroker *broker, const char *topic, int32_t n_queues,
                               rmq_error *err)
{
    topic_call call = {.topic = topic, .number = n_queues};
    return rmq_dev_call_sync(broker, do_topic, &call, err);
}

static rmq_status do_stop(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    (void)err;
    const bool *ports = argument;
    for (int port = 0; port < 2; port++) {
        if (!ports[port])
            continue;
        broker->wanted[port] = false;
        rmq_dev_port_down(broker, (rmq_dev_port)port);
    }
    return RMQ_OK;
}

static rmq_status do_start(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    const bool *ports = argument;
    rmq_status status = RMQ_OK;
    for (int port = 0; port < 2 && status == RMQ_OK; port++) {
        if (!ports[port])
            continue;
        broker->wanted[port] = true;
        status = rmq_dev_port_up(broker, (rmq_dev_port)port, err);
    }
    return status;
}

static bool both_ports[2] = {true, true};
static bool namesrv_port[2] = {true, false};

rmq_status rmq_devbroker_stop(rmq_devbroker *broker, rmq_error *err)
{
    return rmq_dev_call_sync(broker, do_stop, both_ports, err);
}

rmq_status rmq_devbroker_start(rmq_devbroker *broker, rmq_error *err)
{
    return rmq_dev_call_sync(broker, do_start, both_ports, err);
}

rmq_status rmq_devbroker_stop_namesrv(rmq_devbroker *broker, rmq_error *err)
{
    return rmq_dev_call_sync(broker, do_stop, namesrv_port, err);
}

rmq_status rmq_devbroker_start_namesrv(rmq_devbroker *broker, rmq_error *err)
{
    return rmq_dev_call_sync(broker, do_start, namesrv_port, err);
}

static rmq_status do_delete(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    const topic_call *call = argument;
    rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, rmq_slice_of(call->topic));
    if (topic == NULL || call->number < 0 || call->number >= topic->n_queues)
        return rmq_error_set(err, RMQ_NOT_FOUND, "no queue %d of topic %s", call->number,
                             call->topic);
    if (call->below)
        return rmq_dev_store_delete_below(&broker->store, topic, call->number, call->offset, err);
    return rmq_dev_store_delete_from(&broker->store, topic, call->number, call->offset, err);
}

rmq_status rmq_devbroker_delete_below(rmq_devbroker *broker, const char *topic, int32_t queue_id,
                                      int64_t offset, rmq_error *err)
{
    topic_call call = {.topic = topic, .number = queue_id, .offset = offset, .below = true};
    return rmq_dev_call_sync(broker, do_delete, &call, err);
}

rmq_status rmq_devbroker_delete_from(rmq_devbroker *broker, const char *topic, int32_t queue_id,
                                     int64_t offset, rmq_error *err)
{
    topic_call call = {.topic = topic, .number = queue_id, .offset = offset, .below = false};
    return rmq_dev_call_sync(broker, do_delete, &call, err);
}
