/* Heartbeats (34), good-byes (35), and the check of a subscription (46). Source:
 * ClientManageProcessor 5.4.0; protocol facts 10.2 and 8.5. */
#include "group_admin.h"

#include <rmq/json.h>

#include "broker_state.h"
#include "codes.h"
#include "names.h"
#include "send_back.h"
#include "tag_filter.h"

static rmq_status join_consumer(rmq_devbroker *broker, const rmq_dev_client *client,
                                rmq_consumer_data *take_data, rmq_error *err)
{
    const rmq_dev_group *group = NULL;
    if (take_data->group == NULL)
        return RMQ_OK;
    rmq_status status = rmq_dev_groups_make(broker, rmq_slice_of(take_data->group), &group, err);
    if (status == RMQ_INVAL)
        return RMQ_OK; /* an illegal name is passed over in silence */
    rmq_dev_topic *retry_topic = NULL;
    if (status == RMQ_OK)
        status = rmq_dev_make_group_topic(broker, RMQ_DEV_RETRY_PREFIX, rmq_slice_of(group->name),
                                          &retry_topic, err);
    if (status == RMQ_OK)
        status = rmq_dev_groups_join(broker, client, group, take_data, err);
    return status;
}

static rmq_status join_all(rmq_dev_request *request, rmq_heartbeat *heartbeat, rmq_error *err)
{
    rmq_dev_client client = {.session = request->reply.session,
                             .client_id = heartbeat->client_id != NULL ? heartbeat->client_id : "",
                             .language = request->command->language,
                             .version = request->command->version};
    rmq_status status = RMQ_OK;
    for (size_t i = 0; i < heartbeat->n_consumers && status == RMQ_OK; i++)
        status = join_consumer(request->broker, &client, &heartbeat->consumers[i], err);
    for (size_t i = 0; i < heartbeat->n_producer_groups && status == RMQ_OK; i++)
        status = rmq_dev_producers_join(request->broker, &client,
                                        rmq_slice_of(heartbeat->producer_groups[i]), err);
    return status;
}

void rmq_dev_handle_heartbeat(rmq_dev_request *request)
{
    rmq_heartbeat heartbeat;
    rmq_error err;
    if (request->command->body.len == 0) {
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                       "java.lang.NullPointerException: the body is empty");
        return;
    }
    if (rmq_heartbeat_decode(request->command->body, &heartbeat, &err) != RMQ_OK) {
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                              "com.alibaba.fastjson2.JSONException: %s", err.text);
        return;
    }
    if (join_all(request, &heartbeat, &err) != RMQ_OK) {
        rmq_dev_answer_failure(&request->reply, &err);
    } else {
        rmq_command answer;
        rmq_dev_answer_begin(&answer, RMQ_RESPONSE_SUCCESS);
        if (rmq_dev_settings_is_v5(&request->broker->settings)) {
            rmq_command_set(&answer, "IS_SUPPORT_HEART_BEAT_V2", "true");
            rmq_command_set(&answer, "IS_SUB_CHANGE", "true");
        }
        rmq_dev_answer_end(&request->reply, &answer);
    }
    rmq_heartbeat_deinit(&heartbeat);
}

void rmq_dev_handle_unregister(rmq_dev_request *request)
{
    rmq_slice group;
    if (rmq_command_get(request->command, "producerGroup", &group))
        rmq_dev_producers_leave(request->broker, request->reply.session, group);
    if (rmq_command_get(request->command, "consumerGroup", &group))
        rmq_dev_groups_leave(request->broker, request->reply.session, group);
    rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
}

/* ---- 46 ---- */

/* Finds subscriptionData.expressionType; an empty slice if it isn't there. */
static void read_expression_type(rmq_json *json, rmq_slice *out_type)
{
    rmq_slice key;
    if (!rmq_json_enter_object(json))
        return;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "subscriptionData") && rmq_json_peek(json) == RMQ_JSON_OBJECT)
            read_expression_type(json, out_type);
        else if (rmq_slice_equals(key, "expressionType") && rmq_json_peek(json) == RMQ_JSON_STRING)
            rmq_json_read_string(json, out_type);
        else
            rmq_json_skip(json);
    }
}

void rmq_dev_handle_check_client(rmq_dev_request *request)
{
    rmq_slice body = request->command->body;
    rmq_slice type = {NULL, 0};
    rmq_json json;
    rmq_json_init(&json, body, true);
    if (body.len > 0)
        read_expression_type(&json, &type);
    rmq_error err;
    if (body.len > 0 && rmq_json_status(&json, &err) != RMQ_OK)
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                              "com.alibaba.fastjson2.JSONException: %s", err.text);
    else if (rmq_dev_is_tag_type(type))
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
    else
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SUBSCRIPTION_PARSE_FAILED,
                              "The broker does not support consumer to filter message by %.*s",
                              (int)(type.len < 64 ? type.len : 64), type.data);
    rmq_json_deinit(&json);
}
