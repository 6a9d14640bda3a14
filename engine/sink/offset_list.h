/* A list of queue positions that owns its strings. */
#ifndef MILL_OFFSET_LIST_H
#define MILL_OFFSET_LIST_H

#include <mill/sink.h>

/* All zero is an empty list. */
typedef struct mill_offset_list {
    mill_offset *items;
    size_t count;
    size_t capacity;
} mill_offset_list;

/* Appends a copy of `offset`, or replaces the next_offset of its queue. False if memory ran out:
 * the list is then unchanged. */
RMQ_MUST_CHECK bool mill_offset_list_put(mill_offset_list *list, const mill_offset *offset);
/* Puts all of `offsets`. On false some of them may be there. */
RMQ_MUST_CHECK bool mill_offset_list_put_all(mill_offset_list *list, const mill_offset *offsets,
                                             size_t count);
void mill_offset_list_deinit(mill_offset_list *list);

/* Whether both are of the same queue of the same source. */
bool mill_offset_same_queue(const mill_offset *left, const mill_offset *right);

#endif
