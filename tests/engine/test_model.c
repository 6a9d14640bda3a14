#include "dataset_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/run.h"

/* Random trees of operations against lists in memory.
 *
 * Rows are pairs of int64 all along, so that any operation can follow any other. Each tree is built
 * twice: as datasets and as sorted lists, with the same random choices; tasks fail at random, the
 * memory cap is sometimes tiny. All datasets of a tree are outputs of one run, and each must have
 * the rows of its list. The seed is printed; MILLRACE_TEST_SEED sets it. The last test prints how
 * often each operation and each special case occurred, and fails if one of them never did. */

#define MOST_NODES 12
#define MOST_ROWS 20000 /* of a node: a tree that grows beyond is cut */

enum { MAP, FILTER, FLAT_MAP, PARTITIONS, KEY_BY, MAP_VALUES, UNION, REDUCE, ROWS, N_OPS };
static const char *const op_names[N_OPS] = {"map",    "filter",     "flat_map", "map_partitions",
                                            "key_by", "map_values", "union",    "reduce_by_key",
                                            "rows"};

static struct {
    int ops[N_OPS];
    int empty[N_OPS];  /* the operation had no input rows */
    int single[N_OPS]; /* it had one */
    int duplicates;    /* nodes with equal rows */
    int shared;        /* nodes that several others use */
    int tiny_memory, failed_tries;
    int64_t rows;
} seen;

static uint64_t seed;

static uint64_t next_random(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 33;
}

static int64_t below(int64_t limit)
{
    return (int64_t)(next_random() % (uint64_t)limit);
}

/* What a node's function does: the model and the engine both call it. */
typedef struct parameters {
    int64_t a, b;
    uint32_t fail_partition; /* the first try of this partition fails; UINT32_MAX: none */
} parameters;

static number_pair pair_map(number_pair row, const parameters *p)
{
    return (number_pair){.key = (row.key + p->a) % 1000, .value = row.value * 3 + p->b};
}

static bool pair_keep(number_pair row, const parameters *p)
{
    return (row.key + row.value + p->a) % (p->b + 1) == 0;
}

static int64_t pair_times(number_pair row, const parameters *p)
{
    return ((row.value + p->a) % 3 + 3) % 3;
}

static int64_t pair_key(number_pair row, const parameters *p)
{
    return ((row.value + p->b) % (p->a + 1) + p->a + 1) % (p->a + 1);
}

static rmq_status maybe_fail(const parameters *p, mill_task *task)
{
    if (mill_task_attempt(task) == 1 && mill_task_partition(task) == p->fail_partition)
        return mill_task_fail(task, "planned");
    return RMQ_OK;
}

static rmq_status fn_map(const void *row, void *out_row, mill_task *task, void *ctx)
{
    *(number_pair *)out_row = pair_map(*(const number_pair *)row, ctx);
    return maybe_fail(ctx, task);
}

static rmq_status fn_filter(const void *row, bool *out_keep, mill_task *task, void *ctx)
{
    *out_keep = pair_keep(*(const number_pair *)row, ctx);
    return maybe_fail(ctx, task);
}

static rmq_status fn_flat_map(const void *row, mill_emitter *out, mill_task *task, void *ctx)
{
    number_pair pair = *(const number_pair *)row;
    int64_t times = pair_times(pair, ctx);
    for (int64_t i = 0; i < times; i++) {
        number_pair copy = {.key = pair.key + i, .value = pair.value};
        rmq_status status = mill_emit(out, &copy);
        if (status != RMQ_OK)
            return status;
    }
    return maybe_fail(ctx, task);
}

/* Passes all rows on at the end, from a list of its own. */
typedef struct held {
    number_pair *pairs;
    size_t count, capacity;
} held;

static rmq_status hold_begin(void **state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)out;
    (void)task;
    (void)ctx;
    *state = calloc(1, sizeof(held));
    return *state != NULL ? RMQ_OK : RMQ_NOMEM;
}

static rmq_status hold_row(void *state, const void *row, mill_emitter *out, mill_task *task,
                           void *ctx)
{
    (void)out;
    held *list = state;
    if (list->count == list->capacity) {
        list->capacity = list->capacity * 2 + 16;
        list->pairs = realloc(list->pairs, list->capacity * sizeof(number_pair));
    }
    list->pairs[list->count++] = *(const number_pair *)row;
    return list->count == 3 ? maybe_fail(ctx, task) : RMQ_OK;
}

static rmq_status hold_end(void *state, mill_emitter *out, mill_task *task, void *ctx)
{
    held *list = state;
    for (size_t i = 0; i < list->count; i++) {
        rmq_status status = mill_emit(out, &list->pairs[i]);
        if (status != RMQ_OK)
            return status;
    }
    return maybe_fail(ctx, task);
}

static void hold_cleanup(void *state, void *ctx)
{
    (void)ctx;
    free(((held *)state)->pairs);
    free(state);
}

/* key_by makes (key, (key, value)); its partner takes the inner key's parity into the value. */
static rmq_status fn_key(const void *row, void *out_key, mill_task *task, void *ctx)
{
    *(int64_t *)out_key = pair_key(*(const number_pair *)row, ctx);
    return maybe_fail(ctx, task);
}

static rmq_status fn_unnest(const void *value, void *out_value, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    const number_pair *inner = value;
    *(int64_t *)out_value = inner->value + inner->key;
    return RMQ_OK;
}

static rmq_status fn_value(const void *value, void *out_value, mill_task *task, void *ctx)
{
    *(int64_t *)out_value = *(const int64_t *)value + ((const parameters *)ctx)->b;
    return maybe_fail(ctx, task);
}

static rmq_status fn_reduce(void *accumulator, const void *value, mill_task *task, void *ctx)
{
    *(int64_t *)accumulator += *(const int64_t *)value;
    return maybe_fail(ctx, task);
}

/* ---- the model ---- */

typedef struct model_node {
    mill_dataset *dataset;
    pair_list list;
    int users;
    parameters parameters;
} model_node;

static void list_add(pair_list *list, number_pair pair)
{
    if ((list->count & (list->count - 1)) == 0)
        list->pairs = realloc(list->pairs, (list->count * 2 + 1) * sizeof(number_pair));
    list->pairs[list->count++] = pair;
}

static pair_list model_of(int op, const pair_list *in, const parameters *p)
{
    pair_list out = {0};
    for (size_t i = 0; i < in->count; i++) {
        number_pair row = in->pairs[i];
        if (op == MAP)
            list_add(&out, pair_map(row, p));
        else if (op == PARTITIONS || (op == FILTER && pair_keep(row, p)))
            list_add(&out, row);
        else if (op == MAP_VALUES)
            list_add(&out, (number_pair){.key = row.key, .value = row.value + p->b});
        else if (op == KEY_BY)
            list_add(&out, (number_pair){.key = pair_key(row, p), .value = row.value + row.key});
        for (int64_t j = 0; op == FLAT_MAP && j < pair_times(row, p); j++)
            list_add(&out, (number_pair){.key = row.key + j, .value = row.value});
        /* `in` is sorted: equal keys stand together */
        if (op == REDUCE && out.count > 0 && out.pairs[out.count - 1].key == row.key)
            out.pairs[out.count - 1].value += row.value;
        else if (op == REDUCE)
            list_add(&out, row);
    }
    return out;
}

static mill_dataset *dataset_of(mill_context *context, int op, model_node *input, parameters *p)
{
    static const mill_partition_fns hold = {hold_begin, hold_row, hold_end, hold_cleanup};
    rmq_error err;
    const mill_type *int64 = mill_type_int64();
    mill_dataset *in = input->dataset;
    switch (op) {
    case MAP:
        return mill_map(in, mill_type_pair(context, int64, int64, &err), fn_map, p, &err);
    case FILTER:
        return mill_filter(in, fn_filter, p, &err);
    case FLAT_MAP:
        return mill_flat_map(in, mill_type_pair(context, int64, int64, &err), fn_flat_map, p, &err);
    case PARTITIONS:
        return mill_map_partitions(in, mill_type_pair(context, int64, int64, &err), &hold, p, &err);
    case KEY_BY:
        return mill_map_values(mill_key_by(in, int64, fn_key, p, &err), int64, fn_unnest, p, &err);
    case MAP_VALUES:
        return mill_map_values(in, int64, fn_value, p, &err);
    default:
        return mill_reduce_by_key(in, fn_reduce, (uint32_t)below(5), p, &err);
    }
}

static void note_sizes(int op, size_t count)
{
    seen.ops[op]++;
    seen.empty[op] += count == 0;
    seen.single[op] += count == 1;
}

static void rows_make(mill_context *context, model_node *out)
{
    static const int64_t counts[] = {0, 1, 2, 10, 500, 3000};
    rmq_error err;
    int64_t count = counts[below(6)];
    int64_t n_keys = 1 + below(500);
    for (int64_t i = 0; i < count; i++)
        list_add(&out->list, (number_pair){.key = below(n_keys), .value = below(50)});
    const mill_type *pair = mill_type_pair(context, mill_type_int64(), mill_type_int64(), &err);
    out->dataset = mill_dataset_from_rows(context, pair, out->list.pairs, (size_t)count,
                                          (uint32_t)below(6), &err);
    note_sizes(ROWS, (size_t)count);
}

static void union_make(model_node *nodes, int n_nodes, model_node *out)
{
    rmq_error err;
    mill_dataset *inputs[4];
    int64_t n_inputs = 1 + below(4);
    for (int64_t i = 0; i < n_inputs; i++) {
        model_node *input = &nodes[below(n_nodes)];
        inputs[i] = input->dataset;
        input->users++;
        for (size_t j = 0; j < input->list.count; j++)
            list_add(&out->list, input->list.pairs[j]);
    }
    out->dataset = mill_union(inputs, (size_t)n_inputs, &err);
    note_sizes(UNION, out->list.count);
}

static void node_make(mill_context *context, model_node *nodes, int n_nodes, model_node *out)
{
    int op = n_nodes == 0 ? ROWS : (int)below(N_OPS);
    bool fails = below(4) == 0;
    out->parameters = (parameters){
        .a = below(20), .b = below(7), .fail_partition = fails ? (uint32_t)below(3) : UINT32_MAX};
    if (op == ROWS) {
        rows_make(context, out);
    } else if (op == UNION) {
        union_make(nodes, n_nodes, out);
    } else {
        model_node *input = &nodes[below(n_nodes)];
        input->users++;
        note_sizes(op, input->list.count);
        out->dataset = dataset_of(context, op, input, &out->parameters);
        out->list = model_of(op, &input->list, &out->parameters);
    }
    if (out->dataset == NULL)
        ck_abort_msg("no dataset for %s", op_names[op]);
    sort_pairs(out->list);
    for (size_t i = 1; i < out->list.count; i++)
        if (memcmp(&out->list.pairs[i].key, &out->list.pairs[i - 1].key, 8) == 0 &&
            out->list.pairs[i].value == out->list.pairs[i - 1].value) {
            seen.duplicates++;
            break;
        }
}

static void node_check(const model_node *node, const mill_run_output *output, uint64_t tree)
{
    rmq_error err;
    mill_rows *rows = NULL;
    must(mill_rows_of_blocks(output->blocks, output->n_blocks, mill_dataset_type(node->dataset),
                             &rows, &err),
         &err);
    pair_list got = {0};
    const void *row = NULL;
    rmq_status status;
    while ((status = mill_rows_next(rows, &row, &err)) == RMQ_OK)
        list_add(&got, *(const number_pair *)row);
    if (status != RMQ_NOT_FOUND)
        ck_abort_msg("tree %llu: %s", (unsigned long long)tree, err.text);
    mill_rows_free(rows);
    sort_pairs(got);
    if (got.count != node->list.count)
        ck_abort_msg("tree %llu, dataset %u: %zu rows, expected %zu", (unsigned long long)tree,
                     mill_dataset_id(node->dataset), got.count, node->list.count);
    for (size_t i = 0; i < got.count; i++)
        if (got.pairs[i].key != node->list.pairs[i].key ||
            got.pairs[i].value != node->list.pairs[i].value)
            ck_abort_msg("tree %llu, dataset %u: row %zu is another", (unsigned long long)tree,
                         mill_dataset_id(node->dataset), i);
    seen.rows += (int64_t)got.count;
    free(got.pairs);
}

static void tree_check(mill_context *context)
{
    uint64_t tree = seed;
    rmq_error err;
    model_node nodes[MOST_NODES] = {0};
    mill_run_output outputs[MOST_NODES] = {0};
    int n_nodes = 0;
    int64_t wanted = 1 + below(MOST_NODES);
    while (n_nodes < wanted) {
        node_make(context, nodes, n_nodes, &nodes[n_nodes]);
        n_nodes++;
        if (nodes[n_nodes - 1].list.count > MOST_ROWS)
            break;
    }
    for (int i = 0; i < n_nodes; i++) {
        outputs[i].dataset = nodes[i].dataset;
        seen.shared += nodes[i].users > 1;
    }
    mill_run_metrics metrics;
    rmq_status status = mill_run(context, outputs, (size_t)n_nodes, NULL, &metrics, &err);
    if (status != RMQ_OK)
        ck_abort_msg("tree %llu: %s", (unsigned long long)tree, err.text);
    seen.failed_tries += (int)metrics.failed_tries;
    for (int i = 0; i < n_nodes; i++)
        node_check(&nodes[i], &outputs[i], tree);
    mill_run_outputs_clear(outputs, (size_t)n_nodes);
    for (int i = 0; i < n_nodes; i++)
        free(nodes[i].list.pairs);
}

START_TEST(random_trees_have_the_rows_of_their_lists)
{
    const char *given = getenv("MILLRACE_TEST_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("# seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (int i = 0; i < 400; i++) {
        bool tiny = i % 2 == 1;
        seen.tiny_memory += tiny;
        mill_context *context = context_make(1 + (uint32_t)below(4), tiny ? 1 : 0);
        tree_check(context);
        mill_context_free(context);
    }
    for (int op = 0; op < N_OPS; op++) {
        printf("# %-14s %5d, without rows %d, with one row %d\n", op_names[op], seen.ops[op],
               seen.empty[op], seen.single[op]);
        ck_assert_msg(seen.ops[op] >= 20 && seen.empty[op] > 0, "%s was hardly tested",
                      op_names[op]);
    }
    printf("# duplicates %d, shared datasets %d, tiny memory %d, failed tries %d, rows %lld\n",
           seen.duplicates, seen.shared, seen.tiny_memory, seen.failed_tries, (long long)seen.rows);
    fflush(stdout);
    ck_assert(seen.duplicates > 0 && seen.shared > 0 && seen.failed_tries > 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("model");
    TCase *tc = tcase_create("model");
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, random_trees_have_the_rows_of_their_lists);
    suite_add_tcase(suite, tc);
    return suite;
}
