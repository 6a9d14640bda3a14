/* The inside of a dataset: a node of the lineage graph. A node never changes once it is made, so
 * that several runs may walk the graph at the same time. */
#ifndef MILL_LINEAGE_H
#define MILL_LINEAGE_H

#include <mill/dataset.h>

#include "run.h"

typedef enum mill_op {
    MILL_OP_SOURCE, /* leaves */
    MILL_OP_BOUND,
    MILL_OP_MAP, /* narrow */
    MILL_OP_FILTER,
    MILL_OP_FLAT_MAP,
    MILL_OP_PARTITION,
    MILL_OP_KEY_BY,
    MILL_OP_MAP_VALUES,
    MILL_OP_UNION,
    MILL_OP_FOREACH, /* narrow, and no rows come out: inside of actions */
    MILL_OP_FOREACH_PARTITION,
    MILL_OP_REDUCE /* a leaf for what is downstream, written to by what is upstream */
} mill_op;

typedef struct mill_source_node {
    mill_source_vtable vtable;
    void *self;
} mill_source_node;

typedef struct mill_bound_node {
    const mill_bound_leaf *leaf;
    void *self;
} mill_bound_node;

struct mill_dataset {
    uint32_t id; /* inputs have smaller ones than what is built upon them */
    mill_op op;
    mill_context *context;
    void *owner;
    const mill_type *type;
    mill_dataset **inputs;
    size_t n_inputs;
    union {
        mill_map_fn map; /* also key_by and map_values */
        mill_filter_fn filter;
        mill_flat_map_fn flat_map;
        mill_foreach_fn each;
        mill_reduce_fn reduce;
        mill_partition_fns partition;
        mill_source_node source;
        mill_bound_node bound;
    } as;
    void *ctx;             /* of the functions */
    uint32_t n_partitions; /* of a reduce */
    mill_dataset *next;    /* the context's list, newest first */
    const void *scope_thread;
    uint32_t scope_depth;
};

/* A node with its inputs (which may be none) copied; type, functions and ctx are the caller's to
 * fill, before it calls mill_lineage_add. NULL and `err` on NOMEM. */
mill_dataset *mill_lineage_new(mill_context *context, mill_op op, mill_dataset *const *inputs,
                               size_t n_inputs, rmq_error *err);
/* Gives the node to its context (and the scope of this thread). Thread: any. */
mill_dataset *mill_lineage_add(mill_dataset *take_dataset);
void mill_lineage_free_all(mill_context *context);

/* Nodes behind the actions; no rows come out. The caller has checked the functions. */
mill_dataset *mill_lineage_foreach(mill_dataset *input, mill_foreach_fn fn, void *ctx,
                                   rmq_error *err);
mill_dataset *mill_lineage_foreach_partition(mill_dataset *input, const mill_partition_fns *fns,
                                             void *ctx, rmq_error *err);

bool mill_dataset_is_leaf(const mill_dataset *dataset);
/* "map": for errors. */
const char *mill_op_name(mill_op op);
/* What a leaf's author calls it, "rows" for rows in memory. */
const char *mill_leaf_name(const mill_dataset *leaf);

#endif
