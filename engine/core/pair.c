/* Pair types, made on demand: one for each pair of types, so that two datasets of pairs have the
 * same type exactly if the pointers are the same.
 *
 * The key stands at 0 and the value at the next multiple of the strictest alignment, so that both
 * can be of any C type and a struct of two members, the second aligned to max_align_t, is such a
 * row. What lies between is never looked at. */
#include "pair.h"

#include <stdalign.h>
#include <stdio.h>

#include "bytes.h"
#include "hash.h"
#include "type.h"

#define PAIR_NAME_BYTES 96

struct mill_pair_type {
    mill_type type;
    mill_pair_type *next;
    char name[PAIR_NAME_BYTES];
};

static size_t align_up(size_t size_bytes)
{
    return (size_bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

static uint64_t pair_hash(const mill_type *type, const void *row)
{
    uint64_t key = type->key_type->hash(type->key_type, row);
    uint64_t value = type->value_type->hash(type->value_type, mill_pair_value(type, row));
    return mill_hash_mix(mill_hash_mix(key) + value);
}

static bool pair_equal(const mill_type *type, const void *left, const void *right)
{
    return type->key_type->equal(type->key_type, left, right) &&
           type->value_type->equal(type->value_type, mill_pair_value(type, left),
                                   mill_pair_value(type, right));
}

static rmq_status pair_copy(const mill_type *type, const void *row, void *out_row,
                            mill_arena *arena)
{
    rmq_status status = mill_type_copy(type->key_type, row, out_row, arena);
    if (status != RMQ_OK)
        return status;
    return mill_type_copy(type->value_type, mill_pair_value(type, row),
                          (char *)out_row + type->value_at, arena);
}

static void pair_serialize(const mill_type *type, const void *row, mill_output *out)
{
    mill_type_write(type->key_type, row, out);
    mill_type_write(type->value_type, mill_pair_value(type, row), out);
}

static rmq_status pair_deserialize(const mill_type *type, mill_input *in, void *out_row,
                                   mill_arena *arena)
{
    rmq_status status = mill_type_read(type->key_type, in, out_row, arena);
    if (status != RMQ_OK)
        return status;
    return mill_type_read(type->value_type, in, (char *)out_row + type->value_at, arena);
}

size_t mill_pair_width(const mill_type *type)
{
    if (type->serialize != pair_serialize)
        return 0;
    size_t key = mill_type_width(type->key_type);
    size_t value = mill_type_width(type->value_type);
    return key == 0 || value == 0 ? 0 : key + value;
}

const void *mill_pair_key(const void *pair_row)
{
    return pair_row;
}

const void *mill_pair_value(const mill_type *pair, const void *pair_row)
{
    return (const char *)pair_row + pair->value_at;
}

void mill_pair_types_init(mill_pair_types *types)
{
    *types = (mill_pair_types){0};
    pthread_mutex_init(&types->lock, NULL);
}

void mill_pair_types_deinit(mill_pair_types *types)
{
    while (types->first != NULL) {
        mill_pair_type *pair = types->first;
        types->first = pair->next;
        rmq_free(pair);
    }
    pthread_mutex_destroy(&types->lock);
}

static mill_pair_type *pair_new(const mill_type *key, const mill_type *value)
{
    mill_pair_type *pair = rmq_calloc(1, sizeof(*pair));
    if (pair == NULL)
        return NULL;
    snprintf(pair->name, sizeof(pair->name), "(%s, %s)", key->name != NULL ? key->name : "?",
             value->name != NULL ? value->name : "?");
    bool comparable = mill_type_can_be_key(key) && mill_type_can_be_key(value);
    bool flat = key->copy == NULL && value->copy == NULL;
    pair->type = (mill_type){
        .struct_size = sizeof(mill_type),
        .name = pair->name,
        .size_bytes = align_up(key->size_bytes) + align_up(value->size_bytes),
        .hash = comparable ? pair_hash : NULL,
        .equal = comparable ? pair_equal : NULL,
        .copy = flat ? NULL : pair_copy,
        .serialize = pair_serialize,
        .deserialize = pair_deserialize,
        .key_type = key,
        .value_type = value,
        .value_at = align_up(key->size_bytes),
    };
    return pair;
}

const mill_type *mill_pair_types_get(mill_pair_types *types, const mill_type *key,
                                     const mill_type *value, rmq_error *err)
{
    if (mill_type_check(key, err) != RMQ_OK || mill_type_check(value, err) != RMQ_OK)
        return NULL;
    if (key->size_bytes > SIZE_MAX / 4 || value->size_bytes > SIZE_MAX / 4) {
        (void)rmq_error_set(err, RMQ_INVAL, "row type %s or %s: size_bytes is too large",
                            key->name != NULL ? key->name : "?",
                            value->name != NULL ? value->name : "?");
        return NULL;
    }
    pthread_mutex_lock(&types->lock);
    mill_pair_type *pair = types->first;
    while (pair != NULL && (pair->type.key_type != key || pair->type.value_type != value))
        pair = pair->next;
    if (pair == NULL) {
        pair = pair_new(key, value);
        if (pair != NULL) {
            pair->next = types->first;
            types->first = pair;
        }
    }
    pthread_mutex_unlock(&types->lock);
    if (pair == NULL) {
        (void)rmq_error_set(err, RMQ_NOMEM, "no memory for the type of a pair");
        return NULL;
    }
    return &pair->type;
}
