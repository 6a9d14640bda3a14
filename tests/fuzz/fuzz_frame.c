/* The splitter: fed in steps it must cut the same frames, and fail at the same place, as a plain
 * walk over the whole stream says.
 *
 * Input: byte 0 steers the size of the steps, byte 1 how often the rest is repeated to make the
 * stream (so that a few bytes can fill a large frame), byte 2 which frames are kept while later
 * ones are read.
 * Lines covered after replay of the corpus: frame.c 95 % (what is left is memory running out). */
#include <stdbool.h>
#include <string.h>

#include "../../proto/frame.h"
#include "fuzz.h"

#define MAX_FRAME_BYTES ((size_t)1 << 20)
#define MAX_STREAM_BYTES ((size_t)3 << 19)
#define MAX_KEPT 64

typedef struct stream {
    uint8_t *bytes;
    size_t len;
    size_t cut; /* up to here frames have come out */
} stream;

static stream make_stream(const uint8_t *data, size_t size, size_t repeats)
{
    stream made = {0};
    if (size == 0)
        return made;
    if (repeats > MAX_STREAM_BYTES / size)
        repeats = MAX_STREAM_BYTES / size;
    made.len = size * repeats;
    made.bytes = malloc(made.len > 0 ? made.len : 1);
    FUZZ_CHECK(made.bytes != NULL);
    for (size_t i = 0; i < repeats; i++)
        memcpy(made.bytes + i * size, data, size);
    return made;
}

static size_t size_at(const stream *from, size_t at)
{
    const uint8_t *bytes = from->bytes + at;
    return ((size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3]) + 4;
}

/* What the walk says about the next frame when `fed` bytes of the stream are in. */
static rmq_status expected_status(const stream *from, size_t fed)
{
    const uint8_t *bytes = from->bytes + from->cut;
    size_t left = fed - from->cut;
    if (left < 4)
        return RMQ_AGAIN;
    size_t size = size_at(from, from->cut);
    if (size < 8 || size > MAX_FRAME_BYTES || (left >= 5 && bytes[4] > 1))
        return RMQ_PROTO;
    if (left >= 8) {
        size_t header = (size_t)bytes[5] << 16 | (size_t)bytes[6] << 8 | bytes[7];
        if (header > size - 8)
            return RMQ_PROTO;
    }
    return left < size ? RMQ_AGAIN : RMQ_OK;
}

static void check_frame(const stream *from, const rmq_frame *frame, size_t at)
{
    const uint8_t *bytes = from->bytes + at;
    FUZZ_CHECK(rmq_frame_bytes(frame) == size_at(from, at));
    FUZZ_CHECK(frame->serialization == bytes[4]);
    FUZZ_CHECK(frame->header.len + frame->body.len + 8 == rmq_frame_bytes(frame));
    FUZZ_CHECK(memcmp(frame->header.data, bytes + 8, frame->header.len) == 0);
    FUZZ_CHECK(memcmp(frame->body.data, bytes + 8 + frame->header.len, frame->body.len) == 0);
}

typedef struct kept_frames {
    rmq_frame *frames[MAX_KEPT];
    size_t at[MAX_KEPT];
    size_t count;
    uint8_t pattern;
} kept_frames;

/* Takes out what is whole; false once the stream is refused. */
static bool cut_frames(rmq_splitter *splitter, stream *from, size_t fed, kept_frames *kept)
{
    for (size_t i = 0;; i++) {
        rmq_frame *frame = NULL;
        rmq_status status = rmq_splitter_next(splitter, &frame, NULL);
        FUZZ_CHECK(status == expected_status(from, fed));
        if (status == RMQ_PROTO)
            FUZZ_CHECK(rmq_splitter_next(splitter, &frame, NULL) == RMQ_PROTO);
        if (status != RMQ_OK)
            return status == RMQ_AGAIN;
        check_frame(from, frame, from->cut);
        if ((kept->pattern >> (i % 8) & 1) != 0 && kept->count < MAX_KEPT) {
            kept->at[kept->count] = from->cut;
            kept->frames[kept->count++] = rmq_frame_ref(frame);
        }
        rmq_frame_unref(frame);
        from->cut += size_at(from, from->cut);
    }
}

static void feed_all(rmq_splitter *splitter, stream *from, uint8_t step_seed, kept_frames *kept)
{
    size_t fed = 0;
    for (size_t i = 0; fed < from->len; i++) {
        uint8_t *room;
        size_t capacity;
        if (rmq_splitter_space(splitter, &room, &capacity, NULL) != RMQ_OK)
            return;
        FUZZ_CHECK(capacity > 0);
        /* Steps that double and start again: from the seed's low bits up to all there is. */
        size_t step = ((size_t)(step_seed & 15) + 1) << (i * (step_seed >> 4) % 20);
        size_t n = from->len - fed;
        n = n < step ? n : step;
        n = n < capacity ? n : capacity;
        memcpy(room, from->bytes + fed, n);
        rmq_splitter_filled(splitter, n);
        fed += n;
        if (!cut_frames(splitter, from, fed, kept))
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    stream from = make_stream(data + 3, size - 3, data[1]);
    kept_frames kept = {.pattern = data[2]};
    rmq_splitter *splitter = rmq_splitter_new(MAX_FRAME_BYTES);
    FUZZ_CHECK(splitter != NULL);
    feed_all(splitter, &from, data[0], &kept);
    rmq_splitter_free(splitter);
    for (size_t i = 0; i < kept.count; i++) {
        check_frame(&from, kept.frames[i], kept.at[i]);
        rmq_frame_unref(kept.frames[i]);
    }
    /* The same bytes as one frame. */
    rmq_frame *whole;
    if (rmq_frame_from_bytes(data + 3, size - 3, &whole, NULL) == RMQ_OK) {
        FUZZ_CHECK(rmq_frame_bytes(whole) == size - 3);
        rmq_frame_unref(whole);
    }
    free(from.bytes);
    return 0;
}
