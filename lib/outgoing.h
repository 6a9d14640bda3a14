/* A message to be sent, checked and put into the form in which it travels. */
#ifndef RMQ_OUTGOING_H
#define RMQ_OUTGOING_H

#include <rmq/message.h>

#include "../proto/buf.h"
#include "../proto/msgid.h"
#include "../proto/record.h"

/* Body and properties of one send: one message, or the members of a batch. */
typedef struct rmq_letter {
    rmq_codec *codec;   /* to compress with; NULL: one for this letter alone */
    rmq_buf body;       /* compressed, or the batch encoding */
    rmq_buf properties; /* empty for a batch */
    int32_t flag;
    int32_t sys_flag;
    bool batch;
    char unique_key[64]; /* of the (first) message */
} rmq_letter;

void rmq_letter_init(rmq_letter *letter);
void rmq_letter_deinit(rmq_letter *letter);

/* INVAL: why no broker would take it as a topic's name. */
RMQ_MUST_CHECK rmq_status rmq_topic_check(const char *topic, rmq_error *err);

/* Checks `message` and fills `letter`. Its topic and its wish for a queue are checked, too, but
 * left to the caller. Errors: INVAL, UNSUPPORTED (a compression that is not built in), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_letter_write(rmq_letter *letter, const rmq_outgoing *message,
                                           rmq_unique_id_source *ids, rmq_error *err);
/* The same for `count` messages (an array of the caller's struct_size) as one batch. */
RMQ_MUST_CHECK rmq_status rmq_letter_write_batch(rmq_letter *letter, const rmq_outgoing *messages,
                                                 size_t count, rmq_unique_id_source *ids,
                                                 rmq_error *err);

#endif
