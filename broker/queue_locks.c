/* Locks belong to a client id, not to its connection, and end 60 s after they were last asked for.
 * Topic and broker aren't checked, as in a real broker. Without memory a lock is simply not given.
 * Source: RebalanceLockManager 5.4.0; protocol facts 10.4. */
#include "queue_locks.h"

#include <stdio.h>
#include <string.h>

#include <rmq/json.h>

#include "broker_state.h"
#include "codes.h"
#include "heartbeat.h"

#define LOCK_MS 60000
#define KEY_BYTES 1024

typedef struct lock_entry {
    char *owner;
    int64_t asked_ms;
} lock_entry;

static void entry_free(lock_entry *entry)
{
    if (entry != NULL)
        rmq_free(entry->owner);
    rmq_free(entry);
}

void rmq_dev_locks_init(rmq_dev_locks *locks, uint32_t seed)
{
    rmq_dev_map_init(&locks->locks, seed);
}

void rmq_dev_locks_deinit(rmq_dev_locks *locks)
{
    for (rmq_dev_map_entry *entry = locks->locks.first; entry != NULL; entry = entry->next)
        entry_free(entry->value);
    rmq_dev_map_deinit(&locks->locks);
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* An empty slice if it is too long to be a lock's. */
static rmq_slice lock_key(const rmq_lock_request *lock, const rmq_lock_queue *queue,
                          char out_text[KEY_BYTES])
{
    int len = snprintf(out_text, KEY_BYTES, "%s\1%s\1%s\1%d", or_empty(lock->group),
                       or_empty(queue->topic), or_empty(queue->broker_name), queue->queue_id);
    if (len < 0 || len >= KEY_BYTES)
        return (rmq_slice){NULL, 0};
    return (rmq_slice){out_text, (size_t)len};
}

static bool is_alive(const lock_entry *entry)
{
    return rmq_dev_monotonic_ms() - entry->asked_ms < LOCK_MS;
}

/* Whether the client has the lock now. */
static bool take(rmq_dev_locks *locks, const rmq_lock_request *lock, const rmq_lock_queue *queue)
{
    char text[KEY_BYTES];
    rmq_slice key = lock_key(lock, queue, text);
    if (key.len == 0)
        return false;
    lock_entry *entry = rmq_dev_map_get(&locks->locks, key);
    if (entry != NULL && strcmp(entry->owner, or_empty(lock->client_id)) == 0) {
        entry->asked_ms = rmq_dev_monotonic_ms();
        return true;
    }
    if (entry != NULL && is_alive(entry))
        return false;
    if (entry != NULL)
        entry_free(rmq_dev_map_remove(&locks->locks, key));
    if (locks->locks.count >= RMQ_DEV_MAX_LOCKS)
        return false;
    entry = rmq_calloc(1, sizeof(*entry));
    if (entry == NULL)
        return false;
    entry->owner = rmq_strdup(or_empty(lock->client_id));
    entry->asked_ms = rmq_dev_monotonic_ms();
    if (entry->owner != NULL && rmq_dev_map_add(&locks->locks, key, entry) == RMQ_OK)
        return true;
    entry_free(entry);
    return false;
}

static void give_back(rmq_dev_locks *locks, const rmq_lock_request *lock,
                      const rmq_lock_queue *queue)
{
    char text[KEY_BYTES];
    rmq_slice key = lock_key(lock, queue, text);
    const lock_entry *entry = key.len > 0 ? rmq_dev_map_get(&locks->locks, key) : NULL;
    if (entry != NULL && strcmp(entry->owner, or_empty(lock->client_id)) == 0)
        entry_free(rmq_dev_map_remove(&locks->locks, key));
}

/* False: answered. */
static bool decode(rmq_dev_request *request, rmq_lock_request *out_lock)
{
    rmq_error err;
    if (rmq_lock_request_decode(request->command->body, out_lock, &err) == RMQ_OK)
        return true;
    rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                          "com.alibaba.fastjson2.JSONException: %s", err.text);
    return false;
}

static void write_queue(rmq_json_writer *writer, const rmq_lock_queue *queue)
{
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "brokerName");
    rmq_json_string(writer, or_empty(queue->broker_name));
    rmq_json_key(writer, "queueId");
    rmq_json_int64(writer, queue->queue_id);
    rmq_json_key(writer, "topic");
    rmq_json_string(writer, or_empty(queue->topic));
    rmq_json_end_object(writer);
}

void rmq_dev_handle_lock(rmq_dev_request *request)
{
    rmq_lock_request lock;
    if (!decode(request, &lock))
        return;
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "lockOKMQSet");
    rmq_json_begin_array(&writer);
    for (size_t i = 0; i < lock.n_queues; i++) {
        if (take(&request->broker->locks, &lock, &lock.queues[i]))
            write_queue(&writer, &lock.queues[i]);
    }
    rmq_json_end_array(&writer);
    rmq_json_end_object(&writer);
    rmq_dev_answer_json(&request->reply, &writer);
    rmq_lock_request_deinit(&lock);
}

void rmq_dev_handle_unlock(rmq_dev_request *request)
{
    rmq_lock_request lock;
    if (!decode(request, &lock))
        return;
    for (size_t i = 0; i < lock.n_queues; i++)
        give_back(&request->broker->locks, &lock, &lock.queues[i]);
    rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
    rmq_lock_request_deinit(&lock);
}
