/* Checks a send, in the order and with the answers of a 5.4.0 broker, up to the point where there
 * is a topic and a queue to store into. Source: SendMessageProcessor, AbstractSendMessageProcessor
 * 5.4.0; protocol facts 6.1. */
#include "send.h"

#include <stdio.h>
#include <string.h>

#include "broker_state.h"
#include "codes.h"
#include "lifecycle.h"
#include "names.h"
#include "route.h"
#include "send_back.h"

enum field {
    TOPIC,
    QUEUE_ID,
    SYS_FLAG,
    BORN,
    FLAG,
    PROPERTIES,
    RECONSUME,
    BATCH,
    DEFAULT_TOPIC,
    DEFAULT_QUEUES,
    MAX_RECONSUME
};

static const char *const names_v1[] = {"topic",
                                       "queueId",
                                       "sysFlag",
                                       "bornTimestamp",
                                       "flag",
                                       "properties",
                                       "reconsumeTimes",
                                       "batch",
                                       "defaultTopic",
                                       "defaultTopicQueueNums",
                                       "maxReconsumeTimes"};
static const char *const names_v2[] = {"b", "e", "f", "g", "h", "i", "j", "m", "c", "d", "l"};

static const char *field_name(const rmq_dev_request *request, enum field field)
{
    return request->command->code == RMQ_REQUEST_SEND_MESSAGE ? names_v1[field] : names_v2[field];
}

void rmq_dev_send_answer_begin(rmq_command *answer, int32_t code)
{
    rmq_dev_answer_begin(answer, code);
    rmq_command_set(answer, "MSG_REGION", "DefaultRegion");
    rmq_command_set(answer, "TRACE_ON", "true");
}

void rmq_dev_send_refuse(rmq_dev_request *request, int32_t code, const char *format, ...)
{
    rmq_error remark;
    va_list arguments;
    va_start(arguments, format);
    rmq_error_setv(&remark, RMQ_BROKER, format, arguments);
    va_end(arguments);
    rmq_command answer;
    rmq_dev_send_answer_begin(&answer, code);
    rmq_command_set_remark(&answer, remark.text);
    rmq_dev_answer_end(&request->reply, &answer);
}

/* Reads the header; answers and returns false if something needed is missing. */
static bool read_header(rmq_dev_request *request, rmq_dev_send *send)
{
    const rmq_command *command = request->command;
    memset(send, 0, sizeof(*send));
    if (!rmq_dev_need_string(request, field_name(request, TOPIC), &send->topic_name) ||
        !rmq_dev_need_int64(request, field_name(request, BORN), &send->born_ms) ||
        !rmq_dev_need_int32(request, field_name(request, QUEUE_ID), &send->queue_id) ||
        !rmq_dev_need_int32(request, field_name(request, SYS_FLAG), &send->sys_flag) ||
        !rmq_dev_need_int32(request, field_name(request, FLAG), &send->flag))
        return false;
    rmq_command_get(command, field_name(request, PROPERTIES), &send->properties);
    rmq_command_get_int32(command, field_name(request, RECONSUME), &send->reconsume_times);
    rmq_command_get_bool(command, field_name(request, BATCH), &send->batch);
    if (command->body.len == 0 &&
        (rmq_dev_settings_is_v5(&request->broker->settings) || send->batch)) {
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                       "java.lang.NullPointerException: the body is empty");
        return false;
    }
    return true;
}

static bool topic_usable(rmq_dev_request *request, rmq_slice name)
{
    char remark[512];
    if (!rmq_dev_topic_name_legal(name, remark, sizeof(remark))) {
        rmq_dev_send_refuse(request, RMQ_RESPONSE_INVALID_PARAMETER, "%s", remark);
        return false;
    }
    if (rmq_dev_topic_is_internal(name)) {
        rmq_dev_send_refuse(request, RMQ_RESPONSE_NO_PERMISSION,
                            "Sending message to topic[%.*s] is forbidden.", (int)name.len,
                            name.data);
        return false;
    }
    return true;
}

/* How many queues an unknown topic shall get: 0 if it can't be created. False: answered. */
static bool queues_to_create(rmq_dev_request *request, rmq_slice name, int32_t *out_queues)
{
    rmq_slice default_name;
    int32_t wanted = 0;
    if (rmq_dev_topic_is_retry(name)) {
        *out_queues = 1;
        return true;
    }
    if (!rmq_dev_need_string(request, field_name(request, DEFAULT_TOPIC), &default_name) ||
        !rmq_dev_need_int32(request, field_name(request, DEFAULT_QUEUES), &wanted))
        return false;
    const rmq_dev_topic *model = rmq_dev_store_topic(&request->broker->store, default_name);
    if (model == NULL || (model->perm & RMQ_PERM_INHERIT) == 0) {
        *out_queues = 0;
        return true;
    }
    if (wanted > model->write_queues)
        wanted = model->write_queues;
    *out_queues = wanted > 0 ? wanted : 0;
    return true;
}

/* Finds the topic or creates it; answers and returns false if neither can be done. */
static bool find_topic(rmq_dev_request *request, rmq_dev_send *send)
{
    rmq_dev_store *store = &request->broker->store;
    send->topic = rmq_dev_store_topic(store, send->topic_name);
    if (send->topic != NULL)
        return true;
    int32_t n_queues = 0;
    if (!queues_to_create(request, send->topic_name, &n_queues))
        return false;
    if (n_queues == 0) {
        rmq_dev_send_refuse(request, RMQ_RESPONSE_TOPIC_NOT_EXIST,
                            "topic[%.*s] not exist, apply first please!" RMQ_DEV_FAQ,
                            (int)send->topic_name.len, send->topic_name.data);
        return false;
    }
    rmq_dev_topic_spec spec = {.name = send->topic_name,
                               .read_queues = n_queues,
                               .write_queues = n_queues,
                               .perm = RMQ_PERM_READ | RMQ_PERM_WRITE};
    rmq_error err;
    if (rmq_dev_store_topic_set(store, &spec, &send->topic, &err) != RMQ_OK ||
        rmq_dev_register_topic(request->broker, send->topic, &err) != RMQ_OK) {
        rmq_dev_answer_failure(&request->reply, &err);
        return false;
    }
    return true;
}

static const char *perm_text(int32_t perm, char out_text[4])
{
    out_text[0] = (perm & RMQ_PERM_READ) != 0 ? 'R' : '-';
    out_text[1] = (perm & RMQ_PERM_WRITE) != 0 ? 'W' : '-';
    out_text[2] = (perm & RMQ_PERM_INHERIT) != 0 ? 'X' : '-';
    out_text[3] = '\0';
    return out_text;
}

/* Checks the queue, or picks one for a negative number. */
static bool choose_queue(rmq_dev_request *request, rmq_dev_send *send)
{
    const rmq_dev_topic *topic = send->topic;
    int32_t most =
        topic->read_queues > topic->write_queues ? topic->read_queues : topic->write_queues;
    if (send->queue_id < most && (send->queue_id >= 0 || topic->write_queues > 0)) {
        if (send->queue_id < 0)
            send->queue_id =
                (int32_t)(rmq_dev_random(request->broker) % (uint32_t)topic->write_queues);
        return true;
    }
    char perm[4];
    rmq_dev_send_refuse(request, RMQ_RESPONSE_INVALID_PARAMETER,
                        "request queueId[%d] is illegal, TopicConfig [topicName=%s, "
                        "readQueueNums=%d, writeQueueNums=%d, perm=%s, "
                        "topicFilterType=SINGLE_TAG, topicSysFlag=%d, order=%s, attributes={}] "
                        "Producer: %s",
                        send->queue_id, topic->name, topic->read_queues, topic->write_queues,
                        perm_text(topic->perm, perm), topic->sys_flag,
                        topic->order ? "true" : "false", request->reply.session->peer_text);
    return false;
}

/* A message that a client itself sends to a retry topic, but too often already, goes to the group's
 * dead letters. False: answered. */
static bool bury_if_dead(rmq_dev_request *request, rmq_dev_send *send)
{
    int32_t most = RMQ_DEV_RETRY_TIMES;
    rmq_error err;
    rmq_command_get_int32(request->command, field_name(request, MAX_RECONSUME), &most);
    if (!rmq_dev_topic_is_retry(send->topic_name) || send->reconsume_times <= most)
        return true;
    size_t prefix_len = strlen(RMQ_DEV_RETRY_PREFIX);
    rmq_slice group = {send->topic_name.data + prefix_len, send->topic_name.len - prefix_len};
    if (rmq_dev_make_group_topic(request->broker, RMQ_DEV_DLQ_PREFIX, group, &send->topic, &err) !=
        RMQ_OK) {
        rmq_dev_answer_failure(&request->reply, &err);
        return false;
    }
    send->queue_id = 0;
    send->dead = true;
    return true;
}

void rmq_dev_handle_send(rmq_dev_request *request)
{
    rmq_dev_send send;
    if (!read_header(request, &send) || !topic_usable(request, send.topic_name) ||
        !find_topic(request, &send) || !choose_queue(request, &send) ||
        !bury_if_dead(request, &send))
        return;
    send.store_ms = rmq_dev_store_time(&request->broker->store, rmq_dev_wall_ms());
    if (send.batch)
        rmq_dev_send_batch(request, &send);
    else
        rmq_dev_send_single(request, &send);
}
