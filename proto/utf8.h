/* UTF-8, one character at a time. rmq_utf8_valid is in <rmq/json.h>. */
#ifndef RMQ_UTF8_H
#define RMQ_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes (1 to 4) of the valid character at `at`, of which `left` (at least 1) bytes are there; 0 if
 * there is none. */
size_t rmq_utf8_char_len(const uint8_t *at, size_t left);

/* Writes a code point up to 0x10FFFF and returns its 1 to 4 bytes. A lone surrogate is written as
 * the three bytes that its number gives. */
size_t rmq_utf8_put(uint32_t code_point, char *out);

#endif
