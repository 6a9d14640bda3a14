/* Sorting the pairs of a reduce by key.
 *
 * Why at all: who writes rows into a tree (every database) is several times faster if they come in
 * the order of the tree, since each page is then touched once; and workers can sort in parallel
 * what a sink can only write row by row.
 *
 * Each slot gets 64 bits of its key that compare as the key does, and a radix sort from the lowest
 * byte up sorts them: two sequential passes over 16 bytes a slot for each byte in which keys
 * differ, and no comparison. For integers and doubles the 64 bits are the key. Of a text they are
 * eight bytes after what all texts begin with ("customer-"), which mostly tells them apart; runs
 * that it doesn't are sorted by comparing.
 *
 * Texts and bytes have the order of memcmp, a prefix first: that of BINARY collations. NaN comes
 * after all other doubles. Keys of a user's types have no order known here. */
#include "key_order.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "type.h"

#define SIGN UINT64_C(0x8000000000000000)
#define NAN_BITS UINT64_C(0x7ff8000000000000)
#define RADIX_BITS 8
#define N_BUCKETS (1u << RADIX_BITS)
#define N_DIGITS (64 / RADIX_BITS)

static bool is_text(const mill_type *type)
{
    return type == mill_type_text() || type == mill_type_bytes();
}

bool mill_key_order_exists(const mill_type *type)
{
    return is_text(type) || type == mill_type_int64() || type == mill_type_double();
}

static const rmq_slice *text_of(const mill_combine_slot *slot)
{
    return (const rmq_slice *)(const void *)slot->combined->row;
}

/* How many bytes all texts have in common at their beginning. */
static size_t common_bytes(const mill_combine_slot *slots, size_t count)
{
    const rmq_slice *first = text_of(&slots[0]);
    size_t common = first->len;
    for (size_t i = 1; i < count && common > 0; i++) {
        const rmq_slice *text = text_of(&slots[i]);
        if (common > text->len)
            common = text->len;
        if (common > 0 && memcmp(first->data, text->data, common) == 0)
            continue;
        size_t same = 0;
        while (same < common && first->data[same] == text->data[same])
            same++;
        common = same;
    }
    return common;
}

static uint64_t bits_of_text(const rmq_slice *text, size_t skip)
{
    uint64_t bits = 0;
    size_t len = text->len - skip;
    if (len != 0)
        memcpy(&bits, text->data + skip, len < sizeof(bits) ? len : sizeof(bits));
    return be64toh(bits);
}

static uint64_t bits_of_double(double value)
{
    uint64_t bits = NAN_BITS;
    if (value == value)
        memcpy(&bits, &value, sizeof(bits));
    if (value == 0)
        bits = 0; /* both zeros are one key */
    return (bits & SIGN) != 0 ? ~bits : bits | SIGN;
}

static uint64_t bits_of_number(const mill_type *type, const void *key)
{
    if (type == mill_type_double())
        return bits_of_double(*(const double *)key);
    return (uint64_t) * (const int64_t *)key ^ SIGN;
}

static void set_bits(const mill_type *type, mill_combine_slot *slots, size_t count)
{
    size_t skip = is_text(type) ? common_bytes(slots, count) : 0;
    for (size_t i = 0; i < count; i++) {
        const void *key = slots[i].combined->row;
        slots[i].hash = is_text(type) ? bits_of_text(key, skip) : bits_of_number(type, key);
    }
}

static size_t digit_of(uint64_t bits, int digit)
{
    return (size_t)(bits >> (digit * RADIX_BITS)) & (N_BUCKETS - 1);
}

/* One stable pass by one digit; `starts` has where each bucket begins. */
static void scatter(const mill_combine_slot *from, mill_combine_slot *to, size_t count, int digit,
                    size_t *starts)
{
    for (size_t i = 0; i < count; i++)
        to[starts[digit_of(from[i].hash, digit)]++] = from[i];
}

static void radix_sort(mill_combine_slot *slots, mill_combine_slot *spare, size_t count)
{
    mill_combine_slot *from = slots;
    mill_combine_slot *to = spare;
    for (int digit = 0; digit < N_DIGITS; digit++) {
        size_t starts[N_BUCKETS] = {0};
        for (size_t i = 0; i < count; i++)
            starts[digit_of(from[i].hash, digit)]++;
        if (starts[digit_of(from[0].hash, digit)] == count)
            continue; /* all have the same */
        size_t start = 0;
        for (size_t bucket = 0; bucket < N_BUCKETS; bucket++) {
            size_t n_slots = starts[bucket];
            starts[bucket] = start;
            start += n_slots;
        }
        scatter(from, to, count, digit, starts);
        mill_combine_slot *swap = from;
        from = to;
        to = swap;
    }
    if (from != slots)
        memcpy(slots, from, count * sizeof(*slots));
}

static int compare_texts(const rmq_slice *a, const rmq_slice *b)
{
    size_t common = a->len < b->len ? a->len : b->len;
    int order = common != 0 ? memcmp(a->data, b->data, common) : 0;
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_slots(const void *left, const void *right)
{
    return compare_texts(text_of(left), text_of(right));
}

int mill_key_order_compare(const mill_type *type, const void *left, const void *right)
{
    if (is_text(type))
        return compare_texts(left, right);
    uint64_t a = bits_of_number(type, left);
    uint64_t b = bits_of_number(type, right);
    return (a > b) - (a < b);
}

/* Sorts the runs of texts whose bits are the same. */
static void sort_ties(mill_combine_slot *slots, size_t count)
{
    for (size_t start = 0; start < count;) {
        size_t end = start + 1;
        while (end < count && slots[end].hash == slots[start].hash)
            end++;
        if (end - start > 1)
            qsort(&slots[start], end - start, sizeof(*slots), compare_slots);
        start = end;
    }
}

void mill_key_order_sort(const mill_type *type, mill_combine_slot *slots, mill_combine_slot *spare,
                         size_t count)
{
    if (count < 2)
        return;
    set_bits(type, slots, count);
    radix_sort(slots, spare, count);
    if (is_text(type))
        sort_ties(slots, count);
}
