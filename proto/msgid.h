/* Message ids. Clock and address are arguments: proto reads neither. Protocol facts 5.4 and 5.5. */
#ifndef RMQ_MSGID_H
#define RMQ_MSGID_H

#include <rmq/message.h>

#define RMQ_UNIQUE_ID_BYTES 33 /* 32 digits and a zero */

/* Source of unique ids of one process. */
typedef struct rmq_unique_id_source {
    uint8_t address[4];
    uint16_t process_id;
    uint32_t noise;
    uint32_t counter; /* atomic inside */
} rmq_unique_id_source;

/* Thread: any, on one source. `now_ms` is wall clock. */
void rmq_unique_id_next(rmq_unique_id_source *source, int64_t now_ms,
                        char out_id[RMQ_UNIQUE_ID_BYTES]);

void rmq_offset_id_format(const rmq_host *store_host, int64_t physical_offset,
                          char out_id[RMQ_OFFSET_MESSAGE_ID_BYTES]);
/* Errors: INVAL. */
RMQ_MUST_CHECK rmq_status rmq_offset_id_parse(rmq_slice id, rmq_host *out_store_host,
                                              int64_t *out_physical_offset, rmq_error *err);

#endif
