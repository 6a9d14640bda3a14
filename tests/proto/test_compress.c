#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../proto/record.h"

static const rmq_compression kinds[] = {RMQ_COMPRESSION_ZLIB, RMQ_COMPRESSION_LZ4,
                                        RMQ_COMPRESSION_ZSTD};
#define N_KINDS 3

/* Bytes that compress a little. */
static uint8_t *make_body(size_t len, uint32_t seed)
{
    uint8_t *body = malloc(len > 0 ? len : 1);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        body[i] = (uint8_t)(seed >> 24 & 0x1F);
    }
    return body;
}

static void compress(rmq_compression kind, rmq_slice body, rmq_buf *out)
{
    rmq_error err;
    rmq_buf_init(out, 64u << 20);
    ck_ok(rmq_body_compress(NULL, kind, body, out, &err), &err);
}

START_TEST(flags_are_the_facts)
{
    ck_assert_int_eq(rmq_compression_sys_flag(RMQ_COMPRESSION_NONE), 0);
    ck_assert_int_eq(rmq_compression_sys_flag(RMQ_COMPRESSION_ZLIB), 0x301);
    ck_assert_int_eq(rmq_compression_sys_flag(RMQ_COMPRESSION_LZ4), 0x101);
    ck_assert_int_eq(rmq_compression_sys_flag(RMQ_COMPRESSION_ZSTD), 0x201);
}
END_TEST

static const size_t sizes[] = {1, 2, 511, 512, 4096, 65536, 1000003, 5000000};
#define N_SIZES 8

START_TEST(round_trip)
{
    rmq_compression kind = kinds[_i % N_KINDS];
    if (!rmq_compression_available(kind))
        return;
    size_t len = sizes[_i / N_KINDS];
    uint8_t *body = make_body(len, (uint32_t)_i);
    rmq_buf packed;
    compress(kind, (rmq_slice){(char *)body, len}, &packed);
    rmq_buf plain;
    rmq_buf_init(&plain, 64u << 20);
    rmq_buf_append(&plain, "before", 6);
    rmq_error err;
    rmq_slice in = {(char *)packed.data, packed.len};
    ck_ok(rmq_body_decompress(NULL, rmq_compression_sys_flag(kind), in, len, &plain, &err), &err);
    ck_assert_uint_eq(plain.len, len + 6);
    ck_assert_mem_eq(plain.data, "before", 6);
    ck_assert_mem_eq(plain.data + 6, body, len);

    rmq_status one_less =
        rmq_body_decompress(NULL, rmq_compression_sys_flag(kind), in, len - 1, &plain, &err);
    ck_assert_msg(one_less == RMQ_FULL, "%d: %s", _i, rmq_status_name(one_less));
    ck_assert_msg(plain.len == len + 6, "a failure leaves nothing behind");
    rmq_buf_deinit(&plain);
    rmq_buf_deinit(&packed);
    free(body);
}
END_TEST

/* Every proper prefix of a compressed body is CORRUPT, and so is one with a byte behind it (LZ4 and
 * zstd take that for the start of another frame). */
/* A codec is as good as new after every body, also one that failed half-way. */
START_TEST(a_codec_is_used_again)
{
    rmq_compression kind = kinds[_i];
    if (!rmq_compression_available(kind))
        return;
    int32_t flag = rmq_compression_sys_flag(kind);
    rmq_codec codec = {.inflater = NULL};
    rmq_error err;
    for (int round = 0; round < 50; round++) {
        size_t len = (size_t)(round * round * 97 + 200);
        uint8_t *body = make_body(len, (uint32_t)round);
        rmq_buf fresh;
        rmq_buf packed;
        rmq_buf plain;
        compress(kind, (rmq_slice){(char *)body, len}, &fresh);
        rmq_buf_init(&packed, 64u << 20);
        rmq_buf_init(&plain, 64u << 20);
        ck_ok(rmq_body_compress(&codec, kind, (rmq_slice){(char *)body, len}, &packed, &err), &err);
        ck_assert_uint_eq(packed.len, fresh.len);
        ck_assert_mem_eq(packed.data, fresh.data, fresh.len);
        rmq_slice in = {(char *)packed.data, packed.len};
        rmq_slice cut = {in.data, in.len * 2 / 3};
        ck_status(rmq_body_decompress(&codec, flag, cut, len, &plain, NULL), RMQ_CORRUPT);
        ck_status(rmq_body_decompress(&codec, flag, in, len / 2, &plain, NULL), RMQ_FULL);
        ck_status(
            rmq_body_decompress(&codec, flag, RMQ_SLICE_LITERAL("nonsense"), len, &plain, NULL),
            RMQ_CORRUPT);
        ck_ok(rmq_body_decompress(&codec, flag, in, len, &plain, &err), &err);
        ck_assert_uint_eq(plain.len, len);
        ck_assert_mem_eq(plain.data, body, len);
        rmq_buf_deinit(&plain);
        rmq_buf_deinit(&packed);
        rmq_buf_deinit(&fresh);
        free(body);
    }
    rmq_codec_deinit(&codec);
}
END_TEST

START_TEST(cut_short_or_too_long)
{
    rmq_compression kind = kinds[_i];
    if (!rmq_compression_available(kind))
        return;
    uint8_t *body = make_body(3000, 7);
    rmq_buf packed;
    compress(kind, (rmq_slice){(char *)body, 3000}, &packed);
    rmq_buf plain;
    rmq_buf_init(&plain, 1 << 20);
    int32_t flag = rmq_compression_sys_flag(kind);
    for (size_t len = 0; len < packed.len; len++) {
        /* a copy of its own, so that a read past its end is seen */
        char *cut = malloc(len > 0 ? len : 1);
        memcpy(cut, packed.data, len);
        rmq_status status =
            rmq_body_decompress(NULL, flag, (rmq_slice){cut, len}, 1 << 20, &plain, NULL);
        ck_assert_msg(status == RMQ_CORRUPT, "%d, %zu: %s", _i, len, rmq_status_name(status));
        free(cut);
    }
    rmq_buf_append_u8(&packed, 0x55);
    ck_status(rmq_body_decompress(NULL, flag, (rmq_slice){(char *)packed.data, packed.len}, 1 << 20,
                                  &plain, NULL),
              RMQ_CORRUPT);
    ck_assert_uint_eq(plain.len, 0);
    rmq_buf_deinit(&plain);
    rmq_buf_deinit(&packed);
    free(body);
}
END_TEST

START_TEST(several_frames_are_one_body)
{
    rmq_compression kind = kinds[1 + _i];
    if (!rmq_compression_available(kind))
        return;
    rmq_buf packed;
    compress(kind, RMQ_SLICE_LITERAL("one "), &packed);
    ck_status(rmq_body_compress(NULL, kind, RMQ_SLICE_LITERAL("two"), &packed, NULL), RMQ_OK);
    rmq_buf plain;
    rmq_buf_init(&plain, 1000);
    rmq_error err;
    ck_ok(rmq_body_decompress(NULL, rmq_compression_sys_flag(kind),
                              (rmq_slice){(char *)packed.data, packed.len}, 7, &plain, &err),
          &err);
    ck_assert_uint_eq(plain.len, 7);
    ck_assert_mem_eq(plain.data, "one two", 7);
    rmq_buf_deinit(&plain);
    rmq_buf_deinit(&packed);
}
END_TEST

/* 4 MiB, the largest message that a producer takes, passes however well it compresses; 32 MiB that
 * became a few kilobytes don't (zlib can't do that). */
START_TEST(ratio_is_capped)
{
    rmq_compression kind = kinds[_i];
    if (!rmq_compression_available(kind))
        return;
    size_t len = 32u << 20;
    char *zeros = calloc(1, len);
    rmq_buf packed;
    rmq_buf plain;
    rmq_buf_init(&plain, SIZE_MAX);
    rmq_error err;
    int32_t flag = rmq_compression_sys_flag(kind);
    compress(kind, (rmq_slice){zeros, 4u << 20}, &packed);
    ck_ok(rmq_body_decompress(NULL, flag, (rmq_slice){(char *)packed.data, packed.len}, SIZE_MAX,
                              &plain, &err),
          &err);
    ck_assert_uint_eq(plain.len, 4u << 20);
    rmq_buf_deinit(&packed);

    compress(kind, (rmq_slice){zeros, len}, &packed);
    rmq_status status = rmq_body_decompress(
        NULL, flag, (rmq_slice){(char *)packed.data, packed.len}, SIZE_MAX, &plain, &err);
    rmq_status expected = len / packed.len > 1100 ? RMQ_FULL : RMQ_OK;
    ck_assert_msg(status == expected, "%d: %s of %zu bytes", _i, rmq_status_name(status),
                  packed.len);
    ck_assert_int_eq(expected, kind == RMQ_COMPRESSION_ZSTD ? RMQ_FULL : RMQ_OK);
    rmq_buf_deinit(&packed);
    rmq_buf_deinit(&plain);
    free(zeros);
}
END_TEST

START_TEST(types_unknown_and_old)
{
    rmq_buf buf;
    rmq_buf_init(&buf, 1000);
    rmq_error err;
    for (int32_t type = 4; type < 8; type++)
        ck_status(
            rmq_body_decompress(NULL, 1 | type << 8, RMQ_SLICE_LITERAL("body"), 100, &buf, &err),
            RMQ_UNSUPPORTED);
    ck_status(rmq_body_decompress(NULL, 0x301, (rmq_slice){"", 0}, 100, &buf, &err), RMQ_CORRUPT);
    ck_status(rmq_body_decompress(NULL, 0x301, RMQ_SLICE_LITERAL("plain"), 100, &buf, &err),
              RMQ_CORRUPT);
    rmq_buf packed;
    compress(RMQ_COMPRESSION_ZLIB, RMQ_SLICE_LITERAL("old"), &packed);
    ck_ok(rmq_body_decompress(NULL, 1, (rmq_slice){(char *)packed.data, packed.len}, 3, &buf, &err),
          &err);
    ck_assert_mem_eq(buf.data, "old", 3);
    rmq_buf_deinit(&packed);
    rmq_buf_deinit(&buf);
}
END_TEST

START_TEST(output_that_does_not_fit_the_buffer)
{
    rmq_compression kind = kinds[_i];
    if (!rmq_compression_available(kind))
        return;
    uint8_t *body = make_body(5000, 3);
    rmq_slice in = {(char *)body, 5000};
    rmq_buf small;
    rmq_buf_init(&small, 100);
    ck_status(rmq_body_compress(NULL, kind, in, &small, NULL), RMQ_FULL);
    rmq_buf_deinit(&small);
    rmq_buf packed;
    compress(kind, in, &packed);
    rmq_buf_init(&small, 100);
    ck_status(rmq_body_decompress(NULL, rmq_compression_sys_flag(kind),
                                  (rmq_slice){(char *)packed.data, packed.len}, 5000, &small, NULL),
              RMQ_FULL);
    rmq_buf_deinit(&small);
    rmq_buf_deinit(&packed);
    free(body);
}
END_TEST

START_TEST(no_compression_copies)
{
    rmq_buf buf;
    compress(RMQ_COMPRESSION_NONE, RMQ_SLICE_LITERAL("as it is"), &buf);
    ck_assert_uint_eq(buf.len, 8);
    ck_assert_mem_eq(buf.data, "as it is", 8);
    rmq_buf_deinit(&buf);
    ck_assert(rmq_compression_available(RMQ_COMPRESSION_ZLIB));
    ck_status(rmq_body_compress(NULL, (rmq_compression)9, RMQ_SLICE_LITERAL("x"), &buf, NULL),
              RMQ_UNSUPPORTED);
    ck_assert(!rmq_compression_available((rmq_compression)9));
}
END_TEST

/* The bodies of the official Java client's sends: each is the last bytes of its frame. */
static const struct {
    const char *name;
    size_t len;
    rmq_compression kind;
} java[] = {
    {"java_send_zlib_req", 56, RMQ_COMPRESSION_ZLIB},
    {"java_send_lz4_req", 67, RMQ_COMPRESSION_LZ4},
    {"java_send_zstd_req", 38, RMQ_COMPRESSION_ZSTD},
};

START_TEST(java_bodies)
{
    if (!rmq_compression_available(java[_i].kind))
        return;
    uint8_t *data;
    size_t len;
    golden_load(java[_i].name, &data, &len);
    rmq_buf plain;
    rmq_buf_init(&plain, 10000);
    rmq_error err;
    rmq_slice body = {(char *)data + len - java[_i].len, java[_i].len};
    ck_ok(rmq_body_decompress(NULL, rmq_compression_sys_flag(java[_i].kind), body, 6000, &plain,
                              &err),
          &err);
    ck_assert_uint_eq(plain.len, 6000);
    for (size_t i = 0; i < 6000; i++)
        ck_assert_int_eq(plain.data[i], "rocketmq-compress-"[i % 18]);
    rmq_buf_deinit(&plain);
    free(data);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("compress");
    TCase *tc = tcase_create("compress");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, flags_are_the_facts);
    tcase_add_loop_test(tc, round_trip, 0, N_KINDS * N_SIZES);
    tcase_add_loop_test(tc, a_codec_is_used_again, 0, N_KINDS);
    tcase_add_loop_test(tc, cut_short_or_too_long, 0, N_KINDS);
    tcase_add_loop_test(tc, several_frames_are_one_body, 0, 2);
    tcase_add_loop_test(tc, ratio_is_capped, 0, N_KINDS);
    tcase_add_test(tc, types_unknown_and_old);
    tcase_add_loop_test(tc, output_that_does_not_fit_the_buffer, 0, N_KINDS);
    tcase_add_test(tc, no_compression_copies);
    tcase_add_loop_test(tc, java_bodies, 0, N_KINDS);
    suite_add_tcase(suite, tc);
    return suite;
}
