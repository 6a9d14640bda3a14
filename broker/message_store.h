/* Topics, their queues, and the one numbering of physical offsets across them. */
#ifndef RMQ_DEV_MESSAGE_STORE_H
#define RMQ_DEV_MESSAGE_STORE_H

#include <rmq/base.h>
#include <rmq/message.h>

#include "buf.h"
#include "message_queue.h"
#include "string_map.h"

#define RMQ_DEV_TOPIC_MAX_BYTES 127
#define RMQ_DEV_MAX_TOPICS 100000
#define RMQ_DEV_MAX_QUEUES 65536 /* of one topic */

struct rmq_dev_journal;

typedef struct rmq_dev_topic {
    char *name;
    int32_t read_queues;
    int32_t write_queues;
    int32_t perm;
    int32_t sys_flag;
    bool order;
    bool system;
    rmq_dev_queue **queues; /* NULL where nothing was ever stored */
    int32_t n_queues;       /* length of the array; never shrinks */
} rmq_dev_topic;

/* What a topic shall be. */
typedef struct rmq_dev_topic_spec {
    rmq_slice name;
    int32_t read_queues;
    int32_t write_queues;
    int32_t perm;
    int32_t sys_flag;
    bool order;
    bool system;
} rmq_dev_topic_spec;

typedef struct rmq_dev_store {
    rmq_dev_map topics;
    int64_t next_physical_offset;
    int64_t last_store_ms; /* store times never go back, so that a search by time can halve */
    size_t used_bytes;
    size_t max_bytes;
    uint64_t messages_put;
    struct rmq_dev_journal *journal; /* NULL: memory only */
    rmq_buf scratch;                 /* the record being encoded */
} rmq_dev_store;

void rmq_dev_store_init(rmq_dev_store *store, size_t max_bytes, uint32_t seed);
void rmq_dev_store_deinit(rmq_dev_store *store);

rmq_dev_topic *rmq_dev_store_topic(const rmq_dev_store *store, rmq_slice name); /* or NULL */
/* Creates the topic, or changes it. Errors: NOMEM, FULL (too many topics or queues), IO. */
RMQ_MUST_CHECK rmq_status rmq_dev_store_topic_set(rmq_dev_store *store,
                                                  const rmq_dev_topic_spec *spec,
                                                  rmq_dev_topic **out_topic, rmq_error *err);
/* Deletes the topic with all its messages. No hold may be left on its queues. */
RMQ_MUST_CHECK rmq_status rmq_dev_store_topic_delete(rmq_dev_store *store, rmq_slice name,
                                                     rmq_error *err);

/* The queue, or NULL if nothing was ever stored there (or there is no such queue). */
rmq_dev_queue *rmq_dev_topic_queue(const rmq_dev_topic *topic, int32_t queue_id);
/* Makes it. `queue_id` within [0, n_queues). Errors: NOMEM. */
RMQ_MUST_CHECK rmq_dev_queue *rmq_dev_topic_queue_make(rmq_dev_topic *topic, int32_t queue_id);

/* A time that is not before any earlier one. */
int64_t rmq_dev_store_time(rmq_dev_store *store, int64_t wall_ms);
/* Whether messages of `n_bytes` of bodies and properties in `n_messages` records fit below the cap.
 * Holds a little back: records have headers. */
bool rmq_dev_store_fits(const rmq_dev_store *store, size_t n_bytes, size_t n_messages);

/* Encodes and appends `message`: its queue and physical offset are given by the store and set in
 * it. Topic and queue id are those of `topic` and `message->queue_id`. Errors: NOMEM, FULL (cap),
 * IO (the directory). On failure nothing is stored. */
RMQ_MUST_CHECK rmq_status rmq_dev_store_append(rmq_dev_store *store, rmq_dev_topic *topic,
                                               rmq_message *message, rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_store_delete_below(rmq_dev_store *store, rmq_dev_topic *topic,
                                                     int32_t queue_id, int64_t offset,
                                                     rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_store_delete_from(rmq_dev_store *store, rmq_dev_topic *topic,
                                                    int32_t queue_id, int64_t offset,
                                                    rmq_error *err);
/* The message with that physical offset, or NULL. */
const rmq_dev_stored *rmq_dev_store_find(const rmq_dev_store *store, int64_t physical_offset);

/* For the replay of a journal: puts a record that was stored before, as it stands. Errors: CORRUPT
 * (it isn't the next of its queue, or not a record), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_store_restore(rmq_dev_store *store, rmq_slice record,
                                                rmq_error *err);

#endif
