/* Does not drop what an unfinished run has staged when the next one begins. */
#include "model_sink.h"

static rmq_status begin(void *self, const mill_sink_batch *batch, rmq_error *err)
{
    model_sink *sink = self;
    model_rows kept = sink->staged;
    sink->staged = (model_rows){0};
    rmq_status status = model_begin(self, batch, err);
    sink->staged = kept;
    return status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->begin = begin;
}

extern const broken_sink broken_mixes_runs;
const broken_sink broken_mixes_runs = {
    .name = "mixes-two-runs",
    .patch = patch,
    .fails = {"begin-drops-unfinished-run", "random-history"},
};
