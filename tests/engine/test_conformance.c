/* The conformance kit: the sinks that are right pass every check, and each broken one fails exactly
 * those that its defect stands behind. */
#include "../support/support.h"

#include "broken_sinks/model_sink.h"

#include <mill/sink_conformance.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/block.h"

static char *dir;
static rmq_error err;

/* In front of the C library's: a machine where ptrace is not allowed. */
static bool no_ptrace;

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);
    if (!no_ptrace)
        return syscall(SYS_ptrace, request, pid, address, data);
    errno = EPERM;
    return -1;
}

static void set_up(void)
{
    dir = temp_dir_make();
}

static void tear_down(void)
{
    temp_dir_remove(dir);
}

/* ---- reports ---- */

typedef struct seen_checks {
    size_t n_checks;
    size_t n_failed;
    char failed[64][64];
    char details[64][600];
} seen_checks;

static void note(const char *check, bool passed, const char *detail, void *ctx)
{
    seen_checks *seen = ctx;
    seen->n_checks++;
    if (passed)
        return;
    ck_assert_uint_lt(seen->n_failed, 64);
    snprintf(seen->failed[seen->n_failed], 64, "%s", check);
    snprintf(seen->details[seen->n_failed++], 600, "%s", detail);
}

static seen_checks check_subject(mill_conformance_subject *subject)
{
    seen_checks seen = {0};
    uint32_t n_failed = 0;
    rmq_status status = mill_sink_conformance_run(subject, note, &seen, &n_failed, &err);
    ck_assert_msg(status == RMQ_OK || status == RMQ_SINK, "%s: %s", rmq_status_name(status),
                  err.text);
    ck_assert_uint_eq(n_failed, seen.n_failed);
    ck_assert((status == RMQ_OK) == (n_failed == 0));
    ck_assert_uint_ge(seen.n_checks, subject->kills ? 30 : 24);
    return seen;
}

static void check_all_pass(mill_conformance_subject *subject)
{
    seen_checks seen = check_subject(subject);
    ck_assert_msg(seen.n_failed == 0, "%s: %s", seen.failed[0], seen.details[0]);
}

/* Rows being put together for visible_rows. */
static rmq_status begin_rows(mill_context *context, mill_block **out_block, rmq_error *error)
{
    const mill_type *pair = mill_type_pair(context, mill_type_text(), mill_type_int64(), error);
    return pair == NULL ? error->status
                        : mill_block_new(mill_context_blocks(context), pair, out_block, error);
}

static rmq_status add_row(mill_block *block, rmq_slice key, int64_t value, rmq_error *error)
{
    char row[128] = {0};
    memcpy(row, &key, sizeof(key));
    memcpy(row + mill_block_type(block)->value_at, &value, sizeof(value));
    return mill_block_append(block, row, error);
}

static rmq_status end_rows(mill_block *take_block, mill_rows **out_rows, rmq_error *error)
{
    rmq_status status = mill_block_seal(take_block, error);
    if (status == RMQ_OK)
        status = mill_rows_of_blocks(&take_block, 1, mill_block_type(take_block), out_rows, error);
    mill_block_unref(take_block);
    return status;
}

/* ---- the model and its broken relatives ---- */

static rmq_status model_make(void *ctx, mill_context *context, mill_sink **out_sink,
                             rmq_error *error)
{
    model_place *place = ctx;
    const mill_type *pair = mill_type_pair(context, mill_type_text(), mill_type_int64(), error);
    model_sink *sink = calloc(1, sizeof(*sink));
    ck_assert(sink != NULL && pair != NULL);
    sink->place = place;
    sink->pair = pair;
    return mill_sink_new(place->vtable, sink, &pair, out_sink, error);
}

static rmq_status model_visible(void *ctx, mill_context *context, mill_rows **out_rows,
                                rmq_error *error)
{
    model_place *place = ctx;
    model_state state;
    mill_block *block = NULL;
    rmq_status status = place->load(place, &state, error);
    if (status == RMQ_OK)
        status = begin_rows(context, &block, error);
    for (size_t i = 0; status == RMQ_OK && i < state.rows.count; i++) {
        const model_row *row = &state.rows.items[i];
        status = add_row(block, (rmq_slice){row->key, row->len}, row->value, error);
    }
    if (status != RMQ_OK)
        return status;
    model_state_clear(&state);
    return end_rows(block, out_rows, error);
}

static rmq_status model_reset(void *ctx, rmq_error *error)
{
    model_place *place = ctx;
    (void)error;
    unlink(place->path);
    return RMQ_OK;
}

static mill_conformance_subject model_subject(model_place *place, mill_sink_vtable *vtable)
{
    *vtable = model_vtable;
    place->vtable = vtable;
    place->load = model_load;
    place->store = model_store;
    snprintf(place->path, sizeof(place->path), "%s/place", dir);
    return (mill_conformance_subject){.struct_size = sizeof(mill_conformance_subject),
                                      .make_sink = model_make,
                                      .visible_rows = model_visible,
                                      .reset = model_reset,
                                      .ctx = place,
                                      .kills = true};
}

START_TEST(the_model_passes)
{
    model_place place;
    mill_sink_vtable vtable;
    mill_conformance_subject subject = model_subject(&place, &vtable);
    check_all_pass(&subject);
}
END_TEST

static bool is_in(const char *name, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

START_TEST(a_broken_sink_is_found)
{
    const broken_sink *broken = broken_sinks[_i];
    model_place place;
    mill_sink_vtable vtable;
    mill_conformance_subject subject = model_subject(&place, &vtable);
    broken->patch(&vtable, &place);
    seen_checks seen = check_subject(&subject);
    size_t n_expected = 0;
    char text[4000] = "";
    for (size_t i = 0; i < seen.n_failed; i++) {
        if (!is_in(seen.failed[i], broken->fails))
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "\n  unexpected %s: %s",
                     seen.failed[i], seen.details[i]);
        ck_assert_msg(seen.details[i][0] != '\0', "%s has no detail", seen.failed[i]);
    }
    const char *failed[65] = {0};
    for (size_t i = 0; i < seen.n_failed; i++)
        failed[i] = seen.failed[i];
    for (; broken->fails[n_expected] != NULL; n_expected++) {
        if (!is_in(broken->fails[n_expected], failed))
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "\n  not found by %s",
                     broken->fails[n_expected]);
    }
    ck_assert_uint_ge(n_expected, 1);
    if (seen.n_failed > 0)
        ck_assert_msg(strcmp(seen.failed[0], broken->fails[0]) == 0, "%s: the first to fail is %s",
                      broken->name, seen.failed[0]);
    ck_assert_msg(text[0] == '\0', "%s:%s", broken->name, text);
}
END_TEST

/* Kills by the clock are fewer and hit where they may; those before and after a step stay. */
START_TEST(kills_without_ptrace)
{
    no_ptrace = true;
    model_place place;
    mill_sink_vtable vtable;
    mill_conformance_subject subject = model_subject(&place, &vtable);
    check_all_pass(&subject);
    for (size_t i = 0; i < n_broken_sinks; i++) {
        if (strcmp(broken_sinks[i]->name, "not-durable") != 0)
            continue;
        subject = model_subject(&place, &vtable);
        broken_sinks[i]->patch(&vtable, &place);
        seen_checks seen = check_subject(&subject);
        ck_assert_uint_eq(seen.n_failed, 1);
        ck_assert_str_eq(seen.failed[0], "killed-after-commit");
        return;
    }
    ck_abort_msg("no such sink");
}
END_TEST

/* ---- the built-in sinks ---- */

static rmq_status bind_pair(const void *row, mill_sql_binder *binder, void *ctx)
{
    const mill_type *pair = ctx;
    mill_bind_text(binder, 1, *(const rmq_slice *)mill_pair_key(row));
    mill_bind_int64(binder, 2, *(const int64_t *)mill_pair_value(pair, row));
    return RMQ_OK;
}

typedef struct sqlite_place {
    char path[4096];
    bool with_journal; /* a rollback journal instead of the WAL */
} sqlite_place;

static rmq_status sqlite_make(void *ctx, mill_context *context, mill_sink **out_sink,
                              rmq_error *error)
{
    sqlite_place *place = ctx;
    mill_sqlite_config config = MILL_SQLITE_CONFIG_INIT;
    mill_sql_target target = {
        .create_sql = "CREATE TABLE IF NOT EXISTS out (k TEXT, v INTEGER)",
        .statement = "INSERT INTO out VALUES (?1, ?2)",
        .type = mill_type_pair(context, mill_type_text(), mill_type_int64(), error),
        .bind = bind_pair};
    target.ctx = (void *)(uintptr_t)target.type;
    config.path = place->path;
    config.targets = &target;
    config.n_targets = 1;
    config.busy_timeout_ms = 20;
    return mill_sqlite_sink_new(&config, out_sink, error);
}

static rmq_status read_table(sqlite3 *db, mill_block *block, rmq_error *error)
{
    sqlite3_stmt *select = NULL;
    rmq_status status = RMQ_OK;
    /* no such table: nothing is visible */
    if (sqlite3_prepare_v2(db, "SELECT k, v FROM out", -1, &select, NULL) != SQLITE_OK)
        return RMQ_OK;
    int result;
    while (status == RMQ_OK && (result = sqlite3_step(select)) != SQLITE_DONE) {
        if (result != SQLITE_ROW) {
            status = rmq_error_set(error, RMQ_LOCKED, "select: %s", sqlite3_errmsg(db));
            break;
        }
        rmq_slice key = {(const char *)sqlite3_column_text(select, 0),
                         (size_t)sqlite3_column_bytes(select, 0)};
        status = add_row(block, key, sqlite3_column_int64(select, 1), error);
    }
    sqlite3_finalize(select);
    return status;
}

static rmq_status sqlite_visible(void *ctx, mill_context *context, mill_rows **out_rows,
                                 rmq_error *error)
{
    sqlite_place *place = ctx;
    sqlite3 *db = NULL;
    mill_block *block = NULL;
    rmq_status status = begin_rows(context, &block, error);
    if (status != RMQ_OK)
        return status;
    if (access(place->path, F_OK) == 0) {
        ck_assert_int_eq(sqlite3_open(place->path, &db), SQLITE_OK);
        status = read_table(db, block, error);
        sqlite3_close(db);
    }
    if (status == RMQ_OK)
        return end_rows(block, out_rows, error);
    mill_block_unref(block);
    return status;
}

static rmq_status sqlite_reset(void *ctx, rmq_error *error)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    sqlite_place *place = ctx;
    (void)error;
    for (size_t i = 0; i < 4; i++) {
        char path[sizeof(place->path) + 16];
        snprintf(path, sizeof(path), "%s%s", place->path, suffixes[i]);
        unlink(path);
    }
    if (place->with_journal) {
        sqlite3 *db = NULL;
        ck_assert_int_eq(sqlite3_open(place->path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, "CREATE TABLE other (x)", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
    }
    return RMQ_OK;
}

START_TEST(sqlite_passes)
{
    sqlite_place place = {.with_journal = _i == 1};
    snprintf(place.path, sizeof(place.path), "%s/out.db", dir);
    mill_conformance_subject subject = {.struct_size = sizeof(subject),
                                        .make_sink = sqlite_make,
                                        .visible_rows = sqlite_visible,
                                        .reset = sqlite_reset,
                                        .ctx = &place,
                                        .kills = true};
    check_all_pass(&subject);
}
END_TEST

typedef struct memory_place {
    mill_memory_table *table;
    mill_context *context; /* that its type belongs to */
} memory_place;

static rmq_status memory_use(memory_place *place, mill_context *context, rmq_error *error)
{
    if (place->table != NULL && place->context == context)
        return RMQ_OK;
    mill_memory_table_free(place->table);
    place->table = NULL;
    place->context = context;
    return mill_memory_table_new(
        mill_type_pair(context, mill_type_text(), mill_type_int64(), error), &place->table, error);
}

static rmq_status memory_make(void *ctx, mill_context *context, mill_sink **out_sink,
                              rmq_error *error)
{
    memory_place *place = ctx;
    rmq_status status = memory_use(place, context, error);
    return status == RMQ_OK ? mill_memory_sink_new(place->table, out_sink, error) : status;
}

static rmq_status memory_visible(void *ctx, mill_context *context, mill_rows **out_rows,
                                 rmq_error *error)
{
    memory_place *place = ctx;
    rmq_status status = memory_use(place, context, error);
    return status == RMQ_OK ? mill_memory_table_rows(place->table, out_rows, error) : status;
}

static rmq_status memory_reset(void *ctx, rmq_error *error)
{
    memory_place *place = ctx;
    (void)error;
    mill_memory_table_free(place->table);
    place->table = NULL;
    return RMQ_OK;
}

START_TEST(memory_passes)
{
    memory_place place = {0};
    mill_conformance_subject subject = {.struct_size = sizeof(subject),
                                        .make_sink = memory_make,
                                        .visible_rows = memory_visible,
                                        .reset = memory_reset,
                                        .ctx = &place};
    check_all_pass(&subject);
    mill_memory_table_free(place.table);
}
END_TEST

/* ---- the kit itself ---- */

static rmq_status fail_reset(void *ctx, rmq_error *error)
{
    (void)ctx;
    return rmq_error_set(error, RMQ_IO, "no place");
}

START_TEST(a_kit_that_cannot_run_says_so)
{
    model_place place;
    mill_sink_vtable vtable;
    mill_conformance_subject subject = model_subject(&place, &vtable);
    uint32_t n_failed = 77;
    subject.reset = fail_reset;
    ck_status(mill_sink_conformance_run(&subject, NULL, NULL, &n_failed, &err), RMQ_IO);
    ck_assert_msg(strstr(err.text, "no place") != NULL, "%s", err.text);
    subject = model_subject(&place, &vtable);
    vtable.flags = 0;
    ck_status(mill_sink_conformance_run(&subject, NULL, NULL, &n_failed, &err), RMQ_INVAL);
    subject.make_sink = NULL;
    ck_status(mill_sink_conformance_run(&subject, NULL, NULL, &n_failed, &err), RMQ_INVAL);
    ck_status(mill_sink_conformance_run(NULL, NULL, NULL, &n_failed, &err), RMQ_INVAL);
    ck_assert_uint_eq(n_failed, 77);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("conformance");
    TCase *cases = tcase_create("conformance");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, the_model_passes);
    tcase_add_loop_test(cases, a_broken_sink_is_found, 0, (int)n_broken_sinks);
    tcase_add_test(cases, kills_without_ptrace);
    tcase_add_loop_test(cases, sqlite_passes, 0, 2);
    tcase_add_test(cases, memory_passes);
    tcase_add_test(cases, a_kit_that_cannot_run_says_so);
    suite_add_tcase(suite, cases);
    return suite;
}
