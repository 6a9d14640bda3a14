/* The JSON writer: text in a growable buffer, commas and colons put where they belong.
 *
 * Two flags are all the state: whether a comma is due before the next key or value, and whether a
 * key was just written (then none is). The first failed allocation sticks and is told by finish.
 * The output is always UTF-8: what isn't becomes U+FFFD, so that a reader that is strict about it
 * can read what we wrote. */
#include <rmq/json.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_escape.h"
#include "mem.h"
#include "utf8.h"

void rmq_json_writer_init(rmq_json_writer *writer)
{
    *writer = (rmq_json_writer){0};
}

void rmq_json_writer_deinit(rmq_json_writer *writer)
{
    rmq_free(writer->data);
    *writer = (rmq_json_writer){0};
}

void rmq_json_writer_clear(rmq_json_writer *writer)
{
    *writer = (rmq_json_writer){.data = writer->data, .capacity = writer->capacity};
}

/* Room for `len` more bytes, or NULL. The caller adds what it used to writer->len. */
static char *reserve(rmq_json_writer *writer, size_t len)
{
    size_t needed;
    if (writer->failed || !rmq_size_add(writer->len, len, &needed)) {
        writer->failed = true;
        return NULL;
    }
    if (needed > writer->capacity || writer->data == NULL) {
        char *data = rmq_array_grow(writer->data, &writer->capacity, needed, 1);
        if (data == NULL) {
            writer->failed = true;
            return NULL;
        }
        writer->data = data;
    }
    return writer->data + writer->len;
}

static void put(rmq_json_writer *writer, const char *text, size_t len)
{
    char *to = reserve(writer, len);
    if (to == NULL || len == 0)
        return;
    memcpy(to, text, len);
    writer->len += len;
}

/* The comma before a value or key, if one is due; a comma is due after what follows. */
static void separate(rmq_json_writer *writer)
{
    if (writer->need_comma && !writer->after_key)
        put(writer, ",", 1);
    writer->after_key = false;
    writer->need_comma = true;
}

static void begin(rmq_json_writer *writer, const char *bracket)
{
    separate(writer);
    put(writer, bracket, 1);
    writer->need_comma = false;
}

static void end(rmq_json_writer *writer, const char *bracket)
{
    put(writer, bracket, 1);
    writer->need_comma = true;
    writer->after_key = false;
}

void rmq_json_begin_object(rmq_json_writer *writer)
{
    begin(writer, "{");
}

void rmq_json_end_object(rmq_json_writer *writer)
{
    end(writer, "}");
}

void rmq_json_begin_array(rmq_json_writer *writer)
{
    begin(writer, "[");
}

void rmq_json_end_array(rmq_json_writer *writer)
{
    end(writer, "]");
}

/* Bytes from `at` that can be copied as they stand. */
static size_t plain_len(const uint8_t *at, size_t left)
{
    size_t len = 0;
    while (len < left) {
        if (rmq_json_needs_escape(at[len]))
            break;
        size_t char_len = at[len] < 0x80 ? 1 : rmq_utf8_char_len(at + len, left - len);
        if (char_len == 0)
            break;
        len += char_len;
    }
    return len;
}

static void put_string(rmq_json_writer *writer, rmq_slice text)
{
    const uint8_t *at = (const uint8_t *)text.data;
    size_t left = text.len;
    put(writer, "\"", 1);
    while (left > 0 && !writer->failed) {
        size_t plain = plain_len(at, left);
        put(writer, (const char *)at, plain);
        at += plain;
        left -= plain;
        if (left == 0)
            break;
        if (rmq_json_needs_escape(*at)) {
            char escape[RMQ_JSON_ESCAPE_BYTES];
            put(writer, escape, rmq_json_escape(*at, escape));
        } else {
            put(writer, "\xEF\xBF\xBD", 3);
        }
        at++;
        left--;
    }
    put(writer, "\"", 1);
}

void rmq_json_key(rmq_json_writer *writer, const char *key)
{
    rmq_json_key_slice(writer, rmq_slice_of(key));
}

void rmq_json_key_slice(rmq_json_writer *writer, rmq_slice key)
{
    separate(writer);
    put_string(writer, key);
    put(writer, ":", 1);
    writer->after_key = true;
}

void rmq_json_string(rmq_json_writer *writer, const char *value)
{
    rmq_json_string_slice(writer, rmq_slice_of(value));
}

void rmq_json_string_slice(rmq_json_writer *writer, rmq_slice value)
{
    separate(writer);
    put_string(writer, value);
}

void rmq_json_int64(rmq_json_writer *writer, int64_t value)
{
    char digits[RMQ_INT64_TEXT_BYTES];
    rmq_slice text = rmq_format_int64(value, digits);
    separate(writer);
    put(writer, text.data, text.len);
}

/* printf writes the decimal point of the program's locale, which may be several bytes. */
static size_t fix_decimal_point(char *text)
{
    size_t to = 0;
    bool in_point = false;
    for (size_t from = 0; text[from] != '\0'; from++) {
        char c = text[from];
        bool digit_or_sign = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == 'e';
        if (digit_or_sign)
            text[to++] = text[from];
        else if (!in_point)
            text[to++] = '.';
        in_point = !digit_or_sign;
    }
    return to;
}

void rmq_json_double(rmq_json_writer *writer, double value)
{
    if (!isfinite(value)) {
        rmq_json_null(writer);
        return;
    }
    if (value == 0 && signbit(value)) {
        rmq_json_raw(writer, RMQ_SLICE_LITERAL("-0.0")); /* -0 would be read as an integer */
        return;
    }
    if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
        rmq_json_int64(writer, (int64_t)value);
        return;
    }
    /* The shortest of three precisions that reads back as the same number; 17 always does. */
    char text[64];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, value);
        if (precision == 17 || strtod(text, NULL) == value)
            break;
    }
    separate(writer);
    put(writer, text, fix_decimal_point(text));
}

void rmq_json_bool(rmq_json_writer *writer, bool value)
{
    rmq_json_raw(writer, value ? RMQ_SLICE_LITERAL("true") : RMQ_SLICE_LITERAL("false"));
}

void rmq_json_null(rmq_json_writer *writer)
{
    rmq_json_raw(writer, RMQ_SLICE_LITERAL("null"));
}

void rmq_json_raw(rmq_json_writer *writer, rmq_slice text)
{
    separate(writer);
    put(writer, text.data, text.len);
}

void rmq_json_newline(rmq_json_writer *writer)
{
    put(writer, "\n", 1);
    writer->need_comma = false;
}

rmq_status rmq_json_writer_finish(rmq_json_writer *writer, rmq_slice *out_text)
{
    if (writer->failed)
        return RMQ_NOMEM;
    *out_text = (rmq_slice){writer->data, writer->len};
    return RMQ_OK;
}
