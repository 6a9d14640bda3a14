/* The job of the crash tests.
 *
 * It runs in a forked child, so that SIGKILL ends what SIGKILL ends: threads, locks, open
 * transactions, whatever is only in memory. The books are kept in the database, by order number, in
 * the transaction of the batch, and are read by the test with SQLite alone: no counter of the
 * engine has a say in them. */
#include "crash_support.h"

#include "direct_support.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static rmq_status bind_order(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)ctx;
    mill_bind_int64(binder, 1, *(const int64_t *)row);
    return RMQ_OK;
}

static void database_of(const crash_job *job, int sink, char *out_path, size_t capacity)
{
    snprintf(out_path, capacity, "%s/%d.db", job->dir, sink);
}

static mill_sink *make_database(const crash_job *job, int number)
{
    char path[512];
    database_of(job, number, path, sizeof(path));
    mill_sql_target target = {.create_sql = "CREATE TABLE IF NOT EXISTS applied "
                                            "(orderNo INTEGER PRIMARY KEY, times INTEGER NOT NULL)",
                              .statement = "INSERT INTO applied VALUES (?1, 1) "
                                           "ON CONFLICT (orderNo) DO UPDATE SET times = times + 1",
                              .type = mill_type_int64(),
                              .bind = bind_order};
    mill_sqlite_config config = MILL_SQLITE_CONFIG_INIT;
    config.path = path;
    config.targets = &target;
    config.n_targets = 1;
    config.unsafe_offsets = job->unsafe_offsets;
    mill_sink *sink = NULL;
    rmq_error err = {0};
    must(mill_sqlite_sink_new(&config, &sink, &err), &err);
    return sink;
}

static rmq_status run_direct(const crash_job *job, const char *checkpoint, rmq_error *err)
{
    direct_job direct = {.dir = checkpoint,
                         .namesrv = job->namesrv,
                         .topics = job->topic,
                         .trigger = MILL_TRIGGER_AVAILABLE_NOW,
                         .max_records_per_batch = FAKE_QUEUES * CRASH_EACH / CRASH_BATCHES,
                         .sink = make_database(job, 0)};
    return direct_run(&direct, err);
}

static rmq_status run_job(const crash_job *job, rmq_error *err)
{
    fake_topic topic = {.max_per_queue = CRASH_EACH / CRASH_BATCHES};
    for (int q = 0; q < FAKE_QUEUES; q++)
        topic.max[q] = CRASH_EACH;
    char checkpoint[512];
    snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint", job->dir);
    if (job->namesrv != NULL)
        return run_direct(job, checkpoint, err);
    fake_job fake = {.dir = checkpoint,
                     .trigger = MILL_TRIGGER_AVAILABLE_NOW,
                     .topic = &topic,
                     .take_over = job->take_over,
                     .retain = 1};
    for (int i = 0; i < job->n_sinks; i++)
        fake.sinks[i] = make_database(job, i);
    return job_run(&fake, err);
}

crash_child crash_start(const crash_job *job)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(fds[0]);
        if (job->crash_at != NULL)
            setenv("MILLRACE_CRASH_AT", job->crash_at, 1);
        if (job->stop_at != NULL)
            setenv("MILLRACE_STOP_AT", job->stop_at, 1);
        crash_end end = {0};
        end.status = run_job(job, &end.err);
        ssize_t written = write(fds[1], &end, sizeof(end));
        _exit(written == (ssize_t)sizeof(end) ? 0 : 1);
    }
    close(fds[1]);
    return (crash_child){.pid = pid, .result_fd = fds[0]};
}

crash_end crash_wait(crash_child child)
{
    crash_end end = {0};
    bool told = read(child.result_fd, &end, sizeof(end)) == (ssize_t)sizeof(end);
    int how = 0;
    ck_assert_int_eq(waitpid(child.pid, &how, 0), child.pid);
    close(child.result_fd);
    end.killed = WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL;
    ck_assert_msg(told || end.killed, "the child ended with %x and told nothing", how);
    return end;
}

void crash_wait_stopped(crash_child child)
{
    int how = 0;
    ck_assert_int_eq(waitpid(child.pid, &how, WUNTRACED), child.pid);
    ck_assert_msg(WIFSTOPPED(how), "the child has not stopped but ended with %x", how);
}

crash_end crash_run(const crash_job *job)
{
    return crash_wait(crash_start(job));
}

/* ---- the books ---- */

static int times_of(sqlite3_stmt *select, int64_t order)
{
    sqlite3_reset(select);
    sqlite3_bind_int64(select, 1, order);
    return sqlite3_step(select) == SQLITE_ROW ? sqlite3_column_int(select, 0) : 0;
}

crash_books crash_check(const crash_job *job)
{
    crash_books books = {0};
    for (int i = 0; i < job->n_sinks; i++) {
        char path[512];
        database_of(job, i, path, sizeof(path));
        sqlite3 *db = NULL;
        sqlite3_stmt *select = NULL;
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT times FROM applied WHERE orderNo = ?1", -1,
                                            &select, NULL),
                         SQLITE_OK);
        for (int64_t q = 0; q < FAKE_QUEUES; q++) {
            for (int64_t offset = 0; offset < CRASH_EACH; offset++) {
                int times = times_of(select, fake_number(q, offset));
                books.lost += times == 0;
                books.twice += times > 1;
            }
        }
        sqlite3_finalize(select);
        sqlite3_close(db);
    }
    return books;
}

int crash_last_batch(const crash_job *job)
{
    int last = 0;
    for (int i = 0; i < job->n_sinks; i++) {
        char path[512];
        database_of(job, i, path, sizeof(path));
        sqlite3 *db = NULL;
        sqlite3_stmt *select = NULL;
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        if (sqlite3_prepare_v2(db, "SELECT max(batch_id) FROM millrace_commits", -1, &select,
                               NULL) == SQLITE_OK &&
            sqlite3_step(select) == SQLITE_ROW && sqlite3_column_int(select, 0) > last)
            last = sqlite3_column_int(select, 0);
        sqlite3_finalize(select);
        sqlite3_close(db);
    }
    return last;
}

void crash_must_balance(const crash_job *job, const char *when)
{
    crash_books books = crash_check(job);
    ck_assert_msg(books.lost == 0 && books.twice == 0, "%s: %d lost, %d twice", when, books.lost,
                  books.twice);
}
