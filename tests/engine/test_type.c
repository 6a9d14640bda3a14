#include "../support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mill/dataset.h>

#include "core/arena.h"
#include "core/bytes.h"
#include "core/hash.h"
#include "core/type.h"

static mill_context *context;
static rmq_error err;

static void setup(void)
{
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = 1;
    ck_ok(mill_context_new(&config, &context, &err), &err);
}

static void teardown(void)
{
    mill_context_free(context);
}

static rmq_message sample_message(void)
{
    return (rmq_message){
        .topic = RMQ_SLICE_LITERAL("OrderTopic"),
        .broker_name = RMQ_SLICE_LITERAL("broker-a"),
        .queue_id = 3,
        .queue_offset = INT64_C(0x123456789abc),
        .physical_offset = -1,
        .flag = -7,
        .sys_flag = RMQ_SYSFLAG_BORNHOST_V6,
        .born_timestamp_ms = 1700000000001,
        .store_timestamp_ms = 1700000000002,
        .born_host = {.address = {1, 2, 3, 4}, .address_bytes = 4, .port = 10911},
        .store_host = {.address = {0xfe, 0x80, [15] = 9}, .address_bytes = 16, .port = 65535},
        .reconsume_times = 2,
        .prepared_transaction_offset = 77,
        .body = RMQ_SLICE_LITERAL("bo\0dy"),
        .body_status = RMQ_CORRUPT,
        .properties = RMQ_SLICE_LITERAL("KEYS\001k\002"),
    };
}

static void assert_slice(rmq_slice got, rmq_slice expected)
{
    ck_assert_uint_eq(got.len, expected.len);
    if (got.len != 0)
        ck_assert_mem_eq(got.data, expected.data, got.len);
}

static void assert_message(const rmq_message *got, const rmq_message *expected)
{
    assert_slice(got->topic, expected->topic);
    assert_slice(got->broker_name, expected->broker_name);
    assert_slice(got->body, expected->body);
    assert_slice(got->properties, expected->properties);
    ck_assert_int_eq(got->queue_id, expected->queue_id);
    ck_assert_int_eq(got->queue_offset, expected->queue_offset);
    ck_assert_int_eq(got->physical_offset, expected->physical_offset);
    ck_assert_int_eq(got->flag, expected->flag);
    ck_assert_int_eq(got->sys_flag, expected->sys_flag);
    ck_assert_int_eq(got->born_timestamp_ms, expected->born_timestamp_ms);
    ck_assert_int_eq(got->store_timestamp_ms, expected->store_timestamp_ms);
    ck_assert_mem_eq(got->born_host.address, expected->born_host.address, 16);
    ck_assert_mem_eq(got->store_host.address, expected->store_host.address, 16);
    ck_assert_int_eq(got->born_host.address_bytes, expected->born_host.address_bytes);
    ck_assert_int_eq(got->store_host.address_bytes, expected->store_host.address_bytes);
    ck_assert_int_eq(got->born_host.port, expected->born_host.port);
    ck_assert_int_eq(got->store_host.port, expected->store_host.port);
    ck_assert_int_eq(got->reconsume_times, expected->reconsume_times);
    ck_assert_int_eq(got->prepared_transaction_offset, expected->prepared_transaction_offset);
    ck_assert_int_eq(got->body_status, expected->body_status);
}

/* Writes `row`, reads it back into out_row; every prefix of the bytes must be refused. */
static void round_trip(const mill_type *type, const void *row, void *out_row, mill_output *out,
                       mill_arena *arena)
{
    mill_type_write(type, row, out);
    ck_assert_int_eq(out->status, RMQ_OK);
    if (mill_type_width(type) != 0)
        ck_assert_uint_eq(out->len, mill_type_width(type));
    for (size_t cut = 0; cut < out->len; cut++) {
        mill_input in = {.data = out->data, .left = cut};
        ck_status(mill_type_read(type, &in, out_row, arena), RMQ_CORRUPT);
    }
    mill_input in = {.data = out->data, .left = out->len};
    ck_ok(mill_type_read(type, &in, out_row, arena), &err);
    ck_assert_uint_eq(in.left, 0);
}

START_TEST(message_round_trips_with_all_fields)
{
    mill_arena arena = {0};
    mill_output out = {0};
    rmq_message message = sample_message();
    rmq_message got;
    round_trip(mill_type_message(), &message, &got, &out, &arena);
    assert_message(&got, &message);

    rmq_message copy;
    ck_ok(mill_type_copy(mill_type_message(), &got, &copy, &arena), &err);
    memset(out.data, 'x', out.len);
    assert_message(&copy, &message);

    mill_output_deinit(&out);
    out = (mill_output){0};
    rmq_message empty = {0};
    round_trip(mill_type_message(), &empty, &got, &out, &arena);
    assert_message(&got, &empty);
    mill_output_deinit(&out);
    mill_arena_deinit(&arena);
}
END_TEST

START_TEST(text_round_trips_and_compares)
{
    const mill_type *text = mill_type_text();
    static const char *const values[] = {"", "a", "b", "ab", "12345678", "123456789", "\xc3\xa4"};
    for (size_t i = 0; i < 7; i++) {
        mill_arena arena = {0};
        mill_output out = {0};
        rmq_slice value = rmq_slice_of(values[i]);
        rmq_slice got;
        round_trip(text, &value, &got, &out, &arena);
        ck_assert(text->equal(text, &value, &got));
        ck_assert_uint_eq(text->hash(text, &value), text->hash(text, &got));
        for (size_t j = 0; j < 7; j++) {
            rmq_slice other = rmq_slice_of(values[j]);
            ck_assert_int_eq(text->equal(text, &value, &other), i == j);
            ck_assert_int_eq(text->hash(text, &value) == text->hash(text, &other), i == j);
        }
        mill_output_deinit(&out);
        mill_arena_deinit(&arena);
    }
}
END_TEST

START_TEST(doubles_that_are_one_key_are_equal)
{
    const mill_type *type = mill_type_double();
    double zero = 0.0;
    double minus_zero = -0.0;
    double one = 1.0;
    double nan_a = NAN;
    double nan_b = -NAN;
    ck_assert(type->equal(type, &zero, &minus_zero));
    ck_assert_uint_eq(type->hash(type, &zero), type->hash(type, &minus_zero));
    ck_assert(type->equal(type, &nan_a, &nan_b));
    ck_assert_uint_eq(type->hash(type, &nan_a), type->hash(type, &nan_b));
    ck_assert(!type->equal(type, &nan_a, &one));
    ck_assert(!type->equal(type, &zero, &one));
}
END_TEST

/* Exchange partitions, and later the state in checkpoints, depend on these values. */
START_TEST(hashes_never_change)
{
    int64_t number = 42;
    double half = 0.5;
    rmq_slice text = RMQ_SLICE_LITERAL("O-10001 and more than eight");
    ck_assert_uint_eq(mill_type_int64()->hash(mill_type_int64(), &number),
                      UINT64_C(0x134ad172b1d20263));
    ck_assert_uint_eq(mill_type_double()->hash(mill_type_double(), &half),
                      UINT64_C(0x9e8a3402cfdbc3fe));
    ck_assert_uint_eq(mill_type_text()->hash(mill_type_text(), &text),
                      UINT64_C(0x1dc8864d1c949394));
}
END_TEST

START_TEST(hashes_spread_over_partitions)
{
    enum { N_KEYS = 20000, N_PARTITIONS = 16 };
    int by_number[N_PARTITIONS] = {0};
    int by_text[N_PARTITIONS] = {0};
    for (int64_t i = 0; i < N_KEYS; i++) {
        int64_t number = i * 1024;
        by_number[mill_type_int64()->hash(mill_type_int64(), &number) % N_PARTITIONS]++;
        char name[32];
        snprintf(name, sizeof(name), "order-%lld", (long long)i);
        by_text[mill_hash_bytes(name, strlen(name)) % N_PARTITIONS]++;
    }
    for (int i = 0; i < N_PARTITIONS; i++) {
        ck_assert_int_gt(by_number[i], N_KEYS / N_PARTITIONS * 8 / 10);
        ck_assert_int_gt(by_text[i], N_KEYS / N_PARTITIONS * 8 / 10);
    }
}
END_TEST

START_TEST(pairs_are_one_type_each_and_aligned)
{
    const mill_type *pair = mill_type_pair(context, mill_type_text(), mill_type_int64(), &err);
    ck_assert_ptr_nonnull(pair);
    ck_assert_ptr_eq(mill_type_pair(context, mill_type_text(), mill_type_int64(), &err), pair);
    ck_assert_ptr_ne(mill_type_pair(context, mill_type_int64(), mill_type_text(), &err), pair);
    ck_assert_str_eq(pair->name, "(text, int64)");
    ck_assert_uint_eq(pair->value_at % _Alignof(max_align_t), 0);
    ck_assert_uint_eq(pair->size_bytes % _Alignof(max_align_t), 0);
    ck_assert_ptr_eq(pair->key_type, mill_type_text());
    ck_assert_ptr_eq(pair->value_type, mill_type_int64());
}
END_TEST

typedef struct text_pair {
    rmq_slice key;
    _Alignas(max_align_t) rmq_slice value;
} text_pair;

START_TEST(pairs_round_trip)
{
    const mill_type *pair = mill_type_pair(context, mill_type_text(), mill_type_bytes(), &err);
    ck_assert_ptr_nonnull(pair);
    ck_assert_uint_eq(pair->size_bytes, sizeof(text_pair));
    ck_assert_uint_eq(pair->value_at, offsetof(text_pair, value));
    ck_assert_uint_eq(mill_type_width(pair), 0);
    mill_arena arena = {0};
    mill_output out = {0};
    text_pair row = {RMQ_SLICE_LITERAL("key"), RMQ_SLICE_LITERAL("the value")};
    text_pair got;
    round_trip(pair, &row, &got, &out, &arena);
    assert_slice(*(const rmq_slice *)mill_pair_key(&got), row.key);
    assert_slice(*(const rmq_slice *)mill_pair_value(pair, &got), row.value);
    text_pair copy;
    ck_ok(mill_type_copy(pair, &got, &copy, &arena), &err);
    memset(out.data, 'x', out.len);
    assert_slice(copy.key, row.key);
    assert_slice(copy.value, row.value);
    ck_assert(pair->equal(pair, &copy, &row));
    ck_assert_uint_eq(pair->hash(pair, &copy), pair->hash(pair, &row));
    mill_output_deinit(&out);
    mill_arena_deinit(&arena);

    const mill_type *numbers = mill_type_pair(context, mill_type_int64(), mill_type_double(), &err);
    ck_assert_uint_eq(mill_type_width(numbers), 16);
}
END_TEST

START_TEST(broken_types_are_refused)
{
    mill_type type = {.name = "t", .size_bytes = 8};
    ck_assert_ptr_null(mill_type_pair(context, &type, mill_type_int64(), &err));
    ck_assert_int_eq(err.status, RMQ_INVAL);
    type.struct_size = sizeof(type);
    ck_ok(mill_type_check(&type, &err), &err);
    type.serialize = mill_type_text()->serialize;
    ck_status(mill_type_check(&type, &err), RMQ_INVAL);
    type.serialize = NULL;
    type.size_bytes = 0;
    ck_status(mill_type_check(&type, &err), RMQ_INVAL);
    ck_status(mill_type_check(NULL, &err), RMQ_INVAL);
}
END_TEST

START_TEST(numbers_are_big_endian)
{
    mill_output out = {0};
    mill_put_u8(&out, 0xfe);
    mill_put_u32(&out, 0x01020304);
    mill_put_int64(&out, -2);
    mill_put_double(&out, -1.5);
    mill_put_slice(&out, RMQ_SLICE_LITERAL("ab"));
    static const unsigned char expected[] = {0xfe, 1,    2,    3,    4,    0xff, 0xff, 0xff, 0xff,
                                             0xff, 0xff, 0xff, 0xfe, 0xbf, 0xf8, 0,    0,    0,
                                             0,    0,    0,    0,    0,    0,    2,    'a',  'b'};
    ck_assert_uint_eq(out.len, sizeof(expected));
    ck_assert_mem_eq(out.data, expected, sizeof(expected));
    mill_input in = {.data = out.data, .left = out.len};
    ck_assert_uint_eq(mill_get_u8(&in), 0xfe);
    ck_assert_uint_eq(mill_get_u32(&in), 0x01020304);
    ck_assert_int_eq(mill_get_int64(&in), -2);
    ck_assert_double_eq(mill_get_double(&in), -1.5);
    assert_slice(mill_get_slice(&in), RMQ_SLICE_LITERAL("ab"));
    ck_assert(!in.bad);
    ck_assert_uint_eq(mill_get_u32(&in), 0);
    ck_assert(in.bad);
    ck_assert_int_eq(mill_get_int64(&in), 0);
    ck_assert_uint_eq(mill_get_slice(&in).len, 0);
    mill_output_deinit(&out);
}
END_TEST

START_TEST(a_slice_length_beyond_the_input_is_bad)
{
    mill_output out = {0};
    mill_put_u32(&out, UINT32_MAX);
    mill_put_raw(&out, "abc", 3);
    mill_input in = {.data = out.data, .left = out.len};
    rmq_slice got = mill_get_slice(&in);
    ck_assert_ptr_null(got.data);
    ck_assert_uint_eq(got.len, 0);
    ck_assert(in.bad);
    mill_output_deinit(&out);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("type");
    TCase *tc = tcase_create("type");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, message_round_trips_with_all_fields);
    tcase_add_test(tc, text_round_trips_and_compares);
    tcase_add_test(tc, doubles_that_are_one_key_are_equal);
    tcase_add_test(tc, hashes_never_change);
    tcase_add_test(tc, hashes_spread_over_partitions);
    tcase_add_test(tc, pairs_are_one_type_each_and_aligned);
    tcase_add_test(tc, pairs_round_trip);
    tcase_add_test(tc, broken_types_are_refused);
    tcase_add_test(tc, numbers_are_big_endian);
    tcase_add_test(tc, a_slice_length_beyond_the_input_is_bad);
    suite_add_tcase(suite, tc);
    return suite;
}
