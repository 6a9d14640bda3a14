/* What a name server knows of its clusters: all brokers with their addresses. The keys of
 * `brokerAddrs` are bare numbers here, whoever asks. Which cluster a broker belongs to stands in
 * the broker, so that `clusterAddrTable` says nothing new. Source: ClusterInfo 5.4.0; protocol
 * facts 4.2, 14; golden cluster_info_resp. */
#include "route_brokers.h"

static void read_brokers(rmq_json *json, rmq_body_list *brokers)
{
    rmq_slice name;
    if (!rmq_body_enter_object(json))
        return;
    while (rmq_json_next_key(json, &name))
        rmq_route_brokers_read(json, name, brokers);
}

rmq_status rmq_cluster_info_decode(rmq_slice body, rmq_route *out_route, rmq_error *err)
{
    rmq_json json;
    rmq_body_list brokers = {0};
    rmq_route route = {.brokers = NULL};
    rmq_slice key;
    rmq_body_init(&json, body);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &key)) {
            if (rmq_slice_equals(key, "brokerAddrTable"))
                read_brokers(&json, &brokers);
            else
                rmq_json_skip(&json);
        }
    }
    rmq_status status = rmq_body_finish(&json, "cluster information", err);
    if (status == RMQ_OK)
        status = rmq_route_brokers_move(&brokers, &route, err);
    if (status == RMQ_OK)
        *out_route = route;
    rmq_route_brokers_free(&brokers);
    rmq_json_deinit(&json);
    return status;
}
