/* The memory sink: rows and commits of a table that lives as long as the process, with the same
 * rules as a database. It is what tests look into, and the shortest complete example of a
 * transactional sink.
 *
 * A table outlives its sinks, as a database outlives a process: a test "restarts" by making another
 * sink on the same table. Rows are copied into blocks of the table's own store, since the context
 * that made them may be gone before the table. A run collects its blocks in the sink; commit checks
 * and appends them under the table's lock. Everything that can fail is done before the first
 * change, so that a commit is in or not. */
#include <mill/sink.h>

#include "../core/block.h"
#include "../core/block_store.h"
#include "offset_list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* What a stream has committed through one sink id. */
typedef struct commit_record {
    struct commit_record *next;
    char *stream_id;
    char *sink_id;
    char *job_name;
    int64_t epoch;
    int64_t batch_id;
    char run[MILL_RUN_NAME_BYTES];
    mill_offset_list offsets;
} commit_record;

typedef struct block_list {
    mill_block **items;
    size_t count;
    size_t capacity;
} block_list;

struct mill_memory_table {
    atomic_uint refs;
    const mill_type *type;
    mill_block_store *store;
    pthread_mutex_t lock; /* guards what follows */
    block_list blocks;
    commit_record *records;
};

typedef struct memory_sink {
    mill_memory_table *table;
    char *stream_id;
    char *sink_id;
    block_list run_blocks;
    mill_offset_list position; /* what open gave out */
    mill_sink_batch batch;
    char run[MILL_RUN_NAME_BYTES];
    bool running;
} memory_sink;

static rmq_status no_memory(rmq_error *err)
{
    return rmq_error_set(err, RMQ_NOMEM, "memory sink: out of memory");
}

/* ---- lists of blocks ---- */

static bool reserve_blocks(block_list *list, size_t more)
{
    if (list->capacity - list->count >= more)
        return true;
    size_t capacity = (list->count + more) * 2;
    mill_block **grown = rmq_realloc(list->items, capacity * sizeof(mill_block *));
    if (grown == NULL)
        return false;
    list->items = grown;
    list->capacity = capacity;
    return true;
}

static void drop_blocks(block_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mill_block_unref(list->items[i]);
    list->count = 0;
}

static void deinit_blocks(block_list *list)
{
    drop_blocks(list);
    rmq_free(list->items);
    *list = (block_list){0};
}

/* ---- the table ---- */

static void free_record(commit_record *record)
{
    if (record == NULL)
        return;
    rmq_free(record->stream_id);
    rmq_free(record->sink_id);
    rmq_free(record->job_name);
    mill_offset_list_deinit(&record->offsets);
    rmq_free(record);
}

rmq_status mill_memory_table_new(const mill_type *type, mill_memory_table **out_table,
                                 rmq_error *err)
{
    if (type == NULL || out_table == NULL)
        return rmq_error_set(err, RMQ_INVAL, "memory table: a type is needed");
    mill_memory_table *table = rmq_calloc(1, sizeof(*table));
    if (table == NULL)
        return no_memory(err);
    rmq_status status = mill_block_store_new(SIZE_MAX, NULL, &table->store, err);
    if (status != RMQ_OK) {
        rmq_free(table);
        return status;
    }
    atomic_init(&table->refs, 1);
    table->type = type;
    pthread_mutex_init(&table->lock, NULL);
    *out_table = table;
    return RMQ_OK;
}

void mill_memory_table_free(mill_memory_table *table)
{
    if (table == NULL || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
        return;
    deinit_blocks(&table->blocks);
    while (table->records != NULL) {
        commit_record *next = table->records->next;
        free_record(table->records);
        table->records = next;
    }
    mill_block_store_free(table->store);
    pthread_mutex_destroy(&table->lock);
    rmq_free(table);
}

rmq_status mill_memory_table_rows(mill_memory_table *table, mill_rows **out_rows, rmq_error *err)
{
    pthread_mutex_lock(&table->lock);
    rmq_status status =
        mill_rows_of_blocks(table->blocks.items, table->blocks.count, table->type, out_rows, err);
    pthread_mutex_unlock(&table->lock);
    return status;
}

static commit_record *find_record(const mill_memory_table *table, const char *stream_id,
                                  const char *sink_id)
{
    for (commit_record *record = table->records; record != NULL; record = record->next) {
        if (strcmp(record->stream_id, stream_id) == 0 && strcmp(record->sink_id, sink_id) == 0)
            return record;
    }
    return NULL;
}

/* The record of another stream with the same job's name. */
static commit_record *find_other(const mill_memory_table *table, const mill_sink_owner *owner)
{
    for (commit_record *record = table->records; record != NULL; record = record->next) {
        if (strcmp(record->job_name, owner->job_name) == 0 &&
            strcmp(record->sink_id, owner->sink_id) == 0 &&
            strcmp(record->stream_id, owner->stream_id) != 0)
            return record;
    }
    return NULL;
}

static commit_record *add_record(mill_memory_table *table, const mill_sink_owner *owner)
{
    commit_record *record = rmq_calloc(1, sizeof(*record));
    if (record == NULL)
        return NULL;
    record->stream_id = rmq_strdup(owner->stream_id);
    record->sink_id = rmq_strdup(owner->sink_id);
    record->job_name = rmq_strdup(owner->job_name);
    if (record->stream_id == NULL || record->sink_id == NULL || record->job_name == NULL) {
        free_record(record);
        return NULL;
    }
    record->next = table->records;
    table->records = record;
    return record;
}

/* Another stream's record becomes ours: it was adopted, or no batch of it was ever in. */
static rmq_status take_other(commit_record *other, const mill_sink_owner *owner, rmq_error *err)
{
    if (other->batch_id > 0 && !owner->adopt)
        return rmq_error_set(err, RMQ_EXISTS,
                             "memory sink: job %s is at batch %lld there, by stream %s; this is "
                             "stream %s, at batch 0: adopt it, or use another table",
                             owner->job_name, (long long)other->batch_id, other->stream_id,
                             owner->stream_id);
    char *stream_id = rmq_strdup(owner->stream_id);
    if (stream_id == NULL)
        return no_memory(err);
    rmq_free(other->stream_id);
    other->stream_id = stream_id;
    other->epoch = 0;
    return RMQ_OK;
}

/* ---- open ---- */

/* Finds or makes the owner's record and copies its offsets. Locks: the table's. */
static rmq_status open_record(memory_sink *sink, const mill_sink_owner *owner,
                              mill_sink_position *out_position, rmq_error *err)
{
    mill_memory_table *table = sink->table;
    rmq_status status = RMQ_OK;
    commit_record *record = find_record(table, owner->stream_id, owner->sink_id);
    if (record == NULL) {
        record = find_other(table, owner);
        if (record != NULL)
            status = take_other(record, owner, err);
        else if ((record = add_record(table, owner)) == NULL)
            status = no_memory(err);
    }
    if (status != RMQ_OK)
        return status;
    if (record->epoch > owner->epoch)
        return rmq_error_set(err, RMQ_FENCED, "memory sink: epoch %lld has taken it; we are %lld",
                             (long long)record->epoch, (long long)owner->epoch);
    if (!mill_offset_list_put_all(&sink->position, record->offsets.items, record->offsets.count))
        return no_memory(err);
    record->epoch = owner->epoch;
    memset(out_position, 0, sizeof(*out_position));
    out_position->batch_id = record->batch_id;
    memcpy(out_position->run, record->run, sizeof(record->run));
    out_position->offsets = sink->position.items;
    out_position->n_offsets = sink->position.count;
    return RMQ_OK;
}

static rmq_status memory_open(void *self, const mill_sink_owner *owner,
                              mill_sink_position *out_position, rmq_error *err)
{
    memory_sink *sink = self;
    drop_blocks(&sink->run_blocks);
    mill_offset_list_deinit(&sink->position);
    sink->running = false;
    char *stream_id = rmq_strdup(owner->stream_id);
    char *sink_id = rmq_strdup(owner->sink_id);
    rmq_status status = RMQ_OK;
    if (stream_id == NULL || sink_id == NULL) {
        status = no_memory(err);
    } else {
        pthread_mutex_lock(&sink->table->lock);
        status = open_record(sink, owner, out_position, err);
        pthread_mutex_unlock(&sink->table->lock);
    }
    if (status != RMQ_OK) {
        rmq_free(stream_id);
        rmq_free(sink_id);
        return status;
    }
    rmq_free(sink->stream_id);
    rmq_free(sink->sink_id);
    sink->stream_id = stream_id;
    sink->sink_id = sink_id;
    return RMQ_OK;
}

/* ---- a run ---- */

static rmq_status memory_begin(void *self, const mill_sink_batch *batch, rmq_error *err)
{
    memory_sink *sink = self;
    if (sink->stream_id == NULL || strlen(batch->run) >= sizeof(sink->run))
        return rmq_error_set(err, RMQ_INVAL,
                             "memory sink: it isn't open, or the run's name is too long");
    drop_blocks(&sink->run_blocks);
    sink->batch = *batch;
    memcpy(sink->run, batch->run, strlen(batch->run) + 1);
    sink->running = true;
    return RMQ_OK;
}

static rmq_status copy_rows(mill_rows *rows, mill_block *block, rmq_error *err)
{
    for (;;) {
        const void *row = NULL;
        rmq_status status = mill_rows_next(rows, &row, err);
        if (status == RMQ_NOT_FOUND)
            return mill_block_seal(block, err);
        if (status == RMQ_OK)
            status = mill_block_append(block, row, err);
        if (status != RMQ_OK)
            return status;
    }
}

static rmq_status memory_write(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                               rmq_error *err)
{
    memory_sink *sink = self;
    (void)target;
    (void)partition;
    if (!sink->running)
        return rmq_error_set(err, RMQ_SINK, "memory sink: write outside of a run");
    if (!reserve_blocks(&sink->run_blocks, 1))
        return no_memory(err);
    mill_block *block = NULL;
    rmq_status status = mill_block_new(sink->table->store, sink->table->type, &block, err);
    if (status != RMQ_OK)
        return status;
    status = copy_rows(rows, block, err);
    if (status == RMQ_OK)
        sink->run_blocks.items[sink->run_blocks.count++] = block;
    else
        mill_block_unref(block);
    return status;
}

static rmq_status check_record(const commit_record *record, const mill_sink_batch *batch,
                               rmq_error *err)
{
    if (record == NULL)
        return rmq_error_set(err, RMQ_FENCED, "memory sink: another stream has adopted the table");
    if (record->epoch > batch->epoch)
        return rmq_error_set(err, RMQ_FENCED, "memory sink: epoch %lld has taken it; we are %lld",
                             (long long)record->epoch, (long long)batch->epoch);
    if (record->epoch < batch->epoch)
        return rmq_error_set(err, RMQ_SINK, "memory sink: it was opened by epoch %lld, not %lld",
                             (long long)record->epoch, (long long)batch->epoch);
    if (batch->batch_id != record->batch_id + 1)
        return rmq_error_set(err, RMQ_SINK,
                             "memory sink: its last batch is %lld; batch %lld does not follow it",
                             (long long)record->batch_id, (long long)batch->batch_id);
    return RMQ_OK;
}

/* Locks: the table's. Nothing is changed before all that can fail is done. */
static rmq_status commit_run(memory_sink *sink, const mill_offset *offsets, size_t n_offsets,
                             rmq_error *err)
{
    mill_memory_table *table = sink->table;
    commit_record *record = find_record(table, sink->stream_id, sink->sink_id);
    rmq_status status = check_record(record, &sink->batch, err);
    if (status != RMQ_OK)
        return status;
    mill_offset_list merged = {0};
    if (!reserve_blocks(&table->blocks, sink->run_blocks.count) ||
        !mill_offset_list_put_all(&merged, record->offsets.items, record->offsets.count) ||
        !mill_offset_list_put_all(&merged, offsets, n_offsets)) {
        mill_offset_list_deinit(&merged);
        return no_memory(err);
    }
    for (size_t i = 0; i < sink->run_blocks.count; i++)
        table->blocks.items[table->blocks.count++] = sink->run_blocks.items[i];
    sink->run_blocks.count = 0;
    mill_offset_list_deinit(&record->offsets);
    record->offsets = merged;
    record->batch_id = sink->batch.batch_id;
    memcpy(record->run, sink->run, sizeof(record->run));
    return RMQ_OK;
}

static rmq_status memory_commit(void *self, const mill_offset *offsets, size_t n_offsets,
                                rmq_error *err)
{
    memory_sink *sink = self;
    if (!sink->running)
        return rmq_error_set(err, RMQ_SINK, "memory sink: commit outside of a run");
    pthread_mutex_lock(&sink->table->lock);
    rmq_status status = commit_run(sink, offsets, n_offsets, err);
    pthread_mutex_unlock(&sink->table->lock);
    if (status == RMQ_OK)
        sink->running = false;
    return status;
}

static void memory_abort(void *self)
{
    memory_sink *sink = self;
    drop_blocks(&sink->run_blocks);
    sink->running = false;
}

static void memory_close(void *self)
{
    memory_sink *sink = self;
    if (sink == NULL)
        return;
    deinit_blocks(&sink->run_blocks);
    mill_offset_list_deinit(&sink->position);
    rmq_free(sink->stream_id);
    rmq_free(sink->sink_id);
    mill_memory_table_free(sink->table);
    rmq_free(sink);
}

rmq_status mill_memory_sink_new(mill_memory_table *table, mill_sink **out_sink, rmq_error *err)
{
    static const mill_sink_vtable vtable = {
        .struct_size = sizeof(vtable),
        .name = "memory",
        .flags = MILL_SINK_TRANSACTIONAL,
        .n_targets = 1,
        .open = memory_open,
        .begin = memory_begin,
        .write = memory_write,
        .commit = memory_commit,
        .abort = memory_abort,
        .close = memory_close,
    };
    if (table == NULL || out_sink == NULL)
        return rmq_error_set(err, RMQ_INVAL, "memory sink: a table is needed");
    memory_sink *sink = rmq_calloc(1, sizeof(*sink));
    if (sink == NULL)
        return no_memory(err);
    rmq_status status = mill_sink_new(&vtable, sink, &table->type, out_sink, err);
    if (status != RMQ_OK) {
        rmq_free(sink);
        return status;
    }
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    sink->table = table;
    return RMQ_OK;
}
