/* Frames, and the splitter that cuts a byte stream into them. Source: NettyDecoder and
 * RemotingCommand 5.4.0; protocol facts 1.1.
 *
 * Bytes are read into chunks of 64 KiB. Every frame that lies whole in a chunk is a view into it
 * and holds a reference on it: nothing is copied, and the chunk goes when the last of them does.
 * While nobody else holds the chunk it is used again from its start.
 *
 *    chunk   [ frame ][ frame ][ frame ][ half a fr......           ]
 *                                       ^begin     ^filled          ^capacity
 *
 * A frame that is larger than a chunk gets memory of its own as soon as its length word is known,
 * so that all but what came with the length word is read in place. The length is the word of a
 * peer: that memory starts at 1 MiB and doubles only as bytes arrive, and ends at the exact size.
 * After a large frame another one is expected, and only a few KiB are read until its length is
 * known.
 *
 * A frame that waits long therefore keeps up to a chunk of neighbours alive, those of quicker
 * readers too. A copy of every small frame would be no answer, since most are released as fast as
 * they come; so who lets frames pile up counts what they keep alive (rmq_frame_memory_bytes) and
 * copies them out (rmq_frame_detach) when that is much.
 *
 * Memory that is given back is used again (frame_memory.c). One thread feeds a splitter; frames may
 * be released by any. */
#include "frame.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "cursor.h"
#include "frame_memory.h"
#include "mem.h"

#define CHUNK_BYTES ((size_t)64 * 1024)
#define LARGE_FIRST_BYTES ((size_t)1024 * 1024)
/* Room that is worth a read while the next length is unknown. */
#define PEEK_BYTES ((size_t)4096)
#define PREFIX_BYTES 8

/* What a public frame is the first member of. */
typedef struct whole_frame {
    rmq_frame frame;
    atomic_uint refs;
    size_t size_bytes;
    rmq_frame_memory *memory;
} whole_frame;

struct rmq_splitter {
    rmq_frame_pool *pool;
    rmq_frame_memory *chunk; /* NULL before the first byte, and between frames */
    size_t begin;            /* of the first frame that isn't cut off yet */
    size_t filled;
    size_t max_frame_bytes;
    bool expect_large;
    bool failed;
    rmq_error failure;
};

static uint32_t read_u32(const uint8_t *at)
{
    rmq_cursor cursor = rmq_cursor_of(at, 4);
    return rmq_cursor_u32(&cursor);
}

/* Checks as much of the prefix as is there. `out_size` is the whole frame's size with its length
 * word, or 0 while that isn't known. */
static rmq_status measure(const uint8_t *at, size_t available, size_t max_bytes, size_t *out_size,
                          rmq_error *err)
{
    *out_size = 0;
    if (available < 4)
        return RMQ_OK;
    uint32_t total = read_u32(at);
    if (total < 4)
        return rmq_error_set(err, RMQ_PROTO, "frame length %u is less than 4", total);
    if (total > max_bytes || max_bytes - total < 4)
        return rmq_error_set(err, RMQ_PROTO, "frame of %llu bytes > max %zu",
                             (unsigned long long)total + 4, max_bytes);
    if (available >= 5 && at[4] > 1)
        return rmq_error_set(err, RMQ_PROTO, "unknown header serialization %u", at[4]);
    if (available >= PREFIX_BYTES) {
        uint32_t header_bytes = read_u32(at + 4) & 0xFFFFFF;
        if (header_bytes > total - 4)
            return rmq_error_set(err, RMQ_PROTO, "header of %u bytes in a frame of %u",
                                 header_bytes, total);
    }
    *out_size = (size_t)total + 4;
    return RMQ_OK;
}

/* A frame over `size` measured bytes of `memory`. It takes over the caller's reference. */
static rmq_frame *frame_new(rmq_frame_memory *take_memory, size_t begin, size_t size)
{
    whole_frame *whole = rmq_malloc(sizeof(*whole));
    if (whole == NULL)
        return NULL;
    const uint8_t *at = take_memory->data + begin;
    const char *header = (const char *)at + PREFIX_BYTES;
    size_t header_bytes = read_u32(at + 4) & 0xFFFFFF;
    whole->frame = (rmq_frame){
        .serialization = at[4],
        .header = {header, header_bytes},
        .body = {header + header_bytes, size - PREFIX_BYTES - header_bytes},
    };
    atomic_init(&whole->refs, 1);
    whole->size_bytes = size;
    whole->memory = take_memory;
    return &whole->frame;
}

static whole_frame *whole_of(rmq_frame *frame)
{
    return (whole_frame *)(void *)frame;
}

/* A frame over a copy of `len` bytes, which are one whole frame. */
static rmq_frame *copy_new(const void *bytes, size_t len)
{
    rmq_frame_memory *memory = rmq_frame_memory_new(NULL, len);
    if (memory == NULL)
        return NULL;
    memcpy(memory->data, bytes, len);
    rmq_frame *frame = frame_new(memory, 0, len);
    if (frame == NULL)
        rmq_frame_memory_unref(memory);
    return frame;
}

rmq_status rmq_frame_from_bytes(const void *bytes, size_t len, rmq_frame **out_frame,
                                rmq_error *err)
{
    size_t size;
    rmq_status status = measure(bytes, len, SIZE_MAX, &size, err);
    if (status != RMQ_OK)
        return status;
    if (size == 0 || size != len)
        return rmq_error_set(err, RMQ_PROTO, "%zu bytes are not one whole frame", len);
    rmq_frame *frame = copy_new(bytes, len);
    if (frame == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a frame of %zu bytes", len);
    *out_frame = frame;
    return RMQ_OK;
}

rmq_frame *rmq_frame_ref(rmq_frame *frame)
{
    atomic_fetch_add_explicit(&whole_of(frame)->refs, 1, memory_order_relaxed);
    return frame;
}

void rmq_frame_unref(rmq_frame *frame)
{
    if (frame == NULL)
        return;
    whole_frame *whole = whole_of(frame);
    if (atomic_fetch_sub_explicit(&whole->refs, 1, memory_order_acq_rel) != 1)
        return;
    rmq_frame_memory_unref(whole->memory);
    rmq_free(whole);
}

size_t rmq_frame_bytes(const rmq_frame *frame)
{
    return ((const whole_frame *)(const void *)frame)->size_bytes;
}

size_t rmq_frame_memory_bytes(const rmq_frame *frame)
{
    const whole_frame *whole = (const whole_frame *)(const void *)frame;
    return sizeof(*whole) + sizeof(rmq_frame_memory) + whole->memory->allocated;
}

rmq_frame *rmq_frame_detach(rmq_frame *frame)
{
    const whole_frame *whole = whole_of(frame);
    if (whole->memory->allocated / 2 <= whole->size_bytes)
        return rmq_frame_ref(frame);
    return copy_new(frame->header.data - PREFIX_BYTES, whole->size_bytes);
}

rmq_splitter *rmq_splitter_new(size_t max_frame_bytes)
{
    rmq_splitter *splitter = rmq_calloc(1, sizeof(*splitter));
    if (splitter == NULL)
        return NULL;
    splitter->pool = rmq_frame_pool_new();
    if (splitter->pool == NULL) {
        rmq_free(splitter);
        return NULL;
    }
    splitter->max_frame_bytes = max_frame_bytes > 0 ? max_frame_bytes : RMQ_FRAME_MAX_BYTES_DEFAULT;
    return splitter;
}

void rmq_splitter_free(rmq_splitter *splitter)
{
    if (splitter == NULL)
        return;
    rmq_frame_memory_unref(splitter->chunk);
    rmq_frame_pool_close(splitter->pool);
    rmq_free(splitter);
}

static rmq_status refuse(const rmq_splitter *splitter, rmq_error *err)
{
    if (err != NULL)
        *err = splitter->failure;
    return splitter->failure.status;
}

/* Moves what is pending into a chunk of `capacity` bytes of its own. */
static rmq_status move_to_chunk(rmq_splitter *splitter, size_t capacity, rmq_error *err)
{
    rmq_frame_memory *fresh = rmq_frame_memory_new(splitter->pool, capacity);
    if (fresh == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu bytes to read into", capacity);
    size_t pending = splitter->filled - splitter->begin;
    if (pending > 0 && splitter->chunk != NULL)
        memcpy(fresh->data, splitter->chunk->data + splitter->begin, pending);
    rmq_frame_memory_unref(splitter->chunk);
    splitter->chunk = fresh;
    splitter->begin = 0;
    splitter->filled = pending;
    return RMQ_OK;
}

static void move_to_front(rmq_splitter *splitter)
{
    size_t pending = splitter->filled - splitter->begin;
    if (pending > 0 && splitter->begin > 0)
        memmove(splitter->chunk->data, splitter->chunk->data + splitter->begin, pending);
    splitter->begin = 0;
    splitter->filled = pending;
}

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Room for a frame of `wanted` bytes that no chunk can hold: its own memory, doubled as it fills.
 */
static rmq_status make_large_room(rmq_splitter *splitter, size_t wanted, rmq_error *err)
{
    rmq_frame_memory *held = splitter->chunk;
    bool own = held != NULL && held->capacity > CHUNK_BYTES && splitter->begin == 0 &&
               rmq_frame_memory_is_ours_alone(held);
    if (!own) {
        size_t pending = splitter->filled - splitter->begin;
        size_t first = pending < LARGE_FIRST_BYTES ? LARGE_FIRST_BYTES : pending * 2;
        return move_to_chunk(splitter, smaller(wanted, first), err);
    }
    if (splitter->filled < held->capacity)
        return RMQ_OK;
    size_t capacity = smaller(wanted, held->capacity * 2);
    rmq_frame_memory *grown = rmq_frame_memory_grow(held, capacity);
    if (grown == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a frame of %zu bytes", wanted);
    splitter->chunk = grown;
    return RMQ_OK;
}

/* Sees to it that the pending frame, `wanted` bytes in all as far as known, has room to go on. */
static rmq_status make_room(rmq_splitter *splitter, size_t wanted, rmq_error *err)
{
    rmq_frame_memory *held = splitter->chunk;
    if (held == NULL)
        return wanted > CHUNK_BYTES ? make_large_room(splitter, wanted, err)
                                    : move_to_chunk(splitter, CHUNK_BYTES, err);
    if (splitter->begin == splitter->filled && rmq_frame_memory_is_ours_alone(held))
        move_to_front(splitter);
    if (wanted <= held->capacity - splitter->begin)
        return RMQ_OK;
    if (wanted > CHUNK_BYTES)
        return make_large_room(splitter, wanted, err);
    if (held->capacity >= wanted && rmq_frame_memory_is_ours_alone(held)) {
        move_to_front(splitter);
        return RMQ_OK;
    }
    return move_to_chunk(splitter, CHUNK_BYTES, err);
}

rmq_status rmq_splitter_space(rmq_splitter *splitter, uint8_t **out_data, size_t *out_capacity,
                              rmq_error *err)
{
    if (splitter->failed)
        return refuse(splitter, err);
    size_t pending = splitter->filled - splitter->begin;
    size_t size = 0;
    /* An error here is told by rmq_splitter_next; there is room for more bytes nevertheless. */
    if (pending > 0 && measure(splitter->chunk->data + splitter->begin, pending,
                               splitter->max_frame_bytes, &size, NULL) != RMQ_OK)
        size = 0;
    bool size_known = size > pending;
    rmq_status status = make_room(splitter, size_known ? size : pending + PEEK_BYTES, err);
    if (status != RMQ_OK)
        return status;
    size_t room = splitter->chunk->capacity - splitter->filled;
    if (!size_known && splitter->expect_large)
        room = smaller(room, PEEK_BYTES);
    assert(room > 0);
    *out_data = splitter->chunk->data + splitter->filled;
    *out_capacity = room;
    return RMQ_OK;
}

void rmq_splitter_filled(rmq_splitter *splitter, size_t len)
{
    if (len == 0)
        return;
    assert(splitter->chunk != NULL && len <= splitter->chunk->capacity - splitter->filled);
    splitter->filled += len;
}

rmq_status rmq_splitter_next(rmq_splitter *splitter, rmq_frame **out_frame, rmq_error *err)
{
    if (splitter->failed)
        return refuse(splitter, err);
    size_t pending = splitter->filled - splitter->begin;
    if (pending == 0)
        return RMQ_AGAIN;
    rmq_frame_memory *held = splitter->chunk;
    size_t size;
    rmq_status status = measure(held->data + splitter->begin, pending, splitter->max_frame_bytes,
                                &size, &splitter->failure);
    if (status != RMQ_OK) {
        splitter->failed = true;
        return refuse(splitter, err);
    }
    if (size == 0 || pending < size)
        return RMQ_AGAIN;
    rmq_frame *frame = frame_new(held, splitter->begin, size);
    if (frame == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a frame");
    splitter->begin += size;
    splitter->expect_large = size > CHUNK_BYTES;
    if (splitter->begin == held->capacity) {
        /* Full and cut up: the last frame takes over our reference. */
        splitter->chunk = NULL;
        splitter->begin = splitter->filled = 0;
    } else {
        rmq_frame_memory_ref(held);
    }
    *out_frame = frame;
    return RMQ_OK;
}
