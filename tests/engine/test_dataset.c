#include "dataset_support.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Each operation alone and with its neighbours: no rows, one row, more partitions than rows, and
 * many. The loop index picks the size. */
static const struct {
    int64_t count;
    uint32_t n_partitions;
} sizes[] = {{0, 1}, {0, 4}, {1, 1}, {1, 4}, {3, 8}, {1000, 1}, {10007, 5}, {10000, 0}};
#define N_SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))

static mill_context *context;
static rmq_error err;

static void setup(void)
{
    context = context_make(3, 0);
}

static void teardown(void)
{
    mill_context_free(context);
}

static mill_dataset *input(int size)
{
    return numbers(context, sizes[size].count, sizes[size].n_partitions);
}

START_TEST(rows_come_back_in_order)
{
    int64_list list = collect_int64(input(_i));
    ck_assert_uint_eq(list.count, (size_t)sizes[_i].count);
    for (size_t i = 0; i < list.count; i++)
        if (list.values[i] != (int64_t)i)
            ck_abort_msg("row %zu is %lld", i, (long long)list.values[i]);
    free(list.values);
}
END_TEST

START_TEST(map_and_filter_apply_in_order)
{
    int64_t one = 1;
    int64_t ten = 10;
    mill_dataset *mapped = mill_map(input(_i), mill_type_int64(), map_add, &one, &err);
    mill_dataset *kept = mill_filter(mapped, keep_even, NULL, &err);
    mill_dataset *last = mill_map(kept, mill_type_int64(), map_add, &ten, &err);
    ck_assert_ptr_nonnull(last);
    int64_list list = collect_int64(last);
    size_t n = 0;
    for (int64_t i = 0; i < sizes[_i].count; i++) {
        if ((i + 1) % 2 != 0)
            continue;
        if (n >= list.count || list.values[n] != i + 11)
            ck_abort_msg("row %zu is wrong", n);
        n++;
    }
    ck_assert_uint_eq(list.count, n);
    free(list.values);
}
END_TEST

START_TEST(flat_map_emits_any_number)
{
    int64_list list =
        collect_int64(mill_flat_map(input(_i), mill_type_int64(), emit_times, NULL, &err));
    size_t n = 0;
    for (int64_t i = 0; i < sizes[_i].count; i++)
        for (int64_t j = 0; j < i % 4; j++, n++)
            if (n >= list.count || list.values[n] != i)
                ck_abort_msg("row %zu is wrong", n);
    ck_assert_uint_eq(list.count, n);
    free(list.values);
}
END_TEST

/* One row for each partition: how many rows it had and their sum, as count * 1e9 + sum. */
typedef struct partition_log {
    atomic_int begun, ended, cleaned;
} partition_log;

static rmq_status log_begin(void **state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)out;
    ck_assert_ptr_null(*state);
    atomic_fetch_add(&((partition_log *)ctx)->begun, 1);
    *state = mill_task_keep(task, sizeof(int64_t));
    return *state != NULL ? RMQ_OK : RMQ_NOMEM;
}

static rmq_status log_row(void *state, const void *row, mill_emitter *out, mill_task *task,
                          void *ctx)
{
    (void)out;
    (void)task;
    (void)ctx;
    *(int64_t *)state += 1000000000 + *(const int64_t *)row;
    return RMQ_OK;
}

static rmq_status log_end(void *state, mill_emitter *out, mill_task *task, void *ctx)
{
    (void)task;
    atomic_fetch_add(&((partition_log *)ctx)->ended, 1);
    return out != NULL ? mill_emit(out, state) : RMQ_OK;
}

static void log_cleanup(void *state, void *ctx)
{
    ck_assert_ptr_nonnull(state);
    atomic_fetch_add(&((partition_log *)ctx)->cleaned, 1);
}

static const mill_partition_fns log_fns = {log_begin, log_row, log_end, log_cleanup};

static int n_partitions(int size)
{
    return sizes[size].n_partitions != 0 ? (int)sizes[size].n_partitions : 3;
}

START_TEST(map_partitions_sees_each_partition_once)
{
    partition_log log = {0};
    int64_list list =
        collect_int64(mill_map_partitions(input(_i), mill_type_int64(), &log_fns, &log, &err));
    ck_assert_int_eq((int)list.count, n_partitions(_i));
    int64_t total = 0;
    for (size_t i = 0; i < list.count; i++)
        total += list.values[i];
    int64_t count = sizes[_i].count;
    ck_assert_int_eq(total, count * 1000000000 + count * (count - 1) / 2);
    ck_assert_int_eq(atomic_load(&log.begun), n_partitions(_i));
    ck_assert_int_eq(atomic_load(&log.ended), n_partitions(_i));
    ck_assert_int_eq(atomic_load(&log.cleaned), n_partitions(_i));
    free(list.values);
}
END_TEST

START_TEST(foreach_partition_has_no_emitter)
{
    partition_log log = {0};
    ck_ok(mill_foreach_partition(input(_i), &log_fns, &log, &err), &err);
    ck_assert_int_eq(atomic_load(&log.begun), n_partitions(_i));
    ck_assert_int_eq(atomic_load(&log.cleaned), n_partitions(_i));
}
END_TEST

static rmq_status add_up(const void *row, mill_task *task, void *ctx)
{
    (void)task;
    atomic_fetch_add((atomic_llong *)ctx, *(const int64_t *)row);
    return RMQ_OK;
}

START_TEST(foreach_and_count_see_every_row)
{
    atomic_llong total = 0;
    mill_dataset *dataset = input(_i);
    int64_t count = sizes[_i].count;
    ck_ok(mill_foreach(dataset, add_up, &total, &err), &err);
    ck_assert_int_eq(atomic_load(&total), count * (count - 1) / 2);
    uint64_t counted = 1;
    ck_ok(mill_count(dataset, &counted, &err), &err);
    ck_assert_uint_eq(counted, (uint64_t)count);
}
END_TEST

START_TEST(union_has_all_rows_also_of_itself)
{
    mill_dataset *some = input(_i);
    mill_dataset *even = mill_filter(some, keep_even, NULL, &err);
    mill_dataset *all[] = {some, even, some, numbers(context, 7, 2)};
    mill_dataset *both = mill_union(all, 4, &err);
    ck_assert_ptr_nonnull(both);
    int64_list list = collect_int64(both);
    sort_int64(list);
    size_t n = 0;
    for (int64_t i = 0; i < sizes[_i].count || i < 7; i++) {
        int64_t times = (i < sizes[_i].count ? 2 + (i % 2 == 0) : 0) + (i < 7);
        for (; times > 0; times--, n++)
            if (n >= list.count || list.values[n] != i)
                ck_abort_msg("row %zu is wrong", n);
    }
    ck_assert_uint_eq(list.count, n);
    free(list.values);
}
END_TEST

START_TEST(reduce_by_key_gives_one_pair_per_key)
{
    static const uint32_t partitions[] = {1, 0, 17};
    int64_t modulus = _i % 3 == 0 ? 1 : _i % 3 == 1 ? 100 : 1000003;
    int64_t one = 1;
    mill_dataset *mapped = mill_map(input(_i), mill_type_int64(), map_add, &one, &err);
    mill_dataset *keyed = mill_key_by(mapped, mill_type_int64(), key_modulo, &modulus, &err);
    mill_dataset *sums = mill_reduce_by_key(keyed, reduce_sum, partitions[_i % 3], NULL, &err);
    ck_assert_ptr_nonnull(sums);
    pair_list list = collect_pairs(sums);
    sort_pairs(list);
    int64_t count = sizes[_i].count;
    int64_t *expected = calloc((size_t)modulus, sizeof(int64_t));
    size_t n_keys = 0;
    for (int64_t i = 1; i <= count; i++) {
        n_keys += expected[i % modulus] == 0;
        expected[i % modulus] += i;
    }
    ck_assert_uint_eq(list.count, n_keys);
    for (size_t i = 0; i < list.count; i++)
        if (list.pairs[i].value != expected[list.pairs[i].key] ||
            (i > 0 && list.pairs[i - 1].key == list.pairs[i].key))
            ck_abort_msg("key %lld is wrong", (long long)list.pairs[i].key);
    free(expected);
    free(list.pairs);
}
END_TEST

START_TEST(map_values_keeps_the_key)
{
    int64_t modulus = 7;
    int64_t hundred = 100;
    mill_dataset *keyed = mill_key_by(input(_i), mill_type_int64(), key_modulo, &modulus, &err);
    mill_dataset *mapped = mill_map_values(keyed, mill_type_int64(), map_add, &hundred, &err);
    ck_assert_ptr_eq(mill_dataset_type(mapped), mill_dataset_type(keyed));
    pair_list list = collect_pairs(mapped);
    ck_assert_uint_eq(list.count, (size_t)sizes[_i].count);
    for (size_t i = 0; i < list.count; i++)
        if (list.pairs[i].key != (int64_t)i % 7 || list.pairs[i].value != (int64_t)i + 100)
            ck_abort_msg("row %zu is wrong", i);
    free(list.pairs);
}
END_TEST

/* Texts: keys and values that point to memory, through two exchanges. */
static rmq_status text_key(const void *row, void *out, mill_task *task, void *ctx)
{
    (void)ctx;
    *(rmq_slice *)out = mill_task_format(task, "key-%lld", (long long)(*(const int64_t *)row % 13));
    return ((rmq_slice *)out)->len != 0 ? RMQ_OK : RMQ_NOMEM;
}

static rmq_status to_text(const void *row, void *out, mill_task *task, void *ctx)
{
    (void)ctx;
    *(rmq_slice *)out = mill_task_format(task, "%lld;", (long long)*(const int64_t *)row);
    return ((rmq_slice *)out)->len != 0 ? RMQ_OK : RMQ_NOMEM;
}

static rmq_status append_text(void *accumulator, const void *value, mill_task *task, void *ctx)
{
    (void)ctx;
    rmq_slice *text = accumulator;
    const rmq_slice *more = value;
    char *joined = mill_task_keep(task, text->len + more->len);
    if (joined == NULL)
        return RMQ_NOMEM;
    memcpy(joined, text->data, text->len);
    memcpy(joined + text->len, more->data, more->len);
    *text = (rmq_slice){joined, text->len + more->len};
    return RMQ_OK;
}

static int64_t sum_of_text(rmq_slice text)
{
    int64_t sum = 0;
    int64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == ';') {
            sum += number;
            number = 0;
        } else {
            number = number * 10 + (text.data[i] - '0');
        }
    }
    return sum;
}

START_TEST(texts_survive_the_exchange)
{
    mill_dataset *keyed = mill_key_by(input(_i), mill_type_text(), text_key, NULL, &err);
    mill_dataset *texts = mill_map_values(keyed, mill_type_text(), to_text, NULL, &err);
    mill_dataset *joined = mill_reduce_by_key(texts, append_text, 3, NULL, &err);
    mill_dataset *again = mill_reduce_by_key(joined, append_text, 2, NULL, &err);
    mill_rows *rows = NULL;
    ck_ok(mill_collect(again, &rows, &err), &err);
    int64_t count = sizes[_i].count;
    ck_assert_int_eq((int64_t)mill_rows_count(rows), count < 13 ? count : 13);
    int64_t total = 0;
    const void *row = NULL;
    while (mill_rows_next(rows, &row, &err) == RMQ_OK)
        total += sum_of_text(*(const rmq_slice *)mill_pair_value(mill_rows_type(rows), row));
    ck_assert_int_eq(total, count * (count - 1) / 2);
    mill_rows_free(rows);
}
END_TEST

START_TEST(a_null_input_goes_through_and_keeps_the_error)
{
    (void)rmq_error_set(&err, RMQ_AUTH, "the first failure");
    mill_dataset *none = mill_map(NULL, mill_type_int64(), map_add, NULL, &err);
    none = mill_filter(none, keep_even, NULL, &err);
    none = mill_flat_map(none, mill_type_int64(), emit_times, NULL, &err);
    none = mill_key_by(none, mill_type_int64(), key_modulo, NULL, &err);
    none = mill_map_values(none, mill_type_int64(), map_add, NULL, &err);
    none = mill_reduce_by_key(none, reduce_sum, 0, NULL, &err);
    none = mill_map_partitions(none, mill_type_int64(), &log_fns, NULL, &err);
    mill_dataset *inputs[] = {numbers(context, 1, 1), none};
    ck_assert_ptr_null(mill_union(inputs, 2, &err));
    ck_assert_str_eq(err.text, "the first failure");
}
END_TEST

static void assert_inval(const mill_dataset *dataset)
{
    ck_assert_ptr_null(dataset);
    ck_assert_int_eq(err.status, RMQ_INVAL);
    ck_assert_str_ne(err.text, "");
    memset(&err, 0, sizeof(err));
}

START_TEST(wrong_arguments_are_refused)
{
    mill_dataset *some = numbers(context, 3, 1);
    mill_type keyless = *mill_type_int64();
    keyless.hash = NULL;
    assert_inval(mill_map(some, NULL, map_add, NULL, &err));
    assert_inval(mill_map(some, mill_type_int64(), NULL, NULL, &err));
    assert_inval(mill_filter(some, NULL, NULL, &err));
    assert_inval(mill_flat_map(some, mill_type_int64(), NULL, NULL, &err));
    assert_inval(mill_map_partitions(some, mill_type_int64(), NULL, NULL, &err));
    assert_inval(
        mill_map_partitions(some, mill_type_int64(), &(mill_partition_fns){0}, NULL, &err));
    assert_inval(mill_reduce_by_key(some, reduce_sum, 0, NULL, &err));
    assert_inval(mill_map_values(some, mill_type_int64(), map_add, NULL, &err));
    assert_inval(mill_reduce_by_key(mill_key_by(some, &keyless, key_modulo, NULL, &err), reduce_sum,
                                    0, NULL, &err));
    mill_dataset *mixed[] = {some, mill_map(some, mill_type_double(), map_add, NULL, &err)};
    assert_inval(mill_union(mixed, 2, &err));
    assert_inval(mill_union(mixed, 0, &err));
    mill_context *other = context_make(1, 0);
    mill_dataset *strangers[] = {some, numbers(other, 3, 1)};
    assert_inval(mill_union(strangers, 2, &err));
    mill_context_free(other);
    assert_inval(mill_dataset_from_rows(context, mill_type_int64(), NULL, 3, 1, &err));
    assert_inval(mill_dataset_from_source(context, NULL, NULL, mill_type_int64(), &err));
    uint64_t count;
    ck_status(mill_count(NULL, &count, &err), RMQ_INVAL);
    ck_status(mill_foreach(some, NULL, NULL, &err), RMQ_INVAL);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("dataset");
    TCase *tc = tcase_create("dataset");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, rows_come_back_in_order, 0, N_SIZES);
    tcase_add_loop_test(tc, map_and_filter_apply_in_order, 0, N_SIZES);
    tcase_add_loop_test(tc, flat_map_emits_any_number, 0, N_SIZES);
    tcase_add_loop_test(tc, map_partitions_sees_each_partition_once, 0, N_SIZES);
    tcase_add_loop_test(tc, foreach_partition_has_no_emitter, 0, N_SIZES);
    tcase_add_loop_test(tc, foreach_and_count_see_every_row, 0, N_SIZES);
    tcase_add_loop_test(tc, union_has_all_rows_also_of_itself, 0, N_SIZES);
    tcase_add_loop_test(tc, reduce_by_key_gives_one_pair_per_key, 0, N_SIZES);
    tcase_add_loop_test(tc, map_values_keeps_the_key, 0, N_SIZES);
    tcase_add_loop_test(tc, texts_survive_the_exchange, 0, N_SIZES);
    tcase_add_test(tc, a_null_input_goes_through_and_keeps_the_error);
    tcase_add_test(tc, wrong_arguments_are_refused);
    suite_add_tcase(suite, tc);
    return suite;
}
