/* A small transactional sink on one file, right in every way, and what its broken relatives are
 * made of. Each broken sink replaces one function of the model and so has one defect. */
#ifndef TEST_MODEL_SINK_H
#define TEST_MODEL_SINK_H

#include <mill/sink_conformance.h>

#include <stdio.h>

#define MODEL_MAX_OFFSETS 8

typedef struct model_offset {
    char source[32], topic[32], broker_name[32];
    int32_t queue_id;
    int64_t next_offset;
} model_offset;

typedef struct model_row {
    char *key;
    size_t len;
    int64_t value;
} model_row;

typedef struct model_rows {
    model_row *items;
    size_t count;
} model_rows;

/* What the file holds. */
typedef struct model_state {
    char stream_id[64];
    int64_t epoch;
    int64_t batch_id;
    char run[MILL_RUN_NAME_BYTES];
    size_t n_offsets;
    model_offset offsets[MODEL_MAX_OFFSETS];
    model_rows rows;
} model_state;

typedef struct model_place {
    char path[4096];
    const mill_sink_vtable *vtable;
    rmq_status (*load)(struct model_place *place, model_state *out_state, rmq_error *err);
    rmq_status (*store)(struct model_place *place, const model_state *state, rmq_error *err);
} model_place;

typedef struct model_sink {
    model_place *place;
    const mill_type *pair;
    mill_sink_owner owner; /* stream_id points to the next */
    char stream_id[64];
    mill_offset position[MODEL_MAX_OFFSETS];
    model_state opened; /* memory of position */
    mill_sink_batch batch;
    char run[MILL_RUN_NAME_BYTES];
    model_rows staged;
} model_sink;

extern const mill_sink_vtable model_vtable;

/* Rows. They end the process when memory runs out: this is a test. */
void model_rows_add(model_rows *rows, const char *key, size_t len, int64_t value);
void model_rows_move(model_rows *to, model_rows *from);
void model_rows_clear(model_rows *rows);
void model_state_clear(model_state *state);

rmq_status model_load(model_place *place, model_state *out_state, rmq_error *err);
rmq_status model_store(model_place *place, const model_state *state, rmq_error *err);
void model_write_state(FILE *file, const model_state *state);

/* The steps of the right sink. */
rmq_status model_open(void *self, const mill_sink_owner *owner, mill_sink_position *out_position,
                      rmq_error *err);
rmq_status model_begin(void *self, const mill_sink_batch *batch, rmq_error *err);
rmq_status model_write(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                       rmq_error *err);
rmq_status model_commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err);
void model_abort(void *self);
void model_close(void *self);

/* Parts of them. */
rmq_status model_check_epoch(const model_sink *sink, const model_state *state, rmq_error *err);
rmq_status model_check_batch(const model_sink *sink, const model_state *state, rmq_error *err);
void model_set_position(const model_sink *sink, model_state *state, const mill_offset *offsets,
                        size_t n_offsets);
/* Reads the state, takes the staged rows and the position over, writes it. */
rmq_status model_apply(model_sink *sink, const mill_offset *offsets, size_t n_offsets,
                       rmq_error *err);

/* A defect: what is replaced, and the checks that must fail because of it. */
typedef struct broken_sink {
    const char *name;
    void (*patch)(mill_sink_vtable *vtable, model_place *place);
    const char *fails[33]; /* NULL after the last */
} broken_sink;

extern const broken_sink *const broken_sinks[];
extern const size_t n_broken_sinks;

#endif
