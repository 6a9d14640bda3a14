#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../proto/mem.h"

/* Counts what passes through, and says no while `refuse` is set. */
typedef struct counting_table {
    int mallocs;
    int callocs;
    int reallocs;
    int frees;
    size_t last_size;
    bool refuse;
} counting_table;

static void *count_malloc(size_t size_bytes, void *ctx)
{
    counting_table *table = ctx;
    table->mallocs++;
    table->last_size = size_bytes;
    return table->refuse ? NULL : malloc(size_bytes);
}

static void *count_calloc(size_t count, size_t size_bytes, void *ctx)
{
    counting_table *table = ctx;
    table->callocs++;
    table->last_size = count * size_bytes;
    return table->refuse ? NULL : calloc(count, size_bytes);
}

static void *count_realloc(void *memory, size_t size_bytes, void *ctx)
{
    counting_table *table = ctx;
    table->reallocs++;
    table->last_size = size_bytes;
    return table->refuse ? NULL : realloc(memory, size_bytes);
}

static void count_free(void *memory, void *ctx)
{
    counting_table *table = ctx;
    table->frees++;
    free(memory);
}

static void install(counting_table *table)
{
    rmq_allocator allocator = {count_malloc, count_calloc, count_realloc, count_free, table};
    rmq_allocator_set(&allocator);
}

START_TEST(every_call_goes_through_the_table)
{
    counting_table table = {0};
    install(&table);
    void *memory = rmq_malloc(10);
    ck_assert_uint_eq(table.last_size, 10);
    memory = rmq_realloc(memory, 20);
    ck_assert_uint_eq(table.last_size, 20);
    rmq_free(memory);
    rmq_free(rmq_calloc(3, 4));
    ck_assert_uint_eq(table.last_size, 12);
    rmq_free(NULL);
    ck_assert_int_eq(table.mallocs, 1);
    ck_assert_int_eq(table.callocs, 1);
    ck_assert_int_eq(table.reallocs, 1);
    ck_assert_int_eq(table.frees, 2);
    rmq_allocator_set(NULL);
    rmq_free(rmq_malloc(1));
    ck_assert_int_eq(table.mallocs, 1);
}
END_TEST

START_TEST(nothing_asked_is_still_memory)
{
    counting_table table = {0};
    install(&table);
    void *memory = rmq_malloc(0);
    ck_assert_ptr_nonnull(memory);
    memory = rmq_realloc(memory, 0);
    ck_assert_ptr_nonnull(memory);
    ck_assert_uint_eq(table.last_size, 1);
    rmq_free(memory);
    memory = rmq_calloc(0, 8);
    ck_assert_ptr_nonnull(memory);
    rmq_free(memory);
    rmq_allocator_set(NULL);
}
END_TEST

START_TEST(calloc_refuses_a_product_that_overflows)
{
    counting_table table = {0};
    install(&table);
    ck_assert_ptr_null(rmq_calloc(SIZE_MAX / 2, 3));
    ck_assert_int_eq(table.callocs, 0);
    rmq_allocator_set(NULL);
}
END_TEST

START_TEST(strings_are_copied_with_a_zero)
{
    char *copy = rmq_slice_dup((rmq_slice){"abcdef", 3});
    ck_assert_str_eq(copy, "abc");
    rmq_free(copy);
    copy = rmq_slice_dup((rmq_slice){NULL, 0});
    ck_assert_str_eq(copy, "");
    rmq_free(copy);
    copy = rmq_strdup("xyz");
    ck_assert_str_eq(copy, "xyz");
    rmq_free(copy);
    counting_table table = {.refuse = true};
    install(&table);
    ck_assert_ptr_null(rmq_strdup("xyz"));
    rmq_allocator_set(NULL);
}
END_TEST

START_TEST(slices_compare)
{
    ck_assert(rmq_slice_equals(RMQ_SLICE_LITERAL("abc"), "abc"));
    ck_assert(!rmq_slice_equals(RMQ_SLICE_LITERAL("abc"), "abd"));
    ck_assert(!rmq_slice_equals(RMQ_SLICE_LITERAL("abc"), "ab"));
    ck_assert(!rmq_slice_equals(RMQ_SLICE_LITERAL("abc"), "abcd"));
    ck_assert(!rmq_slice_equals(RMQ_SLICE_LITERAL("a\0c"), "a"));
    ck_assert(rmq_slice_equals((rmq_slice){NULL, 0}, ""));
    ck_assert_uint_eq(rmq_slice_of(NULL).len, 0);
    ck_assert_uint_eq(rmq_slice_of("four").len, 4);
}
END_TEST

START_TEST(sizes_do_not_overflow)
{
    size_t size = 7;
    ck_assert(rmq_size_add(SIZE_MAX - 1, 1, &size));
    ck_assert_uint_eq(size, SIZE_MAX);
    ck_assert(!rmq_size_add(SIZE_MAX, 1, &size));
    ck_assert(rmq_size_multiply(SIZE_MAX, 1, &size));
    ck_assert(rmq_size_multiply(SIZE_MAX, 0, &size));
    ck_assert_uint_eq(size, 0);
    ck_assert(!rmq_size_multiply(SIZE_MAX / 2 + 1, 2, &size));
    ck_assert_uint_eq(size, 0);
}
END_TEST

START_TEST(arrays_grow_and_survive_failure)
{
    size_t capacity = 0;
    int32_t *array = rmq_array_grow(NULL, &capacity, 1, sizeof(*array));
    ck_assert_ptr_nonnull(array);
    ck_assert_uint_ge(capacity, 1);
    for (int32_t i = 0; i < 1000; i++) {
        array = rmq_array_grow(array, &capacity, (size_t)i + 1, sizeof(*array));
        ck_assert_ptr_nonnull(array);
        array[i] = i;
    }
    for (int32_t i = 0; i < 1000; i++)
        ck_assert_int_eq(array[i], i);
    size_t before = capacity;
    ck_assert_ptr_null(rmq_array_grow(array, &capacity, SIZE_MAX / 2, sizeof(*array)));
    ck_assert_uint_eq(capacity, before);
    counting_table table = {.refuse = true};
    install(&table);
    ck_assert_ptr_null(rmq_array_grow(array, &capacity, before + 1, sizeof(*array)));
    ck_assert_ptr_null(rmq_array_grow(array, &capacity, SIZE_MAX, 1));
    ck_assert_uint_eq(table.last_size, SIZE_MAX);
    ck_assert_uint_eq(capacity, before);
    rmq_allocator_set(NULL);
    ck_assert_int_eq(array[999], 999);
    rmq_free(array);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("mem");
    TCase *tc = tcase_create("mem");
    tcase_add_test(tc, every_call_goes_through_the_table);
    tcase_add_test(tc, nothing_asked_is_still_memory);
    tcase_add_test(tc, calloc_refuses_a_product_that_overflows);
    tcase_add_test(tc, strings_are_copied_with_a_zero);
    tcase_add_test(tc, slices_compare);
    tcase_add_test(tc, sizes_do_not_overflow);
    tcase_add_test(tc, arrays_grow_and_survive_failure);
    suite_add_tcase(suite, tc);
    return suite;
}
