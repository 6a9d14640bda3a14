#include "../support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../proto/msgid.h"

/* 2026-11-23T06:48:37.123Z and the ms since 2026-11-01T00:00:00Z */
#define NOW_MS 1795416517123
#define NOW_IN_MONTH_MS 1925317123

START_TEST(unique_id_has_javas_form)
{
    rmq_unique_id_source source = {
        .address = {127, 0, 0, 1}, .process_id = 0x1234, .noise = 0xCAFE0001, .counter = 0xFFFE};
    char id[RMQ_UNIQUE_ID_BYTES];
    char expected[RMQ_UNIQUE_ID_BYTES];
    rmq_unique_id_next(&source, NOW_MS, id);
    snprintf(expected, sizeof(expected), "7F0000011234CAFE0001%08XFFFE", NOW_IN_MONTH_MS);
    ck_assert_str_eq(id, expected);
    rmq_unique_id_next(&source, NOW_MS, id);
    ck_assert_str_eq(id + 28, "FFFF");
    rmq_unique_id_next(&source, NOW_MS, id);
    ck_assert_str_eq(id + 28, "0000");
    ck_assert_msg(memcmp(id + 12, "CAFE0002", 8) == 0, "the counter's rest is in the noise: %s",
                  id);
}
END_TEST

static const struct {
    int64_t now_ms;
    uint32_t in_month_ms;
} months[] = {
    {0, 0},
    {-1, 2678399999u}, /* the end of December 1969 */
    {NOW_MS, NOW_IN_MONTH_MS},
    {1709251199999, 29u * 86400000u - 1}, /* the end of February 2024 */
    {1709251200000, 0},
};

START_TEST(clock_starts_with_the_month)
{
    rmq_unique_id_source source = {.counter = 0};
    char id[RMQ_UNIQUE_ID_BYTES];
    rmq_unique_id_next(&source, months[_i].now_ms, id);
    char hex[9] = {0};
    memcpy(hex, id + 20, 8);
    ck_assert_uint_eq(strtoul(hex, NULL, 16), months[_i].in_month_ms);
}
END_TEST

#define IDS_PER_THREAD 40000
#define THREADS 4

typedef struct producer {
    rmq_unique_id_source *source;
    char (*ids)[RMQ_UNIQUE_ID_BYTES];
} producer;

static void *make_ids(void *ctx)
{
    producer *self = ctx;
    for (int i = 0; i < IDS_PER_THREAD; i++)
        rmq_unique_id_next(self->source, NOW_MS, self->ids[i]);
    return NULL;
}

static int compare_ids(const void *left, const void *right)
{
    return memcmp(left, right, RMQ_UNIQUE_ID_BYTES);
}

START_TEST(ids_of_threads_differ)
{
    rmq_unique_id_source source = {.address = {10, 0, 0, 1}};
    char(*ids)[RMQ_UNIQUE_ID_BYTES] = malloc(sizeof(*ids) * IDS_PER_THREAD * THREADS);
    pthread_t threads[THREADS];
    producer producers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        producers[i] = (producer){&source, ids + (ptrdiff_t)i * IDS_PER_THREAD};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, make_ids, &producers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    size_t n_ids = (size_t)IDS_PER_THREAD * THREADS;
    qsort(ids, n_ids, sizeof(*ids), compare_ids);
    for (size_t i = 1; i < n_ids; i++)
        ck_assert_msg(compare_ids(ids[i - 1], ids[i]) != 0, "twice: %s", ids[i]);
    free(ids);
}
END_TEST

static void assert_same_host(const rmq_host *left, const rmq_host *right)
{
    ck_assert_mem_eq(left->address, right->address, sizeof(left->address));
    ck_assert_uint_eq(left->address_bytes, right->address_bytes);
    ck_assert_int_eq(left->port, right->port);
}

START_TEST(offset_id_of_the_facts)
{
    rmq_host host = {.address = {127, 0, 0, 1}, .address_bytes = 4, .port = 10911};
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_offset_id_format(&host, 0x2E0505CC, id);
    ck_assert_str_eq(id, "7F00000100002A9F000000002E0505CC");
    rmq_host read;
    int64_t offset = 0;
    rmq_error err;
    ck_ok(
        rmq_offset_id_parse(rmq_slice_of("7f00000100002a9f000000002E0505CC"), &read, &offset, &err),
        &err);
    assert_same_host(&read, &host);
    ck_assert_int_eq(offset, 0x2E0505CC);
}
END_TEST

START_TEST(offset_id_of_ipv6)
{
    rmq_host host = {.address = {0xFD, [15] = 1}, .address_bytes = 16, .port = -1};
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_offset_id_format(&host, INT64_MAX, id);
    ck_assert_str_eq(id, "FD000000000000000000000000000001FFFFFFFF7FFFFFFFFFFFFFFF");
    rmq_host read;
    int64_t offset = 0;
    rmq_error err;
    ck_ok(rmq_offset_id_parse(rmq_slice_of(id), &read, &offset, &err), &err);
    assert_same_host(&read, &host);
    ck_assert_int_eq(offset, INT64_MAX);
}
END_TEST

static const char *const bad_ids[] = {
    "",
    "7F00000100002A9F000000002E0505C",
    "7F00000100002A9F000000002E0505CCA",
    "7F00000100002A9F000000002E0505CG",
    "7F00000100002A9F00000000 E0505CC",
    "7F00000100002A9FFFFFFFFFFFFFFFFF",
};

START_TEST(offset_id_refused)
{
    rmq_host host;
    int64_t offset;
    rmq_error err;
    ck_status(rmq_offset_id_parse(rmq_slice_of(bad_ids[_i]), &host, &offset, &err), RMQ_INVAL);
    ck_assert_uint_gt(strlen(err.text), 10);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("msgid");
    TCase *tc = tcase_create("msgid");
    tcase_add_test(tc, unique_id_has_javas_form);
    tcase_add_loop_test(tc, clock_starts_with_the_month, 0, sizeof(months) / sizeof(*months));
    tcase_add_test(tc, ids_of_threads_differ);
    tcase_add_test(tc, offset_id_of_the_facts);
    tcase_add_test(tc, offset_id_of_ipv6);
    tcase_add_loop_test(tc, offset_id_refused, 0, sizeof(bad_ids) / sizeof(*bad_ids));
    suite_add_tcase(suite, tc);
    return suite;
}
