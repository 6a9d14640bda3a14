/* Hashes that are the same in every process and on every machine. */
#ifndef MILL_HASH_H
#define MILL_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t mill_hash_bytes(const void *bytes, size_t len);

/* Spreads every bit of `value` over all bits of the result: hashes that users wrote may be as weak
 * as the key itself. */
static inline uint64_t mill_hash_mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0xe9846af9b1a615d5);
    value ^= value >> 29;
    value *= UINT64_C(0xd6e8feb86659fd93);
    value ^= value >> 32;
    return value;
}

#endif
