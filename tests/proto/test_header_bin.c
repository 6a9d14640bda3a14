#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../proto/command.h"

/* code 17, language 99, version -2, opaque -1, flag 3; then what a test appends. */
static void start_header(rmq_buf *out)
{
    rmq_buf_init(out, 1 << 20);
    rmq_buf_append_u16(out, 17);
    rmq_buf_append_u8(out, 99);
    rmq_buf_append_u16(out, 0xFFFE);
    rmq_buf_append_u32(out, 0xFFFFFFFF);
    rmq_buf_append_u32(out, 3);
}

static void append_field(rmq_buf *out, const char *key, rmq_slice value)
{
    rmq_buf_append_u16(out, (uint16_t)strlen(key));
    rmq_buf_append(out, key, strlen(key));
    rmq_buf_append_u32(out, (uint32_t)value.len);
    rmq_buf_append_slice(out, value);
}

static rmq_status decode(const rmq_buf *header, rmq_command *out_command, rmq_error *err)
{
    rmq_frame frame = {.serialization = RMQ_SERIALIZATION_BINARY,
                       .header = {(const char *)header->data, header->len}};
    return rmq_command_decode(&frame, out_command, err);
}

START_TEST(every_field)
{
    rmq_buf header;
    start_header(&header);
    rmq_buf_append_u32(&header, 3);
    rmq_buf_append(&header, "why", 3);
    rmq_buf_append_u32(&header, 0);
    size_t begin = header.len;
    append_field(&header, "a", RMQ_SLICE_LITERAL("1"));
    append_field(&header, "empty", (rmq_slice){NULL, 0});
    append_field(&header, "", RMQ_SLICE_LITERAL("no key"));
    append_field(&header, "a", RMQ_SLICE_LITERAL("\xFF\0\x01"));
    rmq_buf_patch_u32(&header, begin - 4, (uint32_t)(header.len - begin));
    rmq_command command;
    rmq_error err;
    ck_ok(decode(&header, &command, &err), &err);
    ck_assert_int_eq(command.code, 17);
    ck_assert_int_eq(command.language, 99);
    ck_assert_int_eq(command.version, -2);
    ck_assert_int_eq(command.opaque, -1);
    ck_assert_int_eq(command.flag, 3);
    ck_assert(command.has_remark && rmq_slice_equals(command.remark, "why"));
    ck_assert_uint_eq(command.n_fields, 3);
    rmq_slice value;
    ck_assert(rmq_command_get(&command, "", &value) && rmq_slice_equals(value, "no key"));
    ck_assert(rmq_command_get(&command, "a", &value) && value.len == 3);
    ck_assert(!rmq_command_get(&command, "empty", &value));
    ck_assert_ptr_null(command.scratch);
    rmq_command_deinit(&command);
    rmq_buf_deinit(&header);
}
END_TEST

START_TEST(bytes_after_the_fields_are_skipped)
{
    rmq_buf header;
    start_header(&header);
    rmq_buf_append_u32(&header, 0);
    rmq_buf_append_u32(&header, 0);
    rmq_buf_append_u32(&header, 0x12345678);
    rmq_command command;
    rmq_error err;
    ck_ok(decode(&header, &command, &err), &err);
    ck_assert(!command.has_remark);
    ck_assert_uint_eq(command.n_fields, 0);
    rmq_command_deinit(&command);
    rmq_buf_deinit(&header);
}
END_TEST

/* Each length in turn says something else than the truth. */
START_TEST(lengths_that_lie)
{
    static const uint32_t lies[] = {1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    for (int where = 0; where < 4; where++) {
        rmq_buf header;
        start_header(&header);
        size_t remark_at = header.len;
        rmq_buf_append_u32(&header, 0);
        size_t fields_at = header.len;
        rmq_buf_append_u32(&header, 8);
        size_t key_at = header.len;
        append_field(&header, "k", RMQ_SLICE_LITERAL("v"));
        switch (where) {
        case 0:
            rmq_buf_patch_u32(&header, remark_at, lies[_i]);
            break;
        case 1:
            rmq_buf_patch_u32(&header, fields_at, lies[_i]);
            break;
        case 2:
            header.data[key_at] = (uint8_t)(lies[_i] >> 24);
            header.data[key_at + 1] = 7;
            break;
        default:
            rmq_buf_patch_u32(&header, key_at + 3, lies[_i] == 1 ? 2 : lies[_i]);
            break;
        }
        rmq_command command;
        rmq_error err;
        ck_assert_msg(decode(&header, &command, &err) == RMQ_PROTO, "place %d, lie %d", where, _i);
        ck_assert_ptr_null(command.fields);
        rmq_buf_deinit(&header);
    }
}
END_TEST

START_TEST(a_key_of_more_than_signed_16_bits_is_refused)
{
    rmq_buf header;
    start_header(&header);
    rmq_buf_append_u32(&header, 0);
    rmq_buf_append_u32(&header, 2 + 32768 + 4 + 1);
    rmq_buf_append_u16(&header, 32768);
    memset(rmq_buf_extend(&header, 32768), 'k', 32768);
    rmq_buf_append_u32(&header, 1);
    rmq_buf_append_u8(&header, 'v');
    rmq_command command;
    rmq_error err;
    ck_status(decode(&header, &command, &err), RMQ_PROTO);
    rmq_buf_deinit(&header);
}
END_TEST

static rmq_status encode_code(int32_t code, int32_t version, int32_t language, rmq_buf *out)
{
    rmq_command command;
    rmq_command_init(&command, code);
    command.version = version;
    command.language = language;
    rmq_error err;
    rmq_buf_init(out, 1000);
    rmq_status status = rmq_command_encode(&command, RMQ_SERIALIZATION_BINARY, out, &err);
    rmq_command_deinit(&command);
    return status;
}

/* Code 200050 (POP) cut to 16 bits would be 3442. */
START_TEST(numbers_that_do_not_fit_are_refused)
{
    static const struct {
        int32_t code;
        int32_t version;
        int32_t language;
        rmq_status status;
    } cases[] = {
        {200050, 493, 1, RMQ_PROTO}, {32768, 493, 1, RMQ_PROTO}, {-32769, 493, 1, RMQ_PROTO},
        {32767, 493, 1, RMQ_OK},     {-32768, 493, 1, RMQ_OK},   {1, 32768, 1, RMQ_PROTO},
        {1, -32769, 1, RMQ_PROTO},   {1, 32767, 1, RMQ_OK},      {1, 493, 256, RMQ_PROTO},
        {1, 493, -1, RMQ_PROTO},     {1, 493, 255, RMQ_OK},
    };
    rmq_buf out;
    ck_status(encode_code(cases[_i].code, cases[_i].version, cases[_i].language, &out),
              cases[_i].status);
    if (cases[_i].status == RMQ_OK) {
        ck_assert_uint_eq(out.data[8], (uint8_t)(cases[_i].code >> 8));
        ck_assert_uint_eq(out.data[9], (uint8_t)cases[_i].code);
        ck_assert_uint_eq(out.len, 8 + 21);
    } else {
        ck_assert_uint_eq(out.len, 0);
    }
    rmq_buf_deinit(&out);
}
END_TEST

START_TEST(empty_values_are_left_out)
{
    rmq_command command;
    rmq_command_init(&command, 310);
    rmq_command_set(&command, "a", "");
    rmq_command_set(&command, "b", "x");
    rmq_command_set(&command, "c", "");
    rmq_command_set_remark(&command, "");
    rmq_buf out;
    rmq_buf_init(&out, 1000);
    rmq_error err;
    ck_ok(rmq_header_bin_encode(&command, &out, &err), &err);
    static const uint8_t expected[] = {0x01, 0x36, 1, 0x01, 0xED, 0, 0, 0, 0,   0, 0, 0, 0, 0,  0,
                                       0,    0,    0, 0,    0,    8, 0, 1, 'b', 0, 0, 0, 1, 'x'};
    ck_assert_uint_eq(out.len, sizeof(expected));
    ck_assert_mem_eq(out.data, expected, sizeof(expected));
    rmq_buf_deinit(&out);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(a_key_that_is_too_long_is_refused)
{
    char *key = malloc(32769);
    memset(key, 'k', 32768);
    key[32768] = '\0';
    rmq_command command;
    rmq_command_init(&command, 1);
    rmq_command_set(&command, key, "v");
    rmq_buf out;
    rmq_buf_init(&out, 100000);
    rmq_error err;
    ck_status(rmq_command_encode(&command, RMQ_SERIALIZATION_BINARY, &out, &err), RMQ_PROTO);
    ck_assert_uint_eq(out.len, 0);
    ck_ok(rmq_command_encode(&command, RMQ_SERIALIZATION_JSON, &out, &err), &err);
    rmq_buf_deinit(&out);
    rmq_command_deinit(&command);
    free(key);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("header_bin");
    TCase *tc = tcase_create("header_bin");
    tcase_add_test(tc, every_field);
    tcase_add_test(tc, bytes_after_the_fields_are_skipped);
    tcase_add_loop_test(tc, lengths_that_lie, 0, 4);
    tcase_add_test(tc, a_key_of_more_than_signed_16_bits_is_refused);
    tcase_add_loop_test(tc, numbers_that_do_not_fit_are_refused, 0, 11);
    tcase_add_test(tc, empty_values_are_left_out);
    tcase_add_test(tc, a_key_that_is_too_long_is_refused);
    suite_add_tcase(suite, tc);
    return suite;
}
