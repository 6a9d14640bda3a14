/* How many orders a second does the whole job take, from a body in memory to a committed sum?
 *
 *     job DIRECTORY KEYS ORDERS BATCH_ORDERS WORKERS SECONDS
 *
 * DIRECTORY is empty and gets the checkpoint and the database. With SECONDS 0 the ORDERS are taken
 * once; else again and again until so many seconds are over. What comes before the first plan (the
 * orders, the checkpoint, the database, the threads) is not counted. Prints one line of JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "orders.h"

static void print_result(const orders *all)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    int64_t n_orders = all->n_batches * all->batch_orders;
    printf("{\"orders\": %" PRId64 ", \"batches\": %" PRId64 ", \"seconds\": %.6f, "
           "\"cpuSeconds\": %.6f, \"driverCpuSeconds\": %.6f, \"planMs\": %" PRId64
           ", \"readMs\": %" PRId64 ", \"writeMs\": %" PRId64 ", \"commitMs\": %" PRId64
           ", \"maxRssKiB\": %ld, "
           "\"bodyBytes\": %zu}\n",
           n_orders, all->n_batches, all->ended - all->began, all->cpu_ended - all->cpu_began,
           all->driver_cpu, all->plan_ms, all->read_ms, all->write_ms, all->commit_ms,
           usage.ru_maxrss, (size_t)all->n_orders * all->body_bytes);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: %s DIRECTORY KEYS ORDERS BATCH_ORDERS WORKERS SECONDS\n", argv[0]);
        return 2;
    }
    orders all = {.batch_orders = atoll(argv[4]), .min_seconds = atof(argv[6])};
    int64_t n_orders = atoll(argv[3]);
    uint32_t n_workers = (uint32_t)atoi(argv[5]);
    if (atoll(argv[2]) <= 0 || n_orders < ORDERS_QUEUES || all.batch_orders <= 0 || n_workers == 0)
        return 2;
    orders_make(&all, atoll(argv[2]), n_orders);
    if (all.min_seconds <= 0)
        all.max_batches = (n_orders + all.batch_orders - 1) / all.batch_orders;
    rmq_error err;
    rmq_status status = orders_run(&all, n_workers, argv[1], &err);
    if (status == RMQ_OK)
        print_result(&all);
    else
        fprintf(stderr, "job: %s: %s\n", rmq_status_name(status), err.text);
    free(all.bodies);
    return status == RMQ_OK ? 0 : 1;
}
