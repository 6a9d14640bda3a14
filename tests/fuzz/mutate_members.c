/* Where a member of a batch send keeps its parts: total size, magic, CRC, flag, body length (4
 * bytes each), body, properties length (2), properties.
 *
 * Only the total size is mended: nobody reads the magic and the CRC. The format stands apart since
 * it is also the inside of records that hold a whole batch (mutate_record.c). */
#include "mutate.h"

#define FLAG_AT 12
#define BODY_LENGTH_AT 16
#define BODY_AT 20

static bool split(const uint8_t *bytes, size_t left, mutate_unit *out_unit)
{
    if (left < BODY_AT)
        return false;
    size_t body = mutate_load(bytes + BODY_LENGTH_AT, 4);
    if (body > left - BODY_AT || left - BODY_AT - body < 2)
        return false;
    size_t length_at = BODY_AT + body;
    size_t properties = mutate_load(bytes + length_at, 2);
    if (properties > left - length_at - 2)
        return false;
    *out_unit = (mutate_unit){
        .len = length_at + 2 + properties,
        .n_parts = 3,
        .parts = {{.at = FLAG_AT, .len = 4},
                  {.at = BODY_AT,
                   .len = body,
                   .grows = true,
                   .length_at = BODY_LENGTH_AT,
                   .length_bytes = 4},
                  {.at = length_at + 2,
                   .len = properties,
                   .grows = true,
                   .length_at = length_at,
                   .length_bytes = 2}},
    };
    return true;
}

static void seal(uint8_t *bytes, const mutate_unit *unit)
{
    mutate_store(bytes, 4, (uint32_t)unit->len);
}

const mutate_format mutate_batch_members = {.split = split, .seal = seal};
