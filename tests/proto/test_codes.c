#include "../support/support.h"

#include "../../proto/codes.h"

START_TEST(requests_have_their_names)
{
    ck_assert_str_eq(rmq_request_code_name(10), "SEND_MESSAGE");
    ck_assert_str_eq(rmq_request_code_name(RMQ_REQUEST_PULL_MESSAGE), "PULL_MESSAGE");
    ck_assert_str_eq(rmq_request_code_name(310), "SEND_MESSAGE_V2");
    ck_assert_str_eq(rmq_request_code_name(200151), "BATCH_ACK_MESSAGE");
    ck_assert_str_eq(rmq_request_code_name(9999), "UNKNOWN");
    ck_assert_str_eq(rmq_request_code_name(-1), "UNKNOWN");
    ck_assert_str_eq(rmq_request_code_name(INT32_MIN), "UNKNOWN");
}
END_TEST

START_TEST(responses_have_their_names)
{
    ck_assert_str_eq(rmq_response_code_name(0), "SUCCESS");
    ck_assert_str_eq(rmq_response_code_name(17), "TOPIC_NOT_EXIST");
    ck_assert_str_eq(rmq_response_code_name(RMQ_RESPONSE_GO_AWAY), "GO_AWAY");
    ck_assert_str_eq(rmq_response_code_name(200050), "UNKNOWN");
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("codes");
    TCase *tc = tcase_create("codes");
    tcase_add_test(tc, requests_have_their_names);
    tcase_add_test(tc, responses_have_their_names);
    suite_add_tcase(suite, tc);
    return suite;
}
