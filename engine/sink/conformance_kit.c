/* Driving a sink for the checks of the conformance kit.
 *
 * Everything that the kit writes follows from a few numbers: the rows of a run from its batch, tag
 * and partition, the offsets from the batch. So what must be visible, and what a sink must report
 * after a restart, is known without asking the sink. Two runs of one batch have different rows:
 * a sink that mixes them is found. */
#include "conformance.h"

#include "../core/block.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define N_OFFSETS 4
#define OPEN_TRIES 50

/* ---- life ---- */

bool mill_kit_fail(mill_kit *kit, const char *format, ...)
{
    if (kit->failed)
        return false;
    rmq_error failure;
    va_list arguments;
    va_start(arguments, format);
    rmq_error_setv(&failure, RMQ_SINK, format, arguments);
    va_end(arguments);
    memcpy(kit->detail, failure.text, sizeof(kit->detail));
    kit->failed = true;
    return false;
}

static bool broken(mill_kit *kit, rmq_status status, const char *doing)
{
    if (kit->broken == RMQ_OK) {
        kit->broken = status;
        rmq_error_wrap(&kit->err, "conformance kit: %s", doing);
    }
    return false;
}

static bool no_memory(mill_kit *kit)
{
    return broken(kit, rmq_error_set(&kit->err, RMQ_NOMEM, "out of memory"), "rows");
}

bool mill_kit_context_new(mill_kit *kit)
{
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = 1;
    rmq_status status = mill_context_new(&config, &kit->context, &kit->err);
    if (status != RMQ_OK)
        return broken(kit, status, "context");
    kit->pair = mill_type_pair(kit->context, mill_type_text(), mill_type_int64(), &kit->err);
    return kit->pair != NULL || broken(kit, kit->err.status, "type");
}

void mill_kit_context_free(mill_kit *kit)
{
    mill_context_free(kit->context);
    kit->context = NULL;
}

bool mill_kit_begin(mill_kit *kit)
{
    kit->failed = false;
    kit->adopt = false;
    kit->stream_id = "11111111-1111-4111-8111-111111111111";
    mill_row_list_clear(&kit->expected);
    rmq_status status = kit->subject->reset(kit->subject->ctx, &kit->err);
    if (status != RMQ_OK)
        return broken(kit, status, "reset");
    return mill_kit_context_new(kit);
}

void mill_kit_end(mill_kit *kit)
{
    mill_kit_context_free(kit);
}

/* ---- opening ---- */

bool mill_kit_make(mill_kit *kit, mill_sink **out_sink)
{
    mill_sink *sink = NULL;
    rmq_status status = kit->subject->make_sink(kit->subject->ctx, kit->context, &sink, &kit->err);
    if (status != RMQ_OK)
        return broken(kit, status, "make_sink");
    if (sink->types[0] != kit->pair || !mill_sink_is_transactional(sink)) {
        status = rmq_error_set(&kit->err, RMQ_INVAL,
                               "the sink is not transactional, or takes no pairs (text, int64)");
        mill_sink_free(sink);
        return broken(kit, status, "make_sink");
    }
    *out_sink = sink;
    return true;
}

rmq_status mill_kit_try_open(mill_kit *kit, mill_sink *sink, int64_t epoch,
                             mill_sink_position *out_position)
{
    mill_sink_owner owner = {.stream_id = kit->stream_id,
                             .job_name = "conformance",
                             .sink_id = "sink-1",
                             .epoch = epoch,
                             .adopt = kit->adopt};
    memset(out_position, 0, sizeof(*out_position));
    return sink->vtable.open(sink->self, &owner, out_position, &kit->err);
}

/* The position of every queue after batch `batch_id`. */
static void offsets_of(int64_t batch_id, mill_offset out_offsets[N_OFFSETS])
{
    const mill_offset offsets[N_OFFSETS] = {
        {"direct", "Orders", "broker-a", 0, batch_id * 100},
        {"direct", "Orders", "broker-a", 1, batch_id * 7 + 1},
        {"direct", "Orders", "broker-b", 0, batch_id},
        {"second", "Orders", "broker-a", 0, INT64_MAX - batch_id},
    };
    memcpy(out_offsets, offsets, sizeof(offsets));
}

static bool same_offset(const mill_offset *left, const mill_offset *right)
{
    return left->source != NULL && left->topic != NULL && left->broker_name != NULL &&
           strcmp(left->source, right->source) == 0 && strcmp(left->topic, right->topic) == 0 &&
           strcmp(left->broker_name, right->broker_name) == 0 &&
           left->queue_id == right->queue_id && left->next_offset == right->next_offset;
}

bool mill_kit_check_offsets(mill_kit *kit, const mill_sink_position *position, int64_t batch_id)
{
    mill_offset expected[N_OFFSETS];
    size_t n_expected = batch_id == 0 ? 0 : N_OFFSETS;
    offsets_of(batch_id, expected);
    if (position->n_offsets != n_expected)
        return mill_kit_fail(kit, "open tells %zu offsets after batch %lld, %zu were committed",
                             position->n_offsets, (long long)batch_id, n_expected);
    for (size_t i = 0; i < n_expected; i++) {
        bool found = false;
        for (size_t j = 0; j < n_expected && !found; j++)
            found = same_offset(&position->offsets[j], &expected[i]);
        if (!found)
            return mill_kit_fail(kit, "open does not tell offset %lld of %s %s %s queue %d",
                                 (long long)expected[i].next_offset, expected[i].source,
                                 expected[i].topic, expected[i].broker_name, expected[i].queue_id);
    }
    return true;
}

rmq_status mill_kit_open_patiently(mill_kit *kit, mill_sink *sink, int64_t epoch,
                                   mill_sink_position *out_position)
{
    rmq_status status = mill_kit_try_open(kit, sink, epoch, out_position);
    for (int i = 0; i < OPEN_TRIES && status != RMQ_OK && kit->err.retriable; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        status = mill_kit_try_open(kit, sink, epoch, out_position);
    }
    return status;
}

bool mill_kit_open(mill_kit *kit, mill_sink *sink, int64_t epoch, int64_t batch_id,
                   const char *run_name)
{
    mill_sink_position position;
    rmq_status status = mill_kit_open_patiently(kit, sink, epoch, &position);
    if (status != RMQ_OK)
        return mill_kit_fail(kit, "open at epoch %lld gave %s: %s", (long long)epoch,
                             rmq_status_name(status), kit->err.text);
    if (position.batch_id != batch_id)
        return mill_kit_fail(kit, "open tells batch %lld, the last one is %lld",
                             (long long)position.batch_id, (long long)batch_id);
    if (run_name == NULL)
        return true;
    if (batch_id != 0 && strcmp(position.run, run_name) != 0)
        return mill_kit_fail(kit, "open tells run \"%.63s\" of batch %lld, it was \"%s\"",
                             position.run, (long long)batch_id, run_name);
    return mill_kit_check_offsets(kit, &position, batch_id);
}

bool mill_kit_restart(mill_kit *kit, int64_t epoch, int64_t batch_id, const char *run_name,
                      mill_sink **out_sink)
{
    mill_sink *sink = NULL;
    if (!mill_kit_make(kit, &sink))
        return false;
    if (!mill_kit_open(kit, sink, epoch, batch_id, run_name)) {
        mill_sink_free(sink);
        return false;
    }
    *out_sink = sink;
    return true;
}

/* ---- runs ---- */

void mill_kit_run_name(const mill_kit_run *run, char out_name[MILL_RUN_NAME_BYTES])
{
    snprintf(out_name, MILL_RUN_NAME_BYTES, "%lld-%s", (long long)run->epoch, run->tag);
}

static int row_key(const mill_kit_run *run, uint32_t partition, uint32_t row, char *out_key,
                   size_t capacity)
{
    return snprintf(out_key, capacity, "batch %lld run %lld-%s partition %u row %u",
                    (long long)run->batch_id, (long long)run->epoch, run->tag, partition, row);
}

static int64_t row_value(const mill_kit_run *run, uint32_t partition, uint32_t row)
{
    return run->batch_id * 1000000 + (int64_t)partition * 1000 + row;
}

/* The rows of one partition, of `type`: the pair type or one that does the same and more. */
static rmq_status make_rows(mill_kit *kit, const mill_kit_run *run, uint32_t partition,
                            const mill_type *type, mill_rows **out_rows)
{
    mill_block *block = NULL;
    rmq_status status = mill_block_new(mill_context_blocks(kit->context), type, &block, &kit->err);
    for (uint32_t i = 0; status == RMQ_OK && i < run->n_rows; i++) {
        char row[128] = {0};
        char key[128];
        int len = row_key(run, partition, i, key, sizeof(key));
        rmq_slice slice = {key, (size_t)len};
        int64_t value = row_value(run, partition, i);
        memcpy(row, &slice, sizeof(slice));
        memcpy(row + type->value_at, &value, sizeof(value));
        status = mill_block_append(block, row, &kit->err);
    }
    if (status == RMQ_OK)
        status = mill_block_seal(block, &kit->err);
    if (status == RMQ_OK)
        status = mill_rows_of_blocks(&block, 1, type, out_rows, &kit->err);
    mill_block_unref(block);
    return status;
}

bool mill_kit_expect(mill_kit *kit, const mill_kit_run *run)
{
    for (uint32_t partition = 0; partition < run->n_partitions; partition++) {
        for (uint32_t i = 0; i < run->n_rows; i++) {
            char key[128];
            int len = row_key(run, partition, i, key, sizeof(key));
            if (!mill_row_list_add(&kit->expected, (rmq_slice){key, (size_t)len},
                                   row_value(run, partition, i)))
                return no_memory(kit);
        }
    }
    return true;
}

rmq_status mill_kit_try_begin(mill_kit *kit, mill_sink *sink, const mill_kit_run *run)
{
    char name[MILL_RUN_NAME_BYTES];
    mill_kit_run_name(run, name);
    mill_sink_batch batch = {
        .batch_id = run->batch_id, .epoch = run->epoch, .time_ms = 1, .run = name};
    return sink->vtable.begin(sink->self, &batch, &kit->err);
    /* the name is gone here: a sink has to copy it */
}

rmq_status mill_kit_try_write(mill_kit *kit, mill_sink *sink, const mill_kit_run *run,
                              uint32_t partition, const mill_type *type)
{
    mill_rows *rows = NULL;
    rmq_status status = make_rows(kit, run, partition, type, &rows);
    if (status != RMQ_OK) {
        broken(kit, status, "rows");
        return status;
    }
    status = sink->vtable.write(sink->self, 0, partition, rows, &kit->err);
    mill_rows_free(rows);
    return status;
}

rmq_status mill_kit_try_run(mill_kit *kit, mill_sink *sink, const mill_kit_run *run)
{
    rmq_status status = mill_kit_try_begin(kit, sink, run);
    for (uint32_t i = 0; status == RMQ_OK && i < run->n_partitions; i++)
        status = mill_kit_try_write(kit, sink, run, i, kit->pair);
    return status == RMQ_OK ? mill_sink_prepare(sink, &kit->err) : status;
}

rmq_status mill_kit_try_commit(mill_kit *kit, mill_sink *sink, int64_t batch_id)
{
    mill_offset offsets[N_OFFSETS];
    offsets_of(batch_id, offsets);
    return sink->vtable.commit(sink->self, offsets, N_OFFSETS, &kit->err);
}

bool mill_kit_run_to_prepare(mill_kit *kit, mill_sink *sink, const mill_kit_run *run)
{
    rmq_status status = mill_kit_try_run(kit, sink, run);
    return status == RMQ_OK ||
           mill_kit_fail(kit, "a run of batch %lld gave %s before commit: %s",
                         (long long)run->batch_id, rmq_status_name(status), kit->err.text);
}

bool mill_kit_commit(mill_kit *kit, mill_sink *sink, const mill_kit_run *run)
{
    if (!mill_kit_run_to_prepare(kit, sink, run))
        return false;
    rmq_status status = mill_kit_try_commit(kit, sink, run->batch_id);
    if (status != RMQ_OK)
        return mill_kit_fail(kit, "commit of batch %lld gave %s: %s", (long long)run->batch_id,
                             rmq_status_name(status), kit->err.text);
    return mill_kit_expect(kit, run);
}

bool mill_kit_refused(mill_kit *kit, mill_sink *sink, const mill_kit_run *run, rmq_status status)
{
    rmq_status given = mill_kit_try_run(kit, sink, run);
    if (given == RMQ_OK)
        given = mill_kit_try_commit(kit, sink, run->batch_id);
    if (given == RMQ_OK)
        return mill_kit_fail(kit, "batch %lld of epoch %lld was taken", (long long)run->batch_id,
                             (long long)run->epoch);
    sink->vtable.abort(sink->self);
    if (status != RMQ_OK && given != status)
        return mill_kit_fail(kit, "batch %lld of epoch %lld was refused with %s, not %s: %s",
                             (long long)run->batch_id, (long long)run->epoch,
                             rmq_status_name(given), rmq_status_name(status), kit->err.text);
    return true;
}

/* ---- what is visible ---- */

static bool add_all(mill_kit *kit, mill_rows *rows, mill_row_list *list)
{
    for (;;) {
        const void *row = NULL;
        rmq_status status = mill_rows_next(rows, &row, &kit->err);
        if (status == RMQ_NOT_FOUND)
            return true;
        if (status != RMQ_OK)
            return broken(kit, status, "visible_rows");
        const rmq_slice *key = mill_pair_key(row);
        const int64_t *value = mill_pair_value(mill_rows_type(rows), row);
        if (!mill_row_list_add(list, *key, *value))
            return no_memory(kit);
    }
}

bool mill_kit_sees(mill_kit *kit, const char *when, bool during_run)
{
    mill_rows *rows = NULL;
    mill_row_list seen = {0};
    kit->err = (rmq_error){0};
    rmq_status status =
        kit->subject->visible_rows(kit->subject->ctx, kit->context, &rows, &kit->err);
    if (status != RMQ_OK && during_run && (status == RMQ_LOCKED || kit->err.retriable))
        return true;
    if (status != RMQ_OK)
        return broken(kit, status, "visible_rows");
    char text[300];
    bool good = add_all(kit, rows, &seen);
    if (good && !mill_row_list_equal(&seen, &kit->expected, text, sizeof(text)))
        good = mill_kit_fail(kit, "%s: %s", when, text);
    mill_row_list_deinit(&seen);
    mill_rows_free(rows);
    return good;
}
