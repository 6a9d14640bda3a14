/* Sources over what is in memory already: rows of the caller, and blocks.
 *
 * Rows are deep copies in one arena, in an array that the tasks share; cutting it into partitions
 * is arithmetic. Blocks are one partition each, and are read as an exchange's are. */
#include <string.h>

#include "arena.h"
#include "block_reader.h"
#include "context.h"
#include "lineage.h"
#include "type.h"

typedef struct rows_source {
    mill_arena arena;
    const char *rows;
    size_t row_bytes;
    size_t count;
    uint32_t n_partitions;
} rows_source;

static rmq_status rows_partitions(void *self, uint32_t *out_count, rmq_error *err)
{
    (void)err;
    *out_count = ((const rows_source *)self)->n_partitions;
    return RMQ_OK;
}

/* Where partition `partition` begins: the first `count % n` partitions have one row more. */
static size_t partition_start(const rows_source *source, uint32_t partition)
{
    size_t share = source->count / source->n_partitions;
    size_t rest = source->count % source->n_partitions;
    return partition * share + (partition < rest ? partition : rest);
}

static rmq_status rows_read(void *self, uint32_t partition, mill_emitter *out, mill_task *task,
                            rmq_error *err)
{
    (void)task;
    (void)err;
    const rows_source *source = self;
    size_t end = partition_start(source, partition + 1);
    for (size_t i = partition_start(source, partition); i < end; i++) {
        rmq_status status = mill_emit(out, source->rows + i * source->row_bytes);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static void rows_free(void *self)
{
    rows_source *source = self;
    mill_arena_deinit(&source->arena);
    rmq_free(source);
}

static const mill_source_vtable rows_vtable = {
    .struct_size = sizeof(mill_source_vtable),
    .name = "rows",
    .partitions = rows_partitions,
    .read = rows_read,
    .free_self = rows_free,
};

static rmq_status rows_copy(rows_source *source, const mill_type *type, const char *rows,
                            rmq_error *err)
{
    char *copy = mill_arena_calloc(&source->arena, source->count, type->size_bytes);
    if (copy == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu rows", source->count);
    for (size_t i = 0; i < source->count; i++) {
        size_t at = i * type->size_bytes;
        rmq_status status = mill_type_copy(type, rows + at, copy + at, &source->arena);
        if (status != RMQ_OK)
            return rmq_error_set(err, status, "no copy of row %zu of %zu", i, source->count);
    }
    source->rows = copy;
    return RMQ_OK;
}

mill_dataset *mill_dataset_from_rows(mill_context *context, const mill_type *type, const void *rows,
                                     size_t count, uint32_t n_partitions, rmq_error *err)
{
    if (mill_type_check(type, err) != RMQ_OK)
        return NULL;
    if (rows == NULL && count != 0) {
        (void)rmq_error_set(err, RMQ_INVAL, "rows: no rows given, but their count is %zu", count);
        return NULL;
    }
    rows_source *source = rmq_calloc(1, sizeof(*source));
    if (source == NULL) {
        (void)rmq_error_set(err, RMQ_NOMEM, "no memory for a dataset");
        return NULL;
    }
    source->row_bytes = type->size_bytes;
    source->count = count;
    source->n_partitions = n_partitions != 0 ? n_partitions : mill_context_workers(context);
    mill_dataset *dataset = NULL;
    if (rows_copy(source, type, rows, err) == RMQ_OK)
        dataset = mill_dataset_from_source(context, &rows_vtable, source, type, err);
    if (dataset == NULL)
        rows_free(source);
    return dataset;
}

typedef struct blocks_source {
    uint32_t n_blocks;
    mill_block *blocks[];
} blocks_source;

static rmq_status blocks_partitions(void *self, uint32_t *out_count, rmq_error *err)
{
    (void)err;
    *out_count = ((const blocks_source *)self)->n_blocks;
    return RMQ_OK;
}

/* What a row points to lives until the emit of the next: in the chunk, or in the task's arena for
 * as long as the row of a leaf does. */
static rmq_status blocks_read(void *self, uint32_t partition, mill_emitter *out, mill_task *task,
                              rmq_error *err)
{
    (void)task;
    const blocks_source *source = self;
    mill_block_reader reader = {0};
    mill_arena arena = {0};
    rmq_status status = mill_block_reader_start(&reader, source->blocks[partition], err);
    while (status == RMQ_OK) {
        const void *row = NULL;
        status = mill_block_reader_next(&reader, &arena, &row, err);
        if (status == RMQ_OK)
            status = mill_emit(out, row);
        mill_arena_reset(&arena);
    }
    mill_block_reader_deinit(&reader);
    mill_arena_deinit(&arena);
    return status == RMQ_NOT_FOUND ? RMQ_OK : status;
}

static void blocks_free(void *self)
{
    blocks_source *source = self;
    for (uint32_t i = 0; i < source->n_blocks; i++)
        mill_block_unref(source->blocks[i]);
    rmq_free(source);
}

static const mill_source_vtable blocks_vtable = {
    .struct_size = sizeof(mill_source_vtable),
    .name = "blocks",
    .partitions = blocks_partitions,
    .read = blocks_read,
    .free_self = blocks_free,
};

mill_dataset *mill_dataset_from_blocks(mill_context *context, mill_block *const *blocks,
                                       size_t count, const mill_type *type, rmq_error *err)
{
    blocks_source *source = NULL;
    if (count < UINT32_MAX)
        source = rmq_calloc(1, sizeof(*source) + count * sizeof(mill_block *));
    if (source == NULL) {
        (void)rmq_error_set(err, RMQ_NOMEM, "no memory for a dataset");
        return NULL;
    }
    source->n_blocks = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        source->blocks[i] = mill_block_ref(blocks[i]);
    mill_dataset *dataset = mill_dataset_from_source(context, &blocks_vtable, source, type, err);
    if (dataset == NULL)
        blocks_free(source);
    return dataset;
}
