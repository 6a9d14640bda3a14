/* Text by hand: real brokers write {{"brokerName":...}:{...}}, an object as a key (facts 14), and
 * clients must read that. */
#include "offset_table.h"

#include <stdio.h>

#include "codes.h"

#define BODY_MAX_BYTES (32u * 1024 * 1024)

void rmq_dev_offset_table_begin(rmq_dev_offset_table *table, const rmq_dev_settings *settings,
                                const char *before)
{
    rmq_buf_init(&table->text, BODY_MAX_BYTES);
    rmq_json_writer_init(&table->broker_name);
    rmq_json_string(&table->broker_name, settings->broker_name);
    rmq_buf_append_slice(&table->text, rmq_slice_of(before));
    rmq_buf_append_slice(&table->text, RMQ_SLICE_LITERAL("\"offsetTable\":{"));
    table->any = false;
}

void rmq_dev_offset_table_add(rmq_dev_offset_table *table, const char *topic, int32_t queue_id,
                              const char *value)
{
    char key[256];
    rmq_slice broker_name = {NULL, 0};
    if (rmq_json_writer_finish(&table->broker_name, &broker_name) != RMQ_OK)
        table->text.failed = RMQ_NOMEM;
    if (table->any)
        rmq_buf_append_u8(&table->text, ',');
    table->any = true;
    rmq_buf_append_slice(&table->text, RMQ_SLICE_LITERAL("{\"brokerName\":"));
    rmq_buf_append_slice(&table->text, broker_name);
    snprintf(key, sizeof(key), ",\"queueId\":%d,\"topic\":\"%s\"}:", queue_id, topic);
    rmq_buf_append_slice(&table->text, rmq_slice_of(key));
    rmq_buf_append_slice(&table->text, rmq_slice_of(value));
}

void rmq_dev_offset_table_answer(rmq_dev_offset_table *table, const rmq_dev_reply *reply,
                                 const char *after)
{
    rmq_buf_append_u8(&table->text, '}');
    rmq_buf_append_slice(&table->text, rmq_slice_of(after));
    if (table->text.failed == RMQ_OK)
        rmq_dev_answer_body(reply, (rmq_slice){(const char *)table->text.data, table->text.len});
    else
        rmq_dev_answer(reply, RMQ_RESPONSE_SYSTEM_ERROR, "no memory");
    rmq_buf_deinit(&table->text);
    rmq_json_writer_deinit(&table->broker_name);
}
