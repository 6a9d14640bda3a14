/* Takes a text for a string. */
#include "model_sink.h"

#include <string.h>

static rmq_status write_rows(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                             rmq_error *err)
{
    model_sink *sink = self;
    size_t before = sink->staged.count;
    rmq_status status = model_write(self, target, partition, rows, err);
    for (size_t i = before; i < sink->staged.count; i++)
        sink->staged.items[i].len = strnlen(sink->staged.items[i].key, sink->staged.items[i].len);
    return status;
}

static void patch(mill_sink_vtable *vtable, model_place *place)
{
    (void)place;
    vtable->write = write_rows;
}

extern const broken_sink broken_cuts_text;
const broken_sink broken_cuts_text = {
    .name = "cuts-text-at-a-zero-byte",
    .patch = patch,
    .fails = {"keeps-values"},
};
