/* Blocks: rows in serialized form, in memory or spilled to an unlinked file. Everything that leaves
 * a task is a block: what goes through an exchange, what goes to a sink, what is staged in the
 * checkpoint. */
#ifndef MILL_BLOCK_H
#define MILL_BLOCK_H

#include <mill/dataset.h>

typedef struct mill_block mill_block;
typedef struct mill_block_store mill_block_store; /* the context's memory cap and spill directory */

/* A block being filled by one task. Errors: NOMEM, IO, FULL (disk) when it has to spill. */
RMQ_MUST_CHECK rmq_status mill_block_new(mill_block_store *store, const mill_type *type,
                                         mill_block **out_block, rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_block_append(mill_block *block, const void *row, rmq_error *err);
/* No more rows; readable from any thread afterwards. */
RMQ_MUST_CHECK rmq_status mill_block_seal(mill_block *block, rmq_error *err);
mill_block *mill_block_ref(mill_block *block);
void mill_block_unref(mill_block *block); /* accepts NULL; any thread */
uint64_t mill_block_rows(const mill_block *block);
size_t mill_block_bytes(const mill_block *block);
const mill_type *mill_block_type(const mill_block *block);

/* The serialized bytes of a sealed block, and a sealed block over such bytes (copied): for staging.
 * A bad byte string is found while reading rows (CORRUPT). */
RMQ_MUST_CHECK rmq_status mill_block_dump(const mill_block *block, char **out_bytes,
                                          size_t *out_len, rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_block_load(mill_block_store *store, const mill_type *type,
                                          rmq_slice bytes, uint64_t n_rows, mill_block **out_block,
                                          rmq_error *err);

/* Rows over `count` blocks of one type, in order; takes a reference on each. */
RMQ_MUST_CHECK rmq_status mill_rows_of_blocks(mill_block *const *blocks, size_t count,
                                              const mill_type *type, mill_rows **out_rows,
                                              rmq_error *err);

/* The blocks that `rows` walks over, borrowed from it: for who keeps rows longer than a call. */
mill_block *const *mill_rows_blocks(const mill_rows *rows, size_t *out_count);

mill_block_store *mill_context_blocks(mill_context *context);

#endif
