#include "../support/support.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rmq/json.h>

#include "../support/fault_alloc.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static rmq_status skip_all(const char *text, size_t len, bool lenient, rmq_error *err)
{
    rmq_json json;
    rmq_json_init(&json, (rmq_slice){text, len}, lenient);
    if (rmq_json_skip(&json) && rmq_json_peek(&json) != RMQ_JSON_END && json.error == NULL)
        json.error = "something after the value";
    rmq_status status = rmq_json_status(&json, err);
    rmq_json_deinit(&json);
    return status;
}

static const char *const legal[] = {
    "{}",
    "[]",
    " { } ",
    "\t[\r\n]",
    "0",
    "-0",
    "-0.0e+0",
    "10",
    "1.5",
    "1E5",
    "1e-5",
    "123456789012345678901234567890",
    "true",
    "false",
    "null",
    "\"\"",
    "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\x7f\xff\xfe\"",
    "[1,2 , 3]",
    "[[],{},[[]],{\"a\":{}}]",
    "{\"a\":1,\"a\":2}",
    "{\"\":null}",
    "{ \"a\" : [ 1 , { \"b\" : \"c\" } ] , \"d\" : true }",
    "{\"ends with a brace {\":\"[\",\"x\":[\"{\"]}",
};

START_TEST(what_is_json_passes)
{
    rmq_error err;
    ck_ok(skip_all(legal[_i], strlen(legal[_i]), false, &err), &err);
    ck_ok(skip_all(legal[_i], strlen(legal[_i]), true, &err), &err);
}
END_TEST

/* A cut text is never taken for a whole one, and no cut reads outside (the copy has no slack). A
 * number is the exception: its prefixes are numbers. */
START_TEST(cut_at_every_prefix)
{
    size_t len = strlen(legal[_i]);
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, legal[_i], cut);
        rmq_error err;
        rmq_status status = skip_all(copy, cut, false, &err);
        char first = legal[_i][strspn(legal[_i], " \t\r\n")];
        bool container = first == '{' || first == '[' || first == '"';
        bool closed = cut > 0 && strspn(legal[_i] + cut, " \t\r\n") == len - cut;
        if (container)
            ck_assert_msg((status == RMQ_OK) == closed, "cut at %zu: %s", cut, legal[_i]);
        free(copy);
    }
}
END_TEST

static const char *const illegal[] = {
    "",
    " ",
    "{",
    "[",
    "}",
    "]",
    "[}",
    "{]",
    "[1}",
    "{\"a\":1]",
    "[1,]",
    "[,1]",
    "[1,,2]",
    "[1 2]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\" 1}",
    "{a:1}",
    "{'a':1}",
    "{0:1}",
    "{-1:1}",
    "{{}:1}",
    "{[]:1}",
    "{null:1}",
    "{true:1}",
    "01",
    "-",
    "-a",
    "+1",
    ".5",
    "5.",
    "1e",
    "1e+",
    "0x10",
    "1_000",
    "1a",
    "NaN",
    "-Infinity",
    "Infinity",
    "nan",
    "tru",
    "truex",
    "True",
    "nul",
    "nulll",
    "falsy",
    "\"",
    "\"\\\"",
    "\"\\x41\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"\x01\"",
    "'a'",
    "1 2",
    "{} {}",
    "[1]]",
    "\"a\" b",
    "\xEF\xBB\xBF{}",
    "//c\n1",
    "[1]//c",
    "\v1",
    "[1\f]",
};

START_TEST(what_is_not_json_fails)
{
    rmq_error err;
    ck_assert_msg(skip_all(illegal[_i], strlen(illegal[_i]), false, &err) == RMQ_PROTO,
                  "accepted: %s", illegal[_i]);
    ck_assert_ptr_nonnull(strstr(err.text, "JSON: "));
}
END_TEST

START_TEST(zero_bytes_are_not_blanks)
{
    rmq_error err;
    ck_status(skip_all("1\0", 2, false, &err), RMQ_PROTO);
    ck_status(skip_all("[1\0]", 4, false, &err), RMQ_PROTO);
    ck_status(skip_all("\0", 1, false, &err), RMQ_PROTO);
    ck_status(skip_all("[\0]", 3, false, &err), RMQ_PROTO);
    ck_status(skip_all("\"a\0\"", 4, false, &err), RMQ_PROTO);
    ck_status(skip_all("\"\\u0000\"", 8, false, &err), RMQ_OK);
}
END_TEST

static void read_all_strings(const char *text, const char *expected, size_t expected_len)
{
    rmq_json json;
    rmq_json_init(&json, rmq_slice_of(text), false);
    rmq_slice value;
    rmq_error err;
    bool read = rmq_json_read_string(&json, &value);
    ck_ok(rmq_json_status(&json, &err), &err);
    ck_assert(read);
    ck_assert_msg(value.len == expected_len && memcmp(value.data, expected, expected_len) == 0,
                  "%s", text);
    rmq_json_deinit(&json);
}

START_TEST(strings_are_decoded)
{
    read_all_strings("\"plain\"", "plain", 5);
    read_all_strings("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    read_all_strings("\"k\\u0001v\\u0002\"", "k\x01v\x02", 4);
    read_all_strings("\"\\u0000\"", "\0", 1);
    read_all_strings("\"\\u00e9\\u20AC\"", "\xC3\xA9\xE2\x82\xAC", 5);
    read_all_strings("\"\\ud83d\\ude00!\"", "\xF0\x9F\x98\x80!", 5);
    read_all_strings("\"raw \xC3\xA9\xE2\x82\xAC\"", "raw \xC3\xA9\xE2\x82\xAC", 9);
    read_all_strings("\"bad \xFF\xC3 \\n\xE2\x82\"", "bad \xFF\xC3 \n\xE2\x82", 10);
    /* Surrogates that are alone, or in the wrong order. */
    read_all_strings("\"\\ud83d\"", "\xEF\xBF\xBD", 3);
    read_all_strings("\"\\ude00x\"", "\xEF\xBF\xBDx", 4);
    read_all_strings("\"\\ud83dx\"", "\xEF\xBF\xBDx", 4);
    read_all_strings("\"\\ud83d\\n\"", "\xEF\xBF\xBD\n", 4);
    read_all_strings("\"\\ud83d\\u0041\"", "\xEF\xBF\xBD\x41", 4);
    read_all_strings("\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80", 7);
    read_all_strings("\"\\udbff\\udfff\"", "\xF4\x8F\xBF\xBF", 4);
}
END_TEST

/* The word-wise scan finds the end at every place and alignment. */
START_TEST(string_ends_are_found_anywhere)
{
    char text[64];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t len = 0; len < 40; len++) {
            memset(text, ' ', sizeof(text));
            text[shift] = '"';
            memset(text + shift + 1, 0xE1, len);
            text[shift + 1 + len] = '"';
            rmq_json json;
            rmq_json_init(&json, (rmq_slice){text + shift, len + 2}, false);
            rmq_slice value;
            ck_assert(rmq_json_read_string(&json, &value));
            ck_assert_uint_eq(value.len, len);
            ck_assert_ptr_eq(value.data, text + shift + 1);
            for (size_t i = 0; i < len; i++) {
                text[shift + 1 + i] = 0x1F;
                rmq_json_init(&json, (rmq_slice){text + shift, len + 2}, false);
                ck_assert(!rmq_json_read_string(&json, &value));
                ck_assert_uint_eq(json.error_at, i + 1);
                text[shift + 1 + i] = (char)0xE1;
            }
        }
    }
}
END_TEST

static bool read_int(const char *text, int64_t *out_value)
{
    rmq_json json;
    rmq_json_init(&json, rmq_slice_of(text), false);
    bool read = rmq_json_read_int64(&json, out_value);
    ck_assert(read == (rmq_json_status(&json, NULL) == RMQ_OK));
    rmq_json_deinit(&json);
    return read;
}

START_TEST(integers)
{
    int64_t value;
    ck_assert(read_int("0", &value) && value == 0);
    ck_assert(read_int("-0", &value) && value == 0);
    ck_assert(read_int(" 42", &value) && value == 42);
    ck_assert(read_int("\"42\"", &value) && value == 42);
    ck_assert(read_int("\"-7\"", &value) && value == -7);
    ck_assert(read_int("9223372036854775807", &value) && value == INT64_MAX);
    ck_assert(read_int("-9223372036854775808", &value) && value == INT64_MIN);
    static const char *const bad[] = {"9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551617",
                                      "99999999999999999999999",
                                      "1.0",
                                      "1e3",
                                      "\"\"",
                                      "\"-\"",
                                      "\" 1\"",
                                      "\"1 \"",
                                      "\"+1\"",
                                      "\"1.5\"",
                                      "\"abc\"",
                                      "null",
                                      "true",
                                      "[]",
                                      "{}"};
    for (int i = 0; i < COUNT(bad); i++) {
        value = 77;
        ck_assert_msg(!read_int(bad[i], &value), "%s", bad[i]);
        ck_assert_int_eq(value, 77);
    }
}
END_TEST

static bool read_double(const char *text, double *out_value)
{
    rmq_json json;
    rmq_json_init(&json, rmq_slice_of(text), false);
    bool read = rmq_json_read_double(&json, out_value);
    rmq_json_deinit(&json);
    return read;
}

START_TEST(doubles_are_as_strtod_has_them)
{
    static const char *const texts[] = {"0",
                                        "1",
                                        "-1",
                                        "0.1",
                                        "-0.5",
                                        "3.141592653589793",
                                        "1e22",
                                        "1e23",
                                        "1.7976931348623157e308",
                                        "5e-324",
                                        "2.2250738585072011e-308",
                                        "9007199254740993",
                                        "123456789.123456789",
                                        "0.000001",
                                        "1e-400",
                                        "0.30000000000000004",
                                        "99999999999999999999",
                                        "9999999999999999999",
                                        "12345678901234567890123456789.5"};
    for (int i = 0; i < COUNT(texts); i++) {
        double value = -99;
        ck_assert_msg(read_double(texts[i], &value), "%s", texts[i]);
        ck_assert_msg(value == strtod(texts[i], NULL), "%s gave %.17g", texts[i], value);
    }
    double value = -99;
    ck_assert(read_double("-0", &value) && value == 0 && signbit(value));
    ck_assert(!read_double("1e400", &value));
    ck_assert(!read_double("-1e999", &value));
    ck_assert(!read_double("\"1\"", &value));
    ck_assert(!read_double("null", &value));
    char *digits = malloc(100001);
    memset(digits, '1', 100000);
    digits[100000] = '\0';
    digits[1] = '.';
    ck_assert(read_double(digits, &value));
    ck_assert_double_eq_tol(value, 1.1111111, 1e-6);
    free(digits);
}
END_TEST

START_TEST(the_locale_changes_nothing)
{
    static const char *const with_comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8"};
    for (int i = 0; i < COUNT(with_comma); i++)
        if (setlocale(LC_ALL, with_comma[i]) != NULL)
            break;
    double value = 0;
    ck_assert(read_double("0.30000000000000004", &value));
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_double(&writer, value);
    rmq_slice text;
    ck_status(rmq_json_writer_finish(&writer, &text), RMQ_OK);
    ck_assert(rmq_slice_equals(text, "0.30000000000000004"));
    rmq_json_writer_deinit(&writer);
}
END_TEST

START_TEST(a_walk)
{
    static const char text[] = "{\"name\":\"a\\tb\",\"list\":[1,-2,3.5,true,null],\"deep\":{\"x\":"
                               "[[],{}]},\"last\":\"9\"}";
    rmq_json json;
    rmq_json_init(&json, RMQ_SLICE_LITERAL(text), false);
    rmq_slice key;
    rmq_slice value;
    int64_t number;
    double real;
    bool truth;
    ck_assert_int_eq(rmq_json_peek(&json), RMQ_JSON_OBJECT);
    ck_assert(rmq_json_enter_object(&json));
    ck_assert(rmq_json_next_key(&json, &key) && rmq_slice_equals(key, "name"));
    ck_assert_int_eq(rmq_json_peek(&json), RMQ_JSON_STRING);
    ck_assert(rmq_json_read_string(&json, &value) && rmq_slice_equals(value, "a\tb"));
    ck_assert(rmq_json_next_key(&json, &key) && rmq_slice_equals(key, "list"));
    ck_assert(rmq_json_enter_array(&json));
    ck_assert(rmq_json_next_element(&json) && rmq_json_read_int64(&json, &number) && number == 1);
    ck_assert(rmq_json_next_element(&json) && rmq_json_read_int64(&json, &number) && number == -2);
    ck_assert(rmq_json_next_element(&json) && rmq_json_read_double(&json, &real) && real == 3.5);
    ck_assert(rmq_json_next_element(&json) && rmq_json_read_bool(&json, &truth) && truth);
    ck_assert(rmq_json_next_element(&json) && rmq_json_peek(&json) == RMQ_JSON_NULL);
    ck_assert(rmq_json_skip(&json));
    ck_assert(!rmq_json_next_element(&json));
    ck_assert(rmq_json_next_key(&json, &key) && rmq_slice_equals(key, "deep"));
    ck_assert(rmq_json_read_raw(&json, &value) && rmq_slice_equals(value, "{\"x\":[[],{}]}"));
    ck_assert(rmq_json_next_key(&json, &key) && rmq_slice_equals(key, "last"));
    ck_assert(rmq_json_read_int64(&json, &number) && number == 9);
    ck_assert(!rmq_json_next_key(&json, &key));
    ck_assert_int_eq(rmq_json_peek(&json), RMQ_JSON_END);
    rmq_error err;
    ck_ok(rmq_json_status(&json, &err), &err);
    rmq_json_deinit(&json);
}
END_TEST

START_TEST(lenient_keys_are_numbers_and_objects)
{
    static const char text[] =
        "{0:\"a\", -12 :\"b\",{\"brokerName\":\"x\",\"queueId\":0}:{\"o\":1},{}:2,\"s\":3}";
    rmq_json json;
    rmq_json_init(&json, RMQ_SLICE_LITERAL(text), true);
    static const char *const keys[] = {"0", "-12", "{\"brokerName\":\"x\",\"queueId\":0}", "{}",
                                       "s"};
    rmq_slice key;
    ck_assert(rmq_json_enter_object(&json));
    for (int i = 0; i < COUNT(keys); i++) {
        ck_assert(rmq_json_next_key(&json, &key));
        ck_assert_msg(rmq_slice_equals(key, keys[i]), "key %d", i);
        ck_assert(rmq_json_skip(&json));
    }
    ck_assert(!rmq_json_next_key(&json, &key));
    rmq_error err;
    ck_ok(rmq_json_status(&json, &err), &err);
    rmq_json_deinit(&json);
    ck_status(skip_all(text, sizeof(text) - 1, true, &err), RMQ_OK);
    ck_status(skip_all(text, sizeof(text) - 1, false, &err), RMQ_PROTO);
    ck_assert_str_eq(err.text, "JSON: key expected at byte 1 of 67");
    static const char *const still_bad[] = {"{a:1}",   "{01:1}", "{[]:1}", "{NaN:1}",  "{0 1}",
                                            "{{}}",    "{{:1}",  "{0:1,}", "{null:1}", "{-:1}",
                                            "{{0}:1}", "NaN",    "{'a':1}"};
    for (int i = 0; i < COUNT(still_bad); i++)
        ck_assert_msg(skip_all(still_bad[i], strlen(still_bad[i]), true, &err) == RMQ_PROTO, "%s",
                      still_bad[i]);
}
END_TEST

static char *repeat(const char *piece, size_t times, const char *middle, const char *back)
{
    size_t bytes = (strlen(piece) + strlen(back)) * times + strlen(middle) + 1;
    char *text = malloc(bytes);
    char *at = text;
    for (size_t i = 0; i < times; i++)
        at = stpcpy(at, piece);
    at = stpcpy(at, middle);
    for (size_t i = 0; i < times; i++)
        at = stpcpy(at, back);
    return text;
}

START_TEST(depth_is_capped_exactly)
{
    static const char *const shapes[][3] = {
        {"[", "", "]"}, {"{\"a\":", "1", "}"}, {"[{\"a\":", "[]", "}]"}, {"{", "", ":1}"}};
    rmq_error err;
    for (int i = 0; i < 3; i++) {
        size_t per_piece = i == 2 ? 2 : 1;
        size_t most = i == 2 ? (RMQ_JSON_MAX_DEPTH - 1) / 2 : RMQ_JSON_MAX_DEPTH;
        (void)per_piece;
        char *text = repeat(shapes[i][0], most, shapes[i][1], shapes[i][2]);
        ck_ok(skip_all(text, strlen(text), false, &err), &err);
        free(text);
        text = repeat(shapes[i][0], most + 1, shapes[i][1], shapes[i][2]);
        ck_status(skip_all(text, strlen(text), false, &err), RMQ_PROTO);
        ck_assert_ptr_nonnull(strstr(err.text, "nested too deep"));
        free(text);
    }
    /* A million open brackets or braces as keys: no stack is used up. */
    for (int i = 0; i < 4; i++) {
        char *text = repeat(shapes[i][0], 1000000, "", "");
        ck_status(skip_all(text, strlen(text), true, &err), RMQ_PROTO);
        free(text);
    }
}
END_TEST

START_TEST(depth_of_entering_and_skipping_adds_up)
{
    char *text = repeat("[", RMQ_JSON_MAX_DEPTH + 1, "", "]");
    rmq_json json;
    rmq_json_init(&json, rmq_slice_of(text), false);
    for (int i = 0; i < RMQ_JSON_MAX_DEPTH; i++) {
        ck_assert(rmq_json_enter_array(&json));
        ck_assert(rmq_json_next_element(&json));
    }
    ck_assert(!rmq_json_skip(&json));
    ck_assert_ptr_nonnull(strstr(json.error, "deep"));
    free(text);
}
END_TEST

START_TEST(errors_stick)
{
    rmq_json json;
    rmq_json_init(&json, rmq_slice_of("[1,\"x\",2]"), false);
    int64_t number = 5;
    rmq_slice text = {"u", 1};
    ck_assert(rmq_json_enter_array(&json) && rmq_json_next_element(&json));
    ck_assert(!rmq_json_read_string(&json, &text));
    size_t at = json.error_at;
    ck_assert_int_eq(rmq_json_peek(&json), RMQ_JSON_ERROR);
    ck_assert(!rmq_json_read_int64(&json, &number));
    ck_assert(!rmq_json_next_element(&json));
    ck_assert(!rmq_json_next_key(&json, &text));
    ck_assert(!rmq_json_enter_object(&json));
    ck_assert(!rmq_json_enter_array(&json));
    ck_assert(!rmq_json_skip(&json));
    ck_assert(!rmq_json_read_raw(&json, &text));
    bool truth;
    ck_assert(!rmq_json_read_bool(&json, &truth));
    ck_assert_int_eq(number, 5);
    ck_assert_uint_eq(text.len, 1);
    ck_assert_uint_eq(json.error_at, at);
    rmq_error err;
    ck_status(rmq_json_status(&json, &err), RMQ_PROTO);
    ck_assert_str_eq(err.text, "JSON: string expected at byte 1 of 9");
    rmq_json_deinit(&json);
}
END_TEST

START_TEST(next_outside_of_a_container_is_an_error)
{
    rmq_json json;
    rmq_slice key;
    rmq_json_init(&json, rmq_slice_of("1"), false);
    ck_assert(!rmq_json_next_key(&json, &key));
    ck_status(rmq_json_status(&json, NULL), RMQ_PROTO);
    rmq_json_init(&json, (rmq_slice){NULL, 0}, false);
    ck_assert_int_eq(rmq_json_peek(&json), RMQ_JSON_END);
    ck_status(rmq_json_status(&json, NULL), RMQ_OK);
    ck_assert(!rmq_json_next_element(&json));
    ck_status(rmq_json_status(&json, NULL), RMQ_PROTO);
}
END_TEST

START_TEST(values_one_after_the_other)
{
    rmq_json json;
    rmq_json_init(&json, rmq_slice_of("{\"a\":1}\n[2]\n 3 "), false);
    rmq_slice raw;
    ck_assert(rmq_json_read_raw(&json, &raw) && rmq_slice_equals(raw, "{\"a\":1}"));
    ck_assert(rmq_json_read_raw(&json, &raw) && rmq_slice_equals(raw, "[2]"));
    ck_assert(rmq_json_read_raw(&json, &raw) && rmq_slice_equals(raw, "3"));
    ck_assert_int_eq(rmq_json_peek(&json), RMQ_JSON_END);
    rmq_json_deinit(&json);
}
END_TEST

START_TEST(memory_running_out_is_nomem)
{
    int failed = 0;
    for (int64_t nth = 0;; nth++) {
        fault_alloc_fail(nth);
        rmq_json json;
        rmq_json_init(&json, rmq_slice_of("[\"\\n\",\"\\t\\u0001\",0.30000000000000004]"), false);
        rmq_slice text;
        double number;
        bool all = rmq_json_enter_array(&json) && rmq_json_next_element(&json) &&
                   rmq_json_read_string(&json, &text) && rmq_json_next_element(&json) &&
                   rmq_json_read_string(&json, &text) && rmq_json_next_element(&json) &&
                   rmq_json_read_double(&json, &number) && !rmq_json_next_element(&json);
        rmq_error err;
        rmq_status status = rmq_json_status(&json, &err);
        rmq_json_deinit(&json);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0) {
            ck_assert(all && status == RMQ_OK);
            break;
        }
        ck_assert(!all);
        ck_status(status, RMQ_NOMEM);
        failed++;
    }
    fault_alloc_off();
    ck_assert_int_ge(failed, 1);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("json");
    TCase *tc = tcase_create("reader");
    tcase_add_loop_test(tc, what_is_json_passes, 0, COUNT(legal));
    tcase_add_loop_test(tc, cut_at_every_prefix, 0, COUNT(legal));
    tcase_add_loop_test(tc, what_is_not_json_fails, 0, COUNT(illegal));
    tcase_add_test(tc, zero_bytes_are_not_blanks);
    tcase_add_test(tc, strings_are_decoded);
    tcase_add_test(tc, string_ends_are_found_anywhere);
    tcase_add_test(tc, integers);
    tcase_add_test(tc, doubles_are_as_strtod_has_them);
    tcase_add_test(tc, the_locale_changes_nothing);
    tcase_add_test(tc, a_walk);
    tcase_add_test(tc, lenient_keys_are_numbers_and_objects);
    tcase_add_test(tc, depth_is_capped_exactly);
    tcase_add_test(tc, depth_of_entering_and_skipping_adds_up);
    tcase_add_test(tc, errors_stick);
    tcase_add_test(tc, next_outside_of_a_container_is_an_error);
    tcase_add_test(tc, values_one_after_the_other);
    tcase_add_test(tc, memory_running_out_is_nomem);
    suite_add_tcase(suite, tc);
    return suite;
}
