/* Big-endian writers and readers for rows in serialized form.
 *
 * Neither reports failures one by one: an output remembers that memory ran out, an input remembers
 * that somebody read past its end, and whoever called serialize or deserialize checks once. So a
 * user's functions for a type are straight lines. */
#include "bytes.h"

#include <string.h>

#define FIRST_CAPACITY ((size_t)1024)

char *mill_output_extend(mill_output *out, size_t size_bytes)
{
    if (out->status != RMQ_OK)
        return NULL;
    if (size_bytes > out->capacity - out->len) {
        size_t capacity = out->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : out->capacity;
        while (capacity - out->len < size_bytes) {
            if (capacity > SIZE_MAX / 2) {
                out->status = RMQ_NOMEM;
                return NULL;
            }
            capacity *= 2;
        }
        char *data = rmq_realloc(out->data, capacity);
        if (data == NULL) {
            out->status = RMQ_NOMEM;
            return NULL;
        }
        out->data = data;
        out->capacity = capacity;
    }
    char *at = out->data + out->len;
    out->len += size_bytes;
    return at;
}

void mill_output_deinit(mill_output *out)
{
    rmq_free(out->data);
    *out = (mill_output){0};
}

void mill_store_u32(char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(unsigned char)(value >> (24 - 8 * i));
}

uint32_t mill_load_u32(const char *bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 8 | (unsigned char)bytes[i];
    return value;
}

void mill_put_raw(mill_output *out, const void *bytes, size_t size_bytes)
{
    char *at = size_bytes != 0 ? mill_output_extend(out, size_bytes) : NULL;
    if (at != NULL)
        memcpy(at, bytes, size_bytes);
}

void mill_put_u8(mill_output *out, uint8_t value)
{
    mill_put_raw(out, &value, 1);
}

void mill_put_u32(mill_output *out, uint32_t value)
{
    char *at = mill_output_extend(out, 4);
    if (at != NULL)
        mill_store_u32(at, value);
}

void mill_put_int64(mill_output *out, int64_t value)
{
    char *at = mill_output_extend(out, 8);
    if (at == NULL)
        return;
    mill_store_u32(at, (uint32_t)((uint64_t)value >> 32));
    mill_store_u32(at + 4, (uint32_t)(uint64_t)value);
}

void mill_put_double(mill_output *out, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    mill_put_int64(out, bits);
}

void mill_put_slice(mill_output *out, rmq_slice value)
{
    if (value.len > UINT32_MAX) {
        if (out->status == RMQ_OK)
            out->status = RMQ_FULL;
        return;
    }
    mill_put_u32(out, (uint32_t)value.len);
    mill_put_raw(out, value.data, value.len);
}

const char *mill_get_raw(mill_input *in, size_t size_bytes)
{
    if (in->bad || size_bytes > in->left) {
        in->bad = true;
        return NULL;
    }
    const char *at = in->data;
    if (size_bytes == 0)
        return at;
    in->data += size_bytes;
    in->left -= size_bytes;
    return at;
}

uint8_t mill_get_u8(mill_input *in)
{
    const char *at = mill_get_raw(in, 1);
    return at == NULL ? 0 : (uint8_t)*at;
}

uint32_t mill_get_u32(mill_input *in)
{
    const char *at = mill_get_raw(in, 4);
    return at == NULL ? 0 : mill_load_u32(at);
}

int64_t mill_get_int64(mill_input *in)
{
    const char *at = mill_get_raw(in, 8);
    if (at == NULL)
        return 0;
    return (int64_t)((uint64_t)mill_load_u32(at) << 32 | mill_load_u32(at + 4));
}

double mill_get_double(mill_input *in)
{
    int64_t bits = mill_get_int64(in);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

rmq_slice mill_get_slice(mill_input *in)
{
    size_t len = mill_get_u32(in);
    const char *at = mill_get_raw(in, len);
    return at == NULL ? (rmq_slice){NULL, 0} : (rmq_slice){at, len};
}
