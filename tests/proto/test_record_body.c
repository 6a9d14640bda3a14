#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../proto/record.h"

static rmq_message make_message(int64_t queue_offset, int32_t sys_flag, rmq_slice body)
{
    return (rmq_message){.topic = RMQ_SLICE_LITERAL("T"),
                         .queue_offset = queue_offset,
                         .sys_flag = sys_flag,
                         .born_host = {.address_bytes = 4},
                         .store_host = {.address_bytes = 4},
                         .body = body};
}

static void append(rmq_buf *records, int64_t queue_offset, int32_t sys_flag, rmq_slice body)
{
    rmq_message message = make_message(queue_offset, sys_flag, body);
    rmq_record_encode(&message, records);
    ck_assert_int_eq(records->failed, RMQ_OK);
}

/* `len` zeros, compressed. */
static void append_zeros(rmq_buf *records, int64_t queue_offset, size_t len)
{
    char *zeros = calloc(1, len);
    rmq_buf packed;
    rmq_buf_init(&packed, 1 << 24);
    rmq_error err;
    ck_ok(rmq_body_compress(NULL, RMQ_COMPRESSION_ZLIB, (rmq_slice){zeros, len}, &packed, &err),
          &err);
    append(records, queue_offset, 0x301, (rmq_slice){(char *)packed.data, packed.len});
    rmq_buf_deinit(&packed);
    free(zeros);
}

static rmq_slice all(const rmq_buf *buf)
{
    return (rmq_slice){(char *)buf->data, buf->len};
}

START_TEST(crc_of_the_facts)
{
    ck_assert_uint_eq(rmq_body_crc((rmq_slice){NULL, 0}), 0);
    ck_assert_uint_eq(rmq_body_crc(RMQ_SLICE_LITERAL("b0")), 818621302);
    ck_assert_uint_eq(rmq_body_crc(RMQ_SLICE_LITERAL("123456789")), 0xCBF43926u & 0x7fffffffu);
}
END_TEST

/* Each bit of a body in the middle: that message is CORRUPT and keeps its bytes, the others are as
 * they were. */
START_TEST(a_flipped_bit_spoils_one_message)
{
    rmq_buf records;
    rmq_buf_init(&records, 1 << 16);
    append(&records, 0, 0, RMQ_SLICE_LITERAL("first"));
    size_t second_body_at = records.len + 88;
    append(&records, 1, 0, RMQ_SLICE_LITERAL("second"));
    append(&records, 2, 0, RMQ_SLICE_LITERAL("third"));
    rmq_decode_options options = {.end_offset = INT64_MAX};
    for (int bit = 0; bit < 6 * 8; bit++) {
        records.data[second_body_at + (size_t)bit / 8] ^= (uint8_t)(1 << bit % 8);
        rmq_batch *batch;
        rmq_error err;
        ck_ok(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), &err);
        ck_assert_uint_eq(rmq_batch_count(batch), 3);
        ck_assert_int_eq(rmq_batch_at(batch, 0)->body_status, RMQ_OK);
        ck_assert_int_eq(rmq_batch_at(batch, 1)->body_status, RMQ_CORRUPT);
        ck_assert_int_eq(rmq_batch_at(batch, 2)->body_status, RMQ_OK);
        ck_assert_uint_eq(rmq_batch_at(batch, 1)->body.len, 6);
        ck_assert(rmq_slice_equals(rmq_batch_at(batch, 2)->body, "third"));
        rmq_batch_unref(batch);
        records.data[second_body_at + (size_t)bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    rmq_buf_deinit(&records);
}
END_TEST

/* The checksum is right, the compression is not what sysFlag says. */
static const struct {
    int32_t sys_flag;
    rmq_status expected;
} lies[] =
    {
        {0x301, RMQ_CORRUPT}, {0x001, RMQ_CORRUPT},     {0x101, RMQ_CORRUPT},
        {0x201, RMQ_CORRUPT}, {0x401, RMQ_UNSUPPORTED}, {0x701, RMQ_UNSUPPORTED},
        {0x300, RMQ_OK}, /* a type without the bit means nothing */
};

START_TEST(compression_that_is_none)
{
    rmq_status expected = lies[_i].expected;
    if ((lies[_i].sys_flag == 0x101 && !rmq_compression_available(RMQ_COMPRESSION_LZ4)) ||
        (lies[_i].sys_flag == 0x201 && !rmq_compression_available(RMQ_COMPRESSION_ZSTD)))
        expected = RMQ_UNSUPPORTED;
    rmq_buf records;
    rmq_buf_init(&records, 1 << 16);
    append(&records, 0, lies[_i].sys_flag, RMQ_SLICE_LITERAL("not compressed"));
    append(&records, 1, 0, RMQ_SLICE_LITERAL("next"));
    rmq_decode_options options = {.end_offset = INT64_MAX};
    rmq_batch *batch;
    rmq_error err;
    ck_ok(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), &err);
    ck_assert_uint_eq(rmq_batch_count(batch), 2);
    const rmq_message *m = rmq_batch_at(batch, 0);
    ck_assert_msg(m->body_status == expected, "%d: %s", _i, rmq_status_name(m->body_status));
    ck_assert(rmq_slice_equals(m->body, "not compressed"));
    ck_assert_int_eq(m->sys_flag, lies[_i].sys_flag);
    ck_assert_int_eq(rmq_batch_at(batch, 1)->body_status, RMQ_OK);
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

START_TEST(a_body_over_its_cap_is_kept_as_stored)
{
    rmq_buf records;
    rmq_buf_init(&records, 1 << 20);
    append_zeros(&records, 0, 1001);
    append_zeros(&records, 1, 1000);
    rmq_decode_options options = {.end_offset = INT64_MAX, .max_body_bytes = 1000};
    rmq_batch *batch;
    rmq_error err;
    ck_ok(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), &err);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->body_status, RMQ_FULL);
    ck_assert_uint_lt(rmq_batch_at(batch, 0)->body.len, 100);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->sys_flag, 0x301);
    ck_assert_int_eq(rmq_batch_at(batch, 1)->body_status, RMQ_OK);
    ck_assert_uint_eq(rmq_batch_at(batch, 1)->body.len, 1000);
    ck_assert_int_eq(rmq_batch_at(batch, 1)->sys_flag, 0x300);
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

/* Messages that are fine one by one but too much together: the call fails, so that each is readable
 * by a smaller pull; only one that passes the cap alone is marked. */
START_TEST(the_cap_of_the_batch)
{
    rmq_buf records;
    rmq_buf_init(&records, 1 << 20);
    append_zeros(&records, 0, 6000);
    size_t second_at = records.len;
    append_zeros(&records, 1, 6000);
    size_t third_at = records.len;
    append_zeros(&records, 2, 20000);
    rmq_decode_options options = {.end_offset = INT64_MAX, .max_batch_bytes = 10000};
    rmq_batch *batch = NULL;
    rmq_error err;
    ck_status(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), RMQ_FULL);
    ck_assert_msg(strstr(err.text, "10000 bytes") != NULL, "%s", err.text);
    ck_assert_ptr_null(batch);

    rmq_slice one = {(char *)records.data + second_at, third_at - second_at};
    ck_ok(rmq_batch_decode(one, NULL, &options, &batch, &err), &err);
    ck_assert_uint_eq(rmq_batch_at(batch, 0)->body.len, 6000);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->body_status, RMQ_OK);
    ck_assert_uint_ge(rmq_batch_bytes(batch), 6000);
    ck_assert_uint_lt(rmq_batch_bytes(batch), 8000);
    rmq_batch_unref(batch);

    one = (rmq_slice){(char *)records.data + third_at, records.len - third_at};
    ck_ok(rmq_batch_decode(one, NULL, &options, &batch, &err), &err);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->body_status, RMQ_FULL);
    rmq_batch_unref(batch);

    /* Outside the window nothing is decompressed and nothing is counted. */
    options.start_offset = 1;
    options.end_offset = 2;
    ck_ok(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), &err);
    ck_assert_uint_eq(rmq_batch_count(batch), 1);
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("record_body");
    TCase *tc = tcase_create("record_body");
    tcase_add_test(tc, crc_of_the_facts);
    tcase_add_test(tc, a_flipped_bit_spoils_one_message);
    tcase_add_loop_test(tc, compression_that_is_none, 0, sizeof(lies) / sizeof(*lies));
    tcase_add_test(tc, a_body_over_its_cap_is_kept_as_stored);
    tcase_add_test(tc, the_cap_of_the_batch);
    suite_add_tcase(suite, tc);
    return suite;
}
