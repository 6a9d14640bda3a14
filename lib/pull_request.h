/* The pull request of one queue: built once, three numbers changed for each pull. */
#ifndef RMQ_PULL_REQUEST_H
#define RMQ_PULL_REQUEST_H

#include "../proto/command.h"

#define RMQ_PULL_FLAG_SUSPEND 0x2
#define RMQ_PULL_FLAG_SUBSCRIPTION 0x4

typedef struct rmq_pull_request {
    rmq_command command;
    size_t offset_field; /* indices into command.fields */
    size_t count_field;
    size_t flag_field;
    char offset_text[24];
    char count_text[16];
    char flag_text[16];
} rmq_pull_request;

/* What a pull request says that never changes. */
typedef struct rmq_pull_target {
    const char *group;
    const char *topic;
    int32_t queue_id;
    const char *expression;
    bool sql92;
    int64_t hold_ms;
} rmq_pull_target;

/* Copies what it needs. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_pull_request_init(rmq_pull_request *request,
                                                const rmq_pull_target *target, rmq_error *err);
void rmq_pull_request_deinit(rmq_pull_request *request);

/* The command for one pull; borrowed until the next call. */
rmq_command *rmq_pull_request_for(rmq_pull_request *request, int64_t offset, int32_t n_messages,
                                  bool hold);

#endif
