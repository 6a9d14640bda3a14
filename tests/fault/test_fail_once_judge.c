/* The judge of "every fallible call fails once" is judged: operations that handle a failure
 * wrongly, each in one way, must be found, and one that handles it rightly must not. */
#include "../support/support.h"
#include "fail_once.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What is wrong with this one. */
typedef enum defect {
    DEFECT_NONE,
    DEFECT_LEAKS_MEMORY,
    DEFECT_LEAKS_UNCOUNTED,
    DEFECT_LEAKS_DESCRIPTOR,
    DEFECT_LEAKS_THREAD,
    DEFECT_SWALLOWS,
    DEFECT_NO_TEXT,
    DEFECT_OTHER_STATUS,
    DEFECT_STAYS_BROKEN,
    DEFECT_FAILS_ON_EINTR,
    DEFECT_SLOW,
    DEFECT_HANGS
} defect;

static defect now_with;
static bool broken; /* by the last failure */
static pthread_t stray;
static void *leaked[64]; /* so that LeakSanitizer leaves them to the judge */
static int n_leaked;

static void *nap_thread(void *ctx)
{
    (void)ctx;
    nanosleep(&(struct timespec){.tv_sec = 3}, NULL);
    return NULL;
}

static rmq_status give_up(rmq_error *err, rmq_status status, const char *text)
{
    broken = now_with == DEFECT_STAYS_BROKEN;
    if (now_with == DEFECT_SLOW)
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    while (now_with == DEFECT_HANGS)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (now_with == DEFECT_LEAKS_THREAD)
        pthread_create(&stray, NULL, nap_thread, NULL);
    if (now_with == DEFECT_NO_TEXT)
        text = "";
    rmq_error_set(err, now_with == DEFECT_OTHER_STATUS ? RMQ_IO : status, "%s", text);
    return status;
}

/* As a library might; nothing points to it any more. */
static __attribute__((noinline)) void lose_memory(void)
{
    char *volatile lost = malloc(1234);
    lost[0] = 'x';
    lost = NULL;
}

/* Sends a byte to itself by way of two sockets and two blocks of memory. */
static rmq_status operate(void *state, rmq_error *err)
{
    (void)state;
    int ends[2] = {-1, -1};
    char *first = rmq_malloc(100);
    char *second = first != NULL ? rmq_malloc(100) : NULL;
    rmq_status status = RMQ_OK;
    bool received = false;
    if (broken)
        status = rmq_error_set(err, RMQ_INVAL, "broken by the last failure");
    else if (second == NULL)
        status = give_up(err, RMQ_NOMEM, "no memory");
    else if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        status = give_up(err, RMQ_IO, "socketpair");
    while (status == RMQ_OK && !received) {
        received = send(ends[0], "x", 1, MSG_NOSIGNAL) == 1;
        bool again = errno == EAGAIN || (errno == EINTR && now_with != DEFECT_FAILS_ON_EINTR);
        if (!received && !again)
            status = give_up(err, RMQ_IO, "send");
    }
    if (now_with == DEFECT_SWALLOWS && status != RMQ_OK)
        status = RMQ_OK;
    if (status == RMQ_OK && !received)
        fail_once_wrong("it says OK and has sent nothing");
    bool failed = status != RMQ_OK;
    if (failed && first != NULL && now_with == DEFECT_LEAKS_MEMORY)
        leaked[n_leaked++] = first;
    else
        rmq_free(first);
    if (failed && now_with == DEFECT_LEAKS_UNCOUNTED)
        lose_memory();
    rmq_free(second);
    for (int i = failed && now_with == DEFECT_LEAKS_DESCRIPTOR ? 1 : 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
    return status;
}

/* Only what is slow on purpose has a deadline that a loaded machine could miss. */
static const fail_scenario *scenario_now(void)
{
    static const fail_scenario patient = {.name = "judged", .operate = operate};
    static const fail_scenario hasty = {.name = "judged", .operate = operate, .deadline_ms = 200};
    return now_with == DEFECT_SLOW ? &hasty : &patient;
}

static const struct {
    defect defect;
    const char *verdict; /* that some point must get; NULL: none may get any */
} cases[] = {
    {DEFECT_NONE, NULL},
    {DEFECT_LEAKS_MEMORY, "1 blocks of memory leaked"},
    {DEFECT_LEAKS_DESCRIPTOR, "1 descriptors leaked"},
    {DEFECT_LEAKS_THREAD, "1 threads are left"},
    {DEFECT_SWALLOWS, "it says OK and has sent nothing"},
    {DEFECT_NO_TEXT, "but the error says"},
    {DEFECT_OTHER_STATUS, "but the error says"},
    {DEFECT_STAYS_BROKEN, "not usable afterwards: INVAL"},
    {DEFECT_FAILS_ON_EINTR, "a harmless fault made it fail"},
    {DEFECT_SLOW, "took "},
};

static void free_leaked(void)
{
    while (n_leaked > 0)
        rmq_free(leaked[--n_leaked]);
}

START_TEST(each_defect_is_found)
{
    int n_struck = 0;
    int n_found = 0;
    now_with = cases[_i].defect;
    for (size_t i = 0; i < fault_n_ways; i++) {
        for (int64_t nth = 0; nth < 3; nth++) {
            bool struck = false;
            broken = false;
            const char *why = fail_once_point(scenario_now(), &fault_ways[i], nth, &struck);
            n_struck += struck;
            if (cases[_i].verdict == NULL || !struck)
                ck_assert_msg(why == NULL, "%s: %s", fault_way_text(&fault_ways[i]), why);
            else if (why != NULL)
                ck_assert_msg(strstr(why, cases[_i].verdict) != NULL, "%s", why);
            n_found += why != NULL;
        }
        if (n_found > 0 && now_with == DEFECT_LEAKS_THREAD)
            break;
    }
    if (now_with == DEFECT_LEAKS_THREAD)
        pthread_join(stray, NULL);
    free_leaked();
    ck_assert_int_ge(n_struck, 1);
    ck_assert_int_eq(n_found > 0, cases[_i].verdict != NULL);
}
END_TEST

/* All in a row, too, with the name of the point. */
START_TEST(the_runner_finds_it)
{
    now_with = DEFECT_LEAKS_MEMORY;
    const char *why = fail_once_all(scenario_now());
    ck_assert_ptr_nonnull(why);
    ck_assert_msg(strstr(why, "judged, call ") != NULL, "%s", why);
    free_leaked();
    now_with = DEFECT_NONE;
    why = fail_once_all(scenario_now());
    ck_assert_msg(why == NULL, "%s", why);
}
END_TEST

/* Memory that is not ours is found by LeakSanitizer, where it is built in. */
START_TEST(leaks_of_others_are_found)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        now_with = DEFECT_LEAKS_UNCOUNTED;
        const char *why = fail_once_all(scenario_now());
        _exit(why == NULL ? 0 : strstr(why, "LeakSanitizer found") != NULL ? 1 : 2);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), fail_once_checks_leaks() ? 1 : 0);
}
END_TEST

START_TEST(a_hang_ends_the_process)
{
    bool struck;
    now_with = DEFECT_HANGS;
    fail_once_hang_after(1);
    fail_once_point(scenario_now(), &fault_ways[0], 0, &struck);
}
END_TEST

Suite *test_suite(void)
{
    fail_once_install();
    Suite *suite = suite_create("fail_once_judge");
    TCase *tcase = tcase_create("judge");
    tcase_add_loop_test(tcase, each_defect_is_found, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_exit_test(tcase, a_hang_ends_the_process, FAIL_ONCE_HANG);
    tcase_add_test(tcase, the_runner_finds_it);
    tcase_add_test(tcase, leaks_of_others_are_found);
    suite_add_tcase(suite, tcase);
    return suite;
}
