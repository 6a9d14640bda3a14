/* The map behind the tables of topics, groups, offsets and settings.
 *
 * Chained buckets for the look-up, and a list through all entries so that answers which list
 * something always list it in the same order. Keys come from clients, so the hash (FNV-1a) starts
 * at a random seed. The table doubles when it is full and never shrinks. */
#include "string_map.h"

#include <string.h>

#define FIRST_BUCKETS 16u

void rmq_dev_map_init(rmq_dev_map *map, uint32_t seed)
{
    memset(map, 0, sizeof(*map));
    map->seed = seed;
}

void rmq_dev_map_deinit(rmq_dev_map *map)
{
    rmq_dev_map_entry *entry = map->first;
    while (entry != NULL) {
        rmq_dev_map_entry *next = entry->next;
        rmq_free(entry);
        entry = next;
    }
    rmq_free(map->buckets);
    memset(map, 0, sizeof(*map));
}

static uint32_t hash_of(const rmq_dev_map *map, rmq_slice key)
{
    uint32_t hash = 2166136261u ^ map->seed;
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (uint8_t)key.data[i]) * 16777619u;
    return hash ^ (hash >> 15);
}

static rmq_dev_map_entry **slot_of(const rmq_dev_map *map, rmq_slice key, uint32_t hash)
{
    rmq_dev_map_entry **slot = &map->buckets[hash & (map->n_buckets - 1)];
    while (*slot != NULL) {
        rmq_dev_map_entry *entry = *slot;
        if (entry->hash == hash && entry->key_len == key.len &&
            (key.len == 0 || memcmp(entry->key, key.data, key.len) == 0))
            break;
        slot = &entry->next_in_bucket;
    }
    return slot;
}

void *rmq_dev_map_get(const rmq_dev_map *map, rmq_slice key)
{
    if (map->count == 0)
        return NULL;
    rmq_dev_map_entry *entry = *slot_of(map, key, hash_of(map, key));
    return entry != NULL ? entry->value : NULL;
}

static rmq_status grow(rmq_dev_map *map)
{
    size_t n_buckets = map->n_buckets == 0 ? FIRST_BUCKETS : map->n_buckets * 2;
    rmq_dev_map_entry **buckets = rmq_calloc(n_buckets, sizeof(rmq_dev_map_entry *));
    if (buckets == NULL)
        return RMQ_NOMEM;
    for (rmq_dev_map_entry *entry = map->first; entry != NULL; entry = entry->next) {
        rmq_dev_map_entry **bucket = &buckets[entry->hash & (n_buckets - 1)];
        entry->next_in_bucket = *bucket;
        *bucket = entry;
    }
    rmq_free(map->buckets);
    map->buckets = buckets;
    map->n_buckets = n_buckets;
    return RMQ_OK;
}

rmq_status rmq_dev_map_add(rmq_dev_map *map, rmq_slice key, void *value)
{
    if (map->count >= map->n_buckets && grow(map) != RMQ_OK)
        return RMQ_NOMEM;
    rmq_dev_map_entry *entry = rmq_calloc(1, sizeof(*entry) + key.len + 1);
    if (entry == NULL)
        return RMQ_NOMEM;
    entry->value = value;
    entry->hash = hash_of(map, key);
    entry->key_len = key.len;
    if (key.len > 0)
        memcpy(entry->key, key.data, key.len);
    rmq_dev_map_entry **bucket = &map->buckets[entry->hash & (map->n_buckets - 1)];
    entry->next_in_bucket = *bucket;
    *bucket = entry;
    entry->previous = map->last;
    if (map->last != NULL)
        map->last->next = entry;
    else
        map->first = entry;
    map->last = entry;
    map->count++;
    return RMQ_OK;
}

void *rmq_dev_map_remove(rmq_dev_map *map, rmq_slice key)
{
    if (map->count == 0)
        return NULL;
    rmq_dev_map_entry **slot = slot_of(map, key, hash_of(map, key));
    rmq_dev_map_entry *entry = *slot;
    if (entry == NULL)
        return NULL;
    void *value = entry->value;
    *slot = entry->next_in_bucket;
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        map->first = entry->next;
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    else
        map->last = entry->previous;
    map->count--;
    rmq_free(entry);
    return value;
}
