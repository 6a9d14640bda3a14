#include "../support/support.h"

#include <stdio.h>
#include <string.h>

#include "../../lib/read_batch.h"
#include "../../proto/record.h"

static const rmq_queue queue = {"T", "broker-a", 3};

/* A body of records of queue 3 at `offsets` (ended by -1), tagged in turn "Aa" and "BB". */
static void write_records(rmq_buf *out, const int64_t *offsets)
{
    rmq_buf_init(out, 1 << 20);
    for (int i = 0; offsets[i] >= 0; i++) {
        char properties[32];
        int len = snprintf(properties, sizeof(properties), "TAGS\001%s\002", i % 2 ? "BB" : "Aa");
        rmq_message message = {
            .topic = rmq_slice_of("T"),
            .queue_id = 3,
            .queue_offset = offsets[i],
            .body = RMQ_SLICE_LITERAL("hello"),
            .properties = {properties, (size_t)len},
        };
        message.born_host.address_bytes = 4;
        message.store_host.address_bytes = 4;
        rmq_record_encode(&message, out);
    }
    ck_assert_int_eq(out->failed, RMQ_OK);
}

static rmq_status read_chunk(const rmq_read_rules *rules, int64_t from, int64_t to,
                             const rmq_buf *records, rmq_batch **out_batch,
                             rmq_read_doubt *out_doubt)
{
    rmq_error err = {0};
    rmq_chunk chunk = {
        .from = from,
        .to = to,
        .body = {(const char *)records->data, records->len},
    };
    int64_t end = -1;
    rmq_status status = rmq_read_batch(rules, &chunk, out_batch, &end, out_doubt, &err);
    if (status == RMQ_OK)
        ck_assert_int_eq(end, to);
    return status;
}

START_TEST(dense_range_is_whole)
{
    static const int64_t offsets[] = {10, 11, 12, 13, 14, -1};
    const rmq_read_rules rules = {.queue = queue, .dense = true};
    rmq_buf records;
    rmq_batch *batch = NULL;
    rmq_read_doubt doubt;
    write_records(&records, offsets);
    ck_status(read_chunk(&rules, 10, 15, &records, &batch, &doubt), RMQ_OK);
    ck_assert(!doubt.gap && !doubt.corrupt);
    ck_assert_uint_eq(rmq_batch_count(batch), 5);
    rmq_batch_unref(batch);
    /* what lies outside is dropped: records may come twice where answers overlap */
    ck_status(read_chunk(&rules, 11, 13, &records, &batch, &doubt), RMQ_OK);
    ck_assert(!doubt.gap);
    ck_assert_uint_eq(rmq_batch_count(batch), 2);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->queue_offset, 11);
    ck_assert(rmq_slice_equals(rmq_batch_at(batch, 0)->broker_name, "broker-a"));
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

typedef struct gap_case {
    int64_t offsets[8];
    int64_t from, to;
    size_t left;
    int64_t gap_from, gap_to;
} gap_case;

static const gap_case gap_cases[] = {
    {{12, 13, -1}, 10, 14, 0, 10, 12},     /* at the start */
    {{10, 11, 13, -1}, 10, 14, 2, 12, 13}, /* inside */
    {{10, 11, -1}, 10, 14, 2, 12, 14},     /* at the end */
    {{-1}, 10, 14, 0, 10, 14},             /* all of it: code 20 without a filter */
    {{10, 12, 14, -1}, 10, 15, 1, 11, 12}, /* two: the first counts */
    {{8, 9, -1}, 10, 12, 0, 10, 12},       /* only what was not asked for */
};

START_TEST(missing_offsets_are_seen)
{
    const gap_case *want = &gap_cases[_i];
    rmq_read_rules rules = {.queue = queue, .dense = true};
    rmq_buf records;
    rmq_batch *batch = NULL;
    rmq_read_doubt doubt;
    write_records(&records, want->offsets);
    ck_status(read_chunk(&rules, want->from, want->to, &records, &batch, &doubt), RMQ_OK);
    ck_assert_msg(doubt.gap, "case %d: no gap", _i);
    ck_assert_int_eq(doubt.gap_from, want->gap_from);
    ck_assert_int_eq(doubt.gap_to, want->gap_to);
    ck_assert_uint_eq(rmq_batch_count(batch), want->left);
    rmq_batch_unref(batch);
    rules.dense = false;
    ck_status(read_chunk(&rules, want->from, want->to, &records, &batch, &doubt), RMQ_OK);
    ck_assert(!doubt.gap);
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

START_TEST(tags_are_compared_by_string)
{
    static const int64_t offsets[] = {10, 11, 12, 13, -1};
    const rmq_read_rules rules = {.queue = queue, .tags = "BB || C"};
    rmq_buf records;
    rmq_batch *batch = NULL;
    rmq_read_doubt doubt;
    write_records(&records, offsets);
    ck_status(read_chunk(&rules, 10, 14, &records, &batch, &doubt), RMQ_OK);
    ck_assert(!doubt.gap);
    ck_assert_uint_eq(rmq_batch_count(batch), 2);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->queue_offset, 11);
    ck_assert_int_eq(rmq_batch_at(batch, 1)->queue_offset, 13);
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

START_TEST(damage_is_told)
{
    static const int64_t offsets[] = {10, 11, -1};
    static const int64_t falling[] = {11, 10, -1};
    const rmq_read_rules rules = {.queue = queue, .dense = true};
    rmq_read_rules other = rules;
    rmq_buf records;
    rmq_batch *batch = NULL;
    rmq_read_doubt doubt;
    write_records(&records, offsets);
    other.queue.queue_id = 4;
    ck_status(read_chunk(&other, 10, 12, &records, &batch, &doubt), RMQ_PROTO);
    other = rules;
    other.queue.topic = "U";
    ck_status(read_chunk(&other, 10, 12, &records, &batch, &doubt), RMQ_PROTO);
    uint8_t *body = memmem(records.data, records.len, "hello", 5);
    ck_assert_ptr_nonnull(body);
    body[0] ^= 1;
    ck_status(read_chunk(&rules, 10, 12, &records, &batch, &doubt), RMQ_OK);
    ck_assert(doubt.corrupt && !doubt.gap);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->body_status, RMQ_CORRUPT);
    ck_assert_int_eq(rmq_batch_at(batch, 1)->body_status, RMQ_OK);
    rmq_batch_unref(batch);
    records.len--;
    ck_status(read_chunk(&rules, 10, 12, &records, &batch, &doubt), RMQ_PROTO);
    rmq_buf_deinit(&records);
    write_records(&records, falling);
    ck_status(read_chunk(&rules, 10, 12, &records, &batch, &doubt), RMQ_PROTO);
    rmq_buf_deinit(&records);
}
END_TEST

/* Compressed messages whose bodies together pass the cap come in several batches; none is lost, and
 * none is called too large because of its neighbours. */
START_TEST(a_pull_may_be_several_batches)
{
    const int64_t n = 11;
    const rmq_read_rules rules = {.queue = queue, .dense = true, .max_batch_bytes = 10000};
    rmq_buf records;
    rmq_buf packed;
    char plain[3000];
    rmq_error err = {0};
    rmq_buf_init(&records, 1 << 20);
    rmq_buf_init(&packed, 1 << 20);
    memset(plain, 'x', sizeof(plain));
    ck_ok(rmq_body_compress(NULL, RMQ_COMPRESSION_ZLIB, (rmq_slice){plain, sizeof(plain)}, &packed,
                            &err),
          &err);
    for (int64_t i = 0; i < n; i++) {
        rmq_message message = {.topic = rmq_slice_of("T"),
                               .queue_id = 3,
                               .queue_offset = i,
                               .sys_flag = rmq_compression_sys_flag(RMQ_COMPRESSION_ZLIB),
                               .body = {(const char *)packed.data, packed.len}};
        rmq_record_encode(&message, &records);
    }
    rmq_chunk chunk = {.to = n, .body = {(const char *)records.data, records.len}};
    int n_batches = 0;
    int64_t next = 0;
    while (chunk.from < n) {
        rmq_batch *batch = NULL;
        rmq_read_doubt doubt;
        int64_t end = -1;
        ck_ok(rmq_read_batch(&rules, &chunk, &batch, &end, &doubt, &err), &err);
        ck_assert(!doubt.gap && !doubt.corrupt);
        ck_assert_int_eq(end - chunk.from, (int64_t)rmq_batch_count(batch));
        for (size_t i = 0; i < rmq_batch_count(batch); i++) {
            ck_assert_int_eq(rmq_batch_at(batch, i)->queue_offset, next++);
            ck_assert_int_eq(rmq_batch_at(batch, i)->body_status, RMQ_OK);
            ck_assert_uint_eq(rmq_batch_at(batch, i)->body.len, sizeof(plain));
        }
        rmq_batch_unref(batch);
        chunk.from = end;
        n_batches++;
    }
    ck_assert_int_eq(next, n);
    ck_assert_int_ge(n_batches, 4); /* at most three fit the cap */
    rmq_buf_deinit(&packed);
    rmq_buf_deinit(&records);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("read_batch");
    TCase *tcase = tcase_create("read_batch");
    tcase_add_test(tcase, dense_range_is_whole);
    tcase_add_loop_test(tcase, missing_offsets_are_seen, 0,
                        sizeof(gap_cases) / sizeof(gap_cases[0]));
    tcase_add_test(tcase, tags_are_compared_by_string);
    tcase_add_test(tcase, damage_is_told);
    tcase_add_test(tcase, a_pull_may_be_several_batches);
    suite_add_tcase(suite, tcase);
    return suite;
}
