#include "../support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rmq/json.h>

#include "../support/fault_alloc.h"

static void check_text(rmq_json_writer *writer, const char *expected)
{
    rmq_slice text;
    ck_status(rmq_json_writer_finish(writer, &text), RMQ_OK);
    ck_assert_msg(rmq_slice_equals(text, expected), "%.*s, expected %s", (int)text.len, text.data,
                  expected);
}

static void write_sample(rmq_json_writer *writer)
{
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "empty");
    rmq_json_begin_array(writer);
    rmq_json_end_array(writer);
    rmq_json_key_slice(writer, RMQ_SLICE_LITERAL("list"));
    rmq_json_begin_array(writer);
    rmq_json_int64(writer, -1);
    rmq_json_bool(writer, true);
    rmq_json_null(writer);
    rmq_json_begin_object(writer);
    rmq_json_end_object(writer);
    rmq_json_raw(writer, RMQ_SLICE_LITERAL("{\"raw\":0}"));
    rmq_json_end_array(writer);
    rmq_json_key(writer, "s");
    rmq_json_string(writer, "text");
    rmq_json_end_object(writer);
}

static const char sample[] = "{\"empty\":[],\"list\":[-1,true,null,{},{\"raw\":0}],\"s\":\"text\"}";

START_TEST(commas_and_colons)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_slice text;
    ck_status(rmq_json_writer_finish(&writer, &text), RMQ_OK);
    ck_assert_uint_eq(text.len, 0);
    write_sample(&writer);
    check_text(&writer, sample);
    rmq_json_writer_clear(&writer);
    check_text(&writer, "");
    rmq_json_int64(&writer, 1);
    rmq_json_newline(&writer);
    rmq_json_int64(&writer, 2);
    rmq_json_newline(&writer);
    check_text(&writer, "1\n2\n");
    rmq_json_writer_deinit(&writer);
}
END_TEST

static void check_string(const char *value, size_t len, const char *expected)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_string_slice(&writer, (rmq_slice){value, len});
    check_text(&writer, expected);
    rmq_json_writer_deinit(&writer);
}

START_TEST(strings_are_escaped)
{
    check_string(NULL, 0, "\"\"");
    check_string("\"\\/", 3, "\"\\\"\\\\/\"");
    check_string("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
    check_string("\0\x01\x02\x1F\x7F", 5, "\"\\u0000\\u0001\\u0002\\u001F\x7F\"");
    check_string("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9,
                 "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}
END_TEST

START_TEST(what_is_not_utf8_becomes_a_replacement)
{
    check_string("a\xFF\x62", 3, "\"a\xEF\xBF\xBD\x62\"");
    check_string("\xC3", 1, "\"\xEF\xBF\xBD\"");
    check_string("\xC3\n", 2, "\"\xEF\xBF\xBD\\n\"");
    check_string("\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_string("\xE2\x82\xAC\x82", 4, "\"\xE2\x82\xAC\xEF\xBF\xBD\"");
}
END_TEST

START_TEST(integers_to_both_ends)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_array(&writer);
    rmq_json_int64(&writer, 0);
    rmq_json_int64(&writer, INT64_MAX);
    rmq_json_int64(&writer, INT64_MIN);
    rmq_json_int64(&writer, -10);
    rmq_json_end_array(&writer);
    check_text(&writer, "[0,9223372036854775807,-9223372036854775808,-10]");
    rmq_json_writer_deinit(&writer);
}
END_TEST

static double read_back(double value)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_double(&writer, value);
    rmq_slice text;
    ck_status(rmq_json_writer_finish(&writer, &text), RMQ_OK);
    rmq_json json;
    rmq_json_init(&json, text, false);
    double back = -99;
    ck_assert_msg(rmq_json_read_double(&json, &back), "%.*s", (int)text.len, text.data);
    rmq_json_deinit(&json);
    rmq_json_writer_deinit(&writer);
    return back;
}

START_TEST(doubles_come_back_the_same)
{
    static const double values[] = {0.0,
                                    -0.0,
                                    1,
                                    -1,
                                    0.1,
                                    1.0 / 3,
                                    1e15,
                                    1e16,
                                    123456789012345.5,
                                    1e300,
                                    -1e-300,
                                    5e-324,
                                    1.7976931348623157e308,
                                    9007199254740993.0,
                                    0.30000000000000004};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        double back = read_back(values[i]);
        ck_assert(memcmp(&back, &values[i], sizeof(back)) == 0);
    }
    /* Seeded: the same bit patterns in each run. */
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value))
            continue;
        double back = read_back(value);
        ck_assert_msg(memcmp(&back, &value, sizeof(back)) == 0, "%.17g", value);
    }
}
END_TEST

START_TEST(doubles_are_short)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_array(&writer);
    rmq_json_double(&writer, 0.1);
    rmq_json_double(&writer, 100);
    rmq_json_double(&writer, -2.5);
    rmq_json_double(&writer, -0.0);
    rmq_json_double(&writer, NAN);
    rmq_json_double(&writer, INFINITY);
    rmq_json_double(&writer, -INFINITY);
    rmq_json_end_array(&writer);
    check_text(&writer, "[0.1,100,-2.5,-0.0,null,null,null]");
    rmq_json_writer_deinit(&writer);
}
END_TEST

START_TEST(memory_running_out_is_told_at_the_end)
{
    int failed = 0;
    for (int64_t nth = 0;; nth++) {
        fault_alloc_fail(nth);
        rmq_json_writer writer;
        rmq_json_writer_init(&writer);
        write_sample(&writer);
        rmq_slice text = {"untouched", 9};
        rmq_status status = rmq_json_writer_finish(&writer, &text);
        bool done = fault_alloc_failed() == 0;
        if (done) {
            check_text(&writer, sample);
        } else {
            ck_status(status, RMQ_NOMEM);
            ck_assert_uint_eq(text.len, 9);
            rmq_json_writer_clear(&writer);
            rmq_json_null(&writer);
            check_text(&writer, "null");
            failed++;
        }
        rmq_json_writer_deinit(&writer);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (done)
            break;
    }
    fault_alloc_off();
    ck_assert_int_ge(failed, 3);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("json_writer");
    TCase *tc = tcase_create("writer");
    tcase_add_test(tc, commas_and_colons);
    tcase_add_test(tc, strings_are_escaped);
    tcase_add_test(tc, what_is_not_utf8_becomes_a_replacement);
    tcase_add_test(tc, integers_to_both_ends);
    tcase_add_test(tc, doubles_come_back_the_same);
    tcase_add_test(tc, doubles_are_short);
    tcase_add_test(tc, memory_running_out_is_told_at_the_end);
    suite_add_tcase(suite, tc);
    return suite;
}
