#include "../support/support.h"

#include <string.h>

#include "../../proto/buf.h"

START_TEST(appends_are_big_endian_and_in_order)
{
    rmq_buf buf;
    rmq_buf_init(&buf, 1000);
    rmq_buf_append_u8(&buf, 0x01);
    rmq_buf_append_u16(&buf, 0x0203);
    rmq_buf_append_u32(&buf, 0x04050607);
    rmq_buf_append_u64(&buf, UINT64_C(0x08090A0B0C0D0E0F));
    rmq_buf_append_slice(&buf, RMQ_SLICE_LITERAL("\x10\x11"));
    rmq_buf_append(&buf, NULL, 0);
    static const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
    ck_assert_int_eq(buf.failed, RMQ_OK);
    ck_assert_uint_eq(buf.len, sizeof(expected));
    ck_assert_mem_eq(buf.data, expected, sizeof(expected));
    rmq_buf_patch_u32(&buf, 3, 0xFFFEFDFC);
    ck_assert_mem_eq(buf.data + 3, "\xFF\xFE\xFD\xFC\x08", 5);
    rmq_buf_deinit(&buf);
    ck_assert_ptr_null(buf.data);
}
END_TEST

START_TEST(the_cap_is_exact_and_sticks)
{
    rmq_buf buf;
    rmq_buf_init(&buf, 10);
    rmq_buf_append(&buf, "0123456789", 10);
    ck_assert_int_eq(buf.failed, RMQ_OK);
    ck_assert_uint_le(buf.capacity, 10);
    rmq_buf_append_u8(&buf, 'x');
    ck_assert_int_eq(buf.failed, RMQ_FULL);
    ck_assert_uint_eq(buf.len, 10);
    ck_assert_ptr_null(rmq_buf_extend(&buf, 0));
    rmq_buf_patch_u32(&buf, 0, 0);
    ck_assert_mem_eq(buf.data, "0123", 4);
    rmq_buf_clear(&buf);
    ck_assert_int_eq(buf.failed, RMQ_OK);
    ck_assert_ptr_null(rmq_buf_extend(&buf, SIZE_MAX));
    ck_assert_int_eq(buf.failed, RMQ_FULL);
    rmq_buf_clear(&buf);
    rmq_buf_append(&buf, "ab", 2);
    ck_assert_uint_eq(buf.len, 2);
    rmq_buf_deinit(&buf);
}
END_TEST

START_TEST(it_grows_to_any_size_below_the_cap)
{
    rmq_buf buf;
    rmq_buf_init(&buf, 100001);
    for (int i = 0; i < 100001; i++)
        rmq_buf_append_u8(&buf, (uint8_t)i);
    ck_assert_int_eq(buf.failed, RMQ_OK);
    ck_assert_uint_le(buf.capacity, 100001);
    for (int i = 0; i < 100001; i++)
        ck_assert_uint_eq(buf.data[i], (uint8_t)i);
    size_t len;
    uint8_t *data = rmq_buf_take(&buf, &len);
    ck_assert_uint_eq(len, 100001);
    ck_assert_ptr_null(buf.data);
    ck_assert_uint_eq(buf.len, 0);
    rmq_buf_append_u8(&buf, 1);
    ck_assert_int_eq(buf.failed, RMQ_OK);
    rmq_free(data);
    rmq_buf_deinit(&buf);
}
END_TEST

START_TEST(an_empty_extend_is_no_failure)
{
    rmq_buf buf;
    rmq_buf_init(&buf, 0);
    ck_assert_ptr_nonnull(rmq_buf_extend(&buf, 0));
    ck_assert_int_eq(buf.failed, RMQ_OK);
    rmq_buf_append_u8(&buf, 1);
    ck_assert_int_eq(buf.failed, RMQ_FULL);
    rmq_buf_deinit(&buf);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("buf");
    TCase *tc = tcase_create("buf");
    tcase_add_test(tc, appends_are_big_endian_and_in_order);
    tcase_add_test(tc, the_cap_is_exact_and_sticks);
    tcase_add_test(tc, it_grows_to_any_size_below_the_cap);
    tcase_add_test(tc, an_empty_extend_is_no_failure);
    suite_add_tcase(suite, tc);
    return suite;
}
