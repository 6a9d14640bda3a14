/* Choosing a queue. Publishable are the queues of each broker that lets write and has a master:
 * ids 0 to writeQueueNums - 1, or, where the name server has an order configuration for the topic
 * ("broker-a:2;broker-b:4"), what that says instead. They are counted in the route's order (by
 * broker name), so that every client numbers them alike and a sharding key means the same queue
 * everywhere: Java's String.hashCode modulo their number, as SelectMessageQueueByHash does it. */
#include "publish_queue.h"

#include <stdlib.h>
#include <string.h>

/* The number that the order configuration gives for `broker_name`; -1: none. */
static int32_t ordered_queues(const char *conf, const char *broker_name)
{
    size_t name_len = strlen(broker_name);
    for (const char *at = conf; at != NULL && *at != '\0';) {
        if (strncmp(at, broker_name, name_len) == 0 && at[name_len] == ':') {
            long n = strtol(at + name_len + 1, NULL, 10);
            return n > 0 && n <= RMQ_ROUTE_MAX_QUEUES_PER_BROKER ? (int32_t)n : 0;
        }
        at = strchr(at, ';');
        if (at != NULL)
            at++;
    }
    return -1;
}

/* Publishable queues of one entry; 0 also if its broker has no master. */
static int32_t count_queues(const struct rmq_route *route, const rmq_route_queues *queues,
                            int32_t max_queues, const char **out_address)
{
    const rmq_route_broker *broker =
        rmq_route_broker_find(route, rmq_slice_of(queues->broker_name));
    const char *address = broker != NULL ? rmq_route_broker_address(broker, 0) : NULL;
    if (address == NULL)
        return 0;
    *out_address = address;
    int32_t ordered = -1;
    if (route->order_topic_conf != NULL && route->order_topic_conf[0] != '\0') {
        ordered = ordered_queues(route->order_topic_conf, queues->broker_name);
        return ordered > 0 ? ordered : 0;
    }
    if ((queues->perm & RMQ_PERM_WRITE) == 0)
        return 0;
    return max_queues > 0 && max_queues < queues->write_queues ? max_queues : queues->write_queues;
}

static bool is_named(const rmq_route_queues *queues, const char *name)
{
    return name != NULL && strcmp(queues->broker_name, name) == 0;
}

static rmq_status choose_exact(const struct rmq_route *route, const rmq_publish_wish *wish,
                               rmq_publish_queue *out_queue, rmq_error *err)
{
    const rmq_route_broker *broker = rmq_route_broker_find(route, rmq_slice_of(wish->broker_name));
    const char *address = broker != NULL ? rmq_route_broker_address(broker, 0) : NULL;
    if (address == NULL)
        return rmq_error_set(err, RMQ_NOT_FOUND, "the topic's route has no master of broker %s",
                             wish->broker_name);
    *out_queue = (rmq_publish_queue){broker->broker_name, address, wish->queue_id};
    return RMQ_OK;
}

/* Number of publishable queues, leaving out `avoid`. */
static int64_t count_all(const struct rmq_route *route, const rmq_publish_wish *wish,
                         const char *avoid)
{
    int64_t total = 0;
    const char *address;
    for (size_t i = 0; i < route->n_queues; i++) {
        if (!is_named(&route->queues[i], avoid))
            total += count_queues(route, &route->queues[i], wish->max_queues, &address);
    }
    return total;
}

rmq_status rmq_publish_queue_choose(const struct rmq_route *route, const rmq_publish_wish *wish,
                                    rmq_publish_queue *out_queue, rmq_error *err)
{
    if (wish->broker_name != NULL)
        return choose_exact(route, wish, out_queue, err);
    const char *avoid = wish->by_hash ? NULL : wish->avoid_broker;
    int64_t total = count_all(route, wish, avoid);
    if (total == 0 && avoid != NULL) {
        avoid = NULL;
        total = count_all(route, wish, NULL);
    }
    if (total == 0)
        return rmq_error_set(err, RMQ_NOT_FOUND, "the topic has no queue that can be written to");
    int64_t index = wish->by_hash ? llabs(wish->hash % total) : (int64_t)wish->turn % total;
    for (size_t i = 0; i < route->n_queues; i++) {
        const rmq_route_queues *queues = &route->queues[i];
        if (is_named(queues, avoid))
            continue;
        const char *address = NULL;
        int32_t n = count_queues(route, queues, wish->max_queues, &address);
        if (index < n) {
            *out_queue = (rmq_publish_queue){queues->broker_name, address, (int32_t)index};
            return RMQ_OK;
        }
        index -= n;
    }
    return rmq_error_set(err, RMQ_NOT_FOUND, "the topic has no queue that can be written to");
}

size_t rmq_publish_brokers(const struct rmq_route *route)
{
    size_t n = 0;
    const char *address;
    for (size_t i = 0; i < route->n_queues; i++)
        n += count_queues(route, &route->queues[i], 0, &address) > 0;
    return n;
}
