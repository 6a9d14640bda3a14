/* Making answers.
 *
 * A 5.x broker answers in its own configured serialization whatever the request used; a 4.9 one as
 * the request came (facts 1.3). The body of a pull isn't copied into the frame: the header is
 * encoded alone, its length word patched, and the records follow as runs. */
#include "answer.h"

#include <stdio.h>
#include <string.h>

#include "broker_state.h"
#include "codes.h"
#include "old_answers.h"

#define HEAD_MAX_BYTES (64u * 1024 * 1024)
#define REMARK_BYTES 1024

void rmq_dev_answer_begin(rmq_command *answer, int32_t code)
{
    rmq_command_init(answer, code);
    answer->language = RMQ_LANGUAGE_JAVA;
    answer->flag = RMQ_FLAG_RESPONSE;
}

static int serialization_of(const rmq_dev_session *session, int requested)
{
    const rmq_dev_settings *settings = &session->broker->settings;
    if (!rmq_dev_settings_is_v5(settings))
        return requested;
    return settings->binary_headers ? RMQ_SERIALIZATION_BINARY : RMQ_SERIALIZATION_JSON;
}

static void send_command(rmq_dev_session *session, const rmq_dev_effect *effect, int serialization,
                         rmq_command *command, const rmq_dev_outgoing *body)
{
    command->version = session->broker->settings.version;
    rmq_buf head;
    rmq_buf_init(&head, HEAD_MAX_BYTES);
    rmq_error err;
    if (rmq_command_encode(command, serialization, &head, &err) != RMQ_OK) {
        rmq_dev_log(&session->broker->settings, RMQ_LOG_WARN, "no answer: %s", err.text);
        rmq_dev_session_close(session, err.text);
        rmq_buf_deinit(&head);
        return;
    }
    rmq_dev_outgoing outgoing = *body;
    size_t total = head.len - 4;
    for (size_t i = 0; i < body->n_runs; i++)
        total += body->runs[i].len;
    rmq_buf_patch_u32(&head, 0, (uint32_t)total);
    outgoing.take_head = rmq_buf_take(&head, &outgoing.head_len);
    rmq_buf_deinit(&head);
    rmq_dev_deliver(session, effect, &outgoing);
}

void rmq_dev_answer_end_runs(const rmq_dev_reply *reply, rmq_command *answer,
                             const rmq_dev_run *runs, size_t n_runs)
{
    if (!reply->oneway && !reply->session->closed) {
        rmq_dev_outgoing body = {.runs = runs, .n_runs = n_runs};
        answer->opaque = reply->opaque;
        if (!rmq_dev_settings_is_v5(&reply->session->broker->settings))
            rmq_dev_answer_make_old(answer);
        send_command(reply->session, &reply->effect,
                     serialization_of(reply->session, reply->serialization), answer, &body);
    }
    rmq_command_deinit(answer);
}

void rmq_dev_answer_end(const rmq_dev_reply *reply, rmq_command *answer)
{
    rmq_dev_answer_end_runs(reply, answer, NULL, 0);
}

void rmq_dev_answer(const rmq_dev_reply *reply, int32_t code, const char *remark)
{
    rmq_command answer;
    rmq_dev_answer_begin(&answer, code);
    if (remark != NULL)
        rmq_command_set_remark(&answer, remark);
    rmq_dev_answer_end(reply, &answer);
}

void rmq_dev_answer_format(const rmq_dev_reply *reply, int32_t code, const char *format, ...)
{
    char remark[REMARK_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(remark, sizeof(remark), format, arguments);
    va_end(arguments);
    rmq_dev_answer(reply, code, remark);
}

void rmq_dev_set_remark(rmq_command *answer, const char *format, ...)
{
    char remark[REMARK_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(remark, sizeof(remark), format, arguments);
    va_end(arguments);
    rmq_command_set_remark(answer, remark);
}

void rmq_dev_answer_body(const rmq_dev_reply *reply, rmq_slice body)
{
    rmq_command answer;
    rmq_dev_answer_begin(&answer, RMQ_RESPONSE_SUCCESS);
    answer.body = body;
    rmq_dev_answer_end(reply, &answer);
}

void rmq_dev_answer_json(const rmq_dev_reply *reply, rmq_json_writer *writer)
{
    rmq_slice text;
    if (rmq_json_writer_finish(writer, &text) == RMQ_OK)
        rmq_dev_answer_body(reply, text);
    else
        rmq_dev_answer(reply, RMQ_RESPONSE_SYSTEM_ERROR, "no memory");
    rmq_json_writer_deinit(writer);
}

void rmq_dev_answer_int(const rmq_dev_reply *reply, const char *name, int64_t value)
{
    rmq_command answer;
    rmq_dev_answer_begin(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_command_set_int(&answer, name, value);
    rmq_dev_answer_end(reply, &answer);
}

void rmq_dev_answer_failure(const rmq_dev_reply *reply, const rmq_error *err)
{
    bool full = err->status == RMQ_FULL || err->status == RMQ_IO;
    rmq_dev_answer(reply, full ? RMQ_RESPONSE_SERVICE_NOT_AVAILABLE : RMQ_RESPONSE_SYSTEM_ERROR,
                   err->text);
}

void rmq_dev_push(rmq_dev_session *session, rmq_command *request)
{
    rmq_devbroker *broker = session->broker;
    request->language = RMQ_LANGUAGE_JAVA;
    request->flag = RMQ_FLAG_ONEWAY;
    request->opaque = broker->next_opaque;
    broker->next_opaque = broker->next_opaque == INT32_MAX ? 1 : broker->next_opaque + 1;
    rmq_dev_effect none = {0};
    rmq_dev_outgoing body = {0};
    send_command(session, &none, serialization_of(session, RMQ_SERIALIZATION_JSON), request, &body);
    rmq_command_deinit(request);
}

/* ---- needed fields ---- */

bool rmq_dev_need_string(const rmq_dev_request *request, const char *name, rmq_slice *out_value)
{
    if (rmq_command_get(request->command, name, out_value))
        return true;
    rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                          "java.lang.NullPointerException: header field %s is missing", name);
    return false;
}

static bool no_number(const rmq_dev_request *request, const char *name)
{
    rmq_slice text;
    if (rmq_dev_need_string(request, name, &text))
        rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR,
                              "java.lang.NumberFormatException: For input string: \"%.*s\"",
                              (int)(text.len < 100 ? text.len : 100), text.data);
    return false;
}

bool rmq_dev_need_int32(const rmq_dev_request *request, const char *name, int32_t *out_value)
{
    return rmq_command_get_int32(request->command, name, out_value) || no_number(request, name);
}

bool rmq_dev_need_int64(const rmq_dev_request *request, const char *name, int64_t *out_value)
{
    return rmq_command_get_int64(request->command, name, out_value) || no_number(request, name);
}
