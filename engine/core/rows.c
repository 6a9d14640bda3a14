/* Rows: a walk over blocks in order. Only one block at a time has a chunk in memory of ours, so a
 * result that was spilled is read back piece by piece. */
#include <string.h>

#include "arena.h"
#include "block.h"
#include "block_reader.h"

struct mill_rows {
    const mill_type *type;
    mill_block **blocks;
    size_t n_blocks;
    size_t next_block;
    uint64_t n_rows;
    mill_block_reader reader;
    mill_arena arena; /* of the current row */
};

rmq_status mill_rows_of_blocks(mill_block *const *blocks, size_t count, const mill_type *type,
                               mill_rows **out_rows, rmq_error *err)
{
    mill_rows *rows = rmq_calloc(1, sizeof(*rows));
    mill_block **copy = rmq_calloc(count != 0 ? count : 1, sizeof(mill_block *));
    if (rows == NULL || copy == NULL) {
        rmq_free(copy);
        rmq_free(rows);
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the rows of %zu blocks", count);
    }
    rows->type = type;
    rows->blocks = copy;
    rows->n_blocks = count;
    for (size_t i = 0; i < count; i++) {
        copy[i] = mill_block_ref(blocks[i]);
        rows->n_rows += mill_block_rows(blocks[i]);
    }
    *out_rows = rows;
    return RMQ_OK;
}

rmq_status mill_rows_next(mill_rows *rows, const void **out_row, rmq_error *err)
{
    mill_arena_reset(&rows->arena);
    for (;;) {
        rmq_status status = mill_block_reader_next(&rows->reader, &rows->arena, out_row, err);
        if (status != RMQ_NOT_FOUND || rows->next_block == rows->n_blocks)
            return status;
        status = mill_block_reader_start(&rows->reader, rows->blocks[rows->next_block], err);
        if (status != RMQ_OK)
            return status;
        rows->next_block++;
    }
}

void mill_rows_rewind(mill_rows *rows)
{
    rows->next_block = 0;
    rows->reader.block = NULL;
}

uint64_t mill_rows_count(const mill_rows *rows)
{
    return rows->n_rows;
}

const mill_type *mill_rows_type(const mill_rows *rows)
{
    return rows->type;
}

mill_block *const *mill_rows_blocks(const mill_rows *rows, size_t *out_count)
{
    *out_count = rows->n_blocks;
    return rows->blocks;
}

void mill_rows_free(mill_rows *rows)
{
    if (rows == NULL)
        return;
    for (size_t i = 0; i < rows->n_blocks; i++)
        mill_block_unref(rows->blocks[i]);
    rmq_free(rows->blocks);
    mill_block_reader_deinit(&rows->reader);
    mill_arena_deinit(&rows->arena);
    rmq_free(rows);
}
