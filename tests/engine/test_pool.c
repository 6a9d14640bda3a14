#include "../support/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"

#define N_DRIVERS 4
#define N_RUNS 60
#define N_JOBS 40

/* A run of jobs that can be waited for. */
typedef struct job_batch {
    mill_job_queue queue;
    pthread_mutex_t lock;
    pthread_cond_t done;
    int left;
} job_batch;

typedef struct counted_job {
    mill_job job; /* first: jobs are cast back */
    job_batch *batch;
    int runs;
    bool on_worker;
} counted_job;

static void batch_init(job_batch *batch, int left)
{
    memset(batch, 0, sizeof(*batch));
    pthread_mutex_init(&batch->lock, NULL);
    pthread_cond_init(&batch->done, NULL);
    batch->left = left;
}

static void batch_wait(job_batch *batch)
{
    pthread_mutex_lock(&batch->lock);
    while (batch->left != 0)
        pthread_cond_wait(&batch->done, &batch->lock);
    pthread_mutex_unlock(&batch->lock);
    pthread_mutex_destroy(&batch->lock);
    pthread_cond_destroy(&batch->done);
}

static void job_count(mill_job *job)
{
    counted_job *counted = (counted_job *)job;
    counted->runs++;
    counted->on_worker = mill_pool_on_worker();
    job_batch *batch = counted->batch;
    pthread_mutex_lock(&batch->lock);
    if (--batch->left == 0)
        pthread_cond_signal(&batch->done);
    pthread_mutex_unlock(&batch->lock);
}

static void run_once(mill_pool *pool, int n_jobs, int list_len)
{
    job_batch batch;
    batch_init(&batch, n_jobs);
    counted_job *jobs = calloc((size_t)n_jobs, sizeof(*jobs));
    ck_assert_ptr_nonnull(jobs);
    for (int i = 0; i < n_jobs; i++)
        jobs[i] = (counted_job){.job.run = job_count, .batch = &batch};
    for (int i = 0; i < n_jobs; i += list_len) {
        int end = i + list_len < n_jobs ? i + list_len : n_jobs;
        for (int j = i; j + 1 < end; j++)
            jobs[j].job.next = &jobs[j + 1].job;
        mill_pool_submit(pool, &batch.queue, &jobs[i].job);
    }
    batch_wait(&batch);
    for (int i = 0; i < n_jobs; i++) {
        ck_assert_int_eq(jobs[i].runs, 1);
        ck_assert(jobs[i].on_worker);
    }
    free(jobs);
}

static void *driver_main(void *argument)
{
    for (int i = 0; i < N_RUNS; i++)
        run_once(argument, N_JOBS, 1 + i % 7);
    return NULL;
}

START_TEST(every_job_of_many_runs_is_run_once)
{
    rmq_error err;
    mill_pool *pool = NULL;
    ck_ok(mill_pool_new(3, &pool, &err), &err);
    ck_assert_uint_eq(mill_pool_workers(pool), 3);
    ck_assert(!mill_pool_on_worker());
    pthread_t drivers[N_DRIVERS];
    for (int i = 0; i < N_DRIVERS; i++)
        ck_assert_int_eq(pthread_create(&drivers[i], NULL, driver_main, pool), 0);
    for (int i = 0; i < N_DRIVERS; i++)
        pthread_join(drivers[i], NULL);
    mill_pool_free(pool);
}
END_TEST

/* One worker, held up by a first job while two runs are queued: they take turns. */
typedef struct gate_job {
    mill_job job;
    pthread_mutex_t *gate;
    atomic_bool *held;
} gate_job;

static void job_hold(mill_job *job)
{
    gate_job *gated = (gate_job *)job;
    atomic_store(gated->held, true);
    pthread_mutex_lock(gated->gate);
    pthread_mutex_unlock(gated->gate);
}

typedef struct order_job {
    counted_job counted;
    char name;
    char *order;
    int *n_order;
} order_job;

static void job_order(mill_job *job)
{
    order_job *ordered = (order_job *)job;
    ordered->order[(*ordered->n_order)++] = ordered->name; /* one worker */
    job_count(job);
}

START_TEST(runs_take_turns)
{
    rmq_error err;
    mill_pool *pool = NULL;
    ck_ok(mill_pool_new(1, &pool, &err), &err);
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    atomic_bool held = false;
    pthread_mutex_lock(&gate);
    mill_job_queue gate_queue = {0};
    gate_job hold = {.job.run = job_hold, .gate = &gate, .held = &held};
    mill_pool_submit(pool, &gate_queue, &hold.job);
    while (!atomic_load(&held))
        sched_yield();
    char order[9] = "";
    int n_order = 0;
    job_batch batches[2];
    order_job jobs[2][4];
    for (int run = 0; run < 2; run++) {
        batch_init(&batches[run], 4);
        for (int i = 0; i < 4; i++) {
            jobs[run][i] = (order_job){.counted = {.job.run = job_order, .batch = &batches[run]},
                                       .name = (char)('a' + run),
                                       .order = order,
                                       .n_order = &n_order};
            if (i != 0)
                jobs[run][i - 1].counted.job.next = &jobs[run][i].counted.job;
        }
        mill_pool_submit(pool, &batches[run].queue, &jobs[run][0].counted.job);
    }
    pthread_mutex_unlock(&gate);
    batch_wait(&batches[0]);
    batch_wait(&batches[1]);
    ck_assert_str_eq(order, "abababab");
    mill_pool_free(pool);
}
END_TEST

START_TEST(an_idle_pool_can_be_freed)
{
    rmq_error err;
    for (int i = 0; i < 20; i++) {
        mill_pool *pool = NULL;
        ck_ok(mill_pool_new(4, &pool, &err), &err);
        mill_pool_submit(pool, &(mill_job_queue){0}, NULL);
        mill_pool_free(pool);
    }
    mill_pool_free(NULL);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("pool");
    TCase *tc = tcase_create("pool");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_job_of_many_runs_is_run_once);
    tcase_add_test(tc, runs_take_turns);
    tcase_add_test(tc, an_idle_pool_can_be_freed);
    suite_add_tcase(suite, tc);
    return suite;
}
