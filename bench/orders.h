/* Orders in memory, as a stream's source, and the job that adds them up: what the benchmarks of the
 * whole job share. */
#ifndef BENCH_ORDERS_H
#define BENCH_ORDERS_H

#include <mill/sink.h>
#include <mill/stream.h>

#define ORDERS_QUEUES 4
#define ORDERS_KEY_BYTES 10 /* "c-00000001" */

/* Made by orders_make. Order i belongs to queue i % ORDERS_QUEUES; where the queues end they begin
 * again. */
typedef struct orders {
    int64_t n_keys;
    int64_t n_orders; /* in memory; a multiple of ORDERS_QUEUES */
    char *bodies;     /* all of one length, one after the other */
    size_t body_bytes;

    /* What is offered to the stream: */
    int64_t batch_orders;
    int64_t max_batches; /* 0: as many as fill min_seconds */
    double min_seconds;
    bool empty; /* the bodies are none that the job counts */

    /* What was seen: */
    int64_t n_batches;
    double began, ended;         /* when the first batch was planned, when the last was done */
    double cpu_began, cpu_ended; /* of the whole process */
    double driver_cpu;           /* of the driver's thread */
    int64_t plan_ms, read_ms, write_ms, commit_ms;
} orders;

double now_seconds(void);
double cpu_seconds(void);

/* Which key order i has, and what it costs: the same in every run. */
int64_t order_key(const orders *all, int64_t i);
int64_t order_cost(int64_t i);
/* Writes the text of a key: ORDERS_KEY_BYTES bytes and a zero. */
void order_key_text(int64_t key, char out_text[ORDERS_KEY_BYTES + 1]);

/* Exits if memory runs out. Free `bodies` with free. */
void orders_make(orders *all, int64_t n_keys, int64_t n_orders);

extern const char orders_create_sql[];
extern const char orders_upsert_sql[];

/* The stream: orders -> JSON -> sum by customer -> table totals in `db`. Progress goes into `all`.
 */
rmq_status orders_job(orders *all, mill_context *context, const char *checkpoint, const char *db,
                      mill_streaming_context **out_stream, rmq_error *err);
/* Runs it until the orders end. */
rmq_status orders_run(orders *all, uint32_t n_workers, const char *directory, rmq_error *err);

#endif
