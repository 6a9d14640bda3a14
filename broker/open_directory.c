/* The replay: each entry of the journal is done again, through the same functions as when it was
 * written, while the parts don't have the journal yet (so nothing is written twice). */
#include "open_directory.h"

#include "broker_state.h"
#include "journal.h"
#include "record_view.h"
#include "transactions.h"

static rmq_status on_topic(void *ctx, const rmq_dev_topic_spec *spec, rmq_error *err)
{
    rmq_devbroker *broker = ctx;
    rmq_dev_topic *topic = NULL;
    return rmq_dev_store_topic_set(&broker->store, spec, &topic, err);
}

static rmq_status on_topic_delete(void *ctx, rmq_slice name, rmq_error *err)
{
    rmq_devbroker *broker = ctx;
    rmq_dev_offsets_forget(&broker->offsets, name, (rmq_slice){NULL, 0});
    return rmq_dev_store_topic_delete(&broker->store, name, err);
}

static rmq_status on_message(void *ctx, rmq_slice record, rmq_error *err)
{
    rmq_devbroker *broker = ctx;
    rmq_status status = rmq_dev_store_restore(&broker->store, record, err);
    rmq_message message;
    if (status != RMQ_OK || !rmq_dev_record_read(record, &message) ||
        !rmq_slice_equals(message.topic, RMQ_DEV_HALF_TOPIC))
        return status;
    status = rmq_dev_half_add(&broker->transactions, message.queue_offset,
                              message.store_timestamp_ms, rmq_dev_half_checks(message.properties));
    return status == RMQ_OK ? RMQ_OK : rmq_error_set(err, status, "no memory for a half message");
}

static rmq_status on_half_decided(void *ctx, int64_t offset, rmq_error *err)
{
    (void)err;
    rmq_devbroker *broker = ctx;
    rmq_dev_half_forget(&broker->transactions, offset);
    return RMQ_OK;
}

static rmq_status on_messages_delete(void *ctx, bool below, const rmq_dev_journal_range *range,
                                     rmq_error *err)
{
    rmq_devbroker *broker = ctx;
    rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, range->topic);
    if (topic == NULL)
        return rmq_error_set(err, RMQ_CORRUPT, "messages of an unknown topic are deleted");
    if (below)
        return rmq_dev_store_delete_below(&broker->store, topic, range->queue_id, range->offset,
                                          err);
    return rmq_dev_store_delete_from(&broker->store, topic, range->queue_id, range->offset, err);
}

static rmq_status on_group(void *ctx, rmq_slice name, bool deleted, rmq_error *err)
{
    rmq_devbroker *broker = ctx;
    const rmq_dev_group *group = NULL;
    if (deleted)
        return rmq_dev_groups_delete(broker, name, err);
    return rmq_dev_groups_make(broker, name, &group, err);
}

static rmq_status on_offset(void *ctx, rmq_slice group, const rmq_dev_journal_range *range,
                            rmq_error *err)
{
    rmq_devbroker *broker = ctx;
    rmq_dev_offset_key key = {group, range->topic, range->queue_id};
    return rmq_dev_offsets_commit(&broker->offsets, &key, range->offset, err);
}

rmq_status rmq_dev_directory_open(rmq_devbroker *broker, rmq_error *err)
{
    rmq_dev_journal_reader reader = {.topic = on_topic,
                                     .topic_delete = on_topic_delete,
                                     .message = on_message,
                                     .messages_delete = on_messages_delete,
                                     .group = on_group,
                                     .half_decided = on_half_decided,
                                     .offset = on_offset,
                                     .ctx = broker};
    rmq_status status =
        rmq_dev_journal_open(broker->settings.directory, &reader, &broker->journal, err);
    if (status != RMQ_OK)
        return status;
    broker->store.journal = broker->journal;
    broker->groups.journal = broker->journal;
    broker->offsets.journal = broker->journal;
    return RMQ_OK;
}
