/* A consumer gives a message back: a copy goes to the group's retry topic after a delay, or, given
 * back too often, to its dead letters. Source: AbstractSendMessageProcessor.consumerSendMsgBack
 * 5.4.0; protocol facts 11. */
#include "send_back.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker_state.h"
#include "codes.h"
#include "delays.h"
#include "long_poll.h"
#include "names.h"
#include "properties.h"
#include "props.h"
#include "record_view.h"
#include "route.h"

#define FIRST_LEVEL 3 /* of the first retry: 10 s */
#define PROPERTIES_ROOM 65536

/* The request, and what it is about. */
typedef struct send_back {
    int64_t physical_offset;
    rmq_slice group;
    int32_t delay_level;
    int32_t max_times;
    rmq_message message; /* borrowed from the store */
} send_back;

rmq_status rmq_dev_make_group_topic(rmq_devbroker *broker, const char *prefix, rmq_slice group,
                                    rmq_dev_topic **out_topic, rmq_error *err)
{
    char name[RMQ_DEV_TOPIC_MAX_BYTES + 1];
    int len = snprintf(name, sizeof(name), "%s%.*s", prefix, (int)group.len, group.data);
    if (len < 0 || len >= (int)sizeof(name)) {
        rmq_error_set(err, RMQ_INVAL, "the name of %s and the group is too long", prefix);
        return RMQ_INVAL;
    }
    *out_topic = rmq_dev_store_topic(&broker->store, rmq_slice_of(name));
    if (*out_topic != NULL)
        return RMQ_OK;
    rmq_dev_topic_spec spec = {.name = rmq_slice_of(name),
                               .read_queues = 1,
                               .write_queues = 1,
                               .perm = RMQ_PERM_READ | RMQ_PERM_WRITE};
    rmq_status status = rmq_dev_store_topic_set(&broker->store, &spec, out_topic, err);
    return status == RMQ_OK ? rmq_dev_register_topic(broker, *out_topic, err) : status;
}

static bool read_request(rmq_dev_request *request, send_back *back)
{
    memset(back, 0, sizeof(*back));
    back->max_times = RMQ_DEV_RETRY_TIMES;
    if (!rmq_dev_need_string(request, "group", &back->group) ||
        !rmq_dev_need_int64(request, "offset", &back->physical_offset) ||
        !rmq_dev_need_int32(request, "delayLevel", &back->delay_level))
        return false;
    rmq_command_get_int32(request->command, "maxReconsumeTimes", &back->max_times);
    const rmq_dev_group *group = NULL;
    rmq_error err;
    rmq_status status = rmq_dev_groups_make(request->broker, back->group, &group, &err);
    if (status == RMQ_INVAL)
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SUBSCRIPTION_GROUP_NOT_EXIST,
                              "subscription group not exist, %.*s " RMQ_DEV_FAQ,
                              (int)(back->group.len < 256 ? back->group.len : 256),
                              back->group.data);
    else if (status != RMQ_OK)
        rmq_dev_answer_failure(&request->reply, &err);
    return status == RMQ_OK;
}

static bool find_message(rmq_dev_request *request, send_back *back)
{
    const rmq_dev_stored *stored =
        rmq_dev_store_find(&request->broker->store, back->physical_offset);
    if (stored != NULL &&
        rmq_dev_record_read((rmq_slice){(const char *)stored->data, stored->size_bytes},
                            &back->message))
        return true;
    rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                          "look message by offset failed, %" PRId64, back->physical_offset);
    return false;
}

/* The message's properties, with where it came from. */
static void build_properties(const send_back *back, int32_t level, rmq_buf *out)
{
    static const char *const replaced[] = {RMQ_PROPERTY_DELAY, RMQ_PROPERTY_WAIT, "REAL_TOPIC",
                                           "REAL_QID", NULL};
    const rmq_message *message = &back->message;
    rmq_slice value;
    rmq_dev_properties_copy(message->properties, replaced, out);
    if (!rmq_props_get(message->properties, "RETRY_TOPIC", &value))
        rmq_dev_property_append(out, "RETRY_TOPIC", message->topic);
    if (!rmq_props_get(message->properties, "ORIGIN_MESSAGE_ID", &value)) {
        char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
        rmq_offset_id_format(&message->store_host, message->physical_offset, id);
        rmq_dev_property_append(out, "ORIGIN_MESSAGE_ID", rmq_slice_of(id));
    }
    rmq_dev_property_append(out, RMQ_PROPERTY_WAIT, RMQ_SLICE_LITERAL("false"));
    rmq_dev_property_append_int(out, RMQ_PROPERTY_DELAY, level);
}

/* Stores the copy: delayed in the retry topic, or at once among the dead letters. */
static rmq_status store_copy(rmq_devbroker *broker, const send_back *back, rmq_error *err)
{
    bool dead = back->delay_level < 0 || back->message.reconsume_times >= back->max_times;
    int32_t level = dead                     ? 0
                    : back->delay_level == 0 ? FIRST_LEVEL + back->message.reconsume_times
                                             : back->delay_level;
    if (level > RMQ_DEV_DELAY_LEVELS)
        level = RMQ_DEV_DELAY_LEVELS;
    rmq_dev_topic *topic = NULL;
    rmq_status status = rmq_dev_make_group_topic(
        broker, dead ? RMQ_DEV_DLQ_PREFIX : RMQ_DEV_RETRY_PREFIX, back->group, &topic, err);
    if (status != RMQ_OK)
        return status;
    rmq_buf properties;
    rmq_buf_init(&properties, PROPERTIES_ROOM);
    build_properties(back, level, &properties);
    rmq_message copy = back->message;
    copy.topic = rmq_slice_of(topic->name);
    copy.queue_id = 0;
    copy.reconsume_times++;
    copy.store_host = broker->store_host;
    copy.store_timestamp_ms = rmq_dev_store_time(&broker->store, rmq_dev_wall_ms());
    copy.properties = (rmq_slice){(const char *)properties.data, properties.len};
    rmq_dev_delay_plan plan = {.level = level};
    if (properties.failed != RMQ_OK)
        status = rmq_error_set(err, properties.failed, "no room for a copy's properties");
    else if (dead)
        status = rmq_dev_store_append(&broker->store, topic, &copy, err);
    else
        status = rmq_dev_delay_store(broker, &copy, &properties, &plan, err);
    rmq_buf_deinit(&properties);
    if (status == RMQ_OK && dead)
        rmq_dev_holds_wake(topic, 0, copy.queue_offset);
    return status;
}

void rmq_dev_handle_send_back(rmq_dev_request *request)
{
    send_back back;
    rmq_error err;
    if (!read_request(request, &back) || !find_message(request, &back))
        return;
    if (store_copy(request->broker, &back, &err) == RMQ_OK)
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
    else
        rmq_dev_answer_failure(&request->reply, &err);
}
