/* A source and a sink that do what the test says. */
#include "stream_support.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/run.h"
#include "stream/source.h"

void use_memory_for_temp_dirs(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
}

/* ---- the source ---- */

static void fake_describe(void *self, rmq_json_writer *writer)
{
    (void)self;
    rmq_json_key(writer, "queues");
    rmq_json_int64(writer, FAKE_QUEUES);
}

static rmq_status fake_open(void *self, rmq_error *err)
{
    (void)self;
    (void)err;
    return RMQ_OK;
}

static rmq_status fake_start(void *self, mill_positions *positions, rmq_error *err)
{
    const fake_topic *topic = self;
    rmq_status status = RMQ_OK;
    for (int32_t q = 0; status == RMQ_OK && q < FAKE_QUEUES; q++) {
        rmq_queue queue = {"fake", "broker", q};
        status = mill_positions_add(positions, &queue, topic->min[q], err);
    }
    return status;
}

static rmq_status fake_plan(void *self, const mill_plan_request *request, mill_plan_offer *offer,
                            rmq_error *err)
{
    const fake_topic *topic = self;
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < request->positions->count; i++) {
        const mill_position *position = &request->positions->items[i];
        status = mill_ranges_add(offer->ranges, position, err);
        if (status != RMQ_OK)
            break;
        offer->pending = offer->pending || topic->away[position->queue_id];
        int64_t more = topic->max[position->queue_id] - position->next_offset;
        if (topic->away[position->queue_id] || more <= 0)
            continue;
        int64_t take =
            topic->max_per_queue > 0 && more > topic->max_per_queue ? topic->max_per_queue : more;
        offer->ranges->items[i].end_offset += take;
        offer->lag += (uint64_t)(more - take);
    }
    return status;
}

static rmq_status fake_read(void *self, mill_source_read *read, mill_emitter *out, mill_task *task,
                            rmq_error *err)
{
    fake_topic *topic = self;
    const mill_range *range = read->range;
    int32_t q = range->from.queue_id;
    if (topic->blocked)
        topic->waiting++;
    while (topic->blocked) {
        if (mill_task_cancelled(task) || mill_stream_stopping(read->stream))
            return rmq_error_set(err, RMQ_CANCELLED, "given up");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (range->from.next_offset < topic->min[q]) {
        rmq_error_set(err, RMQ_DATA_LOSS, "queue %d: wanted %lld, available %lld to %lld", q,
                      (long long)range->from.next_offset, (long long)topic->min[q],
                      (long long)topic->max[q]);
        if (topic->skip_loss) {
            read->lost = true;
            read->n_lost = topic->min[q] - range->from.next_offset;
            read->instead_start = topic->min[q];
            read->instead_end =
                range->end_offset > topic->min[q] ? range->end_offset : topic->min[q];
        }
        return RMQ_DATA_LOSS;
    }
    for (int64_t offset = range->from.next_offset; offset < range->end_offset; offset++) {
        int64_t number = fake_number(q, offset);
        rmq_status status = mill_emit(out, &number);
        if (status != RMQ_OK)
            return status;
        read->note->rows++;
    }
    topic->reads++;
    return RMQ_OK;
}

static void fake_nothing(void *self)
{
    (void)self;
}

static const mill_stream_source_vtable fake_vtable = {
    .kind = "fake",
    .describe = fake_describe,
    .open = fake_open,
    .start = fake_start,
    .plan = fake_plan,
    .read = fake_read,
    .close = fake_nothing,
    .free_self = fake_nothing,
};

mill_dataset *fake_stream(mill_streaming_context *stream, fake_topic *topic, rmq_error *err)
{
    return mill_stream_add_source(stream, &fake_vtable, topic, "fake", mill_type_int64(), err);
}

/* ---- the sink ---- */

enum { OPEN, BEGIN, WRITE, PREPARE, COMMIT, ABORT, N_STEPS };
static const char *const step_names[N_STEPS] = {"open",    "begin",  "write",
                                                "prepare", "commit", "abort"};

struct fake_table {
    pthread_mutex_t lock; /* two processes of a test are two threads here */
    int calls[N_STEPS];
    int fail_at[N_STEPS];
    fake_failure failure[N_STEPS];
    void (*hooks[N_STEPS])(void);
    int64_t epoch, last;
    char run[MILL_RUN_NAME_BYTES];
    char stream_id[64];
    int64_list rows;
};

typedef struct fake_run {
    fake_table *table;
    bool plain;
    int64_t epoch, batch_id;
    char run[MILL_RUN_NAME_BYTES];
    int64_list rows;
} fake_run;

static void push(int64_list *list, int64_t value)
{
    int64_t *grown = realloc(list->values, (list->count + 1) * sizeof(int64_t));
    if (grown == NULL)
        abort();
    list->values = grown;
    list->values[list->count++] = value;
}

static void push_all(int64_list *list, int64_list *from)
{
    for (size_t i = 0; i < from->count; i++)
        push(list, from->values[i]);
    from->count = 0;
}

fake_table *fake_table_new(void)
{
    fake_table *table = calloc(1, sizeof(*table));
    pthread_mutex_init(&table->lock, NULL);
    return table;
}

void fake_table_free(fake_table *table)
{
    pthread_mutex_destroy(&table->lock);
    free(table->rows.values);
    free(table);
}

static int step_of(const char *step)
{
    for (int i = 0; i < N_STEPS; i++) {
        if (strcmp(step, step_names[i]) == 0)
            return i;
    }
    ck_abort_msg("no step %s", step);
    return 0;
}

void fake_table_fail(fake_table *table, const char *step, int nth, fake_failure failure)
{
    table->fail_at[step_of(step)] = table->calls[step_of(step)] + nth;
    table->failure[step_of(step)] = failure;
}

void fake_table_hook(fake_table *table, const char *step, void (*hook)(void))
{
    table->hooks[step_of(step)] = hook;
}

int fake_table_calls(const fake_table *table, const char *step)
{
    return table->calls[step_of(step)];
}

void fake_table_set_last(fake_table *table, int64_t batch_id, const char *run)
{
    table->last = batch_id;
    snprintf(table->run, sizeof(table->run), "%s", run);
}

int64_t fake_table_last(const fake_table *table, char out_run[MILL_RUN_NAME_BYTES])
{
    memcpy(out_run, table->run, MILL_RUN_NAME_BYTES);
    return table->last;
}

int64_list fake_table_rows(const fake_table *table)
{
    return table->rows;
}

size_t fake_table_count(const fake_table *table)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&table->lock;
    pthread_mutex_lock(lock);
    size_t count = table->rows.count;
    pthread_mutex_unlock(lock);
    return count;
}

static fake_failure enter(fake_table *table, int step)
{
    if (table->hooks[step] != NULL)
        table->hooks[step]();
    table->calls[step]++;
    bool again = table->failure[step] == FAKE_LOST_ALWAYS && table->fail_at[step] > 0 &&
                 table->calls[step] > table->fail_at[step];
    return again || table->calls[step] == table->fail_at[step] ? table->failure[step] : FAKE_NONE;
}

static rmq_status refuse(fake_failure failure, const char *step, rmq_error *err)
{
    if (failure == FAKE_FENCED)
        return rmq_error_set(err, RMQ_FENCED, "the test refuses %s", step);
    rmq_error_set(err, RMQ_SINK, "the test lets %s fail", step);
    err->retriable = failure == FAKE_RETRY;
    return RMQ_SINK;
}

static rmq_status sink_open(void *self, const mill_sink_owner *owner, mill_sink_position *position,
                            rmq_error *err)
{
    fake_run *run = self;
    fake_table *table = run->table;
    rmq_status status = RMQ_OK;
    pthread_mutex_lock(&table->lock);
    fake_failure failure = enter(table, OPEN);
    bool other = table->stream_id[0] != '\0' && strcmp(table->stream_id, owner->stream_id) != 0;
    if (failure != FAKE_NONE)
        status = refuse(failure, "open", err);
    else if (other && table->last > 0 && !owner->adopt)
        status = rmq_error_set(err, RMQ_EXISTS, "the table is stream %s's", table->stream_id);
    else if (!other && owner->epoch < table->epoch)
        status = rmq_error_set(err, RMQ_FENCED, "epoch %lld is newer", (long long)table->epoch);
    if (status == RMQ_OK) {
        snprintf(table->stream_id, sizeof(table->stream_id), "%s", owner->stream_id);
        table->epoch = owner->epoch;
        position->batch_id = table->last;
        memcpy(position->run, table->run, sizeof(table->run));
        run->rows.count = 0;
    }
    pthread_mutex_unlock(&table->lock);
    return status;
}

static rmq_status sink_begin(void *self, const mill_sink_batch *batch, rmq_error *err)
{
    fake_run *run = self;
    pthread_mutex_lock(&run->table->lock);
    fake_failure failure = enter(run->table, BEGIN);
    pthread_mutex_unlock(&run->table->lock);
    if (failure != FAKE_NONE)
        return refuse(failure, "begin", err);
    run->rows.count = 0;
    run->epoch = batch->epoch;
    run->batch_id = batch->batch_id;
    snprintf(run->run, sizeof(run->run), "%s", batch->run);
    return RMQ_OK;
}

static rmq_status sink_write(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                             rmq_error *err)
{
    fake_run *run = self;
    (void)target;
    (void)partition;
    pthread_mutex_lock(&run->table->lock);
    fake_failure failure = enter(run->table, WRITE);
    pthread_mutex_unlock(&run->table->lock);
    const void *row = NULL;
    rmq_status status;
    while ((status = mill_rows_next(rows, &row, err)) == RMQ_OK) {
        push(&run->rows, *(const int64_t *)row);
        if (failure != FAKE_NONE)
            return refuse(failure, "write", err); /* after a row, to see that none is left */
    }
    return status == RMQ_NOT_FOUND ? RMQ_OK : status;
}

static rmq_status sink_prepare(void *self, rmq_error *err)
{
    fake_run *run = self;
    pthread_mutex_lock(&run->table->lock);
    fake_failure failure = enter(run->table, PREPARE);
    pthread_mutex_unlock(&run->table->lock);
    return failure == FAKE_NONE ? RMQ_OK : refuse(failure, "prepare", err);
}

/* Locks: the table's. */
static rmq_status commit_rows(fake_run *run, rmq_error *err)
{
    fake_table *table = run->table;
    if (!run->plain && run->epoch < table->epoch)
        return rmq_error_set(err, RMQ_FENCED, "epoch %lld is newer", (long long)table->epoch);
    if (!run->plain && run->batch_id != table->last + 1)
        return rmq_error_set(err, RMQ_SINK, "%lld doesn't follow %lld", (long long)run->batch_id,
                             (long long)table->last);
    push_all(&table->rows, &run->rows);
    table->last = run->batch_id;
    memcpy(table->run, run->run, sizeof(table->run));
    return RMQ_OK;
}

static rmq_status sink_commit(void *self, const mill_offset *offsets, size_t n_offsets,
                              rmq_error *err)
{
    fake_run *run = self;
    (void)offsets;
    ck_assert_uint_gt(n_offsets, 0);
    pthread_mutex_lock(&run->table->lock);
    fake_failure failure = enter(run->table, COMMIT);
    rmq_status status = RMQ_OK;
    if (failure == FAKE_LOST_BEFORE || failure == FAKE_LOST_ALWAYS || failure == FAKE_LOST_AFTER) {
        if (failure == FAKE_LOST_AFTER)
            status = commit_rows(run, err);
        if (status == RMQ_OK)
            status = rmq_error_set(err, RMQ_TIMEOUT, "the answer was lost");
    } else {
        status = failure == FAKE_NONE ? commit_rows(run, err) : refuse(failure, "commit", err);
    }
    pthread_mutex_unlock(&run->table->lock);
    return status;
}

static void sink_abort(void *self)
{
    fake_run *run = self;
    pthread_mutex_lock(&run->table->lock);
    enter(run->table, ABORT);
    pthread_mutex_unlock(&run->table->lock);
    run->rows.count = 0;
}

static void sink_close(void *self)
{
    fake_run *run = self;
    free(run->rows.values);
    free(run);
}

static mill_sink *make_sink(fake_table *table, bool plain)
{
    const mill_sink_vtable vtable = {
        .struct_size = sizeof(vtable),
        .name = plain ? "plain" : "fake",
        .flags = plain ? 0 : MILL_SINK_TRANSACTIONAL,
        .open = sink_open,
        .begin = sink_begin,
        .write = sink_write,
        .prepare = sink_prepare,
        .commit = sink_commit,
        .abort = sink_abort,
        .close = sink_close,
    };
    fake_run *run = calloc(1, sizeof(*run));
    run->table = table;
    run->plain = plain;
    const mill_type *type = mill_type_int64();
    mill_sink *sink = NULL;
    rmq_error err;
    ck_ok(mill_sink_new(&vtable, run, &type, &sink, &err), &err);
    return sink;
}

mill_sink *fake_sink(fake_table *table)
{
    return make_sink(table, false);
}

mill_sink *fake_plain_sink(fake_table *table)
{
    return make_sink(table, true);
}

/* ---- a whole job ---- */

running job_build(const fake_job *job)
{
    running built = {.context = context_make(2, 0)};
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    config.name = job->name != NULL ? job->name : "job";
    config.checkpoint = job->dir;
    config.trigger = job->trigger;
    config.batch_interval_ms = job->interval_ms;
    config.min_batches_to_retain = job->retain;
    config.take_over = job->take_over;
    config.adopt_sink = job->adopt;
    config.on_progress = job->on_progress;
    config.on_progress_ctx = job->on_progress_ctx;
    rmq_error err = {0};
    ck_ok(mill_streaming_context_new(built.context, &config, &built.stream, &err), &err);
    mill_dataset *rows = fake_stream(built.stream, job->topic, &err);
    ck_assert_msg(rows != NULL, "%s", err.text);
    for (size_t i = 0; i < 2; i++) {
        if (job->tables[i] != NULL)
            ck_ok(mill_write_to(rows, make_sink(job->tables[i], job->plain[i]), 0, &err), &err);
        if (job->sinks[i] != NULL)
            ck_ok(mill_write_to(rows, job->sinks[i], 0, &err), &err);
    }
    return built;
}

void job_free(running *job)
{
    mill_streaming_context_free(job->stream);
    mill_context_free(job->context);
}

rmq_status job_run(const fake_job *job, rmq_error *err)
{
    running built = job_build(job);
    rmq_status status = mill_streaming_start(built.stream, err);
    if (status == RMQ_OK)
        status = mill_streaming_await(built.stream, 30000, err);
    job_free(&built);
    return status;
}

void check_once(const fake_table *table, const fake_topic *topic)
{
    int64_list rows = {.values = malloc(table->rows.count * sizeof(int64_t) + 1),
                       .count = table->rows.count};
    if (rows.count > 0)
        memcpy(rows.values, table->rows.values, rows.count * sizeof(int64_t));
    sort_int64(rows);
    size_t at = 0;
    for (int64_t q = 0; q < FAKE_QUEUES; q++) {
        for (int64_t offset = 0; offset < topic->max[q]; offset++, at++) {
            int64_t wanted = fake_number(q, offset);
            if (at >= rows.count || rows.values[at] != wanted)
                ck_abort_msg("queue %d offset %d: %s", (int)q, (int)offset,
                             at < rows.count && rows.values[at] < wanted ? "twice" : "missing");
        }
    }
    ck_assert_uint_eq(rows.count, at);
    free(rows.values);
}

int count_files(const char *dir, const char *kind)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, kind);
    DIR *found = opendir(path);
    int count = 0;
    for (struct dirent *entry; found != NULL && (entry = readdir(found)) != NULL;)
        count += entry->d_name[0] != '.';
    if (found != NULL)
        closedir(found);
    return count;
}
