/* The SQLite sink when the system fails it. The calls that SQLite writes and syncs with are defined
 * here, in front of the C library's; each fails once, in every place of a batch, and then for good.
 *
 * Whatever the sink answers must be true: what it calls not in is not in, what it calls in is in,
 * and of what it calls unknown the rows and the position agree after it was opened again. */
#include "sink_sqlite_fixture.h"

#include "../support/fault_alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CALL_WRITE = 1, CALL_SYNC = 2 };

static struct {
    int calls; /* which count; 0: none */
    int at;
    int reason;
    bool after;  /* the call is made before the fault strikes */
    bool always; /* and at every later call */
    int made;
    int struck;
} fault;

static bool fault_strikes(int call, bool after)
{
    if ((fault.calls & call) == 0 || fault.after != after)
        return false;
    int made = fault.made++;
    if (made != fault.at && !(fault.always && made > fault.at))
        return false;
    fault.struck++;
    errno = fault.reason;
    return true;
}

static ssize_t faulty_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (fault_strikes(CALL_WRITE, false))
        return -1;
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, len, at);
    return fault_strikes(CALL_WRITE, true) ? -1 : written;
}

/* With 64-bit offsets this is pwrite64, which SQLite calls. */
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return faulty_pwrite(fd, bytes, len, at);
}

static int faulty_sync(int fd, long number)
{
    if (fault_strikes(CALL_SYNC, false))
        return -1;
    int result = (int)syscall(number, fd);
    return fault_strikes(CALL_SYNC, true) ? -1 : result;
}

int fsync(int fd)
{
    return faulty_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return faulty_sync(fd, SYS_fdatasync);
}

static void tear_down(void)
{
    fault.calls = 0;
    sqlite_teardown();
}

static rmq_status try_open(mill_sink *sink, int64_t epoch, int64_t *out_batch_id)
{
    mill_sink_position position;
    mill_sink_owner owner = test_owner(epoch);
    rmq_status status = sink->vtable.open(sink->self, &owner, &position, &err);
    if (status == RMQ_OK)
        *out_batch_id = position.batch_id;
    return status;
}

/* How often the key is in, each time with the value 1; 0 if it isn't. */
static int64_t times_of(const char *key)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;
    int64_t times = 0;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_prepare_v2(db, "SELECT total FROM totals WHERE k = ?1", -1, &select, NULL),
        SQLITE_OK);
    sqlite3_bind_text(select, 1, key, -1, SQLITE_STATIC);
    if (sqlite3_step(select) == SQLITE_ROW)
        times = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    sqlite3_close(db);
    return times;
}

static void start_with_a_batch(bool with_journal)
{
    if (with_journal)
        sqlite3_close(outside("CREATE TABLE other (x)"));
    mill_sink *sink = sink_make();
    ck_assert_int_eq(open_at(sink, 1).batch_id, 0);
    ck_ok(test_batch(sink, 1, 1, "1-a", &(test_row){"first", 1}, &err), &err);
    mill_sink_free(sink);
}

static void plan_fault(int calls, int at, int reason, bool after, bool always)
{
    memset(&fault, 0, sizeof(fault));
    fault.at = at;
    fault.reason = reason;
    fault.after = after;
    fault.always = always;
    fault.calls = calls;
}

/* The sink said `status` to a commit of `batch_id` with the row `key`; is it true? Goes on until
 * the row is in once. */
static void check_answer(mill_sink *sink, rmq_status status, int64_t batch_id, int64_t *epoch,
                         const char *key)
{
    if (status != RMQ_TIMEOUT) {
        if (status != RMQ_OK)
            sink->vtable.abort(sink->self);
        ck_assert_msg(times_of(key) == (status == RMQ_OK), "%s: %s, but it is in %lld times", key,
                      rmq_status_name(status), (long long)times_of(key));
    }
    int64_t last = open_at(sink, ++*epoch).batch_id;
    ck_assert_msg(last == batch_id || last == batch_id - 1, "batch %lld", (long long)last);
    if (status == RMQ_OK)
        ck_assert_int_eq(last, batch_id);
    ck_assert_int_eq(times_of(key), last == batch_id);
    if (last != batch_id)
        ck_ok(test_batch(sink, batch_id, *epoch, "again", &(test_row){key, 1}, &err), &err);
    ck_assert_int_eq(times_of(key), 1);
}

static const struct {
    int calls;
    int reason;
    bool after;
    bool always;
    bool with_journal;
} variants[] = {
    {CALL_WRITE | CALL_SYNC, EIO, false, false, false},
    {CALL_WRITE | CALL_SYNC, EIO, true, false, false},
    {CALL_WRITE | CALL_SYNC, EIO, false, false, true},
    {CALL_WRITE | CALL_SYNC, EIO, true, false, true},
    {CALL_WRITE, ENOSPC, false, true, false},
    {CALL_WRITE, ENOSPC, false, true, true},
    {CALL_SYNC, EIO, false, true, false},
    {CALL_SYNC, EIO, false, true, true},
};

START_TEST(every_answer_is_true)
{
    start_with_a_batch(variants[_i].with_journal);
    mill_sink *sink = sink_make();
    int64_t epoch = 2;
    int64_t batch_id = open_at(sink, epoch).batch_id + 1;
    int unknown = 0;
    int at = 0;
    for (;; at++, batch_id++) {
        char key[32];
        snprintf(key, sizeof(key), "row %d", at);
        plan_fault(variants[_i].calls, at, variants[_i].reason, variants[_i].after,
                   variants[_i].always);
        rmq_status status = test_batch(sink, batch_id, epoch, "r", &(test_row){key, 1}, &err);
        int struck = fault.struck;
        fault.calls = 0;
        unknown += status == RMQ_TIMEOUT;
        if (status != RMQ_OK) {
            ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
            ck_assert_int_eq(err.status, status);
            ck_assert_msg(status == RMQ_IO || status == RMQ_TIMEOUT || status == RMQ_FULL ||
                              status == RMQ_SINK,
                          "%s: %s", rmq_status_name(status), err.text);
        }
        check_answer(sink, status, batch_id, &epoch, key);
        if (struck == 0) {
            ck_ok(status, &err);
            break;
        }
    }
    mill_sink_free(sink);
    printf("# variant %d: %d faults, %d of unknown outcome\n", _i, at, unknown);
    ck_assert_int_ge(at, 1);
    if (variants[_i].calls != CALL_SYNC || !variants[_i].with_journal)
        ck_assert_int_ge(unknown, 1);
}
END_TEST

/* Open meets every fault; the next one finds all as it was. */
START_TEST(open_leaves_nothing_half)
{
    bool fresh = _i % 2 == 0;
    int reason = _i < 2 ? EIO : ENOSPC;
    int at = 0;
    if (!fresh)
        start_with_a_batch(false);
    for (;; at++) {
        mill_sink *sink = sink_make();
        int64_t batch_id = -1;
        plan_fault(CALL_WRITE | CALL_SYNC, at, reason, false, false);
        rmq_status status = try_open(sink, 2 + at, &batch_id);
        int struck = fault.struck;
        fault.calls = 0;
        mill_sink_free(sink);
        if (struck == 0) {
            ck_ok(status, &err);
            break;
        }
        if (status != RMQ_OK)
            ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
        if (status != RMQ_OK && reason == ENOSPC && fault.struck == 0)
            ck_assert_int_eq(status, RMQ_FULL);
        sink = sink_make();
        ck_assert_int_eq(open_at(sink, 2 + at).batch_id, fresh ? 0 : 1);
        mill_sink_free(sink);
        if (fresh) {
            char other[sizeof(path) + 8];
            unlink(path);
            snprintf(other, sizeof(other), "%s-wal", path);
            unlink(other);
            snprintf(other, sizeof(other), "%s-shm", path);
            unlink(other);
        }
    }
    printf("# %d faults\n", at);
    ck_assert_int_ge(at, 2);
}
END_TEST

/* A disk that is full stays so: one sentence, and all goes on once there is room. */
START_TEST(a_full_disk_is_said)
{
    start_with_a_batch(_i == 1);
    mill_sink *sink = sink_make();
    open_at(sink, 2);
    plan_fault(CALL_WRITE, 0, ENOSPC, false, true);
    rmq_status status = test_batch(sink, 2, 2, "r", &(test_row){"row", 1}, &err);
    ck_assert_msg(status == RMQ_FULL || status == RMQ_TIMEOUT, "%s", rmq_status_name(status));
    ck_assert_msg(strstr(err.text, "disk is full") != NULL && strstr(err.text, path) != NULL, "%s",
                  err.text);
    int64_t batch_id = -1;
    ck_status(try_open(sink, 3, &batch_id), RMQ_FULL);
    ck_assert_msg(strstr(err.text, "disk is full") != NULL, "%s", err.text);
    fault.calls = 0;
    ck_assert_int_eq(open_at(sink, 4).batch_id, 1);
    ck_ok(test_batch(sink, 2, 4, "r", &(test_row){"row", 1}, &err), &err);
    ck_assert_int_eq(times_of("row"), 1);
    mill_sink_free(sink);
}
END_TEST

/* ---- memory ---- */

/* Make, open, a batch, open again, free. */
static rmq_status whole_story(mill_rows *rows)
{
    mill_sink *sink = NULL;
    mill_sink_position position;
    mill_sink_owner owner = test_owner(5);
    mill_offset offset = {"direct", "T", "b", 0, 1};
    mill_sql_target target = total_target();
    rmq_status status = sink_try(&target, 1, false, &sink);
    if (status != RMQ_OK)
        return status;
    status = sink->vtable.open(sink->self, &owner, &position, &err);
    mill_sink_batch batch = {.batch_id = position.batch_id + 1, .epoch = 5, .run = "r"};
    if (status == RMQ_OK)
        status = sink->vtable.begin(sink->self, &batch, &err);
    mill_rows_rewind(rows);
    if (status == RMQ_OK)
        status = sink->vtable.write(sink->self, 0, 0, rows, &err);
    if (status == RMQ_OK)
        status = sink->vtable.prepare(sink->self, &err);
    if (status == RMQ_OK)
        status = sink->vtable.commit(sink->self, &offset, 1, &err);
    if (status == RMQ_OK)
        status = sink->vtable.open(sink->self, &owner, &position, &err);
    if (status == RMQ_OK)
        ck_assert_int_eq(position.batch_id, batch.batch_id);
    mill_sink_free(sink);
    return status;
}

START_TEST(every_allocation_fails)
{
    start_with_a_batch(false);
    mill_rows *rows = test_rows_make(&(test_row){"a", 1}, 1);
    const void *row = NULL;
    ck_ok(mill_rows_next(rows, &row, &err), &err); /* its buffers are there now */
    int64_t nth = 0;
    for (;; nth++) {
        fault_alloc_fail(nth);
        rmq_status status = whole_story(rows);
        int64_t failed = fault_alloc_failed();
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (failed == 0) {
            ck_ok(status, &err);
            break;
        }
        ck_status(status, RMQ_NOMEM);
    }
    fault_alloc_off();
    mill_rows_free(rows);
    printf("# %lld allocations failed\n", (long long)nth);
    ck_assert_int_ge(nth, 10);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("sqlite sink faults");
    TCase *cases = tcase_create("faults");
    tcase_add_checked_fixture(cases, sqlite_setup, tear_down);
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, every_answer_is_true, 0,
                        (int)(sizeof(variants) / sizeof(variants[0])));
    tcase_add_loop_test(cases, open_leaves_nothing_half, 0, 4);
    tcase_add_loop_test(cases, a_full_disk_is_said, 0, 2);
    tcase_add_test(cases, every_allocation_fails);
    suite_add_tcase(suite, cases);
    return suite;
}
