/* What does a micro-batch cost that has nothing to do?
 *
 *     empty_batch DIRECTORY KIND SYNCS SECONDS
 *
 * KIND is none (a record arrives that the job leaves out: all steps of a batch, and no row) or one
 * (one order, one row). SYNCS is sync or nosync. The program stands in for fsync and fdatasync,
 * also for SQLite: with `sync` it calls the system's and counts and times them, with `nosync` it
 * only counts. All else (files, links, renames, the database) is done in either case. Prints one
 * line of JSON; what it gives for syncs covers start-up, too, which makes a few dozen.
 *
 * Not a batch at all: a tick that finds nothing new. The driver asks its sources and goes back to
 * sleep; nothing is written. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "orders.h"

static bool do_sync;
static atomic_llong n_syncs;
static atomic_llong sync_ns;

static int sync_by(long call, int fd)
{
    atomic_fetch_add(&n_syncs, 1);
    if (!do_sync)
        return 0;
    double began = now_seconds();
    int result = (int)syscall(call, fd);
    atomic_fetch_add(&sync_ns, (long long)((now_seconds() - began) * 1e9));
    return result;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s DIRECTORY none|one sync|nosync SECONDS\n", argv[0]);
        return 2;
    }
    orders all = {.batch_orders = 1, .empty = strcmp(argv[2], "none") == 0};
    all.min_seconds = atof(argv[4]);
    do_sync = strcmp(argv[3], "sync") == 0;
    orders_make(&all, 1000, 100000);
    rmq_error err;
    rmq_status status = orders_run(&all, 2, argv[1], &err);
    free(all.bodies);
    if (status != RMQ_OK) {
        fprintf(stderr, "empty_batch: %s: %s\n", rmq_status_name(status), err.text);
        return 1;
    }
    printf("{\"batches\": %" PRId64 ", \"seconds\": %.6f, \"cpuSeconds\": %.6f, \"syncs\": %lld, "
           "\"syncSeconds\": %.6f}\n",
           all.n_batches, all.ended - all.began, all.cpu_ended - all.cpu_began,
           atomic_load(&n_syncs), (double)atomic_load(&sync_ns) / 1e9);
    return 0;
}
