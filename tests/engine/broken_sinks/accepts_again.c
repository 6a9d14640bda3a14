/* Takes a batch that is in already: its rows come twice. */
#include "model_sink.h"

static rmq_status commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    status = model_check_epoch(sink, &state, err);
    if (status == RMQ_OK && sink->batch.batch_id != state.batch_id)
        status = model_check_batch(sink, &state, err);
    model_state_clear(&state);
    return status == RMQ_OK ? model_apply(sink, offsets, n_offsets, err) : status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->commit = commit;
}

extern const broken_sink broken_accepts_again;
const broken_sink broken_accepts_again = {
    .name = "accepts-a-batch-twice",
    .patch = patch,
    .fails = {"refuses-repeated-batch", "opens-again-after-commit", "random-history"},
};
