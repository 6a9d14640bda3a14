/* Every write replaces what the one before it has staged. */
#include "model_sink.h"

static rmq_status write_rows(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                             rmq_error *err)
{
    model_sink *sink = self;
    model_rows_clear(&sink->staged);
    return model_write(self, target, partition, rows, err);
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->write = write_rows;
}

extern const broken_sink broken_last_partition;
const broken_sink broken_last_partition = {
    .name = "keeps-the-last-partition",
    .patch = patch,
    .fails = {"keeps-every-partition", "random-history"},
};
