/* The broker's times and its being up or down.
 *
 * `wanted` says per port what the user asked for (start, stop, stop_namesrv); a restart by a fault
 * rule closes what is open and reopens what is wanted once its delay is over, so that a stop in the
 * meantime stays a stop. Messages, groups' configurations and offsets stay; connections, and with
 * them all members, are gone, as after a real restart. */
#include "lifecycle.h"

#include "broker_state.h"
#include "long_poll.h"

#define REGISTER_EVERY_MS 30000

static void on_hold_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_devbroker *broker = ctx;
    rmq_dev_holds_check(broker);
    rmq_dev_settle(broker);
}

static void on_sweep_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_devbroker *broker = ctx;
    rmq_dev_sessions_sweep(broker);
    rmq_dev_groups_sweep(broker);
    int64_t now = rmq_dev_monotonic_ms();
    if (now - broker->registered_ms >= REGISTER_EVERY_MS && broker->listeners[1].fd >= 0) {
        broker->registered_ms = now;
        rmq_error err;
        if (rmq_dev_register_all(broker, &err) != RMQ_OK)
            rmq_dev_log(&broker->settings, RMQ_LOG_WARN, "%s", err.text); /* again in 30 s */
    }
    rmq_dev_settle(broker);
}

static void on_restart_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_devbroker *broker = ctx;
    for (int port = 0; port < 2; port++) {
        rmq_error err;
        if (broker->wanted[port] && rmq_dev_port_up(broker, (rmq_dev_port)port, &err) != RMQ_OK)
            rmq_dev_log(&broker->settings, RMQ_LOG_ERROR, "restart: %s", err.text);
    }
    rmq_dev_settle(broker);
}

static struct timeval timeval_of(int64_t ms)
{
    return (struct timeval){ms / 1000, (ms % 1000) * 1000};
}

rmq_status rmq_dev_timers_start(rmq_devbroker *broker, rmq_error *err)
{
    struct timeval hold_every = timeval_of(broker->settings.long_poll_check_ms);
    struct timeval sweep_every = timeval_of(broker->settings.sweep_ms);
    broker->hold_timer = event_new(broker->base, -1, EV_PERSIST, on_hold_timer, broker);
    broker->sweep_timer = event_new(broker->base, -1, EV_PERSIST, on_sweep_timer, broker);
    broker->restart_timer = evtimer_new(broker->base, on_restart_timer, broker);
    if (broker->hold_timer == NULL || broker->sweep_timer == NULL ||
        broker->restart_timer == NULL || event_add(broker->hold_timer, &hold_every) != 0 ||
        event_add(broker->sweep_timer, &sweep_every) != 0)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the broker's timers");
    return RMQ_OK;
}

void rmq_dev_timers_free(rmq_devbroker *broker)
{
    if (broker->hold_timer != NULL)
        event_free(broker->hold_timer);
    if (broker->sweep_timer != NULL)
        event_free(broker->sweep_timer);
    if (broker->restart_timer != NULL)
        event_free(broker->restart_timer);
}

rmq_status rmq_dev_port_up(rmq_devbroker *broker, rmq_dev_port port, rmq_error *err)
{
    if (port == RMQ_DEV_PORT_BROKER) {
        rmq_status status = rmq_dev_register_all(broker, err);
        if (status != RMQ_OK)
            return status;
        broker->registered_ms = rmq_dev_monotonic_ms();
    }
    return rmq_dev_listener_open(&broker->listeners[port], err);
}

void rmq_dev_port_down(rmq_devbroker *broker, rmq_dev_port port)
{
    rmq_dev_listener_close(&broker->listeners[port]);
    rmq_dev_sessions_close_all(broker, port, "the broker stops");
}

void rmq_dev_restart_later(rmq_devbroker *broker, int64_t delay_ms)
{
    broker->restart_wanted = true;
    broker->restart_delay_ms = delay_ms;
}

void rmq_dev_restart_now(rmq_devbroker *broker)
{
    broker->restart_wanted = false;
    rmq_dev_port_down(broker, RMQ_DEV_PORT_NAMESRV);
    rmq_dev_port_down(broker, RMQ_DEV_PORT_BROKER);
    struct timeval after = timeval_of(broker->restart_delay_ms);
    event_add(broker->restart_timer, &after);
}

/* splitmix64 */
uint64_t rmq_dev_random(rmq_devbroker *broker)
{
    uint64_t value = broker->random_state += 0x9E3779B97F4A7C15u;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}
