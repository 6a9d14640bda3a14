/* Answers: made here, encoded in the right serialization, and handed to deliver.c. */
#ifndef RMQ_DEV_ANSWER_H
#define RMQ_DEV_ANSWER_H

#include <rmq/json.h>

#include "command.h"
#include "deliver.h"

/* Where an answer goes and what is to happen to it. A copy outlives the request (a held pull), but
 * not the session. */
typedef struct rmq_dev_reply {
    rmq_dev_session *session;
    int32_t opaque;
    int serialization; /* of the request */
    bool oneway;
    rmq_dev_effect effect;
} rmq_dev_reply;

/* A request while it is handled. */
typedef struct rmq_dev_request {
    rmq_devbroker *broker;
    const rmq_command *command;
    rmq_dev_reply reply;
} rmq_dev_request;

/* Appended to remarks by real brokers. */
#define RMQ_DEV_FAQ "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

/* An answer to be filled with fields, remark and body, and ended with one of the next two, which
 * also deinit it. */
void rmq_dev_answer_begin(rmq_command *answer, int32_t code);
void rmq_dev_answer_end(const rmq_dev_reply *reply, rmq_command *answer);
/* With the runs as the body. */
void rmq_dev_answer_end_runs(const rmq_dev_reply *reply, rmq_command *answer,
                             const rmq_dev_run *runs, size_t n_runs);

/* A whole answer of code and remark (NULL: none). */
void rmq_dev_answer(const rmq_dev_reply *reply, int32_t code, const char *remark);
void rmq_dev_answer_format(const rmq_dev_reply *reply, int32_t code, const char *format, ...)
    RMQ_PRINTF(3, 4);
void rmq_dev_answer_body(const rmq_dev_reply *reply, rmq_slice body);
/* With what was written as the body; ends the writer. */
void rmq_dev_answer_json(const rmq_dev_reply *reply, rmq_json_writer *writer);
/* With one field. */
void rmq_dev_answer_int(const rmq_dev_reply *reply, const char *name, int64_t value);
/* For a failure of ours (memory, disk): code 14 for FULL and IO, else 1. */
void rmq_dev_answer_failure(const rmq_dev_reply *reply, const rmq_error *err);
void rmq_dev_set_remark(rmq_command *answer, const char *format, ...) RMQ_PRINTF(2, 3);

/* A request of the broker's own to a client, oneway. */
void rmq_dev_push(rmq_dev_session *session, rmq_command *request);

/* Reads a header field that the handler can't do without; if it is missing or no number the request
 * is answered as a real broker does (code 1 and a Java exception's name) and false returned. */
bool rmq_dev_need_int32(const rmq_dev_request *request, const char *name, int32_t *out_value);
bool rmq_dev_need_int64(const rmq_dev_request *request, const char *name, int64_t *out_value);
bool rmq_dev_need_string(const rmq_dev_request *request, const char *name, rmq_slice *out_value);

#endif
