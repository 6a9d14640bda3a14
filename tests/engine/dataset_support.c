/* Small datasets for tests. */
#include "dataset_support.h"

#include <stdlib.h>

mill_context *context_make(uint32_t workers, size_t max_memory_bytes)
{
    rmq_error err;
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = workers;
    config.max_memory_bytes = max_memory_bytes;
    mill_context *context = NULL;
    must(mill_context_new(&config, &context, &err), &err);
    return context;
}

mill_dataset *numbers(mill_context *context, int64_t count, uint32_t n_partitions)
{
    rmq_error err;
    int64_t *values = malloc((size_t)count * sizeof(*values) + 1);
    for (int64_t i = 0; i < count; i++)
        values[i] = i;
    mill_dataset *dataset = mill_dataset_from_rows(context, mill_type_int64(), values,
                                                   (size_t)count, n_partitions, &err);
    free(values);
    if (dataset == NULL)
        ck_abort_msg("%s", err.text);
    return dataset;
}

static mill_rows *rows_collect(mill_dataset *dataset)
{
    rmq_error err;
    mill_rows *rows = NULL;
    must(mill_collect(dataset, &rows, &err), &err);
    return rows;
}

int64_list collect_int64(mill_dataset *dataset)
{
    rmq_error err;
    mill_rows *rows = rows_collect(dataset);
    int64_list list = {.count = mill_rows_count(rows)};
    list.values = malloc(list.count * sizeof(int64_t) + 1);
    for (size_t i = 0; i < list.count; i++) {
        const void *row = NULL;
        must(mill_rows_next(rows, &row, &err), &err);
        list.values[i] = *(const int64_t *)row;
    }
    mill_rows_free(rows);
    return list;
}

static int compare(int64_t left, int64_t right)
{
    return left < right ? -1 : left > right;
}

static int compare_int64(const void *left, const void *right)
{
    return compare(*(const int64_t *)left, *(const int64_t *)right);
}

void sort_int64(int64_list list)
{
    if (list.count != 0)
        qsort(list.values, list.count, sizeof(int64_t), compare_int64);
}

pair_list collect_pairs(mill_dataset *dataset)
{
    rmq_error err;
    const mill_type *type = mill_dataset_type(dataset);
    ck_assert_uint_eq(type->size_bytes, sizeof(number_pair));
    mill_rows *rows = rows_collect(dataset);
    pair_list list = {.count = mill_rows_count(rows)};
    list.pairs = calloc(list.count + 1, sizeof(number_pair));
    for (size_t i = 0; i < list.count; i++) {
        const void *row = NULL;
        must(mill_rows_next(rows, &row, &err), &err);
        list.pairs[i].key = *(const int64_t *)mill_pair_key(row);
        list.pairs[i].value = *(const int64_t *)mill_pair_value(type, row);
    }
    mill_rows_free(rows);
    return list;
}

static int compare_pairs(const void *left, const void *right)
{
    const number_pair *a = left;
    const number_pair *b = right;
    return a->key != b->key ? compare(a->key, b->key) : compare(a->value, b->value);
}

void sort_pairs(pair_list list)
{
    if (list.count != 0)
        qsort(list.pairs, list.count, sizeof(number_pair), compare_pairs);
}

rmq_status map_add(const void *row, void *out_row, mill_task *task, void *ctx)
{
    (void)task;
    *(int64_t *)out_row = *(const int64_t *)row + *(const int64_t *)ctx;
    return RMQ_OK;
}

rmq_status key_modulo(const void *row, void *out, mill_task *task, void *ctx)
{
    (void)task;
    *(int64_t *)out = *(const int64_t *)row % *(const int64_t *)ctx;
    return RMQ_OK;
}

rmq_status keep_even(const void *row, bool *out_keep, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *out_keep = *(const int64_t *)row % 2 == 0;
    return RMQ_OK;
}

rmq_status reduce_sum(void *accumulator, const void *value, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *(int64_t *)accumulator += *(const int64_t *)value;
    return RMQ_OK;
}

rmq_status emit_times(const void *row, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    rmq_status status = RMQ_OK;
    for (int64_t i = 0; status == RMQ_OK && i < *(const int64_t *)row % 4; i++)
        status = mill_emit(out, row);
    return status;
}
