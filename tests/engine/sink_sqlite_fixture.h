/* What a test of the SQLite sink starts with: a directory, the path of a database in it that isn't
 * there yet, and a sink that adds up the values of each key in a table "totals".
 *
 * Check runs each test in a process of its own, so that globals are a test's own, too. */
#ifndef TEST_SINK_SQLITE_FIXTURE_H
#define TEST_SINK_SQLITE_FIXTURE_H

#include "sink_rows.h"

#include <sqlite3.h>

extern char *dir;
extern char path[4096]; /* of the database that sinks are made for, and that is looked at */
extern rmq_error err;

/* The checked fixtures of a test case. */
void sqlite_setup(void);
void sqlite_teardown(void);

/* "totals" (k, total), made if it isn't there. */
mill_sql_target total_target(void);
/* A sink that doesn't wait long for a lock; sink_with fails the test if it can't be made. */
rmq_status sink_try(const mill_sql_target *targets, size_t n_targets, bool unsafe,
                    mill_sink **out_sink);
mill_sink *sink_with(const mill_sql_target *targets, size_t n_targets, bool unsafe);
/* With the one target of total_target. */
mill_sink *sink_make(void);
/* Opens the sink as the owner of test_owner; fails the test if it can't. */
mill_sink_position open_at(mill_sink *sink, int64_t epoch);

/* The first value of a query from outside, -1 if it gives no row. */
int64_t look(const char *sql);
/* Runs SQL from outside. Close what it returns with sqlite3_close. */
sqlite3 *outside(const char *sql);

#endif
