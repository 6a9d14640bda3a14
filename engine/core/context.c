/* The context: what all jobs of a process share. It owns the workers, the block store, the pair
 * types and every dataset; it is freed when nothing runs any more, so freeing needs no lock. */
#include "context.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "block.h"
#include "lineage.h"
#include "run.h"
#include "versioned.h"

#define DEFAULT_TASK_FAILURES 4
#define DEFAULT_MEMORY_BYTES ((size_t)256 << 20)
#define MOST_WORKERS 1024
#define LOG_LINE_BYTES 1024

static rmq_status config_fill(const mill_context_config *given, mill_context_config *out_config,
                              rmq_error *err)
{
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    if (given != NULL) {
        rmq_status status =
            mill_versioned_copy(given, "mill_context_config", &config, sizeof(config), err);
        if (status != RMQ_OK)
            return status;
    }
    if (config.worker_threads == 0) {
        long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
        config.worker_threads = n_cores < 1              ? 1
                                : n_cores > MOST_WORKERS ? MOST_WORKERS
                                                         : (uint32_t)n_cores;
    }
    if (config.worker_threads > MOST_WORKERS)
        return rmq_error_set(err, RMQ_INVAL, "worker_threads is %u, at most %d",
                             config.worker_threads, MOST_WORKERS);
    if (config.max_task_failures == 0)
        config.max_task_failures = DEFAULT_TASK_FAILURES;
    if (config.max_memory_bytes == 0)
        config.max_memory_bytes = DEFAULT_MEMORY_BYTES;
    if (config.log_level == 0)
        config.log_level = RMQ_LOG_WARN;
    *out_config = config;
    return RMQ_OK;
}

rmq_status mill_context_new(const mill_context_config *config, mill_context **out_context,
                            rmq_error *err)
{
    mill_context_config filled = {0};
    rmq_status status = config_fill(config, &filled, err);
    if (status != RMQ_OK)
        return status;
    mill_context *context = rmq_calloc(1, sizeof(*context));
    if (context == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a context");
    context->config = filled;
    context->config.spill_directory = NULL;
    pthread_mutex_init(&context->lock, NULL);
    mill_pair_types_init(&context->pair_types);
    status = mill_block_store_new(filled.max_memory_bytes, filled.spill_directory, &context->blocks,
                                  err);
    if (status == RMQ_OK)
        status = mill_pool_new(filled.worker_threads, &context->pool, err);
    if (status != RMQ_OK)
        mill_context_free(context);
    else
        *out_context = context;
    return status;
}

void mill_context_free(mill_context *context)
{
    if (context == NULL)
        return;
    mill_pool_free(context->pool);
    mill_lineage_free_all(context);
    mill_pair_types_deinit(&context->pair_types);
    mill_block_store_free(context->blocks);
    pthread_mutex_destroy(&context->lock);
    rmq_free(context);
}

uint32_t mill_context_workers(const mill_context *context)
{
    return mill_pool_workers(context->pool);
}

mill_block_store *mill_context_blocks(mill_context *context)
{
    return context->blocks;
}

const mill_type *mill_type_pair(mill_context *context, const mill_type *key, const mill_type *value,
                                rmq_error *err)
{
    return mill_pair_types_get(&context->pair_types, key, value, err);
}

void mill_context_log(mill_context *context, rmq_log_level level, const char *area,
                      const char *format, ...)
{
    if (context->config.log == NULL || level > context->config.log_level)
        return;
    char line[LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    context->config.log(context->config.log_ctx, level, area, line);
}
