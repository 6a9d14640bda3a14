/* The store: topics by name, queues by number, and the commit log's numbering without a commit log.
 *
 * A real broker writes all messages into one file, and a message's physical offset is its place
 * there. Here each queue holds its own records (message_queue.c) and the physical offset is only a
 * number that grows by each record's size, which is all that clients can see of it. Finding a
 * message by physical offset halves through each queue in turn; there are few.
 *
 * With a journal every change is written there before it is made here, and a change that cannot be
 * written is not made: what was answered with success is found again after the process died.
 *
 * Memory is capped: a message that would pass the cap is refused (FULL) and nothing is deleted to
 * make room, since a test that lost messages silently would prove nothing. */
#include "message_store.h"

#include <assert.h>
#include <string.h>

#include "journal.h"
#include "props.h"
#include "record.h"
#include "record_view.h"

#define RECORD_OVERHEAD_BYTES 91u /* of a v1 record with IPv4 hosts, without the topic */

void rmq_dev_store_init(rmq_dev_store *store, size_t max_bytes, uint32_t seed)
{
    memset(store, 0, sizeof(*store));
    rmq_dev_map_init(&store->topics, seed);
    store->max_bytes = max_bytes;
    rmq_buf_init(&store->scratch, RMQ_FRAME_MAX_BYTES_DEFAULT);
}

static void topic_free(rmq_dev_topic *topic)
{
    for (int32_t i = 0; i < topic->n_queues; i++)
        rmq_dev_queue_free(topic->queues[i]);
    rmq_free(topic->queues);
    rmq_free(topic->name);
    rmq_free(topic);
}

void rmq_dev_store_deinit(rmq_dev_store *store)
{
    for (rmq_dev_map_entry *entry = store->topics.first; entry != NULL; entry = entry->next)
        topic_free(entry->value);
    rmq_dev_map_deinit(&store->topics);
    rmq_buf_deinit(&store->scratch);
}

rmq_dev_topic *rmq_dev_store_topic(const rmq_dev_store *store, rmq_slice name)
{
    return rmq_dev_map_get(&store->topics, name);
}

static rmq_status queues_reserve(rmq_dev_topic *topic, int32_t n_queues)
{
    if (n_queues <= topic->n_queues)
        return RMQ_OK;
    rmq_dev_queue **queues = rmq_realloc(topic->queues, (size_t)n_queues * sizeof(rmq_dev_queue *));
    if (queues == NULL)
        return RMQ_NOMEM;
    for (int32_t i = topic->n_queues; i < n_queues; i++)
        queues[i] = NULL;
    topic->queues = queues;
    topic->n_queues = n_queues;
    return RMQ_OK;
}

static rmq_status topic_add(rmq_dev_store *store, const rmq_dev_topic_spec *spec,
                            rmq_dev_topic **out_topic, rmq_error *err)
{
    if (store->topics.count >= RMQ_DEV_MAX_TOPICS) {
        rmq_error_set(err, RMQ_FULL, "%d topics are the most", RMQ_DEV_MAX_TOPICS);
        return RMQ_FULL;
    }
    rmq_dev_topic *topic = rmq_calloc(1, sizeof(*topic));
    if (topic == NULL) {
        rmq_error_set(err, RMQ_NOMEM, "no memory for a topic");
        return RMQ_NOMEM;
    }
    topic->name = rmq_slice_dup(spec->name);
    if (topic->name == NULL || rmq_dev_map_add(&store->topics, spec->name, topic) != RMQ_OK) {
        topic_free(topic);
        rmq_error_set(err, RMQ_NOMEM, "no memory for a topic");
        return RMQ_NOMEM;
    }
    *out_topic = topic;
    return RMQ_OK;
}

rmq_status rmq_dev_store_topic_set(rmq_dev_store *store, const rmq_dev_topic_spec *spec,
                                   rmq_dev_topic **out_topic, rmq_error *err)
{
    int32_t n_queues =
        spec->read_queues > spec->write_queues ? spec->read_queues : spec->write_queues;
    if (n_queues > RMQ_DEV_MAX_QUEUES)
        return rmq_error_set(err, RMQ_FULL, "%d queues, at most %d", n_queues, RMQ_DEV_MAX_QUEUES);
    if (store->journal != NULL) {
        rmq_status status = rmq_dev_journal_topic(store->journal, spec, err);
        if (status != RMQ_OK)
            return status;
    }
    rmq_dev_topic *topic = rmq_dev_store_topic(store, spec->name);
    bool is_new = topic == NULL;
    if (is_new) {
        rmq_status status = topic_add(store, spec, &topic, err);
        if (status != RMQ_OK)
            return status;
    }
    if (queues_reserve(topic, n_queues) != RMQ_OK) {
        if (is_new) {
            rmq_dev_map_remove(&store->topics, spec->name);
            topic_free(topic);
        }
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %d queues", n_queues);
    }
    topic->read_queues = spec->read_queues;
    topic->write_queues = spec->write_queues;
    topic->perm = spec->perm;
    topic->sys_flag = spec->sys_flag;
    topic->order = spec->order;
    topic->system = spec->system;
    *out_topic = topic;
    return RMQ_OK;
}

rmq_status rmq_dev_store_topic_delete(rmq_dev_store *store, rmq_slice name, rmq_error *err)
{
    rmq_dev_topic *topic = rmq_dev_store_topic(store, name);
    if (topic == NULL)
        return RMQ_OK;
    if (store->journal != NULL) {
        rmq_status status = rmq_dev_journal_topic_delete(store->journal, name, err);
        if (status != RMQ_OK)
            return status;
    }
    rmq_dev_map_remove(&store->topics, name);
    for (int32_t i = 0; i < topic->n_queues; i++) {
        if (topic->queues[i] != NULL)
            store->used_bytes -= rmq_dev_queue_delete_below(topic->queues[i], INT64_MAX);
    }
    topic_free(topic);
    return RMQ_OK;
}

rmq_dev_queue *rmq_dev_topic_queue(const rmq_dev_topic *topic, int32_t queue_id)
{
    if (topic == NULL || queue_id < 0 || queue_id >= topic->n_queues)
        return NULL;
    return topic->queues[queue_id];
}

rmq_dev_queue *rmq_dev_topic_queue_make(rmq_dev_topic *topic, int32_t queue_id)
{
    assert(queue_id >= 0 && queue_id < topic->n_queues);
    if (topic->queues[queue_id] == NULL)
        topic->queues[queue_id] = rmq_dev_queue_new();
    return topic->queues[queue_id];
}

int64_t rmq_dev_store_time(rmq_dev_store *store, int64_t wall_ms)
{
    if (wall_ms > store->last_store_ms)
        store->last_store_ms = wall_ms;
    return store->last_store_ms;
}

bool rmq_dev_store_fits(const rmq_dev_store *store, size_t n_bytes, size_t n_messages)
{
    size_t per_message = RECORD_OVERHEAD_BYTES + RMQ_DEV_TOPIC_MAX_BYTES + RMQ_DEV_STORED_OVERHEAD;
    size_t left = store->max_bytes > store->used_bytes ? store->max_bytes - store->used_bytes : 0;
    return n_bytes <= left && n_messages <= (left - n_bytes) / per_message;
}

static int32_t tag_hash_of(rmq_slice properties)
{
    rmq_slice tags = {NULL, 0};
    return rmq_props_get(properties, RMQ_PROPERTY_TAGS, &tags) ? rmq_tag_hash(tags) : 0;
}

static rmq_status put(rmq_dev_store *store, rmq_dev_queue *queue, const rmq_dev_stored *stored,
                      rmq_error *err)
{
    if (rmq_dev_queue_append(queue, stored) != RMQ_OK)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a message of %u bytes",
                             stored->size_bytes);
    store->used_bytes += stored->size_bytes + RMQ_DEV_STORED_OVERHEAD;
    store->next_physical_offset = stored->physical_offset + stored->size_bytes;
    store->messages_put++;
    return RMQ_OK;
}

rmq_status rmq_dev_store_append(rmq_dev_store *store, rmq_dev_topic *topic, rmq_message *message,
                                rmq_error *err)
{
    rmq_dev_queue *queue = rmq_dev_topic_queue_make(topic, message->queue_id);
    if (queue == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a queue");
    message->queue_offset = rmq_dev_queue_max(queue);
    message->physical_offset = store->next_physical_offset;
    rmq_buf_clear(&store->scratch);
    rmq_record_encode(message, &store->scratch);
    if (store->scratch.failed != RMQ_OK)
        return rmq_error_set(err, store->scratch.failed, "no room to encode a message");
    size_t size_bytes = store->scratch.len;
    if (store->used_bytes + size_bytes + RMQ_DEV_STORED_OVERHEAD > store->max_bytes)
        return rmq_error_set(err, RMQ_FULL, "the store is full: %zu of %zu bytes",
                             store->used_bytes, store->max_bytes);
    rmq_dev_stored stored = {.data = store->scratch.data,
                             .size_bytes = (uint32_t)size_bytes,
                             .tag_hash = tag_hash_of(message->properties),
                             .physical_offset = message->physical_offset,
                             .store_ms = message->store_timestamp_ms};
    if (store->journal == NULL)
        return put(store, queue, &stored, err);
    rmq_slice record = {(const char *)store->scratch.data, size_bytes};
    rmq_status status = rmq_dev_journal_message(store->journal, record, err);
    if (status != RMQ_OK)
        return status;
    status = put(store, queue, &stored, err);
    if (status != RMQ_OK)
        rmq_dev_journal_undo(store->journal);
    return status;
}

/* Writes down that messages are deleted, if there are any and anything is written down. */
static rmq_status note_delete(rmq_dev_store *store, const rmq_dev_topic *topic, bool below,
                              const rmq_dev_journal_range *range, rmq_error *err)
{
    if (rmq_dev_topic_queue(topic, range->queue_id) == NULL || store->journal == NULL)
        return RMQ_OK;
    return rmq_dev_journal_delete(store->journal, below, range, err);
}

rmq_status rmq_dev_store_delete_below(rmq_dev_store *store, rmq_dev_topic *topic, int32_t queue_id,
                                      int64_t offset, rmq_error *err)
{
    const rmq_dev_journal_range range = {rmq_slice_of(topic->name), queue_id, offset};
    rmq_status status = note_delete(store, topic, true, &range, err);
    rmq_dev_queue *queue = rmq_dev_topic_queue(topic, queue_id);
    if (status == RMQ_OK && queue != NULL)
        store->used_bytes -= rmq_dev_queue_delete_below(queue, offset);
    return status;
}

rmq_status rmq_dev_store_delete_from(rmq_dev_store *store, rmq_dev_topic *topic, int32_t queue_id,
                                     int64_t offset, rmq_error *err)
{
    const rmq_dev_journal_range range = {rmq_slice_of(topic->name), queue_id, offset};
    rmq_status status = note_delete(store, topic, false, &range, err);
    rmq_dev_queue *queue = rmq_dev_topic_queue(topic, queue_id);
    if (status == RMQ_OK && queue != NULL)
        store->used_bytes -= rmq_dev_queue_delete_from(queue, offset);
    return status;
}

const rmq_dev_stored *rmq_dev_store_find(const rmq_dev_store *store, int64_t physical_offset)
{
    for (rmq_dev_map_entry *entry = store->topics.first; entry != NULL; entry = entry->next) {
        const rmq_dev_topic *topic = entry->value;
        for (int32_t i = 0; i < topic->n_queues; i++) {
            if (topic->queues[i] == NULL)
                continue;
            const rmq_dev_stored *found =
                rmq_dev_queue_find_physical(topic->queues[i], physical_offset);
            if (found != NULL)
                return found;
        }
    }
    return NULL;
}

rmq_status rmq_dev_store_restore(rmq_dev_store *store, rmq_slice record, rmq_error *err)
{
    rmq_message message;
    if (!rmq_dev_record_read(record, &message) ||
        message.physical_offset < store->next_physical_offset)
        return rmq_error_set(err, RMQ_CORRUPT, "a stored record is broken");
    rmq_dev_topic *topic = rmq_dev_store_topic(store, message.topic);
    if (topic == NULL || message.queue_id < 0 || message.queue_id >= topic->n_queues)
        return rmq_error_set(err, RMQ_CORRUPT, "a stored record is of an unknown queue");
    rmq_dev_queue *queue = rmq_dev_topic_queue_make(topic, message.queue_id);
    if (queue == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a queue");
    if (message.queue_offset != rmq_dev_queue_max(queue))
        return rmq_error_set(err, RMQ_CORRUPT, "record %lld of %s is not the next, %lld",
                             (long long)message.queue_offset, topic->name,
                             (long long)rmq_dev_queue_max(queue));
    rmq_dev_stored stored = {.data = (const uint8_t *)record.data,
                             .size_bytes = (uint32_t)record.len,
                             .tag_hash = tag_hash_of(message.properties),
                             .physical_offset = message.physical_offset,
                             .store_ms = message.store_timestamp_ms};
    rmq_dev_store_time(store, stored.store_ms);
    return put(store, queue, &stored, err);
}
