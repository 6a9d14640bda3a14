/* The job: the orders go to the table `applied`, by number, and their sums by key to `totals`. The
 * books count how often each order took effect, in the batch's own transaction; what must be in
 * them is known beforehand. */
#include "fault_job.h"

#include "fail_once.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const create_sql[2] = {
    "CREATE TABLE IF NOT EXISTS applied (orderNo INTEGER PRIMARY KEY, times INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS totals (k INTEGER PRIMARY KEY, total INTEGER NOT NULL)"};
static const char *const write_sql[2] = {
    "INSERT INTO applied VALUES (?1, 1) ON CONFLICT (orderNo) DO UPDATE SET times = times + 1",
    "INSERT INTO totals VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET total = total + ?2"};

static int64_t keys = FAULT_JOB_KEYS;

static void make_utf16(const fault_job *job)
{
    char path[512];
    sqlite3 *db = NULL;
    for (int i = 0; i < job->n_sinks; i++) {
        snprintf(path, sizeof(path), "%s/%d.db", job->dir, i);
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_int_eq(
            sqlite3_exec(db, "PRAGMA encoding='UTF-16'; CREATE TABLE other (x)", NULL, NULL, NULL),
            SQLITE_OK);
        sqlite3_close(db);
    }
}

void fault_job_begin(fault_job *job)
{
    job->dir = temp_dir_make();
    memset(&job->topic, 0, sizeof(job->topic));
    job->topic.max_per_queue = FAULT_JOB_ORDERS / 3;
    for (int q = 0; q < FAULT_JOB_QUEUES; q++)
        job->topic.max[q] = FAULT_JOB_ORDERS;
    if (job->utf16)
        make_utf16(job);
}

void fault_job_end(fault_job *job)
{
    temp_dir_remove(job->dir);
    job->dir = NULL;
}

/* ---- building ---- */

static rmq_status bind_order(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)ctx;
    mill_bind_int64(binder, 1, *(const int64_t *)row);
    return RMQ_OK;
}

static rmq_status bind_total(const void *row, mill_sql_binder *binder, void *ctx)
{
    mill_bind_int64(binder, 1, *(const int64_t *)mill_pair_key(row));
    mill_bind_int64(binder, 2, *(const int64_t *)mill_pair_value(ctx, row));
    return RMQ_OK;
}

static rmq_status make_sink(const fault_job *job, int number, const mill_type *pair,
                            mill_sink **out_sink, rmq_error *err)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%d.db", job->dir, number);
    mill_sql_target targets[2] = {
        {.type = mill_type_int64(), .bind = bind_order},
        {.type = pair, .bind = bind_total, .ctx = (void *)(uintptr_t)pair}};
    for (int i = 0; i < 2; i++) {
        targets[i].create_sql = create_sql[i];
        targets[i].statement = write_sql[i];
    }
    mill_sqlite_config config = MILL_SQLITE_CONFIG_INIT;
    config.path = path;
    config.targets = targets;
    config.n_targets = job->sums ? 2 : 1;
    config.unsafe_offsets = job->unsafe;
    return mill_sqlite_sink_new(&config, out_sink, err);
}

static rmq_status number_of_message(const void *row, void *out_row, mill_task *task, void *ctx)
{
    (void)ctx;
    const rmq_message *message = row;
    char text[32] = "";
    size_t len = message->body.len < sizeof(text) - 1 ? message->body.len : sizeof(text) - 1;
    memcpy(text, message->body.data, len);
    if (strncmp(text, "message-", 8) != 0)
        return mill_task_fail(task, "a body that was not sent");
    *(int64_t *)out_row = fake_number(message->queue_id, strtoll(text + 8, NULL, 10));
    return RMQ_OK;
}

static mill_dataset *make_orders(fault_job *job, mill_streaming_context *stream, rmq_error *err)
{
    if (job->far == NULL)
        return fake_stream(stream, &job->topic, err);
    mill_direct_config direct = MILL_DIRECT_CONFIG_INIT;
    direct.client.namesrv = job->far->namesrv;
    direct.client.request_timeout_ms = 1000;
    direct.client.connect_timeout_ms = 2000;
    direct.client.reconnect_max_ms = 50;
    direct.topics = job->far->topic;
    direct.max_records_per_batch = FAULT_JOB_QUEUES * FAULT_JOB_ORDERS / 3;
    mill_dataset *messages = mill_direct_stream(stream, &direct, err);
    return mill_map(messages, mill_type_int64(), number_of_message, NULL, err);
}

static rmq_status write_all(const fault_job *job, mill_context *context, mill_dataset *orders,
                            rmq_error *err)
{
    mill_dataset *sums = NULL;
    const mill_type *pair = NULL;
    rmq_status status = RMQ_OK;
    if (job->sums) {
        mill_dataset *keyed = mill_key_by(orders, mill_type_int64(), key_modulo, &keys, err);
        sums = mill_reduce_by_key(keyed, reduce_sum, 2, NULL, err);
        pair = mill_type_pair(context, mill_type_int64(), mill_type_int64(), err);
        if (sums == NULL || pair == NULL)
            return err->status;
    }
    for (int i = 0; i < job->n_sinks && status == RMQ_OK; i++) {
        mill_sink *sink = NULL;
        status = make_sink(job, i, pair, &sink, err);
        if (status != RMQ_OK)
            break;
        status = mill_write_to(orders, sink, 0, err);
        if (status != RMQ_OK) {
            mill_sink_free(sink);
            break;
        }
        if (job->sums)
            status = mill_write_to(sums, sink, 1, err);
    }
    return status;
}

static rmq_status build(fault_job *job, mill_context *context, mill_streaming_context **out_stream,
                        rmq_error *err)
{
    char checkpoint[512];
    snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint", job->dir);
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    config.name = "faults";
    config.checkpoint = checkpoint;
    config.trigger = MILL_TRIGGER_AVAILABLE_NOW;
    config.min_batches_to_retain = 1;
    rmq_status status = mill_streaming_context_new(context, &config, out_stream, err);
    if (status != RMQ_OK)
        return status;
    mill_dataset *orders = make_orders(job, *out_stream, err);
    return orders != NULL ? write_all(job, context, orders, err) : err->status;
}

rmq_status fault_job_run(fault_job *job, rmq_error *err)
{
    mill_context *context = NULL;
    mill_streaming_context *stream = NULL;
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = 2;
    config.max_memory_bytes = job->sums ? 1 : 0;
    rmq_status status = mill_context_new(&config, &context, err);
    if (status == RMQ_OK)
        status = build(job, context, &stream, err);
    if (status == RMQ_OK)
        status = mill_streaming_start(stream, err);
    if (status == RMQ_OK)
        status = mill_streaming_await(stream, 60000, err);
    mill_streaming_context_free(stream);
    mill_context_free(context);
    return status;
}

/* ---- the books ---- */

/* Value of `key`; 0 if it isn't in. */
static int64_t look_up(sqlite3_stmt *select, int64_t key)
{
    sqlite3_reset(select);
    sqlite3_bind_int64(select, 1, key);
    return sqlite3_step(select) == SQLITE_ROW ? sqlite3_column_int64(select, 0) : 0;
}

/* The sums that the orders which are in would give. */
static void check_orders(const char *name, sqlite3_stmt *select, bool complete,
                         int64_t out_sums[FAULT_JOB_KEYS])
{
    for (int64_t q = 0; q < FAULT_JOB_QUEUES; q++) {
        for (int64_t n = 0; n < FAULT_JOB_ORDERS; n++) {
            int64_t order = fake_number(q, n);
            int64_t times = look_up(select, order);
            if (times > 1 || (complete && times != 1))
                fail_once_wrong("%s: order %lld took effect %lld times", name, (long long)order,
                                (long long)times);
            out_sums[order % FAULT_JOB_KEYS] += times * order;
        }
    }
}

static void check_database(const fault_job *job, int number, bool complete)
{
    char path[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *orders = NULL;
    sqlite3_stmt *totals = NULL;
    int64_t sums[FAULT_JOB_KEYS] = {0};
    snprintf(path, sizeof(path), "%s/%d.db", job->dir, number);
    bool there = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                 sqlite3_prepare_v3(db, "SELECT times FROM applied WHERE orderNo = ?1", -1, 0,
                                    &orders, NULL) == SQLITE_OK;
    if (!there && complete)
        fail_once_wrong("%s: cannot read its orders", path);
    if (there)
        check_orders(path, orders, complete, sums);
    if (there && job->sums &&
        sqlite3_prepare_v3(db, "SELECT total FROM totals WHERE k = ?1", -1, 0, &totals, NULL) ==
            SQLITE_OK) {
        for (int64_t k = 0; k < FAULT_JOB_KEYS; k++) {
            if (look_up(totals, k) != sums[k])
                fail_once_wrong("%s: key %lld has %lld, its orders give %lld", path, (long long)k,
                                (long long)look_up(totals, k), (long long)sums[k]);
        }
    }
    sqlite3_finalize(orders);
    sqlite3_finalize(totals);
    sqlite3_close(db);
}

void fault_job_check(const fault_job *job, bool complete)
{
    for (int i = 0; i < job->n_sinks; i++)
        check_database(job, i, complete);
}
