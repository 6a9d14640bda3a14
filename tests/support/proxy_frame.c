/* Frames as the fault proxy sees them.
 *
 * A header is searched for its three numbers and not parsed: the proxy must pass on whatever two
 * programs say to each other, also what is not legal. A quote inside a JSON string is escaped, so
 * `"opaque":` can only be a key, and ext fields have quoted values. */
#include "proxy_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FRAME_BYTES ((size_t)1 << 30)

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void write_u32(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

/* The number behind `key` in a JSON header; 0 without. */
static int32_t number_of(const uint8_t *header, size_t len, const char *key)
{
    size_t key_len = strlen(key);
    const uint8_t *end = header + len;
    const uint8_t *at = header;
    while (at < end && (at = memmem(at, (size_t)(end - at), key, key_len)) != NULL) {
        at += key_len;
        while (at < end && *at == ' ')
            at++;
        if (at == end || *at == '"')
            continue;
        char digits[16] = "";
        for (size_t i = 0; i < sizeof(digits) - 1 && at + i < end; i++)
            digits[i] = (char)at[i];
        return (int32_t)strtol(digits, NULL, 10);
    }
    return 0;
}

static void read_header(const uint8_t *header, size_t len, bool binary, proxy_frame *frame)
{
    int32_t flag = 0;
    if (!binary) {
        frame->code = number_of(header, len, "\"code\":");
        frame->opaque = number_of(header, len, "\"opaque\":");
        flag = number_of(header, len, "\"flag\":");
    } else if (len >= 13) { /* code 2, language 1, version 2, opaque 4, flag 4 */
        frame->code = header[0] << 8 | header[1];
        frame->opaque = (int32_t)read_u32(header + 5);
        flag = (int32_t)read_u32(header + 9);
    }
    frame->is_answer = (flag & 1) != 0;
    frame->is_oneway = (flag & 2) != 0;
}

proxy_cut proxy_frame_read(const uint8_t *data, size_t len, proxy_frame *out_frame)
{
    if (len < 8)
        return len > 0 && data[0] > 0x15 ? PROXY_CUT_UNKNOWN : PROXY_CUT_MORE;
    size_t total = read_u32(data);
    size_t header_len = read_u32(data + 4) & 0xFFFFFF;
    if (total < 4 || total > MAX_FRAME_BYTES || data[4] > 1 || header_len > total - 4)
        return PROXY_CUT_UNKNOWN;
    if (len < total + 4)
        return PROXY_CUT_MORE;
    *out_frame = (proxy_frame){.size = total + 4, .header_at = 8, .body_at = 8 + header_len};
    read_header(data + 8, header_len, data[4] == 1, out_frame);
    return PROXY_CUT_FRAME;
}

/* ---- routes ---- */

typedef struct text_out {
    uint8_t *data;
    size_t len;
    size_t capacity;
} text_out;

static void append(text_out *out, const void *data, size_t len)
{
    if (out->len + len > out->capacity) {
        out->capacity = (out->len + len) * 2;
        out->data = realloc(out->data, out->capacity);
        if (out->data == NULL)
            abort();
    }
    memcpy(out->data + out->len, data, len);
    out->len += len;
}

/* Copies one brokerAddrs object, from behind its brace; returns what follows. Its values are the
 * strings that stand behind a colon. */
static const uint8_t *copy_addresses(const uint8_t *at, const uint8_t *end, text_out *out,
                                     proxy_address_fn instead_of, void *ctx)
{
    while (at < end && *at != '}') {
        if (*at != '"') {
            append(out, at++, 1);
            continue;
        }
        const uint8_t *close = memchr(at + 1, '"', (size_t)(end - at - 1));
        if (close == NULL)
            break;
        char text[256];
        size_t len = (size_t)(close - at - 1);
        const char *other = NULL;
        if (out->len > 0 && out->data[out->len - 1] == ':' && len < sizeof(text)) {
            memcpy(text, at + 1, len);
            text[len] = '\0';
            other = instead_of(ctx, text);
        }
        append(out, "\"", 1);
        append(out, other != NULL ? (const void *)other : at + 1,
               other != NULL ? strlen(other) : len);
        append(out, "\"", 1);
        at = close + 1;
    }
    return at;
}

uint8_t *proxy_frame_with_addresses(const uint8_t *data, const proxy_frame *frame,
                                    proxy_address_fn instead_of, void *ctx, size_t *out_len)
{
    static const char key[] = "\"brokerAddrs\":{";
    const size_t key_len = sizeof(key) - 1;
    text_out out = {NULL, 0, 0};
    append(&out, data, frame->body_at);
    const uint8_t *at = data + frame->body_at;
    const uint8_t *end = data + frame->size;
    while (at < end) {
        const uint8_t *found = memmem(at, (size_t)(end - at), key, key_len);
        const uint8_t *next = found != NULL ? found + key_len : end;
        append(&out, at, (size_t)(next - at));
        at = found != NULL ? copy_addresses(next, end, &out, instead_of, ctx) : end;
    }
    write_u32(out.data, out.len - 4);
    *out_len = out.len;
    return out.data;
}
