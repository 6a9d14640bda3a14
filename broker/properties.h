/* Building property blocks, "name 0x01 value 0x02 ...", and reading numbers in them. */
#ifndef RMQ_DEV_PROPERTIES_H
#define RMQ_DEV_PROPERTIES_H

#include <rmq/base.h>

#include "buf.h"

void rmq_dev_property_append(rmq_buf *block, const char *name, rmq_slice value);
void rmq_dev_property_append_int(rmq_buf *block, const char *name, int64_t value);

/* Appends all properties of `block` but those named in `dropped`, which ends in NULL. */
void rmq_dev_properties_copy(rmq_slice block, const char *const *dropped, rmq_buf *out);

/* False, and `out_value` untouched, if there is no such property or it is no integer. */
bool rmq_dev_property_int(rmq_slice block, const char *name, int64_t *out_value);

#endif
