/* The fixture of the tests of the SQLite sink. */
#include "sink_sqlite_fixture.h"

#include <stdio.h>
#include <string.h>

char *dir;
char path[4096];
rmq_error err;

void sqlite_setup(void)
{
    dir = temp_dir_make();
    snprintf(path, sizeof(path), "%s/out.db", dir);
    test_context_set_up();
}

void sqlite_teardown(void)
{
    test_context_tear_down();
    temp_dir_remove(dir);
}

static rmq_status bind_pair(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)ctx;
    char copy[64]; /* on the stack on purpose: it is gone before the statement runs */
    rmq_slice key = *(const rmq_slice *)mill_pair_key(row);
    if (key.len <= sizeof(copy)) {
        memcpy(copy, key.data, key.len);
        key.data = copy;
    }
    mill_bind_text(binder, 1, key);
    mill_bind_int64(binder, 2, *(const int64_t *)mill_pair_value(test_pair, row));
    memset(copy, 'x', sizeof(copy));
    return RMQ_OK;
}

mill_sql_target total_target(void)
{
    return (mill_sql_target){
        .create_sql = "CREATE TABLE IF NOT EXISTS totals (k TEXT PRIMARY KEY, total INTEGER)",
        .statement = "INSERT INTO totals VALUES (?1, ?2) "
                     "ON CONFLICT (k) DO UPDATE SET total = total + excluded.total",
        .type = test_pair,
        .bind = bind_pair};
}

rmq_status sink_try(const mill_sql_target *targets, size_t n_targets, bool unsafe,
                    mill_sink **out_sink)
{
    mill_sqlite_config config = MILL_SQLITE_CONFIG_INIT;
    config.path = path;
    config.targets = targets;
    config.n_targets = n_targets;
    config.busy_timeout_ms = 50;
    config.unsafe_offsets = unsafe;
    return mill_sqlite_sink_new(&config, out_sink, &err);
}

mill_sink *sink_with(const mill_sql_target *targets, size_t n_targets, bool unsafe)
{
    mill_sink *sink = NULL;
    ck_ok(sink_try(targets, n_targets, unsafe, &sink), &err);
    return sink;
}

mill_sink *sink_make(void)
{
    mill_sql_target target = total_target();
    return sink_with(&target, 1, false);
}

mill_sink_position open_at(mill_sink *sink, int64_t epoch)
{
    mill_sink_position position;
    mill_sink_owner owner = test_owner(epoch);
    ck_ok(sink->vtable.open(sink->self, &owner, &position, &err), &err);
    return position;
}

int64_t look(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
    if (sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

sqlite3 *outside(const char *sql)
{
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    char *text = NULL;
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &text) == SQLITE_OK, "%s: %s", sql, text);
    return db;
}
