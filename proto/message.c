/* Reading a received message: its properties and its ids.
 *
 * A message is a view; nothing here allocates or changes it, and every slice that is given out
 * points into the message's own properties. */
#include <rmq/message.h>

#include "msgid.h"
#include "props.h"

bool rmq_message_property(const rmq_message *message, const char *name, rmq_slice *out_value)
{
    return rmq_props_get(message->properties, name, out_value);
}

bool rmq_message_next_property(const rmq_message *message, size_t *position, rmq_slice *out_name,
                               rmq_slice *out_value)
{
    return rmq_props_next(message->properties, position, out_name, out_value);
}

static rmq_slice property_or_empty(const rmq_message *message, const char *name)
{
    rmq_slice value = {"", 0};
    (void)rmq_props_get(message->properties, name, &value);
    return value;
}

rmq_slice rmq_message_tags(const rmq_message *message)
{
    return property_or_empty(message, RMQ_PROPERTY_TAGS);
}

rmq_slice rmq_message_keys(const rmq_message *message)
{
    return property_or_empty(message, RMQ_PROPERTY_KEYS);
}

rmq_slice rmq_message_unique_key(const rmq_message *message)
{
    return property_or_empty(message, RMQ_PROPERTY_UNIQUE_KEY);
}

void rmq_message_offset_id(const rmq_message *message, char out_id[RMQ_OFFSET_MESSAGE_ID_BYTES])
{
    rmq_offset_id_format(&message->store_host, message->physical_offset, out_id);
}
