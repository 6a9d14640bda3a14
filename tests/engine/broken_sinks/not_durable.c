/* Keeps what is committed in memory and writes it when it is closed. */
#include "model_sink.h"

static model_state cache;
static bool cached;

static void copy_state(model_state *to, const model_state *from)
{
    *to = *from;
    to->rows = (model_rows){0};
    for (size_t i = 0; i < from->rows.count; i++)
        model_rows_add(&to->rows, from->rows.items[i].key, from->rows.items[i].len,
                       from->rows.items[i].value);
}

static rmq_status load(model_place *place, model_state *out_state, rmq_error *err)
{
    if (!cached)
        return model_load(place, out_state, err);
    copy_state(out_state, &cache);
    return RMQ_OK;
}

static rmq_status store(model_place *place, const model_state *state, rmq_error *err)
{
    (void)place;
    (void)err;
    model_state copy;
    copy_state(&copy, state);
    model_state_clear(&cache);
    cache = copy;
    cached = true;
    return RMQ_OK;
}

static void close_place(void *self)
{
    model_sink *sink = self;
    rmq_error err;
    if (cached && model_store(sink->place, &cache, &err) == RMQ_OK)
        cached = false;
    model_state_clear(&cache);
    model_close(self);
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    vtable->close = close_place;
    place->load = load;
    place->store = store;
}

extern const broken_sink broken_not_durable;
const broken_sink broken_not_durable = {
    .name = "not-durable",
    .patch = patch,
    .fails = {"killed-after-commit"},
};
