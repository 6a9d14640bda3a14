/* Writes the rows first and the position afterwards: what a process that dies in between leaves is
 * done twice. */
#include "model_sink.h"

static rmq_status commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err)
{
    model_sink *sink = self;
    model_state state;
    rmq_status status = sink->place->load(sink->place, &state, err);
    if (status != RMQ_OK)
        return status;
    status = model_check_epoch(sink, &state, err);
    if (status == RMQ_OK)
        status = model_check_batch(sink, &state, err);
    if (status == RMQ_OK) {
        model_rows_move(&state.rows, &sink->staged);
        status = sink->place->store(sink->place, &state, err);
    }
    model_state_clear(&state);
    return status == RMQ_OK ? model_apply(sink, offsets, n_offsets, err) : status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->commit = commit;
}

extern const broken_sink broken_commits_outside;
const broken_sink broken_commits_outside = {
    .name = "commits-outside-the-transaction",
    .patch = patch,
    .fails = {"killed-in-commit"},
};
