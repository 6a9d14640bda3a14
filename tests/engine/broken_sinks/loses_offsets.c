/* Takes queues of the same topic and number for one, whichever broker they are on. */
#include "model_sink.h"

#include <string.h>

static rmq_status commit(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err)
{
    mill_offset kept[MODEL_MAX_OFFSETS];
    size_t n_kept = 0;
    for (size_t i = 0; i < n_offsets; i++) {
        bool known = false;
        for (size_t j = 0; j < n_kept && !known; j++)
            known = strcmp(kept[j].topic, offsets[i].topic) == 0 &&
                    kept[j].queue_id == offsets[i].queue_id;
        if (!known && n_kept < MODEL_MAX_OFFSETS)
            kept[n_kept++] = offsets[i];
    }
    return model_commit(self, kept, n_kept, err);
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->commit = commit;
}

extern const broken_sink broken_loses_offsets;
const broken_sink broken_loses_offsets = {
    .name = "loses-offsets",
    .patch = patch,
    .fails = {"reports-offsets", "random-history", "killed-in-commit", "killed-after-commit"},
};
