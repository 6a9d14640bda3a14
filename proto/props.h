/* The property block: name 0x01 value 0x02 ... Source: MessageDecoder; protocol facts 5.3. */
#ifndef RMQ_PROPS_H
#define RMQ_PROPS_H

#include <rmq/base.h>

#include "buf.h"

#define RMQ_PROPERTY_TAGS "TAGS"
#define RMQ_PROPERTY_KEYS "KEYS"
#define RMQ_PROPERTY_UNIQUE_KEY "UNIQ_KEY"
#define RMQ_PROPERTY_WAIT "WAIT"
#define RMQ_PROPERTY_DELAY "DELAY"
#define RMQ_PROPERTY_SHARDING_KEY "__SHARDINGKEY"
#define RMQ_PROPERTY_TIMER_DELIVER_MS "TIMER_DELIVER_MS"
#define RMQ_PROPERTY_INNER_NUM "INNER_NUM"
#define RMQ_PROPERTY_INNER_BASE "INNER_BASE"

/* Walks a block: set *position to 0; false at the end. Entries without separator, name or value are
 * skipped, as brokers do. Of two with one name both are walked, and rmq_props_get gives the later.
 */
bool rmq_props_next(rmq_slice block, size_t *position, rmq_slice *out_name, rmq_slice *out_value);
bool rmq_props_get(rmq_slice block, const char *name, rmq_slice *out_value);

/* Appends one property. INVAL if name or value is empty or holds 0x01 or 0x02, or if the block
 * would pass 32767 bytes; NOMEM; FULL. On failure nothing is appended. */
RMQ_MUST_CHECK rmq_status rmq_props_append(rmq_buf *block, const char *name, rmq_slice value,
                                           rmq_error *err);

/* Java's String.hashCode over the UTF-16 units of UTF-8 text: the tags code. Protocol facts 5.9. */
int32_t rmq_tag_hash(rmq_slice tag);

/* Walks the tags of "A || B", blanks around them cut off, empty ones passed over: set *position to
 * 0; false at the end. */
bool rmq_tags_next(rmq_slice expression, size_t *position, rmq_slice *out_tag);

/* Whether `tags` (TAGS of a message) is in `expression`: "*", empty, or "A || B". By string, not by
 * hash. */
bool rmq_tag_matches(rmq_slice expression, rmq_slice tags);

#endif
