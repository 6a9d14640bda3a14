/* Queue locks of ordered consumption: which queues a client wants, and which it got.
 * Source: LockBatchRequestBody, LockBatchResponseBody 5.4.0; protocol facts 10.4; golden
 * lock_batch_req, lock_batch_resp. */
#include "body_json.h"
#include "heartbeat.h"
#include "json_scan.h"

#define MAX_QUEUES 1000000

/* ---- encode ---- */

static void write_queues(rmq_json_writer *writer, const char *key, const rmq_lock_queue *queues,
                         size_t n_queues)
{
    rmq_json_key(writer, key);
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < n_queues; i++) {
        rmq_json_begin_object(writer);
        rmq_json_key(writer, "topic");
        rmq_json_string(writer, queues[i].topic);
        rmq_json_key(writer, "brokerName");
        rmq_json_string(writer, queues[i].broker_name);
        rmq_json_key(writer, "queueId");
        rmq_json_int64(writer, queues[i].queue_id);
        rmq_json_end_object(writer);
    }
    rmq_json_end_array(writer);
}

/* Moves what is written to `out`. */
static rmq_status finish(rmq_json_writer *writer, rmq_buf *out, rmq_error *err)
{
    rmq_status status = rmq_body_append(writer, out);
    rmq_json_writer_deinit(writer);
    return status == RMQ_OK ? RMQ_OK : rmq_error_set(err, status, "queue locks: no room for them");
}

rmq_status rmq_lock_request_encode(const rmq_lock_request *request, rmq_buf *out, rmq_error *err)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "clientId");
    rmq_json_string(&writer, request->client_id);
    rmq_json_key(&writer, "consumerGroup");
    rmq_json_string(&writer, request->group);
    write_queues(&writer, "mqSet", request->queues, request->n_queues);
    rmq_json_key(&writer, "onlyThisBroker");
    rmq_json_bool(&writer, false);
    rmq_json_end_object(&writer);
    return finish(&writer, out, err);
}

rmq_status rmq_lock_response_encode(const rmq_lock_queue *queues, size_t n_queues, rmq_buf *out,
                                    rmq_error *err)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    write_queues(&writer, "lockOKMQSet", queues, n_queues);
    rmq_json_end_object(&writer);
    return finish(&writer, out, err);
}

/* ---- decode ---- */

static void read_queue(rmq_json *json, rmq_body_list *queues)
{
    rmq_slice key;
    if (!rmq_body_enter_object(json))
        return;
    rmq_lock_queue *added = rmq_body_list_add(json, queues, sizeof(*added), MAX_QUEUES);
    if (added == NULL)
        return;
    while (rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "topic"))
            rmq_body_text(json, &added->topic);
        else if (rmq_slice_equals(key, "brokerName"))
            rmq_body_text(json, &added->broker_name);
        else if (rmq_slice_equals(key, "queueId"))
            rmq_body_int32(json, &added->queue_id);
        else
            rmq_json_skip(json);
    }
    if (added->topic == NULL || added->broker_name == NULL)
        rmq_json_fail_at(json, "a queue without topic or broker", json->at);
}

static void read_queues(rmq_json *json, rmq_body_list *queues)
{
    if (!rmq_body_enter_array(json))
        return;
    while (rmq_json_next_element(json))
        read_queue(json, queues);
}

rmq_status rmq_lock_request_decode(rmq_slice body, rmq_lock_request *out_request, rmq_error *err)
{
    rmq_json json;
    rmq_lock_request request = {.group = NULL};
    rmq_body_list queues = {0};
    rmq_slice key;
    rmq_json_init(&json, body, true);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &key)) {
            if (rmq_slice_equals(key, "consumerGroup"))
                rmq_body_text(&json, &request.group);
            else if (rmq_slice_equals(key, "clientId"))
                rmq_body_text(&json, &request.client_id);
            else if (rmq_slice_equals(key, "mqSet"))
                read_queues(&json, &queues);
            else
                rmq_json_skip(&json);
        }
        if (request.group == NULL || request.client_id == NULL)
            rmq_json_fail_at(&json, "no consumerGroup or no clientId", json.at);
    }
    rmq_status status = rmq_body_finish(&json, "queue locks", err);
    rmq_json_deinit(&json);
    request.queues = queues.items;
    request.n_queues = queues.count;
    if (status == RMQ_OK)
        *out_request = request;
    else
        rmq_lock_request_deinit(&request);
    return status;
}

rmq_status rmq_lock_response_decode(rmq_slice body, rmq_lock_queue **out_queues, size_t *out_count,
                                    rmq_error *err)
{
    rmq_json json;
    rmq_body_list queues = {0};
    rmq_slice key;
    rmq_json_init(&json, body, true);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &key)) {
            if (rmq_slice_equals(key, "lockOKMQSet"))
                read_queues(&json, &queues);
            else
                rmq_json_skip(&json);
        }
    }
    rmq_status status = rmq_body_finish(&json, "locked queues", err);
    rmq_json_deinit(&json);
    if (status != RMQ_OK) {
        rmq_lock_queues_free(queues.items, queues.count);
        return status;
    }
    *out_queues = queues.items;
    *out_count = queues.count;
    return RMQ_OK;
}

void rmq_lock_queues_free(rmq_lock_queue *queues, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rmq_free(queues[i].topic);
        rmq_free(queues[i].broker_name);
    }
    rmq_free(queues);
}

void rmq_lock_request_deinit(rmq_lock_request *request)
{
    rmq_lock_queues_free(request->queues, request->n_queues);
    rmq_free(request->group);
    rmq_free(request->client_id);
    *request = (rmq_lock_request){.group = NULL};
}
