/* What the reader and the two writers of JSON (json_writer.c, header_json.c) share: what must be
 * escaped, and how; integers as text. */
#ifndef RMQ_JSON_ESCAPE_H
#define RMQ_JSON_ESCAPE_H

#include <endian.h>
#include <string.h>

#include <rmq/base.h>

#define RMQ_JSON_ESCAPE_BYTES 6
#define RMQ_INT64_TEXT_BYTES 20

/* Whether a byte can't stand in a JSON string as it is: controls, quote, backslash. */
static inline bool rmq_json_needs_escape(uint8_t byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

/* The first byte at or after `at` that can't stand as it is, or `end`. Eight bytes at a time until
 * one is among them: the usual test for a zero byte, after turning quotes and backslashes into
 * zeros, and its like for bytes below a blank. Such a test may be wrong about bytes above one that
 * it is right about, never about the lowest, which is the first in memory. */
static inline const char *rmq_json_plain_end(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = UINT64_C(0x8080808080808080);
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        word = le64toh(word);
        uint64_t quote = word ^ ones * '"';
        uint64_t backslash = word ^ ones * '\\';
        uint64_t special = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) |
                           ((word - ones * 0x20) & ~word);
        if ((special & highs) != 0)
            return at + (__builtin_ctzll(special & highs) >> 3);
        at += 8;
    }
    while (at < end && !rmq_json_needs_escape((uint8_t)*at))
        at++;
    return at;
}

/* Writes the escape of such a byte and returns its length. */
size_t rmq_json_escape(uint8_t byte, char out[RMQ_JSON_ESCAPE_BYTES]);

/* Writes `value` in decimal (no zero at the end) and returns it as a slice of `memory`. */
rmq_slice rmq_format_int64(int64_t value, char memory[RMQ_INT64_TEXT_BYTES]);

#endif
