#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../proto/command.h"

static rmq_status decode(const char *text, size_t len, rmq_command *out_command, rmq_error *err)
{
    rmq_frame frame = {.serialization = RMQ_SERIALIZATION_JSON, .header = {text, len}};
    return rmq_command_decode(&frame, out_command, err);
}

START_TEST(any_order_any_blanks_unknown_keys)
{
    static const char text[] =
        " { \"later\" : [ { \"x\" : null } ] , \"opaque\" : -7 ,\n\"extFields\" : { \"a\" : \"b\" "
        "} "
        ", \"version\" : \"493\" , \"more\":{} , \"code\" : 17 , \"flag\":1, "
        "\"serializeTypeCurrentRPC\":\"JSON\", \"language\" : \"GO\" } ";
    rmq_command command;
    rmq_error err;
    ck_ok(decode(text, sizeof(text) - 1, &command, &err), &err);
    ck_assert_int_eq(command.code, 17);
    ck_assert_int_eq(command.opaque, -7);
    ck_assert_int_eq(command.version, 493);
    ck_assert_int_eq(command.flag, 1);
    ck_assert_int_eq(command.language, 9);
    ck_assert(!command.has_remark);
    ck_assert_uint_eq(command.n_fields, 1);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(languages)
{
    static const struct {
        const char *json;
        int32_t number;
    } cases[] = {{"\"JAVA\"", 0},
                 {"\"CPP\"", 1},
                 {"\"NODE_JS\"", 13},
                 {"\"OTHER\"", 7},
                 {"\"KLINGON\"", 7},
                 {"\"java\"", 7},
                 {"3", 7},
                 {"null", 7},
                 {"{\"a\":[]}", 7},
                 {"\"\\u0043PP\"", 1}};
    char text[128];
    snprintf(text, sizeof(text), "{\"code\":1,\"opaque\":2,\"language\":%s}", cases[_i].json);
    rmq_command command;
    rmq_error err;
    ck_ok(decode(text, strlen(text), &command, &err), &err);
    ck_assert_int_eq(command.language, cases[_i].number);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(a_language_without_name_is_written_as_other)
{
    rmq_command command;
    rmq_command_init(&command, 1);
    command.language = _i == 0 ? -1 : _i == 1 ? 14 : 255;
    rmq_buf out;
    rmq_buf_init(&out, 1000);
    rmq_error err;
    ck_ok(rmq_header_json_encode(&command, &out, &err), &err);
    rmq_buf_append_u8(&out, 0);
    ck_assert_str_eq((const char *)out.data,
                     "{\"code\":1,\"flag\":0,\"language\":\"OTHER\",\"opaque\""
                     ":0,\"version\":493}");
    rmq_buf_deinit(&out);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(ext_values_of_every_type)
{
    static const char text[] =
        "{\"code\":0,\"opaque\":1,\"extFields\":{\"s\":\"text\",\"n\":12,\"d\":-1.5e3,\"t\":true,"
        "\"f\":false,\"null\":null,\"e\":\"\",\"o\":{\"a\": [1]},\"l\":[ 1,2 ],\"esc\\u0061pe\":"
        "\"k\\u0001v\\u0002\",\"\":\"no key\"}}";
    static const char *const expected[][2] = {
        {"s", "text"},         {"n", "12"},      {"d", "-1.5e3"},
        {"t", "true"},         {"f", "false"},   {"e", ""},
        {"o", "{\"a\": [1]}"}, {"l", "[ 1,2 ]"}, {"escape", "k\x01v\x02"},
        {"", "no key"}};
    rmq_command command;
    rmq_error err;
    ck_ok(decode(text, sizeof(text) - 1, &command, &err), &err);
    ck_assert_uint_eq(command.n_fields, 10);
    for (size_t i = 0; i < 10; i++) {
        ck_assert(rmq_slice_equals(command.fields[i].key, expected[i][0]));
        ck_assert(rmq_slice_equals(command.fields[i].value, expected[i][1]));
    }
    int32_t number;
    bool truth;
    ck_assert(rmq_command_get_int32(&command, "n", &number) && number == 12);
    ck_assert(rmq_command_get_bool(&command, "t", &truth) && truth);
    rmq_slice value;
    ck_assert(!rmq_command_get(&command, "null", &value));
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(of_equal_keys_the_last_counts)
{
    static const char text[] =
        "{\"code\":5,\"opaque\":1,\"extFields\":{\"a\":\"1\",\"b\":\"x\",\"a\":"
        "\"2\"},\"code\":6,\"remark\":\"p\",\"remark\":\"q\"}";
    rmq_command command;
    rmq_error err;
    ck_ok(decode(text, sizeof(text) - 1, &command, &err), &err);
    ck_assert_int_eq(command.code, 6);
    ck_assert(rmq_slice_equals(command.remark, "q"));
    ck_assert_uint_eq(command.n_fields, 3);
    rmq_slice value;
    ck_assert(rmq_command_get(&command, "a", &value) && rmq_slice_equals(value, "2"));
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(bytes_that_are_no_utf8_stay_bytes)
{
    static const char text[] = "{\"code\":0,\"opaque\":1,\"remark\":\"\xFF\xC3\x28 \xE4\xBD\xA0\","
                               "\"extFields\":{\"p\":\"\xED\xA0\x80\\n\xFE\"}}";
    rmq_command command;
    rmq_error err;
    ck_ok(decode(text, sizeof(text) - 1, &command, &err), &err);
    ck_assert(rmq_slice_equals(command.remark, "\xFF\xC3\x28 \xE4\xBD\xA0"));
    rmq_slice value;
    ck_assert(rmq_command_get(&command, "p", &value));
    ck_assert(rmq_slice_equals(value, "\xED\xA0\x80\n\xFE"));
    rmq_buf out;
    rmq_buf_init(&out, 1000);
    ck_ok(rmq_header_json_encode(&command, &out, &err), &err);
    rmq_command again;
    ck_ok(decode((const char *)out.data, out.len, &again, &err), &err);
    ck_assert(rmq_slice_equals(again.remark, "\xFF\xC3\x28 \xE4\xBD\xA0"));
    ck_assert(rmq_command_get(&again, "p", &value));
    ck_assert(rmq_slice_equals(value, "\xED\xA0\x80\n\xFE"));
    rmq_command_deinit(&again);
    rmq_buf_deinit(&out);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(remarks)
{
    static const struct {
        const char *json;
        bool present;
        const char *text;
    } cases[] = {{"null", false, ""}, {"\"\"", true, ""}, {"\"a\\nb\"", true, "a\nb"}};
    char text[128];
    snprintf(text, sizeof(text), "{\"code\":1,\"opaque\":2,\"remark\":%s}", cases[_i].json);
    rmq_command command;
    rmq_error err;
    ck_ok(decode(text, strlen(text), &command, &err), &err);
    ck_assert_int_eq(command.has_remark, cases[_i].present);
    ck_assert(rmq_slice_equals(command.remark, cases[_i].text));
    rmq_command_deinit(&command);
}
END_TEST

static const char *const refused[] = {
    "",
    "null",
    "[]",
    "1",
    "\"x\"",
    "{}",
    "{\"code\":1}",
    "{\"opaque\":1}",
    "{\"code\":null,\"opaque\":1}",
    "{\"code\":1,\"opaque\":2} x",
    "{\"code\":1,\"opaque\":2}{}",
    "{\"code\":1,\"opaque\":2}\x01",
    "{\"code\":2147483648,\"opaque\":2}",
    "{\"code\":1,\"opaque\":-2147483649}",
    "{\"code\":99999999999999999999,\"opaque\":2}",
    "{\"code\":1.5,\"opaque\":2}",
    "{\"code\":\"x\",\"opaque\":2}",
    "{\"code\":true,\"opaque\":2}",
    "{\"code\":1,\"opaque\":2,\"flag\":[]}",
    "{\"code\":1,\"opaque\":2,\"version\":{}}",
    "{\"code\":1,\"opaque\":2,\"remark\":5}",
    "{\"code\":1,\"opaque\":2,\"extFields\":[]}",
    "{\"code\":1,\"opaque\":2,\"extFields\":\"\"}",
    "{\"code\":1,\"opaque\":2,\"extFields\":{\"a\":nul}}",
    "{\"code\":1,\"opaque\":2,\"extFields\":{\"a\":}}",
    "{\"code\":1,\"opaque\":2,\"extFields\":{0:\"a\"}}",
    "{\"code\":1,\"opaque\":2,\"extFields\":{\"a\":\"\x01\"}}",
    "{\"code\":1,\"opaque\":2,}",
    "{0:1,\"code\":1,\"opaque\":2}",
    "{\"code\":1,\"opaque\":2,\"x\":[[[}",
};

START_TEST(what_is_refused)
{
    rmq_command command;
    rmq_error err;
    ck_assert_msg(decode(refused[_i], strlen(refused[_i]), &command, &err) == RMQ_PROTO, "%s",
                  refused[_i]);
    ck_assert_ptr_nonnull(strstr(err.text, "JSON"));
    ck_assert_ptr_null(command.fields);
    ck_assert_ptr_null(command.scratch);
}
END_TEST

START_TEST(the_largest_numbers_fit)
{
    static const char text[] = "{\"code\":2147483647,\"opaque\":-2147483648}";
    rmq_command command;
    rmq_error err;
    ck_ok(decode(text, sizeof(text) - 1, &command, &err), &err);
    ck_assert_int_eq(command.code, INT32_MAX);
    ck_assert_int_eq(command.opaque, INT32_MIN);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(too_many_fields_are_refused)
{
    size_t capacity = 64 * 1024;
    char *text = malloc(capacity);
    char *at = stpcpy(text, "{\"code\":1,\"opaque\":2,\"extFields\":{\"first\":\"\"");
    for (int i = 1; i < RMQ_MAX_EXT_FIELDS; i++)
        at = stpcpy(at, ",\"\":\"\"");
    stpcpy(at, "}}");
    rmq_command command;
    rmq_error err;
    ck_ok(decode(text, strlen(text), &command, &err), &err);
    ck_assert_uint_eq(command.n_fields, RMQ_MAX_EXT_FIELDS);
    rmq_command_deinit(&command);
    stpcpy(at, ",\"\":\"\"}}");
    ck_status(decode(text, strlen(text), &command, &err), RMQ_PROTO);
    free(text);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
    size_t n = 1000000;
    char *text = malloc(n + 100);
    char *at = stpcpy(text, "{\"code\":1,\"opaque\":2,\"x\":");
    memset(at, '[', n);
    rmq_command command;
    rmq_error err;
    ck_status(decode(text, (size_t)(at - text) + n, &command, &err), RMQ_PROTO);
    ck_assert_ptr_nonnull(strstr(err.text, "deep"));
    free(text);
}
END_TEST

START_TEST(the_exact_text)
{
    rmq_command command;
    rmq_command_init(&command, 105);
    command.opaque = -3;
    command.flag = 2;
    rmq_command_set(&command, "topic", "T");
    rmq_command_set(&command, "i", "k\x01\"v\"\x02");
    rmq_command_set(&command, "empty", "");
    rmq_command_set_remark(&command, "");
    rmq_buf out;
    rmq_buf_init(&out, 1000);
    rmq_error err;
    ck_ok(rmq_header_json_encode(&command, &out, &err), &err);
    rmq_buf_append_u8(&out, 0);
    ck_assert_str_eq(
        (const char *)out.data,
        "{\"code\":105,\"extFields\":{\"topic\":\"T\",\"i\":\"k\\u0001\\\"v\\\"\\u0002\","
        "\"empty\":\"\"},\"flag\":2,\"language\":\"CPP\",\"opaque\":-3,\"remark\":\"\","
        "\"version\":493}");
    rmq_buf_deinit(&out);
    rmq_command_deinit(&command);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("header_json");
    TCase *tc = tcase_create("header_json");
    tcase_add_test(tc, any_order_any_blanks_unknown_keys);
    tcase_add_loop_test(tc, languages, 0, 10);
    tcase_add_loop_test(tc, a_language_without_name_is_written_as_other, 0, 3);
    tcase_add_test(tc, ext_values_of_every_type);
    tcase_add_test(tc, of_equal_keys_the_last_counts);
    tcase_add_test(tc, bytes_that_are_no_utf8_stay_bytes);
    tcase_add_loop_test(tc, remarks, 0, 3);
    tcase_add_loop_test(tc, what_is_refused, 0, (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(tc, the_largest_numbers_fit);
    tcase_add_test(tc, too_many_fields_are_refused);
    tcase_add_test(tc, deep_nesting_is_refused);
    tcase_add_test(tc, the_exact_text);
    suite_add_tcase(suite, tc);
    return suite;
}
