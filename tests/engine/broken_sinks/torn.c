/* Writes its file in place: a process that dies meanwhile leaves a torn one. */
#include "model_sink.h"

static rmq_status store(model_place *place, const model_state *state, rmq_error *err)
{
    FILE *file = fopen(place->path, "w");
    if (file == NULL)
        return rmq_error_set(err, RMQ_IO, "%s", place->path);
    model_write_state(file, state);
    return fclose(file) == 0 ? RMQ_OK : rmq_error_set(err, RMQ_IO, "%s", place->path);
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)vtable;
    place->store = store;
}

extern const broken_sink broken_torn;
const broken_sink broken_torn = {
    .name = "writes-in-place",
    .patch = patch,
    .fails = {"killed-in-open", "killed-in-commit"},
};
