/* Sources of a stream as leaves of its datasets.
 *
 * A source's dataset has other partitions in each batch: one for each range of the plan that is not
 * empty. The engine asks the leaf for the partitions of the batch that it was given, and has each
 * read by a task, again if the task fails. What a try learned (rows, the last record's fingerprint)
 * is kept in the batch's note of that range; a later try overwrites it, and only what a successful
 * one left is used. */
#include "source.h"

#include <string.h>

#include "batch.h"

/* Which range the `partition`th one that is not empty is. */
static size_t range_of(const mill_ranges *ranges, uint32_t partition)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        const mill_range *range = &ranges->items[i];
        if (range->end_offset > range->from.next_offset && seen++ == partition)
            return i;
    }
    return SIZE_MAX;
}

static rmq_status leaf_partitions(void *self, void *batch_ptr, uint32_t *out_count, rmq_error *err)
{
    const mill_stream_source *source = self;
    const mill_batch *batch = batch_ptr;
    const mill_ranges *ranges = &batch->plan->sources[source->index].ranges;
    if (ranges->count > UINT32_MAX)
        return rmq_error_set(err, RMQ_FULL, "source %s has too many queues", source->name);
    uint32_t count = 0;
    for (size_t i = 0; i < ranges->count; i++)
        count += ranges->items[i].end_offset > ranges->items[i].from.next_offset;
    *out_count = count;
    return RMQ_OK;
}

static rmq_status leaf_read(void *self, void *batch_ptr, uint32_t partition, mill_emitter *out,
                            mill_task *task, rmq_error *err)
{
    const mill_stream_source *source = self;
    mill_batch *batch = batch_ptr;
    const mill_ranges *ranges = &batch->plan->sources[source->index].ranges;
    size_t at = range_of(ranges, partition);
    if (at == SIZE_MAX)
        return rmq_error_set(err, RMQ_INVAL, "source %s has no partition %u in batch %lld",
                             source->name, partition, (long long)batch->id);
    mill_source_read read = {.range = &ranges->items[at],
                             .note = &batch->notes[source->index][at],
                             .stream = batch->stream};
    if (mill_batch_range_lost(batch, source->index, read.range))
        return rmq_error_set(err, RMQ_DATA_LOSS, "source %s lost part of batch %lld", source->name,
                             (long long)batch->id);
    memset(read.note, 0, sizeof(*read.note));
    rmq_status status = source->vtable->read(source->self, &read, out, task, err);
    if (status == RMQ_DATA_LOSS && read.lost) {
        rmq_status noted = mill_batch_note_loss(batch, source->index, &read, err);
        return noted == RMQ_OK ? RMQ_DATA_LOSS : noted;
    }
    read.note->read = status == RMQ_OK;
    return status;
}

static const mill_bound_leaf leaf = {
    .name = "stream",
    .partitions = leaf_partitions,
    .read = leaf_read,
};

static rmq_status append_source(mill_streaming_context *stream, mill_stream_source *source,
                                rmq_error *err)
{
    mill_stream_source **sources =
        rmq_realloc(stream->sources, (stream->n_sources + 1) * sizeof(mill_stream_source *));
    if (sources == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for source %s", source->name);
    stream->sources = sources;
    source->index = stream->n_sources;
    sources[stream->n_sources++] = source;
    return RMQ_OK;
}

static void source_free(mill_stream_source *source)
{
    if (source == NULL)
        return;
    rmq_free(source->name);
    rmq_free(source);
}

mill_dataset *mill_stream_add_source(mill_streaming_context *stream,
                                     const mill_stream_source_vtable *vtable, void *take_self,
                                     const char *name, const mill_type *type, rmq_error *err)
{
    if (mill_stream_check_new(stream, err) != RMQ_OK)
        return NULL;
    for (size_t i = 0; i < stream->n_sources; i++) {
        if (strcmp(stream->sources[i]->name, name) == 0) {
            rmq_error_set(err, RMQ_INVAL, "stream %s has a source %s already: give one a name",
                          stream->config.name, name);
            return NULL;
        }
    }
    mill_stream_source *source = rmq_calloc(1, sizeof(*source));
    if (source != NULL)
        source->name = rmq_strdup(name);
    if (source == NULL || source->name == NULL) {
        source_free(source);
        rmq_error_set(err, RMQ_NOMEM, "out of memory for source %s", name);
        return NULL;
    }
    source->vtable = vtable;
    source->self = take_self;
    source->stream = stream;
    mill_dataset *dataset = mill_dataset_bound(stream->context, stream, &leaf, source, type, err);
    if (dataset == NULL || append_source(stream, source, err) != RMQ_OK) {
        /* A dataset that was made stays in the context, and can't be reached by anyone. */
        source_free(source);
        return NULL;
    }
    return dataset;
}
