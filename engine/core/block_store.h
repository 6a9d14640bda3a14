/* What all blocks of a context share: the count of bytes in memory and the spill file. */
#ifndef MILL_BLOCK_STORE_H
#define MILL_BLOCK_STORE_H

#include <stdatomic.h>

#include "block.h"

/* `spill_directory` NULL: $TMPDIR or /tmp. Copied. */
RMQ_MUST_CHECK rmq_status mill_block_store_new(size_t max_memory_bytes, const char *spill_directory,
                                               mill_block_store **out_store, rmq_error *err);
/* All blocks are gone by then. Accepts NULL. */
void mill_block_store_free(mill_block_store *store);

/* Counts memory that blocks hold. Thread: any. */
void mill_block_store_charge(mill_block_store *store, size_t size_bytes);
void mill_block_store_discharge(mill_block_store *store, size_t size_bytes);
/* More is held than the cap. Thread: any. */
bool mill_block_store_is_over(const mill_block_store *store);

size_t mill_block_store_memory(const mill_block_store *store);
/* Bytes in the spill file that blocks still hold. */
size_t mill_block_store_spilled(mill_block_store *store);
size_t mill_block_store_cap(const mill_block_store *store);

/* Writes bytes to the spill file and says where. Errors: IO, FULL, NOMEM. Thread: any. */
RMQ_MUST_CHECK rmq_status mill_block_store_spill(mill_block_store *store, const char *bytes,
                                                 size_t len, int64_t *out_at, rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_block_store_load(mill_block_store *store, int64_t at,
                                                char *out_bytes, size_t len, rmq_error *err);
/* The range is no longer needed. Thread: any. */
void mill_block_store_drop(mill_block_store *store, int64_t at, size_t len);

#endif
