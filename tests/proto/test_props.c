#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../proto/props.h"
#include "../../proto/record.h"

static rmq_slice slice(const char *text)
{
    return rmq_slice_of(text);
}

/* All properties as "name=value;", so that a walk can be compared in one go. */
static void walk(rmq_slice block, char *out, size_t size)
{
    size_t position = 0;
    size_t at = 0;
    rmq_slice name;
    rmq_slice value;
    out[0] = '\0';
    while (rmq_props_next(block, &position, &name, &value))
        at += (size_t)snprintf(out + at, size - at, "%.*s=%.*s;", (int)name.len, name.data,
                               (int)value.len, value.data);
    ck_assert_uint_eq(position, block.len);
    ck_assert(!rmq_props_next(block, &position, &name, &value));
}

static const struct {
    const char *block;
    const char *expected;
} walks[] = {
    {"", ""},
    {"TAGS\001A\002KEYS\001k1 k2\002", "TAGS=A;KEYS=k1 k2;"},
    {"TAGS\001A\002KEYS\001k", "TAGS=A;KEYS=k;"},
    {"\002\002a\001b\002\002", "a=b;"},
    {"no separator\002a\001b\002neither", "a=b;"},
    {"a\001\002b\001c\002", "b=c;"},
    {"\001v\002b\001c\002", "b=c;"},
    {"a\001x\001y\002", "a=x\001y;"},
    {"\001", ""},
    {"\002", ""},
    {"a\001", ""},
    {"\303\244\001\342\202\254\002", "\303\244=\342\202\254;"},
};

START_TEST(walk_gives_what_java_keeps)
{
    char text[256];
    walk(slice(walks[_i].block), text, sizeof(text));
    ck_assert_msg(strcmp(text, walks[_i].expected) == 0, "%d: %s", _i, text);
}
END_TEST

START_TEST(get_takes_the_last_of_a_name)
{
    rmq_slice block = slice("A\001first\002AB\001other\002A\001last\002");
    rmq_slice value = {NULL, 0};
    ck_assert(rmq_props_get(block, "A", &value));
    ck_assert(rmq_slice_equals(value, "last"));
    ck_assert(rmq_props_get(block, "AB", &value));
    ck_assert(rmq_slice_equals(value, "other"));
    ck_assert(!rmq_props_get(block, "B", &value));
    ck_assert(!rmq_props_get(block, "", &value));
    ck_assert_msg(rmq_slice_equals(value, "other"), "left alone when not found");
    ck_assert(!rmq_props_get((rmq_slice){NULL, 0}, "A", &value));
}
END_TEST

START_TEST(append_writes_the_block)
{
    rmq_error err;
    rmq_buf buf;
    rmq_buf_init(&buf, RMQ_PROPERTIES_MAX_BYTES);
    ck_ok(rmq_props_append(&buf, "TAGS", slice("TagA"), &err), &err);
    ck_ok(rmq_props_append(&buf, "KEYS", slice("k1 k2"), &err), &err);
    static const char expected[] = "TAGS\001TagA\002KEYS\001k1 k2\002";
    ck_assert_uint_eq(buf.len, sizeof(expected) - 1);
    ck_assert_mem_eq(buf.data, expected, buf.len);
    rmq_buf_deinit(&buf);
}
END_TEST

static const struct {
    const char *name;
    const char *value;
} refused[] = {
    {"", "v"}, {"n", ""}, {"n\001", "v"}, {"n\002x", "v"}, {"n", "v\001"}, {"n", "\002"},
};

START_TEST(append_refuses)
{
    rmq_error err;
    rmq_buf buf;
    rmq_buf_init(&buf, RMQ_PROPERTIES_MAX_BYTES);
    ck_status(rmq_props_append(&buf, refused[_i].name, slice(refused[_i].value), &err), RMQ_INVAL);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert_int_eq(buf.failed, RMQ_OK);
    rmq_buf_deinit(&buf);
}
END_TEST

START_TEST(append_stops_at_32767)
{
    rmq_error err;
    rmq_buf buf;
    rmq_buf_init(&buf, 1 << 20);
    char *value = malloc(40000);
    memset(value, 'v', 40000);
    ck_status(rmq_props_append(&buf, "n", (rmq_slice){value, 32765}, &err), RMQ_INVAL);
    ck_status(rmq_props_append(&buf, "n", (rmq_slice){value, 40000}, &err), RMQ_INVAL);
    ck_ok(rmq_props_append(&buf, "n", (rmq_slice){value, 32764}, &err), &err);
    ck_assert_uint_eq(buf.len, 32767);
    ck_status(rmq_props_append(&buf, "n", (rmq_slice){value, 1}, &err), RMQ_INVAL);
    ck_assert_uint_eq(buf.len, 32767);
    rmq_buf_deinit(&buf);

    rmq_buf_init(&buf, 4);
    ck_status(rmq_props_append(&buf, "n", (rmq_slice){value, 10}, &err), RMQ_FULL);
    rmq_buf_deinit(&buf);
    free(value);
}
END_TEST

/* Source: protocol facts 5.9; the rest computed with Java's String.hashCode. */
static const struct {
    const char *tag;
    int32_t hash;
} hashes[] = {
    {"", 0},
    {"TagA", 2598919},
    {"TagB", 2598920},
    {"Aa", 2112},
    {"BB", 2112},
    {"\303\244", 228},                        /* U+00E4 */
    {"\342\202\254", 8364},                   /* U+20AC */
    {"\360\237\230\200", 55357 * 31 + 56832}, /* U+1F600 = D83D DE00 */
    {"\360\220\200\200", 55296 * 31 + 56320}, /* U+10000 = D800 DC00 */
    {"\364\217\277\277", 56319 * 31 + 57343}, /* U+10FFFF = DBFF DFFF */
    {"\377", 0xFFFD},                         /* no lead byte */
    {"\300\200", 0xFFFD * 31 + 0xFFFD},       /* overlong: two */
    {"\342\202", 0xFFFD},                     /* cut short: one for the legal beginning */
    {"\342\202A", 0xFFFD * 31 + 'A'},         /* goes on after it */
    {"\364\220\200\200", ((0xFFFD * 31 + 0xFFFD) * 31 + 0xFFFD) * 31 + 0xFFFD},
    {"\355\240\200", (0xFFFD * 31 + 0xFFFD) * 31 + 0xFFFD}, /* a surrogate */
    {"polygenelubricants", INT32_MIN},
};

START_TEST(hash_is_javas)
{
    ck_assert_msg(rmq_tag_hash(slice(hashes[_i].tag)) == hashes[_i].hash, "%d: %d", _i,
                  rmq_tag_hash(slice(hashes[_i].tag)));
}
END_TEST

static const struct {
    const char *expression;
    const char *tags;
    bool matches;
} matches[] = {
    {"*", "", true},          {"", "A", true},
    {"*", "A", true},         {"A", "A", true},
    {"A", "", false},         {"A", "B", false},
    {"BB", "Aa", false}, /* one hash, two tags */
    {"A || B", "B", true},    {"A||B||C", "C", true},
    {" A ||\tB ", "A", true}, {"A || B", "A || B", false},
    {"A || *", "C", false},   {"|| A ||", "A", true},
    {"|| ||", "A", true}, /* no tag in it is no filter */
    {"  ", "A", true},        {"AB", "A", false},
    {"A", "AB", false},
};

START_TEST(tags_match_by_string)
{
    ck_assert_msg(rmq_tag_matches(slice(matches[_i].expression), slice(matches[_i].tags)) ==
                      matches[_i].matches,
                  "%d: '%s' '%s'", _i, matches[_i].expression, matches[_i].tags);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("props");
    TCase *tc = tcase_create("props");
    tcase_add_loop_test(tc, walk_gives_what_java_keeps, 0, sizeof(walks) / sizeof(*walks));
    tcase_add_test(tc, get_takes_the_last_of_a_name);
    tcase_add_test(tc, append_writes_the_block);
    tcase_add_loop_test(tc, append_refuses, 0, sizeof(refused) / sizeof(*refused));
    tcase_add_test(tc, append_stops_at_32767);
    tcase_add_loop_test(tc, hash_is_javas, 0, sizeof(hashes) / sizeof(*hashes));
    tcase_add_loop_test(tc, tags_match_by_string, 0, sizeof(matches) / sizeof(*matches));
    suite_add_tcase(suite, tc);
    return suite;
}
