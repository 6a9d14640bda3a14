/* Lies in the answers to pulls: records whose lengths lie, records of others, bombs, and offsets
 * that can't be. */
#include "hostile_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../proto/record.h"

#define MANY_BYTES ((size_t)256 << 20)

static void put(uint8_t *at, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (n_bytes - 1 - i)));
}

/* Places in a record with IPv4 hosts: protocol facts 5.1. */
enum {
    AT_TOTAL = 0,
    AT_MAGIC = 4,
    AT_CRC = 8,
    AT_QUEUE = 12,
    AT_OFFSET = 20,
    AT_SYS_FLAG = 36,
    AT_BODY_LEN = 84,
    AT_BODY = 88
};

/* The honest six records with one number in the third of them changed. */
static void with_number(hostile_link *link, const hostile_request *request, size_t at,
                        uint64_t value, int n_bytes)
{
    rmq_buf body;
    rmq_buf_init(&body, MANY_BYTES);
    for (int64_t offset = request->offset; offset < HOSTILE_MESSAGES; offset++) {
        size_t begin = body.len;
        hostile_record(&body, offset);
        if (offset == 2)
            put(body.data + begin + at, value, n_bytes);
    }
    hostile_send_records(link, request, &body, HOSTILE_MESSAGES);
    rmq_buf_deinit(&body);
}

#define NUMBER_LIE(name, at, value, n_bytes)                                                       \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        with_number(link, request, (at), (value), (n_bytes));                                      \
    }

#define BODY_BYTES 9 /* "message-2" */
NUMBER_LIE(total_0, AT_TOTAL, 0, 4)
NUMBER_LIE(total_90, AT_TOTAL, 90, 4)
NUMBER_LIE(total_negative, AT_TOTAL, 0xFFFFFFFF, 4)
NUMBER_LIE(total_max_int, AT_TOTAL, 0x7FFFFFFF, 4)
NUMBER_LIE(total_1_long, AT_TOTAL, 91 + BODY_BYTES + 1 + 13 + 1, 4)
NUMBER_LIE(magic_unknown, AT_MAGIC, 0x12345678, 4)
NUMBER_LIE(magic_v2, AT_MAGIC, RMQ_RECORD_MAGIC_V2, 4)
NUMBER_LIE(checksum_wrong, AT_CRC, 0x11111111, 4)
NUMBER_LIE(queue_other, AT_QUEUE, 1, 4)
NUMBER_LIE(queue_negative, AT_QUEUE, 0xFFFFFFFF, 4)
NUMBER_LIE(offset_again, AT_OFFSET, 1, 8)
NUMBER_LIE(offset_negative, AT_OFFSET, 0xFFFFFFFFFFFFFFFF, 8)
NUMBER_LIE(offset_far, AT_OFFSET, 1000000, 8)
NUMBER_LIE(offset_max, AT_OFFSET, 0x7FFFFFFFFFFFFFFF, 8)
NUMBER_LIE(hosts_said_v6, AT_SYS_FLAG, 0x30, 4)
NUMBER_LIE(said_zlib, AT_SYS_FLAG, 0x301, 4)
NUMBER_LIE(said_lz4, AT_SYS_FLAG, 0x101, 4)
NUMBER_LIE(said_zstd, AT_SYS_FLAG, 0x201, 4)
NUMBER_LIE(said_compression_7, AT_SYS_FLAG, 0x701, 4)
NUMBER_LIE(said_inner_batch, AT_SYS_FLAG, 0xC0, 4)
NUMBER_LIE(body_negative, AT_BODY_LEN, 0xFFFFFFFF, 4)
NUMBER_LIE(body_max_int, AT_BODY_LEN, 0x7FFFFFFF, 4)
NUMBER_LIE(body_1_long, AT_BODY_LEN, BODY_BYTES + 1, 4)
NUMBER_LIE(body_1_short, AT_BODY_LEN, BODY_BYTES - 1, 4)
NUMBER_LIE(topic_len_lies, AT_BODY + BODY_BYTES, 255, 1)
NUMBER_LIE(topic_len_0, AT_BODY + BODY_BYTES, 0, 1)
NUMBER_LIE(topic_other, AT_BODY + BODY_BYTES + 1, 'U', 1)
NUMBER_LIE(props_len_lies, AT_BODY + BODY_BYTES + 2, 0xFFFF, 2)
NUMBER_LIE(props_len_0, AT_BODY + BODY_BYTES + 2, 0, 2)

/* ---- bombs ---- */

/* One record at `offset` with that body as stored. */
static void record_of(rmq_buf *out, int64_t offset, int32_t sys_flag, rmq_slice stored)
{
    const rmq_message message = {.topic = rmq_slice_of(HOSTILE_TOPIC),
                                 .queue_offset = offset,
                                 .sys_flag = sys_flag,
                                 .born_host = {.address_bytes = 4},
                                 .store_host = {.address_bytes = 4},
                                 .properties = rmq_slice_of("TAGS\001a"),
                                 .body = stored};
    rmq_record_encode(&message, out);
}

/* `n_bytes` of zeros, compressed. */
static void compress_zeros(rmq_buf *out, rmq_compression compression, size_t n_bytes)
{
    char *zeros = calloc(1, n_bytes);
    rmq_error err;
    rmq_buf_init(out, MANY_BYTES);
    if (zeros == NULL ||
        rmq_body_compress(NULL, compression, (rmq_slice){zeros, n_bytes}, out, &err) != RMQ_OK)
        abort();
    free(zeros);
}

/* Records [offset, 6), each a bomb of `n_bytes`. */
static void bombs(hostile_link *link, const hostile_request *request, rmq_compression compression,
                  size_t n_bytes)
{
    rmq_buf stored;
    rmq_buf body;
    compress_zeros(&stored, compression, n_bytes);
    rmq_buf_init(&body, MANY_BYTES);
    for (int64_t offset = request->offset; offset < HOSTILE_MESSAGES; offset++)
        record_of(&body, offset, rmq_compression_sys_flag(compression),
                  (rmq_slice){(const char *)stored.data, stored.len});
    hostile_send_records(link, request, &body, HOSTILE_MESSAGES);
    rmq_buf_deinit(&body);
    rmq_buf_deinit(&stored);
}

#define BOMB(name, compression, n_bytes)                                                           \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        bombs(link, request, (compression), (n_bytes));                                            \
    }

BOMB(zlib_bomb, RMQ_COMPRESSION_ZLIB, (size_t)64 << 20)
BOMB(lz4_bomb, RMQ_COMPRESSION_LZ4, (size_t)200 << 20)
BOMB(zstd_bomb, RMQ_COMPRESSION_ZSTD, (size_t)200 << 20)
BOMB(zstd_just_below, RMQ_COMPRESSION_ZSTD, (size_t)1 << 20)

/* A thousand messages where six were asked for, each just below the cap: 1 GiB in all. */
static void thousand_bombs(hostile_link *link, const hostile_request *request)
{
    rmq_buf stored;
    rmq_buf body;
    compress_zeros(&stored, RMQ_COMPRESSION_ZSTD, (size_t)1 << 20);
    rmq_buf_init(&body, MANY_BYTES);
    for (int64_t offset = request->offset; offset < request->offset + 1000; offset++)
        record_of(&body, offset, rmq_compression_sys_flag(RMQ_COMPRESSION_ZSTD),
                  (rmq_slice){(const char *)stored.data, stored.len});
    hostile_send_records(link, request, &body, request->offset + 1000);
    rmq_buf_deinit(&body);
    rmq_buf_deinit(&stored);
}

/* A zstd frame that claims a window of 2 GiB and a content of 2^60 bytes. */
static void zstd_window(hostile_link *link, const hostile_request *request)
{
    static const uint8_t frame[] = {0x28, 0xB5, 0x2F, 0xFD, 0xC0, 0xA8, 0, 0, 0,
                                    0,    0,    0,    0,    0x10, 1,    0, 0};
    rmq_buf body;
    rmq_buf_init(&body, MANY_BYTES);
    record_of(&body, request->offset, rmq_compression_sys_flag(RMQ_COMPRESSION_ZSTD),
              (rmq_slice){(const char *)frame, sizeof(frame)});
    hostile_send_records(link, request, &body, request->offset + 1);
    rmq_buf_deinit(&body);
}

/* A batch inside a compressed body: a million empty members. */
static void million_members(hostile_link *link, const hostile_request *request)
{
    rmq_buf members;
    rmq_buf stored;
    rmq_buf body;
    rmq_error err;
    rmq_buf_init(&members, MANY_BYTES);
    rmq_buf_init(&stored, MANY_BYTES);
    rmq_buf_init(&body, MANY_BYTES);
    for (int i = 0; i < 1000000; i++)
        rmq_batch_member_encode(0, (rmq_slice){"", 0}, (rmq_slice){"", 0}, &members);
    if (rmq_body_compress(NULL, RMQ_COMPRESSION_ZLIB,
                          (rmq_slice){(const char *)members.data, members.len}, &stored,
                          &err) != RMQ_OK)
        abort();
    record_of(&body, request->offset,
              rmq_compression_sys_flag(RMQ_COMPRESSION_ZLIB) | RMQ_SYSFLAG_NEED_UNWRAP |
                  RMQ_SYSFLAG_INNER_BATCH,
              (rmq_slice){(const char *)stored.data, stored.len});
    hostile_send_records(link, request, &body, request->offset + 1000000);
    rmq_buf_deinit(&body);
    rmq_buf_deinit(&stored);
    rmq_buf_deinit(&members);
}

/* The same, not compressed: as many members as the largest frame holds. */
static void members_without_end(hostile_link *link, const hostile_request *request)
{
    rmq_buf members;
    rmq_buf body;
    rmq_buf_init(&members, MANY_BYTES);
    rmq_buf_init(&body, MANY_BYTES);
    while (members.len < hostile_cap - 8192)
        rmq_batch_member_encode(0, (rmq_slice){"", 0}, (rmq_slice){"", 0}, &members);
    record_of(&body, request->offset, RMQ_SYSFLAG_NEED_UNWRAP | RMQ_SYSFLAG_INNER_BATCH,
              (rmq_slice){(const char *)members.data, members.len});
    hostile_send_records(link, request, &body, request->offset + 300000);
    rmq_buf_deinit(&body);
    rmq_buf_deinit(&members);
}

/* As many of the smallest records as the largest frame holds, from where it was asked on. */
static void records_without_end(hostile_link *link, const hostile_request *request)
{
    rmq_buf body;
    rmq_buf_init(&body, MANY_BYTES);
    int64_t offset = request->offset;
    while (body.len < hostile_cap - 8192)
        record_of(&body, offset++, 0, (rmq_slice){"", 0});
    hostile_send_records(link, request, &body, offset);
    rmq_buf_deinit(&body);
}

/* Each pull is answered with as many bytes as a frame may have: one record of six. */
static void largest_answers(hostile_link *link, const hostile_request *request)
{
    rmq_buf body;
    size_t len = hostile_cap - 8192;
    char *bytes = calloc(1, len);
    rmq_buf_init(&body, MANY_BYTES);
    record_of(&body, request->offset, 0, (rmq_slice){bytes, len});
    hostile_send_records(link, request, &body, request->offset + 1);
    rmq_buf_deinit(&body);
    free(bytes);
}

/* An endless queue whose messages are all that large. */
static void largest_answers_for_ever(hostile_link *link, const hostile_request *request)
{
    rmq_buf body;
    size_t len = hostile_cap - 8192;
    char *bytes = calloc(1, len);
    char next[64];
    rmq_buf_init(&body, MANY_BYTES);
    record_of(&body, request->offset, 0, (rmq_slice){bytes, len});
    snprintf(next, sizeof(next), "nextBeginOffset=%lld", (long long)request->offset + 1);
    hostile_send(link, request, 0,
                 HOSTILE_FIELDS(next, "minOffset=0", "maxOffset=1000000", "suggestWhichBrokerId=0"),
                 (rmq_slice){(const char *)body.data, body.len});
    rmq_buf_deinit(&body);
    free(bytes);
}

/* The pull that everything else waits behind is never answered, the others as above. */
static void all_but_the_first(hostile_link *link, const hostile_request *request)
{
    if (request->offset == 0) {
        rmq_buf body;
        rmq_buf_init(&body, MANY_BYTES);
        for (int64_t offset = 0; offset < HOSTILE_MESSAGES; offset++)
            hostile_record(&body, offset);
        hostile_send(link, request, 0,
                     HOSTILE_FIELDS("nextBeginOffset=6", "minOffset=0", "maxOffset=1000000"),
                     (rmq_slice){(const char *)body.data, body.len});
        rmq_buf_deinit(&body);
    } else if (request->offset > HOSTILE_MESSAGES) {
        largest_answers_for_ever(link, request);
    }
}

/* ---- offsets ---- */

static void with_fields(hostile_link *link, const hostile_request *request, int32_t code,
                        const char *const *fields, bool with_records)
{
    rmq_buf body;
    rmq_buf_init(&body, MANY_BYTES);
    for (int64_t offset = request->offset; with_records && offset < HOSTILE_MESSAGES; offset++)
        hostile_record(&body, offset);
    hostile_send(link, request, code, fields, (rmq_slice){(const char *)body.data, body.len});
    rmq_buf_deinit(&body);
}

#define OFFSET_LIE(name, code, with_records, ...)                                                  \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        with_fields(link, request, (code), HOSTILE_FIELDS(__VA_ARGS__), (with_records));           \
    }

OFFSET_LIE(next_missing, 0, true, "minOffset=0", "maxOffset=6")
OFFSET_LIE(next_text, 0, true, "nextBeginOffset=six", "minOffset=0", "maxOffset=6")
OFFSET_LIE(next_stands_still, 0, true, "nextBeginOffset=0", "minOffset=0", "maxOffset=6")
OFFSET_LIE(next_goes_back, 0, true, "nextBeginOffset=-3", "minOffset=0", "maxOffset=6")
OFFSET_LIE(next_jumps, 0, true, "nextBeginOffset=1000000000000", "minOffset=0", "maxOffset=6")
OFFSET_LIE(next_is_max, 0, true, "nextBeginOffset=9223372036854775807", "minOffset=0",
           "maxOffset=6")
OFFSET_LIE(next_too_small, 0, true, "nextBeginOffset=2", "minOffset=0", "maxOffset=6")
OFFSET_LIE(min_over_max, 0, true, "nextBeginOffset=6", "minOffset=900", "maxOffset=-6")
OFFSET_LIE(nothing_and_jumps, 0, false, "nextBeginOffset=6", "minOffset=0", "maxOffset=6")
OFFSET_LIE(no_match_and_jumps, 20, false, "nextBeginOffset=6", "minOffset=0", "maxOffset=6")
OFFSET_LIE(no_match_stands_still, 20, false, "nextBeginOffset=0", "minOffset=0", "maxOffset=6")
OFFSET_LIE(never_anything, 19, false, "nextBeginOffset=0", "minOffset=0", "maxOffset=6")
OFFSET_LIE(moved_to_nowhere, 21, false, "nextBeginOffset=-1", "minOffset=-1", "maxOffset=-1")
OFFSET_LIE(moved_to_here, 21, false, "nextBeginOffset=0", "minOffset=0", "maxOffset=6")
OFFSET_LIE(moved_min_over_max, 21, false, "nextBeginOffset=77", "minOffset=77", "maxOffset=3")
OFFSET_LIE(delta_overflows, 0, true, "nextBeginOffset=6", "minOffset=0", "maxOffset=6",
           "offsetDelta=9223372036854775807")
OFFSET_LIE(delta_negative, 0, true, "nextBeginOffset=6", "minOffset=0", "maxOffset=6",
           "offsetDelta=-1")
OFFSET_LIE(broker_id_unknown, 0, true, "nextBeginOffset=6", "minOffset=0", "maxOffset=6",
           "suggestWhichBrokerId=-9223372036854775808")

/* Records below and above what was asked for. */
static void records_outside(hostile_link *link, const hostile_request *request)
{
    rmq_buf body;
    rmq_buf_init(&body, MANY_BYTES);
    for (int64_t offset = 0; offset < 50; offset++)
        hostile_record(&body, offset);
    hostile_send_records(link, request, &body, 50);
    rmq_buf_deinit(&body);
}

/* The records of another place, well numbered among themselves. */
static void records_of_elsewhere(hostile_link *link, const hostile_request *request)
{
    rmq_buf body;
    rmq_buf_init(&body, MANY_BYTES);
    for (int64_t offset = 100; offset < 106; offset++)
        hostile_record(&body, offset);
    hostile_send_records(link, request, &body, HOSTILE_MESSAGES);
    rmq_buf_deinit(&body);
}

static void one_missing(hostile_link *link, const hostile_request *request)
{
    rmq_buf body;
    rmq_buf_init(&body, MANY_BYTES);
    for (int64_t offset = request->offset; offset < HOSTILE_MESSAGES; offset++) {
        if (offset != 3)
            hostile_record(&body, offset);
    }
    hostile_send_records(link, request, &body, HOSTILE_MESSAGES);
    rmq_buf_deinit(&body);
}

static void backwards(hostile_link *link, const hostile_request *request)
{
    rmq_buf body;
    rmq_buf_init(&body, MANY_BYTES);
    for (int64_t offset = HOSTILE_MESSAGES - 1; offset >= request->offset; offset--)
        hostile_record(&body, offset);
    hostile_send_records(link, request, &body, HOSTILE_MESSAGES);
    rmq_buf_deinit(&body);
}

/* MAY_OK: all six messages came as they are. */
const hostile_case record_cases[] = {
    {"record of 0 bytes", total_0, DO_READ, MAY_PROTO},
    {"record of 90 bytes", total_90, DO_READ, MAY_PROTO},
    {"record of -1 bytes", total_negative, DO_READ, MAY_PROTO},
    {"record of 2^31-1 bytes", total_max_int, DO_READ, MAY_PROTO},
    {"record one byte long", total_1_long, DO_READ, MAY_PROTO},
    {"unknown magic", magic_unknown, DO_READ, MAY_PROTO},
    {"magic of version 2", magic_v2, DO_READ, MAY_PROTO},
    {"wrong checksum", checksum_wrong, DO_READ, MAY_BAD_ROW},
    {"another queue's record", queue_other, DO_READ, MAY_PROTO},
    {"a record of queue -1", queue_negative, DO_READ, MAY_PROTO},
    {"an offset twice", offset_again, DO_READ, MAY_PROTO},
    {"a record at offset -1", offset_negative, DO_READ, MAY_PROTO},
    {"a record at offset 10^6", offset_far, DO_READ, MAY_PROTO | MAY_LOSS},
    {"a record at offset 2^63-1", offset_max, DO_READ, MAY_PROTO | MAY_LOSS},
    {"hosts said to be IPv6", hosts_said_v6, DO_READ, MAY_PROTO},
    {"plain body said to be zlib", said_zlib, DO_READ, MAY_BAD_ROW},
    {"plain body said to be LZ4", said_lz4, DO_READ, MAY_BAD_ROW},
    {"plain body said to be zstd", said_zstd, DO_READ, MAY_BAD_ROW},
    {"compression 7", said_compression_7, DO_READ, MAY_BAD_ROW},
    {"plain body said to be a batch", said_inner_batch, DO_READ, MAY_BAD_ROW},
    {"body of -1 bytes", body_negative, DO_READ, MAY_PROTO},
    {"body of 2^31-1 bytes", body_max_int, DO_READ, MAY_PROTO},
    {"body one byte long", body_1_long, DO_READ, MAY_PROTO},
    {"body one byte short", body_1_short, DO_READ, MAY_PROTO},
    {"topic of 255 bytes", topic_len_lies, DO_READ, MAY_PROTO},
    {"topic of 0 bytes", topic_len_0, DO_READ, MAY_PROTO},
    {"another topic's record", topic_other, DO_READ, MAY_PROTO},
    {"properties of 65,535 bytes", props_len_lies, DO_READ, MAY_PROTO},
    {"properties of 0 bytes", props_len_0, DO_READ, MAY_PROTO},
    {"zlib bombs of 64 MiB", zlib_bomb, DO_READ, MAY_BAD_ROW},
    {"LZ4 bombs of 200 MiB", lz4_bomb, DO_READ, MAY_BAD_ROW},
    {"zstd bombs of 200 MiB", zstd_bomb, DO_READ, MAY_BAD_ROW},
    {"bodies as large as may be", zstd_just_below, DO_READ, MAY_BAD_ROW},
    {"1,000 bodies of 1 MiB", thousand_bombs, DO_READ, MAY_BAD_ROW},
    {"1,000 bodies of 1 MiB, and again", thousand_bombs, DO_FOLLOW, MAY_OK | MAY_BAD_ROW},
    {"a zstd window of 2 GiB", zstd_window, DO_READ, MAY_BAD_ROW},
    {"10^6 members in a compressed batch", million_members, DO_READ,
     MAY_BAD_ROW | MAY_PROTO | MAY_LOSS},
    {"10^6 members, followed", million_members, DO_FOLLOW,
     MAY_AGAIN | MAY_LOSS | MAY_OK | MAY_BAD_ROW | MAY_PROTO},
    {"a frame full of members", members_without_end, DO_FOLLOW,
     MAY_AGAIN | MAY_LOSS | MAY_OK | MAY_BAD_ROW | MAY_PROTO},
    {"a frame full of the smallest records", records_without_end, DO_FOLLOW,
     MAY_AGAIN | MAY_OK | MAY_BAD_ROW | MAY_PROTO},
    {"a frame full of them for six asked", records_without_end, DO_READ,
     MAY_PROTO | MAY_OK | MAY_BAD_ROW},
    {"largest answers to all pulls", largest_answers, DO_READ, MAY_BAD_ROW},
    {"largest answers for ever", largest_answers_for_ever, DO_FOLLOW, MAY_OK | MAY_BAD_ROW},
    {"largest answers to all pulls but the first", all_but_the_first, DO_FOLLOW, MAY_OK},
    {"largest answers, and nobody takes them", largest_answers_for_ever, DO_IGNORE, MAY_OK},
    {"no next offset", next_missing, DO_READ, MAY_PROTO},
    {"next offset is text", next_text, DO_READ, MAY_PROTO},
    {"next offset stands still", next_stands_still, DO_READ, MAY_PROTO},
    {"next offset goes back", next_goes_back, DO_READ, MAY_PROTO},
    {"next offset jumps", next_jumps, DO_READ, MAY_OK},
    {"next offset jumps, followed", next_jumps, DO_FOLLOW, MAY_LOSS | MAY_PROTO},
    {"next offset is 2^63-1", next_is_max, DO_READ, MAY_OK},
    {"next offset is 2^63-1, followed", next_is_max, DO_FOLLOW, MAY_LOSS | MAY_PROTO},
    {"next offset is too small", next_too_small, DO_READ, MAY_OK | MAY_PROTO},
    {"minimum over maximum", min_over_max, DO_READ, MAY_OK},
    {"nothing there, and goes on", nothing_and_jumps, DO_READ, MAY_LOSS},
    {"nothing matches, and goes on", no_match_and_jumps, DO_READ, MAY_LOSS},
    {"nothing matches, for ever", no_match_stands_still, DO_READ, MAY_AGAIN},
    {"nothing matches, followed", no_match_stands_still, DO_FOLLOW, MAY_AGAIN},
    {"nothing new, for ever", never_anything, DO_READ, MAY_LOSS},
    {"nothing new, followed", never_anything, DO_FOLLOW, MAY_AGAIN},
    {"moved to -1", moved_to_nowhere, DO_READ, MAY_LOSS | MAY_PROTO},
    {"moved to where we are", moved_to_here, DO_READ, MAY_LOSS | MAY_PROTO},
    {"moved, minimum over maximum", moved_min_over_max, DO_READ, MAY_LOSS | MAY_PROTO},
    {"a delta that overflows", delta_overflows, DO_READ, MAY_PROTO},
    {"a delta of -1", delta_negative, DO_READ, MAY_PROTO | MAY_LOSS},
    {"a broker id that is none", broker_id_unknown, DO_READ, MAY_OK},
    {"records outside the range", records_outside, DO_READ, MAY_OK},
    {"records of elsewhere", records_of_elsewhere, DO_READ, MAY_LOSS | MAY_PROTO},
    {"one record is missing", one_missing, DO_READ, MAY_LOSS},
    {"records in reverse", backwards, DO_READ, MAY_PROTO},
};
const int n_record_cases = (int)(sizeof(record_cases) / sizeof(record_cases[0]));
