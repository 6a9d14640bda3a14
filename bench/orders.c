/* Orders in memory and the job over them.
 *
 * The job is that of `millrace demo job` without its second table: each message's body is read as
 * JSON (orderNo, customer, cost), costs are added by customer, and the sums of a batch are added to
 * a table in the transaction that also holds the stream's id, epoch, batch and offsets. Driver,
 * checkpoint and sink are the real ones; only the network is left out: the source's "broker" is an
 * array of bodies, laid out before the clock starts.
 *
 * Which customer an order has is a hash of its number, so that keys come in no order and each about
 * as often as the other. */
#include "orders.h"

#include <inttypes.h>
#include <rmq/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "stream/source.h"

const char orders_create_sql[] = "CREATE TABLE IF NOT EXISTS totals(customer TEXT PRIMARY KEY, "
                                 "total INTEGER NOT NULL) WITHOUT ROWID";
const char orders_upsert_sql[] = "INSERT INTO totals VALUES(?1, ?2) ON CONFLICT(customer) DO "
                                 "UPDATE SET total = total + excluded.total";

double now_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- the orders ---- */

int64_t order_key(const orders *all, int64_t i)
{
    uint64_t hash = ((uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return (int64_t)((hash >> 32) * (uint64_t)all->n_keys >> 32);
}

int64_t order_cost(int64_t i)
{
    return 100 + i % 900;
}

void order_key_text(int64_t key, char out_text[ORDERS_KEY_BYTES + 1])
{
    memcpy(out_text, "c-00000000", ORDERS_KEY_BYTES + 1);
    for (int i = ORDERS_KEY_BYTES - 1; key > 0 && i > 1; key /= 10)
        out_text[i--] = (char)('0' + key % 10);
}

void orders_make(orders *all, int64_t n_keys, int64_t n_orders)
{
    all->n_keys = n_keys;
    all->n_orders = n_orders / ORDERS_QUEUES * ORDERS_QUEUES;
    char body[128];
    const char *format =
        "{\"orderNo\":\"o-%010" PRId64 "\",\"customer\":\"%s\",\"cost\":%" PRId64 "}";
    char key[ORDERS_KEY_BYTES + 1];
    order_key_text(0, key);
    all->body_bytes = (size_t)snprintf(body, sizeof(body), format, (int64_t)0, key, order_cost(0));
    all->bodies = malloc((size_t)all->n_orders * all->body_bytes + 1);
    if (all->bodies == NULL) {
        fprintf(stderr, "bench: no memory for %" PRId64 " orders\n", all->n_orders);
        exit(EXIT_FAILURE);
    }
    for (int64_t i = 0; i < all->n_orders; i++) {
        order_key_text(order_key(all, i), key);
        snprintf(all->bodies + (size_t)i * all->body_bytes, all->body_bytes + 1, format, i, key,
                 order_cost(i));
    }
}

/* ---- the source ---- */

static void source_describe(void *self, rmq_json_writer *writer)
{
    (void)self;
    rmq_json_key(writer, "queues");
    rmq_json_int64(writer, ORDERS_QUEUES);
}

static rmq_status source_open(void *self, rmq_error *err)
{
    (void)self;
    (void)err;
    return RMQ_OK;
}

static rmq_status source_start(void *self, mill_positions *positions, rmq_error *err)
{
    (void)self;
    rmq_status status = RMQ_OK;
    for (int32_t q = 0; status == RMQ_OK && q < ORDERS_QUEUES; q++) {
        rmq_queue queue = {"orders", "memory", q};
        status = mill_positions_add(positions, &queue, 0, err);
    }
    return status;
}

static rmq_status source_plan(void *self, const mill_plan_request *request, mill_plan_offer *offer,
                              rmq_error *err)
{
    orders *all = self;
    if (all->began == 0) {
        all->cpu_began = cpu_seconds();
        all->began = now_seconds();
    }
    bool more = all->max_batches != 0 ? all->n_batches < all->max_batches
                                      : now_seconds() - all->began < all->min_seconds;
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < request->positions->count; i++) {
        status = mill_ranges_add(offer->ranges, &request->positions->items[i], err);
        int64_t share = (all->batch_orders + ORDERS_QUEUES - 1 - (int64_t)i) / ORDERS_QUEUES;
        if (status == RMQ_OK && more)
            offer->ranges->items[i].end_offset += share;
    }
    return status;
}

static rmq_status source_read(void *self, mill_source_read *read, mill_emitter *out,
                              mill_task *task, rmq_error *err)
{
    const orders *all = self;
    const mill_range *range = read->range;
    (void)task;
    (void)err;
    rmq_message message = {.topic = {"orders", 6},
                           .broker_name = {"memory", 6},
                           .queue_id = range->from.queue_id,
                           .body = {"{}", 2}};
    int64_t offset = range->from.next_offset;
    for (; offset < range->end_offset; offset++) {
        int64_t i = (offset * ORDERS_QUEUES + message.queue_id) % all->n_orders;
        message.queue_offset = offset;
        if (!all->empty)
            message.body = (rmq_slice){all->bodies + (size_t)i * all->body_bytes, all->body_bytes};
        rmq_status status = mill_emit(out, &message);
        if (status != RMQ_OK)
            return status;
    }
    read->note->rows = (uint64_t)(range->end_offset - range->from.next_offset);
    return RMQ_OK;
}

static void source_nothing(void *self)
{
    (void)self;
}

static const mill_stream_source_vtable source_vtable = {
    .kind = "orders",
    .describe = source_describe,
    .open = source_open,
    .start = source_start,
    .plan = source_plan,
    .read = source_read,
    .close = source_nothing,
    .free_self = source_nothing,
};

/* ---- the job ---- */

typedef struct order {
    rmq_slice order_no;
    rmq_slice customer;
    int64_t cost;
} order;

static void order_serialize(const mill_type *type, const void *row, mill_output *out)
{
    const order *value = row;
    (void)type;
    mill_put_slice(out, value->order_no);
    mill_put_slice(out, value->customer);
    mill_put_int64(out, value->cost);
}

static rmq_status order_deserialize(const mill_type *type, mill_input *in, void *out_row,
                                    mill_arena *arena)
{
    order *value = out_row;
    (void)type;
    (void)arena;
    value->order_no = mill_get_slice(in);
    value->customer = mill_get_slice(in);
    value->cost = mill_get_int64(in);
    return RMQ_OK;
}

static const mill_type order_type = {
    .struct_size = sizeof(mill_type),
    .name = "order",
    .size_bytes = sizeof(order),
    .serialize = order_serialize,
    .deserialize = order_deserialize,
};

static bool read_order(rmq_json *json, order *value)
{
    rmq_slice key;
    bool has_cost = false;
    bool good = rmq_json_enter_object(json);
    while (good && rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "orderNo"))
            good = rmq_json_read_string(json, &value->order_no);
        else if (rmq_slice_equals(key, "customer"))
            good = rmq_json_read_string(json, &value->customer);
        else if (rmq_slice_equals(key, "cost"))
            good = has_cost = rmq_json_read_int64(json, &value->cost);
        else
            good = rmq_json_skip(json);
    }
    good = good && rmq_json_status(json, NULL) == RMQ_OK && rmq_json_peek(json) == RMQ_JSON_END;
    return good && value->order_no.len != 0 && value->customer.len != 0 && has_cost;
}

/* Leaves out what is no order. The texts are the body's or the reader's, so that lives until the
 * row is done with. */
static rmq_status parse_order(const void *row, mill_emitter *out, mill_task *task, void *ctx)
{
    const rmq_message *message = row;
    order value = {{NULL, 0}, {NULL, 0}, 0};
    rmq_json json;
    (void)task;
    (void)ctx;
    rmq_json_init(&json, message->body, false);
    rmq_status status = read_order(&json, &value) ? mill_emit(out, &value) : RMQ_OK;
    rmq_json_deinit(&json);
    return status;
}

static rmq_status customer_of(const void *row, void *out_key, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *(rmq_slice *)out_key = ((const order *)row)->customer;
    return RMQ_OK;
}

static rmq_status cost_of(const void *row, void *out_value, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *(int64_t *)out_value = ((const order *)row)->cost;
    return RMQ_OK;
}

static rmq_status add(void *accumulator, const void *value, mill_task *task, void *ctx)
{
    (void)task;
    (void)ctx;
    *(int64_t *)accumulator += *(const int64_t *)value;
    return RMQ_OK;
}

static rmq_status bind_total(const void *row, mill_sql_binder *binder, void *ctx)
{
    const mill_type *pair = ctx;
    mill_bind_text(binder, 1, *(const rmq_slice *)mill_pair_key(row));
    mill_bind_int64(binder, 2, *(const int64_t *)mill_pair_value(pair, row));
    return RMQ_OK;
}

static void note_progress(const mill_progress *progress, void *ctx)
{
    orders *all = ctx;
    all->n_batches++;
    all->plan_ms += progress->plan_ms;
    all->read_ms += progress->read_ms;
    all->write_ms += progress->write_ms;
    all->commit_ms += progress->commit_ms;
    all->ended = now_seconds();
    all->cpu_ended = cpu_seconds();
    struct timespec cpu;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    all->driver_cpu = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
}

rmq_status orders_job(orders *all, mill_context *context, const char *checkpoint, const char *db,
                      mill_streaming_context **out_stream, rmq_error *err)
{
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    config.name = "bench";
    config.checkpoint = checkpoint;
    config.trigger = MILL_TRIGGER_AVAILABLE_NOW;
    config.on_progress = note_progress;
    config.on_progress_ctx = all;
    mill_streaming_context *stream = NULL;
    rmq_status status = mill_streaming_context_new(context, &config, &stream, err);
    if (status != RMQ_OK)
        return status;
    const mill_type *text = mill_type_text();
    const mill_type *pair = mill_type_pair(context, text, mill_type_int64(), err);
    mill_dataset *messages =
        mill_stream_add_source(stream, &source_vtable, all, "orders", mill_type_message(), err);
    mill_dataset *parsed = mill_flat_map(messages, &order_type, parse_order, NULL, err);
    mill_dataset *by_customer = mill_key_by(parsed, text, customer_of, NULL, err);
    mill_dataset *costs = mill_map_values(by_customer, mill_type_int64(), cost_of, NULL, err);
    mill_dataset *totals = mill_reduce_by_key(costs, add, 0, NULL, err);
    const mill_sql_target target = {orders_create_sql, orders_upsert_sql, pair, bind_total,
                                    (void *)pair};
    mill_sqlite_config sqlite = MILL_SQLITE_CONFIG_INIT;
    sqlite.path = db;
    sqlite.targets = &target;
    sqlite.n_targets = 1;
    mill_sink *sink = NULL;
    status =
        pair == NULL || totals == NULL ? err->status : mill_sqlite_sink_new(&sqlite, &sink, err);
    if (status == RMQ_OK)
        status = mill_write_to(totals, sink, 0, err);
    if (status == RMQ_OK)
        *out_stream = stream;
    else
        mill_streaming_context_free(stream);
    return status;
}

rmq_status orders_run(orders *all, uint32_t n_workers, const char *directory, rmq_error *err)
{
    char checkpoint[4096];
    char db[4096];
    snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint", directory);
    snprintf(db, sizeof(db), "%s/totals.db", directory);
    mill_context_config config = MILL_CONTEXT_CONFIG_INIT;
    config.worker_threads = n_workers;
    config.spill_directory = directory;
    mill_context *context = NULL;
    mill_streaming_context *stream = NULL;
    rmq_status status = mill_context_new(&config, &context, err);
    if (status == RMQ_OK)
        status = orders_job(all, context, checkpoint, db, &stream, err);
    if (status == RMQ_OK)
        status = mill_streaming_start(stream, err);
    if (status == RMQ_OK)
        status = mill_streaming_await(stream, -1, err);
    mill_streaming_context_free(stream);
    mill_context_free(context);
    return status;
}
