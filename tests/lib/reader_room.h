/* What tests of readers on any broker start from: a broker, a topic of two queues, of which the
 * second is read, and short ways to open and to ask. */
#ifndef TEST_READER_ROOM_H
#define TEST_READER_ROOM_H

#include "../support/test_broker.h"

extern test_broker broker;
extern rmq_queue queue;
extern rmq_error err;

void set_up(void);
void tear_down(void);
/* Its defaults, for [start, end) of the queue. */
rmq_reader_config config_for(int64_t start, int64_t end);
rmq_reader *open_reader(const rmq_reader_config *config);
/* Asks once; the batch, if any, is dropped. */
rmq_status next_status(rmq_reader *reader, int64_t timeout_ms);

#endif
