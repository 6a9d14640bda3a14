/* The SQLite sink: what is in the database after each step, who may commit what, runs that fail,
 * and what is refused. The file itself: test_sink_sqlite_files.c; a failing system:
 * test_sink_sqlite_faults.c. */
#include "sink_sqlite_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_batch_is_in_with_its_offsets)
{
    mill_sink *sink = sink_make();
    mill_sink_position position = open_at(sink, 3);
    ck_assert_int_eq(position.batch_id, 0);
    ck_assert_uint_eq(position.n_offsets, 0);
    ck_ok(test_run(sink, 1, 3, "3-abc", &(test_row){"a", 5}, &err), &err);
    ck_assert_int_eq(look("SELECT count(*) FROM totals"), 0);
    ck_assert_int_eq(look("SELECT batch_id FROM millrace_commits"), 0);
    mill_offset offsets[] = {{"direct", "T", "broker-a", 0, 100},
                             {"direct", "T", "broker-a", 1, 7},
                             {"other", "T", "broker-a", 0, INT64_MAX}};
    ck_ok(sink->vtable.commit(sink->self, offsets, 3, &err), &err);
    ck_assert_int_eq(look("SELECT total FROM totals WHERE k = 'a'"), 5);
    ck_assert_int_eq(look("SELECT count(*) FROM millrace_commits WHERE stream_id = 'stream-1' AND "
                          "sink_id = 'sink-1' AND epoch = 3 AND batch_id = 1 AND run = '3-abc' AND "
                          "job_name = 'job' AND committed_ms > 1600000000000"),
                     1);
    ck_ok(test_batch(sink, 2, 3, "3-def", &(test_row){"a", 6}, &err), &err);
    mill_sink_free(sink);
    sink = sink_make();
    position = open_at(sink, 4);
    ck_assert_int_eq(position.batch_id, 2);
    ck_assert_str_eq(position.run, "3-def");
    ck_assert_uint_eq(position.n_offsets, 4);
    ck_assert_str_eq(position.offsets[0].broker_name, "b"); /* sorted */
    ck_assert_int_eq(position.offsets[0].next_offset, 20);
    ck_assert_int_eq(position.offsets[2].queue_id, 1);
    ck_assert_int_eq(position.offsets[2].next_offset, 7);
    ck_assert_int_eq(position.offsets[3].next_offset, INT64_MAX);
    ck_assert_int_eq(look("SELECT total FROM totals"), 11);
    mill_sink_free(sink);
}
END_TEST

START_TEST(two_targets_are_one_transaction)
{
    mill_sql_target targets[2] = {total_target(), total_target()};
    targets[1].create_sql = "CREATE TABLE IF NOT EXISTS seen (k TEXT, n INTEGER)";
    targets[1].statement = "INSERT INTO seen VALUES (?1, ?2);\n ";
    mill_sink *sink = sink_with(targets, 2, false);
    open_at(sink, 1);
    for (int round = 0; round < 2; round++) {
        ck_ok(test_run(sink, 1, 1, "1-a", &(test_row){"a", 5}, &err), &err);
        mill_rows *rows = test_rows_make((const test_row[]){{"x", 1}, {"y", 2}}, 2);
        ck_ok(sink->vtable.write(sink->self, 1, 3, rows, &err), &err);
        mill_rows_free(rows);
        if (round == 0)
            sink->vtable.abort(sink->self);
    }
    ck_ok(sink->vtable.commit(sink->self, NULL, 0, &err), &err);
    ck_assert_int_eq(look("SELECT total FROM totals"), 5);
    ck_assert_int_eq(look("SELECT sum(n) FROM seen"), 3);
    mill_rows *rows = test_rows_make(&(test_row){"x", 1}, 1);
    ck_status(sink->vtable.write(sink->self, 2, 0, rows, &err), RMQ_INVAL);
    mill_rows_free(rows);
    mill_sink_free(sink);
}
END_TEST

START_TEST(values_come_as_they_are)
{
    mill_sql_target target = total_target();
    target.create_sql = "CREATE TABLE IF NOT EXISTS totals (k, total)";
    target.statement = "INSERT INTO totals VALUES (?1, ?2)";
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    const rmq_slice keys[] = {RMQ_SLICE_LITERAL("a\0b"), {NULL, 0}, RMQ_SLICE_LITERAL("\xc3\xa4")};
    mill_sink_batch batch = {.batch_id = 1, .epoch = 1, .run = "r"};
    ck_ok(sink->vtable.begin(sink->self, &batch, &err), &err);
    for (size_t i = 0; i < 3; i++) {
        mill_rows *rows = test_rows_of_slice(keys[i], i == 0 ? INT64_MIN : (int64_t)i);
        ck_ok(sink->vtable.write(sink->self, 0, 0, rows, &err), &err);
        mill_rows_free(rows);
    }
    ck_ok(sink->vtable.commit(sink->self, NULL, 0, &err), &err);
    ck_assert_int_eq(look("SELECT count(*) FROM totals WHERE typeof(k) = 'text' AND "
                          "hex(k) = '610062' AND total = -9223372036854775807 - 1"),
                     1);
    ck_assert_int_eq(look("SELECT total FROM totals WHERE k = ''"), 1);
    ck_assert_int_eq(look("SELECT total FROM totals WHERE hex(k) = 'C3A4'"), 2);
    mill_sink_free(sink);
}
END_TEST

static rmq_status bind_kinds(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)row;
    (void)ctx;
    mill_bind_double(binder, 1, 0.1);
    mill_bind_bytes(binder, 2, RMQ_SLICE_LITERAL("\0\xff"));
    mill_bind_bytes(binder, 3, (rmq_slice){NULL, 0});
    mill_bind_null(binder, 4);
    return RMQ_OK;
}

START_TEST(every_kind_is_bound)
{
    mill_sql_target target = {.create_sql = "CREATE TABLE IF NOT EXISTS kinds (a, b, c, d, e)",
                              .statement = "INSERT INTO kinds VALUES (?1, ?2, ?3, ?4, ?5)",
                              .type = test_pair,
                              .bind = bind_kinds};
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    ck_ok(test_batch(sink, 1, 1, "r", &(test_row){"a", 1}, &err), &err);
    ck_assert_int_eq(look("SELECT count(*) FROM kinds WHERE a = 0.1 AND hex(b) = '00FF' AND "
                          "typeof(c) = 'blob' AND length(c) = 0 AND d IS NULL AND e IS NULL"),
                     1);
    mill_sink_free(sink);
}
END_TEST

/* Binds what the row's value has a bit for. */
static rmq_status bind_some(const void *row, mill_sql_binder *binder, void *ctx)
{
    const int *n_parameters = ctx;
    int64_t bits = *(const int64_t *)mill_pair_value(test_pair, row);
    for (int i = 0; i < *n_parameters; i++)
        if ((bits >> (i % 3) & 1) != 0)
            mill_bind_text(binder, i + 1, *(const rmq_slice *)mill_pair_key(row));
    return RMQ_OK;
}

START_TEST(what_a_row_does_not_bind_is_null)
{
    static const struct {
        const char *create_sql;
        const char *statement;
        int n_parameters;
    } cases[] = {{"CREATE TABLE IF NOT EXISTS t (a, b, c)", "INSERT INTO t VALUES (?1, ?2, ?3)", 3},
                 {"CREATE TABLE IF NOT EXISTS t (a, b, c)",
                  "INSERT INTO t SELECT ?64, ?65, coalesce(?66, ?3)", 66}};
    int n_parameters = cases[_i].n_parameters;
    mill_sql_target target = {.create_sql = cases[_i].create_sql,
                              .statement = cases[_i].statement,
                              .type = test_pair,
                              .bind = bind_some,
                              .ctx = &n_parameters};
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    const test_row rows[] = {{"all", 7}, {"second", 2}, {"none", 0}, {"ends", 5}};
    mill_sink_batch batch = {.batch_id = 1, .epoch = 1, .run = "r"};
    ck_ok(sink->vtable.begin(sink->self, &batch, &err), &err);
    mill_rows *made = test_rows_make(rows, 4);
    ck_ok(sink->vtable.write(sink->self, 0, 0, made, &err), &err);
    mill_rows_free(made);
    ck_ok(sink->vtable.commit(sink->self, NULL, 0, &err), &err);
    ck_assert_int_eq(look("SELECT count(*) FROM t"), 4);
    ck_assert_int_eq(look("SELECT count(*) FROM t WHERE a = 'all' AND b = 'all' AND c = 'all'"), 1);
    ck_assert_int_eq(look("SELECT count(*) FROM t WHERE a IS NULL AND b = 'second' AND c IS NULL"),
                     1);
    ck_assert_int_eq(look("SELECT count(*) FROM t WHERE a IS NULL AND b IS NULL AND c IS NULL"), 1);
    ck_assert_int_eq(look("SELECT count(*) FROM t WHERE a = 'ends' AND b IS NULL AND c = 'ends'"),
                     1);
    mill_sink_free(sink);
}
END_TEST

/* Row i of `count` has key "k" + i % n_keys and value i. */
static void write_many(mill_sink *sink, size_t count, size_t n_keys)
{
    test_row rows[200];
    char keys[200][8];
    ck_assert_uint_le(count, 200);
    for (size_t i = 0; i < count; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%zu", i % n_keys);
        rows[i] = (test_row){keys[i], (int64_t)i};
    }
    mill_sink_batch batch = {.batch_id = 1, .epoch = 1, .run = "r"};
    ck_ok(sink->vtable.begin(sink->self, &batch, &err), &err);
    mill_rows *made = test_rows_make(rows, count);
    ck_ok(sink->vtable.write(sink->self, 0, 0, made, &err), &err);
    mill_rows_free(made);
    ck_ok(sink->vtable.commit(sink->self, NULL, 0, &err), &err);
}

/* As many as one statement takes, and one more or less; keys that come again in the same one. */
START_TEST(many_rows_are_written_as_one_by_one)
{
    static const size_t counts[] = {0, 1, 31, 32, 33, 64, 65, 130};
    size_t count = counts[_i];
    mill_sql_target target = total_target();
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    write_many(sink, count, 20);
    ck_assert_int_eq(look("SELECT count(*) FROM totals"), (int64_t)(count < 20 ? count : 20));
    ck_assert_int_eq(look("SELECT ifnull(sum(total), 0) FROM totals"),
                     (int64_t)count * ((int64_t)count - 1) / 2);
    mill_sink_free(sink);
}
END_TEST

START_TEST(the_last_of_many_rows_wins)
{
    mill_sql_target target = total_target();
    target.statement = "REPLACE INTO totals VALUES (?1, ?2)";
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    write_many(sink, 100, 10);
    ck_assert_int_eq(look("SELECT count(*) FROM totals WHERE total = 90 + substr(k, 2)"), 10);
    mill_sink_free(sink);
}
END_TEST

static rmq_status bind_rarely(const void *row, mill_sql_binder *binder, void *ctx)
{
    int64_t value = *(const int64_t *)mill_pair_value(test_pair, row);
    int bad_index = *(const int *)ctx;
    mill_bind_int64(binder, value == 17 && bad_index != 0 ? bad_index : 2, value);
    if (value % 3 == 0)
        mill_bind_text(binder, 1, *(const rmq_slice *)mill_pair_key(row));
    return RMQ_OK;
}

START_TEST(what_one_of_many_rows_does_not_bind_is_null)
{
    int bad_index = 0;
    mill_sql_target target = {.create_sql = "CREATE TABLE IF NOT EXISTS t (a, b)",
                              .statement = "INSERT INTO t VALUES (?1, ?2)",
                              .type = test_pair,
                              .bind = bind_rarely,
                              .ctx = &bad_index};
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    write_many(sink, 96, 200);
    ck_assert_int_eq(look("SELECT count(*) FROM t WHERE b % 3 = 0 AND a = 'k' || b"), 32);
    ck_assert_int_eq(look("SELECT count(*) FROM t WHERE b % 3 <> 0 AND a IS NULL"), 64);
    mill_sink_free(sink);
}
END_TEST

/* Parameter 3 of a row of two would be the next row's first. */
START_TEST(no_row_binds_a_parameter_of_another)
{
    int bad_index = _i == 0 ? 3 : -1;
    mill_sql_target target = {.create_sql = "CREATE TABLE IF NOT EXISTS t (a, b)",
                              .statement = "INSERT INTO t VALUES (?1, ?2)",
                              .type = test_pair,
                              .bind = bind_rarely,
                              .ctx = &bad_index};
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    test_row rows[40];
    for (size_t i = 0; i < 40; i++)
        rows[i] = (test_row){"a", (int64_t)i};
    mill_sink_batch batch = {.batch_id = 1, .epoch = 1, .run = "r"};
    ck_ok(sink->vtable.begin(sink->self, &batch, &err), &err);
    mill_rows *made = test_rows_make(rows, 40);
    ck_status(sink->vtable.write(sink->self, 0, 0, made, &err), RMQ_SINK);
    mill_rows_free(made);
    ck_assert_msg(strstr(err.text, "bind parameter") != NULL && strstr(err.text, "range") != NULL,
                  "%s", err.text);
    mill_sink_free(sink);
}
END_TEST

static rmq_status bind_not_found(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)row;
    (void)binder;
    (void)ctx;
    return RMQ_NOT_FOUND;
}

START_TEST(not_found_from_a_bind_function_is_no_end_of_rows)
{
    mill_sql_target target = total_target();
    target.bind = bind_not_found;
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    ck_status(test_batch(sink, 1, 1, "r", &(test_row){"a", 1}, &err), RMQ_NOT_FOUND);
    mill_sink_free(sink);
}
END_TEST

/* ---- who may commit what ---- */

START_TEST(an_older_epoch_is_refused)
{
    mill_sink *old = sink_make();
    mill_sink *new = sink_make();
    open_at(old, 1);
    ck_ok(test_batch(old, 1, 1, "1-a", &(test_row){"a", 1}, &err), &err);
    open_at(new, 2);
    ck_status(test_batch(old, 2, 1, "1-b", &(test_row){"a", 1}, &err), RMQ_FENCED);
    ck_assert_msg(strstr(err.text, path) != NULL && strstr(err.text, "epoch 2") != NULL, "%s",
                  err.text);
    ck_assert(!err.retriable);
    old->vtable.abort(old->self);
    ck_ok(test_batch(new, 2, 2, "2-a", &(test_row){"a", 1}, &err), &err);
    mill_sink_owner owner = test_owner(1);
    mill_sink_position position;
    ck_status(old->vtable.open(old->self, &owner, &position, &err), RMQ_FENCED);
    ck_assert_int_eq(look("SELECT total FROM totals"), 2);
    ck_assert_int_eq(look("SELECT epoch FROM millrace_commits"), 2);
    mill_sink_free(old);
    mill_sink_free(new);
}
END_TEST

START_TEST(only_the_successor_is_taken)
{
    mill_sink *sink = sink_make();
    open_at(sink, 1);
    ck_ok(test_batch(sink, 1, 1, "1-a", &(test_row){"a", 1}, &err), &err);
    ck_status(test_batch(sink, 1, 1, "1-b", &(test_row){"a", 1}, &err), RMQ_SINK);
    ck_status(test_batch(sink, 3, 1, "1-c", &(test_row){"a", 1}, &err), RMQ_SINK);
    ck_assert_msg(strstr(err.text, "batch 3") != NULL && strstr(err.text, "is 1") != NULL, "%s",
                  err.text);
    ck_ok(test_batch(sink, 2, 1, "1-d", &(test_row){"a", 1}, &err), &err);
    ck_assert_int_eq(look("SELECT total FROM totals"), 2);
    mill_sink_free(sink);
}
END_TEST

START_TEST(another_checkpoint_is_refused_or_adopts)
{
    mill_sink *old = sink_make();
    open_at(old, 7);
    ck_ok(test_batch(old, 1, 7, "7-a", &(test_row){"a", 1}, &err), &err);
    ck_ok(test_batch(old, 2, 7, "7-b", &(test_row){"a", 1}, &err), &err);
    mill_sink *new = sink_make();
    mill_sink_owner owner = test_owner(1);
    owner.stream_id = "stream-2";
    mill_sink_position position;
    ck_status(new->vtable.open(new->self, &owner, &position, &err), RMQ_EXISTS);
    ck_assert_msg(strstr(err.text, "stream-1") != NULL && strstr(err.text, "stream-2") != NULL &&
                      strstr(err.text, "batch 2") != NULL &&
                      strstr(err.text, "--adopt-sink") != NULL && strstr(err.text, path) != NULL,
                  "%s", err.text);
    ck_ok(test_batch(old, 3, 7, "7-c", &(test_row){"a", 1}, &err), &err);
    owner.adopt = true;
    ck_ok(new->vtable.open(new->self, &owner, &position, &err), &err);
    ck_assert_int_eq(position.batch_id, 3);
    ck_assert_str_eq(position.run, "7-c");
    ck_assert_uint_eq(position.n_offsets, 1);
    ck_assert_int_eq(position.offsets[0].next_offset, 30);
    ck_status(test_batch(old, 4, 7, "7-d", &(test_row){"a", 1}, &err), RMQ_FENCED);
    old->vtable.abort(old->self);
    ck_ok(test_batch(new, 4, 1, "1-a", &(test_row){"a", 1}, &err), &err);
    mill_sink_owner back = test_owner(8);
    ck_status(old->vtable.open(old->self, &back, &position, &err), RMQ_EXISTS);
    ck_assert_int_eq(look("SELECT count(*) FROM millrace_commits"), 1);
    ck_assert_int_eq(look("SELECT count(*) FROM millrace_offsets WHERE stream_id = 'stream-2'"), 1);
    ck_assert_int_eq(look("SELECT total FROM totals"), 4);
    mill_sink_free(old);
    mill_sink_free(new);
}
END_TEST

START_TEST(a_stream_without_a_batch_does_not_count)
{
    mill_sink *old = sink_make();
    open_at(old, 7);
    mill_sink *new = sink_make();
    mill_sink_owner owner = test_owner(1);
    owner.stream_id = "stream-2";
    mill_sink_position position;
    ck_ok(new->vtable.open(new->self, &owner, &position, &err), &err);
    ck_status(test_batch(old, 1, 7, "7-a", &(test_row){"a", 1}, &err), RMQ_FENCED);
    mill_sink_owner elsewhere = test_owner(1);
    elsewhere.stream_id = "stream-3";
    elsewhere.job_name = "another job";
    old->vtable.abort(old->self);
    ck_ok(test_batch(new, 1, 1, "1-a", &(test_row){"a", 1}, &err), &err);
    ck_ok(old->vtable.open(old->self, &elsewhere, &position, &err), &err);
    ck_assert_int_eq(position.batch_id, 0);
    mill_sink_free(old);
    mill_sink_free(new);
}
END_TEST

/* ---- runs that fail ---- */

START_TEST(a_failed_run_takes_nothing_more)
{
    mill_sql_target target = total_target();
    target.statement = "INSERT OR ROLLBACK INTO totals VALUES (?1, ?2)";
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    ck_ok(test_run(sink, 1, 1, "r1", &(test_row){"a", 1}, &err), &err);
    mill_rows *rows = test_rows_make((const test_row[]){{"b", 1}, {"a", 2}, {"c", 3}}, 3);
    ck_status(sink->vtable.write(sink->self, 0, 0, rows, &err), RMQ_SINK);
    ck_assert_msg(strstr(err.text, "UNIQUE") != NULL && strstr(err.text, path) != NULL, "%s",
                  err.text);
    mill_rows_rewind(rows);
    /* the transaction is gone: were this taken, each row would commit by itself */
    ck_status(sink->vtable.write(sink->self, 0, 0, rows, &err), RMQ_SINK);
    ck_status(sink->vtable.prepare(sink->self, &err), RMQ_SINK);
    ck_status(sink->vtable.commit(sink->self, NULL, 0, &err), RMQ_SINK);
    mill_rows_free(rows);
    sink->vtable.abort(sink->self);
    ck_status(sink->vtable.commit(sink->self, NULL, 0, &err), RMQ_SINK);
    ck_assert_int_eq(look("SELECT count(*) FROM totals"), 0);
    ck_ok(test_batch(sink, 1, 1, "r2", &(test_row){"a", 1}, &err), &err);
    ck_assert_int_eq(look("SELECT count(*) FROM totals"), 1);
    mill_sink_free(sink);
}
END_TEST

static rmq_status bind_wrong(const void *row, mill_sql_binder *binder, void *ctx)
{
    (void)row;
    if (ctx != NULL)
        return RMQ_USER;
    mill_bind_int64(binder, 9, 1);
    mill_bind_int64(binder, 1, 1);
    return RMQ_OK;
}

START_TEST(a_bad_bind_function_is_named)
{
    mill_sql_target target = total_target();
    target.bind = bind_wrong;
    target.ctx = _i == 0 ? NULL : &err;
    mill_sink *sink = sink_with(&target, 1, false);
    open_at(sink, 1);
    ck_status(test_run(sink, 1, 1, "r", &(test_row){"a", 1}, &err), _i == 0 ? RMQ_SINK : RMQ_USER);
    ck_assert_msg(strstr(err.text, _i == 0 ? "parameter 9" : "target 0") != NULL, "%s", err.text);
    mill_sink_free(sink);
    ck_assert_int_eq(look("SELECT count(*) FROM totals"), 0);
}
END_TEST

START_TEST(a_locked_database_is_tried_again)
{
    mill_sink *sink = sink_make();
    open_at(sink, 1);
    sqlite3 *other = outside("BEGIN IMMEDIATE");
    ck_status(test_run(sink, 1, 1, "r1", &(test_row){"a", 1}, &err), RMQ_LOCKED);
    ck_assert(err.retriable);
    ck_assert_msg(strstr(err.text, path) != NULL && strstr(err.text, "locked") != NULL, "%s",
                  err.text);
    sink->vtable.abort(sink->self);
    mill_sink *second = sink_make();
    mill_sink_owner owner = test_owner(2);
    mill_sink_position position;
    ck_status(second->vtable.open(second->self, &owner, &position, &err), RMQ_LOCKED);
    ck_assert(err.retriable);
    sqlite3_close(other);
    ck_ok(test_batch(sink, 1, 1, "r2", &(test_row){"a", 1}, &err), &err);
    ck_ok(second->vtable.open(second->self, &owner, &position, &err), &err);
    mill_sink_free(second);
    mill_sink_free(sink);
}
END_TEST

/* With a rollback journal it is COMMIT that meets a reader. */
START_TEST(a_reader_in_the_way_of_commit)
{
    sqlite3_close(outside("CREATE TABLE totals (k TEXT PRIMARY KEY, total INTEGER); "
                          "INSERT INTO totals VALUES ('z', 1)"));
    mill_sink *sink = sink_make();
    open_at(sink, 1);
    sqlite3 *reader = outside("BEGIN; SELECT * FROM totals");
    ck_status(test_batch(sink, 1, 1, "r1", &(test_row){"a", 1}, &err), RMQ_LOCKED);
    ck_assert(err.retriable);
    sink->vtable.abort(sink->self);
    sqlite3_close(reader);
    ck_assert_int_eq(look("SELECT count(*) FROM totals"), 1);
    ck_ok(test_batch(sink, 1, 1, "r2", &(test_row){"a", 1}, &err), &err);
    ck_assert_int_eq(look("SELECT count(*) FROM totals"), 2);
    mill_sink_free(sink);
}
END_TEST

/* ---- what is given wrongly ---- */

START_TEST(bad_sql_leaves_nothing)
{
    static const struct {
        const char *create_sql;
        const char *statement;
        rmq_status status;
        const char *said;
    } cases[] = {
        {"CREATE TABEL x (a)", "INSERT INTO x VALUES (1)", RMQ_SINK, "target 0"},
        {"CREATE TABLE x (a)", "INSERT INTO y VALUES (1)", RMQ_SINK, "no such table: y"},
        {"CREATE TABLE x (a)", "SELECT * FROM x", RMQ_INVAL, "writes nothing"},
        {"CREATE TABLE x (a)", "COMMIT", RMQ_INVAL, "writes nothing"},
        {"CREATE TABLE x (a)", "INSERT INTO x VALUES (1); DROP TABLE x", RMQ_INVAL, "exactly one"},
        {"CREATE TABLE x (a)", " -- nothing", RMQ_INVAL, "exactly one"},
        {"CREATE TABLE x (a); COMMIT", "INSERT INTO x VALUES (1)", RMQ_INVAL, "ends the trans"},
    };
    mill_sql_target target = total_target();
    target.create_sql = cases[_i].create_sql;
    target.statement = cases[_i].statement;
    mill_sink *sink = sink_with(&target, 1, false);
    mill_sink_owner owner = test_owner(1);
    mill_sink_position position;
    ck_status(sink->vtable.open(sink->self, &owner, &position, &err), cases[_i].status);
    ck_assert_msg(strstr(err.text, path) != NULL && strstr(err.text, cases[_i].said) != NULL, "%s",
                  err.text);
    mill_sink_free(sink);
    if (strstr(cases[_i].create_sql, "COMMIT") == NULL)
        ck_assert_int_eq(look("SELECT count(*) FROM sqlite_master"), 0);
}
END_TEST

START_TEST(configs_are_checked)
{
    mill_sink *sink = NULL;
    mill_sql_target target = total_target();
    mill_sqlite_config good = MILL_SQLITE_CONFIG_INIT;
    good.path = path;
    good.targets = &target;
    good.n_targets = 1;
    ck_status(mill_sqlite_sink_new(NULL, &sink, &err), RMQ_INVAL);
    mill_sqlite_config config = good;
    config.path = NULL;
    ck_status(mill_sqlite_sink_new(&config, &sink, &err), RMQ_INVAL);
    config = good;
    config.n_targets = 0;
    ck_status(mill_sqlite_sink_new(&config, &sink, &err), RMQ_INVAL);
    config = good;
    config.struct_size = 0;
    ck_status(mill_sqlite_sink_new(&config, &sink, &err), RMQ_INVAL);
    config = good;
    config.busy_timeout_ms = -1;
    ck_status(mill_sqlite_sink_new(&config, &sink, &err), RMQ_INVAL);
    target.bind = NULL;
    ck_status(mill_sqlite_sink_new(&good, &sink, &err), RMQ_INVAL);
    ck_assert_ptr_null(sink);
}
END_TEST

/* ---- the negative control ---- */

START_TEST(unsafe_offsets_repeat_after_a_kill)
{
    mill_sql_target target = total_target();
    pid_t pid = fork();
    if (pid == 0) {
        mill_sink *sink = sink_with(&target, 1, true);
        open_at(sink, 1);
        if (test_run(sink, 1, 1, "1-a", &(test_row){"a", 1}, &err) == RMQ_OK)
            raise(SIGKILL);
        _exit(1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    mill_sink *sink = sink_with(&target, 1, true);
    ck_assert_int_eq(open_at(sink, 2).batch_id, 0); /* as if nothing had been done */
    ck_assert_int_eq(look("SELECT total FROM totals"), 1);
    ck_ok(test_batch(sink, 1, 2, "2-a", &(test_row){"a", 1}, &err), &err);
    ck_assert_int_eq(look("SELECT total FROM totals"), 2); /* twice: what the sink is there for */
    mill_sink_free(sink);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("sqlite sink");
    TCase *cases = tcase_create("sqlite");
    tcase_add_checked_fixture(cases, sqlite_setup, sqlite_teardown);
    tcase_add_test(cases, a_batch_is_in_with_its_offsets);
    tcase_add_test(cases, two_targets_are_one_transaction);
    tcase_add_test(cases, values_come_as_they_are);
    tcase_add_test(cases, every_kind_is_bound);
    tcase_add_loop_test(cases, what_a_row_does_not_bind_is_null, 0, 2);
    tcase_add_loop_test(cases, many_rows_are_written_as_one_by_one, 0, 8);
    tcase_add_test(cases, the_last_of_many_rows_wins);
    tcase_add_test(cases, what_one_of_many_rows_does_not_bind_is_null);
    tcase_add_loop_test(cases, no_row_binds_a_parameter_of_another, 0, 2);
    tcase_add_test(cases, not_found_from_a_bind_function_is_no_end_of_rows);
    tcase_add_test(cases, an_older_epoch_is_refused);
    tcase_add_test(cases, only_the_successor_is_taken);
    tcase_add_test(cases, another_checkpoint_is_refused_or_adopts);
    tcase_add_test(cases, a_stream_without_a_batch_does_not_count);
    tcase_add_test(cases, a_failed_run_takes_nothing_more);
    tcase_add_loop_test(cases, a_bad_bind_function_is_named, 0, 2);
    tcase_add_test(cases, a_locked_database_is_tried_again);
    tcase_add_test(cases, a_reader_in_the_way_of_commit);
    tcase_add_loop_test(cases, bad_sql_leaves_nothing, 0, 7);
    tcase_add_test(cases, configs_are_checked);
    tcase_add_test(cases, unsafe_offsets_repeat_after_a_kill);
    suite_add_tcase(suite, cases);
    return suite;
}
