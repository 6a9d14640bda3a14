/* The job of the replay, as it runs in a child process.
 *
 * It has its own mill_crash_point: at every point the process reports to the scheduler and waits
 * for its order, so that a trace decides who moves when, and a kill hits a process that waits. The
 * job's function is not deterministic: it writes into each row the number of the run, which the
 * order for the step `read` brings. So the books tell not only which orders took effect, but which
 * run of the batch they came from. */
#include "replay_job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sink/sink.h"
#include "stream/crash_point.h"

static int scheduler_fd = -1;
static fake_topic topic;
static _Atomic int present_run;
static replay_answer present_answer;
static mill_sink_vtable real_sqlite; /* before its commit was wrapped */

bool replay_row(int64_t row, int *out_order, int *out_run)
{
    int64_t number = row / REPLAY_RUNS;
    int64_t queue = number / fake_number(1, 0), offset = number % fake_number(1, 0);
    if (row < 0 || queue >= FAKE_QUEUES || offset >= REPLAY_EACH)
        return false;
    *out_order = (int)(queue * REPLAY_EACH + offset);
    *out_run = (int)(row % REPLAY_RUNS);
    return true;
}

/* ---- the scheduler's hold ---- */

static void tell(const replay_report *report)
{
    if (write(scheduler_fd, report, sizeof(*report)) != (ssize_t)sizeof(*report))
        _exit(3);
}

/* Takes the place of the library's: a program has one of them. Thread: the driver's. */
void mill_crash_point(const char *name, int64_t batch_id)
{
    replay_report report = {.batch_id = batch_id};
    snprintf(report.point, sizeof(report.point), "%s", name);
    tell(&report);
    replay_order order;
    if (read(scheduler_fd, &order, sizeof(order)) != (ssize_t)sizeof(order))
        _exit(3);
    if (order.take > 0)
        topic.max_per_queue = order.take;
    if (order.run > 0)
        present_run = order.run;
    present_answer = order.answer;
}

/* ---- rows ---- */

static rmq_status write_run_into_row(const void *row, void *out_row, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *(int64_t *)out_row = *(const int64_t *)row * REPLAY_RUNS + present_run;
    return RMQ_OK;
}

static void count_row(replay_place *place, int64_t row)
{
    int order = 0, run = 0;
    if (replay_row(row, &order, &run))
        place->counts[order][run]++;
}

static rmq_status count_rows(replay_place *place, mill_rows *rows, rmq_error *err)
{
    const void *row = NULL;
    rmq_status status;
    while ((status = mill_rows_next(rows, &row, err)) == RMQ_OK)
        count_row(place, *(const int64_t *)row);
    return status == RMQ_NOT_FOUND ? RMQ_OK : status;
}

static rmq_status lost_answer(rmq_error *err)
{
    return rmq_error_set(err, RMQ_TIMEOUT, "the trace loses the answer");
}

/* ---- a table: a transaction in shared memory ---- */

typedef struct table_sink {
    replay_place *place;
    bool no_fence;
    replay_commit commit;
} table_sink;

rmq_status replay_deliver(replay_place *place, const replay_commit *commit, bool no_fence)
{
    if (!no_fence && commit->epoch < place->epoch)
        return RMQ_FENCED;
    if (!no_fence && commit->batch_id != place->last + 1)
        return RMQ_SINK;
    for (int i = 0; i < commit->n_rows; i++)
        count_row(place, commit->rows[i]);
    place->last = commit->batch_id;
    memcpy(place->run, commit->run, sizeof(place->run));
    return RMQ_OK;
}

static rmq_status table_open(void *self, const mill_sink_owner *owner, mill_sink_position *position,
                             rmq_error *err)
{
    table_sink *sink = self;
    if (owner->epoch < sink->place->epoch)
        return rmq_error_set(err, RMQ_FENCED, "epoch %lld is newer", (long long)sink->place->epoch);
    sink->place->epoch = owner->epoch;
    position->batch_id = sink->place->last;
    memcpy(position->run, sink->place->run, sizeof(position->run));
    return RMQ_OK;
}

static rmq_status table_begin(void *self, const mill_sink_batch *batch, rmq_error *err)
{
    table_sink *sink = self;
    (void)err;
    sink->commit = (replay_commit){.epoch = batch->epoch, .batch_id = batch->batch_id};
    snprintf(sink->commit.run, sizeof(sink->commit.run), "%s", batch->run);
    return RMQ_OK;
}

static rmq_status table_write(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                              rmq_error *err)
{
    table_sink *sink = self;
    (void)target;
    (void)partition;
    const void *row = NULL;
    rmq_status status;
    while ((status = mill_rows_next(rows, &row, err)) == RMQ_OK) {
        if (sink->commit.n_rows == REPLAY_ORDERS)
            return rmq_error_set(err, RMQ_SINK, "more rows than orders");
        sink->commit.rows[sink->commit.n_rows++] = *(const int64_t *)row;
    }
    return status == RMQ_NOT_FOUND ? RMQ_OK : status;
}

static rmq_status table_commit(void *self, const mill_offset *offsets, size_t n_offsets,
                               rmq_error *err)
{
    table_sink *sink = self;
    replay_place *place = sink->place;
    (void)offsets;
    (void)n_offsets;
    bool late = present_answer == ANSWER_LATE || present_answer == ANSWER_LATE_KILLED;
    if (late && place->n_under_way < REPLAY_UNDER_WAY)
        place->under_way[place->n_under_way++] = sink->commit;
    if (present_answer == ANSWER_LATE_KILLED)
        kill(getpid(), SIGKILL);
    if (present_answer == ANSWER_LATE || present_answer == ANSWER_OUT_LOST)
        return lost_answer(err);
    rmq_status status = replay_deliver(place, &sink->commit, sink->no_fence);
    if (status != RMQ_OK)
        return rmq_error_set(err, status, "the table refuses batch %lld",
                             (long long)sink->commit.batch_id);
    return present_answer == ANSWER_IN_LOST ? lost_answer(err) : RMQ_OK;
}

static void table_abort(void *self)
{
    table_sink *sink = self;
    sink->commit.n_rows = 0;
}

static mill_sink *make_table(const replay_job *job, int number)
{
    static const mill_sink_vtable vtable = {.struct_size = sizeof(vtable),
                                            .name = "table",
                                            .flags = MILL_SINK_TRANSACTIONAL,
                                            .open = table_open,
                                            .begin = table_begin,
                                            .write = table_write,
                                            .commit = table_commit,
                                            .abort = table_abort,
                                            .close = free};
    table_sink *self = calloc(1, sizeof(*self));
    if (self == NULL)
        abort();
    self->place = &job->places[number];
    self->no_fence = job->no_fence;
    const mill_type *type = mill_type_int64();
    mill_sink *sink = NULL;
    rmq_error err = {0};
    must(mill_sink_new(&vtable, self, &type, &sink, &err), &err);
    return sink;
}

/* ---- a database ---- */

static rmq_status bind_row(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)ctx;
    mill_bind_int64(binder, 1, *(const int64_t *)row);
    return RMQ_OK;
}

static rmq_status sqlite_commit(void *self, const mill_offset *offsets, size_t n_offsets,
                                rmq_error *err)
{
    if (present_answer == ANSWER_OUT_LOST) {
        real_sqlite.abort(self);
        return lost_answer(err);
    }
    rmq_status status = real_sqlite.commit(self, offsets, n_offsets, err);
    return status == RMQ_OK && present_answer == ANSWER_IN_LOST ? lost_answer(err) : status;
}

static mill_sink *make_sqlite(const replay_job *job, int number)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%d.db", job->dir, number);
    mill_sql_target target = {
        .create_sql = "CREATE TABLE IF NOT EXISTS applied (row INTEGER PRIMARY KEY, times INTEGER)",
        .statement = "INSERT INTO applied VALUES (?1, 1) "
                     "ON CONFLICT (row) DO UPDATE SET times = times + 1",
        .type = mill_type_int64(),
        .bind = bind_row};
    mill_sqlite_config config = MILL_SQLITE_CONFIG_INIT;
    config.path = path;
    config.targets = &target;
    config.n_targets = 1;
    config.unsafe_offsets = job->unsafe_offsets;
    mill_sink *sink = NULL;
    rmq_error err = {0};
    must(mill_sqlite_sink_new(&config, &sink, &err), &err);
    real_sqlite = sink->vtable;
    sink->vtable.commit = sqlite_commit;
    return sink;
}

/* ---- functions of the user's ---- */

static rmq_status each_batch(const mill_sink_batch *batch, mill_rows *rows,
                             const mill_offset *offsets, size_t n_offsets, void *ctx,
                             rmq_error *err)
{
    (void)batch;
    (void)offsets;
    (void)n_offsets;
    return count_rows(ctx, rows, err);
}

static rmq_status foreach_batch(const mill_batch *batch, mill_dataset *dataset, void *ctx,
                                rmq_error *err)
{
    (void)batch;
    mill_rows *rows = NULL;
    rmq_status status = mill_collect(dataset, &rows, err);
    if (status == RMQ_OK)
        status = count_rows(ctx, rows, err);
    mill_rows_free(rows);
    return status;
}

static void add_sink(const replay_job *job, int number, mill_dataset *rows)
{
    rmq_error err = {0};
    if (job->kinds[number] == REPLAY_FOREACH) {
        must(mill_foreach_batch(rows, foreach_batch, &job->places[number], &err), &err);
        return;
    }
    mill_sink *sink = NULL;
    if (job->kinds[number] == REPLAY_SQLITE)
        sink = make_sqlite(job, number);
    else if (job->kinds[number] == REPLAY_TABLE)
        sink = make_table(job, number);
    else
        must(mill_callback_sink_new(mill_type_int64(), NULL, each_batch, &job->places[number],
                                    &sink, &err),
             &err);
    must(mill_write_to(rows, sink, 0, &err), &err);
}

/* ---- the process ---- */

_Noreturn void replay_run(const replay_job *job, bool take_over, int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    scheduler_fd = fd;
    for (int q = 0; q < FAKE_QUEUES; q++)
        topic.max[q] = REPLAY_EACH;
    char checkpoint[512];
    snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint", job->dir);
    mill_context *context = context_make(1, 0);
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    config.name = "replay";
    config.checkpoint = checkpoint;
    config.trigger = MILL_TRIGGER_AVAILABLE_NOW;
    config.min_batches_to_retain = 1;
    config.take_over = take_over;
    mill_streaming_context *stream = NULL;
    rmq_error err = {0};
    must(mill_streaming_context_new(context, &config, &stream, &err), &err);
    mill_dataset *rows = mill_map(fake_stream(stream, &topic, &err), mill_type_int64(),
                                  write_run_into_row, NULL, &err);
    for (int i = 0; i < job->n_sinks; i++)
        add_sink(job, i, rows);
    rmq_status status = mill_streaming_start(stream, &err);
    if (status == RMQ_OK)
        status = mill_streaming_await(stream, 600000, &err);
    replay_report report = {.ended = true, .status = status};
    snprintf(report.text, sizeof(report.text), "%.255s", err.text);
    tell(&report);
    _exit(0);
}
