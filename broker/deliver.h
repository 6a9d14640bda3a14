/* An encoded answer's way to its connection, with what a fault rule does to it on the way. */
#ifndef RMQ_DEV_DELIVER_H
#define RMQ_DEV_DELIVER_H

#include "faults.h"
#include "session.h"

/* A run of bytes in a chunk: one or more records. */
typedef struct rmq_dev_run {
    rmq_dev_chunk *chunk;
    const uint8_t *data;
    size_t len;
} rmq_dev_run;

/* A whole frame: an owned head, followed by runs. */
typedef struct rmq_dev_outgoing {
    uint8_t *take_head;
    size_t head_len;
    const rmq_dev_run *runs;
    size_t n_runs;
} rmq_dev_outgoing;

void rmq_dev_deliver(rmq_dev_session *session, const rmq_dev_effect *effect,
                     const rmq_dev_outgoing *outgoing);
/* Forgets what a closed session's answers waited for. */
void rmq_dev_delayed_drop(rmq_dev_session *session);

#endif
