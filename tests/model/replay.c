/* Replays traces of the model (traces.py) against the real driver and sinks.
 *
 *   usage: replay FILE [--unsafe | --no-fence]
 *
 * Each process of a trace is a child that waits at every crash point (replay_job.c). A line of the
 * trace lets one of them go on to the end of its step, or kills it; where it must come to stand is
 * in the line. After it, what can be seen from outside is compared with what the model says: the
 * files of the checkpoint, the rows of the sinks by order and run, their epochs and batches.
 *
 * Prints a line for each trace that differs, and at the end `N traces, N steps, N kills, N checks,
 * N differ`. The two options break a sink: then traces must differ. With --unsafe only the end of a
 * trace is compared: in between, rows are visible too early in any case. */
#include "replay_job.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_PROCESSES 2
#define PATIENCE_MS 60000
#define MAX_TOLD 10 /* traces that differ are many if something is wrong */

typedef struct process {
    pid_t pid; /* 0: none */
    int fd;
    replay_report at; /* where it waits */
} process;

typedef struct replay {
    replay_job job;
    char *dir;
    process processes[N_PROCESSES];
    int number;
    int n_line;
    char difference[512];  /* the first of this trace; "": none */
    char last_check[2048]; /* with --unsafe: only this one counts */
    long n_traces, n_steps, n_kills, n_checks, n_differ;
} replay;

__attribute__((format(printf, 2, 3))) static void differ(replay *r, const char *format, ...)
{
    if (r->difference[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(r->difference, sizeof(r->difference), format, args);
    va_end(args);
}

/* ---- processes ---- */

/* Waits for the next report. */
static bool hear(replay *r, process *p)
{
    struct pollfd ready = {.fd = p->fd, .events = POLLIN};
    if (poll(&ready, 1, PATIENCE_MS) == 1 &&
        read(p->fd, &p->at, sizeof(p->at)) == (ssize_t)sizeof(p->at))
        return true;
    differ(r, "process %d tells nothing after %s %lld", (int)(p - r->processes), p->at.point,
           (long long)p->at.batch_id);
    return false;
}

static void let_go(const process *p, const replay_order *order)
{
    if (write(p->fd, order, sizeof(*order)) != (ssize_t)sizeof(*order))
        return; /* it is gone: the next hear says so */
}

static void bury(process *p)
{
    if (p->pid == 0)
        return;
    if (p->pid > 0) { /* else: dead already */
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    close(p->fd);
    *p = (process){0};
}

static void begin_process(replay *r, process *p, bool take_over)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0)
        abort();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        close(fds[0]);
        replay_run(&r->job, take_over, fds[1]);
    }
    close(fds[1]);
    *p = (process){.pid = pid, .fd = fds[0]};
    hear(r, p);
}

static bool is_at(const process *p, const char *when, const char *step, long long batch_id)
{
    char point[24];
    snprintf(point, sizeof(point), "%s-%s", when, step);
    return !p->at.ended && strcmp(p->at.point, point) == 0 && p->at.batch_id == batch_id;
}

static void expect_point(replay *r, const process *p, const char *when, const char *step,
                         long long batch_id)
{
    if (!is_at(p, when, step, batch_id))
        differ(r, "expected %s-%s %lld, is at %s %lld%s %s %s", when, step, batch_id, p->at.point,
               (long long)p->at.batch_id, p->at.ended ? " (ended)" : "",
               p->at.ended ? rmq_status_name(p->at.status) : "", p->at.text);
}

/* It kills itself in the middle of a commit. */
static void expect_death(replay *r, process *p)
{
    int how = 0;
    struct pollfd gone = {.fd = p->fd, .events = POLLIN};
    if (poll(&gone, 1, PATIENCE_MS) != 1 || waitpid(p->pid, &how, 0) != p->pid || !WIFSIGNALED(how))
        differ(r, "a process was to die in its commit and did not");
    else
        p->pid = -1;
    bury(p);
    r->n_kills++;
}

static void expect_end(replay *r, process *p, rmq_status status)
{
    if (!p->at.ended || p->at.status != status)
        differ(r, "expected to end %s, is at %s %lld: %s %s", rmq_status_name(status), p->at.point,
               (long long)p->at.batch_id, rmq_status_name(p->at.status), p->at.text);
    bury(p);
}

/* ---- lines about processes ---- */

static int follow_word(replay_order *order, char **words, int n_words, int i)
{
    if (strcmp(words[i], "take") == 0 && i + 1 < n_words)
        order->take = atoi(words[++i]);
    else if (strcmp(words[i], "run") == 0 && i + 1 < n_words)
        order->run = atoi(words[++i]);
    else if (strcmp(words[i], "in-lost") == 0)
        order->answer = ANSWER_IN_LOST;
    else if (strcmp(words[i], "out-lost") == 0)
        order->answer = ANSWER_OUT_LOST;
    else if (strcmp(words[i], "late") == 0)
        order->answer = ANSWER_LATE;
    else if (strcmp(words[i], "late-killed") == 0)
        order->answer = ANSWER_LATE_KILLED;
    return i;
}

static void expect_outcome(replay *r, process *p, char **words, int n_words)
{
    const char *outcome = words[n_words - 1];
    if (strcmp(outcome, "ok") == 0)
        expect_point(r, p, "after", words[1], atoll(words[2]));
    else if (strcmp(outcome, "fenced") == 0)
        expect_end(r, p, RMQ_FENCED);
    else if (strcmp(outcome, "killed") == 0)
        expect_death(r, p);
    else if (strcmp(outcome, "ended") == 0)
        expect_end(r, p, RMQ_OK);
    else if (n_words > 1 && strcmp(words[n_words - 2], "recovered") == 0)
        expect_point(r, p, "before", "plan", atoll(outcome));
    else
        differ(r, "what is \"%s\"?", outcome);
}

/* "A commit 1 in-lost recovered 2" */
static void go_on(replay *r, process *p, char **words, int n_words)
{
    replay_order order = {0};
    for (int i = 3; i < n_words; i++)
        i = follow_word(&order, words, n_words, i);
    const replay_order nothing = {0};
    if (strncmp(p->at.point, "after-", 6) == 0) {
        let_go(p, &nothing);
        if (!hear(r, p))
            return;
    }
    expect_point(r, p, "before", words[1], atoll(words[2]));
    if (r->difference[0] != '\0')
        return;
    let_go(p, &order);
    if (order.answer == ANSWER_LATE_KILLED || hear(r, p))
        expect_outcome(r, p, words, n_words);
    r->n_steps++;
}

static void kill_process(replay *r, process *p, bool before_next)
{
    const replay_order nothing = {0};
    if (before_next && strncmp(p->at.point, "after-", 6) == 0) {
        let_go(p, &nothing);
        hear(r, p);
    }
    if (p->at.ended)
        differ(r, "it has ended before it was killed: %s", p->at.text);
    bury(p);
    r->n_kills++;
}

static void process_line(replay *r, char **words, int n_words)
{
    process *p = &r->processes[words[0][0] - 'A'];
    bool starting = strcmp(words[1], "start") == 0 || strcmp(words[1], "take-over") == 0;
    if ((p->pid == 0) != (starting || strcmp(words[1], "locked") == 0)) {
        differ(r, "process %s %s", words[0], p->pid == 0 ? "is not there" : "is there");
    } else if (starting) {
        begin_process(r, p, words[1][0] == 't');
        if (strcmp(words[2], "fenced") == 0)
            expect_end(r, p, RMQ_FENCED);
        else if (strncmp(p->at.point, "before-plan", 11) != 0)
            differ(r, "it does not start: %s %s", rmq_status_name(p->at.status), p->at.text);
    } else if (strcmp(words[1], "locked") == 0) {
        begin_process(r, p, false);
        expect_end(r, p, RMQ_LOCKED);
    } else if (strncmp(words[1], "kill", 4) == 0) {
        kill_process(r, p, strcmp(words[1], "kill-before") == 0);
    } else {
        go_on(r, p, words, n_words);
    }
}

/* "net SINK EPOCH BATCH RUN taken" */
static void net_line(replay *r, char **words)
{
    replay_place *place = &r->job.places[atoi(words[1])];
    for (int i = 0; i < place->n_under_way; i++) {
        replay_commit *commit = &place->under_way[i];
        int order = 0, run = 0;
        if (commit->epoch != atoll(words[2]) || commit->batch_id != atoll(words[3]) ||
            !replay_row(commit->rows[0], &order, &run) || run != atoi(words[4]))
            continue;
        bool taken = replay_deliver(place, commit, r->job.no_fence) == RMQ_OK;
        if (taken != (strcmp(words[5], "taken") == 0))
            differ(r, "a late commit of batch %s is %s", words[3], taken ? "taken" : "refused");
        place->under_way[i] = place->under_way[--place->n_under_way];
        return;
    }
    differ(r, "there is no commit of batch %s, run %s under way", words[3], words[4]);
}

/* ---- what can be seen ---- */

/* The numbers of the files of a kind as "1,2", "0" if there are none; the highest. */
static long long list_files(const replay *r, const char *kind, char *out_list, size_t capacity)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/checkpoint/%s", r->dir, kind);
    bool there[100] = {false};
    long long highest = 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        long long number = atoll(entry->d_name);
        if (number > 0 && number < 100)
            there[number] = true;
        highest = number > highest ? number : highest;
    }
    if (dir != NULL)
        closedir(dir);
    size_t at = 0;
    out_list[0] = '\0';
    for (int n = 1; n < 100; n++) {
        if (there[n])
            at += (size_t)snprintf(out_list + at, capacity - at, "%s%d", at > 0 ? "," : "", n);
    }
    if (at == 0)
        snprintf(out_list, capacity, "0");
    return highest;
}

static int count_states(const replay *r)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/checkpoint/state", r->dir);
    int count = 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += atoll(entry->d_name) > 0;
    if (dir != NULL)
        closedir(dir);
    return count;
}

static long long read_floor(const replay *r)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/checkpoint/floor", r->dir);
    long long floor = 0;
    FILE *file = fopen(path, "r");
    if (file != NULL && fscanf(file, "{\"floor\":%lld", &floor) != 1)
        floor = -1;
    if (file != NULL)
        fclose(file);
    return floor;
}

/* What the checkpoint's part of a check line says of the files. */
static void checkpoint_text(const replay *r, char *out_text, size_t capacity)
{
    char plans[300], decided[300], ignored[300];
    long long epoch = list_files(r, "epoch", ignored, sizeof(ignored));
    long long done = list_files(r, "done", ignored, sizeof(ignored));
    list_files(r, "plan", plans, sizeof(plans));
    list_files(r, "commit", decided, sizeof(decided));
    snprintf(out_text, capacity,
             "check epoch %lld floor %lld done %lld plans %s decided %s states %d ", epoch,
             read_floor(r), done, plans, decided, count_states(r));
}

static void read_rows(replay *r, sqlite3 *db, replay_place *place)
{
    sqlite3_stmt *select = NULL;
    memset(place->counts, 0, sizeof(place->counts));
    if (sqlite3_prepare_v2(db, "SELECT row, times FROM applied", -1, &select, NULL) != SQLITE_OK)
        return; /* not opened yet */
    while (sqlite3_step(select) == SQLITE_ROW) {
        int order = 0, run = 0;
        if (replay_row(sqlite3_column_int64(select, 0), &order, &run))
            place->counts[order][run] = (uint16_t)sqlite3_column_int(select, 1);
        else
            differ(r, "a database holds a row of no order");
    }
    sqlite3_finalize(select);
}

/* Reads a database into its place. */
static void read_database(replay *r, int number)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%d.db", r->dir, number);
    replay_place *place = &r->job.places[number];
    sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;
    place->epoch = place->last = 0;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
        read_rows(r, db, place);
        if (sqlite3_prepare_v2(db, "SELECT epoch, batch_id FROM millrace_commits", -1, &select,
                               NULL) == SQLITE_OK &&
            sqlite3_step(select) == SQLITE_ROW) {
            place->epoch = sqlite3_column_int64(select, 0);
            place->last = sqlite3_column_int64(select, 1);
        }
        sqlite3_finalize(select);
    }
    sqlite3_close(db);
}

/* "3:1:0-2,..." as counts. */
static void expect_counts(replay *r, char *ledger, replay_counts out_counts)
{
    memset(out_counts, 0, sizeof(replay_counts));
    char *rest = NULL;
    for (char *part = strtok_r(ledger, ",", &rest); part != NULL;
         part = strtok_r(NULL, ",", &rest)) {
        int run = 0, times = 0, first = 0, end = 0;
        if (strcmp(part, "0") == 0)
            return;
        if (sscanf(part, "%d:%d:%d-%d", &run, &times, &first, &end) != 4 || run < 1 ||
            run >= REPLAY_RUNS || first < 0 || end > REPLAY_EACH) {
            differ(r, "what is \"%s\"?", part);
            return;
        }
        for (int q = 0; q < FAKE_QUEUES; q++) {
            for (int offset = first; offset < end; offset++)
                out_counts[q * REPLAY_EACH + offset][run] = (uint16_t)times;
        }
    }
}

/* " epoch 2 last 1 ledger 3:1:0-2" */
static void check_sink(replay *r, int number, const char *text)
{
    long long epoch = 0, last = 0;
    char ledger[256] = "";
    if (sscanf(text, " epoch %lld last %lld ledger %255s", &epoch, &last, ledger) != 3) {
        differ(r, "what is \"%s\"?", text);
        return;
    }
    replay_place *place = &r->job.places[number];
    replay_kind kind = r->job.kinds[number];
    if (kind == REPLAY_SQLITE)
        read_database(r, number);
    if ((kind == REPLAY_SQLITE || kind == REPLAY_TABLE) &&
        (place->epoch != epoch || place->last != last))
        differ(r, "sink %d: epoch %lld last %lld, expected %lld, %lld", number,
               (long long)place->epoch, (long long)place->last, epoch, last);
    replay_counts expected;
    expect_counts(r, ledger, expected);
    for (int order = 0; order < REPLAY_ORDERS; order++) {
        for (int run = 0; run < REPLAY_RUNS; run++) {
            if (place->counts[order][run] != expected[order][run])
                differ(r, "sink %d: order %d of run %d took effect %d times, expected %d", number,
                       order, run, place->counts[order][run], expected[order][run]);
        }
    }
}

static void check_line(replay *r, char *line)
{
    char seen[1024];
    checkpoint_text(r, seen, sizeof(seen));
    char *sinks = strchr(line, '|');
    size_t len = sinks != NULL ? (size_t)(sinks - line) : strlen(line);
    if (strlen(seen) != len || strncmp(seen, line, len) != 0)
        differ(r, "the checkpoint has \"%.200s\"", seen);
    for (int i = 0; i < r->job.n_sinks && sinks != NULL; i++) {
        char *next = strchr(sinks + 1, '|');
        check_sink(r, i, sinks + 1);
        sinks = next;
    }
    r->n_checks++;
}

/* ---- traces ---- */

static bool kind_of(const char *word, replay_kind *out_kind)
{
    static const char *const names[] = {"sqlite", "table", "callback", "foreach"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(word, names[i]) == 0) {
            *out_kind = (replay_kind)i;
            return true;
        }
    }
    return false;
}

/* Not temp_dir_make: this is no Check test. Freed by temp_dir_remove. */
static char *make_directory(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/millrace-test-XXXXXX", base != NULL ? base : "/tmp") < 0 ||
        mkdtemp(path) == NULL)
        abort();
    return path;
}

static void begin_trace(replay *r, char **words, int n_words)
{
    r->number = atoi(words[1]);
    r->difference[0] = '\0';
    r->dir = make_directory();
    r->job.dir = r->dir;
    r->job.n_sinks = n_words - 2;
    memset(r->job.places, 0, REPLAY_SINKS * sizeof(replay_place));
    for (int i = 0; i < r->job.n_sinks && i < REPLAY_SINKS; i++) {
        if (!kind_of(words[2 + i], &r->job.kinds[i]))
            differ(r, "what is \"%s\"?", words[2 + i]);
    }
}

static void end_trace(replay *r)
{
    if (r->job.unsafe_offsets && r->difference[0] == '\0')
        check_line(r, r->last_check);
    for (int i = 0; i < N_PROCESSES; i++) {
        if (r->processes[i].pid != 0 && r->difference[0] == '\0')
            differ(r, "process %d is still there", i);
        bury(&r->processes[i]);
    }
    temp_dir_remove(r->dir);
    r->dir = NULL;
    r->n_traces++;
    if (r->difference[0] != '\0' && r->n_differ++ < MAX_TOLD)
        printf("trace %d, line %d: %s\n", r->number, r->n_line, r->difference);
    fflush(stdout);
}

static int split(char *line, char **words, int capacity)
{
    int count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word != NULL && count < capacity;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    return count;
}

static void follow_line(replay *r, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    char copy[2048];
    snprintf(copy, sizeof(copy), "%s", line);
    char *words[12];
    int n_words = split(copy, words, 12);
    if (n_words > 2 && strcmp(words[0], "trace") == 0)
        begin_trace(r, words, n_words);
    if (r->dir == NULL)
        return;
    if (strcmp(words[0], "end") == 0) {
        end_trace(r);
        return;
    }
    if (r->difference[0] != '\0')
        return;
    r->n_line++;
    if (strcmp(words[0], "check") == 0 && r->job.unsafe_offsets)
        snprintf(r->last_check, sizeof(r->last_check), "%s", line);
    else if (strcmp(words[0], "check") == 0)
        check_line(r, line);
    else if (strcmp(words[0], "net") == 0 && n_words == 6)
        net_line(r, words);
    else if (n_words > 1 && words[0][1] == '\0' && words[0][0] >= 'A' && words[0][0] <= 'B')
        process_line(r, words, n_words);
}

int main(int argc, char **argv)
{
    static replay r;
    FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: replay FILE [--unsafe | --no-fence]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    use_memory_for_temp_dirs();
    r.job.unsafe_offsets = argc > 2 && strcmp(argv[2], "--unsafe") == 0;
    r.job.no_fence = argc > 2 && strcmp(argv[2], "--no-fence") == 0;
    r.job.places = mmap(NULL, REPLAY_SINKS * sizeof(replay_place), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r.job.places == MAP_FAILED)
        return 2;
    char line[2048];
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "trace ", 6) == 0)
            r.n_line = 0;
        follow_line(&r, line);
    }
    fclose(file);
    printf("%ld traces, %ld steps, %ld kills, %ld checks, %ld differ\n", r.n_traces, r.n_steps,
           r.n_kills, r.n_checks, r.n_differ);
    return 0;
}
