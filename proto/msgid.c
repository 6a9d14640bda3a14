/* Message ids: the offset id, which names the place where a broker stored a message, and the unique
 * id, which a producer gives to it.
 *
 * An offset id is upper-case hex of store address, port and physical offset, so it can be read
 * back.
 *
 * A unique id has the usual form of the Java client, 16 bytes in upper-case hex: address, process
 * id, four bytes of noise that differ from process to process, milliseconds since the start of the
 * month (UTC) and a counter. The two bytes of counter alone would repeat after 65536 ids within one
 * millisecond, so that the rest of our 32-bit counter goes into the noise: a source repeats an id
 * only after 2^32 of them. */
#include "msgid.h"

#include <string.h>
#include <time.h>

#define MS_PER_SECOND 1000
#define OFFSET_ID_V4_DIGITS 32
#define OFFSET_ID_V6_DIGITS 56

static char *put_hex(char *at, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 0xF];
    }
    return at;
}

/* The low `n_bytes` of `value`, big-endian. */
static char *put_hex_number(char *at, uint64_t value, size_t n_bytes)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(value >> (8 * (n_bytes - 1 - i)));
    return put_hex(at, bytes, n_bytes);
}

static uint32_t ms_since_month_start(int64_t now_ms)
{
    int64_t second = now_ms / MS_PER_SECOND;
    int64_t ms = now_ms % MS_PER_SECOND;
    if (ms < 0) {
        ms += MS_PER_SECOND;
        second--;
    }
    time_t when = (time_t)second;
    struct tm date;
    if (gmtime_r(&when, &date) == NULL)
        return (uint32_t)ms; /* a year that does not fit an int */
    int64_t seconds =
        (((int64_t)(date.tm_mday - 1) * 24 + date.tm_hour) * 60 + date.tm_min) * 60 + date.tm_sec;
    return (uint32_t)(seconds * MS_PER_SECOND + ms);
}

void rmq_unique_id_next(rmq_unique_id_source *source, int64_t now_ms,
                        char out_id[RMQ_UNIQUE_ID_BYTES])
{
    uint32_t counter = __atomic_fetch_add(&source->counter, 1, __ATOMIC_RELAXED);
    char *at = put_hex(out_id, source->address, sizeof(source->address));
    at = put_hex_number(at, source->process_id, 2);
    at = put_hex_number(at, source->noise + (counter >> 16), 4);
    at = put_hex_number(at, ms_since_month_start(now_ms), 4);
    at = put_hex_number(at, counter & 0xFFFF, 2);
    *at = '\0';
}

void rmq_offset_id_format(const rmq_host *store_host, int64_t physical_offset,
                          char out_id[RMQ_OFFSET_MESSAGE_ID_BYTES])
{
    size_t address_bytes = store_host->address_bytes == 16 ? 16 : 4;
    char *at = put_hex(out_id, store_host->address, address_bytes);
    at = put_hex_number(at, (uint32_t)store_host->port, 4);
    at = put_hex_number(at, (uint64_t)physical_offset, 8);
    *at = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint64_t big_endian(const uint8_t *bytes, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes; i++)
        value = value << 8 | bytes[i];
    return value;
}

rmq_status rmq_offset_id_parse(rmq_slice id, rmq_host *out_store_host, int64_t *out_physical_offset,
                               rmq_error *err)
{
    if (id.len != OFFSET_ID_V4_DIGITS && id.len != OFFSET_ID_V6_DIGITS)
        return rmq_error_set(err, RMQ_INVAL, "offset message id has %zu digits, not %d or %d",
                             id.len, OFFSET_ID_V4_DIGITS, OFFSET_ID_V6_DIGITS);
    uint8_t bytes[OFFSET_ID_V6_DIGITS / 2];
    for (size_t i = 0; i < id.len; i += 2) {
        int high = hex_digit(id.data[i]);
        int low = hex_digit(id.data[i + 1]);
        if (high < 0 || low < 0)
            return rmq_error_set(err, RMQ_INVAL,
                                 "offset message id: digit %zu or %zu is not hexadecimal", i + 1,
                                 i + 2);
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    size_t address_bytes = id.len / 2 - 12;
    uint64_t offset = big_endian(bytes + address_bytes + 4, 8);
    if (offset > INT64_MAX)
        return rmq_error_set(err, RMQ_INVAL, "offset message id: its offset is negative");

    rmq_host host = {.address_bytes = (uint8_t)address_bytes};
    memcpy(host.address, bytes, address_bytes);
    host.port = (int32_t)(uint32_t)big_endian(bytes + address_bytes, 4);
    *out_store_host = host;
    *out_physical_offset = (int64_t)offset;
    return RMQ_OK;
}
