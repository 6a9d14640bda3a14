#include "../support/support.h"

#include <string.h>

#include "core/arena.h"

START_TEST(memory_is_aligned_and_apart)
{
    mill_arena arena = {0};
    char *blocks[2000];
    for (size_t i = 0; i < 2000; i++) {
        size_t size = i * 7 % 300;
        blocks[i] = mill_arena_alloc(&arena, size);
        ck_assert_ptr_nonnull(blocks[i]);
        ck_assert_uint_eq((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        memset(blocks[i], (int)(i & 0xff), size);
    }
    for (size_t i = 0; i < 2000; i++)
        for (size_t j = 0; j < i * 7 % 300; j++)
            ck_assert_int_eq((unsigned char)blocks[i][j], (int)(i & 0xff));
    mill_arena_deinit(&arena);
    ck_assert_uint_eq(arena.used_bytes, 0);
}
END_TEST

START_TEST(empty_requests_give_distinct_memory)
{
    mill_arena arena = {0};
    void *first = mill_arena_alloc(&arena, 0);
    void *second = mill_arena_alloc(&arena, 0);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_ne(first, second);
    mill_arena_deinit(&arena);
}
END_TEST

START_TEST(absurd_sizes_are_refused)
{
    mill_arena arena = {0};
    ck_assert_ptr_null(mill_arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(mill_arena_alloc(&arena, SIZE_MAX / 2 + 1));
    ck_assert_ptr_null(mill_arena_calloc(&arena, SIZE_MAX / 2, 4));
    ck_assert_ptr_nonnull(mill_arena_alloc(&arena, 10));
    mill_arena_deinit(&arena);
}
END_TEST

START_TEST(large_requests_leave_the_current_chunk_in_use)
{
    mill_arena arena = {0};
    char *small = mill_arena_alloc(&arena, 16);
    char *large = mill_arena_alloc(&arena, 1 << 20);
    char *next = mill_arena_alloc(&arena, 16);
    ck_assert_ptr_nonnull(large);
    ck_assert_ptr_eq(next, small + 16);
    mill_arena_deinit(&arena);
}
END_TEST

START_TEST(reset_gives_the_same_memory_again)
{
    mill_arena arena = {0};
    void *first = mill_arena_alloc(&arena, 100);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(mill_arena_alloc(&arena, 2 << 20));
        mill_arena_reset(&arena);
        ck_assert_uint_eq(arena.used_bytes, 0);
        ck_assert_ptr_eq(mill_arena_alloc(&arena, 100), first);
    }
    mill_arena_deinit(&arena);
}
END_TEST

START_TEST(release_takes_back_to_the_mark)
{
    mill_arena arena = {0};
    char *kept = mill_arena_alloc(&arena, 64);
    memset(kept, 'k', 64);
    mill_arena_mark mark = mill_arena_mark_get(&arena);
    void *after = mill_arena_alloc(&arena, 64);
    for (int i = 0; i < 1000; i++)
        ck_assert_ptr_nonnull(mill_arena_calloc(&arena, 3, 100));
    ck_assert_ptr_nonnull(mill_arena_alloc(&arena, 1 << 20));
    mill_arena_release(&arena, &mark);
    ck_assert_ptr_eq(mill_arena_alloc(&arena, 64), after);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(kept[i], 'k');
    mill_arena_mark empty = {0};
    mill_arena_release(&arena, &empty);
    ck_assert_ptr_null(arena.newest);
    mill_arena_deinit(&arena);
}
END_TEST

START_TEST(calloc_is_zeroed_after_use)
{
    mill_arena arena = {0};
    memset(mill_arena_alloc(&arena, 500), 0xff, 500);
    mill_arena_reset(&arena);
    const char *zeroed = mill_arena_calloc(&arena, 50, 10);
    for (int i = 0; i < 500; i++)
        ck_assert_int_eq(zeroed[i], 0);
    ck_assert_str_eq(mill_arena_strdup(&arena, "text"), "text");
    mill_arena_deinit(&arena);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("arena");
    TCase *tc = tcase_create("arena");
    tcase_add_test(tc, memory_is_aligned_and_apart);
    tcase_add_test(tc, empty_requests_give_distinct_memory);
    tcase_add_test(tc, absurd_sizes_are_refused);
    tcase_add_test(tc, large_requests_leave_the_current_chunk_in_use);
    tcase_add_test(tc, reset_gives_the_same_memory_again);
    tcase_add_test(tc, release_takes_back_to_the_mark);
    tcase_add_test(tc, calloc_is_zeroed_after_use);
    suite_add_tcase(suite, tc);
    return suite;
}
