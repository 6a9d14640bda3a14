/* Goes on for whatever stream opens it, as if it had been adopted. */
#include "model_sink.h"

static rmq_status open_place(void *self, const mill_sink_owner *owner,
                             mill_sink_position *out_position, rmq_error *err)
{
    mill_sink_owner adopting = *owner;
    adopting.adopt = true;
    return model_open(self, &adopting, out_position, err);
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->open = open_place;
}

extern const broken_sink broken_any_stream;
const broken_sink broken_any_stream = {
    .name = "takes-any-stream",
    .patch = patch,
    .fails = {"refuses-other-stream"},
};
