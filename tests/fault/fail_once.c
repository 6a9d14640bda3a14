/* The runner and the judge of "every fallible call fails once".
 *
 * One process makes all points of a scenario, one after the other, which is fast and shows what one
 * point leaves behind for the next. A point is judged by what can be seen from outside: status,
 * text, result, the second run, and counts before and after (blocks of our allocator, descriptors,
 * threads). What the libraries leak is found by LeakSanitizer, asked now and then.
 *
 * How often a call is made varies with the schedule of threads, so n goes on until the call was not
 * reached three times in a row; only what was struck counts as a point. */
#include "fail_once.h"

#include "../support/fault_alloc.h"
#include "../support/support.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_LEAK_CHECK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_LEAK_CHECK 1
#endif
#endif
#ifdef HAVE_LEAK_CHECK
int __lsan_do_recoverable_leak_check(void);
#endif

#define LEAK_CHECK_EVERY 100
#define MAX_WRONG 20 /* ways with a finding, then it is enough */
#define SLOW_MS 2000 /* is worth a line */

static int64_t (*points)[FAULT_N_KINDS]; /* [0] hit, [1] told as an error; shared with children */
static char wrong[512];
static char hang_text[256];
static unsigned int hang_s = 90;
static char verdict[1024];

void fail_once_install(void)
{
    void *shared =
        mmap(NULL, 2 * sizeof(*points), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    points = shared;
    fault_install();
}

void fail_once_wrong(const char *format, ...)
{
    if (wrong[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(wrong, sizeof(wrong), format, arguments);
    va_end(arguments);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what a point may not leave behind ---- */

typedef struct holdings {
    int64_t blocks;
    int descriptors;
    int threads;
} holdings;

static int count_entries(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static holdings look(void)
{
    return (holdings){fault_alloc_live(), count_entries("/proc/self/fd"),
                      count_entries("/proc/self/task")};
}

/* A thread that was joined can be seen for a moment longer. */
static void compare(holdings before)
{
    holdings now = look();
    for (int i = 0; i < 200 && now.threads > before.threads; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        now = look();
    }
    if (now.blocks != before.blocks)
        fail_once_wrong("%lld blocks of memory leaked", (long long)(now.blocks - before.blocks));
    if (now.descriptors != before.descriptors)
        fail_once_wrong("%d descriptors leaked", now.descriptors - before.descriptors);
    if (now.threads != before.threads)
        fail_once_wrong("%d threads are left", now.threads - before.threads);
}

bool fail_once_checks_leaks(void)
{
#ifdef HAVE_LEAK_CHECK
    return true;
#else
    return false;
#endif
}

static void check_leaks(void)
{
#ifdef HAVE_LEAK_CHECK
    if (__lsan_do_recoverable_leak_check() != 0)
        fail_once_wrong("LeakSanitizer found a leak since the last check");
#endif
}

/* ---- one point ---- */

void fail_once_hang_after(unsigned int seconds)
{
    hang_s = seconds;
}

static void on_hang(int signal_number)
{
    (void)signal_number;
    ssize_t ignored = write(STDOUT_FILENO, hang_text, strlen(hang_text));
    (void)ignored;
    _exit(FAIL_ONCE_HANG);
}

/* A run that does not end is a failure of its own. */
static void watch(const fail_scenario *scenario, const fault_way *way, int64_t nth)
{
    snprintf(hang_text, sizeof(hang_text), "# %s: hangs at call %lld of %s\n", scenario->name,
             (long long)nth, way != NULL ? fault_way_text(way) : "nothing");
    signal(SIGALRM, on_hang);
    alarm(hang_s);
}

/* TIMEOUT says that the outcome is unknown: there was no memory for the answer. */
static bool is_no_memory(rmq_status status, const rmq_error *err)
{
    return status == RMQ_NOMEM || (status == RMQ_TIMEOUT && strstr(err->text, "memory") != NULL);
}

static void judge(const fault_way *way, bool struck, rmq_status status, const rmq_error *err)
{
    if (status == RMQ_OK)
        return;
    if (!struck)
        fail_once_wrong("failed without a fault: %s: %s", rmq_status_name(status), err->text);
    else if (way->harmless)
        fail_once_wrong("a harmless fault made it fail: %s: %s", rmq_status_name(status),
                        err->text);
    else if (way->call == FAULT_CALL_rmq_malloc && !is_no_memory(status, err))
        fail_once_wrong("memory ran out, and it says %s: %s", rmq_status_name(status), err->text);
    if (err->status != status || err->text[0] == '\0')
        fail_once_wrong("returned %s, but the error says %s: \"%s\"", rmq_status_name(status),
                        rmq_status_name(err->status), err->text);
}

static rmq_status operate(const fail_scenario *scenario, void *state, rmq_error *err)
{
    int64_t began_ms = now_ms();
    memset(err, 0, sizeof(*err));
    rmq_status status = scenario->operate(state, err);
    int64_t limit_ms = scenario->deadline_ms > 0 ? scenario->deadline_ms : 15000;
    if (now_ms() - began_ms > limit_ms)
        fail_once_wrong("took %lld ms", (long long)(now_ms() - began_ms));
    return status;
}

const char *fail_once_point(const fail_scenario *scenario, const fault_way *way, int64_t nth,
                            bool *out_struck)
{
    rmq_error err;
    wrong[0] = '\0';
    watch(scenario, way, nth);
    holdings before = look();
    void *state = scenario->prepare != NULL ? scenario->prepare() : NULL;
    fault_arm(way, nth);
    rmq_status status = operate(scenario, state, &err);
    *out_struck = fault_disarm();
    if (*out_struck && status != RMQ_OK && points != NULL)
        points[1][fault_call_kind(way->call)]++;
    judge(way, *out_struck, status, &err);
    if (scenario->check != NULL)
        scenario->check(state, status);
    status = operate(scenario, state, &err);
    if (status != RMQ_OK)
        fail_once_wrong("not usable afterwards: %s: %s", rmq_status_name(status), err.text);
    if (scenario->check != NULL)
        scenario->check(state, status);
    if (scenario->finish != NULL)
        scenario->finish(state);
    alarm(0);
    compare(before);
    return wrong[0] != '\0' ? wrong : NULL;
}

/* ---- all points ---- */

static int64_t number_from(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

/* In percent. */
static int64_t share(void)
{
    int64_t scale = number_from("MILLRACE_FAULT_SCALE", 1);
    return scale < 1 ? 1 : scale > 100 ? 100 : scale;
}

/* How many calls apart the points lie. */
static int64_t stride(const fail_scenario *scenario, int64_t count)
{
    int64_t wanted = scenario->whole ? count : (count * share() + 99) / 100;
    if (scenario->max_nth > 0 && wanted > scenario->max_nth)
        wanted = scenario->max_nth;
    return wanted > 0 && count / wanted > 1 ? count / wanted : 1;
}

static uint64_t mix(uint64_t number)
{
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
    return number ^ (number >> 31);
}

/* Says which point it was. */
static const char *name_verdict(const fail_scenario *scenario, const fault_way *way, int64_t nth,
                                const char *why)
{
    snprintf(verdict, sizeof(verdict), "%s, call %lld of %s (seed %lld): %s", scenario->name,
             (long long)nth, way != NULL ? fault_way_text(way) : "none",
             (long long)number_from("MILLRACE_SEED", 1), why);
    return verdict;
}

/* MILLRACE_FAULT_ONLY="pull, window, call 3 of recv: end" repeats what a verdict names. */
static bool is_left_out(const fail_scenario *scenario, const fault_way *way, int64_t nth)
{
    const char *only = getenv("MILLRACE_FAULT_ONLY");
    char name[256];
    snprintf(name, sizeof(name), "%s, call %lld of %s", scenario->name, (long long)nth,
             fault_way_text(way));
    return only != NULL && strstr(name, only) == NULL;
}

/* All points of a way; *out_hit is how many. Returns what is wrong with the first that is not
 * right. */
static const char *run_way(const fail_scenario *scenario, const fault_way *way, int64_t count,
                           int64_t *out_hit)
{
    int64_t step = stride(scenario, count);
    int missed = 0;
    uint64_t seed =
        (uint64_t)number_from("MILLRACE_SEED", 1) * 7919u + (uint64_t)(way - fault_ways);
    *out_hit = 0;
    for (int64_t nth = (int64_t)(mix(seed) % (uint64_t)step); missed < 3 && nth < count + 50;
         nth += step) {
        bool struck = false;
        int64_t began_ms = now_ms();
        if (is_left_out(scenario, way, nth))
            continue;
        const char *why = fail_once_point(scenario, way, nth, &struck);
        missed = struck ? 0 : missed + 1;
        *out_hit += struck;
        if (now_ms() - began_ms > SLOW_MS)
            printf("# %s, call %lld of %s: %lld ms\n", scenario->name, (long long)nth,
                   fault_way_text(way), (long long)(now_ms() - began_ms));
        if (why == NULL && struck && *out_hit % LEAK_CHECK_EVERY == 0) {
            check_leaks();
            why = wrong[0] != '\0' ? wrong : NULL;
        }
        if (why != NULL)
            return name_verdict(scenario, way, nth, why);
    }
    points[0][fault_call_kind(way->call)] += *out_hit;
    return NULL;
}

static bool wants(const fail_scenario *scenario, const fault_way *way)
{
    uint32_t kind = 1u << fault_call_kind(way->call);
    return (scenario->kinds == 0 || (scenario->kinds & kind) != 0) &&
           (scenario->not_ways & (1u << way->effect)) == 0;
}

/* How often a clean run makes each call. The first runs make what is made once a process. */
static const char *count_calls(const fail_scenario *scenario, int64_t out_counts[FAULT_N_CALLS])
{
    bool struck;
    for (int i = 0; i < 2; i++) {
        const char *why = fail_once_point(scenario, NULL, 0, &struck);
        if (why != NULL)
            return name_verdict(scenario, NULL, 0, why);
    }
    void *state = scenario->prepare != NULL ? scenario->prepare() : NULL;
    rmq_error err;
    fault_arm(NULL, 0);
    rmq_status status = operate(scenario, state, &err);
    fault_disarm();
    for (int i = 0; i < FAULT_N_CALLS; i++)
        out_counts[i] = fault_count((fault_call)i);
    if (scenario->finish != NULL)
        scenario->finish(state);
    return status == RMQ_OK ? NULL : name_verdict(scenario, NULL, 0, err.text);
}

const char *fail_once_all(const fail_scenario *scenario)
{
    static char first[sizeof(verdict)];
    int64_t counts[FAULT_N_CALLS];
    int64_t n_points = 0;
    int n_wrong = 0;
    int64_t began_ms = now_ms();
    const char *why = count_calls(scenario, counts);
    for (size_t i = 0; i < fault_n_ways && n_wrong < MAX_WRONG; i++) {
        const fault_way *way = &fault_ways[i];
        int64_t hit = 0;
        if (why != NULL || counts[way->call] == 0 || !wants(scenario, way))
            continue;
        const char *found = run_way(scenario, way, counts[way->call], &hit);
        if (found != NULL) { /* told at the end; the other ways are tried all the same */
            printf("# %s\n", found);
            if (n_wrong++ == 0)
                snprintf(first, sizeof(first), "%s", found);
        }
        printf("# %s: %s: %lld of %lld\n", scenario->name, fault_way_text(way), (long long)hit,
               (long long)counts[way->call]);
        n_points += hit;
    }
    fflush(stdout);
    if (why != NULL || n_wrong > 0)
        return why != NULL ? why : first;
    check_leaks();
    printf("# %s: %lld points in %lld ms\n", scenario->name, (long long)n_points,
           (long long)(now_ms() - began_ms));
    fflush(stdout);
    return wrong[0] != '\0' ? name_verdict(scenario, NULL, 0, wrong) : NULL;
}

void fail_once_run(const fail_scenario *scenario)
{
    const char *why = fail_once_all(scenario);
    ck_assert_msg(why == NULL, "%s", why);
}

void fail_once_floor(int64_t full, int64_t least)
{
    int64_t sum = 0;
    for (int i = 0; i < FAULT_N_KINDS; i++) {
        printf("# %s: %lld points, %lld of them told as errors\n", fault_kind_name((fault_kind)i),
               (long long)points[0][i], (long long)points[1][i]);
        sum += points[0][i];
    }
    int64_t wanted = full * share() / 100;
    wanted = wanted < least ? least : wanted;
    printf("# %lld points in all, at least %lld wanted at scale %lld\n", (long long)sum,
           (long long)wanted, (long long)share());
    fflush(stdout);
    ck_assert_int_ge(sum, wanted);
}
