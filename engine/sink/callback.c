/* The callback sink: foreach and foreach-batch.
 *
 * It is no transaction: a batch whose offsets were not recorded comes again, with the same number
 * and the same rows, so that the user's function can tell. The row function is called while rows
 * are written, the batch function at commit, when the rows of all partitions are there and the
 * offsets are known; until then their blocks are held, not copied. */
#include <mill/sink.h>

#include "../core/block.h"

#include <string.h>

typedef struct callback_sink {
    const mill_type *type;
    mill_sink_row_fn each_row;
    mill_sink_batch_fn each_batch;
    void *ctx;
    mill_sink_batch batch;
    char run[MILL_RUN_NAME_BYTES];
    mill_block **blocks; /* of this run, for each_batch */
    size_t n_blocks;
    size_t max_blocks;
} callback_sink;

static void drop_blocks(callback_sink *sink)
{
    for (size_t i = 0; i < sink->n_blocks; i++)
        mill_block_unref(sink->blocks[i]);
    sink->n_blocks = 0;
}

static rmq_status callback_open(void *self, const mill_sink_owner *owner,
                                mill_sink_position *out_position, rmq_error *err)
{
    (void)owner;
    (void)err;
    drop_blocks(self);
    memset(out_position, 0, sizeof(*out_position));
    return RMQ_OK;
}

static rmq_status callback_begin(void *self, const mill_sink_batch *batch, rmq_error *err)
{
    callback_sink *sink = self;
    if (strlen(batch->run) >= sizeof(sink->run))
        return rmq_error_set(err, RMQ_INVAL, "callback sink: run name of %zu bytes > max %zu",
                             strlen(batch->run), sizeof(sink->run) - 1);
    drop_blocks(sink);
    sink->batch = *batch;
    memcpy(sink->run, batch->run, strlen(batch->run) + 1);
    sink->batch.run = sink->run;
    return RMQ_OK;
}

/* A function of the user that failed has said why, or not. */
static rmq_status user_failed(const callback_sink *sink, rmq_status status, rmq_error *err)
{
    if (err != NULL && (err->status != status || err->text[0] == '\0'))
        rmq_error_set(err, status, "the callback failed in batch %lld: %s",
                      (long long)sink->batch.batch_id, rmq_status_name(status));
    return status;
}

static rmq_status call_each_row(callback_sink *sink, mill_rows *rows, rmq_error *err)
{
    for (;;) {
        const void *row = NULL;
        rmq_status status = mill_rows_next(rows, &row, err);
        if (status == RMQ_NOT_FOUND)
            return RMQ_OK;
        if (status != RMQ_OK)
            return status;
        if (err != NULL)
            *err = (rmq_error){0};
        status = sink->each_row(&sink->batch, row, sink->ctx, err);
        if (status != RMQ_OK)
            return user_failed(sink, status, err);
    }
}

static rmq_status keep_blocks(callback_sink *sink, const mill_rows *rows, rmq_error *err)
{
    size_t count = 0;
    mill_block *const *blocks = mill_rows_blocks(rows, &count);
    if (sink->n_blocks + count > sink->max_blocks) {
        size_t capacity = (sink->n_blocks + count) * 2;
        mill_block **grown = rmq_realloc(sink->blocks, capacity * sizeof(mill_block *));
        if (grown == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "callback sink: out of memory");
        sink->blocks = grown;
        sink->max_blocks = capacity;
    }
    for (size_t i = 0; i < count; i++)
        sink->blocks[sink->n_blocks++] = mill_block_ref(blocks[i]);
    return RMQ_OK;
}

static rmq_status callback_write(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                                 rmq_error *err)
{
    callback_sink *sink = self;
    (void)target;
    (void)partition;
    rmq_status status = RMQ_OK;
    if (sink->each_batch != NULL)
        status = keep_blocks(sink, rows, err);
    if (status == RMQ_OK && sink->each_row != NULL)
        status = call_each_row(sink, rows, err);
    return status;
}

static rmq_status callback_commit(void *self, const mill_offset *offsets, size_t n_offsets,
                                  rmq_error *err)
{
    callback_sink *sink = self;
    if (sink->each_batch == NULL)
        return RMQ_OK;
    mill_rows *rows = NULL;
    rmq_status status = mill_rows_of_blocks(sink->blocks, sink->n_blocks, sink->type, &rows, err);
    if (status != RMQ_OK)
        return status;
    if (err != NULL)
        *err = (rmq_error){0};
    status = sink->each_batch(&sink->batch, rows, offsets, n_offsets, sink->ctx, err);
    if (status != RMQ_OK)
        user_failed(sink, status, err);
    mill_rows_free(rows);
    drop_blocks(sink);
    return status;
}

static void callback_abort(void *self)
{
    drop_blocks(self);
}

static void callback_close(void *self)
{
    callback_sink *sink = self;
    drop_blocks(sink);
    rmq_free(sink->blocks);
    rmq_free(sink);
}

rmq_status mill_callback_sink_new(const mill_type *type, mill_sink_row_fn each_row,
                                  mill_sink_batch_fn each_batch, void *ctx, mill_sink **out_sink,
                                  rmq_error *err)
{
    static const mill_sink_vtable vtable = {
        .struct_size = sizeof(vtable),
        .name = "callback",
        .n_targets = 1,
        .open = callback_open,
        .begin = callback_begin,
        .write = callback_write,
        .commit = callback_commit,
        .abort = callback_abort,
        .close = callback_close,
    };
    if (type == NULL || out_sink == NULL || (each_row == NULL && each_batch == NULL))
        return rmq_error_set(err, RMQ_INVAL, "callback sink: a type and a function are needed");
    callback_sink *sink = rmq_calloc(1, sizeof(*sink));
    if (sink == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "callback sink: out of memory");
    sink->type = type;
    sink->each_row = each_row;
    sink->each_batch = each_batch;
    sink->ctx = ctx;
    rmq_status status = mill_sink_new(&vtable, sink, &type, out_sink, err);
    if (status != RMQ_OK)
        callback_close(sink);
    return status;
}
