/* The natural order of keys of the ready types. */
#ifndef MILL_KEY_ORDER_H
#define MILL_KEY_ORDER_H

#include "combine.h"

/* Whether keys of `type` have an order that mill_key_order_sort knows. */
bool mill_key_order_exists(const mill_type *type);
/* Less than, equal to or greater than 0, as the key `left` comes before, with or after `right`. */
int mill_key_order_compare(const mill_type *type, const void *left, const void *right);
/* Sorts `count` slots, none of them free, by the keys (of `type`, which has an order) of their
 * pairs. Their hashes are overwritten. `spare` has room for as many slots. */
void mill_key_order_sort(const mill_type *type, mill_combine_slot *slots, mill_combine_slot *spare,
                         size_t count);

#endif
