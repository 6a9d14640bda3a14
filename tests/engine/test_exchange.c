#include "dataset_support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/block_store.h"
#include "core/context.h"
#include "core/run.h"

/* Reduces whose keys do not fit: tables are flushed, blocks spill, partitions are split again. The
 * smallest limit of a table is 16 KiB, some 200 pairs of numbers. */

static mill_context *context;
static rmq_error err;

static void setup(void)
{
    context = context_make(3, 1);
}

static void teardown(void)
{
    ck_assert_uint_eq(mill_block_store_memory(context->blocks), 0);
    ck_assert_uint_eq(mill_block_store_spilled(context->blocks), 0);
    mill_context_free(context);
}

/* Sums of 0 .. count-1 by i % n_keys. */
static void assert_sums(mill_context *on, int64_t count, int64_t n_keys, uint32_t n_partitions)
{
    rmq_error error;
    mill_dataset *keyed =
        mill_key_by(numbers(on, count, 5), mill_type_int64(), key_modulo, &n_keys, &error);
    mill_dataset *sums = mill_reduce_by_key(keyed, reduce_sum, n_partitions, NULL, &error);
    pair_list list = collect_pairs(sums);
    sort_pairs(list);
    ck_assert_int_eq((int64_t)list.count, n_keys < count ? n_keys : count);
    for (int64_t key = 0; key < (int64_t)list.count; key++) {
        int64_t times = (count - key + n_keys - 1) / n_keys;
        int64_t expected = times * key + n_keys * (times * (times - 1) / 2);
        if (list.pairs[key].key != key || list.pairs[key].value != expected)
            ck_abort_msg("key %lld: %lld, expected %lld", (long long)key,
                         (long long)list.pairs[key].value, (long long)expected);
    }
    free(list.pairs);
}

START_TEST(more_keys_than_memory_are_folded_exactly)
{
    static const struct {
        int64_t count, n_keys;
        uint32_t n_partitions;
    } cases[] = {{1000, 1000, 1},
                 {100000, 150, 2},
                 {100000, 1000, 3},
                 {200000, 200000, 1},
                 {200000, 50000, 16}};
    assert_sums(context, cases[_i].count, cases[_i].n_keys, cases[_i].n_partitions);
}
END_TEST

/* All keys have one of three hashes: splitting does not help, the last level has to hold them. */
static uint64_t poor_hash(const mill_type *type, const void *row)
{
    (void)type;
    return *(const uint64_t *)row % 3;
}

START_TEST(keys_that_collide_are_folded_exactly)
{
    mill_type poor = *mill_type_int64();
    poor.hash = poor_hash;
    int64_t n_keys = 2000;
    mill_dataset *keyed = mill_key_by(numbers(context, 6000, 2), &poor, key_modulo, &n_keys, &err);
    pair_list list = collect_pairs(mill_reduce_by_key(keyed, reduce_sum, 4, NULL, &err));
    sort_pairs(list);
    ck_assert_uint_eq(list.count, 2000);
    for (int64_t key = 0; key < 2000; key++)
        if (list.pairs[key].key != key || list.pairs[key].value != 3 * key + 6000)
            ck_abort_msg("key %lld is wrong", (long long)key);
    free(list.pairs);
}
END_TEST

static rmq_status one_key(const void *row, void *out_key, mill_task *task, void *ctx)
{
    (void)row;
    (void)task;
    (void)ctx;
    *(rmq_slice *)out_key = RMQ_SLICE_LITERAL("the only key");
    return RMQ_OK;
}

static rmq_status to_byte(const void *row, void *out_value, mill_task *task, void *ctx)
{
    (void)ctx;
    char *byte = mill_task_alloc(task, 1);
    if (byte == NULL)
        return RMQ_NOMEM;
    *byte = (char)('a' + *(const int64_t *)row % 26);
    *(rmq_slice *)out_value = (rmq_slice){byte, 1};
    return RMQ_OK;
}

static rmq_status join_bytes(void *accumulator, const void *value, mill_task *task, void *ctx)
{
    (void)ctx;
    rmq_slice *left = accumulator;
    const rmq_slice *right = value;
    char *joined = mill_task_keep(task, left->len + right->len);
    if (joined == NULL)
        return RMQ_NOMEM;
    memcpy(joined, left->data, left->len);
    memcpy(joined + left->len, right->data, right->len);
    *left = (rmq_slice){joined, left->len + right->len};
    return RMQ_OK;
}

START_TEST(an_accumulator_larger_than_the_table_is_folded)
{
    mill_dataset *keyed =
        mill_key_by(numbers(context, 50000, 4), mill_type_text(), one_key, NULL, &err);
    mill_dataset *bytes = mill_map_values(keyed, mill_type_bytes(), to_byte, NULL, &err);
    mill_rows *rows = NULL;
    ck_ok(mill_collect(mill_reduce_by_key(bytes, join_bytes, 2, NULL, &err), &rows, &err), &err);
    ck_assert_uint_eq(mill_rows_count(rows), 1);
    const void *row = NULL;
    ck_ok(mill_rows_next(rows, &row, &err), &err);
    const rmq_slice *joined = mill_pair_value(mill_rows_type(rows), row);
    ck_assert_uint_eq(joined->len, 50000);
    int64_t counts[26] = {0};
    for (size_t i = 0; i < joined->len; i++)
        counts[joined->data[i] - 'a']++;
    for (int i = 0; i < 26; i++)
        ck_assert_int_eq(counts[i], 50000 / 26 + (i < 50000 % 26));
    mill_rows_free(rows);
}
END_TEST

START_TEST(the_order_of_rows_does_not_depend_on_who_was_faster)
{
    mill_context *roomy = context_make(3, 0);
    int64_t n_keys = 5000;
    pair_list first = {0};
    for (int round = 0; round < 10; round++) {
        mill_context *on = _i == 0 ? roomy : context;
        mill_dataset *keyed =
            mill_key_by(numbers(on, 20000, 7), mill_type_int64(), key_modulo, &n_keys, &err);
        pair_list list = collect_pairs(mill_reduce_by_key(keyed, reduce_sum, 3, NULL, &err));
        if (round == 0) {
            first = list;
            continue;
        }
        ck_assert_uint_eq(list.count, first.count);
        for (size_t i = 0; i < list.count; i++)
            if (list.pairs[i].key != first.pairs[i].key)
                ck_abort_msg("row %zu of round %d is another", i, round);
        free(list.pairs);
    }
    free(first.pairs);
    mill_context_free(roomy);
}
END_TEST

/* Half of the rows have one of ten keys, the others hardly repeat: the writers' tables freeze, fold
 * the ten, and pass on the rest. */
static rmq_status skewed_key(const void *row, void *out_key, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    int64_t number = *(const int64_t *)row;
    *(int64_t *)out_key = number % 2 == 0 ? number / 2 % 10 : 10 + number / 2 % 90000;
    return RMQ_OK;
}

START_TEST(a_frozen_table_folds_exactly)
{
    enum { COUNT = 400000, N_PARTITIONS = 3 };
    mill_context *roomy = context_make(2, 0);
    mill_context *on = _i == 0 ? roomy : context;
    mill_dataset *keyed =
        mill_key_by(numbers(on, COUNT, 2), mill_type_int64(), skewed_key, NULL, &err);
    pair_list list = collect_pairs(mill_reduce_by_key(keyed, reduce_sum, N_PARTITIONS, NULL, &err));
    int64_t *sums = calloc(90010, sizeof(*sums));
    ck_assert_ptr_nonnull(sums);
    for (int64_t i = 0; i < COUNT; i++) {
        int64_t key;
        must(skewed_key(&i, &key, NULL, NULL), &err);
        sums[key] += i;
    }
    ck_assert_uint_eq(list.count, 90010);
    for (size_t i = 0; i < list.count; i++) {
        if (sums[list.pairs[i].key] != list.pairs[i].value)
            ck_abort_msg("key %lld is wrong or comes twice", (long long)list.pairs[i].key);
        sums[list.pairs[i].key] = -1;
    }
    free(sums);
    free(list.pairs);
    mill_context_free(roomy);
}
END_TEST

static rmq_status text_key(const void *row, void *out_key, mill_task *task, void *ctx)
{
    int64_t n_keys = *(const int64_t *)ctx;
    *(rmq_slice *)out_key =
        mill_task_format(task, "key %lld", (long long)(*(const int64_t *)row % n_keys));
    return RMQ_OK;
}

/* In memory, and in parts that are merged. */
START_TEST(each_partition_is_in_the_order_of_its_keys)
{
    mill_context *roomy = context_make(2, 0);
    mill_context *on = _i % 2 == 0 ? roomy : context;
    bool is_text = _i >= 2;
    int64_t n_keys = 8000;
    mill_dataset *keyed =
        mill_key_by(numbers(on, 24000, 4), is_text ? mill_type_text() : mill_type_int64(),
                    is_text ? text_key : key_modulo, &n_keys, &err);
    mill_rows *rows = NULL;
    ck_ok(mill_collect(mill_reduce_by_key(keyed, reduce_sum, 3, NULL, &err), &rows, &err), &err);
    ck_assert_uint_eq(mill_rows_count(rows), 8000);
    int n_descents = 0;
    char last_text[32] = "";
    int64_t last = -1;
    for (const void *row; mill_rows_next(rows, &row, &err) == RMQ_OK;) {
        char text[32] = "";
        const rmq_slice *slice = row;
        if (is_text)
            memcpy(text, slice->data, slice->len);
        n_descents += is_text ? strcmp(text, last_text) < 0 : *(const int64_t *)row < last;
        memcpy(last_text, text, sizeof(text));
        last = is_text ? 0 : *(const int64_t *)row;
    }
    ck_assert_int_eq(n_descents, 2);
    mill_rows_free(rows);
    mill_context_free(roomy);
}
END_TEST

START_TEST(a_full_disk_ends_the_run_and_leaves_nothing)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 200000, .rlim_max = RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    uint64_t count;
    int64_t n_keys = 100000;
    mill_dataset *keyed =
        mill_key_by(numbers(context, 100000, 4), mill_type_int64(), key_modulo, &n_keys, &err);
    mill_dataset *sums = mill_reduce_by_key(keyed, reduce_sum, 4, NULL, &err);
    ck_status(mill_count(sums, &count, &err), RMQ_FULL);
    ck_assert_ptr_nonnull(strstr(err.text, "spill file in "));
    ck_assert_ptr_nonnull(strstr(err.text, "reduce_by_key"));
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_ok(mill_count(sums, &count, &err), &err);
    ck_assert_uint_eq(count, 100000);
}
END_TEST

static void *drive(void *argument)
{
    for (int i = 0; i < 15; i++)
        assert_sums(argument, 20000 + i, i % 3 == 0 ? 10 : 3000, 1 + (uint32_t)i % 4);
    return NULL;
}

START_TEST(drivers_share_a_context)
{
    pthread_t drivers[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&drivers[i], NULL, drive, context), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(drivers[i], NULL);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("exchange");
    TCase *tc = tcase_create("exchange");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, more_keys_than_memory_are_folded_exactly, 0, 5);
    tcase_add_test(tc, keys_that_collide_are_folded_exactly);
    tcase_add_test(tc, an_accumulator_larger_than_the_table_is_folded);
    tcase_add_loop_test(tc, the_order_of_rows_does_not_depend_on_who_was_faster, 0, 2);
    tcase_add_loop_test(tc, a_frozen_table_folds_exactly, 0, 2);
    tcase_add_loop_test(tc, each_partition_is_in_the_order_of_its_keys, 0, 4);
    tcase_add_test(tc, a_full_disk_ends_the_run_and_leaves_nothing);
    tcase_add_test(tc, drivers_share_a_context);
    suite_add_tcase(suite, tc);
    return suite;
}
