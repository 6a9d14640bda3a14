/* What the two writers of JSON (json_writer.c, header_json.c) share: escapes, and integers as text.
 */
#ifndef RMQ_JSON_ESCAPE_H
#define RMQ_JSON_ESCAPE_H

#include <rmq/base.h>

#define RMQ_JSON_ESCAPE_BYTES 6
#define RMQ_INT64_TEXT_BYTES 20

/* Whether a byte can't stand in a JSON string as it is: controls, quote, backslash. */
static inline bool rmq_json_needs_escape(uint8_t byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

/* Writes the escape of such a byte and returns its length. */
size_t rmq_json_escape(uint8_t byte, char out[RMQ_JSON_ESCAPE_BYTES]);

/* Writes `value` in decimal (no zero at the end) and returns it as a slice of `memory`. */
rmq_slice rmq_format_int64(int64_t value, char memory[RMQ_INT64_TEXT_BYTES]);

#endif
