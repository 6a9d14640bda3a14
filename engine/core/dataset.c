/* Building datasets: each function checks its arguments and makes one node.
 *
 * A NULL input means that an earlier call failed and has filled `err`: it is passed on untouched,
 * so that a program may nest calls and look once. */
#include <mill/dataset.h>

#include "context.h"
#include "lineage.h"
#include "type.h"
#include "versioned.h"

static mill_dataset *refused(rmq_error *err, mill_op op, const char *why)
{
    (void)rmq_error_set(err, RMQ_INVAL, "%s: %s", mill_op_name(op), why);
    return NULL;
}

/* A node on one input, or NULL. `fn_given` tells whether the caller gave its function. */
static mill_dataset *narrow_new(mill_dataset *input, mill_op op, const mill_type *type,
                                bool fn_given, rmq_error *err)
{
    if (mill_type_check(type, err) != RMQ_OK) {
        rmq_error_wrap(err, "%s", mill_op_name(op));
        return NULL;
    }
    if (!fn_given)
        return refused(err, op, "no function given");
    mill_dataset *dataset = mill_lineage_new(input->context, op, &input, 1, err);
    if (dataset != NULL)
        dataset->type = type;
    return dataset;
}

static mill_dataset *added(mill_dataset *dataset, void *ctx)
{
    dataset->ctx = ctx;
    return mill_lineage_add(dataset);
}

mill_dataset *mill_map(mill_dataset *input, const mill_type *out_type, mill_map_fn fn, void *ctx,
                       rmq_error *err)
{
    if (input == NULL)
        return NULL;
    mill_dataset *dataset = narrow_new(input, MILL_OP_MAP, out_type, fn != NULL, err);
    if (dataset == NULL)
        return NULL;
    dataset->as.map = fn;
    return added(dataset, ctx);
}

mill_dataset *mill_filter(mill_dataset *input, mill_filter_fn fn, void *ctx, rmq_error *err)
{
    if (input == NULL)
        return NULL;
    mill_dataset *dataset = narrow_new(input, MILL_OP_FILTER, input->type, fn != NULL, err);
    if (dataset == NULL)
        return NULL;
    dataset->as.filter = fn;
    return added(dataset, ctx);
}

mill_dataset *mill_flat_map(mill_dataset *input, const mill_type *out_type, mill_flat_map_fn fn,
                            void *ctx, rmq_error *err)
{
    if (input == NULL)
        return NULL;
    mill_dataset *dataset = narrow_new(input, MILL_OP_FLAT_MAP, out_type, fn != NULL, err);
    if (dataset == NULL)
        return NULL;
    dataset->as.flat_map = fn;
    return added(dataset, ctx);
}

static mill_dataset *partition_new(mill_dataset *input, mill_op op, const mill_type *out_type,
                                   const mill_partition_fns *fns, void *ctx, rmq_error *err)
{
    bool row_given = fns != NULL && fns->row != NULL;
    mill_dataset *dataset = narrow_new(input, op, out_type, row_given, err);
    if (dataset == NULL)
        return NULL;
    dataset->as.partition = *fns;
    return added(dataset, ctx);
}

mill_dataset *mill_map_partitions(mill_dataset *input, const mill_type *out_type,
                                  const mill_partition_fns *fns, void *ctx, rmq_error *err)
{
    if (input == NULL)
        return NULL;
    return partition_new(input, MILL_OP_PARTITION, out_type, fns, ctx, err);
}

mill_dataset *mill_lineage_foreach_partition(mill_dataset *input, const mill_partition_fns *fns,
                                             void *ctx, rmq_error *err)
{
    return partition_new(input, MILL_OP_FOREACH_PARTITION, mill_type_int64(), fns, ctx, err);
}

mill_dataset *mill_lineage_foreach(mill_dataset *input, mill_foreach_fn fn, void *ctx,
                                   rmq_error *err)
{
    mill_dataset *dataset = narrow_new(input, MILL_OP_FOREACH, mill_type_int64(), fn != NULL, err);
    if (dataset == NULL)
        return NULL;
    dataset->as.each = fn;
    return added(dataset, ctx);
}

mill_dataset *mill_key_by(mill_dataset *input, const mill_type *key_type, mill_map_fn fn, void *ctx,
                          rmq_error *err)
{
    if (input == NULL)
        return NULL;
    const mill_type *pair = mill_type_pair(input->context, key_type, input->type, err);
    if (pair == NULL)
        return NULL;
    mill_dataset *dataset = narrow_new(input, MILL_OP_KEY_BY, pair, fn != NULL, err);
    if (dataset == NULL)
        return NULL;
    dataset->as.map = fn;
    return added(dataset, ctx);
}

mill_dataset *mill_map_values(mill_dataset *input, const mill_type *value_type, mill_map_fn fn,
                              void *ctx, rmq_error *err)
{
    if (input == NULL)
        return NULL;
    if (!mill_type_is_pair(input->type))
        return refused(err, MILL_OP_MAP_VALUES, "the rows are not pairs; use key_by before");
    const mill_type *pair = mill_type_pair(input->context, input->type->key_type, value_type, err);
    if (pair == NULL)
        return NULL;
    mill_dataset *dataset = narrow_new(input, MILL_OP_MAP_VALUES, pair, fn != NULL, err);
    if (dataset == NULL)
        return NULL;
    dataset->as.map = fn;
    return added(dataset, ctx);
}

mill_dataset *mill_reduce_by_key(mill_dataset *input, mill_reduce_fn fn, uint32_t n_partitions,
                                 void *ctx, rmq_error *err)
{
    if (input == NULL)
        return NULL;
    if (!mill_type_is_pair(input->type))
        return refused(err, MILL_OP_REDUCE, "the rows are not pairs; use key_by before");
    if (!mill_type_can_be_key(input->type->key_type))
        return refused(err, MILL_OP_REDUCE, "the key's type has no hash and equal");
    mill_dataset *dataset = narrow_new(input, MILL_OP_REDUCE, input->type, fn != NULL, err);
    if (dataset == NULL)
        return NULL;
    dataset->as.reduce = fn;
    dataset->n_partitions = n_partitions != 0 ? n_partitions : mill_context_workers(input->context);
    return added(dataset, ctx);
}

static mill_dataset *union_check(mill_dataset *const *inputs, size_t count, rmq_error *err)
{
    for (size_t i = 1; i < count; i++) {
        if (inputs[i]->context != inputs[0]->context || inputs[i]->owner != inputs[0]->owner)
            return refused(err, MILL_OP_UNION,
                           "the datasets belong to different contexts or streams");
        if (inputs[i]->type != inputs[0]->type)
            return refused(err, MILL_OP_UNION, "the datasets have different row types");
    }
    return inputs[0];
}

mill_dataset *mill_union(mill_dataset *const *inputs, size_t count, rmq_error *err)
{
    if (inputs == NULL || count == 0)
        return refused(err, MILL_OP_UNION, "no datasets given");
    for (size_t i = 0; i < count; i++)
        if (inputs[i] == NULL)
            return NULL;
    if (union_check(inputs, count, err) == NULL)
        return NULL;
    mill_dataset *dataset = mill_lineage_new(inputs[0]->context, MILL_OP_UNION, inputs, count, err);
    if (dataset == NULL)
        return NULL;
    dataset->type = inputs[0]->type;
    return added(dataset, NULL);
}

mill_dataset *mill_dataset_from_source(mill_context *context, const mill_source_vtable *vtable,
                                       void *take_self, const mill_type *type, rmq_error *err)
{
    mill_source_vtable known;
    if (vtable == NULL)
        return refused(err, MILL_OP_SOURCE, "no vtable given");
    if (mill_versioned_copy(vtable, "mill_source_vtable", &known, sizeof(known), err) != RMQ_OK ||
        mill_type_check(type, err) != RMQ_OK)
        return NULL;
    if (known.partitions == NULL || known.read == NULL)
        return refused(err, MILL_OP_SOURCE, "partitions and read must be given");
    mill_dataset *dataset = mill_lineage_new(context, MILL_OP_SOURCE, NULL, 0, err);
    if (dataset == NULL)
        return NULL;
    dataset->type = type;
    dataset->as.source = (mill_source_node){.vtable = known, .self = take_self};
    return added(dataset, NULL);
}

mill_dataset *mill_dataset_bound(mill_context *context, void *owner, const mill_bound_leaf *leaf,
                                 void *self, const mill_type *type, rmq_error *err)
{
    if (mill_type_check(type, err) != RMQ_OK)
        return NULL;
    mill_dataset *dataset = mill_lineage_new(context, MILL_OP_BOUND, NULL, 0, err);
    if (dataset == NULL)
        return NULL;
    dataset->type = type;
    dataset->owner = owner;
    dataset->as.bound = (mill_bound_node){.leaf = leaf, .self = self};
    return added(dataset, NULL);
}
