#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../lib/outgoing.h"
#include "../../proto/props.h"
#include "../../proto/record.h"

static rmq_unique_id_source ids = {.address = {1, 2, 3, 4}, .process_id = 7, .noise = 9};

static rmq_outgoing message_of(const char *body)
{
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    message.topic = "T";
    message.body = rmq_slice_of(body);
    return message;
}

static bool has(const rmq_letter *letter, const char *name, const char *value)
{
    rmq_slice got;
    rmq_slice block = {(const char *)letter->properties.data, letter->properties.len};
    return rmq_props_get(block, name, &got) && rmq_slice_equals(got, value);
}

START_TEST(plain_message)
{
    static const rmq_property more[] = {{"color", "red"}};
    rmq_error err = {0};
    rmq_letter letter;
    rmq_outgoing message = message_of("hello");
    message.tags = "A";
    message.keys = "k1 k2";
    message.flag = 5;
    message.delay_level = 3;
    message.sharding_key = "s";
    message.properties = more;
    message.n_properties = 1;
    rmq_letter_init(&letter);
    ck_ok(rmq_letter_write(&letter, &message, &ids, &err), &err);
    ck_assert_uint_eq(letter.body.len, 5);
    ck_assert_mem_eq(letter.body.data, "hello", 5);
    ck_assert_int_eq(letter.flag, 5);
    ck_assert_int_eq(letter.sys_flag, 0);
    ck_assert(!letter.batch);
    ck_assert(has(&letter, "TAGS", "A") && has(&letter, "KEYS", "k1 k2"));
    ck_assert(has(&letter, "color", "red") && has(&letter, "DELAY", "3"));
    ck_assert(has(&letter, "WAIT", "true") && has(&letter, "__SHARDINGKEY", "s"));
    ck_assert_uint_eq(strlen(letter.unique_key), 32);
    ck_assert(has(&letter, "UNIQ_KEY", letter.unique_key));
    rmq_letter_deinit(&letter);
}
END_TEST

START_TEST(keys_are_unique_unless_given)
{
    static const rmq_property own[] = {{"UNIQ_KEY", "mine"}, {"WAIT", "false"}};
    rmq_error err = {0};
    rmq_letter one;
    rmq_letter two;
    rmq_outgoing message = message_of("x");
    rmq_letter_init(&one);
    rmq_letter_init(&two);
    ck_ok(rmq_letter_write(&one, &message, &ids, &err), &err);
    ck_ok(rmq_letter_write(&two, &message, &ids, &err), &err);
    ck_assert_str_ne(one.unique_key, two.unique_key);
    rmq_letter_deinit(&two);
    rmq_letter_init(&two);
    message.properties = own;
    message.n_properties = 2;
    ck_ok(rmq_letter_write(&two, &message, &ids, &err), &err);
    ck_assert_str_eq(two.unique_key, "mine");
    ck_assert(has(&two, "UNIQ_KEY", "mine") && has(&two, "WAIT", "false"));
    rmq_letter_deinit(&one);
    rmq_letter_deinit(&two);
}
END_TEST

START_TEST(compression_only_where_it_helps)
{
    rmq_error err = {0};
    rmq_letter letter;
    static char long_body[10000];
    memset(long_body, 'a', sizeof(long_body));
    rmq_outgoing message = message_of("x");
    message.compression = RMQ_COMPRESSION_ZLIB;
    rmq_letter_init(&letter);
    ck_ok(rmq_letter_write(&letter, &message, &ids, &err), &err);
    ck_assert_int_eq(letter.sys_flag, 0);
    ck_assert_uint_eq(letter.body.len, 1);
    rmq_letter_deinit(&letter);
    message.body = (rmq_slice){long_body, sizeof(long_body)};
    rmq_letter_init(&letter);
    ck_ok(rmq_letter_write(&letter, &message, &ids, &err), &err);
    ck_assert_int_eq(letter.sys_flag, 0x301);
    ck_assert_uint_lt(letter.body.len, 200);
    ck_assert_uint_lt(letter.body.capacity,
                      400); /* what waits to be sent is counted by its length */
    rmq_buf plain;
    rmq_buf_init(&plain, 1 << 20);
    ck_ok(rmq_body_decompress(NULL, letter.sys_flag,
                              (rmq_slice){(const char *)letter.body.data, letter.body.len}, 1 << 20,
                              &plain, &err),
          &err);
    ck_assert_uint_eq(plain.len, sizeof(long_body));
    ck_assert_mem_eq(plain.data, long_body, sizeof(long_body));
    rmq_buf_deinit(&plain);
    rmq_letter_deinit(&letter);
}
END_TEST

/* What is wrong with a message, by number; NULL: nothing more to spoil. */
static const char *spoil(rmq_outgoing *message, int how)
{
    static char topic[300];
    static const rmq_property half[] = {{"TRAN_MSG", "true"}};
    static const rmq_property empty[] = {{"a", ""}};
    static const rmq_property separator[] = {{"a", "b\001c"}};
    static const rmq_property tags[] = {{"TAGS", "x"}};
    memset(topic, 'a', 128);
    topic[128] = '\0';
    switch (how) {
    case 0:
        message->topic = NULL;
        return "topic";
    case 1:
        message->topic = "a topic";
        return "character";
    case 2:
        message->topic = topic;
        return "127";
    case 3:
        message->body.len = 0;
        return "body";
    case 4:
        message->delay_level = 19;
        return "delay";
    case 5:
        message->deliver_at_ms = 5;
        message->delay_level = 1;
        return "deliver_at_ms";
    case 6:
        message->properties = half;
        break;
    case 7:
        message->properties = empty;
        break;
    case 8:
        message->properties = separator;
        break;
    case 9:
        message->properties = tags;
        message->tags = "y";
        break;
    case 10:
        message->broker_name = "b";
        message->queue_id = -1;
        return "queue";
    case 11:
        message->struct_size = 0;
        return "struct_size";
    default:
        return NULL;
    }
    message->n_properties = 1;
    return "";
}

START_TEST(mistakes_are_told)
{
    rmq_error err = {0};
    rmq_letter letter;
    rmq_outgoing message = message_of("x");
    const char *word = spoil(&message, _i);
    ck_assert_ptr_nonnull(word);
    rmq_letter_init(&letter);
    ck_status(rmq_letter_write(&letter, &message, &ids, &err), RMQ_INVAL);
    ck_assert_msg(strstr(err.text, word) != NULL, "\"%s\" is not in: %s", word, err.text);
    rmq_letter_deinit(&letter);
}
END_TEST

START_TEST(size_limits)
{
    rmq_error err = {0};
    rmq_letter letter;
    char *body = calloc(1, RMQ_MESSAGE_MAX_BYTES + 1);
    ck_assert_ptr_nonnull(body);
    rmq_outgoing message = message_of("x");
    message.body = (rmq_slice){body, RMQ_MESSAGE_MAX_BYTES};
    rmq_letter_init(&letter);
    ck_ok(rmq_letter_write(&letter, &message, &ids, &err), &err);
    rmq_letter_deinit(&letter);
    message.body.len++;
    rmq_letter_init(&letter);
    ck_status(rmq_letter_write(&letter, &message, &ids, &err), RMQ_INVAL);
    rmq_letter_deinit(&letter);
    message.compression = RMQ_COMPRESSION_ZLIB; /* what counts is what travels */
    rmq_letter_init(&letter);
    ck_ok(rmq_letter_write(&letter, &message, &ids, &err), &err);
    rmq_letter_deinit(&letter);
    memset(body, 'p', 40000);
    body[40000] = '\0';
    rmq_property huge = {"p", body};
    message = message_of("x");
    message.properties = &huge;
    message.n_properties = 1;
    rmq_letter_init(&letter);
    ck_status(rmq_letter_write(&letter, &message, &ids, &err), RMQ_INVAL);
    rmq_letter_deinit(&letter);
    free(body);
}
END_TEST

START_TEST(batch_members)
{
    rmq_error err = {0};
    rmq_letter letter;
    rmq_outgoing messages[3] = {message_of("one"), message_of("two"), message_of("three")};
    messages[1].flag = 8;
    messages[2].tags = "A";
    rmq_letter_init(&letter);
    ck_ok(rmq_letter_write_batch(&letter, messages, 3, &ids, &err), &err);
    ck_assert(letter.batch);
    ck_assert_uint_eq(letter.properties.len, 0);
    static const char *const bodies[] = {"one", "two", "three"};
    rmq_slice encoded = {(const char *)letter.body.data, letter.body.len};
    rmq_slice keys[3];
    size_t position = 0;
    for (int i = 0; i < 3; i++) {
        int32_t flag;
        rmq_slice body;
        rmq_slice properties;
        ck_ok(rmq_batch_member_next(encoded, &position, &flag, &body, &properties, &err), &err);
        ck_assert_int_eq(flag, i == 1 ? 8 : 0);
        ck_assert(rmq_slice_equals(body, bodies[i]));
        ck_assert(rmq_props_get(properties, "UNIQ_KEY", &keys[i]));
    }
    ck_assert(rmq_slice_equals(keys[0], letter.unique_key));
    ck_assert_mem_ne(keys[0].data, keys[1].data, keys[0].len);
    rmq_letter_deinit(&letter);
}
END_TEST

START_TEST(batches_that_can_not_be)
{
    rmq_error err = {0};
    rmq_letter letter;
    rmq_outgoing messages[2] = {message_of("one"), message_of("two")};
    if (_i == 0)
        messages[1].topic = "U";
    else if (_i == 1)
        messages[1].delay_level = 1;
    else if (_i == 2)
        messages[0].compression = RMQ_COMPRESSION_ZLIB;
    else if (_i == 3)
        messages[1].sharding_key = "s";
    else if (_i == 4)
        messages[1].broker_name = "b";
    else
        messages[0].topic = messages[1].topic = "%RETRY%g";
    rmq_letter_init(&letter);
    ck_status(rmq_letter_write_batch(&letter, messages, 2, &ids, &err), RMQ_INVAL);
    ck_status(rmq_letter_write_batch(&letter, messages, 0, &ids, &err), RMQ_INVAL);
    rmq_letter_deinit(&letter);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("outgoing");
    TCase *tcase = tcase_create("outgoing");
    tcase_add_test(tcase, plain_message);
    tcase_add_test(tcase, keys_are_unique_unless_given);
    tcase_add_test(tcase, compression_only_where_it_helps);
    tcase_add_loop_test(tcase, mistakes_are_told, 0, 12);
    tcase_add_test(tcase, size_limits);
    tcase_add_test(tcase, batch_members);
    tcase_add_loop_test(tcase, batches_that_can_not_be, 0, 6);
    suite_add_tcase(suite, tcase);
    return suite;
}
