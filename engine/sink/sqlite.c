/* The SQLite sink: the rows of a batch, its number, run and epoch, and the offsets, in one
 * transaction.
 *
 *      begin     nothing yet; what an unfinished run left is rolled back
 *      write     BEGIN IMMEDIATE before the first row, then the target's statement for each row, or
 *                one that does the same for many (sqlite_values.c)
 *      commit    offsets, then the row of millrace_commits checked and advanced, then COMMIT
 *      abort     ROLLBACK
 *
 * SQLite has one writer: a process that is paused between write and commit holds the database's
 * lock, and who wants to take over has to wait until it goes on or dies. So nothing slow happens in
 * between: the rows are all there before the first write.
 *
 * An error may have ended the transaction behind our back (a full disk does). Writing on would then
 * commit each row by itself; so after the first failure a run is `broken` and takes nothing more.
 *
 * COMMIT has three outcomes. Done. Refused with the transaction still open (another program reads:
 * BUSY; a deferred constraint): rolled back, nothing is in. Anything else, such as an I/O error
 * while syncing: the bytes may be in the journal or not, nobody knows before the file is opened
 * anew: TIMEOUT, and the database is closed; the engine opens it again under a newer epoch.
 *
 * unsafe_offsets is what people do without such a sink: rows committed first, offsets afterwards.
 * It is there to show what goes wrong. */
#include <mill/sink.h>

#include "../core/arena.h"
#include "../core/versioned.h"
#include "sqlite_commits.h"
#include "sqlite_db.h"
#include "sqlite_values.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_BUSY_TIMEOUT_MS 5000
#define MAX_TARGETS 1024
#define DOING_BYTES 48
/* Rows that one statement writes, where it can; more gain little. */
#define ROWS_AT_ONCE 32
#define MOST_PARAMETERS_AT_ONCE 16

struct mill_sql_binder {
    sqlite3_stmt *statement;
    int first;         /* parameters of the statement before those of this row */
    int n_parameters;  /* of a row */
    mill_arena *texts; /* what the parameters of the rows point to */
    uint64_t bound;    /* bit i: parameter i + 1 was bound; of the first 64 */
    int result;        /* the first that was not SQLITE_OK */
    int index;         /* and its parameter */
};

typedef struct sql_target {
    char *create_sql;
    char *statement_sql;
    sqlite3_stmt *statement;
    sqlite3_stmt *many; /* the same for ROWS_AT_ONCE rows; NULL if there is no such thing */
    int n_parameters;
    char doing[DOING_BYTES]; /* what is being done to it, for errors */
    const mill_type *type;
    rmq_status (*bind)(const void *row, mill_sql_binder *binder, void *ctx);
    void *ctx;
} sql_target;

typedef struct sqlite_sink {
    mill_sqlite_db db;
    mill_sqlite_commits commits;
    sql_target *targets;
    uint32_t n_targets;
    mill_arena texts; /* bound to the statement of the row that is being written */
    bool unsafe_offsets;
    bool running; /* between begin and commit or abort */
    bool broken;  /* the run failed: it can only be aborted */
    mill_sink_batch batch;
    char run[MILL_RUN_NAME_BYTES];
} sqlite_sink;

/* ---- binding ---- */

static void note_bind(mill_sql_binder *binder, int index, int result)
{
    if (index >= 1 && index <= 64)
        binder->bound |= UINT64_C(1) << (index - 1);
    if (result == SQLITE_OK || binder->result != SQLITE_OK)
        return;
    binder->result = result;
    binder->index = index;
}

/* Where parameter `index` of the row is in the statement; 0, which SQLite refuses, if the row has
 * no such parameter: with many rows it would be another row's. */
static int place_of(const mill_sql_binder *binder, int index)
{
    return index >= 1 && index <= binder->n_parameters ? binder->first + index : 0;
}

void mill_bind_int64(mill_sql_binder *binder, int index, int64_t value)
{
    int place = place_of(binder, index);
    note_bind(binder, index, sqlite3_bind_int64(binder->statement, place, value));
}

void mill_bind_double(mill_sql_binder *binder, int index, double value)
{
    int place = place_of(binder, index);
    note_bind(binder, index, sqlite3_bind_double(binder->statement, place, value));
}

/* A copy that lives until the row is written: the bind function may have made the text on its
 * stack. SQLite's own copy (SQLITE_TRANSIENT) would cost a malloc and a free. */
static const char *copy_of(const mill_sql_binder *binder, rmq_slice value)
{
    char *copy = mill_arena_alloc(binder->texts, value.len);
    if (copy != NULL)
        memcpy(copy, value.data, value.len);
    return copy;
}

/* An empty slice may have no pointer, which would be NULL to SQLite. */
void mill_bind_text(mill_sql_binder *binder, int index, rmq_slice value)
{
    const char *text = value.len != 0 ? copy_of(binder, value) : "";
    note_bind(binder, index,
              text == NULL ? SQLITE_NOMEM
                           : sqlite3_bind_text64(binder->statement, place_of(binder, index), text,
                                                 value.len, SQLITE_STATIC, SQLITE_UTF8));
}

void mill_bind_bytes(mill_sql_binder *binder, int index, rmq_slice value)
{
    if (value.len == 0) {
        note_bind(binder, index,
                  sqlite3_bind_zeroblob(binder->statement, place_of(binder, index), 0));
        return;
    }
    const char *bytes = copy_of(binder, value);
    note_bind(binder, index,
              bytes == NULL ? SQLITE_NOMEM
                            : sqlite3_bind_blob64(binder->statement, place_of(binder, index), bytes,
                                                  value.len, SQLITE_STATIC));
}

void mill_bind_null(mill_sql_binder *binder, int index)
{
    note_bind(binder, index, sqlite3_bind_null(binder->statement, index));
}

/* ---- open and close ---- */

static void close_database(sqlite_sink *sink)
{
    for (uint32_t i = 0; i < sink->n_targets; i++) {
        sqlite3_finalize(sink->targets[i].statement);
        sqlite3_finalize(sink->targets[i].many);
        sink->targets[i].statement = NULL;
        sink->targets[i].many = NULL;
    }
    mill_sqlite_commits_close(&sink->commits);
    mill_sqlite_db_close(&sink->db);
    sink->running = false;
}

static rmq_status create_tables(sqlite_sink *sink, rmq_error *err)
{
    for (uint32_t i = 0; i < sink->n_targets; i++) {
        if (sink->targets[i].create_sql == NULL)
            continue;
        char doing[48];
        snprintf(doing, sizeof(doing), "make the tables of target %u", i);
        rmq_status status = mill_sqlite_exec(&sink->db, sink->targets[i].create_sql, doing, err);
        if (status == RMQ_OK && !mill_sqlite_in_transaction(&sink->db))
            status = rmq_error_set(err, RMQ_INVAL,
                                   "database %s: create_sql of target %u ends the transaction",
                                   sink->db.path, i);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

/* Where SQLite doesn't take it (a limit), rows are written one by one. */
static rmq_status prepare_many(const sqlite_sink *sink, sql_target *target, rmq_error *err)
{
    if (target->n_parameters > MOST_PARAMETERS_AT_ONCE)
        return RMQ_OK;
    char *sql = NULL;
    rmq_status status = mill_sqlite_repeat_values(target->statement_sql, target->n_parameters,
                                                  ROWS_AT_ONCE, &sql, err);
    if (status != RMQ_OK || sql == NULL)
        return status;
    status = mill_sqlite_prepare(&sink->db, sql, &target->many, err);
    rmq_free(sql);
    return status == RMQ_NOMEM ? status : RMQ_OK;
}

static rmq_status prepare_targets(sqlite_sink *sink, rmq_error *err)
{
    for (uint32_t i = 0; i < sink->n_targets; i++) {
        sql_target *target = &sink->targets[i];
        rmq_status status =
            mill_sqlite_prepare(&sink->db, target->statement_sql, &target->statement, err);
        if (status != RMQ_OK)
            return status;
        if (sqlite3_stmt_readonly(target->statement))
            return rmq_error_set(err, RMQ_INVAL,
                                 "database %s: the statement of target %u writes nothing: %.120s",
                                 sink->db.path, i, target->statement_sql);
        target->n_parameters = sqlite3_bind_parameter_count(target->statement);
        snprintf(target->doing, sizeof(target->doing), "write a row of target %u", i);
        status = prepare_many(sink, target, err);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static rmq_status sqlite_open(void *self, const mill_sink_owner *owner,
                              mill_sink_position *out_position, rmq_error *err)
{
    sqlite_sink *sink = self;
    close_database(sink);
    mill_sink_position position;
    rmq_status status = mill_sqlite_db_open(&sink->db, err);
    if (status != RMQ_OK)
        return status;
    status = mill_sqlite_exec(&sink->db, "BEGIN IMMEDIATE", "write to it", err);
    if (status == RMQ_OK)
        status = mill_sqlite_commits_open(&sink->commits, &sink->db, owner, &position, err);
    if (status == RMQ_OK)
        status = create_tables(sink, err);
    if (status == RMQ_OK)
        status = prepare_targets(sink, err);
    if (status == RMQ_OK)
        status = mill_sqlite_exec(&sink->db, "COMMIT", "write to it", err);
    if (status != RMQ_OK) {
        close_database(sink);
        return status;
    }
    *out_position = position;
    return RMQ_OK;
}

static void free_targets(sql_target *targets, uint32_t n_targets)
{
    for (uint32_t i = 0; targets != NULL && i < n_targets; i++) {
        rmq_free(targets[i].create_sql);
        rmq_free(targets[i].statement_sql);
    }
    rmq_free(targets);
}

static void sqlite_close(void *self)
{
    sqlite_sink *sink = self;
    if (sink == NULL)
        return;
    close_database(sink);
    free_targets(sink->targets, sink->n_targets);
    mill_arena_deinit(&sink->texts);
    rmq_free(sink->db.path);
    rmq_free(sink);
}

/* ---- a run ---- */

static rmq_status sqlite_begin(void *self, const mill_sink_batch *batch, rmq_error *err)
{
    sqlite_sink *sink = self;
    if (sink->db.handle == NULL)
        return rmq_error_set(err, RMQ_INVAL, "database %s: begin before open", sink->db.path);
    if (strlen(batch->run) >= sizeof(sink->run))
        return rmq_error_set(err, RMQ_INVAL, "database %s: run name of %zu bytes > max %zu",
                             sink->db.path, strlen(batch->run), sizeof(sink->run) - 1);
    mill_sqlite_rollback(&sink->db);
    sink->batch = *batch;
    memcpy(sink->run, batch->run, strlen(batch->run) + 1);
    sink->batch.run = sink->run;
    sink->running = true;
    sink->broken = false;
    return RMQ_OK;
}

/* Refuses what does not belong to a run that goes well; begins the transaction. */
static rmq_status enter_run(sqlite_sink *sink, const char *call, rmq_error *err)
{
    if (!sink->running || sink->broken)
        return rmq_error_set(err, RMQ_SINK, "database %s: %s %s", sink->db.path, call,
                             sink->running ? "after a failure of the same run"
                                           : "outside of a run");
    if (mill_sqlite_in_transaction(&sink->db))
        return RMQ_OK;
    return mill_sqlite_exec(&sink->db, "BEGIN IMMEDIATE", "write to it", err);
}

/* After any failure the run is over; its transaction too, so that nobody waits for it. */
static rmq_status leave_run(sqlite_sink *sink, rmq_status status)
{
    if (status != RMQ_OK) {
        mill_sqlite_rollback(&sink->db);
        sink->broken = true;
    }
    return status;
}

/* What the bind function left out is NULL, not what the row before had there. */
static void bind_rest(const mill_sql_binder *binder)
{
    if (binder->n_parameters >= 64 || binder->bound == (UINT64_C(1) << binder->n_parameters) - 1)
        return;
    for (int i = 0; i < binder->n_parameters; i++)
        if ((binder->bound >> i & 1) == 0)
            sqlite3_bind_null(binder->statement, binder->first + i + 1);
}

/* Binds a row to the statement as its `nth` (from 0). */
static rmq_status bind_row(sqlite_sink *sink, uint32_t number, sqlite3_stmt *statement, int nth,
                           const void *row, rmq_error *err)
{
    const sql_target *target = &sink->targets[number];
    mill_sql_binder binder = {.statement = statement,
                              .first = nth * target->n_parameters,
                              .n_parameters = target->n_parameters,
                              .texts = &sink->texts,
                              .result = SQLITE_OK};
    if (target->n_parameters >= 64)
        sqlite3_clear_bindings(statement);
    rmq_status status = target->bind(row, &binder, target->ctx);
    if (status != RMQ_OK)
        return rmq_error_set(err, status, "database %s: the bind function of target %u gave %s",
                             sink->db.path, number, rmq_status_name(status));
    if (binder.result != SQLITE_OK) {
        char doing[DOING_BYTES];
        snprintf(doing, sizeof(doing), "bind parameter %d of target %u", binder.index, number);
        return mill_sqlite_error(&sink->db, binder.result, doing, err);
    }
    bind_rest(&binder);
    return RMQ_OK;
}

/* Writes the next `n_rows` rows, 1 or ROWS_AT_ONCE, at once; `*at_end` if there are none. */
static rmq_status write_some(sqlite_sink *sink, uint32_t number, mill_rows *rows, int n_rows,
                             bool *at_end, rmq_error *err)
{
    const sql_target *target = &sink->targets[number];
    sqlite3_stmt *statement = n_rows == 1 ? target->statement : target->many;
    rmq_status status = RMQ_OK;
    for (int i = 0; status == RMQ_OK && i < n_rows; i++) {
        const void *row = NULL;
        status = mill_rows_next(rows, &row, err);
        if (status == RMQ_NOT_FOUND && i == 0) {
            *at_end = true;
            return RMQ_OK;
        }
        if (status == RMQ_NOT_FOUND)
            status = rmq_error_set(err, RMQ_CORRUPT, "database %s: rows of target %u are missing",
                                   sink->db.path, number);
        if (status == RMQ_OK)
            status = bind_row(sink, number, statement, i, row, err);
    }
    if (status == RMQ_OK)
        status = mill_sqlite_run(&sink->db, statement, target->doing, err);
    mill_arena_reset(&sink->texts);
    return status;
}

static rmq_status write_rows(sqlite_sink *sink, uint32_t number, mill_rows *rows, rmq_error *err)
{
    const sql_target *target = &sink->targets[number];
    rmq_status status = RMQ_OK;
    bool at_end = false;
    uint64_t left = target->many != NULL ? mill_rows_count(rows) : 0;
    for (; status == RMQ_OK && left >= ROWS_AT_ONCE && !at_end; left -= ROWS_AT_ONCE)
        status = write_some(sink, number, rows, ROWS_AT_ONCE, &at_end, err);
    while (status == RMQ_OK && !at_end)
        status = write_some(sink, number, rows, 1, &at_end, err);
    return status;
}

static rmq_status sqlite_write(void *self, uint32_t number, uint32_t partition, mill_rows *rows,
                               rmq_error *err)
{
    sqlite_sink *sink = self;
    (void)partition;
    if (number >= sink->n_targets)
        return rmq_error_set(err, RMQ_INVAL, "database %s: there is no target %u", sink->db.path,
                             number);
    rmq_status status = enter_run(sink, "write", err);
    if (status == RMQ_OK)
        status = write_rows(sink, number, rows, err);
    return leave_run(sink, status);
}

/* COMMIT that is known not to have happened if it fails, or TIMEOUT. */
static rmq_status commit_transaction(sqlite_sink *sink, rmq_error *err)
{
    int result = sqlite3_exec(sink->db.handle, "COMMIT", NULL, NULL, NULL);
    if (result == SQLITE_OK)
        return RMQ_OK;
    rmq_status status = mill_sqlite_error(&sink->db, result, "commit", err);
    int kind = result & 0xff;
    bool refused = (kind == SQLITE_BUSY || kind == SQLITE_LOCKED || kind == SQLITE_CONSTRAINT) &&
                   mill_sqlite_in_transaction(&sink->db);
    if (refused)
        return status;
    close_database(sink);
    rmq_error_wrap(err, "the outcome of the commit is unknown");
    if (err != NULL)
        err->status = RMQ_TIMEOUT;
    return RMQ_TIMEOUT;
}

static rmq_status sqlite_prepare(void *self, rmq_error *err)
{
    sqlite_sink *sink = self;
    rmq_status status = enter_run(sink, "prepare", err);
    if (status == RMQ_OK && sink->unsafe_offsets)
        status = commit_transaction(sink, err);
    return leave_run(sink, status);
}

static rmq_status sqlite_commit(void *self, const mill_offset *offsets, size_t n_offsets,
                                rmq_error *err)
{
    sqlite_sink *sink = self;
    rmq_status status = enter_run(sink, "commit", err);
    if (status == RMQ_OK)
        status = mill_sqlite_commits_put_offsets(&sink->commits, offsets, n_offsets, err);
    if (status == RMQ_OK)
        status = mill_sqlite_commits_advance(&sink->commits, &sink->batch, err);
    if (status == RMQ_OK)
        status = commit_transaction(sink, err);
    if (status == RMQ_OK)
        sink->running = false;
    return leave_run(sink, status);
}

static void sqlite_abort(void *self)
{
    sqlite_sink *sink = self;
    mill_sqlite_rollback(&sink->db);
    sink->running = false;
}

/* ---- making one ---- */

static rmq_status check_config(const mill_sqlite_config *config, rmq_error *err)
{
    if (config->path == NULL || config->path[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "sqlite sink: path is missing");
    if (config->targets == NULL || config->n_targets == 0 || config->n_targets > MAX_TARGETS)
        return rmq_error_set(err, RMQ_INVAL, "sqlite sink %s: %zu targets; 1 to %d are possible",
                             config->path, config->n_targets, MAX_TARGETS);
    if (config->busy_timeout_ms < 0 || config->busy_timeout_ms > INT32_MAX)
        return rmq_error_set(err, RMQ_INVAL, "sqlite sink %s: busy_timeout_ms is out of range",
                             config->path);
    for (size_t i = 0; i < config->n_targets; i++) {
        const mill_sql_target *given = &config->targets[i];
        if (given->statement == NULL || given->type == NULL || given->bind == NULL)
            return rmq_error_set(err, RMQ_INVAL,
                                 "sqlite sink %s: target %zu needs statement, type and bind",
                                 config->path, i);
    }
    return RMQ_OK;
}

static bool copy_targets(sqlite_sink *sink, const mill_sql_target *from, const mill_type **types)
{
    for (uint32_t i = 0; i < sink->n_targets; i++) {
        sql_target *to = &sink->targets[i];
        to->statement_sql = rmq_strdup(from[i].statement);
        if (from[i].create_sql != NULL)
            to->create_sql = rmq_strdup(from[i].create_sql);
        if (to->statement_sql == NULL || (from[i].create_sql != NULL && to->create_sql == NULL))
            return false;
        to->type = from[i].type;
        to->bind = from[i].bind;
        to->ctx = from[i].ctx;
        types[i] = from[i].type;
    }
    return true;
}

rmq_status mill_sqlite_sink_new(const mill_sqlite_config *config, mill_sink **out_sink,
                                rmq_error *err)
{
    mill_sqlite_config copy;
    if (config == NULL || out_sink == NULL)
        return rmq_error_set(err, RMQ_INVAL, "sqlite sink: config and out_sink are needed");
    rmq_status status = mill_versioned_copy(config, "mill_sqlite_config", &copy, sizeof(copy), err);
    if (status == RMQ_OK)
        status = check_config(&copy, err);
    if (status != RMQ_OK)
        return status;
    sqlite_sink *sink = rmq_calloc(1, sizeof(*sink));
    const mill_type **types = rmq_calloc(copy.n_targets, sizeof(const mill_type *));
    if (sink != NULL && types != NULL) {
        sink->targets = rmq_calloc(copy.n_targets, sizeof(sql_target));
        sink->n_targets = sink->targets != NULL ? (uint32_t)copy.n_targets : 0;
        sink->db.path = rmq_strdup(copy.path);
    }
    if (sink == NULL || types == NULL || sink->targets == NULL || sink->db.path == NULL ||
        !copy_targets(sink, copy.targets, types)) {
        status = rmq_error_set(err, RMQ_NOMEM, "sqlite sink %s: out of memory", copy.path);
        goto out;
    }
    sink->db.busy_timeout_ms =
        copy.busy_timeout_ms != 0 ? copy.busy_timeout_ms : DEFAULT_BUSY_TIMEOUT_MS;
    sink->unsafe_offsets = copy.unsafe_offsets;
    const mill_sink_vtable vtable = {
        .struct_size = sizeof(vtable),
        .name = "sqlite",
        .flags = MILL_SINK_TRANSACTIONAL,
        .n_targets = sink->n_targets,
        .open = sqlite_open,
        .begin = sqlite_begin,
        .write = sqlite_write,
        .prepare = sqlite_prepare,
        .commit = sqlite_commit,
        .abort = sqlite_abort,
        .close = sqlite_close,
    };
    status = mill_sink_new(&vtable, sink, types, out_sink, err);
out:
    if (status != RMQ_OK)
        sqlite_close(sink);
    rmq_free(types);
    return status;
}
