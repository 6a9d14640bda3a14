/* The worker threads of a context. */
#ifndef MILL_POOL_H
#define MILL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <rmq/base.h>

typedef struct mill_pool mill_pool;

/* A piece of work; embedded in what it is about. `run` is called once, on a worker, under no lock;
 * after that the pool doesn't touch the job again. */
typedef struct mill_job {
    void (*run)(struct mill_job *job);
    struct mill_job *next;
} mill_job;

/* The jobs of one run, waiting for workers; embedded. All zero is empty. Belongs to the pool's
 * lock. */
typedef struct mill_job_queue {
    mill_job *first;
    mill_job *last;
    struct mill_job_queue *next;
} mill_job_queue;

/* Errors: NOMEM, IO (no thread). */
RMQ_MUST_CHECK rmq_status mill_pool_new(uint32_t n_workers, mill_pool **out_pool, rmq_error *err);
/* Runs what is still queued, then joins the workers. Accepts NULL. Thread: any but a worker. */
void mill_pool_free(mill_pool *pool);

/* Appends the list that begins at `first` (linked by next) to `queue`, which must live until all
 * its jobs have begun. Cannot fail. Thread: any, also a worker. */
void mill_pool_submit(mill_pool *pool, mill_job_queue *queue, mill_job *first);

uint32_t mill_pool_workers(const mill_pool *pool);
/* The calling thread is a worker of some pool: it must not wait for work. */
bool mill_pool_on_worker(void);

#endif
