/* Listing and describing topics. A description is the route with what each master says of its
 * queues (all masters asked at once); a broker that doesn't answer leaves its queues without
 * offsets. */
#include <rmq/admin.h>

#include "../proto/codes.h"
#include "call_many.h"
#include "client_state.h"
#include "lookup.h"
#include "namesrv.h"

#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

struct rmq_topic_names {
    char **names;
    size_t count;
};

static int compare_names(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;
    return strcmp(*a, *b);
}

rmq_status rmq_topic_list(rmq_client *client, rmq_topic_names **out_names, rmq_error *err)
{
    rmq_answer *answer = NULL;
    rmq_command request;
    rmq_topic_names *names = rmq_calloc(1, sizeof(*names));
    if (names == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a list of topics");
    rmq_command_init(&request, RMQ_REQUEST_GET_ALL_TOPIC_LIST_FROM_NAMESERVER);
    rmq_status status =
        rmq_ask_namesrv(client, &request, rmq_lookup_deadline(client), &answer, err);
    if (status == RMQ_OK)
        status = rmq_topic_list_decode(answer->command.body, &names->names, &names->count, err);
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    if (status != RMQ_OK) {
        rmq_free(names);
        return status;
    }
    if (names->count > 1)
        qsort(names->names, names->count, sizeof(names->names[0]), compare_names);
    *out_names = names;
    return RMQ_OK;
}

size_t rmq_topic_names_count(const rmq_topic_names *names)
{
    return names->count;
}

const char *rmq_topic_names_at(const rmq_topic_names *names, size_t index)
{
    return names->names[index];
}

void rmq_topic_names_free(rmq_topic_names *names)
{
    if (names == NULL)
        return;
    rmq_topic_list_free(names->names, names->count);
    rmq_free(names);
}

/* ---- description ---- */

struct rmq_topic_description {
    char *topic;
    rmq_topic_queue *queues;
    size_t count;
    char **strings; /* names that the queues point to */
    size_t n_strings;
    size_t strings_capacity;
};

static const char *keep_string(rmq_topic_description *description, const char *string)
{
    if (description->n_strings == description->strings_capacity)
        return NULL; /* the capacity was counted; never here */
    char *copy = rmq_strdup(string != NULL ? string : "");
    if (copy != NULL)
        description->strings[description->n_strings++] = copy;
    return copy;
}

static int32_t queues_of(const rmq_route_queues *queues)
{
    return queues->read_queues > queues->write_queues ? queues->read_queues : queues->write_queues;
}

static rmq_status add_queues(rmq_topic_description *description, const rmq_route *route,
                             const rmq_route_queues *queues)
{
    const rmq_route_broker *broker =
        rmq_route_broker_find(route, rmq_slice_of(queues->broker_name));
    const char *name = keep_string(description, queues->broker_name);
    const char *address =
        keep_string(description, broker != NULL ? rmq_route_broker_address(broker, 0) : NULL);
    const char *cluster = keep_string(description, broker != NULL ? broker->cluster : NULL);
    if (name == NULL || address == NULL || cluster == NULL)
        return RMQ_NOMEM;
    for (int32_t id = 0; id < queues_of(queues); id++) {
        description->queues[description->count++] = (rmq_topic_queue){
            .queue = {description->topic, name, id},
            .broker_address = address,
            .cluster = cluster,
            .perm = queues->perm,
            .readable = (queues->perm & RMQ_PERM_READ) != 0 && id < queues->read_queues,
            .writable = (queues->perm & RMQ_PERM_WRITE) != 0 && id < queues->write_queues,
            .min_offset = -1,
            .max_offset = -1,
        };
    }
    return RMQ_OK;
}

static int compare_queues(const void *left, const void *right)
{
    const rmq_topic_queue *a = left;
    const rmq_topic_queue *b = right;
    return rmq_queue_compare(&a->queue, &b->queue);
}

/* The route's own caps keep the sums far from overflow. */
static rmq_status use_route(void *ctx, const rmq_route *route, rmq_error *err)
{
    rmq_topic_description *description = ctx;
    size_t count = 0;
    for (size_t i = 0; i < route->n_queues; i++)
        count += (size_t)queues_of(&route->queues[i]);
    description->queues = rmq_calloc(count + 1, sizeof(*description->queues));
    description->strings_capacity = 3 * route->n_queues;
    description->strings =
        rmq_calloc(description->strings_capacity + 1, sizeof(*description->strings));
    rmq_status status =
        description->queues != NULL && description->strings != NULL ? RMQ_OK : RMQ_NOMEM;
    for (size_t i = 0; i < route->n_queues && status == RMQ_OK; i++)
        status = add_queues(description, route, &route->queues[i]);
    if (status != RMQ_OK)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu queues", count);
    qsort(description->queues, description->count, sizeof(*description->queues), compare_queues);
    return RMQ_OK;
}

static void take_stats(rmq_topic_description *description, const char *address,
                       const rmq_answer *answer, rmq_client *client)
{
    rmq_topic_stat *stats = NULL;
    size_t count = 0;
    rmq_error error;
    if (rmq_topic_stats_decode(answer->command.body, &stats, &count, &error) != RMQ_OK) {
        rmq_client_log(client, RMQ_LOG_WARN, "admin", "GET_TOPIC_STATS_INFO of %s: %s", address,
                       error.text);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const rmq_topic_queue wanted = {
            .queue = {stats[i].topic, stats[i].broker_name, stats[i].queue_id}};
        rmq_topic_queue *queue = bsearch(&wanted, description->queues, description->count,
                                         sizeof(*description->queues), compare_queues);
        if (queue == NULL || strcmp(queue->broker_address, address) != 0)
            continue;
        queue->min_offset = stats[i].min_offset;
        queue->max_offset = stats[i].max_offset;
        queue->last_update_ms = stats[i].last_update_ms;
    }
    rmq_topic_stats_free(stats, count);
}

/* One question to each master; queues are sorted by broker, so its queues stand together. */
static rmq_status ask_stats(rmq_client *client, rmq_topic_description *description,
                            int64_t deadline_ns, rmq_error *err)
{
    rmq_many_item *items = rmq_calloc(description->count + 1, sizeof(*items));
    if (items == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu questions", description->count);
    size_t n_items = 0;
    for (size_t i = 0; i < description->count; i++) {
        const char *address = description->queues[i].broker_address;
        if (address[0] == '\0' || (n_items > 0 && strcmp(items[n_items - 1].address, address) == 0))
            continue;
        rmq_many_item *item = &items[n_items++];
        strncpy(item->address, address, sizeof(item->address) - 1);
        rmq_command_init(&item->request, RMQ_REQUEST_GET_TOPIC_STATS_INFO);
        rmq_command_set(&item->request, "topic", description->topic);
    }
    int64_t left_ms = rmq_lookup_left_ms(deadline_ns);
    rmq_call_many(client, items, n_items, left_ms > 0 ? left_ms : 1);
    rmq_status status = RMQ_OK;
    for (size_t i = 0; i < n_items; i++) {
        if (items[i].status == RMQ_OK)
            take_stats(description, items[i].address, items[i].answer, client);
        else if (items[i].status == RMQ_CANCELLED || items[i].status == RMQ_NOMEM ||
                 items[i].status == RMQ_AUTH)
            status = items[i].status;
        if (status == items[i].status && status != RMQ_OK && err != NULL)
            *err = items[i].error;
        rmq_answer_free(items[i].answer);
        rmq_command_deinit(&items[i].request);
    }
    rmq_free(items);
    return status;
}

rmq_status rmq_topic_describe(rmq_client *client, const char *topic,
                              rmq_topic_description **out_description, rmq_error *err)
{
    if (topic == NULL || topic[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "no topic is named");
    rmq_topic_description *description = rmq_calloc(1, sizeof(*description));
    char *name = rmq_strdup(topic);
    if (description == NULL || name == NULL) {
        rmq_free(name);
        rmq_free(description);
        return rmq_error_set(err, RMQ_NOMEM, "no memory to describe a topic");
    }
    description->topic = name;
    const rmq_lookup lookup = {.topic = topic, .deadline_ns = rmq_lookup_deadline(client)};
    rmq_client_enter(client);
    rmq_status status = rmq_lookup_route(client, &lookup, use_route, description, err);
    if (status == RMQ_OK)
        status = ask_stats(client, description, lookup.deadline_ns, err);
    rmq_client_leave(client);
    if (status != RMQ_OK) {
        rmq_topic_description_free(description);
        return status;
    }
    *out_description = description;
    return RMQ_OK;
}

size_t rmq_topic_description_count(const rmq_topic_description *description)
{
    return description->count;
}

const rmq_topic_queue *rmq_topic_description_at(const rmq_topic_description *description,
                                                size_t index)
{
    return &description->queues[index];
}

void rmq_topic_description_free(rmq_topic_description *description)
{
    if (description == NULL)
        return;
    for (size_t i = 0; i < description->n_strings; i++)
        rmq_free(description->strings[i]);
    rmq_free(description->strings);
    rmq_free(description->queues);
    rmq_free(description->topic);
    rmq_free(description);
}
