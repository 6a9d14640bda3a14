/* From datasets to tasks.
 *
 * The graph is walked from the outputs up to the leaves. Then, for each leaf, everything that its
 * rows reach is laid out as a list of steps: its operations, the exchanges that it writes to (where
 * the way ends; the reduce itself is a leaf of its own for what hangs on it), and the outputs.
 *
 *     source a -> map b -> reduce c -> map d        outputs: b, d
 *
 *     leaf a: 0 leaf (-> 1)   1 map b (-> 2, 3)   2 output b   3 write to c
 *     leaf c: 0 leaf (-> 1)   1 map d (-> 2)      2 output d
 *
 * A dataset that hangs on the same leaf by several ways (a union of a dataset with itself) is one
 * step that gets each row several times. Nodes are ordered by id, and a node's id is larger than
 * those of its inputs: so the order of ids is an order of the graph, and the walk needs no marks in
 * the nodes, which other runs may be walking, too. */
#include "plan.h"

#include <assert.h>
#include <string.h>

#define NONE UINT32_MAX
#define MOST_PARTITIONS (UINT32_C(1) << 20)
#define MOST_TASKS (UINT32_C(1) << 22)

/* The part of the graph that a run needs. */
typedef struct run_graph {
    mill_dataset **nodes; /* by id */
    uint32_t n_nodes;
    uint32_t max_nodes;
    uint32_t *output_of; /* which output of the plan a node is; NONE */
    bool *reached;       /* by the leaf being laid out */
    uint32_t *step_of;   /* of a node that is reached: its step (not the output step) */
} run_graph;

static uint32_t node_position(const run_graph *graph, const mill_dataset *dataset, bool *out_found)
{
    uint32_t low = 0;
    uint32_t high = graph->n_nodes;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (graph->nodes[middle]->id < dataset->id)
            low = middle + 1;
        else
            high = middle;
    }
    *out_found = low < graph->n_nodes && graph->nodes[low] == dataset;
    return low;
}

static uint32_t node_index(const run_graph *graph, const mill_dataset *dataset)
{
    bool found;
    return node_position(graph, dataset, &found);
}

static rmq_status no_memory(rmq_error *err)
{
    (void)rmq_error_set(err, RMQ_NOMEM, "no memory to plan a run");
    return RMQ_NOMEM;
}

static rmq_status node_add(run_graph *graph, mill_dataset *dataset, rmq_error *err)
{
    bool found;
    uint32_t at = node_position(graph, dataset, &found);
    if (found)
        return RMQ_OK;
    if (graph->n_nodes == graph->max_nodes) {
        uint32_t max_nodes = graph->max_nodes == 0 ? 32 : graph->max_nodes * 2;
        mill_dataset **nodes = rmq_realloc(graph->nodes, max_nodes * sizeof(mill_dataset *));
        if (nodes == NULL)
            return no_memory(err);
        graph->nodes = nodes;
        graph->max_nodes = max_nodes;
    }
    memmove(graph->nodes + at + 1, graph->nodes + at,
            (graph->n_nodes - at) * sizeof(mill_dataset *));
    graph->nodes[at] = dataset;
    graph->n_nodes++;
    return RMQ_OK;
}

static rmq_status graph_collect(run_graph *graph, const mill_run_output *outputs, size_t n_outputs,
                                rmq_error *err)
{
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < n_outputs; i++)
        status = node_add(graph, outputs[i].dataset, err);
    /* From the youngest down: inputs are older than the node, so they land below `at`, and each
     * one added moves the node (and what is left to do) up by one. */
    for (uint32_t at = graph->n_nodes; status == RMQ_OK && at > 0; at--) {
        const mill_dataset *node = graph->nodes[at - 1];
        for (size_t i = 0; status == RMQ_OK && i < node->n_inputs; i++) {
            uint32_t before = graph->n_nodes;
            status = node_add(graph, node->inputs[i], err);
            at += graph->n_nodes - before;
        }
    }
    return status;
}

static rmq_status outputs_find(mill_plan *plan, run_graph *graph, const mill_run_output *outputs,
                               size_t n_outputs, rmq_error *err)
{
    graph->step_of = mill_arena_calloc(&plan->arena, graph->n_nodes, sizeof(uint32_t));
    graph->output_of = mill_arena_calloc(&plan->arena, graph->n_nodes, sizeof(uint32_t));
    graph->reached = mill_arena_calloc(&plan->arena, graph->n_nodes, sizeof(bool));
    plan->outputs = mill_arena_calloc(&plan->arena, n_outputs, sizeof(*plan->outputs));
    if (graph->step_of == NULL || graph->output_of == NULL || graph->reached == NULL ||
        plan->outputs == NULL)
        return no_memory(err);
    for (size_t i = 0; i < n_outputs; i++)
        graph->output_of[node_index(graph, outputs[i].dataset)] = 1;
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        bool is_output = graph->output_of[i] != 0;
        graph->output_of[i] = NONE;
        if (is_output) {
            graph->output_of[i] = plan->n_outputs;
            plan->outputs[plan->n_outputs++].dataset = graph->nodes[i];
        }
    }
    return RMQ_OK;
}

static rmq_status partitions_ask(const mill_dataset *leaf, void *batch, uint32_t *out_count,
                                 rmq_error *err)
{
    const char *name = mill_leaf_name(leaf);
    rmq_status status = RMQ_OK;
    uint32_t count = 0;
    if (leaf->op == MILL_OP_SOURCE) {
        status = leaf->as.source.vtable.partitions(leaf->as.source.self, &count, err);
    } else if (leaf->op == MILL_OP_BOUND) {
        if (batch == NULL)
            return rmq_error_set(err, RMQ_INVAL,
                                 "%s is a stream: its datasets have rows only in a batch; use the "
                                 "operations of <mill/stream.h>",
                                 name);
        status = leaf->as.bound.leaf->partitions(leaf->as.bound.self, batch, &count, err);
    } else {
        count = leaf->n_partitions;
    }
    if (status != RMQ_OK)
        return status;
    if (count > MOST_PARTITIONS)
        return rmq_error_set(err, RMQ_INVAL, "source %s has %u partitions, at most %u are possible",
                             name, count, MOST_PARTITIONS);
    *out_count = count;
    return RMQ_OK;
}

static rmq_status leaves_find(mill_plan *plan, const run_graph *graph, void *batch, rmq_error *err)
{
    uint32_t n_leaves = 0;
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        n_leaves += mill_dataset_is_leaf(graph->nodes[i]);
    plan->leaves = mill_arena_calloc(&plan->arena, n_leaves, sizeof(*plan->leaves));
    plan->exchanges = mill_arena_calloc(&plan->arena, n_leaves, sizeof(*plan->exchanges));
    if (plan->leaves == NULL || plan->exchanges == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        if (!mill_dataset_is_leaf(graph->nodes[i]))
            continue;
        mill_plan_leaf *leaf = &plan->leaves[plan->n_leaves];
        leaf->dataset = graph->nodes[i];
        leaf->exchange = NONE;
        rmq_status status = partitions_ask(leaf->dataset, batch, &leaf->n_partitions, err);
        if (status != RMQ_OK)
            return status;
        if (leaf->dataset->op == MILL_OP_REDUCE) {
            leaf->exchange = plan->n_exchanges;
            plan->exchanges[plan->n_exchanges++] =
                (mill_plan_exchange){.leaf = plan->n_leaves, .n_partitions = leaf->n_partitions};
        }
        if (leaf->n_partitions > MOST_TASKS - plan->n_tasks)
            return rmq_error_set(err, RMQ_INVAL, "a run of more than %u tasks", MOST_TASKS);
        leaf->first_task = plan->n_tasks;
        plan->n_tasks += leaf->n_partitions;
        plan->n_leaves++;
    }
    return RMQ_OK;
}

/* Rows pass through a node unless it is another leaf: there they end, in its exchange. */
static bool passes(const run_graph *graph, uint32_t node, const mill_dataset *leaf)
{
    return graph->reached[node] &&
           (graph->nodes[node] == leaf || !mill_dataset_is_leaf(graph->nodes[node]));
}

static void reach(const run_graph *graph, const mill_dataset *leaf)
{
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const mill_dataset *node = graph->nodes[i];
        graph->reached[i] = node == leaf;
        for (size_t j = 0; node != leaf && j < node->n_inputs; j++)
            if (passes(graph, node_index(graph, node->inputs[j]), leaf))
                graph->reached[i] = true;
    }
}

static uint32_t exchange_of(const mill_plan *plan, const mill_dataset *reduce)
{
    uint32_t i = 0;
    while (plan->leaves[plan->exchanges[i].leaf].dataset != reduce)
        i++;
    return i;
}

static void output_step_add(mill_plan *plan, mill_plan_leaf *leaf, mill_dataset *node,
                            uint32_t output)
{
    leaf->steps[leaf->n_steps++] =
        (mill_plan_step){.kind = MILL_STEP_OUTPUT,
                         .dataset = node,
                         .target = output,
                         .first_writer = plan->outputs[output].n_writers};
    plan->outputs[output].n_writers += leaf->n_partitions;
}

static void node_step_add(mill_plan *plan, mill_plan_leaf *leaf, mill_dataset *node)
{
    mill_plan_step *step = &leaf->steps[leaf->n_steps++];
    step->dataset = node;
    if (node == leaf->dataset) {
        step->kind = MILL_STEP_LEAF;
    } else if (mill_dataset_is_leaf(node)) {
        step->kind = MILL_STEP_WRITE;
        step->target = exchange_of(plan, node);
        step->first_writer = plan->exchanges[step->target].n_writers;
        plan->exchanges[step->target].n_writers += leaf->n_partitions;
    } else {
        step->kind = MILL_STEP_OP;
    }
}

/* Gives a step to every node that the leaf's rows reach, and to every output among them. */
static rmq_status steps_make(mill_plan *plan, const run_graph *graph, mill_plan_leaf *leaf,
                             rmq_error *err)
{
    size_t n_steps = 0;
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        n_steps += graph->reached[i] ? 2 : 0;
    leaf->steps = mill_arena_calloc(&plan->arena, n_steps, sizeof(*leaf->steps));
    if (leaf->steps == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        if (!graph->reached[i])
            continue;
        graph->step_of[i] = leaf->n_steps;
        node_step_add(plan, leaf, graph->nodes[i]);
        if (graph->output_of[i] != NONE && passes(graph, i, leaf->dataset))
            output_step_add(plan, leaf, graph->nodes[i], graph->output_of[i]);
    }
    return RMQ_OK;
}

/* Tells step number `consumer` to the step that makes the rows of `node`, if it is of this leaf.
 * Before consumers are allocated it is only counted. */
static void consumer_tell(const run_graph *graph, mill_plan_leaf *leaf, const mill_dataset *node,
                          uint32_t consumer)
{
    uint32_t i = node_index(graph, node);
    if (!passes(graph, i, leaf->dataset))
        return;
    mill_plan_step *maker = &leaf->steps[graph->step_of[i]];
    if (maker->consumers != NULL)
        maker->consumers[maker->n_consumers] = consumer;
    maker->n_consumers++;
}

static void consumers_tell(const run_graph *graph, mill_plan_leaf *leaf)
{
    for (uint32_t i = 0; i < leaf->n_steps; i++) {
        const mill_plan_step *step = &leaf->steps[i];
        if (step->kind == MILL_STEP_OUTPUT)
            consumer_tell(graph, leaf, step->dataset, i);
        else if (step->kind != MILL_STEP_LEAF)
            for (size_t j = 0; j < step->dataset->n_inputs; j++)
                consumer_tell(graph, leaf, step->dataset->inputs[j], i);
    }
}

static rmq_status leaf_lay_out(mill_plan *plan, const run_graph *graph, mill_plan_leaf *leaf,
                               rmq_error *err)
{
    assert(graph->nodes != NULL);
    reach(graph, leaf->dataset);
    rmq_status status = steps_make(plan, graph, leaf, err);
    if (status != RMQ_OK)
        return status;
    consumers_tell(graph, leaf);
    for (uint32_t i = 0; i < leaf->n_steps; i++) {
        mill_plan_step *step = &leaf->steps[i];
        step->consumers = mill_arena_calloc(&plan->arena, step->n_consumers, sizeof(uint32_t));
        if (step->consumers == NULL)
            return no_memory(err);
        step->n_consumers = 0;
    }
    consumers_tell(graph, leaf);
    return RMQ_OK;
}

rmq_status mill_plan_init(mill_plan *plan, const mill_run_output *outputs, size_t n_outputs,
                          void *batch, rmq_error *err)
{
    *plan = (mill_plan){0};
    run_graph graph = {0};
    rmq_status status = graph_collect(&graph, outputs, n_outputs, err);
    if (status == RMQ_OK)
        status = outputs_find(plan, &graph, outputs, n_outputs, err);
    if (status == RMQ_OK)
        status = leaves_find(plan, &graph, batch, err);
    for (uint32_t i = 0; status == RMQ_OK && i < plan->n_leaves; i++)
        status = leaf_lay_out(plan, &graph, &plan->leaves[i], err);
    rmq_free(graph.nodes);
    return status;
}

void mill_plan_deinit(mill_plan *plan)
{
    mill_arena_deinit(&plan->arena);
}

uint32_t mill_plan_output_of(const mill_plan *plan, const mill_dataset *dataset)
{
    uint32_t i = 0;
    while (plan->outputs[i].dataset != dataset)
        i++;
    return i;
}
