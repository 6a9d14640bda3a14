/* The reading side of an exchange. */
#ifndef MILL_EXCHANGE_H
#define MILL_EXCHANGE_H

#include "block.h"
#include "task.h"

/* Folds the blocks of one partition (NULL: no rows) together and emits one pair per key. Failures
 * are noted in the task. */
RMQ_MUST_CHECK rmq_status mill_exchange_read(mill_task *task, mill_block *const *blocks,
                                             uint32_t n_blocks, mill_emitter *out);

#endif
