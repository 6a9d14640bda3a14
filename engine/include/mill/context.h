/* The engine's context: a pool of worker threads and the limits that all jobs on it share. */
#ifndef MILL_CONTEXT_H
#define MILL_CONTEXT_H

#include <rmq/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MILL_API RMQ_API

typedef struct mill_context mill_context;

/* Zero means "default" in every field. Everything is copied. */
typedef struct mill_context_config {
    size_t struct_size;
    uint32_t worker_threads;    /* default: the number of cores */
    uint32_t max_task_failures; /* tries of a task before its job fails; default 4 */
    size_t max_memory_bytes;    /* blocks (exchange, outputs) held in memory; beyond it they go to
                                   a file in spill_directory; default 256 MiB */
    /* Default: $TMPDIR or /tmp. The file has no name: nothing is left when the process dies. */
    const char *spill_directory;
    rmq_log_fn log; /* NULL: silent */
    void *log_ctx;
    rmq_log_level log_level; /* default RMQ_LOG_WARN */
} mill_context_config;

#define MILL_CONTEXT_CONFIG_INIT                                                                   \
    {                                                                                              \
        .struct_size = sizeof(mill_context_config)                                                 \
    }

/* Starts the workers. `config` may be NULL. Errors: INVAL, NOMEM, IO. Thread: any. */
MILL_API RMQ_MUST_CHECK rmq_status mill_context_new(const mill_context_config *config,
                                                    mill_context **out_context, rmq_error *err);
/* Joins the workers and frees the context with all datasets made on it. Streaming contexts on it
 * must have been freed before. Accepts NULL. Thread: any but a worker. */
MILL_API void mill_context_free(mill_context *context);

/* The engine's version, "0.1.0". Static. Thread: any. */
MILL_API const char *mill_version(void);

#ifdef __cplusplus
}
#endif

#endif
