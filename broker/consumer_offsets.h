/* The committed offsets of groups, and how far each group has pulled. */
#ifndef RMQ_DEV_CONSUMER_OFFSETS_H
#define RMQ_DEV_CONSUMER_OFFSETS_H

#include <rmq/base.h>

#include "string_map.h"

#define RMQ_DEV_MAX_OFFSETS 1000000

struct rmq_dev_journal;

typedef struct rmq_dev_offset_key {
    rmq_slice group;
    rmq_slice topic;
    int32_t queue_id;
} rmq_dev_offset_key;

/* One queue's. */
typedef struct rmq_dev_offset {
    int32_t queue_id;
    int64_t committed; /* -1: never */
    int64_t pulled;    /* -1: never */
} rmq_dev_offset;

/* Of one group and topic. */
typedef struct rmq_dev_offset_list {
    char *group;
    char *topic;
    rmq_dev_offset *offsets;
    size_t n_offsets;
    size_t capacity;
} rmq_dev_offset_list;

typedef struct rmq_dev_offsets {
    rmq_dev_map lists; /* by "topic@group" */
    size_t n_offsets;
    struct rmq_dev_journal *journal; /* or NULL */
} rmq_dev_offsets;

void rmq_dev_offsets_init(rmq_dev_offsets *offsets, uint32_t seed);
void rmq_dev_offsets_deinit(rmq_dev_offsets *offsets);

/* The queue's entry, or NULL. */
const rmq_dev_offset *rmq_dev_offsets_find(const rmq_dev_offsets *offsets,
                                           const rmq_dev_offset_key *key);
/* Errors: NOMEM, FULL, IO. */
RMQ_MUST_CHECK rmq_status rmq_dev_offsets_commit(rmq_dev_offsets *offsets,
                                                 const rmq_dev_offset_key *key, int64_t offset,
                                                 rmq_error *err);
/* Remembers the furthest pulled offset; forgets it without memory, it is only for statistics. */
void rmq_dev_offsets_note_pull(rmq_dev_offsets *offsets, const rmq_dev_offset_key *key,
                               int64_t offset);
/* Forgets all of a topic, or all of a group (the other slice empty). */
void rmq_dev_offsets_forget(rmq_dev_offsets *offsets, rmq_slice topic, rmq_slice group);

#endif
