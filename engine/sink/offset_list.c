/* A list of queue positions that owns its strings. There are as many as a job has queues, tens or
 * hundreds; a list is enough. */
#include "offset_list.h"

#include <string.h>

bool mill_offset_same_queue(const mill_offset *left, const mill_offset *right)
{
    return left->queue_id == right->queue_id &&
           strcmp(left->broker_name, right->broker_name) == 0 &&
           strcmp(left->topic, right->topic) == 0 && strcmp(left->source, right->source) == 0;
}

static void free_strings(mill_offset *offset)
{
    /* const for whoever reads the list; the memory is ours */
    rmq_free((void *)(uintptr_t)offset->source);
    rmq_free((void *)(uintptr_t)offset->topic);
    rmq_free((void *)(uintptr_t)offset->broker_name);
}

bool mill_offset_list_put(mill_offset_list *list, const mill_offset *offset)
{
    for (size_t i = 0; i < list->count; i++) {
        if (mill_offset_same_queue(&list->items[i], offset)) {
            list->items[i].next_offset = offset->next_offset;
            return true;
        }
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 8;
        mill_offset *grown = rmq_realloc(list->items, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        list->items = grown;
        list->capacity = capacity;
    }
    mill_offset copy = *offset;
    copy.source = rmq_strdup(offset->source);
    copy.topic = rmq_strdup(offset->topic);
    copy.broker_name = rmq_strdup(offset->broker_name);
    if (copy.source == NULL || copy.topic == NULL || copy.broker_name == NULL) {
        free_strings(&copy);
        return false;
    }
    list->items[list->count++] = copy;
    return true;
}

bool mill_offset_list_put_all(mill_offset_list *list, const mill_offset *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!mill_offset_list_put(list, &offsets[i]))
            return false;
    }
    return true;
}

void mill_offset_list_deinit(mill_offset_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free_strings(&list->items[i]);
    rmq_free(list->items);
    *list = (mill_offset_list){0};
}
