/* The file: store: what it does, and what it refuses. Faults of the system are in
 * test_store_faults.c. */
#include "../support/support.h"

#include <mill/store.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;
static mill_store store;
static rmq_error err;

static void set_up(void)
{
    char *temp = temp_dir_make();
    ck_assert_int_gt(asprintf(&dir, "%s/a/check", temp), 0);
    free(temp);
    ck_ok(mill_store_open(dir, true, &store, &err), &err);
}

static void tear_down(void)
{
    mill_store_close(&store);
    *strstr(dir, "/a/check") = '\0';
    temp_dir_remove(dir);
    dir = NULL;
}

static char *path_of(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static rmq_status put(const char *name, const char *text)
{
    return store.vtable->put_if_absent(store.self, name, rmq_slice_of(text), &err);
}

static void check_holds(mill_store *from, const char *name, const char *text)
{
    char *bytes = NULL;
    size_t len = 0;
    ck_ok(from->vtable->get(from->self, name, &bytes, &len, &err), &err);
    ck_assert_uint_eq(len, strlen(text));
    ck_assert_str_eq(bytes, text);
    rmq_free(bytes);
}

static rmq_status collect(const char *name, void *ctx)
{
    char *names = ctx;
    strcat(names, name);
    strcat(names, ";");
    return RMQ_OK;
}

static void check_lists(const char *prefix, const char *const *names, size_t count)
{
    char seen[4096] = "";
    ck_ok(store.vtable->list(store.self, prefix, collect, seen, &err), &err);
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(strstr(seen, names[i]) != NULL, "%s is not in %s", names[i], seen);
        len += strlen(names[i]) + 1;
    }
    ck_assert_msg(strlen(seen) == len, "\"%s\" has more than the %zu expected", seen, count);
}

static mode_t mode_of(const char *name)
{
    struct stat info;
    ck_assert_int_eq(stat(path_of(name), &info), 0);
    return info.st_mode & 0777;
}

START_TEST(put_get_replace_remove)
{
    ck_ok(put("plan/1", "first"), &err);
    check_holds(&store, "plan/1", "first");
    ck_status(put("plan/1", "second"), RMQ_EXISTS);
    ck_assert_msg(strstr(err.text, "plan/1") != NULL, "%s", err.text);
    check_holds(&store, "plan/1", "first");
    ck_ok(store.vtable->replace(store.self, "plan/1", rmq_slice_of("third"), &err), &err);
    ck_ok(store.vtable->replace(store.self, "floor", rmq_slice_of(""), &err), &err);
    check_holds(&store, "plan/1", "third");
    check_holds(&store, "floor", "");
    ck_assert_uint_eq(mode_of("plan/1"), 0600);
    ck_assert_uint_eq(mode_of("floor"), 0600);
    ck_assert_uint_eq(mode_of("plan"), 0700);
    ck_assert_uint_eq(mode_of(""), 0700);
    ck_assert_uint_eq(mode_of(".."), 0700);
    ck_ok(store.vtable->remove(store.self, "plan/1", &err), &err);
    ck_ok(store.vtable->remove(store.self, "plan/1", &err), &err);
    ck_ok(store.vtable->remove(store.self, "nowhere/1", &err), &err);
    char *bytes = NULL;
    size_t len = 0;
    ck_status(store.vtable->get(store.self, "plan/1", &bytes, &len, &err), RMQ_NOT_FOUND);
    ck_status(store.vtable->get(store.self, "nowhere/1", &bytes, &len, &err), RMQ_NOT_FOUND);
    ck_assert_ptr_null(bytes);
    ck_ok(put("plan/1", "again"), &err);
}
END_TEST

START_TEST(zero_bytes_and_large_files)
{
    static char bytes[300000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    ck_ok(store.vtable->put_if_absent(store.self, "b", (rmq_slice){bytes, sizeof(bytes)}, &err),
          &err);
    char *back = NULL;
    size_t len = 0;
    ck_ok(store.vtable->get(store.self, "b", &back, &len, &err), &err);
    ck_assert_uint_eq(len, sizeof(bytes));
    ck_assert_mem_eq(back, bytes, len);
    ck_assert_int_eq(back[len], 0);
    rmq_free(back);
    ck_assert_int_eq(truncate(path_of("b"), ((off_t)1 << 30) + 1), 0);
    ck_status(store.vtable->get(store.self, "b", &back, &len, &err), RMQ_CORRUPT);
}
END_TEST

START_TEST(lists_below_a_prefix)
{
    ck_ok(put("plan/1", ""), &err);
    ck_ok(put("plan/12", ""), &err);
    ck_ok(put("state/1.a/keys/0", ""), &err);
    ck_ok(put("meta.json", ""), &err);
    ck_assert_int_ge(open(path_of(".tmp-1-2"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 0);
    check_lists("plan", (const char *[]){"1", "12"}, 2);
    check_lists("state", (const char *[]){"1.a/keys/0"}, 1);
    check_lists("state/1.a", (const char *[]){"keys/0"}, 1);
    check_lists("done", NULL, 0);
    check_lists("", (const char *[]){"plan/1", "plan/12", "state/1.a/keys/0", "meta.json"}, 4);
}
END_TEST

static rmq_status stop_at_once(const char *name, void *ctx)
{
    (void)name;
    (*(int *)ctx)++;
    return RMQ_CORRUPT;
}

START_TEST(list_ends_when_each_fails)
{
    ck_ok(put("plan/1", ""), &err);
    ck_ok(put("plan/2", ""), &err);
    int calls = 0;
    ck_status(store.vtable->list(store.self, "plan", stop_at_once, &calls, &err), RMQ_CORRUPT);
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(directories_go_with_their_last_file)
{
    ck_ok(put("state/1.a/x/0", ""), &err);
    ck_ok(put("state/1.a/1", ""), &err);
    ck_ok(store.vtable->remove(store.self, "state/1.a/x/0", &err), &err);
    ck_assert_int_ne(access(path_of("state/1.a/x"), F_OK), 0);
    ck_assert_int_eq(access(path_of("state/1.a"), F_OK), 0);
    ck_ok(store.vtable->remove(store.self, "state/1.a/1", &err), &err);
    ck_assert_int_ne(access(path_of("state/1.a"), F_OK), 0);
    ck_assert_int_eq(access(path_of("state"), F_OK), 0);
}
END_TEST

static const char *const bad_names[] = {
    "",       "/plan",     "plan/",    "plan//1", "..",
    "../x",   "plan/../x", "a/..",     ".",       "./a",
    ".tmp-1", "a/.b",      "a b",      "a\nb",    "a\\b",
    "a..b",   "lock",      "\xc3\xa4", "a:b",     "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q",
};

START_TEST(refuses_bad_names)
{
    const char *name = bad_names[_i];
    char *bytes = NULL;
    size_t len = 0;
    ck_assert_msg(put(name, "x") == RMQ_INVAL, "put \"%s\"", name);
    ck_assert_msg(store.vtable->replace(store.self, name, rmq_slice_of("x"), &err) == RMQ_INVAL,
                  "replace \"%s\"", name);
    ck_assert_msg(store.vtable->remove(store.self, name, &err) == RMQ_INVAL, "remove \"%s\"", name);
    if (strcmp(name, "lock") != 0)
        ck_assert_msg(store.vtable->get(store.self, name, &bytes, &len, &err) == RMQ_INVAL,
                      "get \"%s\"", name);
    check_lists("", NULL, 0);
}
END_TEST

START_TEST(never_leaves_its_directory)
{
    char *outside = temp_dir_make();
    ck_assert_int_eq(symlink(outside, path_of("plan")), 0);
    ck_assert_int_eq(symlink("/etc/passwd", path_of("meta.json")), 0);
    ck_assert_int_eq(mkfifo(path_of("floor"), 0600), 0);
    char *bytes = NULL;
    size_t len = 0;
    ck_assert_int_ne(put("plan/1", "x"), RMQ_OK);
    ck_assert_int_ne(store.vtable->get(store.self, "meta.json", &bytes, &len, &err), RMQ_OK);
    ck_status(store.vtable->get(store.self, "floor", &bytes, &len, &err), RMQ_CORRUPT);
    ck_status(put("meta.json", "x"), RMQ_EXISTS);
    ck_ok(store.vtable->replace(store.self, "meta.json", rmq_slice_of("x"), &err), &err);
    check_holds(&store, "meta.json", "x");
    ck_assert_int_eq(rmdir(outside), 0); /* nothing was written there */
    free(outside);
}
END_TEST

START_TEST(open_refuses)
{
    mill_store other = {0};
    ck_status(mill_store_open(path_of("missing"), false, &other, &err), RMQ_NOT_FOUND);
    ck_assert_msg(strstr(err.text, "missing") != NULL, "%s", err.text);
    ck_status(mill_store_open("s3:bucket/x", true, &other, &err), RMQ_UNSUPPORTED);
    ck_status(mill_store_open("", true, &other, &err), RMQ_INVAL);
    ck_status(mill_store_open("file:", true, &other, &err), RMQ_INVAL);
    ck_status(mill_store_open(NULL, true, &other, &err), RMQ_INVAL);
    ck_ok(put("f", "x"), &err);
    ck_status(mill_store_open(path_of("f"), true, &other, &err), RMQ_INVAL);
    ck_assert_int_ne(mill_store_open(path_of("f/g"), true, &other, &err), RMQ_OK);
    ck_assert_ptr_null(other.vtable);
    char *address = NULL;
    ck_assert_int_gt(asprintf(&address, "file:%s", dir), 0);
    ck_ok(mill_store_open(address, false, &other, &err), &err);
    check_holds(&other, "f", "x");
    mill_store_close(&other);
    mill_store_close(&other);
    free(address);
}
END_TEST

START_TEST(open_sweeps_what_the_dead_left)
{
    int dead = open(path_of(".tmp-1-dead"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    int alive = open(path_of(".tmp-1-alive"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(dead, 0);
    ck_assert_int_eq(flock(alive, LOCK_EX), 0);
    close(dead);
    struct stat before, after;
    mill_store other;
    ck_assert_int_eq(stat(dir, &before), 0);
    ck_ok(mill_store_open(dir, false, &other, &err), &err); /* to look at: nothing is written */
    mill_store_close(&other);
    ck_assert_int_eq(stat(dir, &after), 0);
    ck_assert_int_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    ck_assert_int_eq(access(path_of(".tmp-1-dead"), F_OK), 0);
    ck_ok(mill_store_open(dir, true, &other, &err), &err);
    mill_store_close(&other);
    ck_assert_int_ne(access(path_of(".tmp-1-dead"), F_OK), 0);
    ck_assert_int_eq(access(path_of(".tmp-1-alive"), F_OK), 0);
    close(alive);
}
END_TEST

/* ---- the lock ---- */

/* A child that holds the lock until it is killed. */
static pid_t start_holder(const char *owner, bool take_over)
{
    int ready[2];
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        mill_store held;
        char answer = mill_store_open(dir, false, &held, &err) == RMQ_OK &&
                              held.vtable->lock(held.self, owner, take_over, &err) == RMQ_OK
                          ? 'y'
                          : 'n';
        if (write(ready[1], &answer, 1) == 1)
            pause();
        _exit(0);
    }
    char answer = 0;
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &answer, 1), 1);
    close(ready[0]);
    ck_assert_int_eq(answer, 'y');
    return pid;
}

static void kill_holder(pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(lock_names_who_holds_it)
{
    pid_t first = start_holder("{\"pid\":11,\"host\":\"one\"}", false);
    ck_status(store.vtable->lock(store.self, "{\"pid\":22}", false, &err), RMQ_LOCKED);
    ck_assert_msg(strstr(err.text, "{\"pid\":11,\"host\":\"one\"}") != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, dir) != NULL, "%s", err.text);
    kill_holder(first);
    ck_ok(store.vtable->lock(store.self, "{\"pid\":22}", false, &err), &err);
    check_holds(&store, "lock", "{\"pid\":22}\n");
    ck_assert_uint_eq(mode_of("lock"), 0600);
    ck_status(store.vtable->lock(store.self, "{}", false, &err), RMQ_INVAL);
}
END_TEST

START_TEST(lock_is_taken_over)
{
    pid_t first = start_holder("{\"pid\":11}", false);
    pid_t second = start_holder("{\"pid\":22}", true);
    ck_status(store.vtable->lock(store.self, "{\"pid\":33}", false, &err), RMQ_LOCKED);
    ck_assert_msg(strstr(err.text, "{\"pid\":22}") != NULL, "%s", err.text);
    kill_holder(first);
    ck_status(store.vtable->lock(store.self, "{\"pid\":33}", false, &err), RMQ_LOCKED);
    kill_holder(second);
    ck_ok(store.vtable->lock(store.self, "{\"pid\":33}", true, &err), &err);
    mill_store_close(&store);
    ck_ok(mill_store_open(dir, false, &store, &err), &err);
    ck_ok(store.vtable->lock(store.self, "{\"pid\":44}", false, &err), &err);
}
END_TEST

START_TEST(lock_refuses_bad_owners)
{
    char owner[1000];
    memset(owner, 'x', sizeof(owner) - 1);
    owner[sizeof(owner) - 1] = '\0';
    ck_status(store.vtable->lock(store.self, owner, false, &err), RMQ_INVAL);
    ck_status(store.vtable->lock(store.self, "a\nb", false, &err), RMQ_INVAL);
    /* a hostile line of another process does not reach the terminal as it is */
    int fd = open(path_of("lock"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    ck_status(store.vtable->lock(store.self, "{}", false, &err), RMQ_LOCKED);
    ck_assert_msg(strstr(err.text, "another process") != NULL, "%s", err.text);
    ck_assert_int_eq(write(fd, "\x1b[2J\nx", 6), 6);
    ck_status(store.vtable->lock(store.self, "{}", false, &err), RMQ_LOCKED);
    ck_assert_ptr_null(strchr(err.text, 0x1b));
    ck_assert_ptr_null(strchr(err.text, '\n'));
    close(fd);
}
END_TEST

/* ---- several processes ---- */

#define RACERS 4
#define RACES 40

/* Puts every name and says in its exit code how many it won. */
static void race(int racer)
{
    char text[32];
    char name[32];
    int won = 0;
    mill_store own;
    snprintf(text, sizeof(text), "racer %d", racer);
    if (mill_store_open(dir, false, &own, &err) != RMQ_OK)
        _exit(255);
    for (int i = 0; i < RACES; i++) {
        snprintf(name, sizeof(name), "commit/%d", i);
        rmq_status status = own.vtable->put_if_absent(own.self, name, rmq_slice_of(text), &err);
        if (status != RMQ_OK && status != RMQ_EXISTS)
            _exit(254);
        won += status == RMQ_OK;
    }
    _exit(won);
}

START_TEST(one_of_several_wins)
{
    pid_t pids[RACERS];
    int won[RACERS];
    int counted[RACERS] = {0};
    for (int i = 0; i < RACERS; i++) {
        pids[i] = fork();
        ck_assert_int_ge(pids[i], 0);
        if (pids[i] == 0)
            race(i);
    }
    for (int i = 0; i < RACERS; i++) {
        int status = 0;
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) <= RACES, "racer %d: %x", i, status);
        won[i] = WEXITSTATUS(status);
    }
    for (int i = 0; i < RACES; i++) {
        char name[32];
        char *bytes = NULL;
        size_t len = 0;
        snprintf(name, sizeof(name), "commit/%d", i);
        ck_ok(store.vtable->get(store.self, name, &bytes, &len, &err), &err);
        ck_assert_uint_eq(len, strlen("racer 0"));
        counted[bytes[6] - '0']++;
        rmq_free(bytes);
    }
    for (int i = 0; i < RACERS; i++)
        ck_assert_int_eq(won[i], counted[i]);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("store file");
    TCase *cases = tcase_create("file");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, put_get_replace_remove);
    tcase_add_test(cases, zero_bytes_and_large_files);
    tcase_add_test(cases, lists_below_a_prefix);
    tcase_add_test(cases, list_ends_when_each_fails);
    tcase_add_test(cases, directories_go_with_their_last_file);
    tcase_add_loop_test(cases, refuses_bad_names, 0, sizeof(bad_names) / sizeof(bad_names[0]));
    tcase_add_test(cases, never_leaves_its_directory);
    tcase_add_test(cases, open_refuses);
    tcase_add_test(cases, open_sweeps_what_the_dead_left);
    tcase_add_test(cases, lock_names_who_holds_it);
    tcase_add_test(cases, lock_is_taken_over);
    tcase_add_test(cases, lock_refuses_bad_owners);
    tcase_add_test(cases, one_of_several_wins);
    suite_add_tcase(suite, cases);
    return suite;
}
