/* Worker threads.
 *
 * Each run has a queue of its own, and the pool has the ring of queues that are not empty: a worker
 * takes one job from the first queue and puts that queue at the end. So a run of ten thousand tasks
 * does not hold up the small run of another job.
 *
 *     turn -> [queue A: job job job] -> [queue B: job]
 *
 * Submitting never fails and never waits, since jobs and queues are embedded in what they belong
 * to. Nothing is run under the lock. Workers block all signals: handlers belong to the program's
 * own threads. */
#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

struct mill_pool {
    uint32_t n_workers; /* that were started */
    pthread_t *threads;
    pthread_mutex_t lock; /* guards all below, and what is in the queues */
    pthread_cond_t work;
    mill_job_queue *first_turn;
    mill_job_queue *last_turn;
    uint32_t n_named; /* workers that have taken a number for their name */
    bool stopping;
};

static _Thread_local bool on_worker;

bool mill_pool_on_worker(void)
{
    return on_worker;
}

uint32_t mill_pool_workers(const mill_pool *pool)
{
    return pool->n_workers;
}

static void turn_append(mill_pool *pool, mill_job_queue *queue)
{
    queue->next = NULL;
    if (pool->first_turn == NULL)
        pool->first_turn = queue;
    else
        pool->last_turn->next = queue;
    pool->last_turn = queue;
}

static mill_job *job_take(mill_pool *pool)
{
    mill_job_queue *queue = pool->first_turn;
    if (queue == NULL)
        return NULL;
    pool->first_turn = queue->next;
    mill_job *job = queue->first;
    queue->first = job->next;
    if (queue->first != NULL)
        turn_append(pool, queue);
    return job;
}

/* For debuggers, profilers and the tests that aim at one thread. */
static void name_worker(uint32_t number)
{
    char name[16]; /* the kernel's limit */
    snprintf(name, sizeof(name), "mill-work-%u", number % 100000);
    pthread_setname_np(pthread_self(), name);
}

static void *worker_main(void *argument)
{
    mill_pool *pool = argument;
    on_worker = true;
    pthread_mutex_lock(&pool->lock);
    name_worker(pool->n_named++);
    for (;;) {
        mill_job *job = job_take(pool);
        if (job != NULL) {
            pthread_mutex_unlock(&pool->lock);
            job->run(job);
            pthread_mutex_lock(&pool->lock);
        } else if (pool->stopping) {
            break;
        } else {
            pthread_cond_wait(&pool->work, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int workers_start(mill_pool *pool, uint32_t n_workers)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int os_errno = 0;
    while (os_errno == 0 && pool->n_workers < n_workers) {
        os_errno = pthread_create(&pool->threads[pool->n_workers], NULL, worker_main, pool);
        if (os_errno == 0)
            pool->n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return os_errno;
}

rmq_status mill_pool_new(uint32_t n_workers, mill_pool **out_pool, rmq_error *err)
{
    mill_pool *pool = rmq_calloc(1, sizeof(*pool));
    if (pool == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the worker pool");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->threads = rmq_calloc(n_workers, sizeof(*pool->threads));
    if (pool->threads == NULL) {
        mill_pool_free(pool);
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %u workers", n_workers);
    }
    int os_errno = workers_start(pool, n_workers);
    if (os_errno != 0) {
        uint32_t started = pool->n_workers;
        mill_pool_free(pool);
        return rmq_error_set_errno(err, os_errno, "start worker %u of %u", started + 1, n_workers);
    }
    *out_pool = pool;
    return RMQ_OK;
}

void mill_pool_free(mill_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->n_workers; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    rmq_free(pool->threads);
    rmq_free(pool);
}

void mill_pool_submit(mill_pool *pool, mill_job_queue *queue, mill_job *first)
{
    if (first == NULL)
        return;
    mill_job *last = first;
    while (last->next != NULL)
        last = last->next;
    pthread_mutex_lock(&pool->lock);
    if (queue->first == NULL) {
        queue->first = first;
        turn_append(pool, queue);
    } else {
        queue->last->next = first;
    }
    queue->last = last;
    if (first == last)
        pthread_cond_signal(&pool->work);
    else
        pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}
