/* Streams: topics cut into batches, each run as tasks, its results and offsets committed together.
 *
 * A stream is a dataset whose partitions are other ones in each batch: the operations of
 * <mill/dataset.h> apply. */
#ifndef MILL_STREAM_H
#define MILL_STREAM_H

#include <mill/dataset.h>
#include <mill/sink.h>
#include <rmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mill_streaming_context mill_streaming_context;
typedef struct mill_batch mill_batch;

typedef enum mill_trigger {
    MILL_TRIGGER_INTERVAL = 0,     /* a batch every batch_interval_ms */
    MILL_TRIGGER_CONTINUAL = 1,    /* the next batch as soon as there is something to do */
    MILL_TRIGGER_ONCE = 2,         /* one batch, then stop */
    MILL_TRIGGER_AVAILABLE_NOW = 3 /* what was there at the start takes effect, in as many batches
                                      as the limits ask for, then stop */
} mill_trigger;

/* What is told about each finished batch. Valid during the call. */
typedef struct mill_progress {
    int64_t batch_id;
    const char *run;
    int64_t epoch;
    int64_t time_ms; /* of the plan */
    uint64_t input_rows;
    uint64_t output_rows;
    int64_t plan_ms, read_ms, write_ms, commit_ms, total_ms;
    uint64_t lag;  /* messages known to be waiting behind the batch */
    uint64_t lost; /* messages skipped by on_data_loss = skip, in this batch */
    bool again;    /* a planned batch of an earlier process was run again */
} mill_progress;
typedef void (*mill_progress_fn)(const mill_progress *progress, void *ctx);

/* Zero means "default" in every field. Everything is copied. */
typedef struct mill_streaming_config {
    size_t struct_size;
    const char *name;       /* of the job; needed */
    const char *checkpoint; /* "file:DIR" or DIR; needed */
    mill_trigger trigger;
    int64_t batch_interval_ms;      /* default 1000 */
    uint32_t min_batches_to_retain; /* plans, states and decisions kept; default 100 */
    bool take_over;                 /* take the checkpoint from a process that still holds it */
    bool adopt_sink; /* a sink that holds commits of an older checkpoint of this job: go on from its
                        offsets */
    mill_progress_fn on_progress; /* on the driver's thread; may be NULL */
    void *on_progress_ctx;
} mill_streaming_config;

#define MILL_STREAMING_CONFIG_INIT                                                                 \
    {                                                                                              \
        .struct_size = sizeof(mill_streaming_config)                                               \
    }

/* Errors: INVAL, NOMEM. Nothing is opened yet. */
MILL_API RMQ_MUST_CHECK rmq_status mill_streaming_context_new(mill_context *context,
                                                              const mill_streaming_config *config,
                                                              mill_streaming_context **out_stream,
                                                              rmq_error *err);

/* ---- direct stream ---- */

typedef enum mill_start {
    MILL_START_EARLIEST = 0,
    MILL_START_LATEST = 1,
    MILL_START_TIMESTAMP = 2,
    MILL_START_GROUP = 3 /* the group's committed offsets; earliest where there is none */
} mill_start;

typedef enum mill_on_data_loss {
    MILL_DATA_LOSS_FAIL = 0, /* stop with the queue, the wanted and the available offsets */
    MILL_DATA_LOSS_SKIP = 1  /* go on at what is available, count it, say it */
} mill_on_data_loss;

/* Zero means "default". Everything is copied. */
typedef struct mill_direct_config {
    size_t struct_size;
    const char *name;         /* of the source; default "direct" */
    rmq_client_config client; /* how to reach the brokers; its struct_size may be 0 */
    const char *topics;       /* "OrderTopic" or "A,B" */
    const char *group;        /* told the offsets after each batch, so that ordinary tools show lag;
                                 default: the        job's name */
    mill_start start; /* of a queue at the very first start. A queue that appears later starts at
                         its first message */
    int64_t start_timestamp_ms; /* with MILL_START_TIMESTAMP */
    mill_on_data_loss on_data_loss;
    int64_t max_rate_per_queue; /* messages a second and queue; 0: no limit. The share of a batch is
                                   rate × interval (rate × 1 s where there is no interval), at least
                                   1 */
    int64_t max_records_per_batch; /* over all queues, shared by lag; 0: 1,000,000 */
} mill_direct_config;

#define MILL_DIRECT_CONFIG_INIT                                                                    \
    {                                                                                              \
        .struct_size = sizeof(mill_direct_config)                                                  \
    }

/* Messages (mill_type_message) of all queues of the topics: each queue's range is a partition.
 * Offsets live in the checkpoint and the sinks. New queues and brokers are found at each batch.
 * NULL and `err` on INVAL, NOMEM. */
MILL_API mill_dataset *mill_direct_stream(mill_streaming_context *stream,
                                          const mill_direct_config *config, rmq_error *err);

/* One queue's part of a batch: [start_offset, end_offset). */
typedef struct mill_offset_range {
    const char *source;
    const char *topic;
    const char *broker_name;
    int32_t queue_id;
    int64_t start_offset;
    int64_t end_offset;
} mill_offset_range;

/* The ranges of a batch, sorted; borrowed from it. */
MILL_API const mill_offset_range *mill_batch_offset_ranges(const mill_batch *batch,
                                                           size_t *out_count);
MILL_API int64_t mill_batch_id(const mill_batch *batch);
MILL_API int64_t mill_batch_time_ms(const mill_batch *batch);

/* ---- outputs ---- */

/* Every row of `dataset`, in every batch, goes to target `target` of `sink`. The same sink may be
 * given to several datasets: all is in one transaction. The stream takes the sink at the first
 * call. Errors: INVAL, NOMEM. */
MILL_API RMQ_MUST_CHECK rmq_status mill_write_to(mill_dataset *dataset, mill_sink *sink,
                                                 uint32_t target, rmq_error *err);

/* Calls `fn` once per batch, on the driver's thread, with a dataset over the batch's rows (all
 * operations and actions work on it; it lives during the call). At least once: after a crash the
 * same batch, with the same rows, may come again. */
typedef rmq_status (*mill_foreach_batch_fn)(const mill_batch *batch, mill_dataset *rows, void *ctx,
                                            rmq_error *err);
MILL_API RMQ_MUST_CHECK rmq_status mill_foreach_batch(mill_dataset *dataset,
                                                      mill_foreach_batch_fn fn, void *ctx,
                                                      rmq_error *err);

/* ---- life ---- */

/* Opens the checkpoint (lock, epoch) and the sinks, settles what an earlier process left, starts
 * the driver. Errors: LOCKED (names the process that holds the checkpoint), CORRUPT (names the
 * file), EXISTS (a sink belongs to another checkpoint), INVAL (the checkpoint belongs to another
 * job), UNSUPPORTED (format too new), IO, SINK, NOMEM, CANCELLED (a stop was asked for), and what
 * the client gives. Thread: any but a worker, as for all here. */
MILL_API RMQ_MUST_CHECK rmq_status mill_streaming_start(mill_streaming_context *stream,
                                                        rmq_error *err);
/* Waits until the stream ended by itself (error, ONCE, AVAILABLE_NOW) or by a stop, at most
 * `timeout_ms` (-1: for ever). TIMEOUT: it still runs. RMQ_OK: stopped or done. Otherwise why it
 * failed. */
MILL_API RMQ_MUST_CHECK rmq_status mill_streaming_await(mill_streaming_context *stream,
                                                        int64_t timeout_ms, rmq_error *err);
/* Asks for a stop: the batch under way is finished (or, with `graceful` false, given up; it runs
 * again at the next start); a start that still waits for a broker ends. Returns at once. Thread:
 * any, also a callback. */
MILL_API void mill_streaming_stop(mill_streaming_context *stream, bool graceful);
/* Stops if need be, waits, closes sinks and checkpoint, frees. Accepts NULL. */
MILL_API void mill_streaming_context_free(mill_streaming_context *stream);

#ifdef __cplusplus
}
#endif

#endif
