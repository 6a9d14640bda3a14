/* The checks of the conformance kit that need no second process. Each is told in the order in which
 * it happens; `||` and `&&` chains end at the first thing that goes wrong. */
#include "conformance.h"

#include "../core/block.h"

#include <stdio.h>
#include <string.h>

/* A run of one partition with three rows. */
static mill_kit_run run_of(int64_t batch_id, int64_t epoch, const char *tag)
{
    return (mill_kit_run){
        .batch_id = batch_id, .epoch = epoch, .tag = tag, .n_partitions = 1, .n_rows = 3};
}

/* Opens a fresh place at epoch 1. */
static bool start(mill_kit *kit, mill_sink **out_sink)
{
    return mill_kit_restart(kit, 1, 0, NULL, out_sink);
}

/* Commits batch `batch_id` as "E-tag". */
static bool commit(mill_kit *kit, mill_sink *sink, int64_t batch_id, int64_t epoch, const char *tag)
{
    mill_kit_run run = run_of(batch_id, epoch, tag);
    return mill_kit_commit(kit, sink, &run);
}

static bool refused(mill_kit *kit, mill_sink *sink, int64_t batch_id, int64_t epoch,
                    rmq_status status)
{
    mill_kit_run run = run_of(batch_id, epoch, "refused");
    return mill_kit_refused(kit, sink, &run, status);
}

static bool prepare(mill_kit *kit, mill_sink *sink, int64_t batch_id, int64_t epoch,
                    const char *tag)
{
    mill_kit_run run = run_of(batch_id, epoch, tag);
    return mill_kit_run_to_prepare(kit, sink, &run);
}

/* ---- rows ---- */

static void opens_empty(mill_kit *kit)
{
    mill_sink *sink = NULL;
    if (mill_kit_restart(kit, 1, 0, "", &sink))
        mill_kit_sees(kit, "after the first open", false);
    mill_sink_free(sink);
}

static void commits_rows(mill_kit *kit)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink);
    for (int64_t batch_id = 1; good && batch_id <= 3; batch_id++)
        good = commit(kit, sink, batch_id, 1, "a") && mill_kit_sees(kit, "after a commit", false);
    mill_sink_free(sink);
}

static void keeps_every_partition(mill_kit *kit)
{
    mill_sink *sink = NULL;
    mill_kit_run run = run_of(1, 1, "a");
    run.n_partitions = 5;
    run.n_rows = 400;
    if (start(kit, &sink) && mill_kit_commit(kit, sink, &run))
        mill_kit_sees(kit, "after a batch of five partitions", false);
    mill_sink_free(sink);
}

/* One row of `key` and `value` in a batch of its own. */
static bool commit_value(mill_kit *kit, mill_sink *sink, int64_t batch_id, rmq_slice key,
                         int64_t value)
{
    mill_kit_run run = run_of(batch_id, 1, "value");
    mill_block *block = NULL;
    mill_rows *rows = NULL;
    char row[128] = {0};
    memcpy(row, &key, sizeof(key));
    memcpy(row + kit->pair->value_at, &value, sizeof(value));
    rmq_status status =
        mill_block_new(mill_context_blocks(kit->context), kit->pair, &block, &kit->err);
    if (status == RMQ_OK)
        status = mill_block_append(block, row, &kit->err);
    if (status == RMQ_OK)
        status = mill_block_seal(block, &kit->err);
    if (status == RMQ_OK)
        status = mill_rows_of_blocks(&block, 1, kit->pair, &rows, &kit->err);
    if (status == RMQ_OK)
        status = mill_kit_try_begin(kit, sink, &run);
    if (status == RMQ_OK)
        status = sink->vtable.write(sink->self, 0, 0, rows, &kit->err);
    mill_rows_free(rows);
    mill_block_unref(block);
    if (status == RMQ_OK)
        status = mill_sink_prepare(sink, &kit->err);
    if (status == RMQ_OK)
        status = mill_kit_try_commit(kit, sink, batch_id);
    if (status != RMQ_OK)
        return mill_kit_fail(kit, "a text of %zu bytes was refused with %s: %s", key.len,
                             rmq_status_name(status), kit->err.text);
    if (!mill_row_list_add(&kit->expected, key, value)) {
        kit->broken = rmq_error_set(&kit->err, RMQ_NOMEM, "conformance kit: out of memory");
        return false;
    }
    return true;
}

static void keeps_values(mill_kit *kit)
{
    static char large[70000];
    memset(large, 'x', sizeof(large));
    const rmq_slice keys[] = {RMQ_SLICE_LITERAL(""),
                              RMQ_SLICE_LITERAL("quote ' \" \\ , ; \t newline\n"),
                              RMQ_SLICE_LITERAL("gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x87"),
                              RMQ_SLICE_LITERAL("zero\0byte"),
                              {large, sizeof(large)}};
    const int64_t values[] = {0, INT64_MIN, INT64_MAX, -1, 9007199254740993};
    mill_sink *sink = NULL;
    bool good = start(kit, &sink);
    for (int64_t i = 0; good && i < 5; i++)
        good = commit_value(kit, sink, i + 1, keys[i], values[i]) &&
               mill_kit_sees(kit, "after a row of unusual text", false);
    mill_sink_free(sink);
}

static void takes_empty_batches(mill_kit *kit)
{
    mill_sink *sink = NULL;
    mill_sink *next = NULL;
    mill_kit_run no_write = run_of(1, 1, "a");
    no_write.n_partitions = 0;
    mill_kit_run no_rows = run_of(2, 1, "b");
    no_rows.n_rows = 0;
    if (start(kit, &sink) && mill_kit_commit(kit, sink, &no_write) &&
        mill_kit_commit(kit, sink, &no_rows) && commit(kit, sink, 3, 1, "c") &&
        mill_kit_sees(kit, "after two batches without rows", false))
        mill_kit_restart(kit, 2, 3, NULL, &next);
    mill_sink_free(sink);
    mill_sink_free(next);
}

static void hides_rows_before_commit(mill_kit *kit)
{
    mill_sink *sink = NULL;
    mill_kit_run run = run_of(2, 1, "b");
    bool good = start(kit, &sink) && commit(kit, sink, 1, 1, "a");
    good = good && (mill_kit_try_begin(kit, sink, &run) == RMQ_OK ||
                    mill_kit_fail(kit, "begin failed: %s", kit->err.text));
    good = good && mill_kit_sees(kit, "after begin", true);
    good = good && (mill_kit_try_write(kit, sink, &run, 0, kit->pair) == RMQ_OK ||
                    mill_kit_fail(kit, "write failed: %s", kit->err.text));
    good = good && mill_kit_sees(kit, "after write", true);
    good = good && (mill_sink_prepare(sink, &kit->err) == RMQ_OK ||
                    mill_kit_fail(kit, "prepare failed: %s", kit->err.text));
    good = good && mill_kit_sees(kit, "after prepare", true);
    good = good && (mill_kit_try_commit(kit, sink, 2) == RMQ_OK ||
                    mill_kit_fail(kit, "commit failed: %s", kit->err.text));
    if (good && mill_kit_expect(kit, &run))
        mill_kit_sees(kit, "after commit", false);
    mill_sink_free(sink);
}

/* ---- what open tells ---- */

/* Commits three batches and restarts; tells the position. */
static bool position_after_three(mill_kit *kit, const char *tag, mill_sink_position *out_position,
                                 mill_sink **out_sink)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink) && commit(kit, sink, 1, 1, "a") && commit(kit, sink, 2, 1, "b") &&
                commit(kit, sink, 3, 1, tag);
    mill_sink_free(sink);
    if (!good || !mill_kit_make(kit, out_sink))
        return false;
    rmq_status status = mill_kit_try_open(kit, *out_sink, 2, out_position);
    return status == RMQ_OK || mill_kit_fail(kit, "open after a restart gave %s: %s",
                                             rmq_status_name(status), kit->err.text);
}

static void reports_last_batch(mill_kit *kit)
{
    mill_sink *sink = NULL;
    mill_sink_position position;
    if (position_after_three(kit, "c", &position, &sink) && position.batch_id != 3)
        mill_kit_fail(kit, "open tells batch %lld, the last one is 3",
                      (long long)position.batch_id);
    mill_sink_free(sink);
}

static void reports_run(mill_kit *kit)
{
    /* with "1-" before it as long as a name may be */
    const char *tag = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc9";
    char name[MILL_RUN_NAME_BYTES];
    mill_kit_run run = run_of(3, 1, tag);
    mill_kit_run_name(&run, name);
    mill_sink *sink = NULL;
    mill_sink_position position;
    if (position_after_three(kit, tag, &position, &sink) && strcmp(position.run, name) != 0)
        mill_kit_fail(kit, "open tells run \"%.63s\", the last one is \"%s\"", position.run, name);
    mill_sink_free(sink);
}

static void reports_offsets(mill_kit *kit)
{
    mill_sink *sink = NULL;
    mill_sink_position position;
    if (position_after_three(kit, "c", &position, &sink))
        mill_kit_check_offsets(kit, &position, 3);
    mill_sink_free(sink);
}

/* ---- what is refused ---- */

static void refuses_repeated_batch(mill_kit *kit)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink) && commit(kit, sink, 1, 1, "a") && commit(kit, sink, 2, 1, "b");
    for (int64_t batch_id = 2; good && batch_id >= 1; batch_id--)
        good = refused(kit, sink, batch_id, 1, RMQ_OK) &&
               mill_kit_sees(kit, "after a batch came again", false);
    if (good && commit(kit, sink, 3, 1, "c"))
        mill_kit_sees(kit, "after the next batch", false);
    mill_sink_free(sink);
}

static void refuses_skipped_batch(mill_kit *kit)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink) && refused(kit, sink, 2, 1, RMQ_OK) &&
                commit(kit, sink, 1, 1, "a") && refused(kit, sink, 3, 1, RMQ_OK) &&
                refused(kit, sink, 0, 1, RMQ_OK) &&
                mill_kit_sees(kit, "after a batch was left out", false);
    if (good && commit(kit, sink, 2, 1, "b"))
        mill_kit_sees(kit, "after the next batch", false);
    mill_sink_free(sink);
}

static void refuses_older_epoch(mill_kit *kit)
{
    mill_sink *old = NULL;
    mill_sink *new = NULL;
    bool good = start(kit, &old) && commit(kit, old, 1, 1, "a") &&
                mill_kit_restart(kit, 2, 1, NULL, &new) && refused(kit, old, 2, 1, RMQ_FENCED) &&
                mill_kit_sees(kit, "after an older epoch tried to commit", false);
    if (good && commit(kit, new, 2, 2, "b") && refused(kit, old, 3, 1, RMQ_FENCED))
        mill_kit_sees(kit, "after the newer epoch went on", false);
    mill_sink_free(old);
    mill_sink_free(new);
}

/* A second process opens between the first one's write and its commit. A sink may make it wait. */
static void refuses_overtaken_run(mill_kit *kit)
{
    mill_sink *old = NULL;
    mill_sink *new = NULL;
    mill_sink_position position;
    bool good = start(kit, &old) && commit(kit, old, 1, 1, "a") && prepare(kit, old, 2, 1, "b") &&
                mill_kit_make(kit, &new);
    if (good && mill_kit_try_open(kit, new, 2, &position) == RMQ_OK) {
        rmq_status status = mill_kit_try_commit(kit, old, 2);
        if (status != RMQ_FENCED)
            good = mill_kit_fail(kit, "commit after the take-over gave %s, not FENCED",
                                 rmq_status_name(status));
        old->vtable.abort(old->self);
    } else if (good) {
        if (!kit->err.retriable)
            good =
                mill_kit_fail(kit, "open during another's run failed for good: %s", kit->err.text);
        old->vtable.abort(old->self);
        good = good && mill_kit_open(kit, new, 2, 1, NULL);
    }
    if (good && commit(kit, new, 2, 2, "c") && refused(kit, old, 3, 1, RMQ_FENCED))
        mill_kit_sees(kit, "after a take-over in the middle of a run", false);
    mill_sink_free(old);
    mill_sink_free(new);
}

/* Opening at epoch 2 must not be possible after epoch 5 was there. */
static void open_at_older_epoch(mill_kit *kit, bool with_commit)
{
    mill_sink *sink = NULL;
    mill_sink_position position;
    bool good =
        mill_kit_restart(kit, 5, 0, NULL, &sink) && (!with_commit || commit(kit, sink, 1, 5, "a"));
    mill_sink_free(sink);
    sink = NULL;
    if (good && mill_kit_make(kit, &sink)) {
        rmq_status status = mill_kit_try_open(kit, sink, 4, &position);
        if (status != RMQ_FENCED)
            mill_kit_fail(kit, "epoch 4 opened after epoch 5: %s, not FENCED",
                          rmq_status_name(status));
    }
    mill_sink_free(sink);
}

static void refuses_older_epoch_at_open(mill_kit *kit)
{
    open_at_older_epoch(kit, true);
}

static void keeps_epoch_of_open(mill_kit *kit)
{
    open_at_older_epoch(kit, false);
}

/* ---- runs that end without a commit ---- */

static void abort_drops_the_run(mill_kit *kit)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink) && prepare(kit, sink, 1, 1, "a");
    if (good)
        sink->vtable.abort(sink->self);
    good = good && mill_kit_sees(kit, "after abort", false);
    if (good && commit(kit, sink, 1, 1, "b"))
        mill_kit_sees(kit, "after an aborted run and a good one", false);
    mill_sink_free(sink);
}

static void abort_keeps_older_batches(mill_kit *kit)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink) && commit(kit, sink, 1, 1, "a") && prepare(kit, sink, 2, 1, "b");
    if (good)
        sink->vtable.abort(sink->self);
    if (good && mill_kit_sees(kit, "after abort of the next batch", false) &&
        commit(kit, sink, 2, 1, "c"))
        mill_kit_sees(kit, "after another run of it", false);
    mill_sink_free(sink);
}

static void begin_drops_unfinished_run(mill_kit *kit)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink) && prepare(kit, sink, 1, 1, "a") && commit(kit, sink, 1, 1, "b");
    if (good)
        mill_kit_sees(kit, "after a run that was begun anew", false);
    mill_sink_free(sink);
}

static void open_drops_unfinished_run(mill_kit *kit)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink) && prepare(kit, sink, 1, 1, "a") &&
                mill_kit_open(kit, sink, 2, 0, NULL) && mill_kit_sees(kit, "after open", false) &&
                commit(kit, sink, 1, 2, "b");
    if (good)
        mill_kit_sees(kit, "after open in the middle of a run", false);
    mill_sink_free(sink);
}

static void close_drops_unfinished_run(mill_kit *kit)
{
    mill_sink *sink = NULL;
    bool good = start(kit, &sink) && prepare(kit, sink, 1, 1, "a");
    mill_sink_free(sink);
    sink = NULL;
    good = good && mill_kit_sees(kit, "after close", false) &&
           mill_kit_restart(kit, 2, 0, NULL, &sink) && commit(kit, sink, 1, 2, "b");
    if (good)
        mill_kit_sees(kit, "after close in the middle of a run", false);
    mill_sink_free(sink);
}

/* What the engine does when nobody knows whether a commit is in. */
static void opens_again_after_commit(mill_kit *kit)
{
    mill_sink *sink = NULL;
    if (start(kit, &sink) && commit(kit, sink, 1, 1, "a") && mill_kit_open(kit, sink, 2, 1, NULL) &&
        refused(kit, sink, 1, 2, RMQ_OK) && commit(kit, sink, 2, 2, "b") &&
        mill_kit_open(kit, sink, 3, 2, NULL))
        mill_kit_sees(kit, "after opening again", false);
    mill_sink_free(sink);
}

/* ---- other streams ---- */

#define OTHER_STREAM "22222222-2222-4222-8222-222222222222"

static void refuses_other_stream(mill_kit *kit)
{
    mill_sink *sink = NULL;
    mill_sink *other = NULL;
    mill_sink_position position;
    bool good = start(kit, &sink) && commit(kit, sink, 1, 1, "a") && mill_kit_make(kit, &other);
    if (good) {
        const char *first = kit->stream_id;
        kit->stream_id = OTHER_STREAM;
        rmq_status status = mill_kit_try_open(kit, other, 1, &position);
        if (status != RMQ_EXISTS)
            good = mill_kit_fail(kit, "another stream of the same job opened: %s, not EXISTS",
                                 rmq_status_name(status));
        else if (strstr(kit->err.text, first) == NULL ||
                 strstr(kit->err.text, OTHER_STREAM) == NULL)
            good = mill_kit_fail(kit, "the error does not name both streams: %s", kit->err.text);
        kit->stream_id = first;
    }
    if (good && commit(kit, sink, 2, 1, "b"))
        mill_kit_sees(kit, "after another stream was refused", false);
    mill_sink_free(sink);
    mill_sink_free(other);
}

static void adopts_other_stream(mill_kit *kit)
{
    mill_sink *old = NULL;
    mill_sink *new = NULL;
    mill_sink_position position;
    const char *first = kit->stream_id;
    bool good = mill_kit_restart(kit, 7, 0, NULL, &old) && commit(kit, old, 1, 7, "a");
    kit->stream_id = OTHER_STREAM;
    kit->adopt = true;
    good = good && mill_kit_restart(kit, 1, 1, NULL, &new) && commit(kit, new, 2, 1, "b");
    kit->adopt = false;
    good = good && mill_kit_open(kit, new, 2, 2, NULL) && refused(kit, old, 2, 7, RMQ_OK) &&
           refused(kit, old, 3, 7, RMQ_OK) && mill_kit_sees(kit, "after an adoption", false);
    kit->stream_id = first;
    if (good && mill_kit_try_open(kit, old, 8, &position) == RMQ_OK && position.batch_id != 2)
        mill_kit_fail(kit, "the stream that was adopted opened at batch %lld",
                      (long long)position.batch_id);
    mill_sink_free(old);
    mill_sink_free(new);
}

/* What others stand on comes first, so that the first that fails says most. */
const mill_kit_check mill_kit_checks[] = {
    {"opens-empty", opens_empty},
    {"commits-rows", commits_rows},
    {"hides-rows-before-commit", hides_rows_before_commit},
    {"keeps-every-partition", keeps_every_partition},
    {"keeps-values", keeps_values},
    {"reports-last-batch", reports_last_batch},
    {"reports-run", reports_run},
    {"reports-offsets", reports_offsets},
    {"takes-empty-batches", takes_empty_batches},
    {"abort-drops-the-run", abort_drops_the_run},
    {"abort-keeps-older-batches", abort_keeps_older_batches},
    {"begin-drops-unfinished-run", begin_drops_unfinished_run},
    {"open-drops-unfinished-run", open_drops_unfinished_run},
    {"close-drops-unfinished-run", close_drops_unfinished_run},
    {"refuses-repeated-batch", refuses_repeated_batch},
    {"refuses-skipped-batch", refuses_skipped_batch},
    {"refuses-older-epoch-at-open", refuses_older_epoch_at_open},
    {"keeps-epoch-of-open", keeps_epoch_of_open},
    {"refuses-older-epoch", refuses_older_epoch},
    {"refuses-overtaken-run", refuses_overtaken_run},
    {"opens-again-after-commit", opens_again_after_commit},
    {"refuses-other-stream", refuses_other_stream},
    {"adopts-other-stream", adopts_other_stream},
    {"random-history", mill_kit_random_history},
};
const size_t mill_kit_n_checks = sizeof(mill_kit_checks) / sizeof(mill_kit_checks[0]);
