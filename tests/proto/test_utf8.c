#include "../support/support.h"

#include <rmq/json.h>

#include "../../proto/utf8.h"

static bool valid(const char *bytes, size_t len)
{
    return rmq_utf8_valid((rmq_slice){bytes, len});
}

/* Each code point, encoded, is valid; each surrogate isn't; the bytes come one, two, three, four.
 */
START_TEST(every_code_point)
{
    size_t previous_len = 1;
    for (uint32_t code_point = 0; code_point <= 0x10FFFF; code_point++) {
        char bytes[4];
        size_t len = rmq_utf8_put(code_point, bytes);
        if (len < previous_len || len > previous_len + 1)
            ck_abort_msg("U+%04X has %zu bytes", code_point, len);
        previous_len = len;
        bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
        if (valid(bytes, len) == surrogate)
            ck_abort_msg("U+%04X", code_point);
        if (len > 1 && valid(bytes, len - 1))
            ck_abort_msg("U+%04X cut", code_point);
    }
    ck_assert_uint_eq(previous_len, 4);
}
END_TEST

START_TEST(what_is_not_utf8)
{
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "\xC0\x80",         /* overlong zero */
        "\xC1\xBF",         /* overlong 0x7F */
        "\xE0\x9F\xBF",     /* overlong three */
        "\xF0\x8F\xBF\xBF", /* overlong four */
        "\xF4\x90\x80\x80", /* above U+10FFFF */
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xED\xA0\x80",     /* surrogate */
        "ab\xE2\x82",       /* cut */
        "\xE2\x28\xA1",     /* wrong second */
        "\xF0\x9F\x98\x28", /* wrong fourth */
        "12345678\xC3",
    };
    ck_assert_msg(!rmq_utf8_valid(rmq_slice_of(bad[_i])), "case %d", _i);
}
END_TEST

START_TEST(long_texts_at_every_alignment)
{
    static const char text[] = "0123456789abcdef\xC3\xA9 0123456789 \xE2\x82\xAC\xF0\x9F\x98\x80.";
    for (size_t start = 0; start < 16; start++)
        ck_assert(valid(text + start, sizeof(text) - 1 - start));
    ck_assert(!valid(text + 17, sizeof(text) - 1 - 17));
    ck_assert(valid(NULL, 0));
    ck_assert(valid("a\0b", 3));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("utf8");
    TCase *tc = tcase_create("utf8");
    tcase_add_test(tc, every_code_point);
    tcase_add_loop_test(tc, what_is_not_utf8, 0, 13);
    tcase_add_test(tc, long_texts_at_every_alignment);
    suite_add_tcase(suite, tc);
    return suite;
}
