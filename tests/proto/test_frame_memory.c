/* Memory of frames: what is given back is used again, little of it is kept, and it outlives its
 * splitter. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "../../proto/frame_memory.h"
#include "../support/fault_alloc.h"
#include "../support/support.h"

#define KIB ((size_t)1024)
#define MOST (2 * 1024 * KIB) /* that a pool keeps */

static rmq_frame_memory *make(rmq_frame_pool *pool, size_t capacity)
{
    rmq_frame_memory *memory = rmq_frame_memory_new(pool, capacity);
    ck_assert_ptr_nonnull(memory);
    ck_assert_uint_eq(memory->capacity, capacity);
    ck_assert_uint_ge(memory->allocated, capacity);
    memset(memory->data, 7, capacity);
    return memory;
}

static rmq_frame_pool *make_pool(void)
{
    fault_alloc_fail(-1);
    rmq_frame_pool *pool = rmq_frame_pool_new();
    ck_assert_ptr_nonnull(pool);
    return pool;
}

static void nothing_is_left(void)
{
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
}

START_TEST(given_back_is_used_again)
{
    rmq_frame_pool *pool = make_pool();
    rmq_frame_memory *first = make(pool, 285000);
    rmq_frame_memory_ref(first);
    ck_assert(!rmq_frame_memory_is_ours_alone(first));
    rmq_frame_memory_unref(first);
    ck_assert(rmq_frame_memory_is_ours_alone(first));
    rmq_frame_memory_unref(first);
    /* A little larger: the same, since sizes are rounded up. */
    rmq_frame_memory *second = make(pool, 286000);
    ck_assert_ptr_eq(second, first);
    ck_assert(rmq_frame_memory_is_ours_alone(second));
    /* Half as large or less: another one, or most of it would lie idle. */
    rmq_frame_memory_unref(second);
    rmq_frame_memory *small = make(pool, 64 * KIB);
    ck_assert_ptr_ne(small, first);
    rmq_frame_memory_unref(small);
    rmq_frame_pool_close(pool);
    nothing_is_left();
}
END_TEST

START_TEST(little_is_kept)
{
    rmq_frame_pool *pool = make_pool();
    rmq_frame_memory *pieces[100];
    for (size_t i = 0; i < 100; i++)
        pieces[i] = make(pool, 64 * KIB);
    for (size_t i = 0; i < 100; i++)
        rmq_frame_memory_unref(pieces[i]);
    ck_assert_int_le(fault_alloc_live_bytes(), (int64_t)(MOST + 8 * KIB));
    ck_assert_int_ge(fault_alloc_live_bytes(), (int64_t)(MOST - 64 * KIB));
    rmq_frame_pool_close(pool);
    nothing_is_left();
}
END_TEST

START_TEST(what_is_large_goes_back)
{
    rmq_frame_pool *pool = make_pool();
    int64_t before = fault_alloc_live_bytes();
    rmq_frame_memory_unref(make(pool, 5 * 1024 * KIB));
    rmq_frame_memory_unref(make(pool, 1024 * KIB + 1));
    ck_assert_int_eq(fault_alloc_live_bytes(), before);
    rmq_frame_pool_close(pool);
    nothing_is_left();
}
END_TEST

START_TEST(it_outlives_its_pool)
{
    rmq_frame_pool *pool = make_pool();
    rmq_frame_memory *out = make(pool, 100);
    rmq_frame_memory_unref(make(pool, 200 * KIB));
    rmq_frame_pool_close(pool);
    memset(out->data, 8, 100);
    rmq_frame_memory_unref(out);
    nothing_is_left();
}
END_TEST

START_TEST(it_grows)
{
    rmq_frame_pool *pool = make_pool();
    rmq_frame_memory *memory = make(pool, 100);
    size_t allocated = memory->allocated;
    memory = rmq_frame_memory_grow(memory, allocated); /* it was there already */
    ck_assert_ptr_nonnull(memory);
    ck_assert_uint_eq(memory->allocated, allocated);
    memory = rmq_frame_memory_grow(memory, 300 * KIB);
    ck_assert_ptr_nonnull(memory);
    ck_assert_uint_eq(memory->capacity, 300 * KIB);
    ck_assert_int_eq(memory->data[99], 7);
    fault_alloc_fail(0);
    ck_assert_ptr_null(rmq_frame_memory_grow(memory, 500 * KIB));
    ck_assert_ptr_null(rmq_frame_memory_grow(memory, SIZE_MAX));
    ck_assert_uint_eq(memory->capacity, 300 * KIB);
    rmq_frame_memory_unref(memory);
    rmq_frame_pool_close(pool);
    fault_alloc_off();
}
END_TEST

/* One thread takes, another gives back, as the loop and a reader do. */
#define N_PIECES 20000

static _Atomic(rmq_frame_memory *) handed[16];

static void *give_back(void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < N_PIECES;) {
        rmq_frame_memory *memory = atomic_exchange(&handed[i % 16], NULL);
        if (memory == NULL) {
            sched_yield();
            continue;
        }
        ck_assert_int_eq(memory->data[0], (uint8_t)i);
        rmq_frame_memory_unref(memory);
        i++;
    }
    return NULL;
}

START_TEST(between_threads)
{
    rmq_frame_pool *pool = rmq_frame_pool_new();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, give_back, NULL), 0);
    for (size_t i = 0; i < N_PIECES;) {
        if (atomic_load(&handed[i % 16]) != NULL) {
            sched_yield();
            continue;
        }
        rmq_frame_memory *memory = rmq_frame_memory_new(pool, 64 * KIB + i % 3 * 50 * KIB);
        ck_assert_ptr_nonnull(memory);
        memory->data[0] = (uint8_t)i;
        atomic_store(&handed[i % 16], memory);
        i++;
    }
    rmq_frame_pool_close(pool);
    pthread_join(thread, NULL);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("frame_memory");
    TCase *tc = tcase_create("frame_memory");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, given_back_is_used_again);
    tcase_add_test(tc, little_is_kept);
    tcase_add_test(tc, what_is_large_goes_back);
    tcase_add_test(tc, it_outlives_its_pool);
    tcase_add_test(tc, it_grows);
    tcase_add_test(tc, between_threads);
    suite_add_tcase(suite, tc);
    return suite;
}
