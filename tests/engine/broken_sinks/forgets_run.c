/* Does not keep which run of its last batch is in. */
#include "model_sink.h"

#include <string.h>

static rmq_status open_place(void *self, const mill_sink_owner *owner,
                             mill_sink_position *out_position, rmq_error *err)
{
    rmq_status status = model_open(self, owner, out_position, err);
    if (status == RMQ_OK)
        memset(out_position->run, 0, sizeof(out_position->run));
    return status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->open = open_place;
}

extern const broken_sink broken_forgets_run;
const broken_sink broken_forgets_run = {
    .name = "forgets-the-run",
    .patch = patch,
    .fails = {"reports-run", "random-history", "killed-in-commit", "killed-after-commit"},
};
