/* Stored-message records: the format of pull bodies, and its inner batch encoding.
 * Source: MessageDecoder 5.4.0; protocol facts 5. */
#ifndef RMQ_RECORD_H
#define RMQ_RECORD_H

#include <rmq/message.h>

#include "buf.h"
#include "frame.h"

#define RMQ_RECORD_MAGIC_V1 0xDAA320A7u
#define RMQ_RECORD_MAGIC_V2 0xDAA320ABu
#define RMQ_PROPERTIES_MAX_BYTES 32767
#define RMQ_MESSAGE_MAX_BYTES (4u * 1024 * 1024)

/* How a pull body becomes a batch. */
typedef struct rmq_decode_options {
    int64_t start_offset;   /* messages below it are dropped (middle of an inner batch) */
    int64_t end_offset;     /* messages at or above it are dropped; INT64_MAX for none */
    int64_t offset_delta;   /* added to each queue offset (static topics) */
    size_t max_body_bytes;  /* cap of one decompressed body; 0 = 64 MiB */
    size_t max_batch_bytes; /* cap of all decompressed bodies; 0 = 256 MiB */
    size_t max_records;     /* more records than that are PROTO; 0 = no limit */
    rmq_slice broker_name;  /* copied into the batch */
    rmq_slice topic; /* if not empty: what the reader asked for; records of another topic are PROTO.
                        (retry topics are shown as they stand) */
    int32_t queue_id; /* checked only if topic is given */
} rmq_decode_options;

/* Decodes all records of `body` (inner batches are unwrapped, bodies checked and decompressed).
 * `frame` (may be NULL if `body` outlives the batch) is referenced by the batch. A record whose
 * body fails its check is kept, with body_status set: only a broken record structure fails the
 * call. With a topic given, records of another topic or queue and offsets that do not rise are
 * PROTO, too. Errors: PROTO (with the place of the broken record), NOMEM, FULL (all bodies together
 * pass max_batch_bytes: decode a smaller range; a body that passes it alone gets body_status FULL).
 */
RMQ_MUST_CHECK rmq_status rmq_batch_decode(rmq_slice body, rmq_frame *frame,
                                           const rmq_decode_options *options, rmq_batch **out_batch,
                                           rmq_error *err);

/* Appends one record with the message's fields, exactly as a broker stores it (body as given:
 * compressed if sys_flag says so). Body CRC is computed. v2 is used for topics longer than 127
 * bytes. `out` fails with FULL if a length does not fit its field. */
void rmq_record_encode(const rmq_message *message, rmq_buf *out);

/* Appends one member of the inner batch encoding (request body of a batch send): facts 5.6. */
void rmq_batch_member_encode(int32_t flag, rmq_slice body, rmq_slice properties, rmq_buf *out);
/* Walks a batch body: set *position to 0; RMQ_NOT_FOUND at the end; PROTO if lengths lie. */
RMQ_MUST_CHECK rmq_status rmq_batch_member_next(rmq_slice body, size_t *position, int32_t *out_flag,
                                                rmq_slice *out_body, rmq_slice *out_properties,
                                                rmq_error *err);

/* CRC-32 (zlib polynomial) & 0x7fffffff. libdeflate where it is built in, else zlib. */
uint32_t rmq_body_crc(rmq_slice body);

/* What the compressions keep from one body to the next, since making it takes longer than a small
 * body does. Starts zeroed. Thread: one at a time. */
typedef struct rmq_codec {
    void *inflater;
    void *deflater;
    void *lz4_decoder;
    void *zstd_decoder;
    void *zstd_encoder;
} rmq_codec;
void rmq_codec_deinit(rmq_codec *codec);

/* compress.c: the three body compressions behind one pair of functions. `codec` may be NULL: then
 * everything is made for this body. */
RMQ_MUST_CHECK rmq_status rmq_body_compress(rmq_codec *codec, rmq_compression compression,
                                            rmq_slice body, rmq_buf *out, rmq_error *err);
/* `sys_flag` tells the compression. The output is capped by max_bytes (FULL). CORRUPT: not
 * decompressible. UNSUPPORTED: not built in. */
RMQ_MUST_CHECK rmq_status rmq_body_decompress(rmq_codec *codec, int32_t sys_flag, rmq_slice body,
                                              size_t max_bytes, rmq_buf *out, rmq_error *err);
/* The sys_flag bits (COMPRESSED and the type) of a compression. */
int32_t rmq_compression_sys_flag(rmq_compression compression);
bool rmq_compression_available(rmq_compression compression);

#endif
