/* Topics: made, changed, shown and deleted. Source: AdminBrokerProcessor, TopicConfigManager 5.4.0;
 * protocol facts 14. */
#include "topic_admin.h"

#include <stdio.h>

#include "broker_state.h"
#include "codes.h"
#include "delays.h"
#include "long_poll.h"
#include "names.h"
#include "offset_table.h"
#include "route.h"

#define READ_WRITE (RMQ_PERM_READ | RMQ_PERM_WRITE)

/* Answers with code 29 and returns false if the name is illegal or a system topic's. */
static bool name_usable(rmq_dev_request *request, rmq_slice name)
{
    char remark[512];
    if (!rmq_dev_topic_name_legal(name, remark, sizeof(remark))) {
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_INVALID_PARAMETER, remark);
        return false;
    }
    const rmq_dev_topic *topic = rmq_dev_store_topic(&request->broker->store, name);
    if (rmq_dev_topic_is_system(name) || (topic != NULL && topic->system)) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_INVALID_PARAMETER,
                              "The topic[%.*s] is conflict with system topic.", (int)name.len,
                              name.data);
        return false;
    }
    return true;
}

/* The obsolete filter type must be one of Java's two. */
static bool filter_type_legal(rmq_dev_request *request)
{
    rmq_slice type = RMQ_SLICE_LITERAL("null");
    rmq_command_get(request->command, "topicFilterType", &type);
    if (rmq_slice_equals(type, "SINGLE_TAG") || rmq_slice_equals(type, "MULTI_TAG"))
        return true;
    rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                          "org.apache.rocketmq.remoting.exception.RemotingCommandException: "
                          "topicFilterType = [%.*s] value invalid",
                          (int)(type.len < 64 ? type.len : 64), type.data);
    return false;
}

void rmq_dev_handle_topic_create(rmq_dev_request *request)
{
    rmq_dev_topic_spec spec = {0};
    rmq_dev_topic *topic = NULL;
    rmq_error err;
    if (!filter_type_legal(request) || !rmq_dev_need_string(request, "topic", &spec.name) ||
        !name_usable(request, spec.name) ||
        !rmq_dev_need_int32(request, "readQueueNums", &spec.read_queues) ||
        !rmq_dev_need_int32(request, "writeQueueNums", &spec.write_queues) ||
        !rmq_dev_need_int32(request, "perm", &spec.perm))
        return;
    rmq_command_get_int32(request->command, "topicSysFlag", &spec.sys_flag);
    rmq_command_get_bool(request->command, "order", &spec.order);
    if (spec.read_queues < 0 || spec.write_queues < 0) {
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_INVALID_PARAMETER,
                       "a number of queues is negative");
        return;
    }
    if (rmq_dev_store_topic_set(&request->broker->store, &spec, &topic, &err) != RMQ_OK ||
        rmq_dev_register_topic(request->broker, topic, &err) != RMQ_OK) {
        rmq_dev_answer_failure(&request->reply, &err);
        return;
    }
    rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, "not set any response code");
}

void rmq_dev_handle_topic_delete(rmq_dev_request *request)
{
    rmq_devbroker *broker = request->broker;
    rmq_slice name = {NULL, 0};
    rmq_error err;
    rmq_command_get(request->command, "topic", &name);
    if (!name_usable(request, name))
        return;
    rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, name);
    if (topic != NULL)
        rmq_dev_holds_detach(topic);
    if (rmq_dev_store_topic_delete(&broker->store, name, &err) != RMQ_OK) {
        rmq_dev_answer_failure(&request->reply, &err);
        return;
    }
    rmq_dev_offsets_forget(&broker->offsets, name, (rmq_slice){NULL, 0});
    rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
}

void rmq_dev_handle_topic_config(rmq_dev_request *request)
{
    rmq_slice name;
    if (!rmq_dev_need_string(request, "topic", &name))
        return;
    const rmq_dev_topic *topic = rmq_dev_store_topic(&request->broker->store, name);
    if (topic == NULL) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_TOPIC_NOT_EXIST,
                              "No topic in this broker. topic: %.*s",
                              (int)(name.len < 256 ? name.len : 256), name.data);
        return;
    }
    char body[512];
    int len = snprintf(body, sizeof(body),
                       "{\"attributes\":{},\"order\":%s,\"perm\":%d,\"readQueueNums\":%d,"
                       "\"topicFilterType\":\"SINGLE_TAG\",\"topicName\":\"%s\","
                       "\"topicSysFlag\":%d,\"writeQueueNums\":%d}",
                       topic->order ? "true" : "false", topic->perm, topic->read_queues,
                       topic->name, topic->sys_flag, topic->write_queues);
    rmq_dev_answer_body(&request->reply, (rmq_slice){body, (size_t)len});
}

void rmq_dev_handle_topic_stats(rmq_dev_request *request)
{
    rmq_slice name;
    if (!rmq_dev_need_string(request, "topic", &name))
        return;
    const rmq_dev_topic *topic = rmq_dev_store_topic(&request->broker->store, name);
    if (topic == NULL) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_TOPIC_NOT_EXIST,
                              "topic[%.*s] not exist", (int)(name.len < 256 ? name.len : 256),
                              name.data);
        return;
    }
    rmq_dev_offset_table table;
    rmq_dev_offset_table_begin(&table, &request->broker->settings, "{");
    int32_t n_queues =
        topic->read_queues > topic->write_queues ? topic->read_queues : topic->write_queues;
    for (int32_t i = 0; i < n_queues; i++) {
        const rmq_dev_queue *queue = rmq_dev_topic_queue(topic, i);
        int64_t max_offset = queue != NULL ? rmq_dev_queue_max(queue) : 0;
        int64_t last_ms = queue != NULL && queue->count > 0
                              ? rmq_dev_queue_at(queue, max_offset - 1)->store_ms
                              : 0;
        char value[256];
        snprintf(value, sizeof(value),
                 "{\"lastUpdateTimestamp\":%lld,\"maxOffset\":%lld,\"minOffset\":%lld}",
                 (long long)last_ms, (long long)max_offset,
                 (long long)(queue != NULL ? queue->min_offset : 0));
        rmq_dev_offset_table_add(&table, topic->name, i, value);
    }
    rmq_dev_offset_table_answer(&table, &request->reply, ",\"topicPutTps\":0.0}");
}

/* ---- system topics ---- */

static rmq_status make_topic(rmq_devbroker *broker, const char *name, int32_t n_queues,
                             int32_t perm, rmq_error *err)
{
    rmq_dev_topic_spec spec = {.name = rmq_slice_of(name),
                               .read_queues = n_queues,
                               .write_queues = n_queues,
                               .perm = perm,
                               .system = true};
    rmq_dev_topic *topic = NULL;
    return rmq_dev_store_topic_set(&broker->store, &spec, &topic, err);
}

rmq_status rmq_dev_make_system_topics(rmq_devbroker *broker, rmq_error *err)
{
    const rmq_dev_settings *settings = &broker->settings;
    static const struct {
        const char *name;
        int32_t n_queues;
    } topics[] = {
        {"SELF_TEST_TOPIC", 1},
        {"BenchmarkTest", 1024},
        {RMQ_DEV_SCHEDULE_TOPIC, RMQ_DEV_DELAY_LEVELS},
        {RMQ_DEV_TIMER_TOPIC, RMQ_DEV_TIMER_QUEUES},
        {"OFFSET_MOVED_EVENT", 1},
        {RMQ_DEV_HALF_TOPIC, 1},
        {"RMQ_SYS_TRANS_OP_HALF_TOPIC", 1},
    };
    rmq_status status = RMQ_OK;
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]) && status == RMQ_OK; i++)
        status = make_topic(broker, topics[i].name, topics[i].n_queues, READ_WRITE, err);
    if (status == RMQ_OK && settings->auto_create_topic)
        status = make_topic(broker, RMQ_DEV_AUTO_CREATE_TOPIC, settings->default_queues,
                            READ_WRITE | RMQ_PERM_INHERIT, err);
    if (status == RMQ_OK)
        status = make_topic(broker, settings->cluster, 16, READ_WRITE | RMQ_PERM_INHERIT, err);
    if (status == RMQ_OK)
        status = make_topic(broker, settings->broker_name, 1, READ_WRITE | RMQ_PERM_INHERIT, err);
    return status;
}
