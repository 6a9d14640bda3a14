/* Notes the epoch with the first commit, not at open: until then the older process goes on. */
#include "model_sink.h"

static rmq_status open_place(void *self, const mill_sink_owner *owner,
                             mill_sink_position *out_position, rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    int64_t epoch = state.epoch;
    model_state_clear(&state);
    status = model_open(self, owner, out_position, err);
    if (status != RMQ_OK)
        return status;
    sink->opened.epoch = epoch < owner->epoch ? epoch : owner->epoch;
    return sink->place->store(sink->place, &sink->opened, err);
}

static rmq_status commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    if (state.epoch < sink->batch.epoch) {
        state.epoch = sink->batch.epoch;
        status = sink->place->store(sink->place, &state, err);
    }
    model_state_clear(&state);
    return status == RMQ_OK ? model_commit(self, offsets, n_offsets, err) : status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->open = open_place;
    vtable->commit = commit;
}

extern const broken_sink broken_late_epoch;
const broken_sink broken_late_epoch = {
    .name = "raises-the-epoch-at-commit",
    .patch = patch,
    .fails = {"keeps-epoch-of-open", "refuses-older-epoch", "refuses-overtaken-run",
              "random-history"},
};
