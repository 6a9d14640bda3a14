/* Compressed bodies. The first byte chooses the type, the rest is the body: it is decompressed
 * under a small cap, and compressed and decompressed as it is.
 *
 * Line coverage by the corpus alone: compress.c 85 %; the rest is for want of memory. */
#include <string.h>

#include "../../proto/record.h"

#include "fuzz.h"

#define MAX_BYTES ((size_t)1 << 16)

static void round_trip(rmq_compression kind, rmq_slice body)
{
    rmq_buf packed;
    rmq_buf plain;
    rmq_buf_init(&packed, SIZE_MAX / 2);
    rmq_buf_init(&plain, SIZE_MAX / 2);
    FUZZ_CHECK(rmq_body_compress(NULL, kind, body, &packed, NULL) == RMQ_OK);
    FUZZ_CHECK(rmq_body_decompress(NULL, rmq_compression_sys_flag(kind),
                                   (rmq_slice){(char *)packed.data, packed.len}, body.len, &plain,
                                   NULL) == RMQ_OK);
    FUZZ_CHECK(plain.len == body.len &&
               (body.len == 0 || memcmp(plain.data, body.data, body.len) == 0));
    rmq_buf_deinit(&packed);
    rmq_buf_deinit(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rmq_slice body = {(const char *)data + 1, size - 1};
    int32_t type = data[0] & 7;
    rmq_buf out;
    rmq_error err;
    rmq_buf_init(&out, SIZE_MAX / 2);
    rmq_status status =
        rmq_body_decompress(NULL, RMQ_SYSFLAG_COMPRESSED | type << 8, body, MAX_BYTES, &out, &err);
    FUZZ_CHECK(status == RMQ_OK || status == RMQ_CORRUPT || status == RMQ_FULL ||
               status == RMQ_UNSUPPORTED);
    FUZZ_CHECK(out.len <= MAX_BYTES && (status == RMQ_OK || out.len == 0));
    rmq_buf_deinit(&out);
    rmq_compression kind = type == 1   ? RMQ_COMPRESSION_LZ4
                           : type == 2 ? RMQ_COMPRESSION_ZSTD
                                       : RMQ_COMPRESSION_ZLIB;
    if (rmq_compression_available(kind))
        round_trip(kind, body);
    return 0;
}
