#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../proto/record.h"

#define REGION "MSG_REGION\001DefaultRegion\002"
#define CLUSTER "CLUSTER\001DefaultCluster\002"
#define JAVA_KEY "UNIQ_KEY\001FD0000000000000000000000000000023ABC1DBD16A67263"
#define GOLD_KEY "UNIQ_KEY\0017F0000010001000000010000000A000"
#define TRACE "TRACE_ON\001true\002"
#define WAIT "WAIT\001true\002"
#define LONG_TOPIC                                                                                 \
    "%RETRY%gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg_ProtoLongttttttt"         \
    "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"

/* What each golden record holds. `body` is one period of the decompressed body. */
typedef struct expected_record {
    int64_t queue_offset;
    int64_t physical_offset;
    int64_t born_ms;
    int64_t store_ms;
    int64_t prepared;
    const char *topic;
    const char *properties;
    const char *body;
    size_t body_len;
    int32_t sys_flag;
    int32_t born_port;
    int32_t reconsume_times;
    bool born_v6;
} expected_record;

static const expected_record zlib_and_batch[] = {
    {0, 1799551546, 1700000000000, 1795410636501, 0, "GoldT1795410635x",
     REGION GOLD_KEY "2\002" CLUSTER "TAGS\001Z\002" WAIT TRACE, "A", 5000, 0x300, 51412, 0, false},
    {1, 1799551803, 1700000000000, 1795410636502, 0, "GoldT1795410635x",
     "TAGS\001TB\002" GOLD_KEY "3\002" WAIT, "b0", 2, 0, 51412, 0, false},
};

#define COMPRESSED "rocketmq-compress-", 6000

static const expected_record java_mix[] = {
    {0, 1799545960, 1795410352684, 1795410352697, 0, "ProtoCap",
     REGION JAVA_KEY "F22B0000\002" CLUSTER "TAGS\001TagZLIB\002KEYS\001key1\002" WAIT TRACE,
     COMPRESSED, 0x300, 58810, 0, false},
    {1, 1799546276, 1795410352713, 1795410352715, 0, "ProtoCap",
     REGION "up\001uv\002" JAVA_KEY "F2490001\002" CLUSTER
            "TAGS\001TagN\002KEYS\001k1 k2\002" WAIT TRACE,
     "plain", 5, 0, 58810, 0, false},
    {2, 1799546545, 1795410352717, 1795410352719, 0, "ProtoCap",
     "KEYS\001kb\002" JAVA_KEY "F24D0002\002" WAIT "TAGS\001TagB\002", "b0", 2, 0, 58810, 0, false},
    {3, 1799546740, 1795410352717, 1795410352719, 0, "ProtoCap",
     "KEYS\001kb\002" JAVA_KEY "F24D0003\002" WAIT "TAGS\001TagB\002", "b1", 2, 0, 58810, 0, false},
    {5, 1799547829, 1795410352723, 1795410353790, 0, "ProtoCap",
     REGION JAVA_KEY "F2530006\002" CLUSTER "DELAY\0011\002TAGS\001TagD\002" WAIT TRACE
                     "REAL_TOPIC\001ProtoCap\002REAL_QID\0010\002",
     "dly", 3, 0, 58810, 0, false},
    {6, 1799548118, 1795410354504, 1795410354511, 0, "ProtoCap",
     REGION JAVA_KEY "F8950008\002" CLUSTER "TAGS\001TagLZ4\002KEYS\001key1\002" WAIT TRACE,
     COMPRESSED, 0x100, 53862, 0, false},
    {7, 1799548444, 1795410354603, 1795410354652, 0, "ProtoCap",
     REGION JAVA_KEY "F9880009\002" CLUSTER "TAGS\001TagZSTD\002KEYS\001key1\002" WAIT TRACE,
     COMPRESSED, 0x200, 53878, 0, false},
    {8, 1799549143, 1795410354784, 1795410354801, 1799548742, "ProtoCap",
     REGION JAVA_KEY
     "FA60000A\002" CLUSTER "PGROUP\001PG_captx\002__transactionId__\001FD00000000"
     "00000000000000000000023ABC1DBD16A67263FA60000A\002TAGS\001TagX\002TRAN_MSG\001"
     "true\002" WAIT TRACE,
     "tx", 2, 8, 53890, 0, false},
};

static const expected_record magic_v2[] = {
    {0, 1799544656, 1795410223937, 1795410229006, 0, LONG_TOPIC,
     "ORIGIN_GROUP\001gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg\002UNIQ_KEY\001F"
     "D00000000000000000000000000000212E75FFD2B277261FB420030\002" CLUSTER TRACE
     "1ST_POP_TIME\0011795410223947\002" REGION,
     "long", 4, 0, 10911, 1, false},
};

static const expected_record bornhost_v6[] = {
    {4, 1799541972, 1795410223412, 1795410223414, 0, "ProtoHash",
     REGION "UNIQ_KEY\001FD00000000000000000000000000000212E75FFD2B277261F936002E\002" CLUSTER
            "TAGS\001v6\002" TRACE,
     "v6", 2, 0x10, 37728, 0, true},
};

static const struct golden {
    const char *name;
    const expected_record *records;
    size_t n_records;
} goldens[] = {
    {"pull_body_zlib_and_batch", zlib_and_batch, 2},
    {"pull_body_java_client_mix", java_mix, 8},
    {"record_magic_v2", magic_v2, 1},
    {"record_bornhost_v6", bornhost_v6, 1},
};
#define N_GOLDENS 4

static const rmq_decode_options everything = {.end_offset = INT64_MAX};

static bool built_in(int32_t compression_bits)
{
    return compression_bits == 0x100   ? rmq_compression_available(RMQ_COMPRESSION_LZ4)
           : compression_bits == 0x200 ? rmq_compression_available(RMQ_COMPRESSION_ZSTD)
                                       : true;
}

static void check_body(const rmq_message *m, const expected_record *expected)
{
    if (!built_in(expected->sys_flag & RMQ_SYSFLAG_COMPRESSION_MASK)) {
        ck_assert_int_eq(m->body_status, RMQ_UNSUPPORTED);
        return;
    }
    ck_assert_int_eq(m->body_status, RMQ_OK);
    ck_assert_int_eq(m->sys_flag, expected->sys_flag);
    ck_assert_uint_eq(m->body.len, expected->body_len);
    size_t period = strlen(expected->body);
    for (size_t i = 0; i < m->body.len; i++)
        ck_assert_int_eq(m->body.data[i], expected->body[i % period]);
}

static void check_message(const rmq_message *m, const expected_record *expected)
{
    static const uint8_t loopback_v4[16] = {127, 0, 0, 1};
    static const uint8_t loopback_v6[16] = {[15] = 1};
    ck_assert_int_eq(m->queue_id, 0);
    ck_assert_int_eq(m->flag, 0);
    ck_assert_int_eq(m->queue_offset, expected->queue_offset);
    ck_assert_int_eq(m->physical_offset, expected->physical_offset);
    ck_assert_int_eq(m->born_timestamp_ms, expected->born_ms);
    ck_assert_int_eq(m->store_timestamp_ms, expected->store_ms);
    ck_assert_int_eq(m->prepared_transaction_offset, expected->prepared);
    ck_assert_int_eq(m->reconsume_times, expected->reconsume_times);
    ck_assert_uint_eq(m->born_host.address_bytes, expected->born_v6 ? 16 : 4);
    ck_assert_mem_eq(m->born_host.address, expected->born_v6 ? loopback_v6 : loopback_v4, 16);
    ck_assert_int_eq(m->born_host.port, expected->born_port);
    ck_assert_uint_eq(m->store_host.address_bytes, 4);
    ck_assert_mem_eq(m->store_host.address, loopback_v4, 16);
    ck_assert_int_eq(m->store_host.port, 10911);
    ck_assert_msg(rmq_slice_equals(m->topic, expected->topic), "%.*s", (int)m->topic.len,
                  m->topic.data);
    ck_assert_msg(rmq_slice_equals(m->properties, expected->properties), "%.*s",
                  (int)m->properties.len, m->properties.data);
    ck_assert(rmq_slice_equals(m->broker_name, "broker-a"));
    check_body(m, expected);
}

START_TEST(golden_values)
{
    const struct golden *golden = &goldens[_i];
    uint8_t *data;
    size_t len;
    golden_load(golden->name, &data, &len);
    char broker_name[] = "broker-a";
    rmq_decode_options options = {.end_offset = INT64_MAX,
                                  .broker_name = {broker_name, 8},
                                  .topic = rmq_slice_of(golden->records[0].topic),
                                  .queue_id = 0};
    rmq_batch *batch = NULL;
    rmq_error err;
    ck_ok(rmq_batch_decode((rmq_slice){(char *)data, len}, NULL, &options, &batch, &err), &err);
    memset(broker_name, 'x', sizeof(broker_name)); /* it was copied */
    ck_assert_uint_eq(rmq_batch_count(batch), golden->n_records);
    for (size_t i = 0; i < golden->n_records; i++)
        check_message(rmq_batch_at(batch, i), &golden->records[i]);
    ck_assert_uint_gt(rmq_batch_bytes(batch), golden->n_records * sizeof(rmq_message));
    rmq_batch_unref(batch);
    free(data);
}
END_TEST

/* Decodes `len` bytes that end where their memory ends, so that ASan sees a read past it. */
static rmq_status decode_copy(const uint8_t *data, size_t len, const rmq_decode_options *options,
                              rmq_batch **out_batch)
{
    char *copy = malloc(len > 0 ? len : 1);
    if (len > 0)
        memcpy(copy, data, len);
    rmq_error err;
    rmq_status status = rmq_batch_decode((rmq_slice){copy, len}, NULL, options, out_batch, &err);
    if (status != RMQ_OK)
        ck_assert_msg(err.status == status && strncmp(err.text, "record ", 7) == 0, "%s", err.text);
    free(copy);
    return status;
}

/* Ends of the records, for a body that is known to be good. */
static bool is_record_end(const uint8_t *data, size_t at)
{
    size_t end = 0;
    while (end < at)
        end += (size_t)data[end] << 24 | (size_t)data[end + 1] << 16 | (size_t)data[end + 2] << 8 |
               data[end + 3];
    return end == at;
}

START_TEST(golden_cut_at_every_prefix)
{
    uint8_t *data;
    size_t len;
    golden_load(goldens[_i].name, &data, &len);
    for (size_t cut = 0; cut < len; cut++) {
        rmq_batch *batch = NULL;
        rmq_status status = decode_copy(data, cut, &everything, &batch);
        rmq_status expected = is_record_end(data, cut) ? RMQ_OK : RMQ_PROTO;
        ck_assert_msg(status == expected, "%d cut at %zu: %s", _i, cut, rmq_status_name(status));
        ck_assert_msg((batch != NULL) == (status == RMQ_OK), "untouched on failure");
        rmq_batch_unref(batch);
    }
    free(data);
}
END_TEST

/* Where the length fields of the first record of a golden body stand. */
typedef struct length_field {
    size_t at;
    size_t bytes;
} length_field;

static void find_lengths(const uint8_t *data, size_t golden, length_field out_fields[4])
{
    size_t body_at = goldens[golden].records[0].born_v6 ? 84 + 12 : 84;
    size_t body_len = (size_t)data[body_at] << 24 | (size_t)data[body_at + 1] << 16 |
                      (size_t)data[body_at + 2] << 8 | data[body_at + 3];
    size_t topic_at = body_at + 4 + body_len;
    size_t topic_bytes = goldens[golden].records == magic_v2 ? 2 : 1;
    size_t topic_len = strlen(goldens[golden].records[0].topic);
    out_fields[0] = (length_field){0, 4};
    out_fields[1] = (length_field){body_at, 4};
    out_fields[2] = (length_field){topic_at, topic_bytes};
    out_fields[3] = (length_field){topic_at + topic_bytes + topic_len, 2};
}

/* Each length field, each with small errors and with the extremes of its type. */
START_TEST(golden_lengths_that_lie)
{
    static const int64_t deltas[] = {1, -1, 2, -2, 7, -40, 256};
    uint8_t *data;
    size_t len;
    golden_load(goldens[_i].name, &data, &len);
    length_field fields[4];
    find_lengths(data, (size_t)_i, fields);
    uint8_t *bad = malloc(len);
    for (size_t f = 0; f < 4; f++) {
        uint64_t was = 0;
        for (size_t b = 0; b < fields[f].bytes; b++)
            was = was << 8 | data[fields[f].at + b];
        uint64_t all_ones = (UINT64_C(1) << (8 * fields[f].bytes)) - 1;
        for (size_t d = 0; d < 7 + 4; d++) {
            uint64_t value = d < 7    ? (was + (uint64_t)deltas[d]) & all_ones
                             : d == 7 ? all_ones
                             : d == 8 ? all_ones >> 1
                             : d == 9 ? (all_ones >> 1) + 1
                                      : 0;
            if (value == was)
                continue;
            memcpy(bad, data, len);
            for (size_t b = 0; b < fields[f].bytes; b++)
                bad[fields[f].at + b] = (uint8_t)(value >> (8 * (fields[f].bytes - 1 - b)));
            rmq_batch *batch = NULL;
            rmq_status status = decode_copy(bad, len, &everything, &batch);
            ck_assert_msg(status == RMQ_PROTO, "%d field %zu = %llu: %s", _i, f,
                          (unsigned long long)value, rmq_status_name(status));
        }
    }
    free(bad);
    free(data);
}
END_TEST

/* Any one byte changed: decoded or refused, never anything else (ASan and UBSan watch). */
START_TEST(golden_with_any_byte_changed)
{
    uint8_t *data;
    size_t len;
    golden_load(goldens[_i].name, &data, &len);
    size_t n_ok = 0;
    for (size_t i = 0; i < len; i++) {
        data[i] ^= (uint8_t)(1u << (i % 8));
        rmq_batch *batch = NULL;
        rmq_status status = decode_copy(data, len, &everything, &batch);
        ck_assert_msg(status == RMQ_OK || status == RMQ_PROTO, "%d, byte %zu: %s", _i, i,
                      rmq_status_name(status));
        n_ok += status == RMQ_OK;
        rmq_batch_unref(batch);
        data[i] ^= (uint8_t)(1u << (i % 8));
    }
    ck_assert_uint_gt(n_ok, len / 2);
    free(data);
}
END_TEST

/* ---- what was asked for ---- */

static rmq_message make_message(int64_t queue_offset, const char *body)
{
    return (rmq_message){.topic = RMQ_SLICE_LITERAL("T"),
                         .queue_id = 3,
                         .queue_offset = queue_offset,
                         .physical_offset = 1000,
                         .born_host = {.address_bytes = 4},
                         .store_host = {.address_bytes = 4},
                         .body = rmq_slice_of(body)};
}

/* A body of records with these offsets. */
static void make_records(const int64_t *offsets, size_t n_offsets, rmq_buf *out)
{
    rmq_buf_init(out, 1 << 20);
    for (size_t i = 0; i < n_offsets; i++) {
        rmq_message message = make_message(offsets[i], "body");
        rmq_record_encode(&message, out);
    }
    ck_assert_int_eq(out->failed, RMQ_OK);
}

static const rmq_decode_options queue_3 = {
    .end_offset = INT64_MAX, .topic = {"T", 1}, .queue_id = 3};

static rmq_status decode(const rmq_buf *records, const rmq_decode_options *options,
                         rmq_batch **out_batch, rmq_error *err)
{
    return rmq_batch_decode((rmq_slice){(char *)records->data, records->len}, NULL, options,
                            out_batch, err);
}

START_TEST(window_drops_outside)
{
    static const int64_t offsets[] = {4, 5, 6, 9, 10, 11};
    rmq_buf records;
    make_records(offsets, 6, &records);
    rmq_decode_options options = queue_3;
    options.start_offset = 5;
    options.end_offset = 10;
    rmq_batch *batch;
    rmq_error err;
    ck_ok(decode(&records, &options, &batch, &err), &err);
    ck_assert_uint_eq(rmq_batch_count(batch), 3);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->queue_offset, 5);
    ck_assert_int_eq(rmq_batch_at(batch, 2)->queue_offset, 9);
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

START_TEST(nothing_is_a_batch)
{
    rmq_batch *batch;
    rmq_error err;
    ck_ok(rmq_batch_decode((rmq_slice){NULL, 0}, NULL, &everything, &batch, &err), &err);
    ck_assert_uint_eq(rmq_batch_count(batch), 0);
    ck_assert_ptr_eq(rmq_batch_ref(batch), batch);
    rmq_batch_unref(batch);
    ck_assert_uint_eq(rmq_batch_count(batch), 0);
    rmq_batch_unref(batch);
    rmq_batch_unref(NULL);
}
END_TEST

static const struct {
    int64_t offsets[3];
    size_t n_offsets;
    int64_t delta;
    const char *topic; /* asked for; NULL: none */
    int32_t queue_id;
    rmq_status expected;
    const char *text;
} asked[] = {
    {{5, 6, 7}, 3, 0, "T", 3, RMQ_OK, ""},
    {{5, 6, 7}, 3, 100, "T", 3, RMQ_OK, ""},
    {{5, 6, 7}, 3, 0, "U", 3, RMQ_PROTO, "record 0 at byte 0: is of topic \"T\", asked for was"},
    {{5, 6, 7}, 3, 0, "TT", 3, RMQ_PROTO, "record 0 at byte 0: is of topic"},
    {{5, 6, 7}, 3, 0, "T", 2, RMQ_PROTO, "record 0 at byte 0: is of queue 3, asked for was 2"},
    {{5, 5, 6}, 3, 0, "T", 3, RMQ_PROTO, "record 1 at byte 96: queue offset 5 follows 5"},
    {{5, 7, 6}, 3, 0, "T", 3, RMQ_PROTO, "record 2 at byte 192: queue offset 6 follows 7"},
    {{5, 7, 6}, 3, 0, NULL, 0, RMQ_OK, ""}, /* an index query: any queue, any order */
    {{-1}, 1, 0, "T", 3, RMQ_PROTO, "record 0 at byte 0: illegal queue offset -1 (delta 0)"},
    {{-1}, 1, 0, NULL, 3, RMQ_PROTO, "record 0 at byte 0: illegal queue offset"},
    {{INT64_MIN}, 1, 0, "T", 3, RMQ_PROTO, "record 0 at byte 0: illegal queue offset"},
    {{-1}, 1, 5, "T", 3, RMQ_PROTO, "record 0 at byte 0: illegal queue offset"},
    {{4}, 1, -5, "T", 3, RMQ_PROTO, "record 0 at byte 0: illegal queue offset 4 (delta -5)"},
    {{INT64_MAX}, 1, 1, "T", 3, RMQ_PROTO, "record 0 at byte 0: illegal queue offset"},
};

START_TEST(answers_to_other_questions)
{
    rmq_buf records;
    make_records(asked[_i].offsets, asked[_i].n_offsets, &records);
    rmq_decode_options options = {.end_offset = INT64_MAX,
                                  .offset_delta = asked[_i].delta,
                                  .topic = rmq_slice_of(asked[_i].topic),
                                  .queue_id = asked[_i].queue_id};
    rmq_batch *batch = NULL;
    rmq_error err = {.status = RMQ_OK};
    rmq_status status = decode(&records, &options, &batch, &err);
    ck_assert_msg(status == asked[_i].expected, "%d: %s", _i, rmq_status_name(status));
    ck_assert_msg(strncmp(err.text, asked[_i].text, strlen(asked[_i].text)) == 0, "%d: %s", _i,
                  err.text);
    if (status == RMQ_OK) {
        ck_assert_uint_eq(rmq_batch_count(batch), asked[_i].n_offsets);
        for (size_t i = 0; i < asked[_i].n_offsets; i++)
            ck_assert_int_eq(rmq_batch_at(batch, i)->queue_offset,
                             asked[_i].offsets[i] + asked[_i].delta);
        rmq_batch_unref(batch);
    }
    ck_status(decode(&records, &options, &batch, NULL), asked[_i].expected);
    if (status == RMQ_OK)
        rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

START_TEST(unknown_magic)
{
    static const int64_t offsets[] = {0};
    rmq_buf records;
    make_records(offsets, 1, &records);
    records.data[7] ^= 1;
    rmq_batch *batch;
    rmq_error err;
    ck_status(decode(&records, &queue_3, &batch, &err), RMQ_PROTO);
    ck_assert_str_eq(err.text, "record 0 at byte 0: unknown magic 0xdaa320a6");
    rmq_buf_deinit(&records);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("record");
    TCase *tc = tcase_create("golden");
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, golden_values, 0, N_GOLDENS);
    tcase_add_loop_test(tc, golden_cut_at_every_prefix, 0, N_GOLDENS);
    tcase_add_loop_test(tc, golden_lengths_that_lie, 0, N_GOLDENS);
    tcase_add_loop_test(tc, golden_with_any_byte_changed, 0, N_GOLDENS);
    suite_add_tcase(suite, tc);
    tc = tcase_create("asked");
    tcase_add_test(tc, window_drops_outside);
    tcase_add_test(tc, nothing_is_a_batch);
    tcase_add_loop_test(tc, answers_to_other_questions, 0, sizeof(asked) / sizeof(*asked));
    tcase_add_test(tc, unknown_magic);
    suite_add_tcase(suite, tc);
    return suite;
}
