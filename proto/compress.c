/* Compression of message bodies: zlib, LZ4 (frame format) and zstd, chosen by sysFlag.
 *
 * All three decoders are run the same way: a "sink" hands out room at the end of the output buffer,
 * first a guess from the input's size and then doubling, the decoder fills some of it, and what it
 * did not fill is taken back. Nobody believes a size that the stream claims.
 *
 * A body is a stranger's, so two caps hold against bombs: the caller's size, and a ratio. Producers
 * refuse messages over 4 MiB before they compress, so output up to that is always fine (4 MiB of
 * zeros is a few hundred bytes of zstd); beyond it a body may grow by what zlib can reach at most,
 * about 1030 times. At the cap the decoder gets one spare byte: if it wants it, the body is too
 * large; if not, it fitted exactly.
 *
 * Contexts are kept in a codec and reset before each body: making one takes 8 us for zstd, where 1
 * KiB is decompressed in 0.3 us. A codec lives as long as a pull is decoded, or a producer lives.
 *
 * What follows the end of a zlib stream is damage. LZ4 and zstd allow several frames in a row, and
 * Java's readers go on through them, so these do, too. Source: Compressor and its three classes
 * 5.4.0; protocol facts 5.2; golden pull_body_java_client_mix. */
#include "record.h"

#include <string.h>
#include <zlib.h>

#ifdef RMQ_HAVE_LZ4
#include <lz4frame.h>
#endif
#ifdef RMQ_HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif

#define ZLIB_LEVEL 5 /* the Java producer's default */
#define ZSTD_LEVEL 3
#define ZSTD_WINDOW_LOG_MAX 26 /* 64 MiB: what a decoder may hold while it works */
#define RATIO_MAX 1100
#define CHUNK_MIN 512u
#define CHUNK_MAX (256u * 1024 * 1024)

typedef struct sink {
    rmq_buf *out;
    size_t left;  /* bytes that may still come */
    size_t chunk; /* room to hand out next */
    uint8_t spare;
} sink;

static sink sink_of(rmq_buf *out, size_t input_bytes, size_t max_bytes)
{
    size_t by_ratio = input_bytes > SIZE_MAX / RATIO_MAX ? SIZE_MAX : input_bytes * RATIO_MAX;
    if (by_ratio < RMQ_MESSAGE_MAX_BYTES)
        by_ratio = RMQ_MESSAGE_MAX_BYTES;
    size_t chunk = input_bytes > CHUNK_MAX / 4 ? CHUNK_MAX : input_bytes * 4;
    return (sink){.out = out,
                  .left = max_bytes < by_ratio ? max_bytes : by_ratio,
                  .chunk = chunk < CHUNK_MIN ? CHUNK_MIN : chunk};
}

/* Room to write to; NULL if there is no memory (or the buffer's own cap is reached). */
static uint8_t *sink_room(sink *to, size_t *out_room)
{
    if (to->left == 0) {
        *out_room = 1;
        return &to->spare;
    }
    size_t room = to->chunk < to->left ? to->chunk : to->left;
    uint8_t *data = rmq_buf_extend(to->out, room);
    if (data != NULL)
        *out_room = room;
    return data;
}

/* `used` of the `room` given are filled. False if that was the spare byte: over the cap. */
static bool sink_filled(sink *to, size_t room, size_t used)
{
    if (to->left == 0)
        return used == 0;
    to->out->len -= room - used;
    to->left -= used;
    if (used == room && to->chunk < CHUNK_MAX)
        to->chunk *= 2;
    return true;
}

static rmq_status damaged(rmq_error *err, const char *kind, size_t len, const char *what)
{
    return rmq_error_set(err, RMQ_CORRUPT, "%s body of %zu bytes does not decompress: %s", kind,
                         len, what);
}

static rmq_status too_large(rmq_error *err, const char *kind, size_t len)
{
    return rmq_error_set(err, RMQ_FULL, "%s body of %zu bytes decompresses to more than the cap",
                         kind, len);
}

static rmq_status no_memory(rmq_error *err, const char *kind)
{
    return rmq_error_set(err, RMQ_NOMEM, "%s body: memory ran out", kind);
}

/* Why sink_room gave none. */
static rmq_status no_room(const sink *to, rmq_error *err, const char *kind)
{
    return to->out->failed == RMQ_FULL
               ? rmq_error_set(err, RMQ_FULL, "%s body: the output buffer is full", kind)
               : no_memory(err, kind);
}

/* ---- zlib ---- */

static voidpf zlib_malloc(voidpf ctx, uInt count, uInt size_bytes)
{
    (void)ctx;
    return rmq_malloc((size_t)count * size_bytes);
}

static void zlib_free(voidpf ctx, voidpf memory)
{
    (void)ctx;
    rmq_free(memory);
}

static rmq_status zlib_inflate(z_stream *stream, sink *to, size_t len, rmq_error *err)
{
    for (;;) {
        size_t room;
        uint8_t *data = sink_room(to, &room);
        if (data == NULL)
            return no_room(to, err, "zlib");
        stream->next_out = data;
        stream->avail_out = (uInt)room;
        int result = inflate(stream, Z_NO_FLUSH);
        size_t used = room - stream->avail_out;
        if (!sink_filled(to, room, used))
            return too_large(err, "zlib", len);
        if (result == Z_STREAM_END)
            return stream->avail_in == 0 ? RMQ_OK
                                         : damaged(err, "zlib", len, "bytes follow its end");
        if (result == Z_MEM_ERROR)
            return no_memory(err, "zlib");
        if (result != Z_OK && result != Z_BUF_ERROR)
            return damaged(err, "zlib", len, stream->msg != NULL ? stream->msg : "not zlib");
        if (used < room)
            return damaged(err, "zlib", len, "it is cut short");
    }
}

static z_stream *zlib_stream_new(void)
{
    z_stream *stream = rmq_calloc(1, sizeof(*stream));
    if (stream != NULL) {
        stream->zalloc = zlib_malloc;
        stream->zfree = zlib_free;
    }
    return stream;
}

/* The codec's stream, ready for a body; NULL: no memory. */
static z_stream *ready_inflater(rmq_codec *codec)
{
    z_stream *stream = codec->inflater;
    if (stream != NULL)
        return inflateReset(stream) == Z_OK ? stream : NULL;
    stream = zlib_stream_new();
    if (stream != NULL && inflateInit(stream) != Z_OK) {
        rmq_free(stream);
        stream = NULL;
    }
    codec->inflater = stream;
    return stream;
}

static z_stream *ready_deflater(rmq_codec *codec)
{
    z_stream *stream = codec->deflater;
    if (stream != NULL)
        return deflateReset(stream) == Z_OK ? stream : NULL;
    stream = zlib_stream_new();
    if (stream != NULL && deflateInit(stream, ZLIB_LEVEL) != Z_OK) {
        rmq_free(stream);
        stream = NULL;
    }
    codec->deflater = stream;
    return stream;
}

static void zlib_deinit(rmq_codec *codec)
{
    if (codec->inflater != NULL)
        inflateEnd(codec->inflater);
    if (codec->deflater != NULL)
        deflateEnd(codec->deflater);
    rmq_free(codec->inflater);
    rmq_free(codec->deflater);
}

static rmq_status zlib_decompress(rmq_codec *codec, rmq_slice body, sink *to, rmq_error *err)
{
    z_stream *stream = ready_inflater(codec);
    if (stream == NULL)
        return no_memory(err, "zlib");
    stream->next_in = (z_const Bytef *)body.data;
    stream->avail_in = (uInt)body.len;
    return zlib_inflate(stream, to, body.len, err);
}

static rmq_status zlib_compress(rmq_codec *codec, rmq_slice body, rmq_buf *out, rmq_error *err)
{
    z_stream *stream = ready_deflater(codec);
    if (stream == NULL)
        return no_memory(err, "zlib");
    size_t bound = deflateBound(stream, (uLong)body.len);
    uint8_t *data = rmq_buf_extend(out, bound);
    if (data == NULL)
        return rmq_error_set(err, out->failed, "zlib body: no room for it");
    stream->next_in = (z_const Bytef *)body.data;
    stream->avail_in = (uInt)body.len;
    stream->next_out = data;
    stream->avail_out = (uInt)bound;
    bool whole = deflate(stream, Z_FINISH) == Z_STREAM_END;
    out->len -= whole ? stream->avail_out : bound;
    return whole ? RMQ_OK : no_memory(err, "zlib");
}

/* ---- LZ4 ---- */

#ifdef RMQ_HAVE_LZ4
/* LZ4 makes its buffers at the first block, whose size the frame's header tells. Its error codes
 * have names, but no public numbers. */
static rmq_status lz4_failure(size_t result, size_t len, rmq_error *err)
{
    const char *name = LZ4F_getErrorName(result);
    if (strcmp(name, "ERROR_allocation_failed") == 0)
        return no_memory(err, "LZ4");
    return damaged(err, "LZ4", len, name);
}

static rmq_status lz4_decode(LZ4F_dctx *context, rmq_slice body, sink *to, rmq_error *err)
{
    const char *at = body.data;
    size_t left = body.len;
    for (;;) {
        size_t room;
        uint8_t *data = sink_room(to, &room);
        if (data == NULL)
            return no_room(to, err, "LZ4");
        size_t used = room;
        size_t eaten = left;
        size_t wanted = LZ4F_decompress(context, data, &used, at, &eaten, NULL);
        if (LZ4F_isError(wanted)) {
            (void)sink_filled(to, room, 0);
            return lz4_failure(wanted, body.len, err);
        }
        if (!sink_filled(to, room, used))
            return too_large(err, "LZ4", body.len);
        at += eaten;
        left -= eaten;
        if (wanted == 0 && left == 0)
            return RMQ_OK;
        if (eaten == 0 && used == 0)
            return damaged(err, "LZ4", body.len, "it is cut short");
    }
}

static rmq_status lz4_decompress(rmq_codec *codec, rmq_slice body, sink *to, rmq_error *err)
{
    LZ4F_dctx *context = codec->lz4_decoder;
    if (context != NULL)
        LZ4F_resetDecompressionContext(context);
    else if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return no_memory(err, "LZ4");
    codec->lz4_decoder = context;
    return lz4_decode(context, body, to, err);
}

static rmq_status lz4_compress(rmq_slice body, rmq_buf *out, rmq_error *err)
{
    size_t bound = LZ4F_compressFrameBound(body.len, NULL);
    uint8_t *data = rmq_buf_extend(out, bound);
    if (data == NULL)
        return rmq_error_set(err, out->failed, "LZ4 body: no room for it");
    size_t used = LZ4F_compressFrame(data, bound, body.data, body.len, NULL);
    out->len -= LZ4F_isError(used) ? bound : bound - used;
    return LZ4F_isError(used) ? no_memory(err, "LZ4") : RMQ_OK;
}
#endif

/* ---- zstd ---- */

#ifdef RMQ_HAVE_ZSTD
static rmq_status zstd_failure(size_t code, size_t len, rmq_error *err)
{
    switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_memory_allocation:
        return no_memory(err, "zstd");
    case ZSTD_error_frameParameter_windowTooLarge:
        return rmq_error_set(err, RMQ_FULL, "zstd body of %zu bytes wants a window over %d MiB",
                             len, 1 << (ZSTD_WINDOW_LOG_MAX - 20));
    default:
        return damaged(err, "zstd", len, ZSTD_getErrorName(code));
    }
}

static rmq_status zstd_decode(ZSTD_DCtx *context, rmq_slice body, sink *to, rmq_error *err)
{
    ZSTD_inBuffer in = {body.data, body.len, 0};
    for (;;) {
        size_t room;
        uint8_t *data = sink_room(to, &room);
        if (data == NULL)
            return no_room(to, err, "zstd");
        ZSTD_outBuffer out = {data, room, 0};
        size_t before = in.pos;
        size_t wanted = ZSTD_decompressStream(context, &out, &in);
        if (ZSTD_isError(wanted)) {
            (void)sink_filled(to, room, 0);
            return zstd_failure(wanted, body.len, err);
        }
        if (!sink_filled(to, room, out.pos))
            return too_large(err, "zstd", body.len);
        if (wanted == 0 && in.pos == in.size)
            return RMQ_OK;
        if (in.pos == before && out.pos == 0)
            return damaged(err, "zstd", body.len, "it is cut short");
    }
}

static rmq_status zstd_decompress(rmq_codec *codec, rmq_slice body, sink *to, rmq_error *err)
{
    ZSTD_DCtx *context = codec->zstd_decoder;
    if (context == NULL)
        context = codec->zstd_decoder = ZSTD_createDCtx();
    if (context == NULL)
        return no_memory(err, "zstd");
    ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
    size_t set = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    return ZSTD_isError(set) ? zstd_failure(set, body.len, err)
                             : zstd_decode(context, body, to, err);
}

static rmq_status zstd_compress(rmq_codec *codec, rmq_slice body, rmq_buf *out, rmq_error *err)
{
    if (codec->zstd_encoder == NULL)
        codec->zstd_encoder = ZSTD_createCCtx();
    if (codec->zstd_encoder == NULL)
        return no_memory(err, "zstd");
    size_t bound = ZSTD_compressBound(body.len);
    uint8_t *data = rmq_buf_extend(out, bound);
    if (data == NULL)
        return rmq_error_set(err, out->failed, "zstd body: no room for it");
    size_t used =
        ZSTD_compressCCtx(codec->zstd_encoder, data, bound, body.data, body.len, ZSTD_LEVEL);
    out->len -= ZSTD_isError(used) ? bound : bound - used;
    return ZSTD_isError(used) ? no_memory(err, "zstd") : RMQ_OK;
}
#endif

/* ---- by sysFlag ---- */

void rmq_codec_deinit(rmq_codec *codec)
{
    zlib_deinit(codec);
#ifdef RMQ_HAVE_LZ4
    LZ4F_freeDecompressionContext(codec->lz4_decoder);
#endif
#ifdef RMQ_HAVE_ZSTD
    ZSTD_freeDCtx(codec->zstd_decoder);
    ZSTD_freeCCtx(codec->zstd_encoder);
#endif
    *codec = (rmq_codec){.inflater = NULL};
}

bool rmq_compression_available(rmq_compression compression)
{
    switch (compression) {
    case RMQ_COMPRESSION_NONE:
    case RMQ_COMPRESSION_ZLIB:
#ifdef RMQ_HAVE_LZ4
    case RMQ_COMPRESSION_LZ4:
#endif
#ifdef RMQ_HAVE_ZSTD
    case RMQ_COMPRESSION_ZSTD:
#endif
        return true;
    default:
        return false;
    }
}

int32_t rmq_compression_sys_flag(rmq_compression compression)
{
    switch (compression) {
    case RMQ_COMPRESSION_ZLIB:
        return RMQ_SYSFLAG_COMPRESSED | RMQ_SYSFLAG_COMPRESSION_ZLIB;
    case RMQ_COMPRESSION_LZ4:
        return RMQ_SYSFLAG_COMPRESSED | RMQ_SYSFLAG_COMPRESSION_LZ4;
    case RMQ_COMPRESSION_ZSTD:
        return RMQ_SYSFLAG_COMPRESSED | RMQ_SYSFLAG_COMPRESSION_ZSTD;
    case RMQ_COMPRESSION_NONE:
        break;
    }
    return 0;
}

static rmq_status compress_with(rmq_codec *codec, rmq_compression compression, rmq_slice body,
                                rmq_buf *out, rmq_error *err)
{
    switch (compression) {
    case RMQ_COMPRESSION_NONE:
        rmq_buf_append_slice(out, body);
        return out->failed == RMQ_OK ? RMQ_OK
                                     : rmq_error_set(err, out->failed, "body: no room for it");
    case RMQ_COMPRESSION_ZLIB:
        return zlib_compress(codec, body, out, err);
    case RMQ_COMPRESSION_LZ4:
#ifdef RMQ_HAVE_LZ4
        return lz4_compress(body, out, err);
#else
        break;
#endif
    case RMQ_COMPRESSION_ZSTD:
#ifdef RMQ_HAVE_ZSTD
        return zstd_compress(codec, body, out, err);
#else
        break;
#endif
    }
    return rmq_error_set(err, RMQ_UNSUPPORTED, "compression %d is not built in", (int)compression);
}

rmq_status rmq_body_compress(rmq_codec *codec, rmq_compression compression, rmq_slice body,
                             rmq_buf *out, rmq_error *err)
{
    rmq_codec own = {.inflater = NULL};
    if (body.len > INT32_MAX)
        return rmq_error_set(err, RMQ_INVAL, "body of %zu bytes is too large", body.len);
    rmq_status status = compress_with(codec != NULL ? codec : &own, compression, body, out, err);
    rmq_codec_deinit(&own);
    return status;
}

/* The decoder for a type, run on `to`. */
static rmq_status decompress_with(rmq_codec *codec, int32_t kind, rmq_slice body, sink *to,
                                  rmq_error *err)
{
    switch (kind) {
    case 0: /* before 4.9.4 there was zlib only */
    case RMQ_SYSFLAG_COMPRESSION_ZLIB:
        return zlib_decompress(codec, body, to, err);
#ifdef RMQ_HAVE_LZ4
    case RMQ_SYSFLAG_COMPRESSION_LZ4:
        return lz4_decompress(codec, body, to, err);
#endif
#ifdef RMQ_HAVE_ZSTD
    case RMQ_SYSFLAG_COMPRESSION_ZSTD:
        return zstd_decompress(codec, body, to, err);
#endif
    default:
        return rmq_error_set(err, RMQ_UNSUPPORTED, "compression type %d is not %s",
                             (int)(kind >> 8),
                             kind <= RMQ_SYSFLAG_COMPRESSION_ZLIB ? "built in" : "known");
    }
}

rmq_status rmq_body_decompress(rmq_codec *codec, int32_t sys_flag, rmq_slice body, size_t max_bytes,
                               rmq_buf *out, rmq_error *err)
{
    rmq_codec own = {.inflater = NULL};
    if (body.len > INT32_MAX)
        return rmq_error_set(err, RMQ_FULL, "compressed body of %zu bytes is too large", body.len);
    if (body.len == 0)
        return rmq_error_set(err, RMQ_CORRUPT, "compressed body is empty");
    size_t len_before = out->len;
    sink to = sink_of(out, body.len, max_bytes);
    rmq_status status = decompress_with(codec != NULL ? codec : &own,
                                        sys_flag & RMQ_SYSFLAG_COMPRESSION_MASK, body, &to, err);
    rmq_codec_deinit(&own);
    if (status != RMQ_OK)
        out->len = len_before;
    return status;
}
