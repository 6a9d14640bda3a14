/* Datasets as nodes: making, keeping and freeing them.
 *
 * The context owns all nodes in one list. Nodes point to their inputs only, never to what is built
 * on them: a run works that out for itself, so building on a dataset while it runs is no race.
 *
 * A scope (run.h) marks nodes by the thread that makes them and the depth of scopes on it. Nothing
 * is allocated for it, so that opening one can't fail. */
#include "lineage.h"

#include <string.h>

#include "context.h"

/* Its address names the thread. */
static _Thread_local uint32_t scope_depth;

mill_dataset *mill_lineage_new(mill_context *context, mill_op op, mill_dataset *const *inputs,
                               size_t n_inputs, rmq_error *err)
{
    mill_dataset *dataset = NULL;
    if (n_inputs < (SIZE_MAX - sizeof(*dataset)) / sizeof(mill_dataset *))
        dataset = rmq_calloc(1, sizeof(*dataset) + n_inputs * sizeof(mill_dataset *));
    if (dataset == NULL) {
        (void)rmq_error_set(err, RMQ_NOMEM, "no memory for a dataset");
        return NULL;
    }
    dataset->context = context;
    dataset->op = op;
    dataset->inputs = (mill_dataset **)(dataset + 1);
    dataset->n_inputs = n_inputs;
    if (n_inputs != 0) {
        memcpy(dataset->inputs, inputs, n_inputs * sizeof(mill_dataset *));
        dataset->owner = inputs[0]->owner;
    }
    return dataset;
}

mill_dataset *mill_lineage_add(mill_dataset *take_dataset)
{
    mill_context *context = take_dataset->context;
    take_dataset->scope_thread = &scope_depth;
    take_dataset->scope_depth = scope_depth;
    pthread_mutex_lock(&context->lock);
    take_dataset->id = ++context->last_dataset_id;
    take_dataset->next = context->datasets;
    context->datasets = take_dataset;
    pthread_mutex_unlock(&context->lock);
    return take_dataset;
}

static void free_list(mill_dataset *list)
{
    while (list != NULL) {
        mill_dataset *dataset = list;
        list = dataset->next;
        if (dataset->op == MILL_OP_SOURCE && dataset->as.source.vtable.free_self != NULL)
            dataset->as.source.vtable.free_self(dataset->as.source.self);
        rmq_free(dataset);
    }
}

void mill_lineage_free_all(mill_context *context)
{
    free_list(context->datasets);
    context->datasets = NULL;
}

void mill_scope_begin(mill_context *context)
{
    (void)context;
    scope_depth++;
}

void mill_scope_end(mill_context *context)
{
    mill_dataset *ended = NULL;
    pthread_mutex_lock(&context->lock);
    mill_dataset **link = &context->datasets;
    while (*link != NULL) {
        mill_dataset *dataset = *link;
        if (dataset->scope_thread == &scope_depth && dataset->scope_depth >= scope_depth) {
            *link = dataset->next;
            dataset->next = ended;
            ended = dataset;
        } else {
            link = &dataset->next;
        }
    }
    pthread_mutex_unlock(&context->lock);
    scope_depth--;
    free_list(ended);
}

bool mill_dataset_is_leaf(const mill_dataset *dataset)
{
    return dataset->op == MILL_OP_SOURCE || dataset->op == MILL_OP_BOUND ||
           dataset->op == MILL_OP_REDUCE;
}

const char *mill_op_name(mill_op op)
{
    switch (op) {
    case MILL_OP_SOURCE:
    case MILL_OP_BOUND:
        return "source";
    case MILL_OP_MAP:
        return "map";
    case MILL_OP_FILTER:
        return "filter";
    case MILL_OP_FLAT_MAP:
        return "flat_map";
    case MILL_OP_PARTITION:
        return "map_partitions";
    case MILL_OP_KEY_BY:
        return "key_by";
    case MILL_OP_MAP_VALUES:
        return "map_values";
    case MILL_OP_UNION:
        return "union";
    case MILL_OP_FOREACH:
        return "foreach";
    case MILL_OP_FOREACH_PARTITION:
        return "foreach_partition";
    case MILL_OP_REDUCE:
        return "reduce_by_key";
    }
    return "operation";
}

const char *mill_leaf_name(const mill_dataset *leaf)
{
    const char *name = NULL;
    if (leaf->op == MILL_OP_SOURCE)
        name = leaf->as.source.vtable.name;
    else if (leaf->op == MILL_OP_BOUND)
        name = leaf->as.bound.leaf->name;
    return name != NULL ? name : mill_op_name(leaf->op);
}

const mill_type *mill_dataset_type(const mill_dataset *dataset)
{
    return dataset->type;
}

uint32_t mill_dataset_id(const mill_dataset *dataset)
{
    return dataset->id;
}

void *mill_dataset_owner(const mill_dataset *dataset)
{
    return dataset->owner;
}

mill_context *mill_dataset_context(const mill_dataset *dataset)
{
    return dataset->context;
}
