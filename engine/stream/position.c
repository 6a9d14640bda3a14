/* Positions and ranges: plain values that own their strings, kept sorted by queue.
 *
 * A range begins with the whole position, fingerprint included, so that a plan says by itself what
 * was read before it: a process that runs the plan again needs no other file to see whether the
 * broker still has the same records.
 *
 * Generations tell apart records that have the same queue and offset: when data was lost and the
 * job was told to go on, the queue's numbers may begin anew (a topic made anew), and what comes is
 * not what was read before. */
#include "position.h"

#include <stdlib.h>
#include <string.h>

rmq_queue mill_position_queue(const mill_position *position)
{
    return (rmq_queue){position->topic, position->broker_name, position->queue_id};
}

static rmq_status no_memory(rmq_error *err)
{
    return rmq_error_set(err, RMQ_NOMEM, "out of memory for the positions of a stream");
}

/* Room for one more item; NULL if there is none. */
static void *grow(void *items, size_t count, size_t *capacity, size_t size_bytes)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity == 0 ? 8 : *capacity * 2;
    if (wanted > SIZE_MAX / size_bytes)
        return NULL;
    void *grown = rmq_realloc(items, wanted * size_bytes);
    if (grown != NULL)
        *capacity = wanted;
    return grown;
}

static rmq_status position_init(mill_position *position, const rmq_queue *queue,
                                int64_t next_offset, rmq_error *err)
{
    memset(position, 0, sizeof(*position));
    position->topic = rmq_strdup(queue->topic);
    position->broker_name = rmq_strdup(queue->broker_name);
    if (position->topic == NULL || position->broker_name == NULL) {
        rmq_free(position->topic);
        rmq_free(position->broker_name);
        return no_memory(err);
    }
    position->queue_id = queue->queue_id;
    position->next_offset = next_offset;
    return RMQ_OK;
}

static void position_deinit(mill_position *position)
{
    rmq_free(position->topic);
    rmq_free(position->broker_name);
}

rmq_status mill_positions_add(mill_positions *positions, const rmq_queue *queue,
                              int64_t next_offset, rmq_error *err)
{
    mill_position *items =
        grow(positions->items, positions->count, &positions->capacity, sizeof(mill_position));
    if (items == NULL)
        return no_memory(err);
    positions->items = items;
    rmq_status status = position_init(&items[positions->count], queue, next_offset, err);
    if (status == RMQ_OK)
        positions->count++;
    return status;
}

rmq_status mill_positions_copy(mill_positions *positions, const mill_position *position,
                               rmq_error *err)
{
    rmq_queue queue = mill_position_queue(position);
    rmq_status status = mill_positions_add(positions, &queue, position->next_offset, err);
    if (status != RMQ_OK)
        return status;
    mill_position *copy = &positions->items[positions->count - 1];
    copy->generation = position->generation;
    copy->last = position->last;
    return RMQ_OK;
}

static int compare_positions(const void *left, const void *right)
{
    rmq_queue left_queue = mill_position_queue(left);
    rmq_queue right_queue = mill_position_queue(right);
    return rmq_queue_compare(&left_queue, &right_queue);
}

void mill_positions_sort(mill_positions *positions)
{
    if (positions->count > 1)
        qsort(positions->items, positions->count, sizeof(mill_position), compare_positions);
}

const mill_position *mill_positions_find(const mill_positions *positions, const rmq_queue *queue)
{
    if (positions == NULL || positions->count == 0)
        return NULL;
    const mill_position key = {.topic = (char *)(uintptr_t)queue->topic,
                               .broker_name = (char *)(uintptr_t)queue->broker_name,
                               .queue_id = queue->queue_id};
    return bsearch(&key, positions->items, positions->count, sizeof(mill_position),
                   compare_positions);
}

void mill_positions_clear(mill_positions *positions)
{
    for (size_t i = 0; i < positions->count; i++)
        position_deinit(&positions->items[i]);
    rmq_free(positions->items);
    memset(positions, 0, sizeof(*positions));
}

rmq_status mill_ranges_add(mill_ranges *ranges, const mill_position *from, rmq_error *err)
{
    mill_range *items = grow(ranges->items, ranges->count, &ranges->capacity, sizeof(mill_range));
    if (items == NULL)
        return no_memory(err);
    ranges->items = items;
    mill_range *range = &items[ranges->count];
    memset(range, 0, sizeof(*range));
    rmq_queue queue = mill_position_queue(from);
    rmq_status status = position_init(&range->from, &queue, from->next_offset, err);
    if (status != RMQ_OK)
        return status;
    range->from.generation = from->generation;
    range->from.last = from->last;
    range->end_offset = from->next_offset;
    ranges->count++;
    return RMQ_OK;
}

/* `from` is the first member, so that a range can be compared as the position that it begins with.
 */
void mill_ranges_sort(mill_ranges *ranges)
{
    if (ranges->count > 1)
        qsort(ranges->items, ranges->count, sizeof(mill_range), compare_positions);
}

mill_range *mill_ranges_find(const mill_ranges *ranges, const rmq_queue *queue)
{
    for (size_t i = 0; i < ranges->count; i++) {
        rmq_queue other = mill_position_queue(&ranges->items[i].from);
        if (rmq_queue_compare(&other, queue) == 0)
            return &ranges->items[i];
    }
    return NULL;
}

void mill_ranges_clear(mill_ranges *ranges)
{
    for (size_t i = 0; i < ranges->count; i++)
        position_deinit(&ranges->items[i].from);
    rmq_free(ranges->items);
    memset(ranges, 0, sizeof(*ranges));
}

mill_stream_plan *mill_stream_plan_new(size_t n_sources)
{
    mill_stream_plan *plan = rmq_calloc(1, sizeof(*plan));
    if (plan == NULL)
        return NULL;
    plan->sources = rmq_calloc(n_sources > 0 ? n_sources : 1, sizeof(mill_stream_plan_source));
    if (plan->sources == NULL) {
        rmq_free(plan);
        return NULL;
    }
    plan->n_sources = n_sources;
    return plan;
}

void mill_stream_plan_free(mill_stream_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->n_sources; i++) {
        rmq_free(plan->sources[i].name);
        mill_ranges_clear(&plan->sources[i].ranges);
    }
    rmq_free(plan->sources);
    rmq_free(plan);
}

mill_state *mill_state_new(size_t n_sources)
{
    mill_state *state = rmq_calloc(1, sizeof(*state));
    if (state == NULL)
        return NULL;
    state->sources = rmq_calloc(n_sources > 0 ? n_sources : 1, sizeof(mill_state_source));
    if (state->sources == NULL) {
        rmq_free(state);
        return NULL;
    }
    state->n_sources = n_sources;
    return state;
}

void mill_state_free(mill_state *state)
{
    if (state == NULL)
        return;
    for (size_t i = 0; i < state->n_sources; i++) {
        rmq_free(state->sources[i].name);
        mill_positions_clear(&state->sources[i].positions);
    }
    rmq_free(state->sources);
    rmq_free(state);
}

const mill_positions *mill_state_positions(const mill_state *state, const char *name)
{
    for (size_t i = 0; i < state->n_sources; i++) {
        if (strcmp(state->sources[i].name, name) == 0)
            return &state->sources[i].positions;
    }
    return NULL;
}
