/* SEND_MESSAGE (10), SEND_MESSAGE_V2 (310) and SEND_BATCH_MESSAGE (320). */
#ifndef RMQ_DEV_SEND_H
#define RMQ_DEV_SEND_H

#include "answer.h"
#include "delays.h"
#include "message_store.h"

/* The header of a send, whichever names its fields had. */
typedef struct rmq_dev_send {
    rmq_slice topic_name;
    int32_t queue_id;
    int32_t sys_flag;
    int64_t born_ms;
    int32_t flag;
    int32_t reconsume_times;
    rmq_slice properties;
    bool batch;
    rmq_dev_topic *topic;
    int64_t store_ms;
    rmq_dev_delay_plan plan;
    bool dead; /* goes to the dead letters: not delayed any more */
} rmq_dev_send;

void rmq_dev_handle_send(rmq_dev_request *request);

/* send_store.c: stores what was checked, and answers. */
void rmq_dev_send_single(rmq_dev_request *request, rmq_dev_send *send);
void rmq_dev_send_batch(rmq_dev_request *request, rmq_dev_send *send);

/* An answer with the two fields that every answer to a send has. */
void rmq_dev_send_answer_begin(rmq_command *answer, int32_t code);
void rmq_dev_send_refuse(rmq_dev_request *request, int32_t code, const char *format, ...)
    RMQ_PRINTF(3, 4);

#endif
