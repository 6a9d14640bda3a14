/* Addresses and lists of them. */
#include "../support/support.h"

#include <string.h>

#include "../../lib/address.h"

typedef struct good_case {
    const char *text;
    const char *host;
    uint16_t port;
    const char *formatted;
} good_case;

static const good_case good[] = {
    {"127.0.0.1:9876", "127.0.0.1", 9876, "127.0.0.1:9876"},
    {"localhost:1", "localhost", 1, "localhost:1"},
    {"broker-1.example.com:65535", "broker-1.example.com", 65535, "broker-1.example.com:65535"},
    {"under_score:10911", "under_score", 10911, "under_score:10911"},
    {"[::1]:9876", "::1", 9876, "[::1]:9876"},
    {"[fe80::1:2]:10911", "fe80::1:2", 10911, "[fe80::1:2]:10911"},
    {"::1:10911", "::1", 10911, "[::1]:10911"}, /* as a Java broker registers itself */
    {"2001:db8::7:10911", "2001:db8::7", 10911, "[2001:db8::7]:10911"},
};

START_TEST(parses)
{
    const good_case *expected = &good[_i];
    rmq_address address;
    rmq_error err;
    char text[RMQ_ADDRESS_MAX_BYTES];
    ck_ok(rmq_address_parse(rmq_slice_of(expected->text), &address, &err), &err);
    ck_assert_str_eq(address.host, expected->host);
    ck_assert_uint_eq(address.port, expected->port);
    rmq_address_format(&address, text);
    ck_assert_str_eq(text, expected->formatted);
}
END_TEST

static const char *const bad[] = {
    "",       "localhost",     ":9876",    "host:",       "host:0",   "host:65536",
    "host:x", "host:-1",       "host:12 ", "host:999999", "[::1]",    "[::1]9876",
    "[]:1",   "[127.0.0.1]:1", "[host]:1", "ho st:1",     "host\n:1", "http://host:1",
    "a:b:1",  "host:+1",       "host:1x",  "[::1:1",
};

START_TEST(refuses)
{
    rmq_address address = {.host = "untouched"};
    rmq_error err;
    ck_status(rmq_address_parse(rmq_slice_of(bad[_i]), &address, &err), RMQ_INVAL);
    ck_assert_msg(strstr(err.text, bad[_i]) != NULL, "%s", err.text);
    ck_assert_str_eq(address.host, "untouched");
}
END_TEST

START_TEST(refuses_what_is_too_long)
{
    char text[600];
    rmq_address address;
    rmq_error err;
    memset(text, 'a', sizeof(text));
    memcpy(text + sizeof(text) - 5, ":123", 5);
    ck_status(rmq_address_parse(rmq_slice_of(text), &address, &err), RMQ_INVAL);
    ck_status(rmq_address_parse((rmq_slice){"a\0b:1", 5}, &address, &err), RMQ_INVAL);
}
END_TEST

START_TEST(lists)
{
    rmq_address *addresses = NULL;
    size_t count = 0;
    rmq_error err;
    ck_ok(rmq_address_list_parse(" a:1 ;b:2,[::1]:3;; a:1;a:4;", &addresses, &count, &err), &err);
    ck_assert_uint_eq(count, 4); /* the second a:1 is dropped */
    ck_assert_str_eq(addresses[0].host, "a");
    ck_assert_uint_eq(addresses[0].port, 1);
    ck_assert_str_eq(addresses[1].host, "b");
    ck_assert_str_eq(addresses[2].host, "::1");
    ck_assert_uint_eq(addresses[3].port, 4);
    rmq_free(addresses);
    ck_status(rmq_address_list_parse("", &addresses, &count, &err), RMQ_INVAL);
    ck_status(rmq_address_list_parse(" ; ,", &addresses, &count, &err), RMQ_INVAL);
    ck_status(rmq_address_list_parse("a:1;b", &addresses, &count, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "\"b\""));
}
END_TEST

START_TEST(knows_ip_versions)
{
    ck_assert_int_eq(rmq_address_ip_version("10.0.0.1"), 4);
    ck_assert_int_eq(rmq_address_ip_version("::1"), 6);
    ck_assert_int_eq(rmq_address_ip_version("10.0.0"), 0);
    ck_assert_int_eq(rmq_address_ip_version("localhost"), 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("address");
    TCase *tc = tcase_create("address");
    tcase_add_loop_test(tc, parses, 0, (int)(sizeof(good) / sizeof(good[0])));
    tcase_add_loop_test(tc, refuses, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(tc, refuses_what_is_too_long);
    tcase_add_test(tc, lists);
    tcase_add_test(tc, knows_ip_versions);
    suite_add_tcase(suite, tc);
    return suite;
}
