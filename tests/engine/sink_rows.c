/* Rows of pairs for the tests of sinks. */
#include "sink_rows.h"

#include <string.h>

#include "core/block.h"

mill_context *test_context;
const mill_type *test_pair;

void test_context_set_up(void)
{
    rmq_error err;
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = 1;
    ck_ok(mill_context_new(&config, &test_context, &err), &err);
    test_pair = mill_type_pair(test_context, mill_type_text(), mill_type_int64(), &err);
    ck_assert_ptr_nonnull(test_pair);
}

void test_context_tear_down(void)
{
    mill_context_free(test_context);
    test_context = NULL;
}

static void append(mill_block *block, rmq_slice key, int64_t value)
{
    rmq_error err;
    char row[256] = {0};
    ck_assert_uint_le(test_pair->size_bytes, sizeof(row));
    memcpy(row, &key, sizeof(key));
    memcpy(row + test_pair->value_at, &value, sizeof(value));
    ck_ok(mill_block_append(block, row, &err), &err);
}

static mill_rows *rows_of_block(mill_block *take_block)
{
    rmq_error err;
    mill_rows *rows = NULL;
    ck_ok(mill_block_seal(take_block, &err), &err);
    ck_ok(mill_rows_of_blocks(&take_block, 1, test_pair, &rows, &err), &err);
    mill_block_unref(take_block);
    return rows;
}

mill_rows *test_rows_make(const test_row *rows, size_t count)
{
    rmq_error err;
    mill_block *block = NULL;
    ck_ok(mill_block_new(mill_context_blocks(test_context), test_pair, &block, &err), &err);
    for (size_t i = 0; i < count; i++)
        append(block, rmq_slice_of(rows[i].key), rows[i].value);
    return rows_of_block(block);
}

mill_rows *test_rows_of_slice(rmq_slice key, int64_t value)
{
    rmq_error err;
    mill_block *block = NULL;
    ck_ok(mill_block_new(mill_context_blocks(test_context), test_pair, &block, &err), &err);
    append(block, key, value);
    return rows_of_block(block);
}

mill_sink_owner test_owner(int64_t epoch)
{
    return (mill_sink_owner){
        .stream_id = "stream-1", .job_name = "job", .sink_id = "sink-1", .epoch = epoch};
}

rmq_status test_run(mill_sink *sink, int64_t batch_id, int64_t epoch, const char *run,
                    const test_row *row, rmq_error *err)
{
    mill_sink_batch batch = {.batch_id = batch_id, .epoch = epoch, .time_ms = 1, .run = run};
    rmq_status status = sink->vtable.begin(sink->self, &batch, err);
    if (status != RMQ_OK)
        return status;
    if (row != NULL) {
        mill_rows *rows = test_rows_make(row, 1);
        status = sink->vtable.write(sink->self, 0, 0, rows, err);
        mill_rows_free(rows);
    }
    return status == RMQ_OK ? mill_sink_prepare(sink, err) : status;
}

rmq_status test_batch(mill_sink *sink, int64_t batch_id, int64_t epoch, const char *run,
                      const test_row *row, rmq_error *err)
{
    rmq_status status = test_run(sink, batch_id, epoch, run, row, err);
    mill_offset offset = {.source = "direct",
                          .topic = "T",
                          .broker_name = "b",
                          .queue_id = 0,
                          .next_offset = batch_id * 10};
    return status == RMQ_OK ? sink->vtable.commit(sink->self, &offset, 1, err) : status;
}
