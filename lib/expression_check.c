/* A wrong SQL expression that is sent with a pull is not rejected: 5.4.0 then returns every message
 * and 4.9.7 none at all (protocol facts 8.5). So a reader with SQL92 first asks
 * CHECK_CLIENT_CONFIG, which does parse it. Source: ClientManageProcessor.checkClientConfig 5.4.0.
 */
#include "expression_check.h"

#include <rmq/json.h>

#include "../proto/codes.h"
#include "remark.h"

static rmq_status write_body(rmq_client *client, const rmq_pull_target *target,
                             rmq_json_writer *json, rmq_slice *out_body)
{
    rmq_json_begin_object(json);
    rmq_json_key(json, "clientId");
    rmq_json_string(json, rmq_client_id(client));
    rmq_json_key(json, "group");
    rmq_json_string(json, target->group);
    rmq_json_key(json, "subscriptionData");
    rmq_json_begin_object(json);
    rmq_json_key(json, "topic");
    rmq_json_string(json, target->topic);
    rmq_json_key(json, "subString");
    rmq_json_string(json, target->expression);
    rmq_json_key(json, "tagsSet");
    rmq_json_begin_array(json);
    rmq_json_end_array(json);
    rmq_json_key(json, "codeSet");
    rmq_json_begin_array(json);
    rmq_json_end_array(json);
    rmq_json_key(json, "subVersion");
    rmq_json_int64(json, 0);
    rmq_json_key(json, "expressionType");
    rmq_json_string(json, target->sql92 ? "SQL92" : "TAG");
    rmq_json_key(json, "classFilterMode");
    rmq_json_bool(json, false);
    rmq_json_end_object(json);
    rmq_json_end_object(json);
    return rmq_json_writer_finish(json, out_body);
}

rmq_call *rmq_expression_check_start(rmq_client *client, const char *address,
                                     const rmq_pull_target *target, rmq_call_fn done, void *ctx)
{
    rmq_call *call = NULL;
    rmq_command command;
    rmq_command_init(&command, RMQ_REQUEST_CHECK_CLIENT_CONFIG);
    rmq_json_writer json;
    rmq_json_writer_init(&json);
    if (write_body(client, target, &json, &command.body) == RMQ_OK)
        call = rmq_call_start_cancellable(
            client, address, &command, rmq_client_settings(client)->request_timeout_ms, done, ctx);
    rmq_json_writer_deinit(&json);
    rmq_command_deinit(&command);
    return call;
}

rmq_status rmq_expression_check_result(const rmq_call_outcome *outcome, const char *address,
                                       rmq_error *err)
{
    if (outcome->status != RMQ_OK) {
        if (err != NULL && outcome->err != NULL)
            *err = *outcome->err;
        return outcome->status;
    }
    const rmq_command *command = &outcome->answer->command;
    if (command->code == RMQ_RESPONSE_SUCCESS)
        return RMQ_OK;
    rmq_status status = rmq_answer_error(outcome->answer, "CHECK_CLIENT_CONFIG", address, err);
    if (rmq_remark_holds(command, RMQ_REMARK_NO_FILTER))
        status = RMQ_UNSUPPORTED;
    else if (command->code == RMQ_RESPONSE_SUBSCRIPTION_PARSE_FAILED)
        status = RMQ_INVAL;
    if (err != NULL)
        err->status = status;
    return status;
}
