/* The conformance kit's kills: a child runs a batch and dies by SIGKILL somewhere in it; the parent
 * opens the sink anew and looks what is left.
 *
 * Where it dies: the child stops itself (SIGSTOP) before each step, which is a place of its own,
 * and in between the parent follows it by ptrace from one system call to the next. A first child
 * counts how many stops a step has; then some of them, spread over the step, each kill a child. So
 * the kills hit between the writes and syncs of a commit, the same ones in every run, without any
 * help of the sink. Where ptrace is not allowed the parent lets the child run for some time
 * instead.
 *
 * What must be left: before commit was called, nothing; after it returned, all; in the middle of it
 * either, but rows, batch, run and offsets must agree. Then the batch (or the next) must be taken.
 */
#include "conformance.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_KILLS 10
#define TIMED_KILLS 4
#define WRITE_ROWS 400u

/* The child's steps; it stops before each, and once more after the last. */
enum { STEP_OPEN, STEP_BEGIN, STEP_WRITE, STEP_PREPARE, STEP_COMMIT, STEP_END };

static const char *const step_names[] = {"open", "begin", "write", "prepare", "commit", "end"};

static const mill_kit_run older_run = {
    .batch_id = 1, .epoch = 1, .tag = "old", .n_partitions = 1, .n_rows = 3};
static const mill_kit_run killed_run = {
    .batch_id = 2, .epoch = 2, .tag = "killed", .n_partitions = 1, .n_rows = WRITE_ROWS};

/* ---- the child ---- */

/* Set in the child only: its rows are read by a type that counts, and dies at one. */
static int64_t rows_until_kill = -1;
static const mill_type *counted_type;

static rmq_status counting_deserialize(const mill_type *type, mill_input *in, void *out_row,
                                       mill_arena *arena)
{
    (void)type;
    if (rows_until_kill-- == 0)
        raise(SIGKILL);
    return counted_type->deserialize(counted_type, in, out_row, arena);
}

static rmq_status child_step(mill_kit *kit, mill_sink *sink, int step, const mill_type *type)
{
    mill_sink_position position;
    rmq_status status = RMQ_OK;
    switch (step) {
    case STEP_OPEN:
        return mill_kit_try_open(kit, sink, killed_run.epoch, &position);
    case STEP_BEGIN:
        return mill_kit_try_begin(kit, sink, &killed_run);
    case STEP_WRITE:
        for (uint32_t i = 0; status == RMQ_OK && i < killed_run.n_partitions; i++)
            status = mill_kit_try_write(kit, sink, &killed_run, i, type);
        return status;
    case STEP_PREPARE:
        return mill_sink_prepare(sink, &kit->err);
    default:
        return mill_kit_try_commit(kit, sink, killed_run.batch_id);
    }
}

/* Never returns. Its exit code is the step that failed, or STEP_END if it was not killed. */
static void run_child(mill_kit *kit, bool traced, int64_t kill_at_row)
{
    mill_sink *sink = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!mill_kit_context_new(kit) || !mill_kit_make(kit, &sink))
        _exit(100);
    mill_type type = *kit->pair;
    counted_type = kit->pair;
    rows_until_kill = kill_at_row;
    type.deserialize = counting_deserialize;
    if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(101);
    for (int step = STEP_OPEN; step < STEP_END; step++) {
        raise(SIGSTOP);
        if (child_step(kit, sink, step, &type) != RMQ_OK)
            _exit(step);
    }
    raise(SIGSTOP);
    _exit(STEP_END);
}

/* ---- the parent ---- */

/* Where a child is to die. */
typedef struct kill_plan {
    int step;
    int stop;        /* how many stops into the step; 0: before it begins */
    int64_t row;     /* or when this row is read; -1: not so */
    bool timed;      /* no ptrace: `stop` counts pauses of 200 µs */
    bool count_only; /* let it go through the step, count its stops, and kill it then */
} kill_plan;

typedef struct kill_result {
    int stops;   /* seen in the step */
    bool killed; /* in the step, or before it */
    int exit_code;
} kill_result;

static int wait_for(pid_t pid, bool traced)
{
    int status = 0;
    while (waitpid(pid, &status, traced ? 0 : WUNTRACED) < 0 && errno == EINTR)
        ;
    return status;
}

static void kill_child(pid_t pid)
{
    kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) == pid && !WIFEXITED(status) && !WIFSIGNALED(status))
        ;
}

/* Lets a stopped child go on, with the signal that stopped it unless it was our mark. */
static void go_on(pid_t pid, bool traced, bool each_call, int signal)
{
    if (traced)
        ptrace(each_call ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL, (void *)(intptr_t)signal);
    else
        kill(pid, SIGCONT);
}

/* True if the child came to its next mark; false: it ended, or was killed `most_stops` into it. */
static bool run_to_mark(pid_t pid, const kill_plan *plan, bool in_step, kill_result *result)
{
    bool traced = !plan->timed;
    int signal = 0;
    for (;;) {
        if (in_step && !plan->count_only && plan->row < 0 && result->stops >= plan->stop) {
            kill_child(pid);
            result->killed = true;
            return false;
        }
        go_on(pid, traced, in_step && plan->row < 0, signal);
        if (in_step && plan->timed && !plan->count_only && plan->row < 0) {
            nanosleep(&(struct timespec){.tv_nsec = plan->stop * 200000L}, NULL);
            kill_child(pid);
            result->killed = true;
            return false;
        }
        int status = wait_for(pid, traced);
        if (WIFSIGNALED(status)) {
            result->killed = WTERMSIG(status) == SIGKILL;
            return false;
        }
        if (WIFEXITED(status)) {
            result->exit_code = WEXITSTATUS(status);
            return false;
        }
        signal = WSTOPSIG(status);
        if (signal == SIGSTOP)
            return true;
        if (signal == SIGTRAP) {
            result->stops++;
            signal = 0;
        }
    }
}

/* Runs a child to its death. False: it could not be made. */
static bool run_plan(mill_kit *kit, const kill_plan *plan, kill_result *out_result)
{
    *out_result = (kill_result){.exit_code = -1};
    pid_t pid = fork();
    if (pid < 0)
        return mill_kit_fail(kit, "fork failed: %s", strerror(errno));
    if (pid == 0)
        run_child(kit, !plan->timed, plan->row);
    /* the first mark stands before STEP_OPEN */
    int status = wait_for(pid, !plan->timed);
    if (!WIFSTOPPED(status)) {
        out_result->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        return true;
    }
    for (int step = STEP_OPEN; step < STEP_END; step++) {
        bool in_step = step == plan->step;
        if (in_step && plan->stop == 0 && plan->row < 0 && !plan->count_only)
            break;
        if (!run_to_mark(pid, plan, in_step, out_result))
            return true;
        if (in_step)
            break;
    }
    kill_child(pid);
    out_result->killed = plan->row < 0; /* a row that was never read kills nobody */
    return true;
}

/* ---- what is left ---- */

static bool look(mill_kit *kit, const kill_plan *plan, const kill_result *result)
{
    char when[96];
    char name[MILL_RUN_NAME_BYTES];
    mill_sink *sink = NULL;
    mill_sink_position position;
    snprintf(when, sizeof(when), "killed %d stops into %s%s", plan->row < 0 ? plan->stop : 0,
             step_names[plan->step], plan->row < 0 ? "" : ", while a row was read");
    if (!mill_kit_make(kit, &sink))
        return false;
    rmq_status status = mill_kit_open_patiently(kit, sink, 3, &position);
    if (status != RMQ_OK) {
        mill_kit_fail(kit, "%s: open gave %s: %s", when, rmq_status_name(status), kit->err.text);
        mill_sink_free(sink);
        return false;
    }
    int64_t batch_id = position.batch_id;
    bool may_be_in = plan->step == STEP_END || (plan->step == STEP_COMMIT && result->stops > 0) ||
                     (plan->step == STEP_COMMIT && plan->timed && plan->stop > 0);
    bool must_be_in = plan->step == STEP_END;
    if (batch_id == 2 && !may_be_in)
        mill_kit_fail(kit, "%s: open tells batch 2 before it was committed", when);
    if (batch_id != 2 && must_be_in)
        mill_kit_fail(kit, "%s: batch 2 was committed, open tells %lld", when, (long long)batch_id);
    bool in = batch_id == 2;
    mill_kit_run_name(in ? &killed_run : &older_run, name);
    bool whole = plan->step >= STEP_COMMIT; /* run and offsets must agree, too */
    bool good = !kit->failed && (!in || mill_kit_expect(kit, &killed_run)) &&
                mill_kit_open(kit, sink, 4, in ? 2 : 1, whole ? name : NULL) &&
                mill_kit_sees(kit, when, false);
    mill_kit_run again = {
        .batch_id = in ? 3 : 2, .epoch = 4, .tag = "again", .n_partitions = 1, .n_rows = 5};
    if (good && mill_kit_commit(kit, sink, &again))
        mill_kit_sees(kit, "after the batch that followed the kill", false);
    if (kit->failed && strstr(kit->detail, when) == NULL) {
        char detail[sizeof(kit->detail)];
        memcpy(detail, kit->detail, sizeof(detail));
        snprintf(kit->detail, sizeof(kit->detail), "%s: %.380s", when, detail);
    }
    mill_sink_free(sink);
    return !kit->failed;
}

/* A place with one batch in it; no context is left, so that a fork is safe. */
static bool make_place(mill_kit *kit)
{
    mill_sink *sink = NULL;
    mill_kit_context_free(kit);
    bool good = mill_kit_begin(kit) && mill_kit_restart(kit, 1, 0, NULL, &sink) &&
                mill_kit_commit(kit, sink, &older_run);
    mill_sink_free(sink);
    mill_kit_context_free(kit);
    return good;
}

static bool kill_and_look(mill_kit *kit, const kill_plan *plan, kill_result *out_result)
{
    if (!make_place(kit) || !run_plan(kit, plan, out_result))
        return false;
    if (out_result->exit_code >= 0 && out_result->exit_code < 100)
        return mill_kit_fail(kit, "the child failed in %s",
                             step_names[out_result->exit_code % (STEP_END + 1)]);
    if (!out_result->killed && out_result->exit_code >= 100)
        return mill_kit_fail(kit, "the child could not begin (%d)", out_result->exit_code);
    return mill_kit_context_new(kit) && (!out_result->killed || look(kit, plan, out_result));
}

static bool ptrace_works(mill_kit *kit)
{
    kill_result result;
    kill_plan plan = {.step = STEP_OPEN, .row = -1};
    return make_place(kit) && run_plan(kit, &plan, &result) && result.exit_code != 101;
}

/* Kills before the step and at points spread over it. */
static void kill_in(mill_kit *kit, int step)
{
    bool traced = ptrace_works(kit);
    int n_kills = TIMED_KILLS;
    int n_stops = TIMED_KILLS;
    kill_result result;
    if (traced && step != STEP_END) {
        kill_plan count = {.step = step, .row = -1, .count_only = true};
        if (!make_place(kit) || !run_plan(kit, &count, &result))
            return;
        n_stops = result.stops + 1;
        n_kills = n_stops < MOST_KILLS ? n_stops : MOST_KILLS;
    }
    if (step == STEP_END)
        n_kills = 1;
    int n_killed = 0;
    for (int i = 0; i < n_kills; i++) {
        kill_plan plan = {.step = step, .row = -1, .timed = !traced};
        plan.stop = (int)((int64_t)i * n_stops / n_kills);
        if (!kill_and_look(kit, &plan, &result))
            return;
        n_killed += result.killed;
    }
    if (n_killed == 0)
        mill_kit_fail(kit, "nothing was killed");
}

static void killed_in_open(mill_kit *kit)
{
    kill_in(kit, STEP_OPEN);
}

static void killed_in_begin(mill_kit *kit)
{
    kill_in(kit, STEP_BEGIN);
}

static void killed_in_write(mill_kit *kit)
{
    static const int64_t rows[] = {0, 1, WRITE_ROWS / 2, WRITE_ROWS - 1};
    int n_killed = 0;
    kill_in(kit, STEP_WRITE);
    for (size_t i = 0; !kit->failed && kit->broken == RMQ_OK && i < 4; i++) {
        kill_result result;
        kill_plan plan = {.step = STEP_WRITE, .row = rows[i]};
        plan.timed = !ptrace_works(kit);
        if (!kill_and_look(kit, &plan, &result))
            return;
        n_killed += result.killed;
    }
    if (!kit->failed && kit->broken == RMQ_OK && n_killed == 0)
        mill_kit_fail(kit, "write reads no rows");
}

static void killed_in_prepare(mill_kit *kit)
{
    kill_in(kit, STEP_PREPARE);
}

static void killed_in_commit(mill_kit *kit)
{
    kill_in(kit, STEP_COMMIT);
}

static void killed_after_commit(mill_kit *kit)
{
    kill_in(kit, STEP_END);
}

const mill_kit_check mill_kit_kills[] = {
    {"killed-in-open", killed_in_open},     {"killed-in-begin", killed_in_begin},
    {"killed-in-write", killed_in_write},   {"killed-in-prepare", killed_in_prepare},
    {"killed-in-commit", killed_in_commit}, {"killed-after-commit", killed_after_commit},
};
const size_t mill_kit_n_kills = sizeof(mill_kit_kills) / sizeof(mill_kit_kills[0]);
