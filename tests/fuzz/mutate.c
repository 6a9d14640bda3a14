/* Mutations that know where a format keeps its lengths and sums.
 *
 * Blind mutations of a row of records nearly always die at the first check: a byte more in the body
 * makes all lengths around it wrong, a byte changed its CRC. What lies behind (the topic, the
 * properties, the members of an inner batch, the next record) is then hardly ever reached with
 * anything new. So a format says how to find the parts of a unit and how to seal it again:
 *
 *     steering │ unit │ unit │ unit           a unit: length, CRC │ part │ length, part │ ...
 *                        │ mutated: one part, by libFuzzer's own mutations
 *                        └ mended: the part's length, then the unit's length and sum
 *
 * Most mutations change one part of one unit, some copy or drop a whole unit, some change the
 * steering bytes. One in eight changes the input blindly; half of these are mended afterwards. One
 * mutation in sixteen does not mend a part's length, and as many do not seal the unit, since lies
 * are what the decoders are there for.
 *
 * A part that is a row of units itself (an inner batch) is mutated by the same rules.
 *
 * The part grows in place: what follows it is moved to the end of the buffer meanwhile. Everything
 * random follows from libFuzzer's seed. Only libFuzzer's executables hold this file; the programs
 * that replay the corpora mutate nothing. */
#include "mutate.h"

#include <string.h>

#define MAX_UNITS 64

typedef struct unit_row {
    size_t count;
    size_t at[MAX_UNITS];
    mutate_unit units[MAX_UNITS];
} unit_row;

uint32_t mutate_load(const uint8_t *at, size_t n_bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < n_bytes; i++)
        value = value << 8 | at[i];
    return value;
}

void mutate_store(uint8_t *at, size_t n_bytes, uint32_t value)
{
    for (size_t i = n_bytes; i > 0; i--) {
        at[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

/* Below `n`. Knuth's MMIX generator. */
static size_t below(uint64_t *random, size_t n)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(*random >> 33) % n;
}

static void find_units(const mutate_format *format, const uint8_t *data, size_t size,
                       unit_row *out_row)
{
    size_t at = format->steering_bytes;
    out_row->count = 0;
    while (at < size && out_row->count < MAX_UNITS &&
           format->split(data + at, size - at, &out_row->units[out_row->count])) {
        out_row->at[out_row->count] = at;
        at += out_row->units[out_row->count++].len;
    }
}

/* Blind, over everything. */
static size_t mutate_all(const mutate_format *format, uint8_t *data, size_t size, size_t max_size,
                         uint64_t *random)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (below(random, 2) == 0)
        return size;
    unit_row row;
    find_units(format, data, size, &row);
    for (size_t i = 0; i < row.count; i++)
        format->seal(data + row.at[i], &row.units[i]);
    return size;
}

/* Copies the unit `len` bytes long at `from` before the one at `to`, or drops it
 * unless it is all there is. */
static size_t copy_or_drop(uint8_t *data, size_t size, size_t max_size, size_t from, size_t len,
                           size_t to)
{
    if (len == size)
        return size;
    if (from == to) {
        memmove(data + from, data + from + len, size - from - len);
        return size - len;
    }
    if (len > max_size - size)
        return size;
    memmove(data + to + len, data + to, size - to);
    memmove(data + to, data + (from > to ? from + len : from), len);
    return size + len;
}

/* New bytes for a part, `max_len` at most; returns how many. */
static size_t mutate_bytes(const mutate_part *part, uint8_t *bytes, size_t max_len,
                           uint64_t *random)
{
    if (!part->grows) {
        LLVMFuzzerMutate(bytes, part->len, part->len);
        return part->len;
    }
    if (max_len == 0 || below(random, 32) == 0)
        return 0;
    if (part->inner != NULL && below(random, 4) != 0)
        return mutate(part->inner, bytes, part->len, max_len, (unsigned int)*random);
    return LLVMFuzzerMutate(bytes, part->len, max_len);
}

/* Mutates one part of the unit at `data` and mends what depends on it. Returns the new `size` of
 * all that there is from the unit on. */
static size_t mutate_unit_part(const mutate_format *format, mutate_unit *unit, uint8_t *data,
                               size_t size, size_t max_size, uint64_t *random)
{
    size_t index = below(random, unit->n_parts);
    mutate_part *part = &unit->parts[index];
    size_t rest_at = part->at + part->len;
    size_t rest = size - rest_at;
    size_t max_len = max_size - part->at - rest;
    if (part->length_bytes > 0 && max_len > ((size_t)1 << 8 * part->length_bytes) - 1)
        max_len = ((size_t)1 << 8 * part->length_bytes) - 1;

    memmove(data + max_size - rest, data + rest_at, rest);
    size_t len = mutate_bytes(part, data + part->at, max_len, random);
    memmove(data + part->at + len, data + max_size - rest, rest);

    for (size_t i = index + 1; i < unit->n_parts; i++) {
        unit->parts[i].at = unit->parts[i].at - part->len + len;
        unit->parts[i].length_at = unit->parts[i].length_at - part->len + len;
    }
    unit->len = unit->len - part->len + len;
    part->len = len;
    if (part->length_bytes > 0 && below(random, 16) != 0)
        mutate_store(data + part->length_at, part->length_bytes, (uint32_t)len);
    if (below(random, 16) != 0)
        format->seal(data, unit);
    return part->at + len + rest;
}

size_t mutate(const mutate_format *format, uint8_t *data, size_t size, size_t max_size,
              unsigned int seed)
{
    uint64_t random = seed;
    unit_row row;
    find_units(format, data, size, &row);
    if (row.count == 0 || below(&random, 8) == 0)
        return mutate_all(format, data, size, max_size, &random);
    if (format->steering_bytes > 0 && below(&random, 16) == 0) {
        LLVMFuzzerMutate(data, format->steering_bytes, format->steering_bytes);
        return size;
    }
    size_t chosen = below(&random, row.count);
    size_t at = row.at[chosen];
    if (below(&random, 8) == 0)
        return copy_or_drop(data, size, max_size, at, row.units[chosen].len,
                            row.at[below(&random, row.count)]);
    return at + mutate_unit_part(format, &row.units[chosen], data + at, size - at, max_size - at,
                                 &random);
}
