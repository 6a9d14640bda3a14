/* Mutations that know where a format keeps its lengths and sums. See mutate.c. */
#ifndef TEST_FUZZ_MUTATE_H
#define TEST_FUZZ_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUTATE_MAX_PARTS 6

typedef struct mutate_format mutate_format;

/* Some bytes of a unit that are mutated by themselves. */
typedef struct mutate_part {
    size_t at;
    size_t len;
    bool grows;                 /* may get longer and shorter */
    size_t length_at;           /* where its length stands, big endian, */
    size_t length_bytes;        /* in so many bytes; 0: it has none */
    const mutate_format *inner; /* what it is a row of; NULL: bytes */
} mutate_part;

/* One record, frame or member. */
typedef struct mutate_unit {
    size_t len;
    size_t n_parts;
    mutate_part parts[MUTATE_MAX_PARTS];
} mutate_unit;

/* An input: bytes that steer the target, then a row of units. */
struct mutate_format {
    size_t steering_bytes;
    /* Where the parts of the unit at `bytes` are; what seal writes is not looked at. False if not
     * even its parts fit into the `left` bytes. */
    bool (*split)(const uint8_t *bytes, size_t left, mutate_unit *out_unit);
    /* Writes what follows from the parts: the unit's length, its sum. */
    void (*seal)(uint8_t *bytes, const mutate_unit *unit);
};

/* The batch members of a batch send, also inside of a record. */
extern const mutate_format mutate_batch_members;

/* Mutates `data` (room for max_size bytes) and returns its new size. */
size_t mutate(const mutate_format *format, uint8_t *data, size_t size, size_t max_size,
              unsigned int seed);

/* Numbers of 1 to 4 bytes, big endian. */
uint32_t mutate_load(const uint8_t *at, size_t n_bytes);
void mutate_store(uint8_t *at, size_t n_bytes, uint32_t value);

/* libFuzzer's side. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

#endif
