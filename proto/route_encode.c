/* A route as a name server writes it: keys in Java's order, null fields left out. The keys of
 * `brokerAddrs` are quoted, or bare numbers as old clients get them; the JSON writer knows no bare
 * keys, so that object is put together here and goes in raw.
 * Source: TopicRouteData 5.4.0; protocol facts 4.2. */
#include "route.h"

#include <stdio.h>

#include "body_json.h"

#define ADDRESSES_MAX_BYTES (1u << 20)

/* Appends `value` as a JSON string. `scratch` is a writer to do it with. */
static rmq_status append_json_string(rmq_json_writer *scratch, const char *value, rmq_buf *out)
{
    rmq_json_writer_clear(scratch);
    rmq_json_string(scratch, value);
    return rmq_body_append(scratch, out);
}

/* {0:"host:port",1:"..."} */
static rmq_status bare_addresses(const rmq_route_broker *broker, rmq_buf *out)
{
    rmq_json_writer scratch;
    rmq_status status = RMQ_OK;
    rmq_json_writer_init(&scratch);
    rmq_buf_append_u8(out, '{');
    for (size_t i = 0; status == RMQ_OK && i < broker->n_addresses; i++) {
        char key[32];
        int len = snprintf(key, sizeof(key), "%s%lld:", i > 0 ? "," : "",
                           (long long)broker->addresses[i].broker_id);
        rmq_buf_append(out, key, (size_t)len);
        status = append_json_string(&scratch, broker->addresses[i].address, out);
    }
    rmq_buf_append_u8(out, '}');
    rmq_json_writer_deinit(&scratch);
    return status == RMQ_OK ? out->failed : status;
}

static rmq_status write_bare_addresses(rmq_json_writer *writer, const rmq_route_broker *broker)
{
    rmq_buf text;
    rmq_buf_init(&text, ADDRESSES_MAX_BYTES);
    rmq_status status = bare_addresses(broker, &text);
    if (status == RMQ_OK)
        rmq_json_raw(writer, (rmq_slice){(const char *)text.data, text.len});
    rmq_buf_deinit(&text);
    return status;
}

static void write_addresses(rmq_json_writer *writer, const rmq_route_broker *broker)
{
    rmq_json_begin_object(writer);
    for (size_t i = 0; i < broker->n_addresses; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%lld", (long long)broker->addresses[i].broker_id);
        rmq_json_key(writer, key);
        rmq_json_string(writer, broker->addresses[i].address);
    }
    rmq_json_end_object(writer);
}

static rmq_status write_broker(rmq_json_writer *writer, const rmq_route_broker *broker,
                               bool standard_json)
{
    rmq_status status = RMQ_OK;
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "brokerAddrs");
    if (standard_json)
        write_addresses(writer, broker);
    else
        status = write_bare_addresses(writer, broker);
    rmq_json_key(writer, "brokerName");
    rmq_json_string(writer, broker->broker_name);
    if (broker->cluster != NULL) {
        rmq_json_key(writer, "cluster");
        rmq_json_string(writer, broker->cluster);
    }
    rmq_json_key(writer, "enableActingMaster");
    rmq_json_bool(writer, false);
    rmq_json_end_object(writer);
    return status;
}

static void write_queues(rmq_json_writer *writer, const rmq_route_queues *queues)
{
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "brokerName");
    rmq_json_string(writer, queues->broker_name);
    rmq_json_key(writer, "perm");
    rmq_json_int64(writer, queues->perm);
    rmq_json_key(writer, "readQueueNums");
    rmq_json_int64(writer, queues->read_queues);
    rmq_json_key(writer, "topicSysFlag");
    rmq_json_int64(writer, queues->topic_sys_flag);
    rmq_json_key(writer, "writeQueueNums");
    rmq_json_int64(writer, queues->write_queues);
    rmq_json_end_object(writer);
}

static rmq_status write_route(rmq_json_writer *writer, const rmq_route *route, bool standard_json)
{
    rmq_status status = RMQ_OK;
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "brokerDatas");
    rmq_json_begin_array(writer);
    for (size_t i = 0; status == RMQ_OK && i < route->n_brokers; i++)
        status = write_broker(writer, &route->brokers[i], standard_json);
    rmq_json_end_array(writer);
    rmq_json_key(writer, "filterServerTable");
    rmq_json_begin_object(writer);
    rmq_json_end_object(writer);
    if (route->order_topic_conf != NULL) {
        rmq_json_key(writer, "orderTopicConf");
        rmq_json_string(writer, route->order_topic_conf);
    }
    rmq_json_key(writer, "queueDatas");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < route->n_queues; i++)
        write_queues(writer, &route->queues[i]);
    rmq_json_end_array(writer);
    rmq_json_end_object(writer);
    return status;
}

rmq_status rmq_route_encode(const rmq_route *route, bool standard_json, rmq_buf *out,
                            rmq_error *err)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_status status = write_route(&writer, route, standard_json);
    if (status == RMQ_OK)
        status = rmq_body_append(&writer, out);
    rmq_json_writer_deinit(&writer);
    return status == RMQ_OK ? RMQ_OK : rmq_error_set(err, status, "route: no room for its body");
}
