/* JSON escapes, as RocketMQ's servers write them: the short forms where there are any, \u00XX for
 * the other control characters (protocol facts 1.2). Integers by hand, since printf costs more than
 * all the rest of a request header. */
#include "json_escape.h"

size_t rmq_json_escape(uint8_t byte, char out[RMQ_JSON_ESCAPE_BYTES])
{
    static const char hex[] = "0123456789ABCDEF";
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    out[0] = '\\';
    for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
        if ((uint8_t)shorts[i] == byte) {
            out[1] = shorts[i + 1];
            return 2;
        }
    }
    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    out[4] = hex[byte >> 4];
    out[5] = hex[byte & 15];
    return 6;
}

rmq_slice rmq_format_int64(int64_t value, char memory[RMQ_INT64_TEXT_BYTES])
{
    char *end = memory + RMQ_INT64_TEXT_BYTES;
    char *at = end;
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (value < 0)
        *--at = '-';
    return (rmq_slice){at, (size_t)(end - at)};
}
