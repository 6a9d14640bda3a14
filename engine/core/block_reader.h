/* Reading the rows of a sealed block; and how a block's bytes are laid out. */
#ifndef MILL_BLOCK_READER_H
#define MILL_BLOCK_READER_H

#include "block.h"
#include "bytes.h"

/* A run of whole rows of a block. */
typedef struct mill_block_chunk {
    char *bytes; /* NULL: in the spill file at `spilled_at` */
    size_t len;
    int64_t spilled_at;
} mill_block_chunk;

size_t mill_block_chunks(const mill_block *block);
const mill_block_chunk *mill_block_chunk_at(const mill_block *block, size_t index);
mill_block_store *mill_block_store_of(const mill_block *block);

/* Walks one block; embedded. All zero is a reader at no block. */
typedef struct mill_block_reader {
    const mill_block *block;
    size_t width; /* of each row; 0: a length stands before each */
    size_t next_chunk;
    uint64_t rows_left;
    mill_input in;
    char *loaded; /* a spilled chunk, read back */
    size_t loaded_bytes;
    char *rows; /* where rows that are not in place are put: room for MILL_READ_GROUP of them */
    size_t row_bytes;
} mill_block_reader;

#define MILL_READ_GROUP 16

/* Goes to the start of `block`, which must live as long as it is read. Buffers are kept. Errors:
 * NOMEM. */
RMQ_MUST_CHECK rmq_status mill_block_reader_start(mill_block_reader *reader,
                                                  const mill_block *block, rmq_error *err);
/* The next row: valid until the next call and while `arena` is not reset. NOT_FOUND (without err)
 * at the end; CORRUPT, IO, NOMEM. */
RMQ_MUST_CHECK rmq_status mill_block_reader_next(mill_block_reader *reader, mill_arena *arena,
                                                 const void **out_row, rmq_error *err);
/* The next rows, at least one and at most MILL_READ_GROUP: for who has something to gain from
 * seeing several at once. As above in everything else. */
RMQ_MUST_CHECK rmq_status mill_block_reader_next_group(mill_block_reader *reader, mill_arena *arena,
                                                       const void *out_rows[MILL_READ_GROUP],
                                                       size_t *out_count, rmq_error *err);
void mill_block_reader_deinit(mill_block_reader *reader);

#endif
