/* The bookkeeping of an SQLite sink.
 *
 * millrace_commits has one row per stream and sink: the newest epoch that opened it, the last batch
 * that is in, and the run of it that is. millrace_offsets has the position of every queue after
 * that batch. Both change only in the transaction that also writes the batch's rows.
 *
 * The row decides three questions:
 *
 *   May I open?    An epoch below the row's is too late: FENCED. Otherwise the row takes ours.
 *   May I commit?  Only the row's own epoch, and only the successor of its batch. Asked last, right
 *                  before COMMIT.
 *   Is it mine?    A row of another stream id with our job's name means that the checkpoint was
 *                  deleted or is another one: its rows are in the tables already and would come
 *                  twice. EXISTS, unless we are to adopt it: then the row and its offsets become
 *                  ours, and the old stream, should it come back, finds no row and is FENCED. A row
 *                  that has no batch yet stands for nothing and is replaced. */
#include "sqlite_commits.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DOING "use its table millrace_commits"
#define DOING_OFFSETS "use its table millrace_offsets"

static const char create_tables[] =
    "CREATE TABLE IF NOT EXISTS millrace_commits ("
    "stream_id TEXT NOT NULL, sink_id TEXT NOT NULL, epoch INTEGER NOT NULL, "
    "batch_id INTEGER NOT NULL, run TEXT NOT NULL, committed_ms INTEGER NOT NULL, "
    "job_name TEXT NOT NULL, PRIMARY KEY (stream_id, sink_id));"
    "CREATE TABLE IF NOT EXISTS millrace_offsets ("
    "stream_id TEXT NOT NULL, sink_id TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL, "
    "broker_name TEXT NOT NULL, queue_id INTEGER NOT NULL, next_offset INTEGER NOT NULL, "
    "PRIMARY KEY (stream_id, sink_id, source, topic, broker_name, queue_id));";

typedef struct commit_row {
    bool found;
    int64_t epoch;
    int64_t batch_id;
    char run[MILL_RUN_NAME_BYTES];
} commit_row;

/* A statement, and the first failure to set one of its parameters: a database in
 * UTF-16 converts texts, which takes memory. A parameter that was not set would be NULL, or what it
 * was before. */
typedef struct bound_statement {
    sqlite3_stmt *statement;
    int result;
} bound_statement;

static void set_result(bound_statement *bound, int result)
{
    if (bound->result == SQLITE_OK)
        bound->result = result;
}

/* `text` must live until the statement has run. */
static void set_text(bound_statement *bound, int index, const char *text)
{
    set_result(bound, sqlite3_bind_text(bound->statement, index, text, -1, SQLITE_STATIC));
}

static void set_int64(bound_statement *bound, int index, int64_t value)
{
    set_result(bound, sqlite3_bind_int64(bound->statement, index, value));
}

static rmq_status run_statement(const mill_sqlite_commits *commits, const bound_statement *bound,
                                const char *doing, rmq_error *err)
{
    return bound->result == SQLITE_OK ? mill_sqlite_run(commits->db, bound->statement, doing, err)
                                      : mill_sqlite_error(commits->db, bound->result, doing, err);
}

/* As sqlite3_step, if all parameters are set. */
static int step_statement(const bound_statement *bound)
{
    return bound->result == SQLITE_OK ? sqlite3_step(bound->statement) : bound->result;
}

static rmq_status copy_column(const mill_sqlite_commits *commits, sqlite3_stmt *statement,
                              int column, char *out_text, size_t capacity, rmq_error *err)
{
    const unsigned char *text = sqlite3_column_text(statement, column); /* none of them is NULL */
    if (text == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "database %s: out of memory", commits->db->path);
    snprintf(out_text, capacity, "%s", (const char *)text);
    return RMQ_OK;
}

static int64_t wall_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads the row of (stream_id, sink_id). */
static rmq_status read_row(mill_sqlite_commits *commits, commit_row *out_row, rmq_error *err)
{
    memset(out_row, 0, sizeof(*out_row));
    sqlite3_stmt *select = commits->select_row;
    bound_statement bound = {.statement = select};
    set_text(&bound, 1, commits->stream_id);
    set_text(&bound, 2, commits->sink_id);
    int result = step_statement(&bound);
    rmq_status status = RMQ_OK;
    if (result == SQLITE_ROW) {
        out_row->found = true;
        out_row->epoch = sqlite3_column_int64(select, 0);
        out_row->batch_id = sqlite3_column_int64(select, 1);
        status = copy_column(commits, select, 2, out_row->run, sizeof(out_row->run), err);
    } else if (result != SQLITE_DONE) {
        status = mill_sqlite_error(commits->db, result, DOING, err);
    }
    sqlite3_reset(select);
    return status;
}

/* ---- another stream's row ---- */

/* Runs `sql` with the texts (at most four, NULL ends them) as its parameters. */
static rmq_status run_with(const mill_sqlite_commits *commits, const char *sql,
                           const char *const texts[4], rmq_error *err)
{
    sqlite3_stmt *statement = NULL;
    rmq_status status = mill_sqlite_prepare(commits->db, sql, &statement, err);
    if (status != RMQ_OK)
        return status;
    bound_statement bound = {.statement = statement};
    for (int i = 0; i < 4 && texts[i] != NULL; i++)
        set_text(&bound, i + 1, texts[i]);
    status = run_statement(commits, &bound, DOING, err);
    sqlite3_finalize(statement);
    return status;
}

/* Makes the rows of stream `old_id` those of our stream. */
static rmq_status adopt(const mill_sqlite_commits *commits, const char *old_id, rmq_error *err)
{
    const char *const texts[4] = {commits->stream_id, commits->sink_id, old_id};
    rmq_status status = run_with(
        commits, "UPDATE millrace_commits SET stream_id = ?1 WHERE stream_id = ?3 AND sink_id = ?2",
        texts, err);
    if (status == RMQ_OK && sqlite3_changes(commits->db->handle) != 1)
        return rmq_error_set(err, RMQ_SINK, "database %s: stream %s can't be adopted",
                             commits->db->path, old_id);
    if (status == RMQ_OK)
        status = run_with(
            commits,
            "UPDATE millrace_offsets SET stream_id = ?1 WHERE stream_id = ?3 AND sink_id = ?2",
            texts, err);
    return status;
}

static rmq_status refuse_other(const mill_sqlite_commits *commits, const mill_sink_owner *owner,
                               const char *old_id, int64_t batch_id, rmq_error *err)
{
    return rmq_error_set(
        err, RMQ_EXISTS,
        "database %s: job %s is at batch %lld there, by the checkpoint of stream %s; this "
        "checkpoint is stream %s, at batch 0: use that checkpoint, or go on from the database's "
        "offsets (--adopt-sink), or use another database",
        commits->db->path, owner->job_name, (long long)batch_id, old_id, owner->stream_id);
}

/* Looks for the row of another stream with our job's name, and refuses, adopts or replaces it. */
static rmq_status settle_other(const mill_sqlite_commits *commits, const mill_sink_owner *owner,
                               rmq_error *err)
{
    sqlite3_stmt *select = NULL;
    rmq_status status =
        mill_sqlite_prepare(commits->db,
                            "SELECT stream_id, batch_id FROM millrace_commits WHERE job_name = ?1 "
                            "AND sink_id = ?2 AND stream_id <> ?3 AND batch_id > 0 "
                            "ORDER BY committed_ms DESC LIMIT 1",
                            &select, err);
    if (status != RMQ_OK)
        return status;
    bound_statement bound = {.statement = select};
    set_text(&bound, 1, owner->job_name);
    set_text(&bound, 2, owner->sink_id);
    set_text(&bound, 3, owner->stream_id);
    int result = step_statement(&bound);
    char old_id[256] = "";
    int64_t batch_id = 0;
    if (result == SQLITE_ROW) {
        status = copy_column(commits, select, 0, old_id, sizeof(old_id), err);
        batch_id = sqlite3_column_int64(select, 1);
    } else if (result != SQLITE_DONE) {
        status = mill_sqlite_error(commits->db, result, DOING, err);
    }
    sqlite3_finalize(select);
    if (status == RMQ_OK && batch_id > 0)
        status = owner->adopt ? adopt(commits, old_id, err)
                              : refuse_other(commits, owner, old_id, batch_id, err);
    if (status == RMQ_OK)
        status = run_with(commits,
                          "DELETE FROM millrace_commits WHERE job_name = ?1 AND sink_id = ?2 AND "
                          "stream_id <> ?3 AND batch_id = 0",
                          (const char *const[4]){owner->job_name, owner->sink_id, owner->stream_id},
                          err);
    return status;
}

/* ---- open ---- */

static rmq_status put_row(const mill_sqlite_commits *commits, const mill_sink_owner *owner,
                          rmq_error *err)
{
    sqlite3_stmt *put = NULL;
    rmq_status status = mill_sqlite_prepare(
        commits->db,
        "INSERT INTO millrace_commits (stream_id, sink_id, epoch, batch_id, run, committed_ms, "
        "job_name) VALUES (?1, ?2, ?3, 0, '', ?4, ?5) ON CONFLICT (stream_id, sink_id) DO UPDATE "
        "SET epoch = excluded.epoch, job_name = excluded.job_name",
        &put, err);
    if (status != RMQ_OK)
        return status;
    bound_statement bound = {.statement = put};
    set_text(&bound, 1, owner->stream_id);
    set_text(&bound, 2, owner->sink_id);
    set_int64(&bound, 3, owner->epoch);
    set_int64(&bound, 4, wall_clock_ms());
    set_text(&bound, 5, owner->job_name);
    status = run_statement(commits, &bound, DOING, err);
    sqlite3_finalize(put);
    return status;
}

/* Appends the row that `select` stands on. */
static rmq_status add_offset(mill_sqlite_commits *commits, sqlite3_stmt *select, rmq_error *err)
{
    mill_offset offset = {
        .source = (const char *)sqlite3_column_text(select, 0),
        .topic = (const char *)sqlite3_column_text(select, 1),
        .broker_name = (const char *)sqlite3_column_text(select, 2),
        .queue_id = sqlite3_column_int(select, 3),
        .next_offset = sqlite3_column_int64(select, 4),
    };
    if (offset.source == NULL || offset.topic == NULL || offset.broker_name == NULL ||
        !mill_offset_list_put(&commits->offsets, &offset))
        return rmq_error_set(err, RMQ_NOMEM, "database %s: out of memory", commits->db->path);
    return RMQ_OK;
}

static rmq_status load_offsets(mill_sqlite_commits *commits, rmq_error *err)
{
    sqlite3_stmt *select = NULL;
    mill_offset_list_deinit(&commits->offsets);
    rmq_status status = mill_sqlite_prepare(
        commits->db,
        "SELECT source, topic, broker_name, queue_id, next_offset FROM millrace_offsets "
        "WHERE stream_id = ?1 AND sink_id = ?2 ORDER BY source, topic, broker_name, queue_id",
        &select, err);
    if (status != RMQ_OK)
        return status;
    bound_statement bound = {.statement = select};
    set_text(&bound, 1, commits->stream_id);
    set_text(&bound, 2, commits->sink_id);
    int result;
    while (status == RMQ_OK && (result = step_statement(&bound)) != SQLITE_DONE)
        status = result == SQLITE_ROW ? add_offset(commits, select, err)
                                      : mill_sqlite_error(commits->db, result, DOING_OFFSETS, err);
    sqlite3_finalize(select);
    return status;
}

static rmq_status prepare_statements(mill_sqlite_commits *commits, rmq_error *err)
{
    rmq_status status = mill_sqlite_prepare(
        commits->db,
        "SELECT epoch, batch_id, run FROM millrace_commits WHERE stream_id = ?1 AND sink_id = ?2",
        &commits->select_row, err);
    if (status == RMQ_OK)
        status = mill_sqlite_prepare(commits->db,
                                     "UPDATE millrace_commits SET batch_id = ?3, run = ?4, "
                                     "committed_ms = ?5 WHERE stream_id = ?1 AND sink_id = ?2",
                                     &commits->update_row, err);
    if (status == RMQ_OK)
        status = mill_sqlite_prepare(
            commits->db,
            "INSERT INTO millrace_offsets (stream_id, sink_id, source, topic, broker_name, "
            "queue_id, next_offset) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
            "ON CONFLICT (stream_id, sink_id, source, topic, broker_name, queue_id) "
            "DO UPDATE SET next_offset = excluded.next_offset",
            &commits->put_offset, err);
    return status;
}

/* Finds or makes the row and raises its epoch. */
static rmq_status take_row(mill_sqlite_commits *commits, const mill_sink_owner *owner,
                           commit_row *out_row, rmq_error *err)
{
    rmq_status status = read_row(commits, out_row, err);
    if (status == RMQ_OK && !out_row->found) {
        status = settle_other(commits, owner, err);
        if (status == RMQ_OK) /* it may have been adopted */
            status = read_row(commits, out_row, err);
        out_row->epoch = 0; /* another stream's epochs say nothing about ours */
    }
    if (status == RMQ_OK && out_row->epoch > owner->epoch)
        status = rmq_error_set(
            err, RMQ_FENCED, "database %s: epoch %lld of job %s has taken it; we are epoch %lld",
            commits->db->path, (long long)out_row->epoch, owner->job_name, (long long)owner->epoch);
    return status == RMQ_OK ? put_row(commits, owner, err) : status;
}

rmq_status mill_sqlite_commits_open(mill_sqlite_commits *commits, const mill_sqlite_db *db,
                                    const mill_sink_owner *owner, mill_sink_position *out_position,
                                    rmq_error *err)
{
    memset(commits, 0, sizeof(*commits));
    commits->db = db;
    commits->stream_id = rmq_strdup(owner->stream_id);
    commits->sink_id = rmq_strdup(owner->sink_id);
    commit_row row = {0};
    rmq_status status = RMQ_OK;
    if (commits->stream_id == NULL || commits->sink_id == NULL)
        status = rmq_error_set(err, RMQ_NOMEM, "database %s: out of memory", db->path);
    if (status == RMQ_OK)
        status = mill_sqlite_exec(db, create_tables, "make millrace's tables", err);
    if (status == RMQ_OK)
        status = prepare_statements(commits, err);
    if (status == RMQ_OK)
        status = take_row(commits, owner, &row, err);
    if (status == RMQ_OK)
        status = load_offsets(commits, err);
    if (status != RMQ_OK) {
        mill_sqlite_commits_close(commits);
        return status;
    }
    memset(out_position, 0, sizeof(*out_position));
    out_position->batch_id = row.batch_id;
    memcpy(out_position->run, row.run, sizeof(row.run));
    out_position->offsets = commits->offsets.items;
    out_position->n_offsets = commits->offsets.count;
    return RMQ_OK;
}

void mill_sqlite_commits_close(mill_sqlite_commits *commits)
{
    sqlite3_finalize(commits->select_row);
    sqlite3_finalize(commits->update_row);
    sqlite3_finalize(commits->put_offset);
    mill_offset_list_deinit(&commits->offsets);
    rmq_free(commits->stream_id);
    rmq_free(commits->sink_id);
    memset(commits, 0, sizeof(*commits));
}

/* ---- commit ---- */

rmq_status mill_sqlite_commits_put_offsets(mill_sqlite_commits *commits, const mill_offset *offsets,
                                           size_t n_offsets, rmq_error *err)
{
    bound_statement put = {.statement = commits->put_offset};
    set_text(&put, 1, commits->stream_id);
    set_text(&put, 2, commits->sink_id);
    for (size_t i = 0; i < n_offsets; i++) {
        set_text(&put, 3, offsets[i].source);
        set_text(&put, 4, offsets[i].topic);
        set_text(&put, 5, offsets[i].broker_name);
        set_int64(&put, 6, offsets[i].queue_id);
        set_int64(&put, 7, offsets[i].next_offset);
        rmq_status status = run_statement(commits, &put, DOING_OFFSETS, err);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static rmq_status check_row(const mill_sqlite_commits *commits, const commit_row *row,
                            const mill_sink_batch *batch, rmq_error *err)
{
    const char *path = commits->db->path;
    if (!row->found)
        return rmq_error_set(err, RMQ_FENCED,
                             "database %s: the row of stream %s is gone: another checkpoint has "
                             "adopted it",
                             path, commits->stream_id);
    if (row->epoch > batch->epoch)
        return rmq_error_set(err, RMQ_FENCED,
                             "database %s: epoch %lld has taken it over; batch %lld of epoch %lld "
                             "is refused",
                             path, (long long)row->epoch, (long long)batch->batch_id,
                             (long long)batch->epoch);
    if (row->epoch < batch->epoch)
        return rmq_error_set(err, RMQ_SINK,
                             "database %s: it was opened by epoch %lld; batch %lld of epoch %lld "
                             "is refused",
                             path, (long long)row->epoch, (long long)batch->batch_id,
                             (long long)batch->epoch);
    if (batch->batch_id != row->batch_id + 1)
        return rmq_error_set(err, RMQ_SINK,
                             "database %s: its last batch is %lld; batch %lld does not follow it",
                             path, (long long)row->batch_id, (long long)batch->batch_id);
    return RMQ_OK;
}

rmq_status mill_sqlite_commits_advance(mill_sqlite_commits *commits, const mill_sink_batch *batch,
                                       rmq_error *err)
{
    commit_row row;
    rmq_status status = read_row(commits, &row, err);
    if (status == RMQ_OK)
        status = check_row(commits, &row, batch, err);
    if (status != RMQ_OK)
        return status;
    bound_statement update = {.statement = commits->update_row};
    set_text(&update, 1, commits->stream_id);
    set_text(&update, 2, commits->sink_id);
    set_int64(&update, 3, batch->batch_id);
    set_text(&update, 4, batch->run);
    set_int64(&update, 5, wall_clock_ms());
    status = run_statement(commits, &update, DOING, err);
    if (status == RMQ_OK && sqlite3_changes(commits->db->handle) != 1)
        return rmq_error_set(err, RMQ_SINK, "database %s: the row of stream %s was not changed",
                             commits->db->path, commits->stream_id);
    return status;
}
