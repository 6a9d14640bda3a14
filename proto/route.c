/* A topic's route: where its brokers are and how many queues each has.
 *
 * The body is a name server's word and may be anything. Queue numbers are what a client would build
 * arrays from, so they are capped one by one and in sum before anyone can; entries are capped, too.
 * What does not fit together is harmless and kept: queues at a broker that has no address can't be
 * reached, a broker without queues is not asked. Both lists come out sorted by broker name, once
 * each, so that two routes are equal if they say the same.
 *
 * Bodies come in two forms: legal JSON, and with bare numbers as the keys of `brokerAddrs` (asked
 * by an old client); both are read and written. Source: TopicRouteData, QueueData 5.4.0; protocol
 * facts 4.2; golden route_resp_standard_json, route_resp_legacy_json. */
#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "route_brokers.h"

typedef struct queues_entry {
    rmq_route_queues queues;
    size_t order; /* in the body */
} queues_entry;

typedef struct route_reader {
    rmq_json json;
    rmq_body_list brokers;
    rmq_body_list queues; /* of queues_entry */
    char *order_topic_conf;
} route_reader;

static void read_queue_fields(rmq_json *json, rmq_route_queues *queues)
{
    rmq_slice key;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "brokerName"))
            rmq_body_text(json, &queues->broker_name);
        else if (rmq_slice_equals(key, "readQueueNums"))
            rmq_body_int32(json, &queues->read_queues);
        else if (rmq_slice_equals(key, "writeQueueNums"))
            rmq_body_int32(json, &queues->write_queues);
        else if (rmq_slice_equals(key, "perm"))
            rmq_body_int32(json, &queues->perm);
        else if (rmq_slice_equals(key, "topicSysFlag"))
            rmq_body_int32(json, &queues->topic_sys_flag);
        else
            rmq_json_skip(json);
    }
}

static void read_queues(route_reader *reader)
{
    rmq_json *json = &reader->json;
    if (!rmq_body_enter_object(json))
        return;
    queues_entry *added =
        rmq_body_list_add(json, &reader->queues, sizeof(*added), RMQ_ROUTE_MAX_BROKERS);
    if (added == NULL)
        return;
    rmq_route_queues *queues = &added->queues;
    added->order = reader->queues.count;
    read_queue_fields(json, queues);
    if (queues->broker_name == NULL)
        rmq_json_fail_at(json, "queues of a broker without a name", json->at);
    if (queues->read_queues < 0 || queues->write_queues < 0)
        rmq_json_fail_at(json, "a negative number of queues", json->at);
    if (queues->read_queues > RMQ_ROUTE_MAX_QUEUES_PER_BROKER ||
        queues->write_queues > RMQ_ROUTE_MAX_QUEUES_PER_BROKER)
        rmq_body_full(json);
}

static void read_route(route_reader *reader)
{
    rmq_json *json = &reader->json;
    rmq_slice key;
    if (!rmq_json_enter_object(json))
        return;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "brokerDatas")) {
            if (rmq_body_enter_array(json)) {
                while (rmq_json_next_element(json))
                    rmq_route_brokers_read(json, (rmq_slice){"", 0}, &reader->brokers);
            }
        } else if (rmq_slice_equals(key, "queueDatas")) {
            if (rmq_body_enter_array(json)) {
                while (rmq_json_next_element(json))
                    read_queues(reader);
            }
        } else if (rmq_slice_equals(key, "orderTopicConf")) {
            rmq_body_text(json, &reader->order_topic_conf);
        } else {
            rmq_json_skip(json);
        }
    }
}

static int compare_queues(const void *left, const void *right)
{
    const queues_entry *a = left;
    const queues_entry *b = right;
    int by_name = strcmp(a->queues.broker_name, b->queues.broker_name);
    return by_name != 0 ? by_name : (a->order > b->order) - (a->order < b->order);
}

/* Moves the queues into `route`, sorted; of those of one broker the last entry stays. */
static rmq_status move_queues(rmq_body_list *list, rmq_route *route, rmq_error *err)
{
    queues_entry *entries = list->items;
    size_t n_entries = list->count;
    if (n_entries == 0)
        return RMQ_OK;
    route->queues = rmq_calloc(n_entries, sizeof(*route->queues));
    if (route->queues == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the queues of %zu brokers", n_entries);
    qsort(entries, n_entries, sizeof(*entries), compare_queues);
    int64_t n_queues = 0;
    for (size_t i = 0; i < n_entries; i++) {
        rmq_route_queues *queues = &entries[i].queues;
        if (i + 1 < n_entries &&
            strcmp(queues->broker_name, entries[i + 1].queues.broker_name) == 0) {
            rmq_free(queues->broker_name);
            continue;
        }
        route->queues[route->n_queues++] = *queues;
        n_queues +=
            queues->read_queues > queues->write_queues ? queues->read_queues : queues->write_queues;
    }
    list->count = 0;
    if (n_queues > RMQ_ROUTE_MAX_QUEUES)
        return rmq_error_set(err, RMQ_FULL, "%lld queues, more than %d", (long long)n_queues,
                             RMQ_ROUTE_MAX_QUEUES);
    return RMQ_OK;
}

static void route_reader_deinit(route_reader *reader)
{
    queues_entry *entries = reader->queues.items;
    for (size_t i = 0; i < reader->queues.count; i++)
        rmq_free(entries[i].queues.broker_name);
    rmq_free(entries);
    rmq_route_brokers_free(&reader->brokers);
    rmq_free(reader->order_topic_conf);
    rmq_json_deinit(&reader->json);
}

rmq_status rmq_route_decode(rmq_slice body, rmq_route *out_route, rmq_error *err)
{
    route_reader reader = {.brokers = {0}};
    rmq_route route = {.brokers = NULL};
    rmq_body_init(&reader.json, body);
    read_route(&reader);
    rmq_status status = rmq_body_finish(&reader.json, "route", err);
    if (status == RMQ_OK)
        status = rmq_route_brokers_move(&reader.brokers, &route, err);
    if (status == RMQ_OK)
        status = move_queues(&reader.queues, &route, err);
    if (status == RMQ_OK) {
        route.order_topic_conf = reader.order_topic_conf;
        reader.order_topic_conf = NULL;
        *out_route = route;
    } else {
        rmq_route_deinit(&route);
    }
    route_reader_deinit(&reader);
    return status;
}

void rmq_route_deinit(rmq_route *route)
{
    for (size_t i = 0; i < route->n_brokers; i++)
        rmq_route_broker_deinit(&route->brokers[i]);
    rmq_free(route->brokers);
    for (size_t i = 0; i < route->n_queues; i++)
        rmq_free(route->queues[i].broker_name);
    rmq_free(route->queues);
    rmq_free(route->order_topic_conf);
    *route = (rmq_route){.brokers = NULL};
}

static bool same_text(const char *left, const char *right)
{
    return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

static bool same_broker(const rmq_route_broker *left, const rmq_route_broker *right)
{
    if (!same_text(left->broker_name, right->broker_name) ||
        !same_text(left->cluster, right->cluster) || left->n_addresses != right->n_addresses)
        return false;
    for (size_t i = 0; i < left->n_addresses; i++) {
        if (left->addresses[i].broker_id != right->addresses[i].broker_id ||
            !same_text(left->addresses[i].address, right->addresses[i].address))
            return false;
    }
    return true;
}

static bool same_queues(const rmq_route_queues *left, const rmq_route_queues *right)
{
    return same_text(left->broker_name, right->broker_name) &&
           left->read_queues == right->read_queues && left->write_queues == right->write_queues &&
           left->perm == right->perm && left->topic_sys_flag == right->topic_sys_flag;
}

bool rmq_route_equals(const rmq_route *left, const rmq_route *right)
{
    if (left->n_brokers != right->n_brokers || left->n_queues != right->n_queues ||
        !same_text(left->order_topic_conf, right->order_topic_conf))
        return false;
    for (size_t i = 0; i < left->n_brokers; i++) {
        if (!same_broker(&left->brokers[i], &right->brokers[i]))
            return false;
    }
    for (size_t i = 0; i < left->n_queues; i++) {
        if (!same_queues(&left->queues[i], &right->queues[i]))
            return false;
    }
    return true;
}

/* As strcmp, for a slice and a string. */
static int compare_name(rmq_slice name, const char *string)
{
    size_t len = strlen(string);
    size_t common = name.len < len ? name.len : len;
    int order = common == 0 ? 0 : memcmp(name.data, string, common);
    return order != 0 ? order : (name.len > len) - (name.len < len);
}

const rmq_route_broker *rmq_route_broker_find(const rmq_route *route, rmq_slice broker_name)
{
    size_t low = 0;
    size_t high = route->n_brokers;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_name(broker_name, route->brokers[middle].broker_name);
        if (order == 0)
            return &route->brokers[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *rmq_route_broker_address(const rmq_route_broker *broker, int64_t broker_id)
{
    for (size_t i = 0; i < broker->n_addresses; i++) {
        if (broker->addresses[i].broker_id == broker_id)
            return broker->addresses[i].address;
    }
    return NULL;
}
