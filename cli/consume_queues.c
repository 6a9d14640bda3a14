/* Which queues a consume command reads, from where, to where.
 *
 * A group's committed offset wins over --from. Ends are fixed when a queue is first seen: `--until
 * end` means the ends of that moment. A queue that appears while the command runs starts at its
 * first message, so that none is missed. A member of a group reads the queues that it is given. */
#include "consume_queues.h"

#include <string.h>

static rmq_status position_offset(const mill_consume_plan *plan, const rmq_queue *queue,
                                  mill_position position, int64_t *out_offset, rmq_error *err)
{
    switch (position.kind) {
    case MILL_POSITION_EARLIEST:
        return rmq_queue_min_offset(plan->client, queue, out_offset, err);
    case MILL_POSITION_LATEST:
    case MILL_POSITION_END:
        return rmq_queue_max_offset(plan->client, queue, out_offset, err);
    case MILL_POSITION_TIME:
        return rmq_queue_offset_at(plan->client, queue, position.value, out_offset, err);
    case MILL_POSITION_OFFSET:
        *out_offset = position.value;
        return RMQ_OK;
    case MILL_POSITION_NEVER:
        break;
    }
    *out_offset = RMQ_READ_ENDLESS;
    return RMQ_OK;
}

static rmq_status start_offset(const mill_consume_plan *plan, const rmq_queue *queue, bool first,
                               int64_t *out_offset, rmq_error *err)
{
    if (plan->group != NULL) {
        rmq_status status = rmq_group_offset(plan->client, plan->group, queue, out_offset, err);
        if (status != RMQ_NOT_FOUND)
            return status;
    }
    mill_position earliest = {MILL_POSITION_EARLIEST, 0};
    rmq_status status =
        position_offset(plan, queue, first ? plan->from : earliest, out_offset, err);
    if (status == RMQ_OK && plan->join)
        status = rmq_group_offset_commit(plan->client, plan->group, queue, *out_offset, err);
    return status;
}

/* A bare offset below what is still there means "from the first that is there", as a person
 * expects. */
static rmq_status clamp_start(const mill_consume_plan *plan, const rmq_queue *queue,
                              int64_t *offset, rmq_error *err)
{
    if (plan->from.kind != MILL_POSITION_OFFSET || plan->group != NULL)
        return RMQ_OK;
    int64_t min = 0;
    rmq_status status = rmq_queue_min_offset(plan->client, queue, &min, err);
    if (status == RMQ_OK && *offset < min)
        *offset = min;
    return status;
}

static rmq_status open_queue(const mill_consume_plan *plan, const rmq_queue *queue, bool first,
                             mill_consume_queues *queues, rmq_error *err)
{
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = *queue;
    config.group = plan->group;
    config.expression = plan->expression;
    config.sql92 = plan->sql92;
    config.on_ready = plan->on_ready;
    config.on_ready_ctx = plan->ctx;
    rmq_status status = start_offset(plan, queue, first, &config.start_offset, err);
    if (status == RMQ_OK)
        status = clamp_start(plan, queue, &config.start_offset, err);
    if (status == RMQ_OK)
        status = position_offset(plan, queue, plan->until, &config.end_offset, err);
    if (status != RMQ_OK)
        return status;
    mill_consume_queue *items = rmq_realloc(queues->items, (queues->count + 1) * sizeof(*items));
    if (items == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    queues->items = items;
    mill_consume_queue *item = &items[queues->count];
    memset(item, 0, sizeof(*item));
    item->queue_id = queue->queue_id;
    item->start = config.start_offset;
    item->printed = config.start_offset;
    item->committed = -1;
    item->broker_name = rmq_strdup(queue->broker_name);
    if (item->broker_name == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    if (config.end_offset <= config.start_offset)
        item->ended = true;
    else
        status = rmq_reader_open(plan->client, &config, &item->reader, err);
    if (status != RMQ_OK)
        rmq_free(item->broker_name);
    else
        queues->count++;
    return status;
}

static bool is_read(const mill_consume_queues *queues, const rmq_queue *queue)
{
    for (size_t i = 0; i < queues->count; i++)
        if (queues->items[i].queue_id == queue->queue_id &&
            strcmp(queues->items[i].broker_name, queue->broker_name) == 0)
            return true;
    return false;
}

static bool is_wanted(const mill_consume_plan *plan, const rmq_queue *queue)
{
    return (plan->queue_id < 0 || plan->queue_id == queue->queue_id) &&
           (plan->broker == NULL || strcmp(plan->broker, queue->broker_name) == 0);
}

rmq_status mill_consume_queues_find(const mill_consume_plan *plan, bool first,
                                    mill_consume_queues *queues, rmq_error *err)
{
    rmq_queue_list *list = NULL;
    rmq_status status = rmq_client_queues(plan->client, plan->topic, &list, err);
    for (size_t i = 0; status == RMQ_OK && i < rmq_queue_list_count(list); i++) {
        const rmq_queue *queue = rmq_queue_list_at(list, i);
        if (is_wanted(plan, queue) && !is_read(queues, queue))
            status = open_queue(plan, queue, first, queues, err);
    }
    rmq_queue_list_free(list);
    if (status == RMQ_OK && queues->count == 0)
        status =
            rmq_error_set(err, RMQ_NOT_FOUND, "topic %s has no such readable queue", plan->topic);
    return status;
}

static bool is_in(const rmq_queue_list *list, const char *broker_name, int32_t queue_id)
{
    for (size_t i = 0; i < rmq_queue_list_count(list); i++) {
        const rmq_queue *queue = rmq_queue_list_at(list, i);
        if (queue->queue_id == queue_id && strcmp(queue->broker_name, broker_name) == 0)
            return true;
    }
    return false;
}

bool mill_consume_queues_has(const rmq_queue_list *list, const mill_consume_queue *queue)
{
    return is_in(list, queue->broker_name, queue->queue_id);
}

rmq_status mill_consume_queues_take(const mill_consume_plan *plan, const rmq_queue_list *known,
                                    const rmq_queue_list *mine, mill_consume_queues *queues,
                                    rmq_error *err)
{
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < rmq_queue_list_count(mine); i++) {
        const rmq_queue *queue = rmq_queue_list_at(mine, i);
        bool first = is_in(known, queue->broker_name, queue->queue_id);
        if (!is_read(queues, queue))
            status = open_queue(plan, queue, first, queues, err);
    }
    return status;
}

void mill_consume_queues_drop(mill_consume_queues *queues, size_t index)
{
    mill_consume_queue *item = &queues->items[index];
    rmq_reader_close(item->reader);
    rmq_free(item->broker_name);
    queues->count--;
    memmove(item, item + 1, (queues->count - index) * sizeof(*item));
}

void mill_consume_queues_close(mill_consume_queues *queues)
{
    while (queues->count > 0)
        mill_consume_queues_drop(queues, queues->count - 1);
    rmq_free(queues->items);
    *queues = (mill_consume_queues){NULL, 0};
}
