/* The handle around a sink: a copy of its vtable, the pointer that goes with it, and the row types
 * of its targets.
 *
 * A handle has one owner at a time. It begins with whoever made it, who frees it with
 * mill_sink_free; a job takes it with the first mill_write_to and frees it when it ends. A sink may
 * feed from several datasets of one job (all in one transaction), never from two jobs: they would
 * interleave their batches in it.
 *
 * The vtable is copied, so that a caller built against an older header (a smaller struct_size) gets
 * NULL for functions it does not know. */
#include "sink.h"

#include "../core/versioned.h"

static rmq_status copy_vtable(const mill_sink_vtable *vtable, mill_sink_vtable *out_copy,
                              rmq_error *err)
{
    rmq_status status =
        mill_versioned_copy(vtable, "mill_sink_vtable", out_copy, sizeof(*out_copy), err);
    if (status != RMQ_OK)
        return status;
    if (out_copy->n_targets == 0)
        out_copy->n_targets = 1;
    if (out_copy->name == NULL || out_copy->open == NULL || out_copy->begin == NULL ||
        out_copy->write == NULL || out_copy->commit == NULL || out_copy->abort == NULL ||
        out_copy->close == NULL)
        return rmq_error_set(err, RMQ_INVAL,
                             "sink vtable %s: name and all functions but prepare are needed",
                             out_copy->name != NULL ? out_copy->name : "(no name)");
    return RMQ_OK;
}

rmq_status mill_sink_new(const mill_sink_vtable *vtable, void *take_self,
                         const mill_type *const *target_types, mill_sink **out_sink, rmq_error *err)
{
    if (vtable == NULL || target_types == NULL || out_sink == NULL)
        return rmq_error_set(err, RMQ_INVAL, "sink: vtable, types and out_sink are needed");
    mill_sink_vtable copy;
    rmq_status status = copy_vtable(vtable, &copy, err);
    if (status != RMQ_OK)
        return status;
    for (uint32_t i = 0; i < copy.n_targets; i++) {
        if (target_types[i] == NULL)
            return rmq_error_set(err, RMQ_INVAL, "sink %s: target %u has no type", copy.name, i);
    }
    mill_sink *sink = rmq_calloc(1, sizeof(*sink));
    const mill_type **types = rmq_calloc(copy.n_targets, sizeof(const mill_type *));
    if (sink == NULL || types == NULL) {
        rmq_free(sink);
        rmq_free(types);
        return rmq_error_set(err, RMQ_NOMEM, "sink %s: out of memory", copy.name);
    }
    for (uint32_t i = 0; i < copy.n_targets; i++)
        types[i] = target_types[i];
    sink->vtable = copy;
    sink->self = take_self;
    sink->types = types;
    *out_sink = sink;
    return RMQ_OK;
}

rmq_status mill_sink_take(mill_sink *sink, const void *owner, uint32_t target,
                          const mill_type *type, rmq_error *err)
{
    if (sink->owner != NULL && sink->owner != owner)
        return rmq_error_set(err, RMQ_INVAL, "sink %s: another job has taken it",
                             sink->vtable.name);
    if (target >= sink->vtable.n_targets)
        return rmq_error_set(err, RMQ_INVAL, "sink %s: there is no target %u, it has %u",
                             sink->vtable.name, target, sink->vtable.n_targets);
    if (sink->types[target] != type)
        return rmq_error_set(err, RMQ_INVAL, "sink %s: target %u takes rows of type %s, not %s",
                             sink->vtable.name, target, sink->types[target]->name, type->name);
    sink->owner = owner;
    return RMQ_OK;
}

void mill_sink_release(mill_sink *sink)
{
    if (sink == NULL)
        return;
    sink->vtable.close(sink->self);
    rmq_free(sink->types);
    rmq_free(sink);
}

void mill_sink_free(mill_sink *sink)
{
    if (sink != NULL && sink->owner == NULL)
        mill_sink_release(sink);
}

bool mill_sink_is_transactional(const mill_sink *sink)
{
    return (sink->vtable.flags & MILL_SINK_TRANSACTIONAL) != 0;
}

rmq_status mill_sink_prepare(mill_sink *sink, rmq_error *err)
{
    return sink->vtable.prepare != NULL ? sink->vtable.prepare(sink->self, err) : RMQ_OK;
}
