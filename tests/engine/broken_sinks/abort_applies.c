/* Flushes what it has when a run is aborted. */
#include "model_sink.h"

static void abort_run(void *self)
{
    model_sink *sink = self;
    model_state state;
    rmq_error err;
    if (sink->place->load(sink->place, &state, &err) != RMQ_OK)
        return;
    model_rows_move(&state.rows, &sink->staged);
    if (sink->place->store(sink->place, &state, &err) == RMQ_OK)
        model_state_clear(&state);
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->abort = abort_run;
}

extern const broken_sink broken_abort_applies;
const broken_sink broken_abort_applies = {
    .name = "abort-keeps-the-run",
    .patch = patch,
    .fails = {"abort-drops-the-run", "abort-keeps-older-batches", "refuses-repeated-batch",
              "refuses-skipped-batch", "refuses-older-epoch", "refuses-overtaken-run",
              "opens-again-after-commit", "adopts-other-stream", "random-history"},
};
