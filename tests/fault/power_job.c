/* The job of the power loss tests: numbered orders into one or two SQLite databases.
 *
 *   usage: power_job prepare DIR MODE          makes what is there before the job's first start
 *          power_job record DIR MODE LOG       runs it: killed once, then to its end; all that it
 *                                              does to files goes to LOG
 *          power_job recover DIR MODE          a start after a power loss, to the end
 *          power_job again DIR MODE LOG        the same, recorded
 *
 * MODE: "wal" (a new database, in WAL mode), "delete" (one that has a rollback journal), "two" (one
 * of each, so that output is staged). Prints the job's status; exits 0 if it is OK. Who reads
 * the books is test_power_loss.py, with SQLite alone. */
#include "../engine/stream_support.h"
#include "power_shim.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream/crash_point.h"

#define EACH 10     /* records of each queue */
#define PER_BATCH 2 /* of each queue */
#define KILLED_IN_BATCH 3

static bool may_be_killed;

/* Takes the place of the library's. Reports what the job holds for durable, and kills the first
 * process in the middle of a batch. Thread: the driver's. */
void mill_crash_point(const char *name, int64_t batch_id)
{
    if (strncmp(name, "after-", 6) == 0)
        power_mark(name, batch_id);
    if (may_be_killed && batch_id == KILLED_IN_BATCH && strcmp(name, "before-done") == 0)
        kill(getpid(), SIGKILL);
}

static bool has_journal(const char *mode, int number)
{
    return strcmp(mode, "delete") == 0 || (strcmp(mode, "two") == 0 && number == 1);
}

static int count_sinks(const char *mode)
{
    return strcmp(mode, "two") == 0 ? 2 : 1;
}

static void database_path(const char *dir, int number, char *out_path, size_t capacity)
{
    snprintf(out_path, capacity, "%s/%d.db", dir, number);
}

static int prepare(const char *dir, const char *mode)
{
    for (int i = 0; i < count_sinks(mode); i++) {
        char path[512];
        database_path(dir, i, path, sizeof(path));
        sqlite3 *db = NULL;
        if (!has_journal(mode, i))
            continue;
        if (sqlite3_open(path, &db) != SQLITE_OK ||
            sqlite3_exec(db, "PRAGMA journal_mode=DELETE; CREATE TABLE others (x)", NULL, NULL,
                         NULL) != SQLITE_OK)
            return 2;
        sqlite3_close(db);
    }
    return 0;
}

static rmq_status bind_order(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)ctx;
    mill_bind_int64(binder, 1, *(const int64_t *)row);
    return RMQ_OK;
}

static mill_sink *make_sink(const char *dir, int number)
{
    char path[512];
    database_path(dir, number, path, sizeof(path));
    /* Rows that fill pages: a commit then is more than one write. */
    mill_sql_target target = {
        .create_sql = "CREATE TABLE IF NOT EXISTS applied "
                      "(orderNo INTEGER PRIMARY KEY, times INTEGER NOT NULL, filling BLOB)",
        .statement = "INSERT INTO applied VALUES (?1, 1, randomblob(700)) "
                     "ON CONFLICT (orderNo) DO UPDATE SET times = times + 1",
        .type = mill_type_int64(),
        .bind = bind_order};
    mill_sqlite_config config = MILL_SQLITE_CONFIG_INIT;
    config.path = path;
    config.targets = &target;
    config.n_targets = 1;
    mill_sink *sink = NULL;
    rmq_error err = {0};
    must(mill_sqlite_sink_new(&config, &sink, &err), &err);
    return sink;
}

static int run(const char *dir, const char *mode)
{
    static fake_topic topic = {.max_per_queue = PER_BATCH};
    for (int q = 0; q < FAKE_QUEUES; q++)
        topic.max[q] = EACH;
    char checkpoint[512];
    snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint", dir);
    mill_context *context = context_make(1, 0);
    mill_streaming_config config = MILL_STREAMING_CONFIG_INIT;
    config.name = "power";
    config.checkpoint = checkpoint;
    config.trigger = MILL_TRIGGER_AVAILABLE_NOW;
    config.min_batches_to_retain = 1;
    mill_streaming_context *stream = NULL;
    rmq_error err = {0};
    must(mill_streaming_context_new(context, &config, &stream, &err), &err);
    mill_dataset *rows = fake_stream(stream, &topic, &err);
    for (int i = 0; i < count_sinks(mode); i++)
        must(mill_write_to(rows, make_sink(dir, i), 0, &err), &err);
    rmq_status status = mill_streaming_start(stream, &err);
    if (status == RMQ_OK)
        status = mill_streaming_await(stream, 120000, &err);
    printf("%s %s\n", rmq_status_name(status), status == RMQ_OK ? "" : err.text);
    fflush(stdout);
    mill_streaming_context_free(stream);
    mill_context_free(context);
    return status == RMQ_OK ? 0 : 1;
}

/* Runs the job in a child. */
static int run_child(const char *dir, const char *mode, bool killed)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        may_be_killed = killed;
        _exit(run(dir, mode));
    }
    int how = 0;
    if (pid < 0 || waitpid(pid, &how, 0) != pid)
        return 2;
    if (killed)
        return WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL ? 0 : 2;
    return WIFEXITED(how) ? WEXITSTATUS(how) : 2;
}

static int record_job(const char *dir, const char *mode, const char *log)
{
    power_record(dir, log);
    int result = run_child(dir, mode, true);
    return result == 0 ? run_child(dir, mode, false) : result;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "prepare") == 0)
        return prepare(argv[2], argv[3]);
    if (argc == 5 && strcmp(argv[1], "record") == 0)
        return record_job(argv[2], argv[3], argv[4]);
    if (argc == 5 && strcmp(argv[1], "again") == 0) {
        power_record(argv[2], argv[4]);
        return run(argv[2], argv[3]);
    }
    if (argc == 4 && strcmp(argv[1], "recover") == 0)
        return run(argv[2], argv[3]);
    fprintf(stderr, "usage: power_job prepare|recover DIR MODE | record|again DIR MODE LOG\n");
    return 2;
}
