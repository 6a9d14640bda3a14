/* Routes, the cluster's information and lists of topics. A route that was decoded, encoded in
 * either form and decoded again is the same route (once its text is UTF-8, which the writer makes
 * it).
 *
 * Line coverage by the corpus alone: route.c 95 %, route_brokers.c 97 %, cluster_info.c 97 %. */
#include <string.h>

#include "../../proto/route.h"

#include "fuzz.h"

static rmq_status again(const rmq_route *route, bool standard_json, rmq_route *out_route)
{
    rmq_buf body;
    rmq_buf_init(&body, SIZE_MAX / 2);
    rmq_status status = rmq_route_encode(route, standard_json, &body, NULL);
    if (status == RMQ_OK)
        status = rmq_route_decode((rmq_slice){(char *)body.data, body.len}, out_route, NULL);
    rmq_buf_deinit(&body);
    return status;
}

static void check_route(const rmq_route *route)
{
    int64_t n_queues = 0;
    for (size_t i = 0; i < route->n_queues; i++) {
        FUZZ_CHECK(route->queues[i].read_queues >= 0 && route->queues[i].write_queues >= 0);
        n_queues += route->queues[i].read_queues;
        (void)rmq_route_broker_find(route, rmq_slice_of(route->queues[i].broker_name));
    }
    FUZZ_CHECK(n_queues <= RMQ_ROUTE_MAX_QUEUES);
    for (size_t i = 0; i < route->n_brokers; i++) {
        const rmq_route_broker *broker = &route->brokers[i];
        FUZZ_CHECK(rmq_route_broker_find(route, rmq_slice_of(broker->broker_name)) == broker);
        for (size_t j = 0; j < broker->n_addresses; j++)
            FUZZ_CHECK(rmq_route_broker_address(broker, broker->addresses[j].broker_id) ==
                       broker->addresses[j].address);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmq_slice body = {(const char *)data, size};
    rmq_route route;
    if (rmq_route_decode(body, &route, NULL) == RMQ_OK) {
        rmq_route utf8;
        rmq_route bare;
        check_route(&route);
        FUZZ_CHECK(again(&route, true, &utf8) == RMQ_OK);
        FUZZ_CHECK(again(&utf8, false, &bare) == RMQ_OK);
        FUZZ_CHECK(rmq_route_equals(&utf8, &bare));
        rmq_route_deinit(&route);
        rmq_route_deinit(&utf8);
        rmq_route_deinit(&bare);
    }
    if (rmq_cluster_info_decode(body, &route, NULL) == RMQ_OK) {
        check_route(&route);
        rmq_route_deinit(&route);
    }
    char **topics;
    size_t count;
    if (rmq_topic_list_decode(body, &topics, &count, NULL) == RMQ_OK)
        rmq_topic_list_free(topics, count);
    return 0;
}
