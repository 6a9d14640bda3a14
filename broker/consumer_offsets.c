/* Offsets by "topic@group", as the real broker keeps them. A queue's number isn't checked: real
 * brokers store offsets of queues that don't exist (facts 9), so each list is an array of pairs
 * that is searched, and the number of all pairs is capped.
 *
 * Committed offsets survive a restart with a directory (they are in the journal, and a deleted
 * topic takes its offsets along); the pulled ones are statistics and don't. */
#include "consumer_offsets.h"

#include <string.h>

#include "buf.h"
#include "journal.h"

#define KEY_MAX_BYTES 4096

void rmq_dev_offsets_init(rmq_dev_offsets *offsets, uint32_t seed)
{
    memset(offsets, 0, sizeof(*offsets));
    rmq_dev_map_init(&offsets->lists, seed);
}

static void list_free(rmq_dev_offset_list *list)
{
    rmq_free(list->group);
    rmq_free(list->topic);
    rmq_free(list->offsets);
    rmq_free(list);
}

void rmq_dev_offsets_deinit(rmq_dev_offsets *offsets)
{
    for (rmq_dev_map_entry *entry = offsets->lists.first; entry != NULL; entry = entry->next)
        list_free(entry->value);
    rmq_dev_map_deinit(&offsets->lists);
}

/* "topic@group" in `out_text`; an empty slice if it doesn't fit. */
static rmq_slice key_text(const rmq_dev_offset_key *key, char out_text[KEY_MAX_BYTES])
{
    size_t len = key->topic.len + 1 + key->group.len;
    if (key->topic.len >= KEY_MAX_BYTES || key->group.len >= KEY_MAX_BYTES || len > KEY_MAX_BYTES)
        return (rmq_slice){NULL, 0};
    if (key->topic.len > 0)
        memcpy(out_text, key->topic.data, key->topic.len);
    out_text[key->topic.len] = '@';
    if (key->group.len > 0)
        memcpy(out_text + key->topic.len + 1, key->group.data, key->group.len);
    return (rmq_slice){out_text, len};
}

static rmq_dev_offset *find_in(const rmq_dev_offset_list *list, int32_t queue_id)
{
    for (size_t i = 0; list != NULL && i < list->n_offsets; i++) {
        if (list->offsets[i].queue_id == queue_id)
            return &list->offsets[i];
    }
    return NULL;
}

const rmq_dev_offset *rmq_dev_offsets_find(const rmq_dev_offsets *offsets,
                                           const rmq_dev_offset_key *key)
{
    char text[KEY_MAX_BYTES];
    rmq_slice name = key_text(key, text);
    return name.len > 0 ? find_in(rmq_dev_map_get(&offsets->lists, name), key->queue_id) : NULL;
}

static rmq_dev_offset_list *make_list(rmq_dev_offsets *offsets, const rmq_dev_offset_key *key)
{
    char text[KEY_MAX_BYTES];
    rmq_slice name = key_text(key, text);
    if (name.len == 0)
        return NULL;
    rmq_dev_offset_list *list = rmq_dev_map_get(&offsets->lists, name);
    if (list != NULL)
        return list;
    list = rmq_calloc(1, sizeof(*list));
    if (list == NULL)
        return NULL;
    list->group = rmq_slice_dup(key->group);
    list->topic = rmq_slice_dup(key->topic);
    if (list->group == NULL || list->topic == NULL ||
        rmq_dev_map_add(&offsets->lists, name, list) != RMQ_OK) {
        list_free(list);
        return NULL;
    }
    return list;
}

/* The queue's entry, made if need be; NULL without memory or beyond the cap. */
static rmq_dev_offset *make_offset(rmq_dev_offsets *offsets, const rmq_dev_offset_key *key)
{
    rmq_dev_offset_list *list = make_list(offsets, key);
    if (list == NULL)
        return NULL;
    rmq_dev_offset *found = find_in(list, key->queue_id);
    if (found != NULL)
        return found;
    if (offsets->n_offsets >= RMQ_DEV_MAX_OFFSETS)
        return NULL;
    if (list->n_offsets == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        rmq_dev_offset *grown = rmq_realloc(list->offsets, capacity * sizeof(rmq_dev_offset));
        if (grown == NULL)
            return NULL;
        list->offsets = grown;
        list->capacity = capacity;
    }
    offsets->n_offsets++;
    rmq_dev_offset *made = &list->offsets[list->n_offsets++];
    *made = (rmq_dev_offset){key->queue_id, -1, -1};
    return made;
}

rmq_status rmq_dev_offsets_commit(rmq_dev_offsets *offsets, const rmq_dev_offset_key *key,
                                  int64_t offset, rmq_error *err)
{
    rmq_dev_offset *entry = make_offset(offsets, key);
    if (entry == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no room for a committed offset");
    if (offsets->journal != NULL) {
        rmq_dev_journal_range range = {key->topic, key->queue_id, offset};
        rmq_status status = rmq_dev_journal_offset(offsets->journal, key->group, &range, err);
        if (status != RMQ_OK)
            return status;
    }
    entry->committed = offset;
    return RMQ_OK;
}

void rmq_dev_offsets_note_pull(rmq_dev_offsets *offsets, const rmq_dev_offset_key *key,
                               int64_t offset)
{
    rmq_dev_offset *entry = make_offset(offsets, key);
    if (entry != NULL && entry->pulled < offset)
        entry->pulled = offset;
}

void rmq_dev_offsets_forget(rmq_dev_offsets *offsets, rmq_slice topic, rmq_slice group)
{
    rmq_dev_map_entry *entry = offsets->lists.first;
    while (entry != NULL) {
        rmq_dev_map_entry *next = entry->next;
        rmq_dev_offset_list *list = entry->value;
        if ((topic.len == 0 || rmq_slice_equals(topic, list->topic)) &&
            (group.len == 0 || rmq_slice_equals(group, list->group))) {
            offsets->n_offsets -= list->n_offsets;
            rmq_dev_map_remove(&offsets->lists, (rmq_slice){entry->key, entry->key_len});
            list_free(list);
        }
        entry = next;
    }
}
