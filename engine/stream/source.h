/* What the batch driver asks of a source of a stream, whatever it reads from. */
#ifndef MILL_STREAM_SOURCE_H
#define MILL_STREAM_SOURCE_H

#include <mill/stream.h>
#include <rmq/json.h>

#include "position.h"

/* What a plan is made from. */
typedef struct mill_plan_request {
    const mill_positions *positions; /* after the last batch; sorted */
    int64_t interval_ms;             /* between batches; 0: there is none */
    bool bounded; /* AVAILABLE_NOW: nothing beyond the ends that the source saw first */
} mill_plan_request;

/* What a source offers for the next batch. */
typedef struct mill_plan_offer {
    mill_ranges *ranges; /* to be filled: every queue ever seen, empty ranges for those at rest */
    uint64_t lag;        /* records known to wait behind these ranges */
    bool pending; /* bounded: something is still to come, though not now (a broker is away) */
} mill_plan_offer;

/* What is known after a range was read; of the last try. */
typedef struct mill_read_note {
    bool read;
    uint64_t rows;
    mill_fingerprint last; /* of the range's last record; empty: there was none */
} mill_read_note;

/* One range being read by a task. */
typedef struct mill_source_read {
    const mill_range *range;
    mill_read_note *note;
    const mill_streaming_context *stream;
    /* On DATA_LOSS that the user lets us skip, the source sets `lost` and what is read instead: */
    bool lost;
    int64_t instead_start, instead_end; /* where both are equal: nothing now, go on there */
    int64_t n_lost;
} mill_source_read;

/* All but `read` are called on one thread at a time (the one that starts the stream, then the
 * driver's); `read` on several workers at once. Functions that may be NULL say so. */
typedef struct mill_stream_source_vtable {
    const char *kind;
    /* Appends members to the JSON object that describes the source: what makes it another source if
     * it changes. */
    void (*describe)(void *self, rmq_json_writer *writer);
    /* Connects. Errors: what hinders the stream from starting at all. */
    rmq_status (*open)(void *self, rmq_error *err);
    /* The very first start of the stream: where each queue begins that is known now. Appends. */
    rmq_status (*start)(void *self, mill_positions *positions, rmq_error *err);
    /* Chooses ranges. Errors end the stream; a broker that is away is no error. */
    rmq_status (*plan)(void *self, const mill_plan_request *request, mill_plan_offer *offer,
                       rmq_error *err);
    /* Emits the records of the range. Errors: DATA_LOSS, CANCELLED, ... */
    rmq_status (*read)(void *self, mill_source_read *read, mill_emitter *out, mill_task *task,
                       rmq_error *err);
    /* A batch is done. Must not take long. May be NULL. */
    void (*report)(void *self, const mill_positions *positions);
    /* Ends what open or start waits for with CANCELLED, now and from now on; the stream doesn't
     * come to run then. Thread: any, while they run. May be NULL. */
    void (*cancel)(void *self);
    /* No more calls but free_self. May be called without open. */
    void (*close)(void *self);
    void (*free_self)(void *self);
} mill_stream_source_vtable;

typedef struct mill_stream_source {
    const mill_stream_source_vtable *vtable;
    void *self;
    char *name;
    size_t index; /* in the stream, and in its plans */
    mill_streaming_context *stream;
} mill_stream_source;

/* Adds a source to a stream that has not started, and gives the dataset of its rows. Takes `self`
 * on success. NULL and `err` on INVAL (a name twice), NOMEM. */
mill_dataset *mill_stream_add_source(mill_streaming_context *stream,
                                     const mill_stream_source_vtable *vtable, void *take_self,
                                     const char *name, const mill_type *type, rmq_error *err);

/* True once a stop was asked for: a source that waits for a broker gives up soon. Thread: any. */
bool mill_stream_stopping(const mill_streaming_context *stream);
/* The job's name and its context. */
const char *mill_stream_name(const mill_streaming_context *stream);
mill_context *mill_stream_engine(const mill_streaming_context *stream);

#endif
