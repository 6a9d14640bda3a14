/* Strings, numbers and words of JSON.
 *
 * Strings are passed eight bytes at a time until a quote, a backslash or a control character is
 * among them; a string without escapes is never copied. Bytes above 0x7F pass unlooked: servers
 * write raw UTF-8, and what isn't UTF-8 must come out as it came in. \u escapes give UTF-8, pairs
 * of surrogates one character, and a lone surrogate U+FFFD, since there is no UTF-8 for it.
 *
 * Doubles of few digits and without exponent are made with one exact division; the rest goes to
 * strtod in the C locale, so that a program's setlocale changes nothing. */
#include "json_scan.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json_escape.h"
#include "text_pool.h"
#include "utf8.h"

static const char no_memory[] = "out of memory";

bool rmq_json_fail_at(rmq_json *json, const char *what, const char *at)
{
    if (json->error == NULL) {
        json->error = what;
        json->error_at = (size_t)(at - json->start);
    }
    return false;
}

bool rmq_json_fail_no_memory(rmq_json *json)
{
    return rmq_json_fail_at(json, no_memory, json->at);
}

rmq_status rmq_json_status(const rmq_json *json, rmq_error *err)
{
    if (json->error == NULL)
        return RMQ_OK;
    if (json->error == no_memory)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory while reading JSON");
    return rmq_error_set(err, RMQ_PROTO, "JSON: %s at byte %zu of %zu", json->error, json->error_at,
                         (size_t)(json->end - json->start));
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_short_escape(char letter)
{
    switch (letter) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return true;
    default:
        return false;
    }
}

/* Passes over one escape at `at` (a backslash); NULL if it is none. */
static const char *scan_escape(const char *at, const char *end)
{
    if (end - at < 2)
        return NULL;
    if (at[1] != 'u')
        return is_short_escape(at[1]) ? at + 2 : NULL;
    if (end - at < 6)
        return NULL;
    for (int i = 2; i < 6; i++) {
        if (hex_value(at[i]) < 0)
            return NULL;
    }
    return at + 6;
}

bool rmq_json_scan_string_on(rmq_json *json, const char *at, rmq_slice *out_raw, bool *out_escaped)
{
    const char *begin = json->at + 1;
    bool escaped = false;
    for (;;) {
        if (at == json->end)
            return rmq_json_fail_at(json, "unfinished string", begin - 1);
        if (*at == '"')
            break;
        if (*at != '\\')
            return rmq_json_fail_at(json, "control character in a string", at);
        escaped = true;
        const char *after = scan_escape(at, json->end);
        if (after == NULL)
            return rmq_json_fail_at(json, "bad escape", at);
        at = rmq_json_plain_end(after, json->end);
    }
    *out_raw = (rmq_slice){begin, (size_t)(at - begin)};
    *out_escaped = escaped;
    json->at = at + 1;
    return true;
}

static uint32_t hex4(const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (uint32_t)hex_value(at[i]);
    return value;
}

/* Decodes the \u escape at `*at`, and the second one of a surrogate pair with it. */
static uint32_t decode_unicode(const char **at, const char *end)
{
    uint32_t unit = hex4(*at + 2);
    *at += 6;
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit;
    if (unit <= 0xDBFF && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        uint32_t low = hex4(*at + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *at += 6;
            return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return 0xFFFD;
}

static char simple_escape(char letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter;
    }
}

bool rmq_json_unescape(rmq_json *json, rmq_slice raw, rmq_slice *out_text)
{
    /* Never longer than the escaped text: six bytes of \u give at most three, twelve give four. */
    char *text = rmq_text_pool_take(&json->strings, raw.len);
    if (text == NULL)
        return rmq_json_fail_no_memory(json);
    char *to = text;
    const char *at = raw.data;
    const char *end = raw.data + raw.len;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((escape != NULL ? escape : end) - at);
        memcpy(to, at, plain);
        to += plain;
        at += plain;
        if (escape == NULL)
            break;
        if (at[1] == 'u') {
            to += rmq_utf8_put(decode_unicode(&at, end), to);
        } else {
            *to++ = simple_escape(at[1]);
            at += 2;
        }
    }
    *out_text = (rmq_slice){text, (size_t)(to - text)};
    rmq_text_pool_give_back(json->strings, raw.len - out_text->len);
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A number or word must be followed by something that ends it. */
static bool ends_here(const rmq_json *json, const char *at)
{
    if (at == json->end)
        return true;
    switch (*at) {
    case ' ':
    case '\t':
    case '\r':
    case '\n':
    case ',':
    case ':':
    case ']':
    case '}':
        return true;
    default:
        return false;
    }
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

/* The end of the number at `at`; NULL if it is none. */
static const char *number_end(const char *at, const char *end)
{
    if (at < end && *at == '-')
        at++;
    if (at == end || !is_digit(*at))
        return NULL;
    at = *at == '0' ? at + 1 : skip_digits(at, end);
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction, end);
        if (at == fraction)
            return NULL;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        const char *exponent = at;
        at = skip_digits(exponent, end);
        if (at == exponent)
            return NULL;
    }
    return at;
}

bool rmq_json_scan_number(rmq_json *json, rmq_slice *out_text)
{
    const char *after = number_end(json->at, json->end);
    if (after == NULL || !ends_here(json, after))
        return rmq_json_fail_at(json, "bad number", json->at);
    *out_text = (rmq_slice){json->at, (size_t)(after - json->at)};
    json->at = after;
    return true;
}

bool rmq_json_scan_word(rmq_json *json, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(json->end - json->at) < len || memcmp(json->at, word, len) != 0 ||
        !ends_here(json, json->at + len))
        return rmq_json_fail_at(json, "unknown word", json->at);
    json->at += len;
    return true;
}

bool rmq_parse_int64(rmq_slice text, int64_t *out_value)
{
    const char *at = text.data;
    const char *end = text.len > 0 ? at + text.len : at;
    bool negative = at < end && *at == '-';
    if (negative)
        at++;
    if (at == end)
        return false;
    uint64_t magnitude = 0;
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    for (; at < end; at++) {
        if (!is_digit(*at))
            return false;
        uint64_t digit = (uint64_t)(*at - '0');
        if (magnitude > (limit - digit) / 10)
            return false;
        magnitude = magnitude * 10 + digit;
    }
    if (negative)
        *out_value = magnitude == limit ? INT64_MIN : -(int64_t)magnitude;
    else
        *out_value = (int64_t)magnitude;
    return true;
}

/* Clinger's fast path: a mantissa below 2^53 and a power of ten below 10^23 are both exact, so one
 * operation rounds once. `text` is a JSON number. */
static bool double_exactly(rmq_slice text, double *out_value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t mantissa = 0;
    int exponent = 0;
    bool negative = text.data[0] == '-';
    bool after_point = false;
    if (text.len > 19)
        return false;
    for (size_t i = negative ? 1 : 0; i < text.len; i++) {
        if (text.data[i] == '.') {
            after_point = true;
            continue;
        }
        if (!is_digit(text.data[i]))
            return false;
        mantissa = mantissa * 10 + (uint64_t)(text.data[i] - '0');
        exponent += after_point ? 1 : 0;
    }
    if (mantissa > UINT64_C(1) << 53)
        return false;
    double value = (double)mantissa / powers[exponent];
    *out_value = negative ? -value : value;
    return true;
}

bool rmq_json_to_double(rmq_json *json, rmq_slice number, double *out_value)
{
    if (double_exactly(number, out_value))
        return true;
    char *copy = rmq_text_pool_take(&json->strings, number.len + 1);
    if (copy == NULL)
        return rmq_json_fail_no_memory(json);
    memcpy(copy, number.data, number.len);
    copy[number.len] = '\0';
    /* glibc gives its static C locale here: nothing is allocated. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0)
        return rmq_json_fail_no_memory(json);
    double value = strtod_l(copy, NULL, c_locale);
    freelocale(c_locale);
    rmq_text_pool_give_back(json->strings, number.len + 1);
    if (isinf(value))
        return rmq_json_fail_at(json, "number out of range", number.data);
    *out_value = value;
    return true;
}
