/* The place is noted as a real broker does it, in two properties of the message, so that it
 * survives with the message. A client may send properties of these names; what the broker appends
 * comes later in the block, and the later one counts. Source: TransactionalMessageBridge,
 * ScheduleMessageService 5.4.0; protocol facts 7 and 11. */
#include "real_place.h"

#include "broker_state.h"
#include "long_poll.h"
#include "properties.h"
#include "props.h"

void rmq_dev_real_place_note(rmq_buf *properties, const rmq_message *message)
{
    rmq_dev_property_append(properties, "REAL_TOPIC", message->topic);
    rmq_dev_property_append_int(properties, "REAL_QID", message->queue_id);
}

rmq_dev_topic *rmq_dev_real_place(rmq_devbroker *broker, rmq_slice properties,
                                  int32_t *out_queue_id)
{
    rmq_slice name;
    int64_t queue_id;
    if (!rmq_props_get(properties, "REAL_TOPIC", &name) ||
        !rmq_dev_property_int(properties, "REAL_QID", &queue_id))
        return NULL;
    rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, name);
    if (topic == NULL || queue_id < 0 || queue_id >= topic->n_queues)
        return NULL;
    *out_queue_id = (int32_t)queue_id;
    return topic;
}

rmq_status rmq_dev_real_place_store(rmq_devbroker *broker, rmq_dev_topic *topic,
                                    rmq_message *message, const rmq_buf *properties, rmq_error *err)
{
    if (properties->failed != RMQ_OK)
        return rmq_error_set(err, properties->failed, "no memory for properties");
    message->topic = rmq_slice_of(topic->name);
    message->properties = (rmq_slice){(const char *)properties->data, properties->len};
    message->store_timestamp_ms = rmq_dev_store_time(&broker->store, rmq_dev_wall_ms());
    rmq_status status = rmq_dev_store_append(&broker->store, topic, message, err);
    if (status == RMQ_OK)
        rmq_dev_holds_wake(topic, message->queue_id, message->queue_offset);
    return status;
}
