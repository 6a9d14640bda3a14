/* An SQLite database file of a sink: opening it, its errors as ours, small helpers. */
#ifndef MILL_SQLITE_DB_H
#define MILL_SQLITE_DB_H

#include <rmq/base.h>

#include <sqlite3.h>

typedef struct mill_sqlite_db {
    sqlite3 *handle; /* NULL: closed */
    char *path;      /* as the user gave it */
    int64_t busy_timeout_ms;
} mill_sqlite_db;

/* Opens the file, made with mode 0600 if there is none. A new or empty one is put in WAL mode.
 * Errors: INVAL (not a file), NOT_FOUND (no such directory), CORRUPT, IO, FULL, LOCKED, NOMEM. */
RMQ_MUST_CHECK rmq_status mill_sqlite_db_open(mill_sqlite_db *db, rmq_error *err);
/* Rolls back what is open. All statements must have been finalized. May be closed already. */
void mill_sqlite_db_close(mill_sqlite_db *db);

/* Fills `err` for the result code of a call that failed: LOCKED (retriable), FULL, CORRUPT, IO,
 * NOMEM, or SINK with SQLite's own text. `doing` is what was tried: "write a row". Returns the
 * status. */
rmq_status mill_sqlite_error(const mill_sqlite_db *db, int result, const char *doing,
                             rmq_error *err);

RMQ_MUST_CHECK rmq_status mill_sqlite_exec(const mill_sqlite_db *db, const char *sql,
                                           const char *doing, rmq_error *err);
/* One statement, kept for long. Free with sqlite3_finalize. */
RMQ_MUST_CHECK rmq_status mill_sqlite_prepare(const mill_sqlite_db *db, const char *sql,
                                              sqlite3_stmt **out_statement, rmq_error *err);
/* Steps a statement that gives no rows to its end, and resets it. */
RMQ_MUST_CHECK rmq_status mill_sqlite_run(const mill_sqlite_db *db, sqlite3_stmt *statement,
                                          const char *doing, rmq_error *err);
/* Ends the transaction without effect, if there is one. */
void mill_sqlite_rollback(const mill_sqlite_db *db);
bool mill_sqlite_in_transaction(const mill_sqlite_db *db);

#endif
