/* The file: store when the system fails it: disk full, short writes, interrupted calls, broken
 * syncs, file systems without links, and a process that dies at any call.
 *
 * The system calls that the store writes with are defined here, in front of the C library's. Each
 * counts down to a planned fault. */
#include "../support/support.h"

#include <mill/store.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALL_WRITE = 1, CALL_FSYNC = 2, CALL_LINK = 4, CALL_RENAME = 8, CALL_ANY = 15 };

static struct {
    int calls;   /* which calls count; 0: none */
    int at;      /* the fault strikes when as many have been made */
    int reason;  /* errno; 0: SIGKILL */
    bool after;  /* the call is made before the fault strikes */
    bool always; /* and at every later call */
    int made;
    int struck;
} fault;

static bool links_overwrite; /* a file system that does not refuse */

static size_t max_write_bytes; /* 0: no limit */
static int interrupts;         /* so many calls answer EINTR first */

/* True: the caller answers -1 with errno set, instead of (or after) the call. */
static bool fault_strikes(int call, bool after)
{
    if ((fault.calls & call) == 0 || fault.after != after)
        return false;
    int made = fault.made++;
    if (made != fault.at && !(fault.always && made > fault.at))
        return false;
    fault.struck++;
    if (fault.reason == 0)
        raise(SIGKILL);
    errno = fault.reason;
    return true;
}

static bool interrupted(void)
{
    if (interrupts == 0)
        return false;
    interrupts--;
    errno = EINTR;
    return true;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (interrupted() || fault_strikes(CALL_WRITE, false))
        return -1;
    if (max_write_bytes != 0 && len > max_write_bytes)
        len = max_write_bytes;
    ssize_t written = syscall(SYS_write, fd, bytes, len);
    return fault_strikes(CALL_WRITE, true) ? -1 : written;
}

int fsync(int fd)
{
    if (interrupted() || fault_strikes(CALL_FSYNC, false))
        return -1;
    int result = (int)syscall(SYS_fsync, fd);
    return fault_strikes(CALL_FSYNC, true) ? -1 : result;
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    if (fault_strikes(CALL_LINK, false))
        return -1;
    int result = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    if (result != 0 && errno == EEXIST && links_overwrite)
        result = 0;
    return fault_strikes(CALL_LINK, true) ? -1 : result;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (fault_strikes(CALL_RENAME, false))
        return -1;
    int result = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
    return fault_strikes(CALL_RENAME, true) ? -1 : result;
}

static char *dir;
static mill_store store;
static rmq_error err;

static void set_up(void)
{
    dir = temp_dir_make();
    ck_ok(mill_store_open(dir, true, &store, &err), &err);
}

static void tear_down(void)
{
    memset(&fault, 0, sizeof(fault));
    mill_store_close(&store);
    temp_dir_remove(dir);
}

static char text_of[20000];

static rmq_slice content(char letter)
{
    memset(text_of, letter, sizeof(text_of));
    return (rmq_slice){text_of, sizeof(text_of)};
}

/* The first letter of a file that is whole, 0 if there is none. */
static char letter_in(mill_store *from, const char *name)
{
    char *bytes = NULL;
    size_t len = 0;
    rmq_status status = from->vtable->get(from->self, name, &bytes, &len, &err);
    if (status == RMQ_NOT_FOUND)
        return 0;
    ck_ok(status, &err);
    char letter = bytes[0];
    ck_assert_uint_eq(len, sizeof(text_of));
    for (size_t i = 0; i < len; i++)
        ck_assert_int_eq(bytes[i], letter);
    rmq_free(bytes);
    return letter;
}

static void check_no_temporaries(void)
{
    char command[4200];
    snprintf(command, sizeof(command), "test -z \"$(find '%s' -name '.tmp*')\"", dir);
    ck_assert_msg(system(command) == 0, "temporary files are left");
}

START_TEST(short_writes_and_interrupts)
{
    max_write_bytes = 7;
    interrupts = 3;
    ck_ok(store.vtable->put_if_absent(store.self, "plan/1", content('a'), &err), &err);
    ck_assert_int_eq(interrupts, 0);
    max_write_bytes = 0;
    ck_assert_int_eq(letter_in(&store, "plan/1"), 'a');
}
END_TEST

START_TEST(disk_full_leaves_nothing)
{
    int reason = _i == 0 ? ENOSPC : EDQUOT;
    max_write_bytes = 4096;
    fault.calls = CALL_WRITE;
    fault.at = 2; /* two pieces fit */
    fault.reason = reason;
    ck_status(store.vtable->put_if_absent(store.self, "plan/1", content('a'), &err), RMQ_FULL);
    ck_assert_msg(strstr(err.text, "plan/1") != NULL && strstr(err.text, dir) != NULL, "%s",
                  err.text);
    ck_assert_int_eq(letter_in(&store, "plan/1"), 0);
    check_no_temporaries();
    ck_ok(store.vtable->replace(store.self, "plan/1", content('b'), &err), &err);
    fault.made = 0;
    ck_status(store.vtable->replace(store.self, "plan/1", content('c'), &err), RMQ_FULL);
    ck_assert_int_eq(letter_in(&store, "plan/1"), 'b');
    fault.made = 0;
    fault.at = 0;
    ck_status(store.vtable->lock(store.self, "{}", false, &err), RMQ_FULL);
    ck_ok(store.vtable->lock(store.self, "{}", false, &err), &err);
    check_no_temporaries();
}
END_TEST

START_TEST(no_hard_links_is_said_at_open)
{
    static const int reasons[] = {EPERM, EOPNOTSUPP, ENOSYS};
    fault.calls = CALL_LINK;
    fault.reason = reasons[_i];
    mill_store other = {0};
    ck_status(mill_store_open(dir, true, &other, &err), RMQ_UNSUPPORTED);
    ck_assert_int_eq(err.status, RMQ_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "hard links") != NULL && strstr(err.text, dir) != NULL, "%s",
                  err.text);
    ck_assert_int_eq(fault.struck, 1);
    ck_assert_ptr_null(other.vtable);
    check_no_temporaries();
}
END_TEST

START_TEST(a_link_that_overwrites_is_said_at_open)
{
    links_overwrite = true;
    mill_store other = {0};
    ck_status(mill_store_open(dir, true, &other, &err), RMQ_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "replace") != NULL && strstr(err.text, dir) != NULL, "%s",
                  err.text);
    check_no_temporaries();
}
END_TEST

/* NFS: the link is made, the answer is lost, the repeated call says EEXIST. */
START_TEST(a_link_whose_answer_was_lost)
{
    fault.calls = CALL_LINK;
    fault.after = true;
    fault.reason = EEXIST;
    ck_ok(store.vtable->put_if_absent(store.self, "plan/1", content('a'), &err), &err);
    ck_assert_int_eq(fault.struck, 1);
    ck_status(store.vtable->put_if_absent(store.self, "plan/1", content('b'), &err), RMQ_EXISTS);
    ck_assert_int_eq(letter_in(&store, "plan/1"), 'a');
}
END_TEST

/* Another process's sweep took the temporary file. */
START_TEST(a_swept_temporary_is_written_again)
{
    fault.calls = CALL_LINK;
    fault.reason = ENOENT;
    ck_ok(store.vtable->put_if_absent(store.self, "plan/1", content('a'), &err), &err);
    ck_assert_int_eq(fault.struck, 1);
    ck_assert_int_eq(letter_in(&store, "plan/1"), 'a');
}
END_TEST

/* One operation over an old file 'a' (replace) or none (put). */
static rmq_status operate(mill_store *on, bool replace)
{
    return replace ? on->vtable->replace(on->self, "state/1.x/0", content('b'), &err)
                   : on->vtable->put_if_absent(on->self, "state/1.x/0", content('b'), &err);
}

static void check_old_or_new(mill_store *on, bool replace, int at)
{
    char letter = letter_in(on, "state/1.x/0");
    ck_assert_msg(letter == 'b' || letter == (replace ? 'a' : 0), "call %d left '%c'", at, letter);
}

/* Every call fails once: the operation says so, and leaves the old or the new, whole. */
START_TEST(every_call_fails)
{
    bool replace = _i % 2 == 1;
    int at = 0;
    for (;; at++) {
        if (replace)
            ck_ok(store.vtable->replace(store.self, "state/1.x/0", content('a'), &err), &err);
        fault.calls = CALL_ANY;
        fault.reason = EIO;
        fault.after = _i >= 2;
        fault.at = at;
        fault.made = 0;
        fault.struck = 0;
        rmq_status status = operate(&store, replace);
        int struck = fault.struck;
        fault.calls = 0;
        if (struck == 0) {
            ck_ok(status, &err);
            break;
        }
        ck_status(status, RMQ_IO);
        check_old_or_new(&store, replace, at);
        check_no_temporaries();
        ck_ok(store.vtable->remove(store.self, "state/1.x/0", &err), &err);
    }
    ck_assert_int_ge(at, 4);
}
END_TEST

static int wait_status(pid_t pid)
{
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

/* The process dies before or after every call; who comes next finds the old or the new, whole, no
 * temporary file, and can go on. */
START_TEST(every_call_kills)
{
    bool replace = _i % 2 == 1;
    int killed = 0;
    for (int at = 0;; at++) {
        if (replace)
            ck_ok(store.vtable->replace(store.self, "state/1.x/0", content('a'), &err), &err);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            fault.calls = CALL_ANY;
            fault.after = _i >= 2;
            fault.at = at;
            _exit(operate(&store, replace) == RMQ_OK ? 0 : 1);
        }
        int status = wait_status(pid);
        if (WIFEXITED(status)) {
            ck_assert_int_eq(WEXITSTATUS(status), 0);
            break;
        }
        ck_assert_int_eq(WTERMSIG(status), SIGKILL);
        killed++;
        mill_store next;
        ck_ok(mill_store_open(dir, true, &next, &err), &err);
        check_no_temporaries();
        check_old_or_new(&next, replace, at);
        ck_ok(next.vtable->replace(next.self, "state/1.x/0", content('b'), &err), &err);
        ck_ok(next.vtable->remove(next.self, "state/1.x/0", &err), &err);
        mill_store_close(&next);
    }
    printf("# killed at %d calls\n", killed);
    ck_assert_int_ge(killed, 4);
}
END_TEST

/* Open itself fails at every call: nothing is left but the directory, and the next open works. */
START_TEST(open_fails_at_every_call)
{
    int at = 0;
    for (;; at++) {
        fault.calls = CALL_ANY;
        fault.reason = EIO;
        fault.at = at;
        fault.made = 0;
        fault.struck = 0;
        mill_store other = {0};
        rmq_status status = mill_store_open(dir, true, &other, &err);
        int struck = fault.struck;
        fault.calls = 0;
        if (struck == 0) {
            ck_ok(status, &err);
            mill_store_close(&other);
            break;
        }
        ck_assert_int_ne(status, RMQ_OK);
        ck_assert_ptr_null(other.vtable);
        check_no_temporaries();
    }
    ck_assert_int_ge(at, 4);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("store faults");
    TCase *cases = tcase_create("faults");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, short_writes_and_interrupts);
    tcase_add_loop_test(cases, disk_full_leaves_nothing, 0, 2);
    tcase_add_loop_test(cases, no_hard_links_is_said_at_open, 0, 3);
    tcase_add_test(cases, a_link_that_overwrites_is_said_at_open);
    tcase_add_test(cases, a_link_whose_answer_was_lost);
    tcase_add_test(cases, a_swept_temporary_is_written_again);
    tcase_add_loop_test(cases, every_call_fails, 0, 4);
    tcase_add_loop_test(cases, every_call_kills, 0, 4);
    tcase_add_test(cases, open_fails_at_every_call);
    suite_add_tcase(suite, cases);
    return suite;
}
