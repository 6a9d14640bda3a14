#include "reader_room.h"

#include <stdlib.h>
#include <string.h>

test_broker broker;
rmq_queue queue;
rmq_error err;

void set_up(void)
{
    memset(&err, 0, sizeof(err));
    test_broker_start(&broker);
    char *topic = test_broker_topic(&broker, 2);
    queue = (rmq_queue){topic, test_broker_name(&broker, topic), 1};
}

void tear_down(void)
{
    free((char *)queue.topic);
    free((char *)queue.broker_name);
    test_broker_stop(&broker);
}

rmq_reader_config config_for(int64_t start, int64_t end)
{
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.start_offset = start;
    config.end_offset = end;
    return config;
}

rmq_reader *open_reader(const rmq_reader_config *config)
{
    rmq_reader *reader = NULL;
    ck_ok(rmq_reader_open(broker.client, config, &reader, &err), &err);
    return reader;
}

rmq_status next_status(rmq_reader *reader, int64_t timeout_ms)
{
    rmq_batch *batch = NULL;
    rmq_status status = rmq_reader_next(reader, timeout_ms, &batch, &err);
    if (status == RMQ_OK)
        rmq_batch_unref(batch);
    return status;
}
