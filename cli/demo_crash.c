/* Killing the demo's job in the middle of a batch, and telling afterwards where it was hit.
 *
 * The parent sees a batch begin by its file: plan/N without done/N. It waits for another sign each
 * time (nothing more, the state file, the commit in the database), and kills. What counts is only
 * what lies on disk when the child is dead: a plan without a done is a hit, and state file and the
 * sink's own row tell how far the batch had come. */
#include "demo.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "signals.h"

#define POLL_US 200

rmq_status mill_demo_child_start(mill_demo_child *child, bool until_end, rmq_error *err)
{
    const char *argv[16 + MILL_CONNECTION_WORDS] = {
        child->program, "demo", "job",           "--namesrv",    child->namesrv,   "--topic",
        child->topic,   "--db", child->database, "--checkpoint", child->checkpoint};
    size_t n = 11;
    for (size_t i = 0; i < child->n_connection; i++)
        argv[n++] = child->connection[i];
    if (child->unsafe)
        argv[n++] = "--unsafe";
    if (until_end) {
        argv[n++] = "--until";
        argv[n++] = "end";
    }
    argv[n] = NULL;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0); /* Ctrl-C is the parent's to handle */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int result =
        posix_spawn(&child->pid, child->program, NULL, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    if (result != 0) {
        child->pid = 0;
        return rmq_error_set_errno(err, result, "%s", child->program);
    }
    return RMQ_OK;
}

bool mill_demo_child_ended(mill_demo_child *child, int *out_status)
{
    if (child->pid == 0 || waitpid(child->pid, out_status, WNOHANG) != child->pid)
        return false;
    child->pid = 0;
    return true;
}

void mill_demo_child_end(mill_demo_child *child, int number, int *out_status)
{
    int status = 0;
    if (child->pid == 0)
        return;
    if (number != 0)
        kill(child->pid, number);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    child->pid = 0;
    if (out_status != NULL)
        *out_status = status;
}

/* Largest number that begins a name in a directory of the checkpoint; with `batch_id`, whether one
 * begins with just that. */
static int64_t largest_number(const char *checkpoint, const char *directory, int64_t batch_id,
                              bool *out_found)
{
    char path[4096];
    int64_t largest = 0;
    snprintf(path, sizeof(path), "%s/%s", checkpoint, directory);
    DIR *entries = opendir(path);
    if (entries == NULL)
        return 0;
    struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        char *end = NULL;
        long long number = strtoll(entry->d_name, &end, 10);
        if (end == entry->d_name || (*end != '\0' && *end != '.'))
            continue;
        if (number > largest)
            largest = number;
        if (out_found != NULL && number == batch_id)
            *out_found = true;
    }
    closedir(entries);
    return largest;
}

int64_t mill_demo_newest_plan(const char *checkpoint, bool *out_done)
{
    int64_t plan = largest_number(checkpoint, "plan", 0, NULL);
    *out_done = false;
    if (plan > 0)
        largest_number(checkpoint, "done", plan, out_done);
    return plan;
}

/* One number of the sink's books, -1 if it can't be told. */
static int64_t sink_number(const char *path, const char *sql)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;
    if (sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(database, 5000);
        if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW)
            number = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return number;
}

int64_t mill_demo_applied(const char *database)
{
    int64_t applied = sink_number(database, "SELECT sum(next_offset) FROM millrace_offsets");
    return applied > 0 ? applied : 0;
}

void mill_demo_inspect(const mill_demo_child *child, mill_demo_wreck *out_wreck)
{
    bool done = false;
    bool state = false;
    int64_t plan = mill_demo_newest_plan(child->checkpoint, &done);
    out_wreck->batch_id = plan;
    out_wreck->hit = plan > 0 && !done;
    largest_number(child->checkpoint, "state", plan, &state);
    if (done || plan == 0)
        out_wreck->step = "between two batches";
    else if (sink_number(child->database, "SELECT max(batch_id) FROM millrace_commits") >= plan)
        out_wreck->step = "committed in the database, but not yet marked done";
    else if (state)
        out_wreck->step = "state written, not yet committed";
    else
        out_wreck->step = "planned, reading and writing";
}

static void nap(int64_t us)
{
    struct timespec span = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&span, NULL);
}

/* A number that changes whenever somebody else commits to the database. */
static int64_t data_version(sqlite3_stmt *statement)
{
    int64_t version = -1;
    if (statement != NULL && sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return version;
}

/* Waits, for two seconds at most, until somebody commits to the database. */
static void wait_for_commit(const mill_demo_child *child)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_open_v2(child->database, &database, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK)
        sqlite3_prepare_v2(database, "PRAGMA data_version", -1, &statement, NULL);
    int64_t before = data_version(statement);
    for (int tries = 0; tries < 100000 && data_version(statement) == before; tries++)
        nap(20);
    kill(child->pid, SIGKILL);
    sqlite3_finalize(statement);
    sqlite3_close(database);
}

static void wait_for_state(const mill_demo_child *child, int64_t batch_id)
{
    bool found = false;
    for (int tries = 0; tries < 20000 && !found; tries++) {
        largest_number(child->checkpoint, "state", batch_id, &found);
        nap(20);
    }
}

bool mill_demo_kill(mill_demo_child *child, mill_demo_aim aim, mill_demo_wreck *out_wreck)
{
    bool done = true;
    int64_t first = mill_demo_newest_plan(child->checkpoint, &done);
    int64_t plan = first;
    /* a plan that an earlier kill left is run again first: let that happen, so that kills fall on
     * new batches too */
    while (plan == first || done) {
        int status = 0;
        if (mill_signals_stopping() || mill_demo_child_ended(child, &status))
            return false;
        nap(POLL_US);
        plan = mill_demo_newest_plan(child->checkpoint, &done);
    }
    if (aim == MILL_AIM_COMMIT)
        wait_for_commit(child);
    else if (aim == MILL_AIM_STATE)
        wait_for_state(child, plan);
    mill_demo_child_end(child, SIGKILL, NULL);
    mill_demo_inspect(child, out_wreck);
    return true;
}
