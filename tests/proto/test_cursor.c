#include "../support/support.h"

#include "../../proto/cursor.h"

START_TEST(reads_are_big_endian_and_in_order)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
    rmq_cursor cursor = rmq_cursor_of(bytes, sizeof(bytes));
    ck_assert_uint_eq(rmq_cursor_u8(&cursor), 1);
    ck_assert_uint_eq(rmq_cursor_u16(&cursor), 0x0203);
    ck_assert_uint_eq(rmq_cursor_u32(&cursor), 0x04050607);
    ck_assert_uint_eq(rmq_cursor_u64(&cursor), UINT64_C(0x08090A0B0C0D0E0F));
    rmq_cursor_skip(&cursor, 1);
    rmq_slice rest = rmq_cursor_bytes(&cursor, 2);
    ck_assert_uint_eq(rest.len, 2);
    ck_assert_ptr_eq(rest.data, (const char *)bytes + 16);
    ck_assert(rmq_cursor_ok(&cursor));
    ck_assert_uint_eq(rmq_cursor_left(&cursor), 0);
}
END_TEST

START_TEST(high_bits_survive)
{
    static const uint8_t bytes[] = {0xFF, 0xFE, 0xFF, 0xFF, 0xFF, 0xFD, 0xFF,
                                    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFC};
    rmq_cursor cursor = rmq_cursor_of(bytes, sizeof(bytes));
    ck_assert_uint_eq(rmq_cursor_u16(&cursor), 0xFFFE);
    ck_assert_uint_eq(rmq_cursor_u32(&cursor), 0xFFFFFFFD);
    ck_assert_int_eq((int64_t)rmq_cursor_u64(&cursor), -4);
}
END_TEST

/* The nth kind of read, with one byte too few. */
START_TEST(a_short_read_marks_it_bad_once)
{
    static const uint8_t bytes[8] = {9, 9, 9, 9, 9, 9, 9, 9};
    static const size_t needs[] = {1, 2, 4, 8, 5, 6};
    rmq_cursor cursor = rmq_cursor_of(bytes, needs[_i] - 1);
    switch (_i) {
    case 0:
        ck_assert_uint_eq(rmq_cursor_u8(&cursor), 0);
        break;
    case 1:
        ck_assert_uint_eq(rmq_cursor_u16(&cursor), 0);
        break;
    case 2:
        ck_assert_uint_eq(rmq_cursor_u32(&cursor), 0);
        break;
    case 3:
        ck_assert_uint_eq(rmq_cursor_u64(&cursor), 0);
        break;
    case 4:
        ck_assert_uint_eq(rmq_cursor_bytes(&cursor, 5).len, 0);
        break;
    default:
        rmq_cursor_skip(&cursor, 6);
        break;
    }
    ck_assert_msg(!rmq_cursor_ok(&cursor), "case %d", _i);
    ck_assert_ptr_eq(cursor.at, bytes);
    ck_assert_uint_eq(rmq_cursor_left(&cursor), 0);
    ck_assert_uint_eq(rmq_cursor_u8(&cursor), 0);
    ck_assert_uint_eq(rmq_cursor_bytes(&cursor, 0).len, 0);
    ck_assert_ptr_eq(cursor.at, bytes);
    ck_assert(!rmq_cursor_ok(&cursor));
}
END_TEST

START_TEST(nothing_and_huge_lengths)
{
    rmq_cursor cursor = rmq_cursor_of(NULL, 0);
    ck_assert_uint_eq(rmq_cursor_bytes(&cursor, 0).len, 0);
    rmq_cursor_skip(&cursor, 0);
    ck_assert(rmq_cursor_ok(&cursor));
    ck_assert_uint_eq(rmq_cursor_bytes(&cursor, SIZE_MAX).len, 0);
    ck_assert(!rmq_cursor_ok(&cursor));
    cursor = rmq_cursor_of("abc", 3);
    rmq_cursor_skip(&cursor, SIZE_MAX);
    ck_assert(!rmq_cursor_ok(&cursor));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("cursor");
    TCase *tc = tcase_create("cursor");
    tcase_add_test(tc, reads_are_big_endian_and_in_order);
    tcase_add_test(tc, high_bits_survive);
    tcase_add_loop_test(tc, a_short_read_marks_it_bad_once, 0, 6);
    tcase_add_test(tc, nothing_and_huge_lengths);
    suite_add_tcase(suite, tc);
    return suite;
}
