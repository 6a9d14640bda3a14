/* The "offsetTable" of 202 and 208: JSON with objects as keys, which the JSON writer doesn't write.
 */
#ifndef RMQ_DEV_OFFSET_TABLE_H
#define RMQ_DEV_OFFSET_TABLE_H

#include <rmq/json.h>

#include "answer.h"
#include "buf.h"
#include "settings.h"

typedef struct rmq_dev_offset_table {
    rmq_buf text;
    rmq_json_writer broker_name; /* quoted and escaped */
    bool any;
} rmq_dev_offset_table;

/* `before`: what precedes "offsetTable" in the body. */
void rmq_dev_offset_table_begin(rmq_dev_offset_table *table, const rmq_dev_settings *settings,
                                const char *before);
/* `topic` is a legal name; `value` is JSON. */
void rmq_dev_offset_table_add(rmq_dev_offset_table *table, const char *topic, int32_t queue_id,
                              const char *value);
/* Answers with the table and what comes after it, and ends it. */
void rmq_dev_offset_table_answer(rmq_dev_offset_table *table, const rmq_dev_reply *reply,
                                 const char *after);

#endif
