/* The handle around a sink, and the callback, console and memory sinks. */
#include "sink_rows.h"

#include "../support/fault_alloc.h"

#include <mill/store.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static rmq_error err;
static char seen[4096]; /* what callbacks were told */

static void set_up(void)
{
    test_context_set_up();
    seen[0] = '\0';
}

static void tear_down(void)
{
    test_context_tear_down();
}

static void tell(const char *format, ...) RMQ_PRINTF(1, 2);
static void tell(const char *format, ...)
{
    size_t len = strlen(seen);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(seen + len, sizeof(seen) - len, format, arguments);
    va_end(arguments);
}

static void tell_row(const void *row)
{
    const rmq_slice *key = mill_pair_key(row);
    tell(" %.*s=%lld", (int)key->len, key->data,
         (long long)*(const int64_t *)mill_pair_value(test_pair, row));
}

/* ---- the handle ---- */

static int n_closed;

static rmq_status no_open(void *self, const mill_sink_owner *owner, mill_sink_position *position,
                          rmq_error *error)
{
    (void)self;
    (void)owner;
    (void)position;
    (void)error;
    return RMQ_OK;
}

static rmq_status no_begin(void *self, const mill_sink_batch *batch, rmq_error *error)
{
    (void)self;
    (void)batch;
    (void)error;
    return RMQ_OK;
}

static rmq_status no_write(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                           rmq_error *error)
{
    (void)self;
    (void)target;
    (void)partition;
    (void)rows;
    (void)error;
    return RMQ_OK;
}

static rmq_status no_commit(void *self, const mill_offset *offsets, size_t n_offsets,
                            rmq_error *error)
{
    (void)self;
    (void)offsets;
    (void)n_offsets;
    (void)error;
    return RMQ_OK;
}

static void no_abort(void *self)
{
    (void)self;
}

static void count_close(void *self)
{
    (void)self;
    n_closed++;
}

static mill_sink_vtable plain_vtable(void)
{
    return (mill_sink_vtable){.struct_size = sizeof(mill_sink_vtable),
                              .name = "plain",
                              .open = no_open,
                              .begin = no_begin,
                              .write = no_write,
                              .commit = no_commit,
                              .abort = no_abort,
                              .close = count_close};
}

START_TEST(a_handle_has_one_owner)
{
    mill_sink_vtable vtable = plain_vtable();
    vtable.n_targets = 2;
    const mill_type *types[] = {test_pair, mill_type_text()};
    mill_sink *sink = NULL;
    int self = 0;
    int job = 0;
    int other = 0;
    n_closed = 0;
    ck_ok(mill_sink_new(&vtable, &self, types, &sink, &err), &err);
    ck_status(mill_sink_take(sink, &job, 2, test_pair, &err), RMQ_INVAL);
    ck_status(mill_sink_take(sink, &job, 1, test_pair, &err), RMQ_INVAL);
    ck_assert_msg(strstr(err.text, "text") != NULL, "%s", err.text);
    ck_ok(mill_sink_take(sink, &job, 1, mill_type_text(), &err), &err);
    ck_ok(mill_sink_take(sink, &job, 0, test_pair, &err), &err);
    ck_status(mill_sink_take(sink, &other, 0, test_pair, &err), RMQ_INVAL);
    ck_ok(mill_sink_prepare(sink, &err), &err); /* there is none */
    ck_assert(!mill_sink_is_transactional(sink));
    mill_sink_free(sink); /* it is the job's */
    ck_assert_int_eq(n_closed, 0);
    mill_sink_release(sink);
    ck_assert_int_eq(n_closed, 1);
    mill_sink_free(NULL);
    mill_sink_release(NULL);
}
END_TEST

START_TEST(a_bad_vtable_is_refused)
{
    const mill_type *types[] = {test_pair, NULL};
    mill_sink *sink = NULL;
    int self = 0;
    mill_sink_vtable vtable = plain_vtable();
    n_closed = 0;
    vtable.commit = NULL;
    ck_status(mill_sink_new(&vtable, &self, types, &sink, &err), RMQ_INVAL);
    vtable = plain_vtable();
    vtable.name = NULL;
    ck_status(mill_sink_new(&vtable, &self, types, &sink, &err), RMQ_INVAL);
    vtable = plain_vtable();
    vtable.struct_size = offsetof(mill_sink_vtable, close);
    ck_status(mill_sink_new(&vtable, &self, types, &sink, &err), RMQ_INVAL);
    vtable = plain_vtable();
    vtable.n_targets = 2;
    ck_status(mill_sink_new(&vtable, &self, types, &sink, &err), RMQ_INVAL);
    ck_status(mill_sink_new(NULL, &self, types, &sink, &err), RMQ_INVAL);
    ck_status(mill_sink_new(&vtable, &self, NULL, &sink, &err), RMQ_INVAL);
    ck_assert_ptr_null(sink);
    ck_assert_int_eq(n_closed, 0); /* self is still the caller's */
}
END_TEST

/* ---- callback ---- */

static rmq_status each_row(const mill_sink_batch *batch, const void *row, void *ctx,
                           rmq_error *error)
{
    (void)error;
    tell(" %lld:", (long long)batch->batch_id);
    tell_row(row);
    return ctx != NULL ? *(rmq_status *)ctx : RMQ_OK;
}

static rmq_status each_batch(const mill_sink_batch *batch, mill_rows *rows,
                             const mill_offset *offsets, size_t n_offsets, void *ctx,
                             rmq_error *error)
{
    const void *row = NULL;
    tell("[%lld %s %llu rows", (long long)batch->batch_id, batch->run,
         (unsigned long long)mill_rows_count(rows));
    while (mill_rows_next(rows, &row, error) == RMQ_OK)
        tell_row(row);
    for (size_t i = 0; i < n_offsets; i++)
        tell(" %s/%d@%lld", offsets[i].topic, offsets[i].queue_id,
             (long long)offsets[i].next_offset);
    tell("]");
    return ctx != NULL ? *(rmq_status *)ctx : RMQ_OK;
}

static void open_sink(mill_sink *sink)
{
    mill_sink_owner owner = test_owner(1);
    mill_sink_position position;
    ck_ok(sink->vtable.open(sink->self, &owner, &position, &err), &err);
    ck_assert_int_eq(position.batch_id, 0);
}

static rmq_status write_partition(mill_sink *sink, uint32_t partition, const test_row *rows,
                                  size_t count)
{
    mill_rows *made = test_rows_make(rows, count);
    rmq_status status = sink->vtable.write(sink->self, 0, partition, made, &err);
    mill_rows_free(made); /* the sink has to keep what it needs */
    return status;
}

START_TEST(callbacks_are_told_everything)
{
    mill_sink *sink = NULL;
    ck_ok(mill_callback_sink_new(test_pair, each_row, each_batch, NULL, &sink, &err), &err);
    ck_assert(!mill_sink_is_transactional(sink));
    open_sink(sink);
    ck_ok(test_run(sink, 1, 1, "gone", &(test_row){"x", 9}, &err), &err);
    sink->vtable.abort(sink->self);
    seen[0] = '\0';
    mill_sink_batch batch = {.batch_id = 1, .epoch = 1, .run = "1-a"};
    ck_ok(sink->vtable.begin(sink->self, &batch, &err), &err);
    ck_ok(write_partition(sink, 0, (const test_row[]){{"a", 1}, {"b", 2}}, 2), &err);
    ck_ok(write_partition(sink, 1, (const test_row[]){{"c", 3}}, 1), &err);
    ck_assert_str_eq(seen, " 1: a=1 1: b=2 1: c=3");
    mill_offset offset = {"direct", "T", "b", 4, 77};
    ck_ok(sink->vtable.commit(sink->self, &offset, 1, &err), &err);
    ck_assert_str_eq(seen, " 1: a=1 1: b=2 1: c=3[1 1-a 3 rows a=1 b=2 c=3 T/4@77]");
    seen[0] = '\0';
    ck_ok(test_batch(sink, 2, 1, "1-b", NULL, &err), &err);
    ck_assert_str_eq(seen, "[2 1-b 0 rows T/0@20]");
    mill_sink_free(sink);
}
END_TEST

START_TEST(a_failing_callback_fails_the_batch)
{
    rmq_status answer = RMQ_USER;
    mill_sink *sink = NULL;
    ck_ok(mill_callback_sink_new(test_pair, _i == 0 ? each_row : NULL, _i == 0 ? NULL : each_batch,
                                 &answer, &sink, &err),
          &err);
    open_sink(sink);
    ck_status(test_batch(sink, 1, 1, "1-a", &(test_row){"a", 1}, &err), RMQ_USER);
    ck_assert_msg(strstr(err.text, "batch 1") != NULL, "%s", err.text);
    sink->vtable.abort(sink->self);
    answer = RMQ_OK;
    ck_ok(test_batch(sink, 1, 1, "1-b", &(test_row){"a", 1}, &err), &err);
    mill_sink_free(sink);
    ck_status(mill_callback_sink_new(test_pair, NULL, NULL, NULL, &sink, &err), RMQ_INVAL);
    ck_status(mill_callback_sink_new(NULL, each_row, NULL, NULL, &sink, &err), RMQ_INVAL);
}
END_TEST

/* ---- console ---- */

static int format_pair(const void *row, char *out_text, size_t capacity, void *ctx)
{
    const rmq_slice *key = mill_pair_key(row);
    (void)ctx;
    return snprintf(out_text, capacity, "%.*s,%lld", (int)key->len, key->data,
                    (long long)*(const int64_t *)mill_pair_value(test_pair, row));
}

/* What reaches standard output while `sink` commits two batches, one run being given up. */
static void run_console(mill_sink *sink, FILE *file)
{
    int saved = dup(STDOUT_FILENO);
    fflush(stdout);
    ck_assert_int_ge(dup2(fileno(file), STDOUT_FILENO), 0);
    open_sink(sink);
    ck_ok(test_run(sink, 1, 1, "gone", &(test_row){"gone", 9}, &err), &err);
    sink->vtable.abort(sink->self);
    mill_sink_batch batch = {.batch_id = 1, .epoch = 1, .run = "1-a"};
    static char large[1000];
    memset(large, 'L', sizeof(large) - 1);
    ck_ok(sink->vtable.begin(sink->self, &batch, &err), &err);
    ck_ok(write_partition(sink, 0, (const test_row[]){{"a\x1b[2Jb\nc", 1}, {large, 2}}, 2), &err);
    ck_ok(write_partition(sink, 1, (const test_row[]){{"c", 3}, {"d", 4}}, 2), &err);
    ck_ok(sink->vtable.commit(sink->self, NULL, 0, &err), &err);
    ck_ok(test_batch(sink, 2, 1, "1-b", NULL, &err), &err);
    dup2(saved, STDOUT_FILENO);
    close(saved);
}

START_TEST(the_console_shows_batches)
{
    mill_sink *sink = NULL;
    ck_ok(mill_console_sink_new(test_pair, format_pair, NULL, 3, &sink, &err), &err);
    FILE *file = tmpfile();
    run_console(sink, file);
    mill_sink_free(sink);
    char text[4096];
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    char expected[4096];
    char large[1000];
    memset(large, 'L', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    snprintf(expected, sizeof(expected),
             "-------------------------------------------\nBatch: 1\n"
             "-------------------------------------------\na?[2Jb?c,1\n%s,2\nc,3\n"
             "only showing top 3 rows\n-------------------------------------------\nBatch: 2\n"
             "-------------------------------------------\n",
             large);
    ck_assert_str_eq(text, expected);
}
END_TEST

START_TEST(a_closed_console_fails_the_batch)
{
    mill_sink *sink = NULL;
    int pipe_fds[2];
    ck_ok(mill_console_sink_new(test_pair, format_pair, NULL, 0, &sink, &err), &err);
    open_sink(sink);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    close(pipe_fds[0]);
    int saved = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(pipe_fds[1], STDOUT_FILENO);
    rmq_status status = test_batch(sink, 1, 1, "1-a", &(test_row){"a", 1}, &err);
    dup2(saved, STDOUT_FILENO);
    ck_status(status, RMQ_IO);
    ck_assert_msg(strstr(err.text, "standard output") != NULL, "%s", err.text);
    mill_sink_free(sink);
}
END_TEST

/* ---- memory ---- */

static uint64_t rows_in(mill_memory_table *table)
{
    mill_rows *rows = NULL;
    ck_ok(mill_memory_table_rows(table, &rows, &err), &err);
    uint64_t count = mill_rows_count(rows);
    mill_rows_free(rows);
    return count;
}

START_TEST(a_table_outlives_its_sinks)
{
    mill_memory_table *table = NULL;
    mill_sink *sink = NULL;
    ck_ok(mill_memory_table_new(test_pair, &table, &err), &err);
    ck_ok(mill_memory_sink_new(table, &sink, &err), &err);
    open_sink(sink);
    ck_ok(test_batch(sink, 1, 1, "1-a", &(test_row){"a", 1}, &err), &err);
    mill_sink_free(sink);
    ck_assert_uint_eq(rows_in(table), 1);
    ck_ok(mill_memory_sink_new(table, &sink, &err), &err);
    mill_memory_table_free(table); /* the sink still holds it */
    mill_sink_owner owner = test_owner(2);
    mill_sink_position position;
    ck_ok(sink->vtable.open(sink->self, &owner, &position, &err), &err);
    ck_assert_int_eq(position.batch_id, 1);
    ck_assert_str_eq(position.run, "1-a");
    mill_sink_free(sink);
    ck_status(mill_memory_sink_new(NULL, &sink, &err), RMQ_INVAL);
    ck_status(mill_memory_table_new(NULL, &table, &err), RMQ_INVAL);
    mill_memory_table_free(NULL);
}
END_TEST

/* ---- memory that runs out ---- */

/* Makes a sink of the kind, opens it and commits a batch. */
static rmq_status story_of(int kind, mill_rows *rows)
{
    mill_sink *sink = NULL;
    mill_memory_table *table = NULL;
    mill_sink_position position;
    mill_sink_owner owner = test_owner(1);
    mill_sink_batch batch = {.batch_id = 1, .epoch = 1, .run = "r"};
    mill_offset offset = {"direct", "T", "b", 0, 1};
    rmq_status status = RMQ_OK;
    if (kind == 0) {
        status = mill_memory_table_new(test_pair, &table, &err);
        if (status == RMQ_OK)
            status = mill_memory_sink_new(table, &sink, &err);
    } else if (kind == 1) {
        status = mill_callback_sink_new(test_pair, each_row, each_batch, NULL, &sink, &err);
    } else {
        status = mill_console_sink_new(test_pair, format_pair, NULL, 0, &sink, &err);
    }
    if (status == RMQ_OK)
        status = sink->vtable.open(sink->self, &owner, &position, &err);
    if (status == RMQ_OK)
        status = sink->vtable.begin(sink->self, &batch, &err);
    mill_rows_rewind(rows);
    seen[0] = '\0';
    if (status == RMQ_OK)
        status = sink->vtable.write(sink->self, 0, 0, rows, &err);
    if (status == RMQ_OK)
        status = sink->vtable.commit(sink->self, &offset, 1, &err);
    else if (sink != NULL)
        sink->vtable.abort(sink->self);
    mill_sink_free(sink);
    mill_memory_table_free(table);
    return status;
}

START_TEST(every_allocation_fails)
{
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int saved = dup(STDOUT_FILENO);
    mill_rows *rows = test_rows_make(&(test_row){"a", 1}, 1);
    const void *row = NULL;
    ck_ok(mill_rows_next(rows, &row, &err), &err); /* its buffers are there now */
    fflush(stdout);
    dup2(null_fd, STDOUT_FILENO); /* the console prints */
    int64_t nth = 0;
    int64_t n_refused = 0;
    for (;; nth++) {
        fault_alloc_fail(nth);
        rmq_status status = story_of(_i, rows);
        int64_t failed = fault_alloc_failed();
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (failed == 0) {
            ck_ok(status, &err);
            break;
        }
        /* a block does without the memory that it only wanted to give back, and the batch function
         * of the test reads rows itself and does not tell */
        n_refused += status != RMQ_OK;
        if (status != RMQ_OK)
            ck_status(status, RMQ_NOMEM);
    }
    fault_alloc_off();
    dup2(saved, STDOUT_FILENO);
    mill_rows_free(rows);
    printf("# %lld allocations failed\n", (long long)nth);
    ck_assert_int_ge(n_refused, 4);
    ck_assert_int_le(nth - n_refused, 3);
}
END_TEST

/* A store has few: open and get. */
START_TEST(every_allocation_of_a_store_fails)
{
    char *dir = temp_dir_make();
    int64_t nth = 0;
    for (;; nth++) {
        mill_store store = {0};
        char *bytes = NULL;
        size_t len = 0;
        fault_alloc_fail(nth);
        rmq_status status = mill_store_open(dir, true, &store, &err);
        if (status == RMQ_OK)
            status = store.vtable->replace(store.self, "a", RMQ_SLICE_LITERAL("x"), &err);
        if (status == RMQ_OK)
            status = store.vtable->get(store.self, "a", &bytes, &len, &err);
        int64_t failed = fault_alloc_failed();
        rmq_free(bytes);
        mill_store_close(&store);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (failed == 0) {
            ck_ok(status, &err);
            break;
        }
        ck_status(status, RMQ_NOMEM);
    }
    fault_alloc_off();
    ck_assert_int_ge(nth, 3);
    temp_dir_remove(dir);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("simple sinks");
    TCase *cases = tcase_create("simple");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_handle_has_one_owner);
    tcase_add_test(cases, a_bad_vtable_is_refused);
    tcase_add_test(cases, callbacks_are_told_everything);
    tcase_add_loop_test(cases, a_failing_callback_fails_the_batch, 0, 2);
    tcase_add_test(cases, the_console_shows_batches);
    tcase_add_test(cases, a_closed_console_fails_the_batch);
    tcase_add_test(cases, a_table_outlives_its_sinks);
    tcase_add_loop_test(cases, every_allocation_fails, 0, 3);
    tcase_add_test(cases, every_allocation_of_a_store_fails);
    suite_add_tcase(suite, cases);
    return suite;
}
