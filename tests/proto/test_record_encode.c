#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../proto/record.h"

/* Bodies of records; unwrapping would change an inner batch, so that one is in test_inner_batch. */
static const char *const goldens[] = {"pull_body_zlib_and_batch", "pull_body_java_client_mix",
                                      "record_magic_v2", "record_bornhost_v6"};

/* Decoded without decompressing (nothing fits into 1 byte), records encode to the very bytes. */
START_TEST(golden_again)
{
    uint8_t *data;
    size_t len;
    golden_load(goldens[_i], &data, &len);
    rmq_decode_options options = {.end_offset = INT64_MAX, .max_body_bytes = 1};
    rmq_batch *batch;
    rmq_error err;
    ck_ok(rmq_batch_decode((rmq_slice){(char *)data, len}, NULL, &options, &batch, &err), &err);
    rmq_buf out;
    rmq_buf_init(&out, len);
    for (size_t i = 0; i < rmq_batch_count(batch); i++)
        rmq_record_encode(rmq_batch_at(batch, i), &out);
    ck_assert_int_eq(out.failed, RMQ_OK);
    ck_assert_uint_eq(out.len, len);
    ck_assert_mem_eq(out.data, data, len);
    rmq_buf_deinit(&out);
    rmq_batch_unref(batch);
    free(data);
}
END_TEST

static rmq_message make_message(void)
{
    return (rmq_message){
        .topic = RMQ_SLICE_LITERAL("T"),
        .queue_id = -1,
        .queue_offset = INT64_MAX,
        .physical_offset = INT64_MIN,
        .flag = INT32_MIN,
        .sys_flag = 0x8,
        .born_timestamp_ms = -1,
        .store_timestamp_ms = INT64_MAX,
        .born_host = {.address = {1, 2, 3, 4}, .address_bytes = 4, .port = 65535},
        .store_host = {.address = {0xFE, 0x80, [15] = 9}, .address_bytes = 16, .port = -2},
        .reconsume_times = 16,
        .prepared_transaction_offset = -3,
        .body = RMQ_SLICE_LITERAL("body"),
        .properties = RMQ_SLICE_LITERAL("a\001b\002")};
}

START_TEST(every_field_comes_back)
{
    rmq_message message = make_message();
    rmq_buf out;
    rmq_buf_init(&out, 1000);
    rmq_record_encode(&message, &out);
    ck_assert_uint_eq(out.len, 91 + 12 + 1 + 4 + 4);
    rmq_decode_options options = {.end_offset = INT64_MAX};
    rmq_batch *batch;
    rmq_error err;
    rmq_slice record = {(char *)out.data, out.len};
    ck_ok(rmq_batch_decode(record, NULL, &options, &batch, &err), &err);
    ck_assert_msg(rmq_batch_count(batch) == 0, "the last offset is outside of every window");
    rmq_batch_unref(batch);
    options.offset_delta = -1;
    ck_ok(rmq_batch_decode(record, NULL, &options, &batch, &err), &err);
    const rmq_message *m = rmq_batch_at(batch, 0);
    ck_assert_int_eq(m->queue_id, -1);
    ck_assert_int_eq(m->queue_offset, INT64_MAX - 1);
    ck_assert_int_eq(m->physical_offset, INT64_MIN);
    ck_assert_int_eq(m->flag, INT32_MIN);
    ck_assert_int_eq(m->sys_flag, 0x28);
    ck_assert_int_eq(m->born_timestamp_ms, -1);
    ck_assert_int_eq(m->store_timestamp_ms, INT64_MAX);
    ck_assert_mem_eq(m->born_host.address, message.born_host.address, 16);
    ck_assert_int_eq(m->born_host.port, 65535);
    ck_assert_uint_eq(m->store_host.address_bytes, 16);
    ck_assert_mem_eq(m->store_host.address, message.store_host.address, 16);
    ck_assert_int_eq(m->store_host.port, -2);
    ck_assert_int_eq(m->reconsume_times, 16);
    ck_assert_int_eq(m->prepared_transaction_offset, -3);
    ck_assert(rmq_slice_equals(m->body, "body"));
    ck_assert(rmq_slice_equals(m->topic, "T"));
    ck_assert(rmq_slice_equals(m->properties, "a\001b\002"));
    rmq_batch_unref(batch);
    rmq_buf_deinit(&out);
}
END_TEST

static const struct {
    size_t topic_len;
    size_t properties_len;
    rmq_status expected;
} lengths[] = {
    {0, 0, RMQ_OK},       {127, 0, RMQ_OK},     {128, 0, RMQ_OK},     {32767, 32767, RMQ_OK},
    {32768, 0, RMQ_FULL}, {70000, 0, RMQ_FULL}, {1, 32768, RMQ_FULL}, {1, 70000, RMQ_FULL},
};

START_TEST(lengths_at_their_limits)
{
    char *text = malloc(70000);
    memset(text, 'x', 70000);
    rmq_message message = make_message();
    message.queue_offset = 0;
    message.topic = (rmq_slice){text, lengths[_i].topic_len};
    message.properties = (rmq_slice){text, lengths[_i].properties_len};
    rmq_buf out;
    rmq_buf_init(&out, 1 << 20);
    rmq_record_encode(&message, &out);
    ck_assert_int_eq(out.failed, lengths[_i].expected);
    if (out.failed == RMQ_OK) {
        ck_assert_uint_eq(out.data[7], lengths[_i].topic_len > 127 ? 0xAB : 0xA7);
        rmq_decode_options options = {.end_offset = INT64_MAX};
        rmq_batch *batch;
        rmq_error err;
        ck_ok(
            rmq_batch_decode((rmq_slice){(char *)out.data, out.len}, NULL, &options, &batch, &err),
            &err);
        ck_assert_uint_eq(rmq_batch_at(batch, 0)->topic.len, lengths[_i].topic_len);
        ck_assert_uint_eq(rmq_batch_at(batch, 0)->properties.len, lengths[_i].properties_len);
        rmq_batch_unref(batch);
    } else {
        ck_assert_uint_eq(out.len, 0);
    }
    rmq_buf_deinit(&out);
    free(text);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("record_encode");
    TCase *tc = tcase_create("record_encode");
    tcase_add_loop_test(tc, golden_again, 0, sizeof(goldens) / sizeof(*goldens));
    tcase_add_test(tc, every_field_comes_back);
    tcase_add_loop_test(tc, lengths_at_their_limits, 0, sizeof(lengths) / sizeof(*lengths));
    suite_add_tcase(suite, tc);
    return suite;
}
