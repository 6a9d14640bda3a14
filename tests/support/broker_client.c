/* Requests of broker tests. */
#include "broker_client.h"

#include <stdio.h>
#include <string.h>

#include "codes.h"
#include "record.h"
#include "support.h"

rmq_devbroker *broker_start(const rmq_devbroker_config *config)
{
    rmq_devbroker_config plain = RMQ_DEVBROKER_CONFIG_INIT;
    rmq_devbroker *broker = NULL;
    rmq_error err;
    ck_ok(rmq_devbroker_new(config != NULL ? config : &plain, &broker, &err), &err);
    ck_ok(rmq_devbroker_topic(broker, "T", 2, &err), &err);
    return broker;
}

static void send_fields(rmq_command *command, const char *topic, int32_t queue_id)
{
    rmq_command_set(command, "a", "PG");
    rmq_command_set(command, "b", topic);
    rmq_command_set(command, "c", "TBW102");
    rmq_command_set_int(command, "d", 4);
    rmq_command_set_int(command, "e", queue_id);
    rmq_command_set_int(command, "f", 0);
    rmq_command_set_int(command, "g", 1700000000000);
    rmq_command_set_int(command, "h", 0);
    rmq_command_set_int(command, "j", 0);
    rmq_command_set(command, "k", "false");
}

int64_t broker_send_with(raw_client *client, const char *topic, int32_t queue_id, const char *body,
                         const char *properties)
{
    rmq_command command;
    rmq_command_init(&command, RMQ_REQUEST_SEND_MESSAGE_V2);
    send_fields(&command, topic, queue_id);
    rmq_command_set(&command, "i", properties);
    rmq_command_set(&command, "m", "false");
    command.body = rmq_slice_of(body);
    raw_send_command(client, &command);
    raw_frame answer = raw_read_answer(client, command.opaque);
    rmq_command_deinit(&command);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    int64_t offset = raw_int(&answer, "queueOffset");
    raw_frame_free(&answer);
    return offset;
}

int64_t broker_send(raw_client *client, const char *topic, int32_t queue_id, const char *body)
{
    return broker_send_with(client, topic, queue_id, body, "");
}

void broker_send_batch(raw_client *client, const char *topic, int32_t queue_id, const char *prefix,
                       int count)
{
    rmq_command command;
    rmq_buf body;
    rmq_buf_init(&body, 16u * 1024 * 1024);
    for (int i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s%d", prefix, i);
        rmq_batch_member_encode(0, rmq_slice_of(text), RMQ_SLICE_LITERAL("WAIT\1true\2"), &body);
    }
    rmq_command_init(&command, RMQ_REQUEST_SEND_BATCH_MESSAGE);
    send_fields(&command, topic, queue_id);
    rmq_command_set(&command, "m", "true");
    command.body = (rmq_slice){(const char *)body.data, body.len};
    raw_send_command(client, &command);
    raw_frame answer = raw_read_answer(client, command.opaque);
    rmq_command_deinit(&command);
    rmq_buf_deinit(&body);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
}

int32_t broker_pull_send(raw_client *client, const broker_pull *pull)
{
    rmq_command command;
    rmq_command_init(&command, RMQ_REQUEST_PULL_MESSAGE);
    rmq_command_set(&command, "consumerGroup", pull->group != NULL ? pull->group : "G");
    rmq_command_set(&command, "topic", pull->topic != NULL ? pull->topic : "T");
    rmq_command_set_int(&command, "queueId", pull->queue_id);
    rmq_command_set_int(&command, "queueOffset", pull->offset);
    rmq_command_set_int(&command, "maxMsgNums", pull->max_messages != 0 ? pull->max_messages : 32);
    rmq_command_set_int(&command, "sysFlag",
                        pull->sys_flag != 0 ? pull->sys_flag : PULL_SUBSCRIPTION);
    rmq_command_set_int(&command, "commitOffset", 0);
    rmq_command_set_int(&command, "suspendTimeoutMillis", pull->hold_ms);
    rmq_command_set(&command, "subscription",
                    pull->subscription != NULL ? pull->subscription : "*");
    rmq_command_set_int(&command, "subVersion", 0);
    rmq_command_set(&command, "expressionType", "TAG");
    raw_send_command(client, &command);
    int32_t opaque = command.opaque;
    rmq_command_deinit(&command);
    return opaque;
}

raw_frame broker_pull_call(raw_client *client, const broker_pull *pull)
{
    return raw_read_answer(client, broker_pull_send(client, pull));
}

rmq_batch *broker_batch(const raw_frame *answer)
{
    rmq_decode_options options = {.end_offset = INT64_MAX};
    rmq_batch *batch = NULL;
    rmq_error err;
    ck_ok(rmq_batch_decode(answer->command.body, answer->frame, &options, &batch, &err), &err);
    return batch;
}

void broker_expect_body(const rmq_batch *batch, size_t index, const char *body)
{
    ck_assert_uint_lt(index, rmq_batch_count(batch));
    const rmq_message *message = rmq_batch_at(batch, index);
    ck_assert_int_eq(message->body_status, RMQ_OK);
    ck_assert_msg(rmq_slice_equals(message->body, body), "message %zu is '%.*s', expected '%s'",
                  index, (int)message->body.len, message->body.data, body);
}
