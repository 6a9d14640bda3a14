/* Requests that servers send to their clients, on the connection that the client made. They number
 * them by themselves, so their opaques say nothing about ours.
 *
 * A group's members are told when it changes. What else needs an answer gets "not supported" (code
 * 3), so that the administrator or broker that asked doesn't wait for its time limit; what does not
 * is left alone. Source: ClientRemotingProcessor 5.4.0; protocol facts 13. */
#include "serve.h"

#include "../proto/codes.h"
#include "client_state.h"

static void answer_unsupported(rmq_peer *peer, const rmq_command *request)
{
    const rmq_client_config *config = &peer->client->settings.config;
    rmq_command answer;
    rmq_buf out;
    rmq_error error;
    rmq_command_init(&answer, RMQ_RESPONSE_REQUEST_CODE_NOT_SUPPORTED);
    answer.flag = RMQ_FLAG_RESPONSE;
    answer.opaque = request->opaque;
    rmq_command_set_remark(&answer, "request code not supported by this client");
    rmq_buf_init(&out, config->max_write_bytes);
    rmq_status status = rmq_command_encode(
        &answer, config->binary_headers ? RMQ_SERIALIZATION_BINARY : RMQ_SERIALIZATION_JSON, &out,
        &error);
    if (status == RMQ_OK) {
        size_t len = 0;
        uint8_t *data = rmq_buf_take(&out, &len);
        status = rmq_conn_send(peer->conn, data, len, NULL, &error);
        if (status != RMQ_OK)
            rmq_free(data);
    }
    if (status != RMQ_OK)
        rmq_client_log(peer->client, RMQ_LOG_DEBUG, "link", "no answer to request %d of %s: %s",
                       request->code, peer->text, error.text);
    rmq_buf_deinit(&out);
    rmq_command_deinit(&answer);
}

void rmq_serve_request(rmq_peer *peer, const rmq_command *request)
{
    rmq_client_log(peer->client, RMQ_LOG_DEBUG, "link", "%s sends request %d (%s)%s", peer->text,
                   request->code, rmq_request_code_name(request->code),
                   rmq_command_is_oneway(request) ? ", oneway" : "");
    rmq_slice group;
    if (request->code == RMQ_REQUEST_NOTIFY_CONSUMER_IDS_CHANGED) {
        if (rmq_command_get(request, "consumerGroup", &group))
            rmq_registration_notify(&peer->client->registration, group);
        return;
    }
    if (!rmq_command_is_oneway(request))
        answer_unsupported(peer, request);
}
