/* Takes back too much: abort removes rows of batches that are in. */
#include "model_sink.h"

#include <stdlib.h>

static void abort_run(void *self)
{
    model_sink *sink = self;
    model_state state;
    rmq_error err;
    size_t undo = sink->staged.count;
    model_abort(self);
    if (sink->place->load(sink->place, &state, &err) != RMQ_OK)
        return;
    while (undo-- > 0 && state.rows.count > 0)
        free(state.rows.items[--state.rows.count].key);
    if (sink->place->store(sink->place, &state, &err) == RMQ_OK)
        model_state_clear(&state);
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->abort = abort_run;
}

extern const broken_sink broken_abort_loses;
const broken_sink broken_abort_loses = {
    .name = "abort-loses-older-rows",
    .patch = patch,
    .fails = {"abort-keeps-older-batches", "refuses-repeated-batch", "refuses-skipped-batch",
              "refuses-older-epoch", "refuses-overtaken-run", "opens-again-after-commit",
              "adopts-other-stream", "random-history"},
};
