/* Lets whoever opens set the epoch, also back. */
#include "model_sink.h"

#include <string.h>

static rmq_status open_place(void *self, const mill_sink_owner *owner,
                             mill_sink_position *out_position, rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    if (state.epoch > owner->epoch && strcmp(state.stream_id, owner->stream_id) == 0) {
        state.epoch = 0;
        status = sink->place->store(sink->place, &state, err);
    }
    model_state_clear(&state);
    return status == RMQ_OK ? model_open(self, owner, out_position, err) : status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->open = open_place;
}

extern const broken_sink broken_lowers_epoch;
const broken_sink broken_lowers_epoch = {
    .name = "accepts-an-older-epoch",
    .patch = patch,
    .fails = {"refuses-older-epoch-at-open", "keeps-epoch-of-open"},
};
