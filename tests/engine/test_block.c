#include "../support/support.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/block.h"
#include "core/block_store.h"

static _Thread_local rmq_error err;

/* Check writes to its parent at each assertion: too slow for each row. */
static void must(rmq_status status)
{
    if (status != RMQ_OK)
        ck_abort_msg("%s: %s", rmq_status_name(status), err.text);
}

static void must_be(int64_t got, int64_t expected)
{
    if (got != expected)
        ck_abort_msg("%lld, expected %lld", (long long)got, (long long)expected);
}
static char *directory;

static void setup(void)
{
    directory = temp_dir_make();
}

static void teardown(void)
{
    temp_dir_remove(directory);
}

static mill_block_store *store_make(size_t cap)
{
    mill_block_store *store = NULL;
    ck_ok(mill_block_store_new(cap, directory, &store, &err), &err);
    return store;
}

static mill_block *numbers_make(mill_block_store *store, int64_t first, int64_t count)
{
    mill_block *block = NULL;
    ck_ok(mill_block_new(store, mill_type_int64(), &block, &err), &err);
    for (int64_t i = first; i < first + count; i++)
        must(mill_block_append(block, &i, &err));
    ck_ok(mill_block_seal(block, &err), &err);
    return block;
}

/* Texts of varying length, the i-th begins with its number. */
static rmq_slice text_at(int i, char *buffer, size_t capacity)
{
    size_t len = (size_t)(i * 37 % 200) + 8;
    if (len >= capacity)
        ck_abort_msg("text %d is too long", i);
    memset(buffer, 'a' + i % 26, len);
    char number[16];
    snprintf(number, sizeof(number), "%07d", i);
    memcpy(buffer, number, 7);
    return (rmq_slice){buffer, len};
}

static mill_block *texts_make(mill_block_store *store, int count)
{
    mill_block *block = NULL;
    char buffer[256];
    ck_ok(mill_block_new(store, mill_type_text(), &block, &err), &err);
    for (int i = 0; i < count; i++) {
        rmq_slice text = text_at(i, buffer, sizeof(buffer));
        must(mill_block_append(block, &text, &err));
    }
    ck_ok(mill_block_seal(block, &err), &err);
    ck_assert_uint_eq(mill_block_rows(block), (uint64_t)count);
    return block;
}

static void texts_check(mill_rows *rows, int count)
{
    char buffer[256];
    const void *row = NULL;
    for (int i = 0; i < count; i++) {
        must(mill_rows_next(rows, &row, &err));
        rmq_slice expected = text_at(i, buffer, sizeof(buffer));
        const rmq_slice *got = row;
        if (got->len != expected.len || memcmp(got->data, expected.data, got->len) != 0)
            ck_abort_msg("row %d is another", i);
    }
    ck_status(mill_rows_next(rows, &row, &err), RMQ_NOT_FOUND);
    ck_status(mill_rows_next(rows, &row, &err), RMQ_NOT_FOUND);
}

static mill_rows *rows_of(mill_block *block)
{
    mill_rows *rows = NULL;
    ck_ok(mill_rows_of_blocks(&block, 1, mill_block_type(block), &rows, &err), &err);
    return rows;
}

static int files_in_directory(void)
{
    DIR *dir = opendir(directory);
    ck_assert_ptr_nonnull(dir);
    int n_files = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        n_files += entry->d_name[0] != '.';
    closedir(dir);
    return n_files;
}

START_TEST(rows_come_back_in_order)
{
    static const size_t caps[] = {SIZE_MAX, 1, 100000};
    mill_block_store *store = store_make(caps[_i]);
    mill_block *block = texts_make(store, 5000);
    mill_rows *rows = rows_of(block);
    mill_block_unref(block);
    ck_assert_uint_eq(mill_rows_count(rows), 5000);
    ck_assert_ptr_eq(mill_rows_type(rows), mill_type_text());
    texts_check(rows, 5000);
    mill_rows_rewind(rows);
    texts_check(rows, 5000);
    if (caps[_i] == 1) {
        ck_assert_uint_eq(mill_block_store_memory(store), 0);
        ck_assert_uint_gt(mill_block_store_spilled(store), 5000 * 60);
    } else if (caps[_i] == 100000) {
        ck_assert_uint_gt(mill_block_store_memory(store), 0);
        ck_assert_uint_le(mill_block_store_memory(store), 100000);
        ck_assert_uint_gt(mill_block_store_spilled(store), 0);
    } else {
        ck_assert_uint_eq(mill_block_store_spilled(store), 0);
    }
    ck_assert_int_eq(files_in_directory(), 0);
    mill_rows_free(rows);
    ck_assert_uint_eq(mill_block_store_memory(store), 0);
    ck_assert_uint_eq(mill_block_store_spilled(store), 0);
    mill_block_store_free(store);
}
END_TEST

START_TEST(an_empty_block_has_no_rows)
{
    mill_block_store *store = store_make(0);
    mill_block *block = numbers_make(store, 0, 0);
    ck_assert_uint_eq(mill_block_bytes(block), 0);
    mill_rows *rows = rows_of(block);
    const void *row = NULL;
    ck_status(mill_rows_next(rows, &row, &err), RMQ_NOT_FOUND);
    mill_rows_free(rows);
    mill_block_unref(block);
    mill_block_unref(NULL);
    mill_rows_free(NULL);
    mill_block_store_free(store);
}
END_TEST

START_TEST(several_blocks_are_read_one_after_the_other)
{
    mill_block_store *store = store_make(_i == 0 ? SIZE_MAX : 20000);
    mill_block *blocks[4] = {numbers_make(store, 0, 30000), numbers_make(store, 0, 0),
                             numbers_make(store, 30000, 1), numbers_make(store, 30001, 9999)};
    mill_rows *rows = NULL;
    ck_ok(mill_rows_of_blocks(blocks, 4, mill_type_int64(), &rows, &err), &err);
    for (int i = 0; i < 4; i++)
        mill_block_unref(blocks[i]);
    const void *row = NULL;
    for (int64_t i = 0; i < 40000; i++) {
        must(mill_rows_next(rows, &row, &err));
        must_be(*(const int64_t *)row, i);
    }
    ck_status(mill_rows_next(rows, &row, &err), RMQ_NOT_FOUND);
    mill_rows_free(rows);
    mill_block_store_free(store);
}
END_TEST

START_TEST(a_row_larger_than_a_chunk_is_stored)
{
    mill_block_store *store = store_make(_i == 0 ? SIZE_MAX : 1);
    mill_block *block = NULL;
    ck_ok(mill_block_new(store, mill_type_bytes(), &block, &err), &err);
    char *large = malloc(1000000);
    ck_assert_ptr_nonnull(large);
    for (int i = 0; i < 1000000; i++)
        large[i] = (char)(i * 31);
    static const size_t lens[] = {10, 1000000, 0, 300000, 5};
    for (int i = 0; i < 5; i++) {
        rmq_slice slice = {large, lens[i]};
        ck_ok(mill_block_append(block, &slice, &err), &err);
    }
    ck_ok(mill_block_seal(block, &err), &err);
    mill_rows *rows = rows_of(block);
    for (int i = 0; i < 5; i++) {
        const void *row = NULL;
        must(mill_rows_next(rows, &row, &err));
        const rmq_slice *got = row;
        ck_assert_uint_eq(got->len, lens[i]);
        ck_assert(got->len == 0 || memcmp(got->data, large, got->len) == 0);
    }
    mill_rows_free(rows);
    mill_block_unref(block);
    free(large);
    mill_block_store_free(store);
}
END_TEST

START_TEST(a_dump_is_loaded_back)
{
    mill_block_store *store = store_make(_i == 0 ? SIZE_MAX : 70000);
    mill_block *block = texts_make(store, 3000);
    char *bytes = NULL;
    size_t len = 0;
    ck_ok(mill_block_dump(block, &bytes, &len, &err), &err);
    ck_assert_uint_eq(len, mill_block_bytes(block));
    mill_block_unref(block);
    mill_block *loaded = NULL;
    ck_ok(mill_block_load(store, mill_type_text(), (rmq_slice){bytes, len}, 3000, &loaded, &err),
          &err);
    rmq_free(bytes);
    mill_rows *rows = rows_of(loaded);
    texts_check(rows, 3000);
    mill_rows_free(rows);
    mill_block_unref(loaded);
    mill_block_store_free(store);
}
END_TEST

static rmq_status read_all(mill_block_store *store, const mill_type *type, rmq_slice bytes,
                           uint64_t n_rows)
{
    mill_block *block = NULL;
    ck_ok(mill_block_load(store, type, bytes, n_rows, &block, &err), &err);
    mill_rows *rows = rows_of(block);
    const void *row = NULL;
    rmq_status status;
    do
        status = mill_rows_next(rows, &row, &err);
    while (status == RMQ_OK);
    mill_rows_free(rows);
    mill_block_unref(block);
    return status;
}

START_TEST(damaged_dumps_are_corrupt)
{
    mill_block_store *store = store_make(SIZE_MAX);
    mill_block *block = texts_make(store, 20);
    char *bytes = NULL;
    size_t len = 0;
    ck_ok(mill_block_dump(block, &bytes, &len, &err), &err);
    const mill_type *text = mill_type_text();
    ck_status(read_all(store, text, (rmq_slice){bytes, len}, 20), RMQ_NOT_FOUND);
    ck_status(read_all(store, text, (rmq_slice){bytes, len}, 19), RMQ_CORRUPT);
    ck_status(read_all(store, text, (rmq_slice){bytes, len}, 21), RMQ_CORRUPT);
    for (size_t cut = 0; cut < len; cut++)
        ck_status(read_all(store, text, (rmq_slice){bytes, cut}, 20), RMQ_CORRUPT);
    bytes[3] ^= 1; /* the first row's length no longer fits its text */
    ck_status(read_all(store, text, (rmq_slice){bytes, len}, 20), RMQ_CORRUPT);
    ck_status(read_all(store, mill_type_int64(), RMQ_SLICE_LITERAL("1234567"), 1), RMQ_CORRUPT);
    rmq_free(bytes);
    mill_block_unref(block);
    mill_block_store_free(store);
}
END_TEST

/* A type whose functions are wrong in one way each. */
static void put_two(const mill_type *type, const void *row, mill_output *out)
{
    (void)type;
    (void)row;
    mill_put_u32(out, 7);
    mill_put_u32(out, 8);
}

static rmq_status get_wrong(const mill_type *type, mill_input *in, void *out_row, mill_arena *arena)
{
    (void)arena;
    *(uint32_t *)out_row = mill_get_u32(in);
    if (strcmp(type->name, "reads less") == 0)
        return RMQ_OK;
    mill_get_int64(in); /* past the end */
    return strcmp(type->name, "refuses") == 0 ? RMQ_INVAL : RMQ_OK;
}

START_TEST(types_that_do_not_read_what_they_wrote_are_corrupt)
{
    static const char *const names[] = {"reads less", "reads more", "refuses"};
    mill_type type = {.struct_size = sizeof(type),
                      .name = names[_i],
                      .size_bytes = sizeof(uint32_t),
                      .serialize = put_two,
                      .deserialize = get_wrong};
    mill_block_store *store = store_make(SIZE_MAX);
    mill_block *block = NULL;
    uint32_t value = 0;
    ck_ok(mill_block_new(store, &type, &block, &err), &err);
    ck_ok(mill_block_append(block, &value, &err), &err);
    ck_ok(mill_block_seal(block, &err), &err);
    mill_rows *rows = rows_of(block);
    const void *row = NULL;
    ck_status(mill_rows_next(rows, &row, &err), RMQ_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, names[_i]));
    mill_rows_free(rows);
    mill_block_unref(block);
    mill_block_store_free(store);
}
END_TEST

START_TEST(a_slice_too_long_for_its_length_is_refused)
{
    mill_block_store *store = store_make(SIZE_MAX);
    mill_block *block = NULL;
    ck_ok(mill_block_new(store, mill_type_bytes(), &block, &err), &err);
    rmq_slice good = RMQ_SLICE_LITERAL("good");
    rmq_slice long_one = {good.data, (size_t)UINT32_MAX + 1};
    ck_ok(mill_block_append(block, &good, &err), &err);
    ck_status(mill_block_append(block, &long_one, &err), RMQ_FULL);
    ck_ok(mill_block_append(block, &good, &err), &err);
    ck_ok(mill_block_seal(block, &err), &err);
    ck_assert_uint_eq(mill_block_rows(block), 2);
    mill_rows *rows = rows_of(block);
    const void *row = NULL;
    for (int i = 0; i < 2; i++) {
        ck_ok(mill_rows_next(rows, &row, &err), &err);
        ck_assert(rmq_slice_equals(*(const rmq_slice *)row, "good"));
    }
    ck_status(mill_rows_next(rows, &row, &err), RMQ_NOT_FOUND);
    mill_rows_free(rows);
    mill_block_unref(block);
    mill_block_store_free(store);
}
END_TEST

START_TEST(a_full_disk_is_reported_with_the_directory)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 100000, .rlim_max = RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    mill_block_store *store = store_make(1);
    mill_block *block = NULL;
    ck_ok(mill_block_new(store, mill_type_int64(), &block, &err), &err);
    rmq_status status = RMQ_OK;
    int64_t n_rows = 0;
    for (; n_rows < 1000000 && status == RMQ_OK; n_rows++)
        status = mill_block_append(block, &n_rows, &err);
    ck_assert_int_eq(status, RMQ_FULL);
    ck_assert_int_eq(err.status, RMQ_FULL);
    ck_assert_ptr_nonnull(strstr(err.text, directory));
    mill_block_unref(block);
    ck_assert_uint_eq(mill_block_store_spilled(store), 0);
    ck_assert_uint_eq(mill_block_store_memory(store), 0);
    mill_block *small = numbers_make(store, 0, 100); /* what was given up is free again */
    mill_block_unref(small);
    mill_block_store_free(store);
}
END_TEST

START_TEST(a_missing_directory_is_reported)
{
    mill_block_store *store = NULL;
    ck_ok(mill_block_store_new(1, "/nonexistent/spill", &store, &err), &err);
    mill_block *block = NULL;
    ck_ok(mill_block_new(store, mill_type_int64(), &block, &err), &err);
    int64_t row = 1;
    ck_ok(mill_block_append(block, &row, &err), &err);
    ck_status(mill_block_seal(block, &err), RMQ_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/spill"));
    mill_block_unref(block);
    mill_block_store_free(store);
}
END_TEST

static void *spill_some(void *argument)
{
    for (int i = 0; i < 30; i++) {
        mill_block *block = numbers_make(argument, i * 1000, 20000);
        mill_rows *rows = rows_of(block);
        mill_block_unref(block);
        for (int64_t j = 0; j < 20000; j++) {
            const void *row = NULL;
            must(mill_rows_next(rows, &row, &err));
            must_be(*(const int64_t *)row, i * 1000 + j);
        }
        mill_rows_free(rows);
    }
    return NULL;
}

START_TEST(threads_share_the_spill_file)
{
    mill_block_store *store = store_make(1);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, spill_some, store), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(mill_block_store_spilled(store), 0);
    mill_block_store_free(store);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("block");
    TCase *tc = tcase_create("block");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, rows_come_back_in_order, 0, 3);
    tcase_add_test(tc, an_empty_block_has_no_rows);
    tcase_add_loop_test(tc, several_blocks_are_read_one_after_the_other, 0, 2);
    tcase_add_loop_test(tc, a_row_larger_than_a_chunk_is_stored, 0, 2);
    tcase_add_loop_test(tc, a_dump_is_loaded_back, 0, 2);
    tcase_add_test(tc, damaged_dumps_are_corrupt);
    tcase_add_loop_test(tc, types_that_do_not_read_what_they_wrote_are_corrupt, 0, 3);
    tcase_add_test(tc, a_slice_too_long_for_its_length_is_refused);
    tcase_add_test(tc, a_full_disk_is_reported_with_the_directory);
    tcase_add_test(tc, a_missing_directory_is_reported);
    tcase_add_test(tc, threads_share_the_spill_file);
    suite_add_tcase(suite, tc);
    return suite;
}
