/* syscall_fault: runs a program and does one thing to one system call of one of its threads.
 *
 *     syscall_fault --log FILE [--at THREAD:CALL:N=WHAT] PROGRAM [ARGUMENT...]
 *
 * WHAT is kill (SIGKILL on entry: the call isn't made), an error (ENOSPC, EIO, EINTR: the call
 * isn't made and fails with it; but a close is made, since Linux frees the descriptor whatever it
 * answers), late-EIO (it is made, and fails with EIO all the same, as over a network file system),
 * short (the kernel is asked for half of the bytes and really moves just those), or pretend (it
 * isn't made and answers that all was moved: a lie, for the tests' negative control). Without --at
 * nothing is done, and the log lists the calls: those are the points.
 *
 * Why not strace alone: `strace -f --inject` counts `when=` in each thread, but strikes whichever
 * thread gets to N first, so that a thread that makes fewer calls than another is never struck at
 * its own Nth; and its retval= can only pretend that half was written. This program counts by
 * thread *name* (a pool's workers, mill-work-0, -1, ..., count as one), per call, as strace does.
 *
 * How: a seccomp filter stops the program at the calls of syscall_filter.c only, before they are
 * made, and ptrace tells us. Counting begins with the program's first thread, so that the dynamic
 * loader's calls are not among the points.
 *
 * The log, a line each: `call THREAD CALL N WHERE SIZE FLAGS` without --at; `hit ANSWER` when the
 * call came; `end exit CODE` or `end signal NUMBER`. x86-64 only. */
#include "syscall_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_THREADS 256
#define MAX_COUNTERS 4096
#define MAX_IOV 64
#define NAME_BYTES 32

typedef struct thread {
    pid_t tid;
    char name[NAME_BYTES];
    /* what is put right, or changed, when the call under way has been made */
    bool leaving;
    long answer; /* of a close; 0: the kernel's own */
    struct user_regs_struct before;
    struct iovec iov;
    uint64_t iov_at; /* where `iov` belongs in the program's memory; 0: nothing was changed there */
    uint64_t count_at; /* and `count` */
    uint64_t count;
} thread;

typedef struct counter {
    char name[NAME_BYTES];
    int number;
    long n;
} counter;

static FILE *log_file;
static thread threads[MAX_THREADS];
static size_t n_threads;
static counter counters[MAX_COUNTERS];
static size_t n_counters;
static bool counting; /* the program's first thread has started */
static bool struck;

static char at_thread[NAME_BYTES]; /* empty: nothing is to be struck */
static char at_call[NAME_BYTES];
static long at_n;
static char at_what[NAME_BYTES];

static void fail(const char *what)
{
    fprintf(stderr, "syscall_fault: %s: %s\n", what, strerror(errno));
    exit(125);
}

/* ---- the program ---- */

static pid_t start(char **argv)
{
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            fail("ptrace");
        raise(SIGSTOP);
        if (syscall_filter_install() != 0)
            fail("seccomp");
        execv(argv[0], argv);
        fail(argv[0]);
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        fail("ptrace");
    if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
               PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
                   PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
        fail("ptrace");
    return pid;
}

/* ---- threads and counts ---- */

static thread *thread_of(pid_t tid)
{
    for (size_t i = 0; i < n_threads; i++) {
        if (threads[i].tid == tid)
            return &threads[i];
    }
    if (n_threads == MAX_THREADS)
        fail("too many threads");
    threads[n_threads] = (thread){.tid = tid};
    return &threads[n_threads++];
}

/* A thread names itself before its first call of the list. Workers lose their number. */
static void learn_name(thread *self, pid_t pid)
{
    char path[64];
    if (self->tid == pid) {
        snprintf(self->name, sizeof(self->name), "main");
        return;
    }
    snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)self->tid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(self->name, sizeof(self->name), file) == NULL)
        snprintf(self->name, sizeof(self->name), "?");
    if (file != NULL)
        fclose(file);
    self->name[strcspn(self->name, "\n")] = '\0';
    size_t len = strlen(self->name);
    while (len > 0 && self->name[len - 1] >= '0' && self->name[len - 1] <= '9')
        len--;
    if (len > 0 && self->name[len - 1] == '-' && self->name[len] != '\0')
        self->name[len - 1] = '\0';
}

static long count(const char *name, int number)
{
    size_t i = 0;
    while (i < n_counters && (counters[i].number != number || strcmp(counters[i].name, name) != 0))
        i++;
    if (i == MAX_COUNTERS)
        fail("too many kinds of calls");
    if (i == n_counters) {
        n_counters++;
        counters[i].number = number;
        snprintf(counters[i].name, sizeof(counters[i].name), "%s", name);
    }
    return ++counters[i].n;
}

/* ---- the program's memory ---- */

static bool peek(pid_t tid, uint64_t at, void *out_bytes, size_t len)
{
    struct iovec here = {out_bytes, len};
    struct iovec there = {(void *)(uintptr_t)at, len}; /* NOLINT(performance-no-int-to-ptr) */
    return process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

static bool poke(pid_t tid, uint64_t at, const void *bytes, size_t len)
{
    struct iovec here = {(void *)(uintptr_t)bytes, len};
    struct iovec there = {(void *)(uintptr_t)at, len}; /* NOLINT(performance-no-int-to-ptr) */
    return process_vm_writev(tid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

/* ---- what a call moves ---- */

typedef enum shape {
    MOVES_NOTHING,
    MOVES_BUFFER, /* its third argument is a size */
    MOVES_IOV,    /* its second and third are an iovec array */
    MOVES_MESSAGE /* its second is a msghdr */
} shape;

static shape shape_of(uint64_t number)
{
    switch (number) {
    case SYS_read:
    case SYS_write:
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_sendto:
    case SYS_recvfrom:
        return MOVES_BUFFER;
    case SYS_readv:
    case SYS_writev:
    case SYS_preadv:
    case SYS_pwritev:
        return MOVES_IOV;
    case SYS_sendmsg:
    case SYS_recvmsg:
        return MOVES_MESSAGE;
    default:
        return MOVES_NOTHING;
    }
}

typedef struct vector {
    uint64_t at;       /* of the array in the program's memory */
    uint64_t count_at; /* of its length there, 0 if that is an argument */
    size_t count;
    struct iovec items[MAX_IOV];
    uint64_t total;
} vector;

static bool read_vector(pid_t tid, const struct user_regs_struct *regs, vector *out_vector)
{
    vector seen = {.at = regs->rsi, .count = regs->rdx};
    if (shape_of(regs->orig_rax) == MOVES_MESSAGE) {
        struct msghdr message;
        if (!peek(tid, regs->rsi, &message, sizeof(message)))
            return false;
        seen.at = (uint64_t)(uintptr_t)message.msg_iov;
        seen.count = message.msg_iovlen;
        seen.count_at = regs->rsi + offsetof(struct msghdr, msg_iovlen);
    }
    if (seen.count == 0 || seen.count > MAX_IOV ||
        !peek(tid, seen.at, seen.items, seen.count * sizeof(struct iovec)))
        return false;
    for (size_t i = 0; i < seen.count; i++)
        seen.total += seen.items[i].iov_len;
    *out_vector = seen;
    return true;
}

/* Bytes that the call is asked to move. */
static uint64_t size_of(pid_t tid, const struct user_regs_struct *regs)
{
    vector seen;
    shape moves = shape_of(regs->orig_rax);
    if (moves == MOVES_BUFFER)
        return regs->rdx;
    return moves != MOVES_NOTHING && read_vector(tid, regs, &seen) ? seen.total : 0;
}

/* ---- striking ---- */

/* Cuts the array to half of its bytes, in the program's memory, until the call has been made. */
static bool halve_vector(thread *self, struct user_regs_struct *regs)
{
    vector seen;
    if (!read_vector(self->tid, regs, &seen) || seen.total < 2)
        return false;
    uint64_t left = seen.total / 2;
    size_t last = 0;
    while (seen.items[last].iov_len < left)
        left -= seen.items[last++].iov_len;
    self->iov = seen.items[last];
    self->iov_at = seen.at + last * sizeof(struct iovec);
    struct iovec cut = {self->iov.iov_base, left};
    self->count_at = seen.count_at;
    self->count = seen.count;
    uint64_t count = last + 1;
    if (seen.count_at == 0)
        regs->rdx = count;
    else if (!poke(self->tid, seen.count_at, &count, sizeof(count)))
        return false;
    return poke(self->tid, self->iov_at, &cut, sizeof(cut));
}

static bool halve(thread *self, struct user_regs_struct *regs)
{
    shape moves = shape_of(regs->orig_rax);
    if (moves == MOVES_IOV || moves == MOVES_MESSAGE)
        return halve_vector(self, regs);
    if (moves == MOVES_NOTHING || regs->rdx < 2)
        return false;
    regs->rdx /= 2;
    return true;
}

static int errno_of(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EINTR", EINTR}, {"late-EIO", EIO}};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].number;
    }
    return 0;
}

/* Does to the call, which has not been made yet, what was asked for. True: tell when it is over. */
static bool strike(thread *self, pid_t pid, struct user_regs_struct *regs)
{
    struck = true;
    if (strcmp(at_what, "kill") == 0) {
        fprintf(log_file, "hit killed\n");
        kill(pid, SIGKILL);
        return false;
    }
    self->before = *regs;
    self->iov_at = self->count_at = 0;
    int reason = errno_of(at_what);
    self->answer = -reason;
    bool pretend = strcmp(at_what, "pretend") == 0;
    if (reason == 0 && !pretend && !halve(self, regs)) {
        fprintf(log_file, "hit unfit\n");
        return false;
    }
    bool made = regs->orig_rax == SYS_close || strcmp(at_what, "late-EIO") == 0;
    if (reason != 0 && !made) {
        fprintf(log_file, "hit %d\n", -reason);
        regs->orig_rax = (unsigned long long)-1;
        regs->rax = (unsigned long long)-(long)reason;
    } else if (pretend) {
        fprintf(log_file, "hit pretended\n");
        regs->orig_rax = (unsigned long long)-1;
        regs->rax = size_of(self->tid, &self->before);
    }
    if (ptrace(PTRACE_SETREGS, self->tid, NULL, regs) != 0)
        fail("ptrace");
    return made || (reason == 0 && !pretend);
}

/* The call has been made: arguments that were changed are put back, as the kernel keeps them. */
static void leave_call(thread *self)
{
    struct user_regs_struct regs;
    self->leaving = false;
    if (ptrace(PTRACE_GETREGS, self->tid, NULL, &regs) != 0)
        return; /* it was killed meanwhile */
    regs.rdx = self->before.rdx;
    if (self->answer != 0)
        regs.rax = (unsigned long long)self->answer;
    if (self->iov_at != 0)
        poke(self->tid, self->iov_at, &self->iov, sizeof(self->iov));
    if (self->count_at != 0)
        poke(self->tid, self->count_at, &self->count, sizeof(self->count));
    fprintf(log_file, "hit %lld\n", (long long)regs.rax);
    ptrace(PTRACE_SETREGS, self->tid, NULL, &regs);
}

/* ---- a stop ---- */

/* Only a stream may move a part of what was asked for: the kernel takes a datagram (such as libc's
 * question to netlink) whole. */
static bool is_stream(pid_t pid, int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    int copy = process >= 0 ? (int)syscall(SYS_pidfd_getfd, process, fd, 0) : -1;
    bool stream =
        copy >= 0 && getsockopt(copy, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
    if (copy >= 0)
        close(copy);
    if (process >= 0)
        close(process);
    return stream;
}

/* What the call works on: file, stream, datagram, or another kind of descriptor; a path. */
static const char *place_of(pid_t pid, const struct user_regs_struct *regs)
{
    char path[64];
    char target[256];
    switch (regs->orig_rax) {
    case SYS_open:
    case SYS_openat:
    case SYS_mkdir:
    case SYS_mkdirat:
    case SYS_rename:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_link:
    case SYS_linkat:
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_access:
    case SYS_stat:
    case SYS_lstat:
        return "path";
    default:
        break;
    }
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, (int)regs->rdi);
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    if (len <= 0)
        return "none";
    target[len] = '\0';
    if (strncmp(target, "socket:", 7) == 0)
        return is_stream(pid, (int)regs->rdi) ? "stream" : "datagram";
    return target[0] == '/' ? (regs->rdi <= 2 ? "output" : "file")
           : regs->rdi <= 2 ? "output"
                            : "other";
}

/* Returns the request to go on with. */
static int enter_call(thread *self, pid_t pid)
{
    struct user_regs_struct regs;
    if (!counting || ptrace(PTRACE_GETREGS, self->tid, NULL, &regs) != 0)
        return PTRACE_CONT;
    const char *name = syscall_name(regs.orig_rax);
    if (name == NULL)
        return PTRACE_CONT;
    if (self->name[0] == '\0')
        learn_name(self, pid);
    long n = count(self->name, (int)regs.orig_rax);
    if (at_thread[0] == '\0') {
        fprintf(log_file, "call %s %s %ld %s %llu %llu\n", self->name, name, n,
                place_of(pid, &regs), (unsigned long long)size_of(self->tid, &regs),
                (unsigned long long)(regs.orig_rax == SYS_openat ? regs.rdx : regs.rsi));
        return PTRACE_CONT;
    }
    if (struck || n != at_n || strcmp(name, at_call) != 0 || strcmp(self->name, at_thread) != 0)
        return PTRACE_CONT;
    self->leaving = strike(self, pid, &regs);
    return self->leaving ? PTRACE_SYSCALL : PTRACE_CONT;
}

static void on_stop(pid_t tid, int status, pid_t pid)
{
    bool known = false;
    for (size_t i = 0; i < n_threads; i++)
        known = known || threads[i].tid == tid;
    thread *self = thread_of(tid);
    int number = WSTOPSIG(status);
    int event = status >> 16;
    int request = PTRACE_CONT;
    if (event == PTRACE_EVENT_SECCOMP) {
        request = enter_call(self, pid);
        number = 0;
    } else if (event != 0) {
        counting = counting || event == PTRACE_EVENT_CLONE;
        number = 0;
    } else if (number == (SIGTRAP | 0x80)) {
        if (self->leaving)
            leave_call(self);
        number = 0;
    } else if (number == SIGSTOP && !known) {
        number = 0; /* how a new thread begins */
    }
    ptrace((enum __ptrace_request)request, tid, NULL, (long)number); /* it may be dead */
}

static void parse_point(char *text)
{
    char *call_at = strchr(text, ':');
    char *n_at = call_at != NULL ? strchr(call_at + 1, ':') : NULL;
    char *what_at = n_at != NULL ? strchr(n_at + 1, '=') : NULL;
    if (what_at == NULL) {
        fprintf(stderr, "syscall_fault: --at THREAD:CALL:N=WHAT\n");
        exit(125);
    }
    *call_at = *n_at = *what_at = '\0';
    snprintf(at_thread, sizeof(at_thread), "%s", text);
    snprintf(at_call, sizeof(at_call), "%s", call_at + 1);
    at_n = strtol(n_at + 1, NULL, 10);
    snprintf(at_what, sizeof(at_what), "%s", what_at + 1);
}

static void follow(pid_t pid)
{
    int status = 0;
    thread_of(pid);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    for (;;) {
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR)
            continue;
        if (tid < 0)
            return;
        if (WIFSTOPPED(status))
            on_stop(tid, status, pid);
        else if (tid == pid && WIFEXITED(status))
            fprintf(log_file, "end exit %d\n", WEXITSTATUS(status));
        else if (tid == pid)
            fprintf(log_file, "end signal %d\n", WTERMSIG(status));
    }
}

int main(int argc, char **argv)
{
    int next = 1;
    for (; next + 1 < argc && argv[next][0] == '-'; next += 2) {
        if (strcmp(argv[next], "--log") == 0)
            log_file = fopen(argv[next + 1], "we");
        else if (strcmp(argv[next], "--at") == 0)
            parse_point(argv[next + 1]);
    }
    if (log_file == NULL || next >= argc) {
        fprintf(stderr, "usage: syscall_fault --log FILE [--at THREAD:CALL:N=WHAT] PROGRAM "
                        "[ARGUMENT...]\n");
        return 125;
    }
    follow(start(argv + next));
    return fclose(log_file) == 0 ? 0 : 125;
}
