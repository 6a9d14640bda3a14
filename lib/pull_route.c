/* Choosing the address for a queue's pulls: the broker id that the last answer suggested (0, the
 * master, unless slaves may be read and the reader is far behind), else the master, else any of the
 * broker's addresses. Source: PullAPIWrapper.recalculatePullFromWhichNode; protocol facts 8.6.
 *
 * The address is looked up in the cached route, and kept for a second: a pull needs no table
 * look-up then, and a route that changes while the connection works is followed soon enough. A
 * broker that is missing from the route is still tried at its last address: a name server that was
 * just started doesn't know the brokers yet.
 */
#include "pull_route.h"

#include <string.h>

#include "../proto/route.h"
#include "route_question.h"

#define KEEP_NS 1000000000

struct rmq_pull_route {
    rmq_client *client;
    char *topic;
    char *broker_name;
    rmq_pull_route_fn asked;
    void *ctx;
    rmq_route_question *question; /* NULL: not asking */
    int64_t broker_id;
    int64_t looked_up_ns; /* 0: not looked up */
    char address[280];
};

rmq_pull_route *rmq_pull_route_new(rmq_client *client, const char *topic, const char *broker_name,
                                   rmq_pull_route_fn asked, void *ctx)
{
    rmq_pull_route *route = rmq_calloc(1, sizeof(*route));
    if (route == NULL)
        return NULL;
    route->client = client;
    route->asked = asked;
    route->ctx = ctx;
    route->topic = rmq_strdup(topic);
    route->broker_name = rmq_strdup(broker_name);
    if (route->topic == NULL || route->broker_name == NULL) {
        rmq_pull_route_free(route);
        return NULL;
    }
    return route;
}

void rmq_pull_route_free(rmq_pull_route *route)
{
    if (route == NULL)
        return;
    rmq_route_question_drop(route->question);
    rmq_free(route->topic);
    rmq_free(route->broker_name);
    rmq_free(route);
}

static const char *find_address(rmq_pull_route *route)
{
    const struct rmq_route *cached = rmq_route_cached(route->client, route->topic);
    if (cached == NULL)
        return NULL;
    const rmq_route_broker *broker =
        rmq_route_broker_find(cached, rmq_slice_of(route->broker_name));
    if (broker == NULL || broker->n_addresses == 0)
        return NULL;
    const char *address = rmq_route_broker_address(broker, route->broker_id);
    if (address == NULL)
        address = rmq_route_broker_address(broker, 0);
    return address != NULL ? address : broker->addresses[0].address;
}

const char *rmq_pull_route_address(rmq_pull_route *route)
{
    int64_t now_ns = rmq_clock_monotonic_ns();
    if (route->looked_up_ns != 0 && now_ns - route->looked_up_ns < KEEP_NS)
        return route->address;
    const char *found = find_address(route);
    size_t len = found != NULL ? strlen(found) : 0;
    if (len > 0 && len < sizeof(route->address))
        memcpy(route->address, found, len + 1);
    if (route->address[0] == '\0')
        return NULL;
    route->looked_up_ns = now_ns;
    return route->address;
}

static void answered(void *ctx, rmq_status status, const struct rmq_route *found,
                     const rmq_error *err)
{
    rmq_pull_route *route = ctx;
    route->question = NULL;
    route->looked_up_ns = 0;
    rmq_error missing;
    if (status == RMQ_OK &&
        rmq_route_broker_find(found, rmq_slice_of(route->broker_name)) == NULL) {
        rmq_error_set(&missing, RMQ_NOT_FOUND, "broker %s is not in the route of topic %s",
                      route->broker_name, route->topic);
        err = &missing;
    } else if (status == RMQ_OK) {
        err = NULL;
    } else if (err == NULL) {
        rmq_error_set(&missing, status, "no route of topic %s", route->topic);
        err = &missing;
    }
    route->asked(route->ctx, err);
}

void rmq_pull_route_ask(rmq_pull_route *route)
{
    if (route->question == NULL) /* without memory the next trouble asks again */
        route->question = rmq_route_question_ask(route->client, route->topic, 0, answered, route);
}

bool rmq_pull_route_is_asking(const rmq_pull_route *route)
{
    return route->question != NULL;
}

void rmq_pull_route_suggest(rmq_pull_route *route, int64_t broker_id)
{
    if (route->broker_id == broker_id)
        return;
    route->broker_id = broker_id;
    route->looked_up_ns = 0;
}

void rmq_pull_route_doubt(rmq_pull_route *route)
{
    route->broker_id = 0;
    route->looked_up_ns = 0;
}
