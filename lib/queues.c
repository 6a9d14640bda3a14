/* Queues of a topic, in the order in which allocation sorts them. A list is one block of memory:
 * the queues and, behind them, the names they point to. */
#include "queues.h"

#include "client_state.h"
#include "lookup.h"

#include <stdlib.h>
#include <string.h>

struct rmq_queue_list {
    size_t count;
    char *names; /* the topic, then the brokers' names */
    rmq_queue queues[];
};

int rmq_queue_compare(const rmq_queue *left, const rmq_queue *right)
{
    int order = strcmp(left->topic, right->topic);
    if (order == 0)
        order = strcmp(left->broker_name, right->broker_name);
    if (order == 0)
        order = (left->queue_id > right->queue_id) - (left->queue_id < right->queue_id);
    return (order > 0) - (order < 0);
}

static int compare(const void *left, const void *right)
{
    return rmq_queue_compare(left, right);
}

static bool readable(const rmq_route_queues *queues)
{
    return (queues->perm & RMQ_PERM_READ) != 0 && queues->read_queues > 0;
}

static void fill(rmq_queue_list *list, const char *topic, const rmq_route *route)
{
    char *at = list->names;
    size_t len = strlen(topic) + 1;
    const char *topic_copy = memcpy(at, topic, len);
    at += len;
    for (size_t i = 0; i < route->n_queues; i++) {
        const rmq_route_queues *queues = &route->queues[i];
        if (!readable(queues))
            continue;
        len = strlen(queues->broker_name) + 1;
        const char *broker_name = memcpy(at, queues->broker_name, len);
        at += len;
        for (int32_t id = 0; id < queues->read_queues; id++)
            list->queues[list->count++] = (rmq_queue){topic_copy, broker_name, id};
    }
    qsort(list->queues, list->count, sizeof(list->queues[0]), compare);
}

static rmq_queue_list *list_new(size_t count, size_t names_bytes)
{
    rmq_queue_list *list =
        rmq_calloc(1, sizeof(*list) + count * sizeof(list->queues[0]) + names_bytes);
    if (list != NULL)
        list->names = (char *)&list->queues[count];
    return list;
}

/* The route's own caps (RMQ_ROUTE_MAX_QUEUES) keep the sums far from overflow. */
rmq_status rmq_queue_list_of_route(const char *topic, const rmq_route *route,
                                   rmq_queue_list **out_queues, rmq_error *err)
{
    size_t count = 0;
    size_t names_bytes = strlen(topic) + 1;
    for (size_t i = 0; i < route->n_queues; i++) {
        if (!readable(&route->queues[i]))
            continue;
        count += (size_t)route->queues[i].read_queues;
        names_bytes += strlen(route->queues[i].broker_name) + 1;
    }
    if (count == 0)
        return rmq_error_set(err, RMQ_NOT_FOUND, "topic \"%s\" has no readable queue", topic);
    rmq_queue_list *list = list_new(count, names_bytes);
    if (list == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu queues", count);
    fill(list, topic, route);
    *out_queues = list;
    return RMQ_OK;
}

rmq_status rmq_queue_list_copy(const rmq_queue *queues, size_t count, rmq_queue_list **out_queues,
                               rmq_error *err)
{
    size_t names_bytes = 0;
    for (size_t i = 0; i < count; i++)
        names_bytes += strlen(queues[i].topic) + strlen(queues[i].broker_name) + 2;
    rmq_queue_list *list = list_new(count, names_bytes);
    if (list == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu queues", count);
    char *at = list->names;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(queues[i].topic) + 1;
        const char *topic = memcpy(at, queues[i].topic, len);
        at += len;
        len = strlen(queues[i].broker_name) + 1;
        const char *broker_name = memcpy(at, queues[i].broker_name, len);
        at += len;
        list->queues[i] = (rmq_queue){topic, broker_name, queues[i].queue_id};
    }
    list->count = count;
    *out_queues = list;
    return RMQ_OK;
}

typedef struct list_question {
    const char *topic;
    rmq_queue_list *list;
} list_question;

static rmq_status use_queues(void *ctx, const rmq_route *route, rmq_error *err)
{
    list_question *question = ctx;
    return rmq_queue_list_of_route(question->topic, route, &question->list, err);
}

rmq_status rmq_client_queues(rmq_client *client, const char *topic, rmq_queue_list **out_queues,
                             rmq_error *err)
{
    if (topic == NULL || topic[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "no topic is named");
    list_question question = {.topic = topic};
    const rmq_lookup lookup = {
        .topic = topic, .deadline_ns = rmq_lookup_deadline(client), .patient = true};
    rmq_status status = rmq_lookup_route(client, &lookup, use_queues, &question, err);
    if (status == RMQ_OK)
        *out_queues = question.list;
    return status;
}

size_t rmq_queue_list_count(const rmq_queue_list *queues)
{
    return queues->count;
}

const rmq_queue *rmq_queue_list_at(const rmq_queue_list *queues, size_t index)
{
    return &queues->queues[index];
}

void rmq_queue_list_free(rmq_queue_list *queues)
{
    rmq_free(queues);
}
