/* Blocking questions to one server, or to whichever name server answers. */
#include "namesrv.h"

#include "../proto/codes.h"
#include "client_state.h"
#include "lookup.h"

#define PAUSE_MS 50

static rmq_status ask_once(rmq_client *client, const char *address, rmq_command *request,
                           int64_t timeout_ms, rmq_answer **out_answer, rmq_error *err)
{
    rmq_answer *answer = NULL;
    rmq_status status =
        rmq_call_sync(client, address, request, timeout_ms > 0 ? timeout_ms : 1, &answer, err);
    if (status != RMQ_OK)
        return status;
    status = rmq_answer_error(answer, rmq_request_code_name(request->code), address, err);
    if (status != RMQ_OK)
        rmq_answer_free(answer);
    else
        *out_answer = answer;
    return status;
}

/* False: no time left, or cancelled (then *status and *err say so). */
static bool pause_for_retry(rmq_client *client, int64_t deadline_ns, rmq_status *status,
                            rmq_error *err)
{
    rmq_error cancelled;
    if (rmq_lookup_left_ms(deadline_ns) <= PAUSE_MS)
        return false;
    if (rmq_client_pause(client, PAUSE_MS, &cancelled) == RMQ_OK)
        return true;
    *status = RMQ_CANCELLED;
    *err = cancelled;
    return false;
}

rmq_status rmq_ask_address(rmq_client *client, const char *address, rmq_command *request,
                           int64_t deadline_ns, rmq_answer **out_answer, rmq_error *err)
{
    rmq_error error;
    rmq_status status;
    rmq_client_enter(client);
    do {
        status =
            ask_once(client, address, request, rmq_lookup_left_ms(deadline_ns), out_answer, &error);
    } while (status != RMQ_OK && rmq_lookup_may_pass(status, &error) &&
             pause_for_retry(client, deadline_ns, &status, &error));
    rmq_client_leave(client);
    if (status != RMQ_OK && err != NULL)
        *err = error;
    return status;
}

/* The first answer of a round; a name server that hangs gets its share of the time only. */
static rmq_status ask_round(rmq_client *client, rmq_command *request, int64_t deadline_ns,
                            rmq_answer **out_answer, rmq_error *err)
{
    const rmq_settings *settings = &client->settings;
    size_t first = (size_t)client->random % settings->n_namesrvs;
    rmq_status status = RMQ_TIMEOUT;
    for (size_t i = 0; i < settings->n_namesrvs; i++) {
        int64_t share_ms = rmq_lookup_left_ms(deadline_ns) / (int64_t)(settings->n_namesrvs - i);
        status = ask_once(client, settings->namesrvs[(first + i) % settings->n_namesrvs], request,
                          share_ms, out_answer, err);
        if (status == RMQ_OK || status == RMQ_CANCELLED || status == RMQ_NOMEM)
            break;
    }
    return status;
}

rmq_status rmq_ask_namesrv(rmq_client *client, rmq_command *request, int64_t deadline_ns,
                           rmq_answer **out_answer, rmq_error *err)
{
    rmq_error error;
    rmq_status status;
    rmq_client_enter(client);
    do {
        status = ask_round(client, request, deadline_ns, out_answer, &error);
    } while (status != RMQ_OK && rmq_lookup_may_pass(status, &error) &&
             pause_for_retry(client, deadline_ns, &status, &error));
    rmq_client_leave(client);
    if (status != RMQ_OK && err != NULL)
        *err = error;
    return status;
}

static rmq_status ask_cluster_once(rmq_client *client, int64_t deadline_ns, rmq_route *out_cluster,
                                   rmq_error *err)
{
    rmq_answer *answer = NULL;
    rmq_command request;
    rmq_command_init(&request, RMQ_REQUEST_GET_BROKER_CLUSTER_INFO);
    rmq_status status = rmq_ask_namesrv(client, &request, deadline_ns, &answer, err);
    if (status == RMQ_OK)
        status = rmq_cluster_info_decode(answer->command.body, out_cluster, err);
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    return status;
}

rmq_status rmq_ask_cluster(rmq_client *client, int64_t deadline_ns, rmq_route *out_cluster,
                           rmq_error *err)
{
    rmq_error error;
    rmq_status status;
    rmq_client_enter(client);
    do {
        status = ask_cluster_once(client, deadline_ns, out_cluster, &error);
        if (status != RMQ_OK || out_cluster->n_brokers > 0)
            break;
        rmq_route_deinit(out_cluster);
        status = rmq_error_set(&error, RMQ_NOT_FOUND, "no broker is registered at a name server");
    } while (pause_for_retry(client, deadline_ns, &status, &error));
    rmq_client_leave(client);
    if (status != RMQ_OK && err != NULL)
        *err = error;
    return status;
}
