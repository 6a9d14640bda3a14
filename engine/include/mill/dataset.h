/* Datasets: lazy, immutable lists of partitions with a lineage, as Spark's RDDs are.
 *
 * A dataset is a node of a graph: where its rows come from, and what is done to each. Nothing runs
 * before an action (or, for a dataset of a stream, before its batch). Narrow operations are fused:
 * a task takes one partition of a leaf (a source or an exchange) and pushes each row through
 * everything that hangs on it, so that a leaf that feeds several results is read once.
 *
 * Building: every function that makes a dataset returns it, or NULL with `err` filled. A NULL input
 * dataset gives NULL and leaves `err` alone, so that calls can be nested and checked once, at the
 * end. Datasets belong to the context (or streaming context, or batch) that their source belongs to
 * and are freed with it.
 *
 * Rows: a row is `type->size_bytes` bytes; what it points to must stay valid as long as the row. A
 * row given to a function is valid during that call only. Memory from mill_task_alloc lives until
 * the leaf's row is done with, memory from mill_task_keep until the task ends. */
#ifndef MILL_DATASET_H
#define MILL_DATASET_H

#include <mill/context.h>
#include <rmq/message.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mill_dataset mill_dataset;
typedef struct mill_task mill_task;
typedef struct mill_emitter mill_emitter;
typedef struct mill_arena mill_arena;
typedef struct mill_output mill_output; /* bytes being written */
typedef struct mill_input mill_input;   /* bytes being read */

/* ---- row types ---- */

typedef struct mill_type mill_type;

/* Functions may be NULL where the comment says so. All must be safe to call from several threads.
 */
struct mill_type {
    size_t struct_size;
    const char *name;
    size_t size_bytes;
    /* Needed where rows are keys. Equal rows have equal hashes; the hash must not depend on the
     * process. */
    uint64_t (*hash)(const mill_type *type, const void *row);
    bool (*equal)(const mill_type *type, const void *left, const void *right);
    /* Needed where a row is kept beyond its call and points to other memory: deep copy into
     * `arena`. NULL: the bytes are copied. Errors: NOMEM. */
    rmq_status (*copy)(const mill_type *type, const void *row, void *out_row, mill_arena *arena);
    /* Needed where rows are exchanged, spilled, staged or written to a sink. deserialize may let
     * the row point into the input's bytes or into memory of `arena`; both live as long as the row
     * is valid. NULL for both: the bytes are copied (then the row must not point anywhere). */
    void (*serialize)(const mill_type *type, const void *row, mill_output *out);
    rmq_status (*deserialize)(const mill_type *type, mill_input *in, void *out_row,
                              mill_arena *arena);
    const mill_type *key_type;   /* pairs only */
    const mill_type *value_type; /* pairs only */
    size_t value_at; /* pairs only: where the value starts in the row; the key starts at 0 */
};

/* Ready types: rmq_message, rmq_slice (UTF-8 text), rmq_slice (bytes), int64_t, double. Static. */
MILL_API const mill_type *mill_type_message(void);
MILL_API const mill_type *mill_type_text(void);
MILL_API const mill_type *mill_type_bytes(void);
MILL_API const mill_type *mill_type_int64(void);
MILL_API const mill_type *mill_type_double(void);
/* The type of (key, value) rows; one per pair of types, belongs to the context. NULL and `err` on
 * NOMEM. Thread: any. */
MILL_API const mill_type *mill_type_pair(mill_context *context, const mill_type *key,
                                         const mill_type *value, rmq_error *err);
/* Key and value inside a pair row, borrowed from it. */
MILL_API const void *mill_pair_key(const void *pair_row);
MILL_API const void *mill_pair_value(const mill_type *pair, const void *pair_row);

/* `size_bytes` bytes aligned for any type; NULL if memory ran out. */
MILL_API void *mill_arena_alloc(mill_arena *arena, size_t size_bytes);

/* Writers for serialize: big-endian; failures are remembered and reported by the engine. */
MILL_API void mill_put_u8(mill_output *out, uint8_t value);
MILL_API void mill_put_u32(mill_output *out, uint32_t value);
MILL_API void mill_put_int64(mill_output *out, int64_t value);
MILL_API void mill_put_double(mill_output *out, double value);
MILL_API void mill_put_slice(mill_output *out, rmq_slice value); /* length and bytes */
/* Readers for deserialize: past the end they give 0 or an empty slice and the engine reports
 * RMQ_CORRUPT. A slice points into the input. */
MILL_API uint8_t mill_get_u8(mill_input *in);
MILL_API uint32_t mill_get_u32(mill_input *in);
MILL_API int64_t mill_get_int64(mill_input *in);
MILL_API double mill_get_double(mill_input *in);
MILL_API rmq_slice mill_get_slice(mill_input *in);

/* ---- inside a user's function ---- */

/* Zeroed memory until the leaf's row is done with; NULL if there is none left. Thread: the task's,
 * as all here. */
MILL_API void *mill_task_alloc(mill_task *task, size_t size_bytes);
/* Zeroed memory until the task ends. */
MILL_API void *mill_task_keep(mill_task *task, size_t size_bytes);
/* A formatted text in memory of mill_task_alloc; empty if memory ran out. */
MILL_API rmq_slice mill_task_format(mill_task *task, const char *format, ...) RMQ_PRINTF(2, 3);
/* Which partition of its leaf this task works on, and which try this is (1 is the first). */
MILL_API uint32_t mill_task_partition(const mill_task *task);
MILL_API uint32_t mill_task_attempt(const mill_task *task);
/* Number of the batch, 0 outside a stream. */
MILL_API int64_t mill_task_batch_id(const mill_task *task);
/* Fills the task's error and returns RMQ_USER: `return mill_task_fail(task, "bad cost %s", text)`.
 * A function that returns anything else than RMQ_OK fails the try; after max_task_failures the job
 * fails. */
MILL_API rmq_status mill_task_fail(mill_task *task, const char *format, ...) RMQ_PRINTF(2, 3);

/* Passes a row on; it is done with when the call returns. Return its status at once if it is not
 * RMQ_OK. */
MILL_API RMQ_MUST_CHECK rmq_status mill_emit(mill_emitter *out, const void *row);

/* ---- operations ----
 * `ctx` is given to the function as it is, must outlive the dataset, and is used from several
 * threads. */

typedef rmq_status (*mill_map_fn)(const void *row, void *out_row, mill_task *task, void *ctx);
typedef rmq_status (*mill_filter_fn)(const void *row, bool *out_keep, mill_task *task, void *ctx);
typedef rmq_status (*mill_flat_map_fn)(const void *row, mill_emitter *out, mill_task *task,
                                       void *ctx);
/* Adds `value` to `accumulator` (both of the value type) in place. Must be associative and
 * commutative. What the accumulator points to must come from mill_task_keep, whose memory lives as
 * long as the accumulator while this function runs. */
typedef rmq_status (*mill_reduce_fn)(void *accumulator, const void *value, mill_task *task,
                                     void *ctx);

/* A function over a whole partition, called row by row: begin, row for each, end. `cleanup` is
 * called exactly once after begin was called, whatever happened. Each may be NULL but row. `state`
 * starts NULL for each task. */
typedef struct mill_partition_fns {
    rmq_status (*begin)(void **state, mill_emitter *out, mill_task *task, void *ctx);
    rmq_status (*row)(void *state, const void *row, mill_emitter *out, mill_task *task, void *ctx);
    rmq_status (*end)(void *state, mill_emitter *out, mill_task *task, void *ctx);
    void (*cleanup)(void *state, void *ctx);
} mill_partition_fns;

MILL_API mill_dataset *mill_map(mill_dataset *input, const mill_type *out_type, mill_map_fn fn,
                                void *ctx, rmq_error *err);
MILL_API mill_dataset *mill_filter(mill_dataset *input, mill_filter_fn fn, void *ctx,
                                   rmq_error *err);
MILL_API mill_dataset *mill_flat_map(mill_dataset *input, const mill_type *out_type,
                                     mill_flat_map_fn fn, void *ctx, rmq_error *err);
MILL_API mill_dataset *mill_map_partitions(mill_dataset *input, const mill_type *out_type,
                                           const mill_partition_fns *fns, void *ctx,
                                           rmq_error *err);
/* Rows become pairs (key, row); fn makes the key. */
MILL_API mill_dataset *mill_key_by(mill_dataset *input, const mill_type *key_type, mill_map_fn fn,
                                   void *ctx, rmq_error *err);
/* On pairs: maps the value, keeps the key. */
MILL_API mill_dataset *mill_map_values(mill_dataset *input, const mill_type *value_type,
                                       mill_map_fn fn, void *ctx, rmq_error *err);
/* On pairs: one pair per key, values folded by fn; combined before and after a hash exchange into
 * `n_partitions` (0: the number of workers). The key type needs hash and equal. Keys that do not
 * fit in memory (half of the context's max_memory_bytes, shared by the workers) are folded in
 * parts, so their number is limited by the disk only. Where the key type is text, bytes, int64 or
 * double, the pairs of a partition come in the order of their keys, that of memcmp or of numbers; a
 * partition of more than 256 parts in several sequences, each in that order. */
MILL_API mill_dataset *mill_reduce_by_key(mill_dataset *input, mill_reduce_fn fn,
                                          uint32_t n_partitions, void *ctx, rmq_error *err);
/* All rows of `count` datasets of the same type and owner. */
MILL_API mill_dataset *mill_union(mill_dataset *const *inputs, size_t count, rmq_error *err);

/* A dataset over `count` rows in memory (copied), cut into `n_partitions` (0: the number of
 * workers). */
MILL_API mill_dataset *mill_dataset_from_rows(mill_context *context, const mill_type *type,
                                              const void *rows, size_t count, uint32_t n_partitions,
                                              rmq_error *err);

/* A leaf of the user's own: `partitions` tells how many there are, `read` emits the rows of one;
 * each try of a task calls it afresh. `free_self` may be NULL. */
typedef struct mill_source_vtable {
    size_t struct_size;
    const char *name;
    rmq_status (*partitions)(void *self, uint32_t *out_count, rmq_error *err);
    rmq_status (*read)(void *self, uint32_t partition, mill_emitter *out, mill_task *task,
                       rmq_error *err);
    void (*free_self)(void *self);
} mill_source_vtable;
/* Takes `self` on success: it is freed with the dataset. */
MILL_API mill_dataset *mill_dataset_from_source(mill_context *context,
                                                const mill_source_vtable *vtable, void *take_self,
                                                const mill_type *type, rmq_error *err);

MILL_API const mill_type *mill_dataset_type(const mill_dataset *dataset);

/* ---- actions ----
 * Run now and wait. INVAL on a dataset of a stream outside its batch: use the operations of
 * <mill/stream.h>. Errors: USER (a function failed max_task_failures times), CANCELLED, NOMEM, IO
 * (spilling), and what the source gives. Thread: any but a worker. */

MILL_API RMQ_MUST_CHECK rmq_status mill_count(mill_dataset *dataset, uint64_t *out_count,
                                              rmq_error *err);

typedef struct mill_rows mill_rows;
/* All rows, in the order of partitions. Free with mill_rows_free. */
MILL_API RMQ_MUST_CHECK rmq_status mill_collect(mill_dataset *dataset, mill_rows **out_rows,
                                                rmq_error *err);
/* Calls `fn` for every row, on the worker threads, several at once. If a task is tried again it
 * sees rows again. */
typedef rmq_status (*mill_foreach_fn)(const void *row, mill_task *task, void *ctx);
MILL_API RMQ_MUST_CHECK rmq_status mill_foreach(mill_dataset *dataset, mill_foreach_fn fn,
                                                void *ctx, rmq_error *err);
/* As foreach, by partition; the emitter given to the functions is NULL. */
MILL_API RMQ_MUST_CHECK rmq_status mill_foreach_partition(mill_dataset *dataset,
                                                          const mill_partition_fns *fns, void *ctx,
                                                          rmq_error *err);

/* Rows in serialized form: what mill_collect gives and sinks are given. mill_rows_next gives the
 * next row, valid until the next call, or RMQ_NOT_FOUND after the last; CORRUPT, IO (spilled),
 * NOMEM. Thread: one at a time. */
MILL_API RMQ_MUST_CHECK rmq_status mill_rows_next(mill_rows *rows, const void **out_row,
                                                  rmq_error *err);
MILL_API void mill_rows_rewind(mill_rows *rows);
MILL_API uint64_t mill_rows_count(const mill_rows *rows);
MILL_API const mill_type *mill_rows_type(const mill_rows *rows);
MILL_API void mill_rows_free(mill_rows *rows);

#ifdef __cplusplus
}
#endif

#endif
