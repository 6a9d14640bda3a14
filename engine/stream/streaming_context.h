/* The inside of a stream: its sources, outputs and sinks, its checkpoint, its driver. */
#ifndef MILL_STREAMING_CONTEXT_H
#define MILL_STREAMING_CONTEXT_H

#include <mill/stream.h>

#include <pthread.h>
#include <stdatomic.h>

#include "../sink/sink.h"
#include "checkpoint.h"
#include "source.h"

/* Where output goes: a sink, or a function that is called with each batch. */
typedef struct mill_stream_sink {
    mill_sink *sink; /* NULL: `fn` */
    mill_foreach_batch_fn fn;
    void *fn_ctx;
    char id[96];        /* "sqlite-1": kind and place among the job's sinks */
    bool transactional; /* tells its last batch, takes each exactly once */
    int64_t last_batch_id;
    char last_run[MILL_RUN_NAME_BYTES];
} mill_stream_sink;

/* One dataset whose rows go to a target of a sink. */
typedef struct mill_stream_output {
    mill_dataset *dataset;
    size_t sink; /* index */
    uint32_t target;
} mill_stream_output;

typedef enum mill_stream_phase {
    MILL_STREAM_NEW = 0,
    MILL_STREAM_RUNNING,
    MILL_STREAM_ENDED /* also after a start that failed */
} mill_stream_phase;

typedef enum mill_stop { MILL_STOP_NONE = 0, MILL_STOP_GRACEFUL, MILL_STOP_NOW } mill_stop;

struct mill_streaming_context {
    mill_context *context;
    mill_streaming_config config; /* strings are ours */

    mill_stream_source **sources; /* each has an address of its own: datasets point to it */
    size_t n_sources;
    mill_stream_output *outputs;
    size_t n_outputs;
    mill_stream_sink *sinks;
    size_t n_sinks;

    /* Of the driver (before it runs: of who starts the stream). */
    mill_checkpoint *checkpoint;
    mill_state *state;     /* after the last batch that is done */
    int64_t planned_until; /* plan/N may exist for N up to it: look before planning afresh */
    bool staged;           /* output is staged and commit/N decides; else the one sink's commit */
    pthread_t driver;

    _Atomic int stop; /* mill_stop; written under `lock`, read anywhere */
    bool cancelled;   /* polled by running tasks, only through __atomic functions */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;  /* a stop was asked for, or the stream ended */
    mill_stream_phase phase;
    bool starting;       /* the sources are there, and may be cancelled */
    uint32_t n_stoppers; /* that are cancelling them */
    bool joined;
    rmq_status result;
    rmq_error error;
};

/* Waits until `deadline_ns` (of mill_stream_now_ns) or a stop; true: go on. */
bool mill_stream_wait(mill_streaming_context *stream, int64_t deadline_ns);
/* The clock of waits and durations: monotonic, and not the hook that a test may have stopped. */
int64_t mill_stream_now_ns(void);
/* INVAL once the stream was started. */
RMQ_MUST_CHECK rmq_status mill_stream_check_new(const mill_streaming_context *stream,
                                                rmq_error *err);
/* Marks the end; the driver's last act. */
void mill_stream_ended(mill_streaming_context *stream, rmq_status result, const rmq_error *err);

/* ---- recovery.c ---- */

/* Opens checkpoint and sources: lock, meta.json. */
RMQ_MUST_CHECK rmq_status mill_stream_open(mill_streaming_context *stream, rmq_error *err);
/* Takes the next epoch, raises it in the sinks, asks them, sets the state to go on from. */
RMQ_MUST_CHECK rmq_status mill_stream_recover(mill_streaming_context *stream, rmq_error *err);
/* What CORRUPT really means: FENCED if a newer process owns the checkpoint by now, which may have
 * forgotten what this one misses. Other statuses stay what they are. */
RMQ_MUST_CHECK rmq_status mill_stream_ask_why(const mill_streaming_context *stream,
                                              rmq_status status, rmq_error *err);

/* ---- driver.c ---- */

/* The driver's thread. */
void *mill_stream_drive(void *stream);

#endif
