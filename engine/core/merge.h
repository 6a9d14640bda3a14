/* Putting sorted blocks together. */
#ifndef MILL_MERGE_H
#define MILL_MERGE_H

#include "block.h"
#include "task.h"

/* Emits the pairs of sealed blocks, each in the order of its keys (of a type that has an order),
 * all in that order. Failures are noted in the task, for operation `at`. */
RMQ_MUST_CHECK rmq_status mill_merge_emit(mill_task *task, mill_block *const *blocks,
                                          size_t n_blocks, mill_emitter *out, const char *at);

#endif
