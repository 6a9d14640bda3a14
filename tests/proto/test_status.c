#include "../support/support.h"

#include <errno.h>
#include <string.h>

#include <rmq/json.h>

START_TEST(every_status_has_its_name)
{
    ck_assert_str_eq(rmq_status_name(RMQ_OK), "OK");
    ck_assert_str_eq(rmq_status_name(RMQ_TIMEOUT), "TIMEOUT");
    ck_assert_str_eq(rmq_status_name(RMQ_DATA_LOSS), "DATA_LOSS");
    ck_assert_str_eq(rmq_status_name(RMQ_USER), "USER");
    for (int i = RMQ_OK; i <= RMQ_USER; i++)
        ck_assert_msg(strcmp(rmq_status_name((rmq_status)i), "UNKNOWN") != 0, "status %d", i);
    ck_assert_str_eq(rmq_status_name((rmq_status)(RMQ_USER + 1)), "UNKNOWN");
    ck_assert_str_eq(rmq_status_name((rmq_status)-1), "UNKNOWN");
}
END_TEST

START_TEST(set_fills_everything_and_returns_the_status)
{
    rmq_error err;
    memset(&err, 0xAA, sizeof(err));
    ck_status(rmq_error_set(&err, RMQ_PROTO, "frame %d > max %s", 7, "5"), RMQ_PROTO);
    ck_assert_int_eq(err.status, RMQ_PROTO);
    ck_assert_int_eq(err.broker_code, 0);
    ck_assert_int_eq(err.os_errno, 0);
    ck_assert(!err.retriable);
    ck_assert_str_eq(err.text, "frame 7 > max 5");
    ck_status(rmq_error_set(NULL, RMQ_INVAL, "nobody reads this"), RMQ_INVAL);
}
END_TEST

START_TEST(errno_decides_the_status)
{
    rmq_error err;
    ck_status(rmq_error_set_errno(&err, ENOENT, "open %s", "f"), RMQ_IO);
    ck_assert_int_eq(err.os_errno, ENOENT);
    ck_assert_str_eq(err.text, "open f: No such file or directory");
    ck_status(rmq_error_set_errno(&err, ENOMEM, "x"), RMQ_NOMEM);
    ck_status(rmq_error_set_errno(&err, ENOSPC, "x"), RMQ_FULL);
    ck_status(rmq_error_set_errno(&err, EDQUOT, "x"), RMQ_FULL);
    ck_assert_int_eq(err.status, RMQ_FULL);
    ck_status(rmq_error_set_errno(NULL, EDQUOT, "x"), RMQ_FULL);
}
END_TEST

START_TEST(wrap_puts_context_before_the_text)
{
    rmq_error err;
    (void)rmq_error_set(&err, RMQ_BROKER, "topic unknown");
    err.broker_code = 17;
    rmq_error_wrap(&err, "route of %s", "T");
    ck_assert_str_eq(err.text, "route of T: topic unknown");
    ck_assert_int_eq(err.broker_code, 17);
    ck_assert_int_eq(err.status, RMQ_BROKER);
    rmq_error_wrap(NULL, "nobody");
}
END_TEST

START_TEST(its_own_text_may_be_an_argument)
{
    rmq_error err;
    (void)rmq_error_set(&err, RMQ_IO, "inner");
    (void)rmq_error_set(&err, RMQ_PROTO, "outer (%s)", err.text);
    ck_assert_str_eq(err.text, "outer (inner)");
}
END_TEST

START_TEST(a_long_text_is_cut_between_characters)
{
    /* n one-byte characters, then two-, three- and four-byte ones across the end. */
    static const char *const wide[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t w = 0; w < 3; w++) {
        for (size_t shift = 0; shift < 8; shift++) {
            char text[RMQ_ERROR_TEXT_BYTES * 2];
            size_t len = RMQ_ERROR_TEXT_BYTES - 1 - 4 - shift;
            memset(text, 'a', len);
            text[len] = '\0';
            for (int i = 0; i < 8; i++)
                strcat(text, wide[w]);
            rmq_error err;
            (void)rmq_error_set(&err, RMQ_IO, "%s", text);
            ck_assert(rmq_utf8_valid(rmq_slice_of(err.text)));
            ck_assert_uint_ge(strlen(err.text), RMQ_ERROR_TEXT_BYTES - 1 - 3);
            ck_assert_uint_lt(strlen(err.text), RMQ_ERROR_TEXT_BYTES);
            ck_assert(strncmp(err.text, text, strlen(err.text)) == 0);
        }
    }
    char bytes[RMQ_ERROR_TEXT_BYTES * 2];
    memset(bytes, 0x80, sizeof(bytes));
    bytes[sizeof(bytes) - 1] = '\0';
    rmq_error err;
    (void)rmq_error_set(&err, RMQ_IO, "%s", bytes);
    ck_assert_uint_eq(strlen(err.text), RMQ_ERROR_TEXT_BYTES - 1);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("status");
    TCase *tc = tcase_create("status");
    tcase_add_test(tc, every_status_has_its_name);
    tcase_add_test(tc, set_fills_everything_and_returns_the_status);
    tcase_add_test(tc, errno_decides_the_status);
    tcase_add_test(tc, wrap_puts_context_before_the_text);
    tcase_add_test(tc, its_own_text_may_be_an_argument);
    tcase_add_test(tc, a_long_text_is_cut_between_characters);
    suite_add_tcase(suite, tc);
    return suite;
}
