/* Brokers in a route and in the cluster's information.
 *
 * The ids of `brokerAddrs` are map keys, quoted or bare numbers; 0 is the master. Addresses are
 * kept sorted by id, so that the master comes first. Name servers merge what brokers report, and a
 * body may name a broker twice while one moves: as for the Java client, the last entry counts.
 * Source: BrokerData 5.4.0; protocol facts 4.2; golden route_resp_standard_json,
 * route_resp_legacy_json, cluster_info_resp. */
#include "route_brokers.h"

#include <stdlib.h>
#include <string.h>

#include "json_scan.h"

#define MAX_ADDRESSES 256 /* of one broker: a master and its slaves */

typedef struct entry {
    rmq_route_broker broker;
    size_t order; /* in the body */
} entry;

void rmq_route_broker_deinit(rmq_route_broker *broker)
{
    for (size_t i = 0; i < broker->n_addresses; i++)
        rmq_free(broker->addresses[i].address);
    rmq_free(broker->addresses);
    rmq_free(broker->broker_name);
    rmq_free(broker->cluster);
}

void rmq_route_brokers_free(rmq_body_list *brokers)
{
    entry *entries = brokers->items;
    for (size_t i = 0; i < brokers->count; i++)
        rmq_route_broker_deinit(&entries[i].broker);
    rmq_free(entries);
    *brokers = (rmq_body_list){0};
}

/* Puts `take_address` at its place; an id that is there already gets it instead. */
static void put_address(rmq_json *json, rmq_body_list *list, int64_t broker_id, char *take_address)
{
    rmq_route_address *addresses = list->items;
    size_t at = list->count;
    while (at > 0 && addresses[at - 1].broker_id >= broker_id)
        at--;
    if (at < list->count && addresses[at].broker_id == broker_id) {
        rmq_free(addresses[at].address);
        addresses[at].address = take_address;
        return;
    }
    if (rmq_body_list_add(json, list, sizeof(*addresses), MAX_ADDRESSES) == NULL) {
        rmq_free(take_address);
        return;
    }
    addresses = list->items;
    memmove(addresses + at + 1, addresses + at, (list->count - 1 - at) * sizeof(*addresses));
    addresses[at] = (rmq_route_address){.broker_id = broker_id, .address = take_address};
}

static void read_addresses(rmq_json *json, rmq_route_broker *broker)
{
    rmq_body_list list = {
        .items = broker->addresses, .count = broker->n_addresses, .capacity = broker->n_addresses};
    rmq_slice key;
    if (!rmq_body_enter_object(json))
        return;
    while (rmq_json_next_key(json, &key)) {
        int64_t broker_id;
        char *address = NULL;
        if (!rmq_parse_int64(key, &broker_id))
            rmq_json_fail_at(json, "a broker id is not a number", json->at);
        else if (rmq_body_text(json, &address) && address != NULL)
            put_address(json, &list, broker_id, address);
    }
    broker->addresses = list.items;
    broker->n_addresses = list.count;
}

static void read_fields(rmq_json *json, rmq_route_broker *broker)
{
    rmq_slice key;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "brokerAddrs"))
            read_addresses(json, broker);
        else if (rmq_slice_equals(key, "brokerName"))
            rmq_body_text(json, &broker->broker_name);
        else if (rmq_slice_equals(key, "cluster"))
            rmq_body_text(json, &broker->cluster);
        else
            rmq_json_skip(json);
    }
}

void rmq_route_brokers_read(rmq_json *json, rmq_slice name, rmq_body_list *brokers)
{
    if (!rmq_body_enter_object(json))
        return;
    entry *added = rmq_body_list_add(json, brokers, sizeof(*added), RMQ_ROUTE_MAX_BROKERS);
    if (added == NULL)
        return;
    added->order = brokers->count;
    read_fields(json, &added->broker);
    if (added->broker.broker_name == NULL && name.len > 0) {
        added->broker.broker_name = rmq_slice_dup(name);
        if (added->broker.broker_name == NULL)
            rmq_json_fail_no_memory(json);
    }
    if (added->broker.broker_name == NULL)
        rmq_json_fail_at(json, "a broker without a name", json->at);
}

static int compare_entries(const void *left, const void *right)
{
    const entry *a = left;
    const entry *b = right;
    int by_name = strcmp(a->broker.broker_name, b->broker.broker_name);
    return by_name != 0 ? by_name : (a->order > b->order) - (a->order < b->order);
}

rmq_status rmq_route_brokers_move(rmq_body_list *brokers, rmq_route *route, rmq_error *err)
{
    entry *entries = brokers->items;
    size_t n_entries = brokers->count;
    if (n_entries == 0)
        return RMQ_OK;
    route->brokers = rmq_calloc(n_entries, sizeof(*route->brokers));
    if (route->brokers == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu brokers", n_entries);
    qsort(entries, n_entries, sizeof(*entries), compare_entries);
    for (size_t i = 0; i < n_entries; i++) {
        rmq_route_broker *broker = &entries[i].broker;
        if (i + 1 < n_entries &&
            strcmp(broker->broker_name, entries[i + 1].broker.broker_name) == 0)
            rmq_route_broker_deinit(broker);
        else
            route->brokers[route->n_brokers++] = *broker;
    }
    brokers->count = 0;
    rmq_route_brokers_free(brokers);
    return RMQ_OK;
}
