/* Pair types: (key, value) rows. */
#ifndef MILL_PAIR_H
#define MILL_PAIR_H

#include <mill/dataset.h>

#include <pthread.h>

/* Serialized bytes of each row of a pair type of ours whose parts both have a fixed width; else 0.
 */
size_t mill_pair_width(const mill_type *type);

/* The pair types of one context. */
typedef struct mill_pair_type mill_pair_type;
typedef struct mill_pair_types {
    pthread_mutex_t lock; /* guards first */
    mill_pair_type *first;
} mill_pair_types;

void mill_pair_types_init(mill_pair_types *types);
void mill_pair_types_deinit(mill_pair_types *types);
/* One per pair of types; lives as long as `types`. NULL and `err` on INVAL, NOMEM. Thread: any. */
const mill_type *mill_pair_types_get(mill_pair_types *types, const mill_type *key,
                                     const mill_type *value, rmq_error *err);

#endif
