/* Messages that wait elsewhere until they may be seen (delayed ones, half messages): which topic
 * and queue they are for, and putting them there. */
#ifndef RMQ_DEV_REAL_PLACE_H
#define RMQ_DEV_REAL_PLACE_H

#include <rmq/devbroker.h>
#include <rmq/message.h>

#include "buf.h"
#include "message_store.h"

/* Notes topic and queue of `message` in its properties. */
void rmq_dev_real_place_note(rmq_buf *properties, const rmq_message *message);
/* The topic that was noted, and the queue; NULL if they are gone. */
rmq_dev_topic *rmq_dev_real_place(rmq_devbroker *broker, rmq_slice properties,
                                  int32_t *out_queue_id);
/* Stores a copy of the waiting message, with these properties, in a queue of `topic`, and answers
 * the pulls that are held there. Errors: as rmq_dev_store_append, and what `properties` failed by.
 */
RMQ_MUST_CHECK rmq_status rmq_dev_real_place_store(rmq_devbroker *broker, rmq_dev_topic *topic,
                                                   rmq_message *message, const rmq_buf *properties,
                                                   rmq_error *err);

#endif
