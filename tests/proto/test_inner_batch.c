#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../proto/record.h"

static const rmq_decode_options everything = {.end_offset = INT64_MAX};

static rmq_slice all(const rmq_buf *buf)
{
    return (rmq_slice){(char *)buf->data, buf->len};
}

/* ---- members of a batch body ---- */

/* The bodies of the batch sends: the last bytes of their frames. */
static const struct {
    const char *name;
    size_t len;
    int32_t second_flag;
    const char *properties[2];
} sends[] = {
    {"send_batch_req",
     168,
     7,
     {"TAGS\001TB\002UNIQ_KEY\0017F0000010001000000010000000A0003\002WAIT\001true\002",
      "TAGS\001TB\002UNIQ_KEY\0017F0000010001000000010000000A0004\002WAIT\001true\002"}},
    {"java_send_batch_req",
     236,
     0,
     {"KEYS\001kb\002UNIQ_KEY\001FD0000000000000000000000000000023ABC1DBD16A67263F24D0002\002WAIT"
      "\001true\002TAGS\001TagB\002",
      "KEYS\001kb\002UNIQ_KEY\001FD0000000000000000000000000000023ABC1DBD16A67263F24D0003\002WAIT"
      "\001true\002TAGS\001TagB\002"}},
};

START_TEST(golden_members)
{
    uint8_t *data;
    size_t len;
    golden_load(sends[_i].name, &data, &len);
    rmq_slice batch = {(char *)data + len - sends[_i].len, sends[_i].len};
    rmq_buf again;
    rmq_buf_init(&again, 1 << 16);
    size_t position = 0;
    int32_t flag;
    rmq_slice body;
    rmq_slice properties;
    rmq_error err;
    for (int i = 0; i < 2; i++) {
        ck_ok(rmq_batch_member_next(batch, &position, &flag, &body, &properties, &err), &err);
        ck_assert_int_eq(flag, i == 0 ? 0 : sends[_i].second_flag);
        ck_assert(rmq_slice_equals(body, i == 0 ? "b0" : "b1"));
        ck_assert(rmq_slice_equals(properties, sends[_i].properties[i]));
        rmq_batch_member_encode(flag, body, properties, &again);
    }
    ck_status(rmq_batch_member_next(batch, &position, &flag, &body, &properties, &err),
              RMQ_NOT_FOUND);
    ck_assert_uint_eq(again.len, batch.len);
    ck_assert_mem_eq(again.data, batch.data, batch.len);

    for (size_t cut = 1; cut < batch.len; cut++) {
        char *copy = malloc(cut);
        memcpy(copy, batch.data, cut);
        position = 0;
        rmq_status status = RMQ_OK;
        while (status == RMQ_OK)
            status = rmq_batch_member_next((rmq_slice){copy, cut}, &position, &flag, &body,
                                           &properties, NULL);
        ck_assert_msg(status == (cut == batch.len / 2 ? RMQ_NOT_FOUND : RMQ_PROTO), "%zu: %s", cut,
                      rmq_status_name(status));
        free(copy);
    }
    rmq_buf_deinit(&again);
    free(data);
}
END_TEST

/* One member of body "bb" and properties "p": 4 size, 8 zero, 4 flag, 4 + 2 body, 2 + 1. */
static const struct {
    size_t at;
    uint32_t value;
    size_t bytes;
} lies[] = {
    {0, 24, 4}, {0, 26, 4},      {0, 0, 4},       {0, 0xFFFFFFFF, 4},  {16, 1, 4},
    {16, 3, 4}, {16, 5, 4},      {16, 6, 4},      {16, 0xFFFFFFFE, 4}, {22, 0, 2},
    {22, 2, 2}, {22, 0xFFFF, 2}, {22, 0x8000, 2},
};

START_TEST(member_lengths_that_lie)
{
    rmq_buf buf;
    rmq_buf_init(&buf, 100);
    rmq_batch_member_encode(9, RMQ_SLICE_LITERAL("bb"), RMQ_SLICE_LITERAL("p"), &buf);
    ck_assert_uint_eq(buf.len, 25);
    for (size_t i = 0; i < lies[_i].bytes; i++)
        buf.data[lies[_i].at + i] = (uint8_t)(lies[_i].value >> (8 * (lies[_i].bytes - 1 - i)));
    size_t position = 0;
    int32_t flag = -5;
    rmq_slice body;
    rmq_slice properties;
    rmq_error err;
    ck_status(rmq_batch_member_next(all(&buf), &position, &flag, &body, &properties, &err),
              RMQ_PROTO);
    ck_assert_msg(position == 0 && flag == -5, "left alone on failure");
    rmq_buf_deinit(&buf);
}
END_TEST

/* ---- records that hold a batch ---- */

START_TEST(golden_record)
{
    uint8_t *data;
    size_t len;
    golden_load("record_inner_batch", &data, &len);
    rmq_batch *batch;
    rmq_error err;
    rmq_decode_options options = everything;
    options.topic = rmq_slice_of("ProtoBcq");
    ck_ok(rmq_batch_decode((rmq_slice){(char *)data, len}, NULL, &options, &batch, &err), &err);
    ck_assert_uint_eq(rmq_batch_count(batch), 2);
    for (size_t i = 0; i < 2; i++) {
        const rmq_message *m = rmq_batch_at(batch, i);
        ck_assert_int_eq(m->queue_offset, (int64_t)i);
        ck_assert_int_eq(m->physical_offset, 1799542222);
        ck_assert_int_eq(m->sys_flag, 0);
        ck_assert_int_eq(m->flag, 0);
        ck_assert_int_eq(m->born_timestamp_ms, 1795410223422);
        ck_assert_int_eq(m->store_timestamp_ms, 1795410223426);
        ck_assert_int_eq(m->born_host.port, 34414);
        ck_assert(rmq_slice_equals(m->topic, "ProtoBcq"));
        ck_assert(rmq_slice_equals(m->body, i == 0 ? "i0" : "i1"));
        ck_assert_int_eq(m->body_status, RMQ_OK);
        ck_assert_uint_eq(rmq_message_unique_key(m).len, 32);
        ck_assert_uint_eq(m->properties.len, 42);
    }
    rmq_batch_unref(batch);
    free(data);
}
END_TEST

/* How the test records are made. */
typedef struct inner {
    int64_t offset;
    size_t n_members;
    const char *inner_num; /* property; NULL: none */
    rmq_compression whole; /* of the record's body */
    rmq_compression each;  /* of the members' bodies */
    bool break_crc;
    bool break_members;
} inner;

static void compress(rmq_compression kind, rmq_slice body, rmq_buf *out)
{
    rmq_error err;
    rmq_buf_init(out, 1 << 20);
    ck_ok(rmq_body_compress(NULL, kind, body, out, &err), &err);
}

static void append_inner(rmq_buf *records, const inner *how)
{
    rmq_buf members;
    rmq_buf_init(&members, 1 << 20);
    for (size_t i = 0; i < how->n_members; i++) {
        char text[32];
        snprintf(text, sizeof(text), "member %zu", i);
        rmq_buf body;
        compress(how->each, rmq_slice_of(text), &body);
        rmq_batch_member_encode((int32_t)i, all(&body), RMQ_SLICE_LITERAL("TAGS\001t\002"),
                                &members);
        rmq_buf_deinit(&body);
    }
    if (how->break_members)
        members.data[3]++;
    rmq_buf body;
    compress(how->whole, all(&members), &body);
    char properties[64] = "";
    if (how->inner_num != NULL)
        snprintf(properties, sizeof(properties), "INNER_NUM\001%s\002", how->inner_num);
    rmq_message message = {.topic = RMQ_SLICE_LITERAL("T"),
                           .queue_offset = how->offset,
                           .sys_flag = 0xC0 | rmq_compression_sys_flag(how->whole) |
                                       rmq_compression_sys_flag(how->each),
                           .born_host = {.address_bytes = 4},
                           .store_host = {.address_bytes = 4},
                           .body = all(&body),
                           .properties = rmq_slice_of(properties)};
    size_t at = records->len;
    rmq_record_encode(&message, records);
    ck_assert_int_eq(records->failed, RMQ_OK);
    if (how->break_crc)
        records->data[at + 8] ^= 1;
    rmq_buf_deinit(&body);
    rmq_buf_deinit(&members);
}

static void append_plain(rmq_buf *records, int64_t offset)
{
    rmq_message message = {.topic = RMQ_SLICE_LITERAL("T"),
                           .queue_offset = offset,
                           .born_host = {.address_bytes = 4},
                           .store_host = {.address_bytes = 4},
                           .body = RMQ_SLICE_LITERAL("plain")};
    rmq_record_encode(&message, records);
    ck_assert_int_eq(records->failed, RMQ_OK);
}

/* A batch of 10 from offset 5 on, then a plain record; read from `start` to `end`. */
static const struct {
    inner how;
    int64_t start;
    int64_t end;
    size_t n_expected; /* of the inner batch */
    int64_t first_offset;
    rmq_status body_status;
} reads[] = {
    {{5, 10, "10", 0, 0, false, false}, 0, INT64_MAX, 10, 5, RMQ_OK},
    {{5, 10, NULL, 0, 0, false, false}, 0, INT64_MAX, 10, 5, RMQ_OK},
    {{5, 10, "x", 0, 0, false, false}, 0, INT64_MAX, 10, 5, RMQ_OK},
    {{5, 10, "10", 0, 0, false, false}, 7, INT64_MAX, 8, 7, RMQ_OK},
    {{5, 10, "10", 0, 0, false, false}, 7, 9, 2, 7, RMQ_OK},
    {{5, 10, "10", 0, 0, false, false}, 14, 15, 1, 14, RMQ_OK},
    {{5, 10, "10", 0, 0, false, false}, 15, INT64_MAX, 0, 0, RMQ_OK},
    {{5, 10, "10", 0, 0, false, false}, 0, 5, 0, 0, RMQ_OK},
    {{5, 10, "10", 0, 0, false, false}, 9, 7, 0, 0, RMQ_OK}, /* an empty window */
    {{5, 10, "10", 0, 0, false, false}, INT64_MIN, INT64_MAX, 10, 5, RMQ_OK},
    {{5, 10, "10", RMQ_COMPRESSION_ZLIB, 0, false, false}, 6, INT64_MAX, 9, 6, RMQ_OK},
    {{5, 10, "10", RMQ_COMPRESSION_LZ4, 0, false, false}, 6, INT64_MAX, 9, 6, RMQ_OK},
    {{5, 10, "10", RMQ_COMPRESSION_ZSTD, 0, false, false}, 6, INT64_MAX, 9, 6, RMQ_OK},
    {{5, 10, "10", 0, RMQ_COMPRESSION_ZLIB, false, false}, 6, INT64_MAX, 9, 6, RMQ_OK},
    {{5, 10, "10", 0, RMQ_COMPRESSION_LZ4, false, false}, 6, INT64_MAX, 9, 6, RMQ_OK},
    {{5, 10, "10", 0, RMQ_COMPRESSION_ZSTD, false, false}, 6, INT64_MAX, 9, 6, RMQ_OK},
    /* Broken: one message stands for all that are wanted. */
    {{5, 10, "10", 0, 0, true, false}, 0, INT64_MAX, 1, 5, RMQ_CORRUPT},
    {{5, 10, "10", 0, 0, true, false}, 7, INT64_MAX, 1, 7, RMQ_CORRUPT},
    {{5, 10, NULL, 0, 0, true, false}, 7, INT64_MAX, 1, 7, RMQ_CORRUPT},
    {{5, 10, "10", 0, 0, true, false}, 15, INT64_MAX, 0, 0, RMQ_CORRUPT},
    {{5, 10, "10", 0, 0, true, false}, 0, 5, 0, 0, RMQ_CORRUPT},
    {{5, 10, "9", 0, 0, false, false}, 0, INT64_MAX, 1, 5, RMQ_CORRUPT},
    {{5, 10, "11", 0, 0, false, false}, 0, INT64_MAX, 1, 5, RMQ_CORRUPT},
    {{5, 10, "10", 0, 0, false, true}, 0, INT64_MAX, 1, 5, RMQ_CORRUPT},
    {{5, 10, "10", RMQ_COMPRESSION_ZLIB, 0, false, true}, 0, INT64_MAX, 1, 5, RMQ_CORRUPT},
    {{5, 0, "10", 0, 0, false, false}, 0, INT64_MAX, 1, 5, RMQ_CORRUPT},
};

START_TEST(members_in_the_window)
{
    const inner *how = &reads[_i].how;
    if (!rmq_compression_available(how->whole) || !rmq_compression_available(how->each))
        return;
    rmq_buf records;
    rmq_buf_init(&records, 1 << 20);
    append_inner(&records, how);
    append_plain(&records, how->offset + 10);
    rmq_decode_options options = {.start_offset = reads[_i].start,
                                  .end_offset = reads[_i].end,
                                  .topic = RMQ_SLICE_LITERAL("T")};
    rmq_batch *batch;
    rmq_error err;
    ck_ok(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), &err);
    size_t n_plain = reads[_i].end > how->offset + 10 ? 1 : 0;
    ck_assert_msg(rmq_batch_count(batch) == reads[_i].n_expected + n_plain, "%d: %zu messages", _i,
                  rmq_batch_count(batch));
    for (size_t i = 0; i < reads[_i].n_expected; i++) {
        const rmq_message *m = rmq_batch_at(batch, i);
        ck_assert_int_eq(m->queue_offset, reads[_i].first_offset + (int64_t)i);
        ck_assert_int_eq(m->body_status, reads[_i].body_status);
        if (m->body_status != RMQ_OK)
            continue;
        char text[32];
        snprintf(text, sizeof(text), "member %lld", (long long)(m->queue_offset - how->offset));
        ck_assert_msg(rmq_slice_equals(m->body, text), "%d: %.*s", _i, (int)m->body.len,
                      m->body.data);
        ck_assert_int_eq(m->flag, m->queue_offset - how->offset);
        ck_assert_int_eq(m->sys_flag & 0xC1, 0);
        ck_assert(rmq_slice_equals(rmq_message_tags(m), "t"));
    }
    if (n_plain == 1)
        ck_assert(rmq_slice_equals(rmq_batch_at(batch, reads[_i].n_expected)->body, "plain"));
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

/* The broken one keeps its stored bytes and flags. */
START_TEST(broken_is_kept_as_stored)
{
    inner how = {5, 3, "3", 0, 0, true, false};
    rmq_buf records;
    rmq_buf_init(&records, 1 << 20);
    append_inner(&records, &how);
    rmq_batch *batch;
    rmq_error err;
    ck_ok(rmq_batch_decode(all(&records), NULL, &everything, &batch, &err), &err);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->sys_flag, 0xC0);
    ck_assert_uint_eq(rmq_batch_at(batch, 0)->body.len, 3 * (22 + 8 + 7));
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

START_TEST(offsets_must_rise_past_the_members)
{
    rmq_decode_options options = everything;
    options.topic = rmq_slice_of("T");
    for (int64_t next = 5; next <= 8; next++) {
        inner how = {5, 3, "3", 0, 0, false, false};
        rmq_buf records;
        rmq_buf_init(&records, 1 << 20);
        append_inner(&records, &how);
        append_plain(&records, next);
        rmq_batch *batch;
        rmq_error err;
        rmq_status status = rmq_batch_decode(all(&records), NULL, &options, &batch, &err);
        ck_assert_int_eq(status, next == 8 ? RMQ_OK : RMQ_PROTO);
        if (status == RMQ_OK)
            rmq_batch_unref(batch);
        rmq_buf_deinit(&records);
    }
    inner last = {INT64_MAX - 2, 3, "3", 0, 0, false, false};
    rmq_buf records;
    rmq_buf_init(&records, 1 << 20);
    append_inner(&records, &last);
    rmq_batch *batch;
    rmq_error err;
    ck_status(rmq_batch_decode(all(&records), NULL, &everything, &batch, &err), RMQ_PROTO);
    rmq_buf_deinit(&records);
}
END_TEST

/* Many batches among plain records, so that the array of views grows and grows. */
START_TEST(many_in_one_body)
{
    rmq_buf records;
    rmq_buf_init(&records, 1 << 24);
    int64_t offset = 0;
    for (int i = 0; i < 300; i++) {
        inner how = {offset, (size_t)(i % 7) + 1, NULL, 0, 0, false, false};
        append_inner(&records, &how);
        offset += i % 7 + 1;
        append_plain(&records, offset++);
    }
    rmq_decode_options options = everything;
    options.topic = rmq_slice_of("T");
    rmq_batch *batch;
    rmq_error err;
    ck_ok(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), &err);
    ck_assert_uint_eq(rmq_batch_count(batch), (size_t)offset);
    for (size_t i = 0; i < rmq_batch_count(batch); i++)
        ck_assert_int_eq(rmq_batch_at(batch, i)->queue_offset, (int64_t)i);
    rmq_batch_unref(batch);
    rmq_buf_deinit(&records);
}
END_TEST

/* Members cost a view each, 22 bytes on the wire: the cap counts the views. */
START_TEST(members_count_against_the_cap)
{
    inner how = {0, 1000, NULL, RMQ_COMPRESSION_ZLIB, 0, false, false};
    rmq_buf records;
    rmq_buf_init(&records, 1 << 20);
    append_inner(&records, &how);
    rmq_decode_options options = everything;
    options.max_batch_bytes = 1000 * sizeof(rmq_message) / 2;
    rmq_batch *batch;
    rmq_error err;
    ck_ok(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), &err);
    ck_assert_uint_eq(rmq_batch_count(batch), 1);
    ck_assert_int_eq(rmq_batch_at(batch, 0)->body_status, RMQ_FULL);
    ck_assert_uint_lt(rmq_batch_bytes(batch), 1000 * sizeof(rmq_message));
    rmq_batch_unref(batch);

    how.offset = 1000;
    append_inner(&records, &how);
    ck_status(rmq_batch_decode(all(&records), NULL, &options, &batch, &err), RMQ_FULL);
    rmq_buf_deinit(&records);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("inner_batch");
    TCase *tc = tcase_create("members");
    tcase_add_loop_test(tc, golden_members, 0, sizeof(sends) / sizeof(*sends));
    tcase_add_loop_test(tc, member_lengths_that_lie, 0, sizeof(lies) / sizeof(*lies));
    suite_add_tcase(suite, tc);
    tc = tcase_create("records");
    tcase_add_test(tc, golden_record);
    tcase_add_loop_test(tc, members_in_the_window, 0, sizeof(reads) / sizeof(*reads));
    tcase_add_test(tc, broken_is_kept_as_stored);
    tcase_add_test(tc, offsets_must_rise_past_the_members);
    tcase_add_test(tc, many_in_one_body);
    tcase_add_test(tc, members_count_against_the_cap);
    suite_add_tcase(suite, tc);
    return suite;
}
