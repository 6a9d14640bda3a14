/* Takes any batch after its last one: what was left out is lost. */
#include "model_sink.h"

static rmq_status commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    status = model_check_epoch(sink, &state, err);
    if (status == RMQ_OK && sink->batch.batch_id <= state.batch_id)
        status = model_check_batch(sink, &state, err);
    model_state_clear(&state);
    return status == RMQ_OK ? model_apply(sink, offsets, n_offsets, err) : status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->commit = commit;
}

extern const broken_sink broken_accepts_gap;
const broken_sink broken_accepts_gap = {
    .name = "skips-a-batch",
    .patch = patch,
    .fails = {"refuses-skipped-batch", "random-history"},
};
