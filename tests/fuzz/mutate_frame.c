/* Where a frame keeps its parts: length word, serialization (1 byte), header length (3), header,
 * body.
 *
 * Mended are the length word, the header's length, and the serialization, which is 0 or 1. A frame
 * that claims more than there is ends with the input, so that a cut tail becomes a whole frame at
 * times. */
#include "mutate.h"

#define PREFIX_BYTES 8
#define HEADER 1

static bool split(const uint8_t *bytes, size_t left, mutate_unit *out_unit)
{
    if (left < PREFIX_BYTES)
        return false;
    size_t len = (size_t)mutate_load(bytes, 4) + 4;
    if (len < PREFIX_BYTES || len > left)
        len = left;
    size_t header = mutate_load(bytes + 5, 3);
    if (header > len - PREFIX_BYTES)
        header = len - PREFIX_BYTES;
    size_t body_at = PREFIX_BYTES + header;
    *out_unit = (mutate_unit){
        .len = len,
        .n_parts = 3,
        .parts =
            {{.at = 4, .len = 1},
             {.at = PREFIX_BYTES, .len = header, .grows = true, .length_at = 5, .length_bytes = 3},
             {.at = body_at, .len = len - body_at, .grows = true}},
    };
    return true;
}

static void seal(uint8_t *bytes, const mutate_unit *unit)
{
    mutate_store(bytes, 4, (uint32_t)(unit->len - 4));
    bytes[4] &= 1;
    mutate_store(bytes + 5, 3, (uint32_t)unit->parts[HEADER].len);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static const mutate_format frames = {.steering_bytes = 3, .split = split, .seal = seal};
    return mutate(&frames, data, size, max_size, seed);
}
