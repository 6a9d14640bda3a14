#include "../support/support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../proto/frame.h"
#include "../support/fault_alloc.h"
#include "golden_commands.h"

/* A frame made by hand: the length word, a JSON prefix, and `header_len` + `body_len` bytes that
 * count up. The caller frees it. */
static uint8_t *make_frame(size_t header_len, size_t body_len, size_t *out_len)
{
    size_t total = 4 + header_len + body_len;
    uint8_t *bytes = malloc(total + 4);
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(total >> (24 - 8 * i));
    bytes[4] = 0;
    bytes[5] = (uint8_t)(header_len >> 16);
    bytes[6] = (uint8_t)(header_len >> 8);
    bytes[7] = (uint8_t)header_len;
    for (size_t i = 8; i < total + 4; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8));
    *out_len = total + 4;
    return bytes;
}

static void check_frame(const rmq_frame *frame, const uint8_t *bytes, size_t len)
{
    size_t header_len = (size_t)bytes[5] << 16 | (size_t)bytes[6] << 8 | bytes[7];
    ck_assert_uint_eq(frame->serialization, bytes[4]);
    ck_assert_uint_eq(frame->header.len, header_len);
    ck_assert_uint_eq(frame->body.len, len - 8 - header_len);
    ck_assert_uint_eq(rmq_frame_bytes(frame), len);
    if (memcmp(frame->header.data, bytes + 8, len - 8) != 0)
        ck_abort_msg("the frame's bytes are not what was sent");
    ck_assert_ptr_eq(frame->body.data, frame->header.data + header_len);
}

/* Puts in as much of `bytes` as the splitter has room for, at most `most`. */
static size_t feed(rmq_splitter *splitter, const uint8_t *bytes, size_t len, size_t most)
{
    uint8_t *room;
    size_t capacity;
    rmq_error err;
    ck_ok(rmq_splitter_space(splitter, &room, &capacity, &err), &err);
    ck_assert_uint_gt(capacity, 0);
    size_t n = len < capacity ? len : capacity;
    n = n < most ? n : most;
    memcpy(room, bytes, n);
    rmq_splitter_filled(splitter, n);
    return n;
}

static rmq_frame *next_frame(rmq_splitter *splitter, const uint8_t *bytes, size_t len)
{
    rmq_frame *frame = NULL;
    rmq_error err;
    for (size_t at = 0; at < len;)
        at += feed(splitter, bytes + at, len - at, len);
    ck_ok(rmq_splitter_next(splitter, &frame, &err), &err);
    return frame;
}

START_TEST(golden_frames_whole)
{
    uint8_t *bytes;
    size_t len;
    golden_load(golden_commands[_i].name, &bytes, &len);
    rmq_splitter *splitter = rmq_splitter_new(0);
    ck_assert_uint_eq(feed(splitter, bytes, len, len), len);
    rmq_frame *frame;
    rmq_error err;
    ck_ok(rmq_splitter_next(splitter, &frame, &err), &err);
    check_frame(frame, bytes, len);
    ck_assert_uint_eq(frame->body.len, golden_commands[_i].body_len);
    ck_assert_int_eq(frame->serialization, golden_commands[_i].serialization);
    ck_status(rmq_splitter_next(splitter, &frame, &err), RMQ_AGAIN);
    rmq_splitter_free(splitter);
    check_frame(frame, bytes, len); /* it outlives its splitter */
    rmq_frame_unref(frame);
    free(bytes);
}
END_TEST

/* Every prefix says AGAIN, one byte at a time; the last byte makes it a frame. */
START_TEST(golden_frames_byte_by_byte)
{
    uint8_t *bytes;
    size_t len;
    golden_load(golden_commands[_i].name, &bytes, &len);
    rmq_splitter *splitter = rmq_splitter_new(0);
    rmq_frame *frame = NULL;
    rmq_error err;
    for (size_t i = 0; i < len; i++) {
        ck_status(rmq_splitter_next(splitter, &frame, &err), RMQ_AGAIN);
        ck_assert_uint_eq(feed(splitter, bytes + i, 1, 1), 1);
    }
    ck_ok(rmq_splitter_next(splitter, &frame, &err), &err);
    check_frame(frame, bytes, len);
    rmq_frame_unref(frame);
    ck_status(rmq_splitter_next(splitter, &frame, &err), RMQ_AGAIN);
    rmq_splitter_free(splitter);
    free(bytes);
}
END_TEST

/* Every bit of the prefix flipped: never a frame with other bytes than its lengths say, never more
 * than the cap; a length that lies is PROTO and stays it. */
START_TEST(golden_frames_with_corrupted_lengths)
{
    uint8_t *bytes;
    size_t len;
    golden_load(golden_commands[_i].name, &bytes, &len);
    int refused = 0;
    for (int bit = 0; bit < 64; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        rmq_splitter *splitter = rmq_splitter_new(0);
        ck_assert_uint_eq(feed(splitter, bytes, len, len), len);
        rmq_frame *frame = NULL;
        rmq_error err;
        rmq_status status = rmq_splitter_next(splitter, &frame, &err);
        size_t size =
            ((size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3]) +
            4;
        size_t header_len = (size_t)bytes[5] << 16 | (size_t)bytes[6] << 8 | bytes[7];
        bool lies =
            size < 8 || size > RMQ_FRAME_MAX_BYTES_DEFAULT || bytes[4] > 1 || header_len > size - 8;
        ck_assert_int_eq(status, lies ? RMQ_PROTO : size > len ? RMQ_AGAIN : RMQ_OK);
        if (lies) {
            refused++;
            ck_status(rmq_splitter_next(splitter, &frame, NULL), RMQ_PROTO);
            uint8_t *room;
            size_t capacity;
            rmq_error again;
            ck_status(rmq_splitter_space(splitter, &room, &capacity, &again), RMQ_PROTO);
            ck_assert_str_eq(again.text, err.text);
        }
        if (status == RMQ_OK) {
            check_frame(frame, bytes, size);
            rmq_frame_unref(frame);
        }
        rmq_splitter_free(splitter);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_ge(refused, 20);
    free(bytes);
}
END_TEST

/* All golden frames as one stream, in steps of many sizes. */
START_TEST(a_stream_in_steps)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 11, 64, 333, 1000, 4096, 65535, 65536, 1 << 20};
    rmq_splitter *splitter = rmq_splitter_new(0);
    rmq_frame **held = calloc((size_t)n_golden_commands, sizeof(*held));
    uint8_t *stream = malloc(1 << 20);
    size_t starts[256] = {0};
    for (int i = 0; i < n_golden_commands; i++) {
        uint8_t *bytes;
        size_t len;
        golden_load(golden_commands[i].name, &bytes, &len);
        memcpy(stream + starts[i], bytes, len);
        starts[i + 1] = starts[i] + len;
        free(bytes);
    }
    size_t total = starts[n_golden_commands];
    int cut = 0;
    for (size_t at = 0; at < total;) {
        at += feed(splitter, stream + at, total - at, steps[_i]);
        rmq_frame *frame;
        rmq_error err;
        rmq_status status;
        while ((status = rmq_splitter_next(splitter, &frame, &err)) == RMQ_OK)
            held[cut++] = frame;
        ck_status(status, RMQ_AGAIN);
    }
    ck_assert_int_eq(cut, n_golden_commands);
    for (int i = 0; i < cut; i++) {
        check_frame(held[i], stream + starts[i], starts[i + 1] - starts[i]);
        rmq_frame_unref(held[i]);
    }
    rmq_splitter_free(splitter);
    free(held);
    free(stream);
}
END_TEST

/* Sizes around every threshold inside, kept and dropped in a pattern, with steps that are odd. */
START_TEST(all_sizes_kept_and_dropped)
{
    static const size_t sizes[] = {0,      1,      100,    4087,   4088,    4096,    32760,
                                   65527,  65528,  65529,  65536,  131072,  262135,  262136,
                                   262137, 262144, 524288, 524289, 1000000, 1048576, 3000000};
    static const size_t steps[] = {SIZE_MAX, 16384, 100001, 777};
    enum { N_SIZES = sizeof(sizes) / sizeof(sizes[0]), ROUNDS = 3 };
    uint32_t seed = (uint32_t)_i * 7919 + 1;
    rmq_splitter *splitter = rmq_splitter_new(0);
    rmq_frame *held[N_SIZES * ROUNDS] = {0};
    uint8_t *originals[N_SIZES * ROUNDS];
    size_t lens[N_SIZES * ROUNDS];
    size_t cut = 0;
    for (size_t i = 0; i < N_SIZES * ROUNDS; i++) {
        seed = seed * 1664525 + 1013904223;
        originals[i] = make_frame(sizes[(seed >> 8) % N_SIZES] % 70000,
                                  sizes[(seed >> 16) % N_SIZES], &lens[i]);
    }
    /* As a socket would: what is fed runs over the ends of frames. */
    size_t next_frame = 0;
    size_t next_byte = 0;
    while (next_frame < N_SIZES * ROUNDS) {
        uint8_t *room;
        size_t capacity;
        rmq_error err;
        ck_ok(rmq_splitter_space(splitter, &room, &capacity, &err), &err);
        if (capacity > steps[_i % 4])
            capacity = steps[_i % 4];
        size_t filled = 0;
        while (filled < capacity && next_frame < N_SIZES * ROUNDS) {
            size_t left = lens[next_frame] - next_byte;
            size_t n = left < capacity - filled ? left : capacity - filled;
            memcpy(room + filled, originals[next_frame] + next_byte, n);
            filled += n;
            next_byte += n;
            if (next_byte == lens[next_frame]) {
                next_frame++;
                next_byte = 0;
            }
        }
        rmq_splitter_filled(splitter, filled);
        rmq_frame *frame;
        rmq_status status;
        while ((status = rmq_splitter_next(splitter, &frame, &err)) == RMQ_OK) {
            held[cut] = frame;
            check_frame(frame, originals[cut], lens[cut]);
            if (cut % 3 != 0) {
                rmq_frame_unref(frame);
                held[cut] = NULL;
            }
            cut++;
        }
        ck_status(status, RMQ_AGAIN);
    }
    ck_assert_uint_eq(cut, N_SIZES * ROUNDS);
    for (size_t i = 0; i < cut; i++) {
        if (held[i] != NULL)
            check_frame(held[i], originals[i], lens[i]);
        rmq_frame_unref(held[i]);
        free(originals[i]);
    }
    rmq_splitter_free(splitter);
}
END_TEST

START_TEST(the_cap_is_exact)
{
    size_t len;
    uint8_t *bytes = make_frame(10, 90, &len);
    rmq_frame *frame;
    rmq_error err;
    rmq_splitter *splitter = rmq_splitter_new(len);
    feed(splitter, bytes, len, len);
    ck_ok(rmq_splitter_next(splitter, &frame, &err), &err);
    rmq_frame_unref(frame);
    rmq_splitter_free(splitter);
    splitter = rmq_splitter_new(len - 1);
    feed(splitter, bytes, 4, 4);
    ck_status(rmq_splitter_next(splitter, &frame, &err), RMQ_PROTO);
    ck_assert_str_eq(err.text, "frame of 108 bytes > max 107");
    rmq_splitter_free(splitter);
    /* Even with no cap to speak of, the largest length word overflows nothing. */
    splitter = rmq_splitter_new(SIZE_MAX);
    feed(splitter, (const uint8_t *)"\xFF\xFF\xFF\xFF", 4, 4);
    ck_status(rmq_splitter_next(splitter, &frame, &err), RMQ_AGAIN);
    rmq_splitter_free(splitter);
    free(bytes);
}
END_TEST

START_TEST(a_wrong_prefix_is_refused_as_soon_as_it_is_there)
{
    static const struct {
        const char *bytes;
        size_t len;
    } prefixes[] = {{"\0\0\0\0", 4},
                    {"\0\0\0\3", 4},
                    {"\1\0\0\0", 4},
                    {"\0\0\0\x10\2", 5},
                    {"\0\0\0\x10\0\0\0\x0D", 8},
                    {"HTTP", 4},
                    {"\x16\3\1\2", 4}};
    rmq_splitter *splitter = rmq_splitter_new(0);
    rmq_frame *frame;
    rmq_error err;
    for (size_t i = 0; i + 1 < prefixes[_i].len; i++) {
        feed(splitter, (const uint8_t *)prefixes[_i].bytes + i, 1, 1);
        ck_status(rmq_splitter_next(splitter, &frame, &err), RMQ_AGAIN);
    }
    feed(splitter, (const uint8_t *)prefixes[_i].bytes + prefixes[_i].len - 1, 1, 1);
    ck_assert_msg(rmq_splitter_next(splitter, &frame, &err) == RMQ_PROTO, "case %d", _i);
    rmq_splitter_free(splitter);
}
END_TEST

/* A peer that announces 16 MiB and sends little costs little. */
START_TEST(a_liar_gets_no_memory)
{
    size_t len;
    uint8_t *bytes = make_frame(100, RMQ_FRAME_MAX_BYTES_DEFAULT - 108, &len);
    ck_assert_uint_eq(len, RMQ_FRAME_MAX_BYTES_DEFAULT);
    fault_alloc_fail(-1);
    rmq_splitter *splitter = rmq_splitter_new(0);
    rmq_frame *frame;
    rmq_error err;
    size_t sent = 0;
    while (sent < len) {
        sent += feed(splitter, bytes + sent, len - sent, 10000);
        int64_t most = (int64_t)(sent * 2 < 1024 * 1024 ? 1024 * 1024 : sent * 2);
        /* And a piece or two of the pool. */
        ck_assert_int_le(fault_alloc_live_bytes(), most + (128 + 8) * 1024);
        if (sent < len)
            ck_status(rmq_splitter_next(splitter, &frame, &err), RMQ_AGAIN);
    }
    ck_ok(rmq_splitter_next(splitter, &frame, &err), &err);
    check_frame(frame, bytes, len);
    /* Exact in the end, and the splitter keeps no hold on it. */
    ck_assert_int_le(fault_alloc_live_bytes(), (int64_t)len + (64 + 8) * 1024);
    rmq_frame_unref(frame);
    ck_assert_int_le(fault_alloc_live_bytes(), (64 + 8) * 1024);
    rmq_splitter_free(splitter);
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
    free(bytes);
}
END_TEST

/* Small frames that are released as they come use one chunk over and over. */
START_TEST(chunks_are_used_again_and_shared)
{
    size_t len;
    uint8_t *bytes = make_frame(200, 800, &len);
    fault_alloc_fail(-1);
    rmq_splitter *splitter = rmq_splitter_new(0);
    rmq_frame *frame;
    rmq_error err;
    for (int i = 0; i < 1000; i++) {
        ck_assert_uint_eq(feed(splitter, bytes, len, len), len);
        ck_ok(rmq_splitter_next(splitter, &frame, &err), &err);
        rmq_frame_unref(frame);
    }
    /* The splitter, one chunk, and one small block per frame. */
    ck_assert_int_eq(fault_alloc_count(), 3 + 1000);
    rmq_frame *held[64];
    int64_t before = fault_alloc_live_bytes();
    for (int i = 0; i < 64; i++)
        held[i] = next_frame(splitter, bytes, len);
    /* 64 frames of 1008 bytes: one more chunk at most. */
    ck_assert_int_lt(fault_alloc_live_bytes() - before, 66 * 1024 + 64 * 128);
    for (int i = 0; i < 64; i++)
        rmq_frame_unref(held[i]);
    rmq_splitter_free(splitter);
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
    free(bytes);
}
END_TEST

static const size_t memory_sizes[] = {0, 100, 5000, 32000, 32768, 33000, 65000, 66000, 300000};
#define N_MEMORY_SIZES ((int)(sizeof(memory_sizes) / sizeof(memory_sizes[0])))

/* One in twenty frames waits; between them go frames that others are quick to release. */
START_TEST(a_detached_frame_keeps_little_more_than_its_bytes)
{
    enum { N = 40 };
    size_t len;
    size_t other_len;
    uint8_t *bytes = make_frame(50, memory_sizes[_i], &len);
    uint8_t *other = make_frame(50, 3000, &other_len);
    rmq_frame *held[N];
    size_t told = 0;
    fault_alloc_fail(-1);
    rmq_splitter *splitter = rmq_splitter_new(0);
    for (int i = 0; i < N; i++) {
        rmq_frame *frame = next_frame(splitter, bytes, len);
        ck_assert_uint_ge(rmq_frame_memory_bytes(frame), len);
        held[i] = rmq_frame_detach(frame);
        ck_assert_ptr_nonnull(held[i]);
        rmq_frame_unref(frame);
        ck_assert_uint_le(rmq_frame_memory_bytes(held[i]), 2 * len + 256);
        told += rmq_frame_memory_bytes(held[i]);
        for (int k = 0; k < 20; k++)
            rmq_frame_unref(next_frame(splitter, other, other_len));
    }
    /* Beside them: the splitter, the chunk it reads into, and what malloc rounds up to pages. */
    ck_assert_int_le(fault_alloc_live_bytes(), (int64_t)told + 66 * 1024 + N * 4096);
    for (int i = 0; i < N; i++) {
        check_frame(held[i], bytes, len);
        rmq_frame_unref(held[i]);
    }
    rmq_frame *frame = next_frame(splitter, other, other_len);
    fault_alloc_rearm(0);
    ck_assert_ptr_null(rmq_frame_detach(frame));
    fault_alloc_rearm(-1);
    check_frame(frame, other, other_len);
    rmq_frame_unref(frame);
    rmq_splitter_free(splitter);
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
    free(other);
    free(bytes);
}
END_TEST

START_TEST(filling_without_cutting_loses_nothing)
{
    size_t len;
    uint8_t *bytes = make_frame(100, 900, &len);
    rmq_splitter *splitter = rmq_splitter_new(0);
    for (int i = 0; i < 500; i++)
        for (size_t at = 0; at < len;)
            at += feed(splitter, bytes + at, len - at, len);
    for (int i = 0; i < 500; i++) {
        rmq_frame *frame;
        rmq_error err;
        ck_ok(rmq_splitter_next(splitter, &frame, &err), &err);
        check_frame(frame, bytes, len);
        rmq_frame_unref(frame);
    }
    rmq_splitter_free(splitter);
    free(bytes);
}
END_TEST

START_TEST(from_bytes_takes_one_whole_frame)
{
    size_t len;
    uint8_t *bytes = make_frame(20, 30, &len);
    rmq_frame *frame;
    rmq_error err;
    ck_ok(rmq_frame_from_bytes(bytes, len, &frame, &err), &err);
    check_frame(frame, bytes, len);
    ck_assert_ptr_eq(rmq_frame_ref(frame), frame);
    rmq_frame_unref(frame);
    check_frame(frame, bytes, len);
    rmq_frame_unref(frame);
    rmq_frame_unref(NULL);
    for (size_t cut = 0; cut < len; cut++)
        ck_status(rmq_frame_from_bytes(bytes, cut, &frame, &err), RMQ_PROTO);
    uint8_t *longer = malloc(len + 1);
    memcpy(longer, bytes, len);
    longer[len] = 0;
    ck_status(rmq_frame_from_bytes(longer, len + 1, &frame, &err), RMQ_PROTO);
    free(longer);
    for (int64_t nth = 0; nth < 2; nth++) {
        fault_alloc_fail(nth);
        ck_status(rmq_frame_from_bytes(bytes, len, &frame, &err), RMQ_NOMEM);
        ck_assert_int_eq(fault_alloc_live(), 0);
    }
    fault_alloc_off();
    free(bytes);
}
END_TEST

/* A stream with frames of every kind, the nth allocation failing: NOMEM, and asked again it goes on
 * as if nothing had been. */
START_TEST(memory_running_out_loses_no_byte)
{
    static const size_t bodies[] = {10, 70000, 20, 600000, 30, 65000, 40};
    enum { N = sizeof(bodies) / sizeof(bodies[0]) };
    int points = 0;
    for (int64_t nth = 0;; nth++) {
        fault_alloc_fail(nth);
        rmq_splitter *splitter = rmq_splitter_new(0);
        if (splitter == NULL) {
            points++;
            ck_assert_int_eq(fault_alloc_live(), 0);
            continue;
        }
        rmq_frame *held[N];
        rmq_error err;
        for (int i = 0; i < N; i++) {
            size_t len;
            uint8_t *bytes = make_frame(50, bodies[i], &len);
            for (size_t at = 0; at < len;) {
                uint8_t *room;
                size_t capacity;
                rmq_status status = rmq_splitter_space(splitter, &room, &capacity, &err);
                if (status == RMQ_NOMEM) {
                    points++;
                    continue;
                }
                ck_ok(status, &err);
                size_t n = len - at < capacity ? len - at : capacity;
                memcpy(room, bytes + at, n);
                rmq_splitter_filled(splitter, n);
                at += n;
            }
            rmq_status status = rmq_splitter_next(splitter, &held[i], &err);
            if (status == RMQ_NOMEM) {
                points++;
                status = rmq_splitter_next(splitter, &held[i], &err);
            }
            ck_ok(status, &err);
            check_frame(held[i], bytes, len);
            free(bytes);
        }
        for (int i = 0; i < N; i++)
            rmq_frame_unref(held[i]);
        rmq_splitter_free(splitter);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0)
            break;
    }
    fault_alloc_off();
    ck_assert_int_ge(points, 12);
}
END_TEST

#define N_SHARED 1000
#define SHARED_BYTES 92

static void *unref_all(void *ctx)
{
    rmq_frame **frames = ctx;
    for (int i = 0; i < N_SHARED; i++) {
        ck_assert_uint_eq(frames[i]->body.len, SHARED_BYTES);
        rmq_frame_unref(frames[i]);
    }
    return NULL;
}

START_TEST(frames_are_released_by_any_thread)
{
    size_t len;
    uint8_t *bytes = make_frame(100, SHARED_BYTES, &len);
    rmq_splitter *splitter = rmq_splitter_new(0);
    rmq_frame *frames[2][N_SHARED];
    pthread_t threads[2];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < N_SHARED; i++) {
            frames[0][i] = next_frame(splitter, bytes, len);
            frames[1][i] = rmq_frame_ref(frames[0][i]);
        }
        for (int t = 0; t < 2; t++)
            ck_assert_int_eq(pthread_create(&threads[t], NULL, unref_all, frames[t]), 0);
        /* Meanwhile the splitter goes on, in the same chunk. */
        for (int i = 0; i < N_SHARED; i++) {
            rmq_frame *frame = next_frame(splitter, bytes, len);
            check_frame(frame, bytes, len);
            rmq_frame_unref(frame);
        }
        for (int t = 0; t < 2; t++)
            pthread_join(threads[t], NULL);
    }
    rmq_splitter_free(splitter);
    free(bytes);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("frame");
    TCase *tc = tcase_create("golden");
    tcase_add_loop_test(tc, golden_frames_whole, 0, n_golden_commands);
    tcase_add_loop_test(tc, golden_frames_byte_by_byte, 0, n_golden_commands);
    tcase_add_loop_test(tc, golden_frames_with_corrupted_lengths, 0, n_golden_commands);
    tcase_add_loop_test(tc, a_stream_in_steps, 0, 13);
    suite_add_tcase(suite, tc);
    tc = tcase_create("splitter");
    tcase_add_loop_test(tc, all_sizes_kept_and_dropped, 0, 8);
    tcase_add_test(tc, the_cap_is_exact);
    tcase_add_loop_test(tc, a_wrong_prefix_is_refused_as_soon_as_it_is_there, 0, 7);
    tcase_add_test(tc, a_liar_gets_no_memory);
    tcase_add_test(tc, chunks_are_used_again_and_shared);
    tcase_add_loop_test(tc, a_detached_frame_keeps_little_more_than_its_bytes, 0, N_MEMORY_SIZES);
    tcase_add_test(tc, filling_without_cutting_loses_nothing);
    tcase_add_test(tc, from_bytes_takes_one_whole_frame);
    tcase_add_test(tc, memory_running_out_loses_no_byte);
    tcase_add_test(tc, frames_are_released_by_any_thread);
    suite_add_tcase(suite, tc);
    return suite;
}
