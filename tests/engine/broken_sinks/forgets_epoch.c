/* Asks for the epoch at open, but not at commit: a process that was paused goes on. */
#include "model_sink.h"

static rmq_status commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    status = model_check_batch(sink, &state, err);
    model_state_clear(&state);
    return status == RMQ_OK ? model_apply(sink, offsets, n_offsets, err) : status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->commit = commit;
}

extern const broken_sink broken_forgets_epoch;
const broken_sink broken_forgets_epoch = {
    .name = "forgets-the-epoch",
    .patch = patch,
    .fails = {"refuses-older-epoch", "refuses-overtaken-run", "adopts-other-stream",
              "random-history"},
};
