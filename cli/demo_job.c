/* millrace demo job: the main job, from orders in a topic to totals in a database.
 *
 * An order is {"orderNo": text, "customer": text, "cost": integer}. Each batch adds its orders to
 * two tables in one transaction, together with the offsets: totals(customer, total) by
 * reduce_by_key, and applied(orderNo, times), which has a row for every order and would show one
 * that took effect twice. `millrace demo` starts this as a child, and kills it. */
#include "commands.h"

#include <rmq/json.h>
#include <stdatomic.h>
#include <string.h>

#include <mill/sink.h>
#include <mill/stream.h>

#include "connection.h"
#include "log.h"
#include "signals.h"

#define SKIPPED_SHOWN 5 /* so many are named one by one */

/* What workers share. */
typedef struct job_state {
    bool skip_bad;
    atomic_llong n_skipped; /* tries that failed later count, too */
} job_state;

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

/* Why this body is no order, or NULL. Texts are the body's or the reader's. */
static const char *read_order(rmq_json *json, order *value)
{
    rmq_slice key;
    bool has_cost = false;
    bool good = rmq_json_peek(json) == RMQ_JSON_OBJECT && rmq_json_enter_object(json);
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
    if (!good)
        return "its body is no JSON object with texts orderNo and customer and a whole number cost";
    return value->order_no.len == 0   ? "orderNo is missing"
           : value->customer.len == 0 ? "customer is missing"
           : !has_cost                ? "cost is missing"
                                      : NULL;
}

static rmq_status refuse_order(const rmq_message *message, const char *why, mill_task *task,
                               job_state *state)
{
    if (!state->skip_bad)
        return mill_task_fail(task,
                              "the message at %.*s %.*s queue %d offset %lld is no order: %s; "
                              "leave such messages out with --on-bad-order skip",
                              (int)message->topic.len, message->topic.data,
                              (int)message->broker_name.len, message->broker_name.data,
                              message->queue_id, (long long)message->queue_offset, why);
    if (atomic_fetch_add(&state->n_skipped, 1) < SKIPPED_SHOWN)
        mill_log_say("job", "skipped %.*s %.*s queue %d offset %lld: %s", (int)message->topic.len,
                     message->topic.data, (int)message->broker_name.len, message->broker_name.data,
                     message->queue_id, (long long)message->queue_offset, why);
    return RMQ_OK;
}

/* What the JSON reader decodes dies with the reader, so it lives until the order is done with. An
 * order that memory did not suffice for is no bad order: nothing may skip it. */
static rmq_status parse_order(const void *row, mill_emitter *out, mill_task *task, void *ctx)
{
    const rmq_message *message = row;
    order value;
    memset(&value, 0, sizeof(value));
    rmq_json json;
    rmq_json_init(&json, message->body, false);
    const char *why = message->body_status != RMQ_OK
                          ? "its body fails its checksum or can't be decompressed"
                          : read_order(&json, &value);
    rmq_status status = RMQ_NOMEM;
    if (why == NULL)
        status = mill_emit(out, &value);
    else if (message->body_status != RMQ_NOMEM && rmq_json_status(&json, NULL) != RMQ_NOMEM)
        status = refuse_order(message, why, task, ctx);
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

static rmq_status bind_applied(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)ctx;
    mill_bind_text(binder, 1, ((const order *)row)->order_no);
    return RMQ_OK;
}

/* An option that is fail or skip. */
static const char *choice(const mill_args *args, const char *name)
{
    const char *value = mill_args_get(args, name);
    return value != NULL ? value : "fail";
}

static bool check_choice(const mill_args *args, const char *name)
{
    const char *value = choice(args, name);
    if (strcmp(value, "fail") == 0 || strcmp(value, "skip") == 0)
        return true;
    mill_complain_usage(mill_args_command(args), "--%s %s is neither fail nor skip", name, value);
    return false;
}

static rmq_status make_sink(const mill_args *args, const mill_type *pair, mill_sink **out_sink,
                            rmq_error *err)
{
    const mill_sql_target targets[] = {
        {"CREATE TABLE IF NOT EXISTS totals(customer TEXT PRIMARY KEY, total INTEGER NOT NULL) "
         "WITHOUT ROWID",
         "INSERT INTO totals VALUES(?1, ?2) ON CONFLICT(customer) DO UPDATE SET total = total + "
         "excluded.total",
         pair, bind_total, (void *)pair},
        {"CREATE TABLE IF NOT EXISTS applied(orderNo TEXT PRIMARY KEY, times INTEGER NOT NULL) "
         "WITHOUT ROWID",
         "INSERT INTO applied VALUES(?1, 1) ON CONFLICT(orderNo) DO UPDATE SET times = times + 1",
         &order_type, bind_applied, NULL},
    };
    mill_sqlite_config config = MILL_SQLITE_CONFIG_INIT;
    config.path = mill_args_get(args, "db");
    config.targets = targets;
    config.n_targets = 2;
    config.unsafe_offsets = mill_args_flag(args, "unsafe");
    return mill_sqlite_sink_new(&config, out_sink, err);
}

static bool batch_orders(const mill_args *args, int64_t *out_orders)
{
    return mill_args_int64(args, "batch-orders", 1, 1000000, 20000, out_orders);
}

/* Orders to totals and to applied, in one transaction. */
static rmq_status build(const mill_args *args, mill_context *context,
                        mill_streaming_context *stream, const rmq_client_config *client,
                        job_state *state, rmq_error *err)
{
    mill_direct_config direct = MILL_DIRECT_CONFIG_INIT;
    direct.client = *client;
    direct.topics = mill_args_get(args, "topic");
    if (!batch_orders(args, &direct.max_records_per_batch))
        return rmq_error_set(err, RMQ_INVAL, "--batch-orders is no number");
    direct.on_data_loss = strcmp(choice(args, "on-data-loss"), "skip") == 0 ? MILL_DATA_LOSS_SKIP
                                                                            : MILL_DATA_LOSS_FAIL;
    const mill_type *pair = mill_type_pair(context, mill_type_text(), mill_type_int64(), err);
    mill_dataset *messages = mill_direct_stream(stream, &direct, err);
    mill_dataset *orders = mill_flat_map(messages, &order_type, parse_order, state, err);
    mill_dataset *by_customer = mill_key_by(orders, mill_type_text(), customer_of, NULL, err);
    mill_dataset *costs = mill_map_values(by_customer, mill_type_int64(), cost_of, NULL, err);
    mill_dataset *totals = mill_reduce_by_key(costs, add, 0, NULL, err);
    mill_sink *sink = NULL;
    if (pair == NULL || totals == NULL)
        return err->status;
    rmq_status status = make_sink(args, pair, &sink, err);
    if (status == RMQ_OK)
        status = mill_write_to(totals, sink, 0, err);
    if (status == RMQ_OK)
        status = mill_write_to(orders, sink, 1, err);
    return status;
}

static void show_progress(const mill_progress *progress, void *ctx)
{
    (void)ctx;
    if (mill_log_level() >= RMQ_LOG_INFO)
        mill_log_say("job", "batch %lld%s: %llu orders in %lld ms, %llu waiting",
                     (long long)progress->batch_id, progress->again ? " (again)" : "",
                     (unsigned long long)progress->input_rows, (long long)progress->total_ms,
                     (unsigned long long)progress->lag);
}

static void stop_stream(void *stream)
{
    mill_streaming_stop(stream, true);
}

/* Builds and runs it to its end. *out_exit is what a failure means. */
static rmq_status run_stream(const mill_args *args, const mill_streaming_config *config,
                             const rmq_client_config *client, int *out_exit, rmq_error *err)
{
    mill_context_config context_config = MILL_CONTEXT_CONFIG_INIT;
    context_config.log = mill_log_line;
    context_config.log_level = mill_log_level();
    job_state state = {strcmp(choice(args, "on-bad-order"), "skip") == 0, 0};
    mill_context *context = NULL;
    mill_streaming_context *stream = NULL;
    rmq_status status = mill_context_new(&context_config, &context, err);
    if (status == RMQ_OK)
        status = mill_streaming_context_new(context, config, &stream, err);
    if (status == RMQ_OK)
        status = build(args, context, stream, client, &state, err);
    *out_exit = status == RMQ_INVAL ? MILL_EXIT_USAGE : MILL_EXIT_FAILURE;
    if (status == RMQ_OK) {
        mill_signals_on_stop(stop_stream, stream);
        mill_log_quiet(true); /* a link that fails now is what the start reports */
        status = mill_streaming_start(stream, err);
        mill_log_quiet(false);
        if (status == RMQ_OK)
            status = mill_streaming_await(stream, -1, err);
        mill_signals_on_stop(NULL, NULL);
    }
    if (atomic_load(&state.n_skipped) > 0)
        mill_log_say("job", "%lld messages were no orders and were skipped",
                     (long long)atomic_load(&state.n_skipped));
    mill_streaming_context_free(stream);
    mill_context_free(context);
    return status;
}

/* The configuration; false after a complaint. */
static bool parse(const mill_args *args, mill_streaming_config *config)
{
    const char *until = mill_args_get(args, "until");
    int64_t orders = 0;
    int64_t keep = 0;
    if (mill_args_need(args, "topic") == NULL || mill_args_need(args, "db") == NULL ||
        mill_args_need(args, "checkpoint") == NULL ||
        !mill_args_duration(args, "interval", 200, &config->batch_interval_ms) ||
        !batch_orders(args, &orders) ||
        !mill_args_int64(args, "keep-batches", 1, 1000000, 100, &keep))
        return false;
    if (until != NULL && strcmp(until, "end") != 0) {
        mill_complain_usage(mill_args_command(args), "--until %s: only end is understood here",
                            until);
        return false;
    }
    if (!check_choice(args, "on-bad-order") || !check_choice(args, "on-data-loss"))
        return false;
    config->name = "demo";
    config->checkpoint = mill_args_get(args, "checkpoint");
    config->trigger = until != NULL ? MILL_TRIGGER_AVAILABLE_NOW : MILL_TRIGGER_INTERVAL;
    config->min_batches_to_retain = (uint32_t)keep;
    config->take_over = mill_args_flag(args, "take-over");
    config->adopt_sink = mill_args_flag(args, "adopt-sink");
    config->on_progress = show_progress;
    return true;
}

static int run(const mill_args *args)
{
    int exit_code = MILL_EXIT_USAGE;
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    rmq_client_config client;
    mill_secrets secrets;
    rmq_error err;
    if (!parse(args, &config))
        return exit_code;
    if (mill_connection_config(args, &client, &secrets, &exit_code)) {
        rmq_status status = run_stream(args, &config, &client, &exit_code, &err);
        if (status == RMQ_OK)
            exit_code = MILL_EXIT_OK;
        else if (status == RMQ_CANCELLED)
            exit_code = mill_complain_call("demo job", &err);
        else
            mill_complain_error("demo job", &err);
        if (status == RMQ_OK && mill_signals_stopping())
            mill_log_say("job", "stopped; all that was read is committed");
    }
    mill_secrets_free(&secrets);
    return exit_code;
}

static const mill_option options[] = {
    {"topic", "TOPIC", "where the orders are (needed)", false, false},
    {"db", "FILE", "SQLite database for totals and applied (needed)", false, false},
    {"checkpoint", "DIR", "the job's memory (needed)", false, false},
    {"take-over", NULL, "take the checkpoint from a process that still holds it", false, false},
    {"adopt-sink", NULL, "with a new checkpoint: go on from the database's own offsets", false,
     false},
    {"on-bad-order", "fail|skip", "what to do with a message that is no order (default fail)",
     false, false},
    {"on-data-loss", "fail|skip", "what to do if the broker has lost messages (default fail)",
     false, false},
    {"until", "end", "stop when what was there at the start has taken effect", false, false},
    {"interval", "TIME", "batch interval (default 200ms)", false, false},
    {"batch-orders", "N", "so many orders in a batch at most (default 20000)", false, false},
    {"keep-batches", "N", "so many batches stay in the checkpoint (default 100)", false, false},
    {"unsafe", NULL,
     "write offsets outside of the transaction: loses or repeats orders when killed", false, false},
    {NULL, NULL, NULL, false, false},
};

const mill_command mill_command_demo_job = {
    "demo job",
    "Adds up orders from a topic into an SQLite database, exactly once.",
    "An order is {\"orderNo\":\"o-17\",\"customer\":\"c-3\",\"cost\":250}. This is the job that "
    "`millrace demo` kills.",
    NULL,
    options,
    true,
    run,
};
