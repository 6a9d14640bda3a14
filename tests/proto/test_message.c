#include "../support/support.h"

#include <rmq/message.h>
#include <string.h>

static const rmq_message message = {
    .store_host = {.address = {127, 0, 0, 1}, .address_bytes = 4, .port = 10911},
    .physical_offset = 0x2E0505CC,
    .properties = {"KEYS\001k1 k2\002TAGS\001TagA\002UNIQ_KEY\001AB01\002up\001uv\002", 41},
};

START_TEST(properties_by_name)
{
    rmq_slice value;
    ck_assert_uint_eq(strlen(message.properties.data), message.properties.len);
    ck_assert(rmq_message_property(&message, "up", &value));
    ck_assert(rmq_slice_equals(value, "uv"));
    ck_assert(!rmq_message_property(&message, "UP", &value));
    ck_assert(rmq_slice_equals(rmq_message_tags(&message), "TagA"));
    ck_assert(rmq_slice_equals(rmq_message_keys(&message), "k1 k2"));
    ck_assert(rmq_slice_equals(rmq_message_unique_key(&message), "AB01"));
}
END_TEST

START_TEST(properties_in_order)
{
    static const char *const names[] = {"KEYS", "TAGS", "UNIQ_KEY", "up"};
    size_t position = 0;
    rmq_slice name;
    rmq_slice value;
    for (int i = 0; i < 4; i++) {
        ck_assert(rmq_message_next_property(&message, &position, &name, &value));
        ck_assert(rmq_slice_equals(name, names[i]));
    }
    ck_assert(!rmq_message_next_property(&message, &position, &name, &value));
}
END_TEST

START_TEST(absent_is_empty)
{
    rmq_message bare = {.flag = 0};
    rmq_slice value;
    ck_assert(!rmq_message_property(&bare, "TAGS", &value));
    ck_assert_uint_eq(rmq_message_tags(&bare).len, 0);
    ck_assert_uint_eq(rmq_message_keys(&bare).len, 0);
    ck_assert_uint_eq(rmq_message_unique_key(&bare).len, 0);
}
END_TEST

START_TEST(offset_id)
{
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_message_offset_id(&message, id);
    ck_assert_str_eq(id, "7F00000100002A9F000000002E0505CC");
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("message");
    TCase *tc = tcase_create("message");
    tcase_add_test(tc, properties_by_name);
    tcase_add_test(tc, properties_in_order);
    tcase_add_test(tc, absent_is_empty);
    tcase_add_test(tc, offset_id);
    suite_add_tcase(suite, tc);
    return suite;
}
