/* Lies about frames and headers: any answer can be told so. */
#include "hostile_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The honest answer with another length word; `wait`: and nothing more. */
static void with_length(hostile_link *link, const hostile_request *request, uint32_t total,
                        uint32_t more)
{
    rmq_buf out;
    rmq_buf_init(&out, 1u << 20);
    hostile_honest(link, request, &out);
    put_u32(out.data, more != 0 ? get_u32(out.data) + more : total);
    hostile_write(link, out.data, out.len);
    rmq_buf_deinit(&out);
}

static void with_header_word(hostile_link *link, const hostile_request *request, uint32_t word)
{
    rmq_buf out;
    rmq_buf_init(&out, 1u << 20);
    hostile_honest(link, request, &out);
    put_u32(out.data + 4, word);
    hostile_write(link, out.data, out.len);
    rmq_buf_deinit(&out);
}

#define LENGTH_LIE(name, total, more)                                                              \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        with_length(link, request, (total), (more));                                               \
    }
#define HEADER_LIE(name, word)                                                                     \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        with_header_word(link, request, (word));                                                   \
    }

LENGTH_LIE(length_0, 0, 0)
LENGTH_LIE(length_3, 3, 0)
LENGTH_LIE(length_4, 4, 0)
LENGTH_LIE(length_negative, 0xFFFFFFFFu, 0)
LENGTH_LIE(length_max_int, 0x7FFFFFFFu, 0)
LENGTH_LIE(length_over_cap, (8u << 20) + 1, 0)
LENGTH_LIE(length_1_short, 0, 0xFFFFFFFFu)
LENGTH_LIE(length_1_long, 0, 1)
LENGTH_LIE(length_1_mib_long, 0, 1u << 20)
HEADER_LIE(header_over_frame, 0x00FFFFFFu)
HEADER_LIE(header_empty, 0)
HEADER_LIE(header_one_byte, 1)
HEADER_LIE(serialization_2, 0x02000010u)
HEADER_LIE(serialization_255, 0xFF000010u)
HEADER_LIE(json_said_binary, 0x01000040u)

/* A frame with this header, and a body. */
static void send_header(hostile_link *link, const void *header, size_t len, bool binary)
{
    uint8_t head[8];
    put_u32(head, (uint32_t)len + 4);
    put_u32(head + 4, (uint32_t)len | (binary ? 0x01000000u : 0));
    hostile_write(link, head, 8);
    hostile_write(link, header, len);
}

#define TEXT_LIE(name, text)                                                                       \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        char header[1024];                                                                         \
        int len = snprintf(header, sizeof(header), text, request->opaque);                         \
        send_header(link, header, (size_t)len, false);                                             \
    }

TEXT_LIE(no_json, "\x01\x02 opaque %d")
TEXT_LIE(empty_object, "{}%.0d")
TEXT_LIE(an_array, "[%d]")
TEXT_LIE(cut_json, "{\"code\":0,\"flag\":1,\"opaque\":%d,\"extFields\":{\"offset\":\"1")
TEXT_LIE(opaque_is_text, "{\"code\":0,\"flag\":1,\"opaque\":\"x%d\"}")
TEXT_LIE(opaque_is_huge, "{\"code\":0,\"flag\":1,\"opaque\":99999999999999999999%d}")
TEXT_LIE(code_is_huge, "{\"code\":4294967296,\"flag\":1,\"opaque\":%d}")
TEXT_LIE(code_is_a_float, "{\"code\":1e400,\"flag\":1,\"opaque\":%d}")
TEXT_LIE(code_is_negative, "{\"code\":-7,\"flag\":1,\"opaque\":%d}")
TEXT_LIE(code_is_unknown, "{\"code\":9999,\"flag\":1,\"opaque\":%d,\"remark\":\"no\"}")
TEXT_LIE(broken_utf8, "{\"code\":1,\"flag\":1,\"opaque\":%d,\"remark\":\"\xC3\x28\xFF\"}")
TEXT_LIE(lone_surrogate, "{\"code\":1,\"flag\":1,\"opaque\":%d,\"remark\":\"\\ud800\"}")
TEXT_LIE(zero_in_text, "{\"code\":1,\"flag\":1,\"opaque\":%d,\"remark\":\"a\\u0000b\"}")
TEXT_LIE(fields_are_a_list, "{\"code\":0,\"flag\":1,\"opaque\":%d,\"extFields\":[1,2]}")

/* A JSON header with `unit` in its middle, over and over. */
static void send_long_header(hostile_link *link, const hostile_request *request, const char *begin,
                             const char *unit, size_t n_bytes)
{
    uint8_t head[8];
    char start[256];
    int start_len = snprintf(start, sizeof(start), begin, request->opaque);
    size_t len = (size_t)start_len + n_bytes;
    put_u32(head, (uint32_t)len + 4);
    put_u32(head + 4, (uint32_t)len);
    hostile_write(link, head, 8);
    hostile_write(link, start, (size_t)start_len);
    hostile_write_many(link, unit, n_bytes);
}

#define LONG_LIE(name, begin, unit, n_bytes)                                                       \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        send_long_header(link, request, begin, unit, n_bytes);                                     \
    }

LONG_LIE(deep_nesting, "{\"code\":0,\"flag\":1,\"opaque\":%d,\"extFields\":", "[", 1000000)
LONG_LIE(deep_objects, "{\"code\":0,\"flag\":1,\"opaque\":%d,\"x\":", "{\"a\":", 5000000)
LONG_LIE(endless_fields, "{\"code\":0,\"flag\":1,\"opaque\":%d,\"extFields\":{", "\"a\":\"b\",",
         7000000)
LONG_LIE(endless_keys, "{\"code\":0,\"flag\":1,\"opaque\":%d,", "\"a\":0,", 7000000)
LONG_LIE(endless_remark, "{\"code\":1,\"flag\":1,\"opaque\":%d,\"remark\":\"", "\\u0041", 7000000)
LONG_LIE(endless_blanks, "{\"code\":1,\"flag\":1,\"opaque\":%d", " ", 7000000)

/* ---- binary headers: code 2, language 1, version 2, opaque 4, flag 4, remark 4+n, fields 4+n ----
 */

static size_t binary_head(uint8_t *at, const hostile_request *request, uint32_t remark_len)
{
    memset(at, 0, 21);
    put_u32(at + 5, (uint32_t)request->opaque);
    put_u32(at + 9, 1);
    put_u32(at + 13, remark_len);
    return 17;
}

static void binary_remark_lies(hostile_link *link, const hostile_request *request)
{
    uint8_t header[21];
    binary_head(header, request, 0x7FFFFFFF);
    send_header(link, header, sizeof(header), true);
}

static void binary_remark_negative(hostile_link *link, const hostile_request *request)
{
    uint8_t header[21];
    binary_head(header, request, 0xFFFFFFFF);
    send_header(link, header, sizeof(header), true);
}

static void binary_fields_lie(hostile_link *link, const hostile_request *request)
{
    uint8_t header[64];
    size_t at = binary_head(header, request, 0);
    put_u32(header + at, 0x7FFFFFF0);
    send_header(link, header, at + 4, true);
}

static void binary_key_lies(hostile_link *link, const hostile_request *request)
{
    uint8_t header[64];
    size_t at = binary_head(header, request, 0);
    put_u32(header + at, 6);
    memcpy(header + at + 4, "\xFF\xFFoff", 6);
    send_header(link, header, at + 10, true);
}

static void binary_value_lies(hostile_link *link, const hostile_request *request)
{
    uint8_t header[64];
    size_t at = binary_head(header, request, 0);
    put_u32(header + at, 7);
    memcpy(header + at + 4, "\0\1o\x7F\xFF\xFF\xFF", 7);
    send_header(link, header, at + 11, true);
}

static void binary_cut(hostile_link *link, const hostile_request *request)
{
    uint8_t header[64];
    binary_head(header, request, 0);
    send_header(link, header, 9, true);
}

/* ---- answers to nobody ---- */

static void wrong_opaque(hostile_link *link, const hostile_request *request)
{
    hostile_request other = *request;
    other.opaque += 12345;
    rmq_buf out;
    rmq_buf_init(&out, 1u << 20);
    hostile_honest(link, &other, &out);
    hostile_write(link, out.data, out.len);
    rmq_buf_deinit(&out);
}

static void answered_twice(hostile_link *link, const hostile_request *request)
{
    rmq_buf out;
    rmq_buf_init(&out, 1u << 20);
    hostile_honest(link, request, &out);
    hostile_honest(link, request, &out);
    hostile_write(link, out.data, out.len);
    rmq_buf_deinit(&out);
}

static void many_answers_to_nobody(hostile_link *link, const hostile_request *request)
{
    for (int i = 0; i < 20000 && !link->closed; i++) {
        hostile_request other = {.opaque = -i - 1};
        hostile_send(link, &other, 0, NULL, HOSTILE_NO_BODY);
    }
    wrong_opaque(link, request);
}

/* Requests of the broker, which the client answers or passes over; then nothing. */
static void send_requests(hostile_link *link, int32_t code, int32_t flag, int n, const char *field)
{
    rmq_command request;
    rmq_error err;
    rmq_buf out;
    rmq_command_init(&request, code);
    request.flag = flag;
    rmq_command_set(&request, "consumerGroup", field);
    for (int i = 0; i < n && !link->closed; i++) {
        request.opaque = i;
        rmq_buf_init(&out, 64u << 20);
        if (rmq_command_encode(&request, RMQ_SERIALIZATION_JSON, &out, &err) == RMQ_OK)
            hostile_write(link, out.data, out.len);
        rmq_buf_deinit(&out);
    }
    rmq_command_deinit(&request);
}

static void a_request_instead(hostile_link *link, const hostile_request *request)
{
    (void)request;
    send_requests(link, RMQ_REQUEST_NOTIFY_CONSUMER_IDS_CHANGED, 0, 1, "g");
}

static void oneway_flood(hostile_link *link, const hostile_request *request)
{
    (void)request;
    send_requests(link, RMQ_REQUEST_NOTIFY_CONSUMER_IDS_CHANGED, RMQ_FLAG_ONEWAY, 20000, "g");
}

static void request_flood(hostile_link *link, const hostile_request *request)
{
    (void)request;
    send_requests(link, RMQ_REQUEST_GET_CONSUMER_RUNNING_INFO, 0, 100000, "nobody");
    hostile_wait(link);
}

static void unknown_request_flood(hostile_link *link, const hostile_request *request)
{
    (void)request;
    send_requests(link, 31999, 0, 100000, "nobody");
    hostile_wait(link);
}

/* ---- bytes that never become a frame ---- */

static void half_a_frame(hostile_link *link, const hostile_request *request)
{
    rmq_buf out;
    rmq_buf_init(&out, 1u << 20);
    hostile_honest(link, request, &out);
    hostile_write(link, out.data, out.len / 2);
    rmq_buf_deinit(&out);
    hostile_wait(link);
}

static void one_byte_at_a_time(hostile_link *link, const hostile_request *request)
{
    rmq_buf out;
    rmq_buf_init(&out, 1u << 20);
    hostile_honest(link, request, &out);
    for (size_t i = 0; i < out.len && hostile_write(link, out.data + i, 1); i++) {
        if (link->board->lying)
            nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    rmq_buf_deinit(&out);
}

static void half_frames_for_ever(hostile_link *link, const hostile_request *request)
{
    uint8_t head[8];
    (void)request;
    put_u32(head, 8u << 20);
    put_u32(head + 4, 7u << 20);
    hostile_write(link, head, 8);
    while (hostile_write_many(link, " ", 1024))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void endless_zeros(hostile_link *link, const hostile_request *request)
{
    static const char zeros[4096];
    (void)request;
    while (hostile_write(link, zeros, sizeof(zeros)))
        continue;
}

static void largest_frames_for_ever(hostile_link *link, const hostile_request *request)
{
    uint8_t head[8];
    (void)request;
    put_u32(head, (8u << 20) - 8);
    put_u32(head + 4, 2);
    while (hostile_write(link, head, 8) && hostile_write(link, "{}", 2) &&
           hostile_write_many(link, "x", (8u << 20) - 8 - 6))
        continue;
}

static void an_http_answer(hostile_link *link, const hostile_request *request)
{
    (void)request;
    hostile_write_many(link, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    hostile_close(link, false);
}

static void a_tls_alert(hostile_link *link, const hostile_request *request)
{
    (void)request;
    hostile_write(link, "\x15\x03\x01\x00\x02\x02\x28", 7);
    hostile_wait(link);
}

static void garbage(hostile_link *link, const hostile_request *request)
{
    uint64_t random = (uint64_t)request->opaque * 0x9E3779B97F4A7C15u | 1;
    for (int i = 0; i < 131072; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if (!hostile_write(link, &random, sizeof(random)))
            return;
    }
}

static void closes(hostile_link *link, const hostile_request *request)
{
    (void)request;
    hostile_close(link, false);
}

static void resets(hostile_link *link, const hostile_request *request)
{
    (void)request;
    hostile_close(link, true);
}

static void silence(hostile_link *link, const hostile_request *request)
{
    (void)request;
    hostile_wait(link);
}

/* An answer may also be right, where the lie leaves it whole. */
const hostile_case frame_cases[] = {
    {"length 0", length_0, 0, MAY_REFUSE},
    {"length 3", length_3, 0, MAY_REFUSE},
    {"length 4", length_4, 0, MAY_REFUSE},
    {"length -1", length_negative, 0, MAY_REFUSE},
    {"length 2^31-1", length_max_int, 0, MAY_REFUSE},
    {"length over the cap", length_over_cap, 0, MAY_REFUSE},
    {"length one short", length_1_short, 0, MAY_REFUSE | MAY_OK},
    {"length one long", length_1_long, 0, MAY_REFUSE},
    {"length 1 MiB long", length_1_mib_long, 0, MAY_REFUSE},
    {"header longer than its frame", header_over_frame, 0, MAY_REFUSE},
    {"header of 0 bytes", header_empty, 0, MAY_REFUSE},
    {"header of 1 byte", header_one_byte, 0, MAY_REFUSE},
    {"serialization 2", serialization_2, 0, MAY_REFUSE},
    {"serialization 255", serialization_255, 0, MAY_REFUSE},
    {"JSON said to be binary", json_said_binary, 0, MAY_REFUSE},
    {"header is no JSON", no_json, 0, MAY_REFUSE},
    {"header is {}", empty_object, 0, MAY_REFUSE},
    {"header is a list", an_array, 0, MAY_REFUSE},
    {"header ends early", cut_json, 0, MAY_REFUSE},
    {"opaque is text", opaque_is_text, 0, MAY_REFUSE},
    {"opaque is huge", opaque_is_huge, 0, MAY_REFUSE},
    {"code 2^32", code_is_huge, 0, MAY_REFUSE},
    {"code 1e400", code_is_a_float, 0, MAY_REFUSE},
    {"code -7", code_is_negative, 0, MAY_REFUSE | MAY_BROKER},
    {"code 9999", code_is_unknown, 0, MAY_BROKER | MAY_AGAIN},
    {"remark is no UTF-8", broken_utf8, 0, MAY_REFUSE | MAY_BROKER},
    {"remark with half a surrogate pair", lone_surrogate, 0, MAY_REFUSE | MAY_BROKER},
    {"remark with a zero", zero_in_text, 0, MAY_REFUSE | MAY_BROKER},
    {"fields are a list", fields_are_a_list, 0, MAY_REFUSE},
    {"10^6 lists in each other", deep_nesting, 0, MAY_REFUSE},
    {"10^6 objects in each other", deep_objects, 0, MAY_REFUSE},
    {"800,000 fields", endless_fields, 0, MAY_REFUSE},
    {"10^6 keys", endless_keys, 0, MAY_REFUSE},
    {"remark of 7 MB in escapes", endless_remark, 0, MAY_REFUSE | MAY_BROKER},
    {"7 MB of blanks", endless_blanks, 0, MAY_REFUSE | MAY_BROKER},
    {"binary: remark longer than all", binary_remark_lies, 0, MAY_REFUSE},
    {"binary: remark of -1 bytes", binary_remark_negative, 0, MAY_REFUSE},
    {"binary: fields longer than all", binary_fields_lie, 0, MAY_REFUSE},
    {"binary: key longer than all", binary_key_lies, 0, MAY_REFUSE},
    {"binary: value longer than all", binary_value_lies, 0, MAY_REFUSE},
    {"binary: ends early", binary_cut, 0, MAY_REFUSE},
    {"another's opaque", wrong_opaque, 0, MAY_REFUSE},
    {"answered twice", answered_twice, 0, MAY_OK | MAY_REFUSE},
    {"20,000 answers to nobody", many_answers_to_nobody, 0, MAY_REFUSE},
    {"a request instead of an answer", a_request_instead, 0, MAY_REFUSE},
    {"20,000 oneway requests", oneway_flood, 0, MAY_REFUSE},
    {"100,000 requests, answers not read", request_flood, 0, MAY_REFUSE},
    {"100,000 unknown requests, answers not read", unknown_request_flood, 0, MAY_REFUSE},
    {"half a frame, then nothing", half_a_frame, 0, MAY_REFUSE},
    {"20 bytes a second", one_byte_at_a_time, 0, MAY_REFUSE},
    {"half frames for ever", half_frames_for_ever, 0, MAY_REFUSE},
    {"zeros for ever", endless_zeros, 0, MAY_REFUSE},
    {"largest frames for ever", largest_frames_for_ever, 0, MAY_REFUSE},
    {"an HTTP answer", an_http_answer, 0, MAY_REFUSE},
    {"a TLS alert", a_tls_alert, 0, MAY_REFUSE},
    {"1 MiB of garbage", garbage, 0, MAY_REFUSE},
    {"closes", closes, 0, MAY_REFUSE},
    {"resets", resets, 0, MAY_REFUSE},
    {"says nothing", silence, 0, MAY_REFUSE},
};
const int n_frame_cases = (int)(sizeof(frame_cases) / sizeof(frame_cases[0]));
