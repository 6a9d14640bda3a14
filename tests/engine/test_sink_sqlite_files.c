/* The file of the SQLite sink: how a new one is made, what of an old one is kept, and files that
 * are not what they should be.
 *
 * What is refused is refused by open, with the path and the reason; the sink then takes no batch,
 * and may be aborted and freed. A file that is no database is left as it was. */
#include "sink_sqlite_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_new_file_is_private_and_in_wal_mode)
{
    umask(0);
    mill_sink *sink = sink_make();
    open_at(sink, 1);
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);
    ck_assert_int_eq(look("SELECT 1 FROM pragma_journal_mode WHERE journal_mode = 'wal'"), 1);
    mill_sink_free(sink);
}
END_TEST

START_TEST(the_journal_mode_of_a_file_is_kept)
{
    sqlite3_close(outside("PRAGMA journal_mode=TRUNCATE; CREATE TABLE totals (k TEXT PRIMARY KEY, "
                          "total INTEGER); INSERT INTO totals VALUES ('a', 1)"));
    mill_sink *sink = sink_make();
    open_at(sink, 1);
    ck_ok(test_batch(sink, 1, 1, "r", &(test_row){"a", 5}, &err), &err);
    ck_assert_int_eq(look("SELECT 1 FROM pragma_journal_mode WHERE journal_mode = 'wal'"), -1);
    ck_assert_int_eq(look("SELECT total FROM totals"), 6);
    mill_sink_free(sink);
}
END_TEST

/* ":memory:" and "file:x" are names of files. */
START_TEST(no_name_is_special)
{
    ck_assert_int_eq(chdir(dir), 0);
    snprintf(path, sizeof(path), _i == 0 ? ":memory:" : "file:x?mode=ro");
    mill_sink *sink = sink_make();
    open_at(sink, 1);
    ck_ok(test_batch(sink, 1, 1, "r", &(test_row){"a", 1}, &err), &err);
    mill_sink_free(sink);
    ck_assert_int_eq(access(path, F_OK), 0);
    sink = sink_make();
    ck_assert_int_eq(open_at(sink, 2).batch_id, 1);
    mill_sink_free(sink);
}
END_TEST

/* ---- files that are not what they should be ---- */

static void check_open(rmq_status expected, const char *said)
{
    mill_sink *sink = sink_make();
    mill_sink_owner owner = test_owner(1);
    mill_sink_position position;
    ck_status(sink->vtable.open(sink->self, &owner, &position, &err), expected);
    ck_assert_msg(strstr(err.text, path) != NULL && strstr(err.text, said) != NULL, "%s", err.text);
    ck_assert_int_eq(err.status, expected);
    mill_sink_batch batch = {.batch_id = 1, .epoch = 1, .run = "r"};
    ck_status(sink->vtable.begin(sink->self, &batch, &err), RMQ_INVAL);
    sink->vtable.abort(sink->self);
    mill_sink_free(sink);
}

static void write_file(const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    ck_assert_uint_eq(fwrite(text, 1, len, file), len);
    fclose(file);
}

START_TEST(a_directory_is_refused)
{
    ck_assert_int_eq(mkdir(path, 0700), 0);
    check_open(RMQ_INVAL, "is a directory");
}
END_TEST

START_TEST(a_fifo_is_refused)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    check_open(RMQ_INVAL, "not a regular file");
}
END_TEST

START_TEST(a_missing_directory_is_said)
{
    snprintf(path, sizeof(path), "%s/no/out.db", dir);
    check_open(RMQ_NOT_FOUND, "directory does not exist");
}
END_TEST

START_TEST(what_is_no_database_is_left_alone)
{
    char text[5000];
    memset(text, 'x', sizeof(text));
    write_file(text, sizeof(text));
    check_open(RMQ_CORRUPT, "not an SQLite database");
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_size, sizeof(text));
}
END_TEST

START_TEST(a_damaged_database_is_said)
{
    sqlite3_close(outside("CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO a VALUES (1)"));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    char junk[3900];
    memset(junk, 0x5a, sizeof(junk));
    ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), 100), sizeof(junk));
    close(fd);
    check_open(RMQ_CORRUPT, "damaged");
}
END_TEST

/* Root may write to anything; so this is tried as nobody. */
START_TEST(a_read_only_database_is_said)
{
    sqlite3_close(outside("CREATE TABLE a (x)"));
    ck_assert_int_eq(chmod(path, 0444), 0);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            _exit(3);
        mill_sink *sink = sink_make();
        mill_sink_owner owner = test_owner(1);
        mill_sink_position position;
        rmq_status status = sink->vtable.open(sink->self, &owner, &position, &err);
        bool good = status == RMQ_IO && strstr(err.text, "read-only") != NULL &&
                    strstr(err.text, path) != NULL;
        if (!good)
            fprintf(stderr, "%s: %s\n", rmq_status_name(status), err.text);
        snprintf(path, sizeof(path), "%s/new.db", dir);
        mill_sink *another = sink_make();
        status = another->vtable.open(another->self, &owner, &position, &err);
        good = good && status == RMQ_IO && strstr(err.text, "Permission denied") != NULL;
        mill_sink_free(sink);
        mill_sink_free(another);
        _exit(good ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("sqlite sink files");
    TCase *cases = tcase_create("files");
    tcase_add_checked_fixture(cases, sqlite_setup, sqlite_teardown);
    tcase_add_test(cases, a_new_file_is_private_and_in_wal_mode);
    tcase_add_test(cases, the_journal_mode_of_a_file_is_kept);
    tcase_add_loop_test(cases, no_name_is_special, 0, 2);
    tcase_add_test(cases, a_directory_is_refused);
    tcase_add_test(cases, a_fifo_is_refused);
    tcase_add_test(cases, a_missing_directory_is_said);
    tcase_add_test(cases, what_is_no_database_is_left_alone);
    tcase_add_test(cases, a_damaged_database_is_said);
    tcase_add_test(cases, a_read_only_database_is_said);
    suite_add_tcase(suite, cases);
    return suite;
}
