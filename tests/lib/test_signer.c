/* ACL signatures, against the golden vector and the example that was checked with the Java
 * implementation (protocol facts 15.1). */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../lib/signer.h"
#include "../support/fault_alloc.h"

static const rmq_signer signer = {.access_key = "RocketMQ", .secret_key = "12345678"};

static rmq_slice field(const rmq_signed *signed_fields, const char *key)
{
    for (size_t i = 0; i < signed_fields->n_fields; i++) {
        if (rmq_slice_equals(signed_fields->fields[i].key, key))
            return signed_fields->fields[i].value;
    }
    return (rmq_slice){NULL, 0};
}

START_TEST(signs_the_golden_request)
{
    uint8_t *bytes;
    size_t len;
    rmq_frame *frame;
    rmq_command command;
    rmq_signed made;
    rmq_slice expected;
    rmq_error err;
    golden_load("acl_signed_req", &bytes, &len);
    ck_ok(rmq_frame_from_bytes(bytes, len, &frame, &err), &err);
    ck_ok(rmq_command_decode(frame, &command, &err), &err);
    ck_assert(rmq_command_get(&command, "Signature", &expected));
    /* AccessKey and Signature are there already: signing again must give the same. */
    ck_ok(rmq_signer_sign(&signer, &command, false, &made, &err), &err);
    ck_assert(rmq_slice_equals(expected, made.signature));
    ck_assert_str_eq(made.signature, "m0LpwPuu9B+bT8AqzYPLwJjZ4UU=");
    ck_assert_uint_eq(made.n_fields, command.n_fields);
    ck_assert(rmq_slice_equals(field(&made, "AccessKey"), "RocketMQ"));
    ck_assert(rmq_slice_equals(field(&made, "Signature"), made.signature));
    rmq_signed_deinit(&made);
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    free(bytes);
}
END_TEST

static void fill_example(rmq_command *command)
{
    rmq_command_init(command, 1);
    rmq_command_set(command, "a", "1");
    rmq_command_set(command, "B", "2");
    rmq_command_set(command, "b", "3");
    command->body = RMQ_SLICE_LITERAL("body");
}

START_TEST(signs_the_example)
{
    rmq_command command;
    rmq_signed made;
    rmq_error err;
    fill_example(&command);
    ck_ok(rmq_signer_sign(&signer, &command, false, &made, &err), &err);
    ck_assert_str_eq(made.signature, "tnO4LyNhHOy3WOLqbiYE3C1sTsU=");
    ck_assert_uint_eq(command.n_fields, 3); /* the command is as it was */
    rmq_signed_deinit(&made);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(token_is_signed_too)
{
    const rmq_signer with_token = {"RocketMQ", "12345678", "token"};
    rmq_command command;
    rmq_signed made;
    rmq_error err;
    fill_example(&command);
    ck_ok(rmq_signer_sign(&with_token, &command, false, &made, &err), &err);
    ck_assert(rmq_slice_equals(field(&made, "SecurityToken"), "token"));
    ck_assert_str_ne(made.signature, "tnO4LyNhHOy3WOLqbiYE3C1sTsU=");
    rmq_signed_deinit(&made);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(empty_fields_are_left_out_where_they_are_not_sent)
{
    rmq_command command;
    rmq_signed made;
    rmq_error err;
    fill_example(&command);
    rmq_command_set(&command, "empty", "");
    ck_ok(rmq_signer_sign(&signer, &command, true, &made, &err), &err);
    ck_assert_uint_eq(made.n_fields, 5);
    ck_assert_str_eq(made.signature, "tnO4LyNhHOy3WOLqbiYE3C1sTsU=");
    rmq_signed_deinit(&made);
    ck_ok(rmq_signer_sign(&signer, &command, false, &made, &err), &err);
    ck_assert_uint_eq(made.n_fields, 6);
    ck_assert_str_eq(made.signature, "tnO4LyNhHOy3WOLqbiYE3C1sTsU=");
    rmq_signed_deinit(&made);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(a_request_without_fields_is_signed)
{
    rmq_command command;
    rmq_signed made;
    rmq_error err;
    rmq_command_init(&command, 34);
    ck_ok(rmq_signer_sign(&signer, &command, false, &made, &err), &err);
    ck_assert_uint_eq(made.n_fields, 2);
    ck_assert_uint_eq(strlen(made.signature), 28);
    rmq_signed_deinit(&made);
    rmq_command_deinit(&command);
}
END_TEST

START_TEST(survives_lack_of_memory)
{
    rmq_command command;
    rmq_signed made;
    rmq_error err;
    fault_alloc_fail(-1);
    fill_example(&command);
    int64_t live = fault_alloc_live();
    (void)live;
    fault_alloc_fail(0);
    ck_status(rmq_signer_sign(&signer, &command, false, &made, &err), RMQ_NOMEM);
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
    rmq_command_deinit(&command);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("signer");
    TCase *tc = tcase_create("signer");
    tcase_add_test(tc, signs_the_golden_request);
    tcase_add_test(tc, signs_the_example);
    tcase_add_test(tc, token_is_signed_too);
    tcase_add_test(tc, empty_fields_are_left_out_where_they_are_not_sent);
    tcase_add_test(tc, a_request_without_fields_is_signed);
    tcase_add_test(tc, survives_lack_of_memory);
    suite_add_tcase(suite, tc);
    return suite;
}
