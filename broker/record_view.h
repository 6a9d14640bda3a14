/* Reading one stored record back. */
#ifndef RMQ_DEV_RECORD_VIEW_H
#define RMQ_DEV_RECORD_VIEW_H

#include <rmq/message.h>

/* All fields, borrowed from `record`, the body as it is stored (compressed or not). False if it
 * isn't exactly one record. */
bool rmq_dev_record_read(rmq_slice record, rmq_message *out_message);

#endif
