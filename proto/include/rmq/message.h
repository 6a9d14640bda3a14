/* Messages: read-only views of received ones, and the description of one to be sent. */
#ifndef RMQ_MESSAGE_H
#define RMQ_MESSAGE_H

#include <rmq/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bits of rmq_message.sys_flag. Source: MessageSysFlag 5.4.0; protocol facts 5.2. */
#define RMQ_SYSFLAG_COMPRESSED 0x1
#define RMQ_SYSFLAG_MULTI_TAGS 0x2
#define RMQ_SYSFLAG_TRANSACTION_MASK 0xC
#define RMQ_SYSFLAG_TRANSACTION_PREPARED 0x4
#define RMQ_SYSFLAG_TRANSACTION_COMMIT 0x8
#define RMQ_SYSFLAG_TRANSACTION_ROLLBACK 0xC
#define RMQ_SYSFLAG_BORNHOST_V6 0x10
#define RMQ_SYSFLAG_STOREHOST_V6 0x20
#define RMQ_SYSFLAG_NEED_UNWRAP 0x40
#define RMQ_SYSFLAG_INNER_BATCH 0x80
#define RMQ_SYSFLAG_COMPRESSION_MASK 0x700
#define RMQ_SYSFLAG_COMPRESSION_LZ4 0x100
#define RMQ_SYSFLAG_COMPRESSION_ZSTD 0x200
#define RMQ_SYSFLAG_COMPRESSION_ZLIB 0x300

/* A host as it stands in a record: 4 or 16 address bytes in network order, and a port. */
typedef struct rmq_host {
    uint8_t address[16];
    uint8_t address_bytes; /* 4 or 16 */
    int32_t port;
} rmq_host;

/* One received message. All slices point into its batch (or its frame) and live as long as that. */
typedef struct rmq_message {
    rmq_slice topic;
    rmq_slice broker_name; /* of the broker it was read from; empty where unknown */
    int32_t queue_id;
    int64_t queue_offset;
    int64_t physical_offset; /* in the broker's commit log */
    int32_t flag;            /* free for the application */
    int32_t sys_flag; /* the compression bit is cleared once the body is decompressed, those of
                         inner batches once it is unwrapped */
    int64_t born_timestamp_ms;
    int64_t store_timestamp_ms;
    rmq_host born_host;
    rmq_host store_host;
    int32_t reconsume_times;
    int64_t prepared_transaction_offset;
    rmq_slice body; /* decompressed; the stored bytes if body_status is not RMQ_OK */
    rmq_status
        body_status;      /* RMQ_OK; RMQ_CORRUPT: checksum or compression is wrong; RMQ_UNSUPPORTED:
                             a compression that is not built in; RMQ_FULL: larger than the cap */
    rmq_slice properties; /* raw block, see rmq_message_property */
} rmq_message;

/* Finds property `name`; false (and `out_value` untouched) if there is none. The value is borrowed
 * from the message. Thread: any. Source: MessageDecoder.string2messageProperties; protocol
 * facts 5.3. */
RMQ_API bool rmq_message_property(const rmq_message *message, const char *name,
                                  rmq_slice *out_value);

/* Walks all properties: set *position to 0, call until false. Thread: any. */
RMQ_API bool rmq_message_next_property(const rmq_message *message, size_t *position,
                                       rmq_slice *out_name, rmq_slice *out_value);

/* TAGS, KEYS and UNIQ_KEY, empty if absent. */
RMQ_API rmq_slice rmq_message_tags(const rmq_message *message);
RMQ_API rmq_slice rmq_message_keys(const rmq_message *message);
/* The client's message id (UNIQ_KEY), or empty. */
RMQ_API rmq_slice rmq_message_unique_key(const rmq_message *message);

#define RMQ_OFFSET_MESSAGE_ID_BYTES 57

/* Writes the offset message id (32 or 56 upper-case hex digits and a zero) of a received message.
 * Source: MessageDecoder.createMessageId; protocol facts 5.4. Thread: any. */
RMQ_API void rmq_message_offset_id(const rmq_message *message,
                                   char out_id[RMQ_OFFSET_MESSAGE_ID_BYTES]);

/* The decoded records of one pull: refcounted; holds the frame they point into. */
typedef struct rmq_batch rmq_batch;

/* Number of messages, and the i-th (i < count), in queue order. The view lives as long as the
 * batch. Thread: any. */
RMQ_API size_t rmq_batch_count(const rmq_batch *batch);
RMQ_API const rmq_message *rmq_batch_at(const rmq_batch *batch, size_t index);
/* Bytes of memory that the batch holds. */
RMQ_API size_t rmq_batch_bytes(const rmq_batch *batch);
/* One more, one less reference; the last frees it. unref accepts NULL. Thread: any. */
RMQ_API rmq_batch *rmq_batch_ref(rmq_batch *batch);
RMQ_API void rmq_batch_unref(rmq_batch *batch);

/* A property to be sent. */
typedef struct rmq_property {
    const char *name;
    const char *value;
} rmq_property;

typedef enum rmq_compression {
    RMQ_COMPRESSION_NONE = 0,
    RMQ_COMPRESSION_ZLIB = 1,
    RMQ_COMPRESSION_LZ4 = 2,
    RMQ_COMPRESSION_ZSTD = 3
} rmq_compression;

/* A message to be sent. Everything is borrowed for the call that takes it. */
typedef struct rmq_outgoing {
    size_t struct_size;
    const char *topic;
    rmq_slice body;                 /* at least 1 byte, at most 4 MiB after compression */
    const char *tags;               /* may be NULL */
    const char *keys;               /* separated by blanks; may be NULL */
    const rmq_property *properties; /* more properties, of the user */
    size_t n_properties;
    int32_t flag;
    int32_t delay_level;      /* 0 none, 1 to 18 */
    int64_t deliver_at_ms;    /* 0 none; wall clock; 5.x brokers */
    const char *sharding_key; /* messages with the same key go to the same queue; may be NULL */
    const char *broker_name;  /* NULL: chosen by the producer; else with queue_id the very queue */
    int32_t queue_id;
    rmq_compression compression;
} rmq_outgoing;

#define RMQ_OUTGOING_INIT                                                                          \
    {                                                                                              \
        .struct_size = sizeof(rmq_outgoing)                                                        \
    }

#ifdef __cplusplus
}
#endif

#endif
