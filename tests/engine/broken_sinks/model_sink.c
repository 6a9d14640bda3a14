/* A transactional sink on one file.
 *
 * The file holds everything: rows, the newest epoch, the last batch, its run and offsets. A commit
 * reads it, checks, and replaces it by a new one with a rename: so rows and position change at
 * once. Between reading and renaming nobody else may write; the tests see to that. */
#include "model_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x6d6f6465u

/* ---- rows ---- */

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

void model_rows_add(model_rows *rows, const char *key, size_t len, int64_t value)
{
    rows->items = must(realloc(rows->items, (rows->count + 1) * sizeof(*rows->items)));
    model_row *row = &rows->items[rows->count++];
    row->key = must(malloc(len + 1));
    if (len != 0)
        memcpy(row->key, key, len);
    row->len = len;
    row->value = value;
}

void model_rows_move(model_rows *to, model_rows *from)
{
    for (size_t i = 0; i < from->count; i++)
        model_rows_add(to, from->items[i].key, from->items[i].len, from->items[i].value);
    model_rows_clear(from);
}

void model_rows_clear(model_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        free(rows->items[i].key);
    free(rows->items);
    *rows = (model_rows){0};
}

void model_state_clear(model_state *state)
{
    model_rows_clear(&state->rows);
    memset(state, 0, sizeof(*state));
}

/* ---- the file ---- */

void model_write_state(FILE *file, const model_state *state)
{
    uint32_t magic = MAGIC;
    fwrite(&magic, sizeof(magic), 1, file);
    fwrite(state, offsetof(model_state, rows), 1, file);
    fwrite(&state->rows.count, sizeof(size_t), 1, file);
    for (size_t i = 0; i < state->rows.count; i++) {
        const model_row *row = &state->rows.items[i];
        fwrite(&row->len, sizeof(row->len), 1, file);
        fwrite(&row->value, sizeof(row->value), 1, file);
        fwrite(row->key, 1, row->len, file);
    }
}

rmq_status model_store(model_place *place, const model_state *state, rmq_error *err)
{
    char temp[sizeof(place->path) + 8];
    snprintf(temp, sizeof(temp), "%s.new", place->path);
    FILE *file = fopen(temp, "w");
    if (file == NULL)
        return rmq_error_set_errno(err, errno, "%s", temp);
    model_write_state(file, state);
    /* no fsync: processes are killed here, not machines */
    bool good = fclose(file) == 0 && rename(temp, place->path) == 0;
    return good ? RMQ_OK : rmq_error_set_errno(err, errno, "%s", temp);
}

static bool read_rows(FILE *file, model_rows *rows)
{
    static char key[100000];
    size_t count = 0;
    if (fread(&count, sizeof(count), 1, file) != 1)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t len = 0;
        int64_t value = 0;
        if (fread(&len, sizeof(len), 1, file) != 1 || len > sizeof(key) ||
            fread(&value, sizeof(value), 1, file) != 1 || fread(key, 1, len, file) != len)
            return false;
        model_rows_add(rows, key, len, value);
    }
    return true;
}

rmq_status model_load(model_place *place, model_state *out_state, rmq_error *err)
{
    memset(out_state, 0, sizeof(*out_state));
    FILE *file = fopen(place->path, "r");
    if (file == NULL)
        return errno == ENOENT ? RMQ_OK : rmq_error_set_errno(err, errno, "%s", place->path);
    uint32_t magic = 0;
    bool good = fread(&magic, sizeof(magic), 1, file) == 1 && magic == MAGIC &&
                fread(out_state, offsetof(model_state, rows), 1, file) == 1 &&
                read_rows(file, &out_state->rows);
    fclose(file);
    if (good)
        return RMQ_OK;
    model_state_clear(out_state);
    return rmq_error_set(err, RMQ_CORRUPT, "%s is torn", place->path);
}

/* ---- open ---- */

static rmq_status check_stream(const mill_sink_owner *owner, model_state *state, rmq_error *err)
{
    if (strcmp(state->stream_id, owner->stream_id) == 0)
        return RMQ_OK;
    if (state->batch_id > 0 && !owner->adopt)
        return rmq_error_set(err, RMQ_EXISTS, "it belongs to stream %s, not %s", state->stream_id,
                             owner->stream_id);
    snprintf(state->stream_id, sizeof(state->stream_id), "%s", owner->stream_id);
    state->epoch = 0;
    return RMQ_OK;
}

static void tell_position(model_sink *sink, mill_sink_position *out_position)
{
    const model_state *state = &sink->opened;
    for (size_t i = 0; i < state->n_offsets; i++) {
        const model_offset *offset = &state->offsets[i];
        sink->position[i] = (mill_offset){offset->source, offset->topic, offset->broker_name,
                                          offset->queue_id, offset->next_offset};
    }
    memset(out_position, 0, sizeof(*out_position));
    out_position->batch_id = state->batch_id;
    memcpy(out_position->run, state->run, sizeof(state->run));
    out_position->offsets = sink->position;
    out_position->n_offsets = state->n_offsets;
}

rmq_status model_open(void *self, const mill_sink_owner *owner, mill_sink_position *out_position,
                      rmq_error *err)
{
    model_sink *sink = self;
    model_rows_clear(&sink->staged);
    model_state_clear(&sink->opened);
    snprintf(sink->stream_id, sizeof(sink->stream_id), "%s", owner->stream_id);
    rmq_status status = sink->place->load(sink->place, &sink->opened, err);
    if (status == RMQ_OK)
        status = check_stream(owner, &sink->opened, err);
    if (status == RMQ_OK && sink->opened.epoch > owner->epoch)
        status =
            rmq_error_set(err, RMQ_FENCED, "epoch %lld was there", (long long)sink->opened.epoch);
    if (status != RMQ_OK)
        return status;
    sink->opened.epoch = owner->epoch;
    status = sink->place->store(sink->place, &sink->opened, err);
    if (status == RMQ_OK)
        tell_position(sink, out_position);
    return status;
}

/* ---- a run ---- */

rmq_status model_begin(void *self, const mill_sink_batch *batch, rmq_error *err)
{
    model_sink *sink = self;
    (void)err;
    model_rows_clear(&sink->staged);
    sink->batch = *batch;
    snprintf(sink->run, sizeof(sink->run), "%s", batch->run);
    return RMQ_OK;
}

rmq_status model_write(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                       rmq_error *err)
{
    model_sink *sink = self;
    (void)target;
    (void)partition;
    for (;;) {
        const void *row = NULL;
        rmq_status status = mill_rows_next(rows, &row, err);
        if (status != RMQ_OK)
            return status == RMQ_NOT_FOUND ? RMQ_OK : status;
        const rmq_slice *key = mill_pair_key(row);
        const int64_t *value = mill_pair_value(sink->pair, row);
        model_rows_add(&sink->staged, key->data, key->len, *value);
    }
}

rmq_status model_check_epoch(const model_sink *sink, const model_state *state, rmq_error *err)
{
    if (state->epoch != sink->batch.epoch || strcmp(state->stream_id, sink->stream_id) != 0)
        return rmq_error_set(err, RMQ_FENCED, "epoch %lld is there", (long long)state->epoch);
    return RMQ_OK;
}

rmq_status model_check_batch(const model_sink *sink, const model_state *state, rmq_error *err)
{
    if (sink->batch.batch_id != state->batch_id + 1)
        return rmq_error_set(err, RMQ_SINK, "the last batch is %lld", (long long)state->batch_id);
    return RMQ_OK;
}

void model_set_position(const model_sink *sink, model_state *state, const mill_offset *offsets,
                        size_t n_offsets)
{
    state->batch_id = sink->batch.batch_id;
    memcpy(state->run, sink->run, sizeof(state->run));
    state->n_offsets = n_offsets < MODEL_MAX_OFFSETS ? n_offsets : MODEL_MAX_OFFSETS;
    for (size_t i = 0; i < state->n_offsets; i++) {
        model_offset *to = &state->offsets[i];
        snprintf(to->source, sizeof(to->source), "%s", offsets[i].source);
        snprintf(to->topic, sizeof(to->topic), "%s", offsets[i].topic);
        snprintf(to->broker_name, sizeof(to->broker_name), "%s", offsets[i].broker_name);
        to->queue_id = offsets[i].queue_id;
        to->next_offset = offsets[i].next_offset;
    }
}

rmq_status model_apply(model_sink *sink, const mill_offset *offsets, size_t n_offsets,
                       rmq_error *err)
{
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    model_rows_move(&state.rows, &sink->staged);
    model_set_position(sink, &state, offsets, n_offsets);
    status = sink->place->store(sink->place, &state, err);
    model_state_clear(&state);
    return status;
}

rmq_status model_commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    status = model_check_epoch(sink, &state, err);
    if (status == RMQ_OK)
        status = model_check_batch(sink, &state, err);
    model_state_clear(&state);
    return status == RMQ_OK ? model_apply(sink, offsets, n_offsets, err) : status;
}

void model_abort(void *self)
{
    model_sink *sink = self;
    model_rows_clear(&sink->staged);
}

void model_close(void *self)
{
    model_sink *sink = self;
    model_rows_clear(&sink->staged);
    model_state_clear(&sink->opened);
    free(sink);
}

const mill_sink_vtable model_vtable = {
    .struct_size = sizeof(mill_sink_vtable),
    .name = "model",
    .flags = MILL_SINK_TRANSACTIONAL,
    .n_targets = 1,
    .open = model_open,
    .begin = model_begin,
    .write = model_write,
    .commit = model_commit,
    .abort = model_abort,
    .close = model_close,
};
