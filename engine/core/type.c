/* The ready row types, and what a type's missing functions mean.
 *
 * A type without serialize is plain: its bytes are the row, and they are stored as they are (both
 * machines that we run on are little-endian; what must be portable has serialize). Plain types have
 * a fixed width, so that blocks of them need no length before each row; a pair of two such types
 * has one, too. */
#include "type.h"

#include <string.h>

#include "bytes.h"
#include "hash.h"
#include "pair.h"

rmq_status mill_type_check(const mill_type *type, rmq_error *err)
{
    if (type == NULL)
        return rmq_error_set(err, RMQ_INVAL, "no row type given");
    if (type->struct_size < sizeof(mill_type))
        return rmq_error_set(err, RMQ_INVAL,
                             "row type: struct_size is %zu, must be sizeof(mill_type) (%zu)",
                             type->struct_size, sizeof(mill_type));
    const char *name = type->name != NULL ? type->name : "(no name)";
    if (type->size_bytes == 0)
        return rmq_error_set(err, RMQ_INVAL, "row type %s: size_bytes is 0", name);
    if ((type->serialize == NULL) != (type->deserialize == NULL))
        return rmq_error_set(err, RMQ_INVAL,
                             "row type %s: serialize and deserialize must be given together", name);
    if ((type->key_type == NULL) != (type->value_type == NULL))
        return rmq_error_set(err, RMQ_INVAL,
                             "row type %s: key_type and value_type must be given together", name);
    return RMQ_OK;
}

bool mill_type_is_pair(const mill_type *type)
{
    return type->key_type != NULL;
}

bool mill_type_can_be_key(const mill_type *type)
{
    return type->hash != NULL && type->equal != NULL;
}

size_t mill_type_width(const mill_type *type)
{
    if (type->serialize == NULL)
        return type->size_bytes;
    return mill_pair_width(type);
}

rmq_status mill_type_copy(const mill_type *type, const void *row, void *out_row, mill_arena *arena)
{
    if (type->copy != NULL)
        return type->copy(type, row, out_row, arena);
    memcpy(out_row, row, type->size_bytes);
    return RMQ_OK;
}

void mill_type_write(const mill_type *type, const void *row, mill_output *out)
{
    if (type->serialize != NULL)
        type->serialize(type, row, out);
    else
        mill_put_raw(out, row, type->size_bytes);
}

rmq_status mill_type_read(const mill_type *type, mill_input *in, void *out_row, mill_arena *arena)
{
    if (type->deserialize != NULL) {
        rmq_status status = type->deserialize(type, in, out_row, arena);
        return status == RMQ_OK && in->bad ? RMQ_CORRUPT : status;
    }
    const char *bytes = mill_get_raw(in, type->size_bytes);
    if (bytes == NULL)
        return RMQ_CORRUPT;
    memcpy(out_row, bytes, type->size_bytes);
    return RMQ_OK;
}

static uint64_t int64_hash(const mill_type *type, const void *row)
{
    (void)type;
    uint64_t value;
    memcpy(&value, row, sizeof(value));
    return mill_hash_mix(value);
}

static bool int64_equal(const mill_type *type, const void *left, const void *right)
{
    (void)type;
    return *(const int64_t *)left == *(const int64_t *)right;
}

/* As keys, all NaNs are one, and so are both zeros: a group per NaN would never be found again. */
static uint64_t double_bits(const void *row)
{
    double value = *(const double *)row;
    if (value != value)
        return UINT64_C(0x7ff8000000000000);
    if (value == 0)
        return 0;
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static uint64_t double_hash(const mill_type *type, const void *row)
{
    (void)type;
    return mill_hash_mix(double_bits(row));
}

static bool double_equal(const mill_type *type, const void *left, const void *right)
{
    (void)type;
    return double_bits(left) == double_bits(right);
}

static uint64_t slice_hash(const mill_type *type, const void *row)
{
    (void)type;
    const rmq_slice *slice = row;
    return mill_hash_bytes(slice->data, slice->len);
}

static bool slice_equal(const mill_type *type, const void *left, const void *right)
{
    (void)type;
    const rmq_slice *a = left;
    const rmq_slice *b = right;
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static rmq_status copy_bytes(rmq_slice from, rmq_slice *out_slice, mill_arena *arena)
{
    char *data = NULL;
    if (from.len != 0) {
        data = mill_arena_alloc(arena, from.len);
        if (data == NULL)
            return RMQ_NOMEM;
        memcpy(data, from.data, from.len);
    }
    *out_slice = (rmq_slice){data, from.len};
    return RMQ_OK;
}

static rmq_status slice_copy(const mill_type *type, const void *row, void *out_row,
                             mill_arena *arena)
{
    (void)type;
    return copy_bytes(*(const rmq_slice *)row, out_row, arena);
}

static void slice_serialize(const mill_type *type, const void *row, mill_output *out)
{
    (void)type;
    mill_put_slice(out, *(const rmq_slice *)row);
}

static rmq_status slice_deserialize(const mill_type *type, mill_input *in, void *out_row,
                                    mill_arena *arena)
{
    (void)type;
    (void)arena;
    *(rmq_slice *)out_row = mill_get_slice(in);
    return RMQ_OK;
}

static rmq_status message_copy(const mill_type *type, const void *row, void *out_row,
                               mill_arena *arena)
{
    (void)type;
    const rmq_message *from = row;
    rmq_message copy = *from;
    rmq_status status = copy_bytes(from->topic, &copy.topic, arena);
    if (status == RMQ_OK)
        status = copy_bytes(from->broker_name, &copy.broker_name, arena);
    if (status == RMQ_OK)
        status = copy_bytes(from->body, &copy.body, arena);
    if (status == RMQ_OK)
        status = copy_bytes(from->properties, &copy.properties, arena);
    if (status == RMQ_OK)
        *(rmq_message *)out_row = copy;
    return status;
}

static void put_host(mill_output *out, const rmq_host *host)
{
    mill_put_u8(out, host->address_bytes);
    mill_put_raw(out, host->address, sizeof(host->address));
    mill_put_u32(out, (uint32_t)host->port);
}

static rmq_host get_host(mill_input *in)
{
    rmq_host host = {.address_bytes = mill_get_u8(in)};
    const char *address = mill_get_raw(in, sizeof(host.address));
    if (address != NULL)
        memcpy(host.address, address, sizeof(host.address));
    host.port = (int32_t)mill_get_u32(in);
    return host;
}

static void message_serialize(const mill_type *type, const void *row, mill_output *out)
{
    (void)type;
    const rmq_message *message = row;
    mill_put_slice(out, message->topic);
    mill_put_slice(out, message->broker_name);
    mill_put_u32(out, (uint32_t)message->queue_id);
    mill_put_int64(out, message->queue_offset);
    mill_put_int64(out, message->physical_offset);
    mill_put_u32(out, (uint32_t)message->flag);
    mill_put_u32(out, (uint32_t)message->sys_flag);
    mill_put_int64(out, message->born_timestamp_ms);
    mill_put_int64(out, message->store_timestamp_ms);
    put_host(out, &message->born_host);
    put_host(out, &message->store_host);
    mill_put_u32(out, (uint32_t)message->reconsume_times);
    mill_put_int64(out, message->prepared_transaction_offset);
    mill_put_slice(out, message->body);
    mill_put_u32(out, (uint32_t)message->body_status);
    mill_put_slice(out, message->properties);
}

static rmq_status message_deserialize(const mill_type *type, mill_input *in, void *out_row,
                                      mill_arena *arena)
{
    (void)type;
    (void)arena;
    rmq_message *message = out_row;
    message->topic = mill_get_slice(in);
    message->broker_name = mill_get_slice(in);
    message->queue_id = (int32_t)mill_get_u32(in);
    message->queue_offset = mill_get_int64(in);
    message->physical_offset = mill_get_int64(in);
    message->flag = (int32_t)mill_get_u32(in);
    message->sys_flag = (int32_t)mill_get_u32(in);
    message->born_timestamp_ms = mill_get_int64(in);
    message->store_timestamp_ms = mill_get_int64(in);
    message->born_host = get_host(in);
    message->store_host = get_host(in);
    message->reconsume_times = (int32_t)mill_get_u32(in);
    message->prepared_transaction_offset = mill_get_int64(in);
    message->body = mill_get_slice(in);
    message->body_status = (rmq_status)mill_get_u32(in);
    message->properties = mill_get_slice(in);
    return RMQ_OK;
}

static const mill_type message_type = {
    .struct_size = sizeof(mill_type),
    .name = "message",
    .size_bytes = sizeof(rmq_message),
    .copy = message_copy,
    .serialize = message_serialize,
    .deserialize = message_deserialize,
};

#define SLICE_TYPE(what)                                                                           \
    {                                                                                              \
        .struct_size = sizeof(mill_type), .name = (what), .size_bytes = sizeof(rmq_slice),         \
        .hash = slice_hash, .equal = slice_equal, .copy = slice_copy,                              \
        .serialize = slice_serialize, .deserialize = slice_deserialize,                            \
    }

static const mill_type text_type = SLICE_TYPE("text");
static const mill_type bytes_type = SLICE_TYPE("bytes");

static const mill_type int64_type = {
    .struct_size = sizeof(mill_type),
    .name = "int64",
    .size_bytes = sizeof(int64_t),
    .hash = int64_hash,
    .equal = int64_equal,
};

static const mill_type double_type = {
    .struct_size = sizeof(mill_type),
    .name = "double",
    .size_bytes = sizeof(double),
    .hash = double_hash,
    .equal = double_equal,
};

const mill_type *mill_type_message(void)
{
    return &message_type;
}

const mill_type *mill_type_text(void)
{
    return &text_type;
}

const mill_type *mill_type_bytes(void)
{
    return &bytes_type;
}

const mill_type *mill_type_int64(void)
{
    return &int64_type;
}

const mill_type *mill_type_double(void)
{
    return &double_type;
}
