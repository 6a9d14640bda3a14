/* Sinks: where the output of a batch takes effect, together with its offsets.
 *
 * A user's sink and the built-in ones are the same thing: a vtable and a pointer. The life of a
 * batch in a sink:
 *
 *   open            once at start, and again under a newer epoch after a commit of unknown outcome
 *   begin           a run of batch N starts; nothing of an earlier, unfinished run may be left
 *   write ...       rows of one target and partition; nothing may be visible yet
 *   prepare         everything is written; last chance to say no
 *   commit          rows, batch id, run, epoch and offsets become visible at once, or not at all
 *   abort           instead of commit: nothing of the run remains
 *   close
 *
 * All are called on the driver's thread, one at a time. What a sink must refuse in `commit`: an
 * epoch older than the newest it has seen (RMQ_FENCED), and a batch that is not the successor of
 * its last one (RMQ_SINK). The conformance kit (<mill/sink_conformance.h>) checks all of this. */
#ifndef MILL_SINK_H
#define MILL_SINK_H

#include <mill/dataset.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Position of one queue. Strings are borrowed from whoever gives the array. */
typedef struct mill_offset {
    const char *source; /* name of the stream's source */
    const char *topic;
    const char *broker_name;
    int32_t queue_id;
    int64_t next_offset;
} mill_offset;

#define MILL_RUN_NAME_BYTES 64

/* Who opens a sink. */
typedef struct mill_sink_owner {
    const char *stream_id; /* of the checkpoint, a UUID made once */
    const char *job_name;
    const char *sink_id; /* which of the job's sinks this is */
    int64_t epoch;       /* to be raised in the sink: older ones are refused from now on */
    bool adopt; /* take over what another stream id of the same job name left: go on at its batch */
} mill_sink_owner;

/* What a sink has. `offsets` is memory of the sink, valid until its next call. */
typedef struct mill_sink_position {
    int64_t batch_id; /* last committed batch; 0: none */
    char run[MILL_RUN_NAME_BYTES];
    const mill_offset *offsets;
    size_t n_offsets;
} mill_sink_position;

/* A run of a batch. */
typedef struct mill_sink_batch {
    int64_t batch_id;
    int64_t epoch;
    int64_t time_ms;
    const char *run; /* a name never used twice */
} mill_sink_batch;

#define MILL_SINK_TRANSACTIONAL                                                                    \
    0x1u /* commit makes rows and offsets visible at once; open tells the last batch.              \
            Without it the sink is given each batch at least once */

typedef struct mill_sink_vtable {
    size_t struct_size;
    const char *name;
    uint32_t flags;
    uint32_t n_targets; /* 0 counts as 1; write's target is below it */
    /* Errors: FENCED (the sink has seen a newer epoch), EXISTS (it holds commits of another stream
     * id under this job name; the text gives both), SINK, IO, ... */
    rmq_status (*open)(void *self, const mill_sink_owner *owner, mill_sink_position *out_position,
                       rmq_error *err);
    rmq_status (*begin)(void *self, const mill_sink_batch *batch, rmq_error *err);
    rmq_status (*write)(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                        rmq_error *err);
    rmq_status (*prepare)(void *self, rmq_error *err); /* may be NULL */
    /* RMQ_OK: it is in. FENCED: refused, a newer owner exists; the job stops. TIMEOUT: nobody
     * knows; the engine takes a new epoch and opens the sink again. Anything else: it is not in,
     * and abort will be called; if err->retriable the batch is tried again. */
    rmq_status (*commit)(void *self, const mill_offset *offsets, size_t n_offsets, rmq_error *err);
    void (*abort)(void *self);
    void (*close)(void *self); /* frees self */
} mill_sink_vtable;

/* A sink handle; made by the functions below or by mill_sink_new, taken by mill_write_to. */
typedef struct mill_sink mill_sink;

/* Wraps a sink of the user's own. `target_types` has the row type of each target (vtable->n_targets
 * of them). Takes `self` on success. Errors: INVAL, NOMEM. */
MILL_API RMQ_MUST_CHECK rmq_status mill_sink_new(const mill_sink_vtable *vtable, void *take_self,
                                                 const mill_type *const *target_types,
                                                 mill_sink **out_sink, rmq_error *err);
/* For a sink that no job took. Accepts NULL. */
MILL_API void mill_sink_free(mill_sink *sink);

/* ---- SQLite ---- */

/* Values of one statement being bound, by 1-based parameter index. */
typedef struct mill_sql_binder mill_sql_binder;
MILL_API void mill_bind_int64(mill_sql_binder *binder, int index, int64_t value);
MILL_API void mill_bind_double(mill_sql_binder *binder, int index, double value);
MILL_API void mill_bind_text(mill_sql_binder *binder, int index, rmq_slice value);
MILL_API void mill_bind_bytes(mill_sql_binder *binder, int index, rmq_slice value);
MILL_API void mill_bind_null(mill_sql_binder *binder, int index);

/* One target: a statement that is run for every row (or, where it means the same, one made from it
 * for many rows at once). */
typedef struct mill_sql_target {
    const char *create_sql; /* run at open, "CREATE TABLE IF NOT EXISTS ..."; may be NULL */
    const char *statement;  /* "INSERT INTO totals VALUES (?1, ?2) ON CONFLICT ..." */
    const mill_type *type;
    rmq_status (*bind)(const void *row, mill_sql_binder *binder, void *ctx);
    void *ctx;
} mill_sql_target;

/* Everything is copied (ctx and types are borrowed for the sink's life). */
typedef struct mill_sqlite_config {
    size_t struct_size;
    const char *path;
    const mill_sql_target *targets; /* all in one transaction */
    size_t n_targets;
    int64_t busy_timeout_ms; /* default 5000; then the batch is tried again */
    bool unsafe_offsets; /* for demonstrations only: rows are committed before, and apart from, the
                            offsets */
} mill_sqlite_config;

#define MILL_SQLITE_CONFIG_INIT                                                                    \
    {                                                                                              \
        .struct_size = sizeof(mill_sqlite_config)                                                  \
    }

/* A transactional sink into an SQLite database: rows, offsets, batch, run and epoch in one
 * transaction with synchronous=FULL. A new file is put in WAL mode; the journal mode of an existing
 * one is kept. The bookkeeping tables are millrace_commits and millrace_offsets. Errors: INVAL,
 * NOMEM; what concerns the file comes at start. */
MILL_API RMQ_MUST_CHECK rmq_status mill_sqlite_sink_new(const mill_sqlite_config *config,
                                                        mill_sink **out_sink, rmq_error *err);

/* ---- sinks without a transaction: at least once, with the batch at hand ---- */

/* Calls `fn` for every row on the driver's thread. */
typedef rmq_status (*mill_sink_row_fn)(const mill_sink_batch *batch, const void *row, void *ctx,
                                       rmq_error *err);
/* Calls `fn` once per batch with all its rows. */
typedef rmq_status (*mill_sink_batch_fn)(const mill_sink_batch *batch, mill_rows *rows,
                                         const mill_offset *offsets, size_t n_offsets, void *ctx,
                                         rmq_error *err);
MILL_API RMQ_MUST_CHECK rmq_status mill_callback_sink_new(const mill_type *type,
                                                          mill_sink_row_fn each_row,
                                                          mill_sink_batch_fn each_batch, void *ctx,
                                                          mill_sink **out_sink, rmq_error *err);

/* Prints each batch to standard output as Spark's console sink does: a header and a line per row,
 * made by `format` (writes at most capacity bytes with the zero, like snprintf). At most max_rows
 * rows a batch; 0: 20. */
typedef int (*mill_format_fn)(const void *row, char *out_text, size_t capacity, void *ctx);
MILL_API RMQ_MUST_CHECK rmq_status mill_console_sink_new(const mill_type *type,
                                                         mill_format_fn format, void *ctx,
                                                         uint32_t max_rows, mill_sink **out_sink,
                                                         rmq_error *err);

/* Keeps rows in memory, transactional as long as the process lives; for tests. */
typedef struct mill_memory_table mill_memory_table;
MILL_API RMQ_MUST_CHECK rmq_status mill_memory_table_new(const mill_type *type,
                                                         mill_memory_table **out_table,
                                                         rmq_error *err);
MILL_API RMQ_MUST_CHECK rmq_status mill_memory_sink_new(mill_memory_table *table,
                                                        mill_sink **out_sink, rmq_error *err);
/* All rows that are committed now. Free them before the table. Thread: any. */
MILL_API RMQ_MUST_CHECK rmq_status mill_memory_table_rows(mill_memory_table *table,
                                                          mill_rows **out_rows, rmq_error *err);
/* Refcounted with the sinks on it. */
MILL_API void mill_memory_table_free(mill_memory_table *table);

#ifdef __cplusplus
}
#endif

#endif
