/* Blocks: rows, one after the other, in chunks of about 64 KiB.
 *
 * A chunk holds whole rows: as they are where all have the same width, else each after its length
 * (4 bytes). The last chunk is the one being filled; it grows by doubling, so that a block of few
 * rows is small. A chunk that is full (or sealed) is done: if the store then holds more than its
 * cap, the chunk goes to the spill file. So memory is the cap and one chunk for each block being
 * filled, and a block is never copied whole.
 *
 * A block belongs to its task until it is sealed, and never changes afterwards: readers need no
 * lock. */
#include "block.h"

#include <stdatomic.h>
#include <string.h>

#include "block_reader.h"
#include "block_store.h"
#include "bytes.h"
#include "type.h"

#define CHUNK_BYTES ((size_t)64 << 10)
#define LENGTH_BYTES 4

struct mill_block {
    atomic_uint refs;
    mill_block_store *store;
    const mill_type *type;
    size_t width; /* mill_type_width */
    uint64_t n_rows;
    size_t n_bytes; /* of the chunks that are done */
    mill_block_chunk *chunks;
    size_t n_chunks;
    size_t max_chunks;
    mill_output filling;
    size_t charged_bytes; /* of `filling` */
    bool sealed;
};

rmq_status mill_block_new(mill_block_store *store, const mill_type *type, mill_block **out_block,
                          rmq_error *err)
{
    mill_block *block = rmq_calloc(1, sizeof(*block));
    if (block == NULL) {
        (void)rmq_error_set(err, RMQ_NOMEM, "no memory for a block");
        return RMQ_NOMEM;
    }
    atomic_init(&block->refs, 1);
    block->store = store;
    block->type = type;
    block->width = mill_type_width(type);
    *out_block = block;
    return RMQ_OK;
}

mill_block *mill_block_ref(mill_block *block)
{
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

void mill_block_unref(mill_block *block)
{
    if (block == NULL || atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < block->n_chunks; i++) {
        mill_block_chunk *chunk = &block->chunks[i];
        if (chunk->bytes == NULL)
            mill_block_store_drop(block->store, chunk->spilled_at, chunk->len);
        else
            mill_block_store_discharge(block->store, chunk->len);
        rmq_free(chunk->bytes);
    }
    mill_block_store_discharge(block->store, block->charged_bytes);
    mill_output_deinit(&block->filling);
    rmq_free(block->chunks);
    rmq_free(block);
}

static void charge_filling(mill_block *block)
{
    if (block->filling.capacity == block->charged_bytes)
        return;
    mill_block_store_charge(block->store, block->filling.capacity - block->charged_bytes);
    block->charged_bytes = block->filling.capacity;
}

static rmq_status chunks_reserve(mill_block *block, rmq_error *err)
{
    if (block->n_chunks < block->max_chunks)
        return RMQ_OK;
    size_t max_chunks = block->max_chunks == 0 ? 2 : block->max_chunks * 2;
    mill_block_chunk *chunks = rmq_realloc(block->chunks, max_chunks * sizeof(*chunks));
    if (chunks == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a block of %zu bytes", block->n_bytes);
    block->chunks = chunks;
    block->max_chunks = max_chunks;
    return RMQ_OK;
}

/* The chunk being filled is done: to the spill file or into the list. */
static rmq_status chunk_done(mill_block *block, rmq_error *err)
{
    mill_output *filling = &block->filling;
    if (filling->len == 0)
        return RMQ_OK;
    rmq_status status = chunks_reserve(block, err);
    if (status != RMQ_OK)
        return status;
    mill_block_chunk chunk = {.len = filling->len};
    if (mill_block_store_is_over(block->store)) {
        status = mill_block_store_spill(block->store, filling->data, filling->len,
                                        &chunk.spilled_at, err);
        if (status != RMQ_OK)
            return status;
        mill_block_store_discharge(block->store, block->charged_bytes);
        rmq_free(filling->data);
    } else {
        /* a smaller piece of memory may be refused; then the larger one is kept */
        char *fitting = rmq_realloc(filling->data, filling->len);
        chunk.bytes = fitting != NULL ? fitting : filling->data;
        mill_block_store_discharge(block->store, block->charged_bytes - filling->len);
    }
    block->chunks[block->n_chunks++] = chunk;
    block->n_bytes += chunk.len;
    *filling = (mill_output){0};
    block->charged_bytes = 0;
    return RMQ_OK;
}

static void write_row(mill_block *block, const void *row)
{
    mill_output *filling = &block->filling;
    if (block->width != 0) {
        mill_type_write(block->type, row, filling);
        return;
    }
    size_t start = filling->len;
    mill_put_u32(filling, 0);
    mill_type_write(block->type, row, filling);
    if (filling->status != RMQ_OK)
        return;
    size_t len = filling->len - start - LENGTH_BYTES;
    if (len > UINT32_MAX)
        filling->status = RMQ_FULL;
    else
        mill_store_u32(filling->data + start, (uint32_t)len);
}

static rmq_status write_failed(mill_block *block, size_t start, rmq_error *err)
{
    rmq_status status = block->filling.status;
    block->filling.status = RMQ_OK;
    block->filling.len = start;
    charge_filling(block);
    const char *name = block->type->name != NULL ? block->type->name : "(no name)";
    if (status == RMQ_NOMEM)
        return rmq_error_set(err, status, "no memory to store a row of type %s", name);
    return rmq_error_set(err, status, "a row of type %s is larger than 4 GiB", name);
}

rmq_status mill_block_append(mill_block *block, const void *row, rmq_error *err)
{
    mill_output *filling = &block->filling;
    if (filling->len != 0 && filling->len + block->width >= CHUNK_BYTES) {
        rmq_status status = chunk_done(block, err);
        if (status != RMQ_OK)
            return status;
    }
    size_t start = filling->len;
    write_row(block, row);
    if (filling->status != RMQ_OK)
        return write_failed(block, start, err);
    charge_filling(block);
    block->n_rows++;
    return RMQ_OK;
}

rmq_status mill_block_seal(mill_block *block, rmq_error *err)
{
    if (block->sealed)
        return RMQ_OK;
    rmq_status status = chunk_done(block, err);
    if (status != RMQ_OK)
        return status;
    mill_block_store_discharge(block->store, block->charged_bytes);
    block->charged_bytes = 0;
    mill_output_deinit(&block->filling);
    block->sealed = true;
    return RMQ_OK;
}

uint64_t mill_block_rows(const mill_block *block)
{
    return block->n_rows;
}

size_t mill_block_bytes(const mill_block *block)
{
    return block->n_bytes + block->filling.len;
}

const mill_type *mill_block_type(const mill_block *block)
{
    return block->type;
}

size_t mill_block_chunks(const mill_block *block)
{
    return block->n_chunks;
}

const mill_block_chunk *mill_block_chunk_at(const mill_block *block, size_t index)
{
    return &block->chunks[index];
}

mill_block_store *mill_block_store_of(const mill_block *block)
{
    return block->store;
}

rmq_status mill_block_dump(const mill_block *block, char **out_bytes, size_t *out_len,
                           rmq_error *err)
{
    char *bytes = rmq_malloc(block->n_bytes != 0 ? block->n_bytes : 1);
    if (bytes == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu bytes of a block", block->n_bytes);
    size_t len = 0;
    for (size_t i = 0; i < block->n_chunks; i++) {
        const mill_block_chunk *chunk = &block->chunks[i];
        if (chunk->bytes != NULL) {
            memcpy(bytes + len, chunk->bytes, chunk->len);
        } else {
            rmq_status status = mill_block_store_load(block->store, chunk->spilled_at, bytes + len,
                                                      chunk->len, err);
            if (status != RMQ_OK) {
                rmq_free(bytes);
                return status;
            }
        }
        len += chunk->len;
    }
    *out_bytes = bytes;
    *out_len = len;
    return RMQ_OK;
}

rmq_status mill_block_load(mill_block_store *store, const mill_type *type, rmq_slice bytes,
                           uint64_t n_rows, mill_block **out_block, rmq_error *err)
{
    mill_block *block = NULL;
    rmq_status status = mill_block_new(store, type, &block, err);
    if (status != RMQ_OK)
        return status;
    mill_put_raw(&block->filling, bytes.data, bytes.len);
    if (block->filling.status != RMQ_OK) {
        status = rmq_error_set(err, RMQ_NOMEM, "no memory for %zu bytes of a block", bytes.len);
        goto out;
    }
    charge_filling(block);
    block->n_rows = n_rows;
    status = mill_block_seal(block, err);
out:
    if (status == RMQ_OK)
        *out_block = block;
    else
        mill_block_unref(block);
    return status;
}
