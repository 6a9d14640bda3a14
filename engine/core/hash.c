/* The hash of byte strings: eight bytes at a time, each folded in by a multiplication whose high
 * half is brought down, then mixed. Which exchange partition a key goes to depends on it, and state
 * kept in a checkpoint will, too: it must never change, and does not depend on the machine's byte
 * order. It is no defence against keys chosen to collide; the tables that use it stay correct then,
 * only slow. */
#include "hash.h"

#include <endian.h>
#include <string.h>

#define MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)

static uint64_t fold(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * MULTIPLIER;
    return hash ^ hash >> 32;
}

uint64_t mill_hash_bytes(const void *bytes, size_t len)
{
    const char *at = bytes;
    uint64_t hash = fold(0, (uint64_t)len);
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = fold(hash, le64toh(word));
    }
    if (len != 0) {
        uint64_t word = 0;
        memcpy(&word, at, len);
        hash = fold(hash, le64toh(word));
    }
    return mill_hash_mix(hash);
}
