/* How many rows a second does a worker push through the engine's core?
 *
 *     core [MILLIONS_OF_ROWS] [WORKERS]
 *
 * The source makes numbers out of nothing, so what is measured is the engine: the calls per row and
 * operation, the table of a reduce, and the way through an exchange. Prints one line a question;
 * each is the best of three runs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mill/dataset.h>

typedef struct range {
    int64_t count;
    uint32_t n_partitions;
} range;

static rmq_status range_partitions(void *self, uint32_t *out_count, rmq_error *err)
{
    (void)err;
    *out_count = ((range *)self)->n_partitions;
    return RMQ_OK;
}

static rmq_status range_read(void *self, uint32_t partition, mill_emitter *out, mill_task *task,
                             rmq_error *err)
{
    (void)task;
    (void)err;
    const range *numbers = self;
    int64_t end = numbers->count / numbers->n_partitions * (partition + 1);
    for (int64_t i = numbers->count / numbers->n_partitions * partition; i < end; i++) {
        rmq_status status = mill_emit(out, &i);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static rmq_status add_one(const void *row, void *out_row, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *(int64_t *)out_row = *(const int64_t *)row + 1;
    return RMQ_OK;
}

static rmq_status keep_third(const void *row, bool *out_keep, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *out_keep = *(const int64_t *)row % 3 == 0;
    return RMQ_OK;
}

static rmq_status key_of(const void *row, void *out_key, mill_task *task, void *ctx)
{
    (void)task;
    *(int64_t *)out_key =
        (int64_t)((uint64_t) * (const int64_t *)row * UINT64_C(0x9e3779b97f4a7c15) >> 20) %
        *(const int64_t *)ctx;
    return RMQ_OK;
}

static rmq_status add(void *accumulator, const void *value, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *(int64_t *)accumulator += *(const int64_t *)value;
    return RMQ_OK;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int measure(const char *name, mill_dataset *dataset, int64_t n_rows, uint32_t n_workers)
{
    rmq_error err;
    double best = 0;
    uint64_t count = 0;
    for (int i = 0; i < 3; i++) {
        double start = now();
        if (dataset == NULL || mill_count(dataset, &count, &err) != RMQ_OK) {
            fprintf(stderr, "%s: %s\n", name, dataset != NULL ? err.text : "not built");
            return 1;
        }
        double rate = (double)n_rows / (now() - start) / n_workers / 1e6;
        best = rate > best ? rate : best;
    }
    printf("%-40s %7.1f M rows/s/worker, %" PRIu64 " rows out\n", name, best, count);
    return 0;
}

int main(int argc, char **argv)
{
    int64_t n_rows = (argc > 1 ? atoll(argv[1]) : 10) * 1000000;
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    uint32_t n_workers = config.worker_threads;
    static const mill_source_vtable vtable = {.struct_size = sizeof(vtable),
                                              .name = "range",
                                              .partitions = range_partitions,
                                              .read = range_read};
    range self = {.count = n_rows, .n_partitions = n_workers * 4};
    int64_t few = 1000;
    int64_t many = 1000000;
    rmq_error err;
    mill_context *context = NULL;
    if (n_workers == 0 || mill_context_new(&config, &context, &err) != RMQ_OK)
        return EXIT_FAILURE;
    const mill_type *int64 = mill_type_int64();
    mill_dataset *source = mill_dataset_from_source(context, &vtable, &self, int64, &err);
    mill_dataset *mapped = mill_map(source, int64, add_one, NULL, &err);
    mill_dataset *kept = mill_filter(mapped, keep_third, NULL, &err);
    mill_dataset *by_few = mill_key_by(source, int64, key_of, &few, &err);
    mill_dataset *by_many = mill_key_by(source, int64, key_of, &many, &err);
    int failed = measure("read and count", source, n_rows, n_workers);
    failed |= measure("map, filter", kept, n_rows, n_workers);
    failed |= measure("reduce_by_key, 1000 keys", mill_reduce_by_key(by_few, add, 0, NULL, &err),
                      n_rows, n_workers);
    failed |= measure("reduce_by_key, 1 000 000 keys",
                      mill_reduce_by_key(by_many, add, 0, NULL, &err), n_rows, n_workers);
    mill_context_free(context);
    return failed;
}
