#include "../support/support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/key_order.h"

/* Random keys, sorted by the code under test, must come in the order that comparing them gives. */

#define N_KEYS 5000

static uint64_t seed;
static mill_arena arena;
static mill_combine_slot slots[N_KEYS];
static mill_combine_slot spare[N_KEYS];

static uint64_t next_random(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 33;
}

static void setup(void)
{
    const char *given = getenv("MILLRACE_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : UINT64_C(20261123);
}

static void teardown(void)
{
    mill_arena_deinit(&arena);
}

static void put(size_t i, const void *key, size_t size_bytes)
{
    mill_combined *combined = mill_arena_alloc(&arena, sizeof(*combined) + size_bytes);
    ck_assert_ptr_nonnull(combined);
    memcpy(combined->row, key, size_bytes);
    slots[i] = (mill_combine_slot){.hash = next_random(), .combined = combined};
}

static void put_text(size_t i, const char *prefix, size_t most_bytes, unsigned n_letters)
{
    size_t prefix_len = strlen(prefix);
    size_t len = prefix_len + next_random() % (most_bytes + 1);
    char *text = mill_arena_alloc(&arena, len + 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, prefix, prefix_len);
    for (size_t at = prefix_len; at < len; at++)
        text[at] = (char)(unsigned char)(255 * (next_random() % n_letters) / (n_letters - 1));
    rmq_slice slice = {len != 0 ? text : NULL, len};
    put(i, &slice, sizeof(slice));
}

static int compare(const mill_type *type, const void *left, const void *right)
{
    if (type == mill_type_int64()) {
        int64_t a = *(const int64_t *)left;
        int64_t b = *(const int64_t *)right;
        return (a > b) - (a < b);
    }
    if (type == mill_type_double()) {
        double a = *(const double *)left;
        double b = *(const double *)right;
        if (isnan(a) || isnan(b))
            return (isnan(a) != 0) - (isnan(b) != 0);
        return (a > b) - (a < b);
    }
    const rmq_slice *a = left;
    const rmq_slice *b = right;
    size_t common = a->len < b->len ? a->len : b->len;
    int order = common != 0 ? memcmp(a->data, b->data, common) : 0;
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* Sorted, and still the same pairs. */
static void check_sorted(const mill_type *type, size_t count)
{
    uintptr_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uintptr_t)slots[i].combined;
    mill_key_order_sort(type, slots, spare, count);
    for (size_t i = 0; i < count; i++) {
        sum -= (uintptr_t)slots[i].combined;
        if (i > 0 && compare(type, slots[i - 1].combined->row, slots[i].combined->row) > 0)
            ck_abort_msg("keys %zu and %zu of %zu are out of order", i - 1, i, count);
    }
    ck_assert(sum == 0);
}

START_TEST(texts_are_in_the_order_of_memcmp)
{
    static const struct {
        const char *prefix;
        size_t most_bytes;
        unsigned n_letters;
    } cases[] = {{"", 3, 2},          {"", 20, 256},        {"customer-", 8, 10},
                 {"customer-", 0, 2}, {"customer-", 40, 2}, {"c", 9, 3}};
    const mill_type *type = _i % 2 == 0 ? mill_type_text() : mill_type_bytes();
    for (size_t count = 0; count <= N_KEYS; count = count * 3 + 1) {
        for (size_t i = 0; i < count; i++)
            put_text(i, cases[_i].prefix, cases[_i].most_bytes, cases[_i].n_letters);
        check_sorted(type, count);
    }
}
END_TEST

START_TEST(texts_of_which_one_is_empty_are_sorted)
{
    for (size_t i = 0; i < 100; i++)
        put_text(i, i == 50 ? "" : "abc", i == 50 ? 0 : 12, 4);
    check_sorted(mill_type_text(), 100);
    ck_assert_uint_eq(((const rmq_slice *)(const void *)slots[0].combined->row)->len, 0);
}
END_TEST

START_TEST(integers_are_in_their_order)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        int64_t key = (int64_t)(next_random() << 33 ^ next_random());
        key = i == 7 ? INT64_MIN : i == 8 ? INT64_MAX : i == 9 ? 0 : key;
        key = i % 3 == 0 ? key % 1000 : key;
        put(i, &key, sizeof(key));
    }
    check_sorted(mill_type_int64(), N_KEYS);
}
END_TEST

START_TEST(doubles_are_in_their_order)
{
    static const double special[] = {0.0,     -0.0,     INFINITY, -INFINITY, NAN,
                                     DBL_MIN, -DBL_MIN, DBL_MAX,  -DBL_MAX,  1e-310};
    const size_t n_special = sizeof(special) / sizeof(special[0]);
    for (size_t i = 0; i < N_KEYS; i++) {
        double key = i < n_special ? special[i]
                                   : ((double)next_random() - 1e9) * pow(10, (double)(i % 50) - 25);
        put(i, &key, sizeof(key));
    }
    check_sorted(mill_type_double(), N_KEYS);
}
END_TEST

START_TEST(a_users_type_has_no_order)
{
    mill_type own = *mill_type_int64();
    ck_assert(!mill_key_order_exists(&own));
    ck_assert(!mill_key_order_exists(mill_type_message()));
    ck_assert(mill_key_order_exists(mill_type_int64()));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("key_order");
    TCase *tc = tcase_create("key_order");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, texts_are_in_the_order_of_memcmp, 0, 6);
    tcase_add_test(tc, texts_of_which_one_is_empty_are_sorted);
    tcase_add_test(tc, integers_are_in_their_order);
    tcase_add_test(tc, doubles_are_in_their_order);
    tcase_add_test(tc, a_users_type_has_no_order);
    suite_add_tcase(suite, tc);
    return suite;
}
