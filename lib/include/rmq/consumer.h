/* Reading a queue directly: a reader keeps a window of pulls in flight, checks every answer against
 * what it predicted, and hands out decoded batches in queue order. No group membership, no offset
 * is committed. */
#ifndef RMQ_CONSUMER_H
#define RMQ_CONSUMER_H

#include <rmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMQ_READ_ENDLESS INT64_MAX

typedef struct rmq_reader rmq_reader;

/* Zero means "default". Everything is copied. */
typedef struct rmq_reader_config {
    size_t struct_size;
    rmq_queue queue;
    int64_t start_offset;   /* first offset wanted */
    int64_t end_offset;     /* exclusive; RMQ_READ_ENDLESS: wait for new messages by long polling. 0
                               with     start_offset 0 is an empty range */
    const char *group;      /* sent with each pull; default "MILLRACE_READER". Never registered */
    const char *expression; /* "*" (default) or "TagA || TagB"; tags are checked again by string */
    bool sql92; /* `expression` is SQL92; checked with the broker before the first pull */
    int32_t
        max_messages; /* asked for per pull; default 1024 (brokers hand out 32 unless configured) */
    int32_t max_pulls;           /* pulls in flight; default 64; 1 switches reading ahead off */
    size_t max_buffered_bytes;   /* memory of what is received or expected and not yet handed out;
                                    default 8 MiB. One answer may always be there, however large */
    size_t max_body_bytes;       /* cap of a decompressed body; default 64 MiB. The decompressed
                                    bodies of one batch are bounded by the larger of the two: a pull
                                    that holds more is handed out in several batches */
    int64_t hold_ms;             /* wish for a long poll; default 15000 */
    void (*on_ready)(void *ctx); /* called on the loop thread when rmq_reader_next would no longer
                                    return AGAIN; must not block nor call the reader. May be NULL */
    void *on_ready_ctx;
    bool allow_gaps; /* missing offsets are passed over (compacted topics). Without it, and without
                        a filter, they are DATA_LOSS */
} rmq_reader_config;

#define RMQ_READER_CONFIG_INIT                                                                     \
    {                                                                                              \
        .struct_size = sizeof(rmq_reader_config)                                                   \
    }

/* What the broker had when a reader's position was outside [min, max]. */
typedef struct rmq_data_loss {
    int64_t wanted_offset;
    int64_t min_offset;
    int64_t max_offset;
    bool reset; /* an administrator reset the group (OFFSET_RESET): next is the new position */
    int64_t next_offset;
} rmq_data_loss;

/* Starts reading; pulls are sent at once. Errors: INVAL, NOMEM. Thread: any. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_reader_open(rmq_client *client,
                                                  const rmq_reader_config *config,
                                                  rmq_reader **out_reader, rmq_error *err);

/* The next decoded batch, in queue order; the caller unrefs it. Waits up to `timeout_ms` (0: not at
 * all). A batch may be empty: then only the position moved (filtered or deleted entries). Records
 * are decoded on the calling thread. Errors: AGAIN      nothing within `timeout_ms` NOT_FOUND  the
 * end of the range is reached; rmq_reader_position is end_offset DATA_LOSS  the position lies
 * outside what the broker has; see rmq_reader_loss; rmq_reader_seek goes on AUTH, INVAL (bad
 * expression), UNSUPPORTED   the broker refuses for good PROTO      the broker sent what can't be;
 * the reader is unusable CANCELLED, NOMEM Network errors, restarts and overload are retried for
 * ever. Thread: one at a time, not the loop. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_reader_next(rmq_reader *reader, int64_t timeout_ms,
                                                  rmq_batch **out_batch, rmq_error *err);

/* The offset after the last batch handed out. Thread: the one that calls next. */
RMQ_API int64_t rmq_reader_position(const rmq_reader *reader);
/* The queue's bounds as last told by the broker; -1 before the first answer. Thread: any. */
RMQ_API int64_t rmq_reader_min_offset(const rmq_reader *reader);
RMQ_API int64_t rmq_reader_max_offset(const rmq_reader *reader);
/* Valid after rmq_reader_next returned DATA_LOSS. */
RMQ_API rmq_data_loss rmq_reader_loss(const rmq_reader *reader);
/* Drops what is buffered and goes on at `offset`. Thread: the one that calls next. */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_reader_seek(rmq_reader *reader, int64_t offset,
                                                  rmq_error *err);
/* Makes a waiting rmq_reader_next, and every later one, return CANCELLED. Thread: any. */
RMQ_API void rmq_reader_cancel(rmq_reader *reader);
/* Stops and frees; bounded time. Batches handed out stay valid. Accepts NULL. Thread: any but the
 * loop, while no other thread uses the reader. */
RMQ_API void rmq_reader_close(rmq_reader *reader);

/* The text of the last warning state of the reader ("broker-a: connect refused, retrying"), empty
 * if all is well. Copies at most `capacity` bytes with the zero. Thread: any. */
RMQ_API void rmq_reader_trouble(const rmq_reader *reader, char *out_text, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
