/* A map from strings to pointers that remembers the order of insertion. */
#ifndef RMQ_DEV_STRING_MAP_H
#define RMQ_DEV_STRING_MAP_H

#include <rmq/base.h>

/* Walk all: for (entry = map->first; entry != NULL; entry = entry->next). Don't remove while
 * walking, except the entry whose `next` was noted before. */
typedef struct rmq_dev_map_entry {
    struct rmq_dev_map_entry *next;
    struct rmq_dev_map_entry *previous;
    struct rmq_dev_map_entry *next_in_bucket;
    void *value;
    uint32_t hash;
    size_t key_len;
    char key[]; /* zero-terminated as well */
} rmq_dev_map_entry;

typedef struct rmq_dev_map {
    rmq_dev_map_entry **buckets;
    size_t n_buckets; /* a power of two, or 0 */
    size_t count;
    uint32_t seed;
    rmq_dev_map_entry *first;
    rmq_dev_map_entry *last;
} rmq_dev_map;

/* `seed` makes the hash of keys hard to guess for a client. */
void rmq_dev_map_init(rmq_dev_map *map, uint32_t seed);
/* Frees the entries; the values are the caller's. */
void rmq_dev_map_deinit(rmq_dev_map *map);

void *rmq_dev_map_get(const rmq_dev_map *map, rmq_slice key); /* NULL if absent */
/* The key must not be there yet. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_map_add(rmq_dev_map *map, rmq_slice key, void *value);
/* Returns the value that was there, or NULL. */
void *rmq_dev_map_remove(rmq_dev_map *map, rmq_slice key);

#endif
