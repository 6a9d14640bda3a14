/* millrace demo: orders flow through a topic into a database while the job is killed again and
 * again; at the end the books are compared.
 *
 *   producer thread --> topic (development broker, or --namesrv) --> child `millrace demo job` -->
 * SQLite |                                                              ^ SIGKILL, restart        |
 *        +--> ledger (what was acknowledged) ------------------- compared at the end -------------+
 *
 * Only kills that hit a batch between its plan and its done are counted. The last line on stdout is
 * the verdict. */
#include "demo.h"
#include "commands.h"

#include <errno.h>
#include <ftw.h>
#include <rmq/admin.h>
#include <rmq/devbroker.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "log.h"
#include "signals.h"

#define SPREAD_MS_PER_CRASH 1000
#define N_QUEUES 4

typedef struct demo {
    int64_t n_orders;
    int64_t n_keys;
    int64_t n_crashes;
    bool keep;
    bool terminal;
    char *directory; /* ours, removed at the end unless --keep */
    char *database;
    char *checkpoint;
    char *topic;
    bool has_topic; /* it may be there */
    char *namesrv;
    rmq_devbroker *broker;
    rmq_client *client;
    mill_ledger ledger;
    mill_demo_producer *producer;
    mill_demo_child child;
    char *connection[MILL_CONNECTION_WORDS];
    size_t n_connection;
    int64_t crashes;
    int64_t misses;
    int64_t started_ms;
    int64_t shown_ms;
} demo;

static int64_t now_ms(void)
{
    return rmq_clock_monotonic_ns() / 1000000;
}

/* A line of the story, with the time since the start. */
static void tell(const demo *self, const char *format, ...) RMQ_PRINTF(2, 3);
static void tell(const demo *self, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    int64_t ms = now_ms() - self->started_ms;
    fprintf(stderr, "%s%3lld.%lld s  %s\n", self->terminal ? "\r\033[K" : "",
            (long long)(ms / 1000), (long long)(ms % 1000 / 100), text);
}

/* How far things are: on a terminal a line that is drawn over, else a line a second. */
static void show_bar(demo *self)
{
    bool done = false;
    int64_t sent = atomic_load(&self->ledger.sent);
    if (now_ms() < self->shown_ms + (self->terminal ? 100 : 1000))
        return;
    self->shown_ms = now_ms();
    int64_t batch = mill_demo_newest_plan(self->checkpoint, &done);
    int64_t applied = mill_demo_applied(self->database);
    if (!self->terminal) {
        tell(self, "%lld orders sent, %lld applied, batch %lld", (long long)sent,
             (long long)applied, (long long)batch);
        return;
    }
    char bar[41];
    int64_t n = self->n_orders > 0 ? self->n_orders : 1;
    for (int i = 0; i < 40; i++)
        bar[i] = i < applied * 40 / n ? '#' : i < sent * 40 / n ? '-' : '.';
    bar[40] = '\0';
    fprintf(stderr, "\r\033[K%3lld.%lld s  [%s] %lld sent, %lld applied, batch %lld",
            (long long)((now_ms() - self->started_ms) / 1000),
            (long long)((now_ms() - self->started_ms) % 1000 / 100), bar, (long long)sent,
            (long long)applied, (long long)batch);
}

/* ---- preparations ---- */

static char *joined(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static rmq_status make_places(demo *self, const mill_args *args, rmq_error *err)
{
    const char *base = getenv("TMPDIR");
    const char *database = mill_args_get(args, "db");
    if (asprintf(&self->directory, "%s/millrace-demo-XXXXXX",
                 base != NULL && base[0] != '\0' ? base : "/tmp") < 0)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    if (mkdtemp(self->directory) == NULL)
        return rmq_error_set_errno(err, errno, "%s", self->directory);
    self->checkpoint = joined(self->directory, "checkpoint");
    self->database = database != NULL ? strdup(database) : joined(self->directory, "orders.db");
    if (self->checkpoint == NULL || self->database == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    if (database != NULL && access(database, F_OK) == 0)
        return rmq_error_set(err, RMQ_EXISTS, "%s is there already; the demo wants a new database",
                             database);
    return RMQ_OK;
}

static rmq_status start_broker(demo *self, rmq_client_config *client, rmq_error *err)
{
    if (client->namesrv == NULL) {
        rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
        config.log = mill_log_line;
        config.log_level = mill_log_level();
        rmq_status status = rmq_devbroker_new(&config, &self->broker, err);
        if (status != RMQ_OK)
            return status;
        client->namesrv = rmq_devbroker_namesrv(self->broker);
    }
    self->namesrv = strdup(client->namesrv);
    if (self->namesrv == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    return RMQ_OK;
}

static rmq_status connect_and_create(demo *self, const rmq_client_config *config, rmq_error *err)
{
    rmq_topic_config topic = RMQ_TOPIC_CONFIG_INIT;
    rmq_status status = rmq_client_new(config, &self->client, err);
    if (status != RMQ_OK)
        return status;
    mill_signals_cancel_client(self->client);
    if (asprintf(&self->topic, "OrderTopic-demo-%llx", (unsigned long long)rmq_clock_wall_ms()) < 0)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    topic.topic = self->topic;
    topic.read_queues = N_QUEUES;
    topic.write_queues = N_QUEUES;
    mill_log_quiet(true); /* a link that fails now is what we report */
    status = rmq_client_connect(self->client, config->connect_timeout_ms, err);
    mill_log_quiet(false);
    if (status != RMQ_OK)
        return status;
    status = rmq_topic_create(self->client, &topic, err);
    self->has_topic = status != RMQ_AUTH && status != RMQ_BROKER; /* refused: it isn't */
    return status;
}

static rmq_status prepare(demo *self, const mill_args *args, rmq_client_config *config,
                          rmq_error *err)
{
    static char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (n < 0)
        return rmq_error_set_errno(err, errno, "/proc/self/exe");
    program[n] = '\0';
    rmq_status status = make_places(self, args, err);
    if (status == RMQ_OK)
        status = start_broker(self, config, err);
    if (status == RMQ_OK)
        status = connect_and_create(self, config, err);
    if (status == RMQ_OK)
        status = mill_ledger_init(&self->ledger, (uint64_t)rmq_clock_wall_ms(), self->n_orders,
                                  self->n_keys, err);
    self->child = (mill_demo_child){.program = program,
                                    .namesrv = self->namesrv,
                                    .topic = self->topic,
                                    .database = self->database,
                                    .checkpoint = self->checkpoint,
                                    .connection = self->connection,
                                    .n_connection = self->n_connection,
                                    .unsafe = mill_args_flag(args, "unsafe")};
    return status;
}

/* ---- the show ---- */

static rmq_status child_failed(demo *self, int wait_status, rmq_error *err)
{
    (void)self;
    if (WIFSIGNALED(wait_status))
        return rmq_error_set(err, RMQ_USER, "the job was killed by signal %d, not by the demo",
                             WTERMSIG(wait_status));
    return rmq_error_set(err, RMQ_USER, "the job ended by itself with exit code %d",
                         WEXITSTATUS(wait_status));
}

/* When the next crash is due, in orders sent; `steps` 1: the one after. */
static int64_t crash_due(const demo *self, int64_t steps)
{
    return self->n_orders * (self->crashes + 1 + steps) / (self->n_crashes + 2);
}

/* Lets the producer run one crash ahead, and to the end after the last. */
static void allow_orders(demo *self)
{
    atomic_store(&self->ledger.allowed,
                 self->crashes < self->n_crashes ? crash_due(self, 1) : self->n_orders);
}

/* One crash: starts the job if it isn't there, kills it in a batch. */
static rmq_status crash_once(demo *self, rmq_error *err)
{
    mill_demo_wreck wreck;
    rmq_status status =
        self->child.pid == 0 ? mill_demo_child_start(&self->child, false, err) : RMQ_OK;
    if (status != RMQ_OK)
        return status;
    show_bar(self);
    mill_demo_aim aim =
        self->child.unsafe ? MILL_AIM_COMMIT : (mill_demo_aim)((self->crashes + self->misses) % 3);
    if (!mill_demo_kill(&self->child, aim, &wreck)) {
        if (mill_signals_stopping())
            return rmq_error_set(err, RMQ_CANCELLED, "stopped");
        return rmq_error_set(err, RMQ_USER,
                             "the job ended by itself; run `millrace demo job` to see why");
    }
    if (!wreck.hit) {
        self->misses++;
        return RMQ_OK;
    }
    self->crashes++;
    allow_orders(self);
    tell(self, "crash %lld of %lld: SIGKILL in batch %lld (%s); starting it again",
         (long long)self->crashes, (long long)self->n_crashes, (long long)wreck.batch_id,
         wreck.step);
    return RMQ_OK;
}

/* Lets the job run, crashing it at even distances, until all is sent and all crashes happened. */
static rmq_status run_crashes(demo *self, rmq_error *err)
{
    rmq_status status = mill_demo_child_start(&self->child, false, err);
    while (status == RMQ_OK &&
           !(mill_demo_producer_done(self->producer) && self->crashes >= self->n_crashes)) {
        int wait_status = 0;
        if (mill_signals_stopping())
            return rmq_error_set(err, RMQ_CANCELLED, "stopped");
        if (mill_demo_producer_done(self->producer))
            return RMQ_OK; /* it failed, or the orders ran out: the caller tells */
        if (self->crashes < self->n_crashes &&
            atomic_load(&self->ledger.sent) >= crash_due(self, 0)) {
            status = crash_once(self, err);
        } else if (mill_demo_child_ended(&self->child, &wait_status)) {
            status = child_failed(self, wait_status, err);
        } else {
            if (self->child.pid == 0)
                status = mill_demo_child_start(&self->child, false, err);
            struct timespec span = {0, 20000000};
            nanosleep(&span, NULL);
            show_bar(self);
        }
    }
    return status;
}

/* Stops the job kindly and runs it once more to the end of the topic. */
static rmq_status run_to_end(demo *self, rmq_error *err)
{
    int wait_status = 0;
    mill_demo_child_end(&self->child, SIGTERM, NULL);
    rmq_status status = mill_demo_child_start(&self->child, true, err);
    if (status != RMQ_OK)
        return status;
    while (!mill_demo_child_ended(&self->child, &wait_status)) {
        if (mill_signals_stopping())
            return rmq_error_set(err, RMQ_CANCELLED, "stopped");
        struct timespec span = {0, 20000000};
        nanosleep(&span, NULL);
        show_bar(self);
    }
    return wait_status == 0 ? RMQ_OK : child_failed(self, wait_status, err);
}

static rmq_status show(demo *self, rmq_error *err)
{
    tell(self, "%s at %s, topic %s with %d queues",
         self->broker != NULL ? "development broker" : "broker", self->namesrv, self->topic,
         N_QUEUES);
    tell(self, "sending %lld orders of %lld customers; the job adds them up in %s%s",
         (long long)self->n_orders, (long long)self->n_keys, self->database,
         self->child.unsafe ? " (unsafe: offsets apart from results)" : "");
    int64_t spread_ms = (self->n_crashes + 2) * SPREAD_MS_PER_CRASH;
    allow_orders(self);
    rmq_status status = mill_demo_producer_start(self->client, self->topic, &self->ledger,
                                                 spread_ms, &self->producer, err);
    if (status == RMQ_OK)
        status = run_crashes(self, err);
    rmq_error producer_err;
    if (self->producer != NULL) {
        if (status != RMQ_OK)
            rmq_client_cancel(self->client);
        rmq_status produced = mill_demo_producer_finish(self->producer, &producer_err);
        if (status == RMQ_OK && produced != RMQ_OK) {
            *err = producer_err;
            rmq_error_wrap(err, "the producer");
            status = produced;
        }
    }
    if (status == RMQ_OK && self->crashes < self->n_crashes)
        status = rmq_error_set(
            err, RMQ_USER,
            "only %lld crashes hit a batch before the orders ran out; give it more --orders",
            (long long)self->crashes);
    if (status == RMQ_OK) {
        tell(self, "all orders are sent; the job goes on to the end of the topic");
        status = run_to_end(self, err);
    }
    return status;
}

/* ---- the end ---- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

/* On somebody else's broker. */
static void remove_topic(const demo *self)
{
    rmq_error err;
    rmq_status status = rmq_topic_delete(self->client, self->topic, &err);
    if (status != RMQ_OK && status != RMQ_NOT_FOUND)
        mill_complain("topic %s is left behind: %s; `millrace topic delete` removes it",
                      self->topic, mill_signals_stopping() ? "stopped" : err.text);
}

static void clean_up(demo *self)
{
    mill_demo_child_end(&self->child, SIGKILL, NULL);
    mill_signals_cancel_client(NULL);
    if (self->has_topic && self->broker == NULL && !self->keep)
        remove_topic(self);
    rmq_client_free(self->client);
    rmq_devbroker_free(self->broker);
    mill_ledger_deinit(&self->ledger);
    if (self->keep && self->directory != NULL)
        tell(self, "kept: database %s, checkpoint %s", self->database, self->checkpoint);
    else if (self->directory != NULL)
        nftw(self->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < self->n_connection; i++)
        rmq_free(self->connection[i]);
    free(self->directory);
    free(self->database);
    free(self->checkpoint);
    free(self->topic);
    free(self->namesrv);
}

/* The verdict: compares, prints the last line. */
static int judge(const demo *self, const mill_balance *balance)
{
    bool balanced = balance->lost == 0 && balance->twice == 0 && balance->unknown == 0 &&
                    balance->wrong_keys == 0 && atomic_load(&self->ledger.sent) == self->n_orders &&
                    self->crashes == self->n_crashes;
    if (balance->unknown > 0)
        mill_complain("%lld effects of orders that were never sent", (long long)balance->unknown);
    if (balance->wrong_keys > 0)
        mill_complain("%lld customers have a wrong total", (long long)balance->wrong_keys);
    printf("%s: %lld orders, %lld keys, %lld lost, %lld twice, %lld crashes\n",
           balanced ? "balanced" : "NOT balanced", (long long)self->n_orders,
           (long long)self->n_keys, (long long)balance->lost, (long long)balance->twice,
           (long long)self->crashes);
    int exit_code = mill_finish_stdout();
    return balanced ? exit_code : MILL_EXIT_FAILURE;
}

/* All that the options and the environment say; false after a complaint. */
static bool parse(const mill_args *args, demo *self, rmq_client_config *config,
                  mill_secrets *secrets, int *out_exit)
{
    self->keep = mill_args_flag(args, "keep");
    self->terminal = isatty(STDERR_FILENO) != 0;
    *out_exit = MILL_EXIT_USAGE;
    if (!mill_args_int64(args, "orders", 1000, 100000000, 200000, &self->n_orders) ||
        !mill_args_int64(args, "keys", 1, 1000000, 1000, &self->n_keys) ||
        !mill_args_int64(args, "crashes", 0, 1000, 5, &self->n_crashes) ||
        !mill_connection_config(args, config, secrets, out_exit))
        return false;
    *out_exit = MILL_EXIT_FAILURE;
    if (config->tls && config->namesrv == NULL) {
        *out_exit = mill_complain_usage(mill_args_command(args),
                                        "the demo's own broker speaks no TLS: --tls needs the "
                                        "--namesrv of one that does");
        return false;
    }
    return mill_connection_words(args, self->connection, &self->n_connection) &&
           mill_secrets_export(secrets);
}

static int run(const mill_args *args)
{
    demo self;
    rmq_client_config config;
    mill_secrets secrets = {NULL, NULL, NULL};
    rmq_error err;
    mill_balance balance;
    int exit_code;
    memset(&self, 0, sizeof(self));
    self.started_ms = now_ms();
    if (!parse(args, &self, &config, &secrets, &exit_code)) {
        clean_up(&self);
        mill_secrets_free(&secrets);
        return exit_code;
    }
    rmq_status status = prepare(&self, args, &config, &err);
    if (status == RMQ_OK)
        status = show(&self, &err);
    if (status == RMQ_OK)
        status = mill_ledger_compare(&self.ledger, self.database, &balance, &err);
    clean_up(&self);
    mill_secrets_free(&secrets);
    if (status == RMQ_OK)
        return judge(&self, &balance);
    if (status == RMQ_CANCELLED && mill_signals_stopping()) {
        mill_complain("demo: stopped before its end");
        return MILL_EXIT_OK;
    }
    return mill_complain_error("demo", &err);
}

static const mill_option options[] = {
    {"orders", "N", "how many orders (default 200000)", false, false},
    {"keys", "N", "of how many customers (default 1000)", false, false},
    {"crashes", "N", "how often the job is killed (default 5)", false, false},
    {"db", "FILE", "a new database for the results (default: a temporary one)", false, false},
    {"keep", NULL, "leave database and checkpoint (and the topic) behind", false, false},
    {"unsafe", NULL, "write offsets outside of the transaction: must end NOT balanced", false,
     false},
    {NULL, NULL, NULL, false, false},
};

const mill_command mill_command_demo = {
    "demo",
    "Shows exactly-once: orders into a database, with the job killed in the middle.",
    "Without --namesrv (and MILLRACE_NAMESRV) it starts a development broker of its own.\n"
    "The last line is `balanced: N orders, K keys, 0 lost, 0 twice, C crashes`, or `NOT balanced: "
    "...` with exit 1.",
    NULL,
    options,
    true,
    run,
};
