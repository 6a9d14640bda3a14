#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rmq/json.h>

#include "../../proto/command.h"
#include "../support/fault_alloc.h"
#include "golden_commands.h"

static void check_slice(rmq_slice slice, const char *expected, size_t len)
{
    ck_assert_msg(slice.len == len && (len == 0 || memcmp(slice.data, expected, len) == 0),
                  "%.*s, expected %s", (int)slice.len, slice.data, expected);
}

static void check_values(const rmq_command *command, const golden_command *golden)
{
    ck_assert_int_eq(command->code, golden->code);
    ck_assert_int_eq(command->language, golden->language);
    ck_assert_int_eq(command->version, golden->version);
    ck_assert_int_eq(command->opaque, golden->opaque);
    ck_assert_int_eq(command->flag, golden->flag);
    ck_assert_int_eq(command->has_remark, golden->remark != NULL);
    if (golden->remark != NULL)
        check_slice(command->remark, golden->remark, golden->remark_len);
    ck_assert_uint_eq(command->n_fields, golden->n_fields);
    for (size_t i = 0; i < golden->n_fields; i++) {
        check_slice(command->fields[i].key, golden->fields[i].key, strlen(golden->fields[i].key));
        check_slice(command->fields[i].value, golden->fields[i].value, golden->fields[i].value_len);
    }
    ck_assert_uint_eq(command->body.len, golden->body_len);
}

static rmq_frame *load_frame(const char *name, uint8_t **out_bytes, size_t *out_len)
{
    golden_load(name, out_bytes, out_len);
    rmq_frame *frame;
    rmq_error err;
    ck_ok(rmq_frame_from_bytes(*out_bytes, *out_len, &frame, &err), &err);
    return frame;
}

START_TEST(golden_values)
{
    uint8_t *bytes;
    size_t len;
    const golden_command *golden = &golden_commands[_i];
    rmq_frame *frame = load_frame(golden->name, &bytes, &len);
    rmq_command command;
    rmq_error err;
    ck_ok(rmq_command_decode(frame, &command, &err), &err);
    check_values(&command, golden);
    ck_assert_ptr_eq(command.body.data, frame->body.data);
    ck_assert_int_eq(rmq_command_is_response(&command), golden->flag & 1);
    ck_assert_int_eq(rmq_command_is_oneway(&command), (golden->flag & 2) != 0);
    for (size_t i = 0; i < golden->n_fields; i++) {
        rmq_slice value;
        ck_assert(rmq_command_get(&command, golden->fields[i].key, &value));
        check_slice(value, golden->fields[i].value, golden->fields[i].value_len);
    }
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    free(bytes);
}
END_TEST

/* Binary: the very bytes. JSON: the same values, whatever the order of keys. */
START_TEST(golden_encode_back)
{
    uint8_t *bytes;
    size_t len;
    const golden_command *golden = &golden_commands[_i];
    rmq_frame *frame = load_frame(golden->name, &bytes, &len);
    rmq_command command;
    rmq_error err;
    ck_ok(rmq_command_decode(frame, &command, &err), &err);
    for (int serialization = 0; serialization <= 1; serialization++) {
        rmq_buf out;
        rmq_buf_init(&out, 1 << 20);
        rmq_status status = rmq_command_encode(&command, serialization, &out, &err);
        if (serialization == RMQ_SERIALIZATION_BINARY && golden->code > INT16_MAX) {
            ck_status(status, RMQ_PROTO);
            ck_assert_uint_eq(out.len, 0);
            rmq_buf_deinit(&out);
            continue;
        }
        ck_ok(status, &err);
        if (serialization == golden->serialization &&
            golden->serialization == RMQ_SERIALIZATION_BINARY) {
            ck_assert_uint_eq(out.len, len);
            ck_assert_mem_eq(out.data, bytes, len);
        }
        rmq_frame *again;
        ck_ok(rmq_frame_from_bytes(out.data, out.len, &again, &err), &err);
        ck_assert_int_eq(again->serialization, serialization);
        rmq_command decoded;
        ck_ok(rmq_command_decode(again, &decoded, &err), &err);
        check_values(&decoded, golden);
        check_slice(decoded.body, command.body.data, command.body.len);
        rmq_command_deinit(&decoded);
        rmq_frame_unref(again);
        rmq_buf_deinit(&out);
    }
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    free(bytes);
}
END_TEST

/* The header cut at every prefix, in memory of exactly that size: always PROTO. */
START_TEST(golden_headers_cut)
{
    uint8_t *bytes;
    size_t len;
    const golden_command *golden = &golden_commands[_i];
    golden_load(golden->name, &bytes, &len);
    size_t header_len = (size_t)bytes[6] << 8 | bytes[7];
    for (size_t cut = 0; cut < header_len; cut++) {
        uint8_t *cut_bytes = malloc(8 + cut);
        memcpy(cut_bytes, bytes, 8 + cut);
        memset(cut_bytes, 0, 4);
        cut_bytes[2] = (uint8_t)((cut + 4) >> 8);
        cut_bytes[3] = (uint8_t)(cut + 4);
        cut_bytes[6] = (uint8_t)(cut >> 8);
        cut_bytes[7] = (uint8_t)cut;
        rmq_frame *frame;
        rmq_command command;
        rmq_error err;
        ck_ok(rmq_frame_from_bytes(cut_bytes, 8 + cut, &frame, &err), &err);
        ck_assert_msg(rmq_command_decode(frame, &command, &err) == RMQ_PROTO, "cut at %zu of %zu",
                      cut, header_len);
        ck_assert_ptr_null(command.fields);
        ck_assert_ptr_null(command.scratch);
        rmq_frame_unref(frame);
        free(cut_bytes);
    }
    ck_assert_uint_ge(header_len, 40);
    free(bytes);
}
END_TEST

/* Every byte of the header changed, to several values: PROTO or some command that encodes again,
 * never a read outside (the sanitizers watch). */
START_TEST(golden_headers_corrupted)
{
    uint8_t *bytes;
    size_t len;
    const golden_command *golden = &golden_commands[_i];
    golden_load(golden->name, &bytes, &len);
    size_t header_len = (size_t)bytes[6] << 8 | bytes[7];
    static const uint8_t changes[] = {0x01, 0x20, 0x80, 0xFF};
    int refused = 0;
    for (size_t i = 0; i < header_len * 4; i++) {
        bytes[8 + i / 4] ^= changes[i % 4];
        rmq_frame *frame;
        rmq_command command;
        rmq_error err;
        ck_ok(rmq_frame_from_bytes(bytes, len, &frame, &err), &err);
        rmq_status status = rmq_command_decode(frame, &command, &err);
        if (status == RMQ_OK) {
            rmq_buf out;
            rmq_buf_init(&out, 1 << 20);
            ck_ok(rmq_command_encode(&command, RMQ_SERIALIZATION_JSON, &out, &err), &err);
            rmq_buf_deinit(&out);
            rmq_command_deinit(&command);
        } else {
            ck_status(status, RMQ_PROTO);
            refused++;
        }
        rmq_frame_unref(frame);
        bytes[8 + i / 4] ^= changes[i % 4];
    }
    ck_assert_int_ge(refused, 10);
    free(bytes);
}
END_TEST

START_TEST(a_command_starts_as_ours)
{
    rmq_command command;
    rmq_command_init(&command, 310);
    ck_assert_int_eq(command.code, 310);
    ck_assert_int_eq(command.language, RMQ_LANGUAGE_CPP);
    ck_assert_int_eq(command.version, 493);
    ck_assert_int_eq(command.flag, 0);
    ck_assert(!command.has_remark);
    ck_assert_uint_eq(command.n_fields, 0);
    rmq_command_deinit(&command);
}
END_TEST

static void set_some(rmq_command *command)
{
    rmq_command_init(command, 11);
    rmq_command_set(command, "topic", "T");
    rmq_command_set_int(command, "offset", INT64_MIN);
    rmq_command_set_int(command, "queueId", 7);
    rmq_command_set_bool(command, "yes", true);
    rmq_command_set_bool(command, "no", false);
    rmq_command_set_slice(command, "properties", RMQ_SLICE_LITERAL("a\x01\x62\x02\xFF\"\\"));
    rmq_command_set_remark(command, "why\n");
}

START_TEST(setters_and_getters)
{
    rmq_command command;
    set_some(&command);
    char key[] = "dynamic";
    char value[] = "before";
    rmq_command_set(&command, key, value);
    memset(key, 'x', 7);
    memset(value, 'x', 6);
    rmq_slice text;
    ck_assert(rmq_command_get(&command, "dynamic", &text) && rmq_slice_equals(text, "before"));
    rmq_command_set(&command, "dynamic", "after");
    ck_assert(rmq_command_get(&command, "dynamic", &text) && rmq_slice_equals(text, "after"));
    ck_assert_uint_eq(command.n_fields, 7);
    rmq_command_set(&command, "dynamic", NULL);
    rmq_command_set(&command, "absent", NULL);
    rmq_command_set_remark(&command, NULL);
    ck_assert_uint_eq(command.n_fields, 7);
    ck_assert(rmq_slice_equals(command.remark, "why\n"));
    int64_t big = 0;
    int32_t small = 99;
    bool truth = false;
    ck_assert(rmq_command_get_int64(&command, "offset", &big) && big == INT64_MIN);
    ck_assert(!rmq_command_get_int32(&command, "offset", &small) && small == 99);
    ck_assert(rmq_command_get_int32(&command, "queueId", &small) && small == 7);
    ck_assert(rmq_command_get_bool(&command, "yes", &truth) && truth);
    ck_assert(rmq_command_get_bool(&command, "no", &truth) && !truth);
    ck_assert(!rmq_command_get_bool(&command, "topic", &truth));
    ck_assert(!rmq_command_get_int64(&command, "topic", &big) && big == INT64_MIN);
    ck_assert(!rmq_command_get(&command, "topi", &text) && rmq_slice_equals(text, "after"));
    ck_assert(!rmq_command_get(&command, "topic ", &text));
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(malformed_integers_are_absent)
{
    static const char *const bad[] = {"",    "-",   " 1",  "1 ", "+1",  "1.0",
                                      "0x1", "1e3", "--1", "1-", "nan", "9223372036854775808"};
    rmq_command command;
    rmq_command_init(&command, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rmq_command_set(&command, "n", bad[i]);
        int64_t value = 5;
        ck_assert_msg(!rmq_command_get_int64(&command, "n", &value) && value == 5, "%s", bad[i]);
    }
    int32_t small = 5;
    rmq_command_set_int(&command, "n", INT32_MAX);
    ck_assert(rmq_command_get_int32(&command, "n", &small) && small == INT32_MAX);
    rmq_command_set_int(&command, "n", (int64_t)INT32_MAX + 1);
    ck_assert(!rmq_command_get_int32(&command, "n", &small));
    rmq_command_set_int(&command, "n", INT32_MIN);
    ck_assert(rmq_command_get_int32(&command, "n", &small) && small == INT32_MIN);
    rmq_command_deinit(&command);
}
END_TEST

/* What was set comes out, in both serializations; also bytes that are no UTF-8, and zeros. */
START_TEST(a_round_trip)
{
    rmq_command command;
    set_some(&command);
    rmq_command_set_slice(&command, "zero", RMQ_SLICE_LITERAL("a\0b"));
    command.opaque = -5;
    command.flag = 3;
    command.body = RMQ_SLICE_LITERAL("the \0 body");
    rmq_buf out;
    rmq_buf_init(&out, 1000);
    rmq_buf_append_u8(&out, 0xAA);
    rmq_error err;
    ck_ok(rmq_command_encode(&command, _i, &out, &err), &err);
    rmq_frame *frame;
    ck_ok(rmq_frame_from_bytes(out.data + 1, out.len - 1, &frame, &err), &err);
    rmq_command decoded;
    ck_ok(rmq_command_decode(frame, &decoded, &err), &err);
    ck_assert_int_eq(decoded.code, 11);
    ck_assert_int_eq(decoded.opaque, -5);
    ck_assert_int_eq(decoded.flag, 3);
    ck_assert(decoded.has_remark && rmq_slice_equals(decoded.remark, "why\n"));
    ck_assert_uint_eq(decoded.n_fields, command.n_fields);
    for (size_t i = 0; i < command.n_fields; i++) {
        check_slice(decoded.fields[i].key, command.fields[i].key.data, command.fields[i].key.len);
        check_slice(decoded.fields[i].value, command.fields[i].value.data,
                    command.fields[i].value.len);
    }
    check_slice(decoded.body, command.body.data, command.body.len);
    rmq_command_deinit(&decoded);
    rmq_frame_unref(frame);
    rmq_buf_deinit(&out);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(a_failed_encode_takes_back_what_it_appended)
{
    rmq_command command;
    set_some(&command);
    rmq_buf reference;
    rmq_buf_init(&reference, 1000);
    rmq_error err;
    ck_ok(rmq_command_encode(&command, _i, &reference, &err), &err);
    for (size_t cap = 3; cap < reference.len + 3; cap++) {
        rmq_buf out;
        rmq_buf_init(&out, cap);
        rmq_buf_append(&out, "abc", 3);
        ck_status(rmq_command_encode(&command, _i, &out, &err), RMQ_FULL);
        ck_assert_uint_eq(out.len, 3);
        ck_assert_int_eq(out.failed, RMQ_OK);
        rmq_buf_deinit(&out);
    }
    rmq_buf out;
    rmq_buf_init(&out, reference.len + 3);
    rmq_buf_append(&out, "abc", 3);
    ck_ok(rmq_command_encode(&command, _i, &out, &err), &err);
    ck_assert_mem_eq(out.data + 3, reference.data, reference.len);
    rmq_buf_append_u8(&out, 1);
    ck_status(rmq_command_encode(&command, _i, &out, &err), RMQ_FULL);
    ck_assert_uint_eq(out.len, reference.len + 3);
    rmq_buf_deinit(&out);
    rmq_buf_deinit(&reference);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(the_number_of_fields_is_capped)
{
    rmq_command command;
    rmq_command_init(&command, 1);
    char key[16];
    for (int i = 0; i < RMQ_MAX_EXT_FIELDS; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        rmq_command_set_int(&command, key, i);
    }
    rmq_buf out;
    rmq_buf_init(&out, 1 << 20);
    rmq_error err;
    ck_ok(rmq_command_encode(&command, _i, &out, &err), &err);
    rmq_frame *frame;
    ck_ok(rmq_frame_from_bytes(out.data, out.len, &frame, &err), &err);
    rmq_command decoded;
    ck_ok(rmq_command_decode(frame, &decoded, &err), &err);
    ck_assert_uint_eq(decoded.n_fields, RMQ_MAX_EXT_FIELDS);
    int32_t last;
    ck_assert(rmq_command_get_int32(&decoded, "k1023", &last) && last == 1023);
    rmq_command_deinit(&decoded);
    rmq_frame_unref(frame);
    rmq_command_set_int(&command, "k5", 6);
    ck_assert_int_eq(command.failed, RMQ_OK);
    rmq_command_set_int(&command, "one more", 1);
    rmq_command_set_int(&command, "and more", 1);
    ck_status(rmq_command_encode(&command, _i, &out, &err), RMQ_FULL);
    rmq_buf_deinit(&out);
    rmq_command_deinit(&command);
}
END_TEST

/* Build, encode, split, decode, with the nth allocation failing. */
static rmq_status once_around(int serialization, rmq_error *err)
{
    rmq_command command;
    rmq_command decoded;
    rmq_buf out;
    rmq_frame *frame = NULL;
    bool have_decoded = false;
    rmq_buf_init(&out, 4096);
    set_some(&command);
    char key[16];
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "key \n%d", i);
        rmq_command_set_int(&command, key, i);
    }
    rmq_status status = rmq_command_encode(&command, serialization, &out, err);
    if (status == RMQ_OK)
        status = rmq_frame_from_bytes(out.data, out.len, &frame, err);
    if (status == RMQ_OK) {
        status = rmq_command_decode(frame, &decoded, err);
        have_decoded = status == RMQ_OK;
    }
    if (have_decoded) {
        ck_assert_uint_eq(decoded.n_fields, 26);
        rmq_command_deinit(&decoded);
    }
    rmq_frame_unref(frame);
    rmq_command_deinit(&command);
    rmq_buf_deinit(&out);
    return status;
}

START_TEST(memory_running_out_is_nomem)
{
    int points = 0;
    for (int64_t nth = 0;; nth++) {
        rmq_error err;
        fault_alloc_fail(nth);
        rmq_status status = once_around(_i, &err);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0) {
            ck_ok(status, &err);
            break;
        }
        ck_status(status, RMQ_NOMEM);
        points++;
    }
    fault_alloc_off();
    ck_assert_int_ge(points, 9);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("command");
    TCase *tc = tcase_create("golden");
    tcase_add_loop_test(tc, golden_values, 0, n_golden_commands);
    tcase_add_loop_test(tc, golden_encode_back, 0, n_golden_commands);
    tcase_add_loop_test(tc, golden_headers_cut, 0, n_golden_commands);
    tcase_add_loop_test(tc, golden_headers_corrupted, 0, n_golden_commands);
    suite_add_tcase(suite, tc);
    tc = tcase_create("command");
    tcase_add_test(tc, a_command_starts_as_ours);
    tcase_add_test(tc, setters_and_getters);
    tcase_add_test(tc, malformed_integers_are_absent);
    tcase_add_loop_test(tc, a_round_trip, 0, 2);
    tcase_add_loop_test(tc, a_failed_encode_takes_back_what_it_appended, 0, 2);
    tcase_add_loop_test(tc, the_number_of_fields_is_capped, 0, 2);
    tcase_add_loop_test(tc, memory_running_out_is_nomem, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
