/* Encoding thousands of pulls a second for one queue: the command and its field list are made once,
 * and only the texts of offset, count and flag are written anew, into the request's own memory.
 *
 * Every field that PULL_MESSAGE knows is sent, also those that 5.4.0 would do without.
 * Source: PullMessageRequestHeader 5.4.0; protocol facts 8.1 and 3.3. */
#include "pull_request.h"

#include <string.h>

#include "../proto/codes.h"

/* Writes a number's decimal text and gives its length. */
static size_t put_number(char *out, int64_t value)
{
    char digits[24];
    size_t n = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    size_t len = 0;
    if (value < 0)
        out[len++] = '-';
    while (n > 0)
        out[len++] = digits[--n];
    return len;
}

static bool find_field(const rmq_command *command, const char *key, size_t *out_index)
{
    for (size_t i = 0; i < command->n_fields; i++) {
        if (rmq_slice_equals(command->fields[i].key, key)) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

/* A setter that failed is told by the encoder: better now than for every pull. */
static rmq_status try_to_encode(const rmq_command *command, rmq_error *err)
{
    rmq_buf frame;
    rmq_buf_init(&frame, SIZE_MAX / 2);
    rmq_status status = rmq_command_encode(command, RMQ_SERIALIZATION_JSON, &frame, err);
    rmq_buf_deinit(&frame);
    return status;
}

rmq_status rmq_pull_request_init(rmq_pull_request *request, const rmq_pull_target *target,
                                 rmq_error *err)
{
    rmq_command *command = &request->command;
    rmq_command_init(command, RMQ_REQUEST_PULL_MESSAGE);
    rmq_command_set(command, "consumerGroup", target->group);
    rmq_command_set(command, "topic", target->topic);
    rmq_command_set_int(command, "queueId", target->queue_id);
    rmq_command_set(command, "queueOffset", "0");
    rmq_command_set(command, "maxMsgNums", "0");
    rmq_command_set(command, "sysFlag", "0");
    rmq_command_set(command, "commitOffset", "0");
    rmq_command_set_int(command, "suspendTimeoutMillis", target->hold_ms);
    rmq_command_set(command, "subscription", target->expression);
    rmq_command_set(command, "expressionType", target->sql92 ? "SQL92" : "TAG");
    rmq_command_set(command, "subVersion", "0");
    bool found = find_field(command, "queueOffset", &request->offset_field) &&
                 find_field(command, "maxMsgNums", &request->count_field) &&
                 find_field(command, "sysFlag", &request->flag_field);
    rmq_status status = found ? try_to_encode(command, err)
                              : rmq_error_set(err, RMQ_NOMEM, "no memory for a pull request");
    if (status != RMQ_OK)
        rmq_command_deinit(command);
    return status;
}

void rmq_pull_request_deinit(rmq_pull_request *request)
{
    rmq_command_deinit(&request->command);
}

static void change(rmq_command *command, size_t index, char *text, int64_t value)
{
    size_t len = put_number(text, value);
    command->fields[index].value = (rmq_slice){text, len};
}

rmq_command *rmq_pull_request_for(rmq_pull_request *request, int64_t offset, int32_t n_messages,
                                  bool hold)
{
    rmq_command *command = &request->command;
    int64_t flag = RMQ_PULL_FLAG_SUBSCRIPTION | (hold ? RMQ_PULL_FLAG_SUSPEND : 0);
    change(command, request->offset_field, request->offset_text, offset);
    change(command, request->count_field, request->count_text, n_messages);
    change(command, request->flag_field, request->flag_text, flag);
    return command;
}
