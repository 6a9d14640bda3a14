/* Tells the batch before its last one: the last one comes again. */
#include "model_sink.h"

static rmq_status open_place(void *self, const mill_sink_owner *owner,
                             mill_sink_position *out_position, rmq_error *err)
{
    rmq_status status = model_open(self, owner, out_position, err);
    if (status == RMQ_OK && out_position->batch_id > 0)
        out_position->batch_id--;
    return status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->open = open_place;
}

extern const broken_sink broken_wrong_batch;
const broken_sink broken_wrong_batch = {
    .name = "reports-the-wrong-batch",
    .patch = patch,
    .fails = {"reports-last-batch", "takes-empty-batches", "refuses-older-epoch",
              "opens-again-after-commit", "adopts-other-stream", "random-history", "killed-in-open",
              "killed-in-begin", "killed-in-write", "killed-in-prepare", "killed-in-commit",
              "killed-after-commit"},
};
