/* Reading a block: chunk by chunk, row by row.
 *
 * What a row points to stays in the chunk, which is the block's own memory or, if it was spilled,
 * the reader's copy of it. Rows of plain types are not even copied: they stand in the chunk at
 * multiples of their size, and a chunk begins at an address that suits any type.
 *
 * A block may come from a checkpoint, so its bytes may be anything: each row's length is checked,
 * the number of rows must come out, and nothing may be left over. */
#include "block_reader.h"

#include <inttypes.h>
#include <stdalign.h>
#include <string.h>

#include "block_store.h"
#include "type.h"

#define ROW_ALIGNMENT alignof(max_align_t)

rmq_status mill_block_reader_start(mill_block_reader *reader, const mill_block *block,
                                   rmq_error *err)
{
    const mill_type *type = mill_block_type(block);
    size_t row_bytes = (type->size_bytes + ROW_ALIGNMENT - 1) & ~(ROW_ALIGNMENT - 1);
    if (row_bytes > reader->row_bytes) {
        char *rows = row_bytes <= SIZE_MAX / MILL_READ_GROUP
                         ? rmq_realloc(reader->rows, row_bytes * MILL_READ_GROUP)
                         : NULL;
        if (rows == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "no memory to read rows of type %s",
                                 type->name != NULL ? type->name : "(no name)");
        reader->rows = rows;
        reader->row_bytes = row_bytes;
    }
    memset(reader->rows, 0, reader->row_bytes * MILL_READ_GROUP);
    reader->block = block;
    reader->width = mill_type_width(type);
    reader->next_chunk = 0;
    reader->rows_left = mill_block_rows(block);
    reader->in = (mill_input){0};
    return RMQ_OK;
}

void mill_block_reader_deinit(mill_block_reader *reader)
{
    rmq_free(reader->loaded);
    rmq_free(reader->rows);
    *reader = (mill_block_reader){0};
}

static rmq_status corrupt(const mill_block_reader *reader, const char *why, rmq_error *err)
{
    const mill_type *type = mill_block_type(reader->block);
    uint64_t n_rows = mill_block_rows(reader->block);
    uint64_t at = n_rows - reader->rows_left + 1;
    return rmq_error_set(err, RMQ_CORRUPT, "block of type %s, row %" PRIu64 " of %" PRIu64 ": %s",
                         type->name != NULL ? type->name : "(no name)", at, n_rows, why);
}

static rmq_status chunk_open(mill_block_reader *reader, rmq_error *err)
{
    const mill_block_chunk *chunk = mill_block_chunk_at(reader->block, reader->next_chunk);
    const char *bytes = chunk->bytes;
    if (bytes == NULL) {
        if (chunk->len > reader->loaded_bytes) {
            rmq_free(reader->loaded);
            reader->loaded_bytes = 0;
            reader->loaded = rmq_malloc(chunk->len);
            if (reader->loaded == NULL)
                return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu bytes of a block",
                                     chunk->len);
            reader->loaded_bytes = chunk->len;
        }
        rmq_status status = mill_block_store_load(
            mill_block_store_of(reader->block), chunk->spilled_at, reader->loaded, chunk->len, err);
        if (status != RMQ_OK)
            return status;
        bytes = reader->loaded;
    }
    reader->next_chunk++;
    reader->in = (mill_input){.data = bytes, .left = chunk->len};
    return RMQ_OK;
}

/* `place` is where the row is put if it is not in place. */
static rmq_status row_read(mill_block_reader *reader, void *place, mill_arena *arena,
                           const void **out_row, rmq_error *err)
{
    const mill_type *type = mill_block_type(reader->block);
    size_t len = reader->width != 0 ? reader->width : mill_get_u32(&reader->in);
    mill_input row = {.data = mill_get_raw(&reader->in, len), .left = len};
    if (row.data == NULL)
        return corrupt(reader, "it ends too early", err);
    if (type->deserialize == NULL) {
        *out_row = row.data;
        return RMQ_OK;
    }
    rmq_status status = mill_type_read(type, &row, place, arena);
    if (status == RMQ_NOMEM)
        return rmq_error_set(err, status, "no memory to read a row of type %s",
                             type->name != NULL ? type->name : "(no name)");
    if (status != RMQ_OK)
        return corrupt(reader, "its bytes are no such row", err);
    if (row.left != 0)
        return corrupt(reader, "it has more bytes than its type reads", err);
    *out_row = place;
    return RMQ_OK;
}

/* Stands before the next row; NOT_FOUND after the last. */
static rmq_status row_find(mill_block_reader *reader, rmq_error *err)
{
    if (reader->block == NULL)
        return RMQ_NOT_FOUND;
    if (reader->rows_left == 0) {
        if (reader->in.left != 0 || reader->next_chunk < mill_block_chunks(reader->block))
            return corrupt(reader, "more bytes than rows", err);
        return RMQ_NOT_FOUND;
    }
    if (reader->in.left != 0)
        return RMQ_OK;
    if (reader->next_chunk == mill_block_chunks(reader->block))
        return corrupt(reader, "it is missing", err);
    return chunk_open(reader, err);
}

rmq_status mill_block_reader_next(mill_block_reader *reader, mill_arena *arena,
                                  const void **out_row, rmq_error *err)
{
    rmq_status status = row_find(reader, err);
    if (status == RMQ_OK)
        status = row_read(reader, reader->rows, arena, out_row, err);
    if (status == RMQ_OK)
        reader->rows_left--;
    return status;
}

/* A group ends with its chunk, since a chunk that is loaded takes the place of the one before. */
rmq_status mill_block_reader_next_group(mill_block_reader *reader, mill_arena *arena,
                                        const void *out_rows[MILL_READ_GROUP], size_t *out_count,
                                        rmq_error *err)
{
    rmq_status status = row_find(reader, err);
    size_t count = 0;
    while (status == RMQ_OK && count < MILL_READ_GROUP && reader->rows_left > 0 &&
           (count == 0 || reader->in.left != 0)) {
        status = row_read(reader, reader->rows + count * reader->row_bytes, arena, &out_rows[count],
                          err);
        if (status != RMQ_OK)
            break;
        reader->rows_left--;
        count++;
    }
    if (status == RMQ_OK)
        *out_count = count;
    return status;
}
