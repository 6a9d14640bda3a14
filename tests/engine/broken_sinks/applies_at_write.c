/* Makes rows visible when they are written. */
#include "model_sink.h"

static rmq_status write_rows(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                             rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = model_write(self, target, partition, rows, err);
    if (status == RMQ_OK)
        status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    model_rows_move(&state.rows, &sink->staged);
    status = sink->place->store(sink->place, &state, err);
    model_state_clear(&state);
    return status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->write = write_rows;
}

extern const broken_sink broken_applies_at_write;
const broken_sink broken_applies_at_write = {
    .name = "applies-at-write",
    .patch = patch,
    .fails = {"hides-rows-before-commit", "abort-drops-the-run", "abort-keeps-older-batches",
              "begin-drops-unfinished-run", "open-drops-unfinished-run",
              "close-drops-unfinished-run", "refuses-repeated-batch", "refuses-skipped-batch",
              "refuses-older-epoch", "refuses-overtaken-run", "opens-again-after-commit",
              "adopts-other-stream", "random-history", "killed-in-write", "killed-in-prepare",
              "killed-in-commit"},
};
