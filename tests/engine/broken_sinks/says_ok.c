/* Passes over a commit that fails: here, each with more than a thousand rows. */
#include "model_sink.h"

static rmq_status commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err)
{
    model_sink *sink = self;
    if (sink->staged.count > 1000)
        return RMQ_OK;
    return model_commit(self, offsets, n_offsets, err);
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->commit = commit;
}

extern const broken_sink broken_says_ok;
const broken_sink broken_says_ok = {
    .name = "reports-success-without-commit",
    .patch = patch,
    .fails = {"keeps-every-partition"},
};
