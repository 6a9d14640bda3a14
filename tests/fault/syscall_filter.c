/* The calls that the fault tests count and strike at, and the filter that stops a program there.
 *
 * They are those of the file system and the network, and those that wait for them. fcntl is meant
 * only where it locks, mmap only with a file. All others run without a stop, which keeps a run
 * under the injector at a few times its own duration. x86-64 only: the names are its own. */
#include "syscall_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define SYSCALL_FILE_CALLS(X)                                                                      \
    X(open)                                                                                        \
    X(openat)                                                                                      \
    X(creat)                                                                                       \
    X(close)                                                                                       \
    X(read)                                                                                        \
    X(readv)                                                                                       \
    X(pread64)                                                                                     \
    X(preadv)                                                                                      \
    X(write)                                                                                       \
    X(writev)                                                                                      \
    X(pwrite64)                                                                                    \
    X(pwritev)                                                                                     \
    X(fsync)                                                                                       \
    X(fdatasync)                                                                                   \
    X(sync_file_range)                                                                             \
    X(rename)                                                                                      \
    X(renameat)                                                                                    \
    X(renameat2)                                                                                   \
    X(unlink)                                                                                      \
    X(unlinkat)                                                                                    \
    X(truncate)                                                                                    \
    X(ftruncate)                                                                                   \
    X(fallocate)                                                                                   \
    X(mkdir)                                                                                       \
    X(mkdirat)                                                                                     \
    X(rmdir)                                                                                       \
    X(link)                                                                                        \
    X(linkat)                                                                                      \
    X(symlink)                                                                                     \
    X(symlinkat)                                                                                   \
    X(flock)                                                                                       \
    X(stat)                                                                                        \
    X(lstat)                                                                                       \
    X(fstat)                                                                                       \
    X(newfstatat)                                                                                  \
    X(statx)                                                                                       \
    X(statfs)                                                                                      \
    X(fstatfs)                                                                                     \
    X(access)                                                                                      \
    X(faccessat)                                                                                   \
    X(faccessat2)                                                                                  \
    X(readlink)                                                                                    \
    X(readlinkat)                                                                                  \
    X(getdents64)                                                                                  \
    X(lseek)                                                                                       \
    X(chmod)                                                                                       \
    X(fchmod)                                                                                      \
    X(fchmodat)                                                                                    \
    X(chown)                                                                                       \
    X(fchown)                                                                                      \
    X(fchownat)                                                                                    \
    X(utimensat)

#define SYSCALL_NETWORK_CALLS(X)                                                                   \
    X(socket)                                                                                      \
    X(socketpair)                                                                                  \
    X(connect)                                                                                     \
    X(bind)                                                                                        \
    X(listen)                                                                                      \
    X(accept)                                                                                      \
    X(accept4)                                                                                     \
    X(getsockname)                                                                                 \
    X(getpeername)                                                                                 \
    X(getsockopt)                                                                                  \
    X(setsockopt)                                                                                  \
    X(sendto)                                                                                      \
    X(sendmsg)                                                                                     \
    X(sendmmsg)                                                                                    \
    X(recvfrom)                                                                                    \
    X(recvmsg)                                                                                     \
    X(recvmmsg)                                                                                    \
    X(shutdown)                                                                                    \
    X(epoll_create1)                                                                               \
    X(epoll_ctl)                                                                                   \
    X(epoll_wait)                                                                                  \
    X(epoll_pwait)                                                                                 \
    X(epoll_pwait2)                                                                                \
    X(poll)                                                                                        \
    X(ppoll)                                                                                       \
    X(select)                                                                                      \
    X(pselect6)                                                                                    \
    X(eventfd2)                                                                                    \
    X(timerfd_create)                                                                              \
    X(timerfd_settime)                                                                             \
    X(pipe2)

typedef struct call {
    int number;
    const char *name;
} call;

#define CALL(name) {SYS_##name, #name},
static const call calls[] = {SYSCALL_FILE_CALLS(CALL) SYSCALL_NETWORK_CALLS(CALL) CALL(fcntl)
                                 CALL(mmap)};
#undef CALL
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

const char *syscall_name(uint64_t number)
{
    for (size_t i = 0; i < N_CALLS; i++) {
        if ((uint64_t)calls[i].number == number)
            return calls[i].name;
    }
    return NULL;
}

#define STATEMENT(code, k) ((struct sock_filter)BPF_STMT((code), (k)))
#define JUMP(code, k, yes, no) ((struct sock_filter)BPF_JUMP((code), (k), (yes), (no)))
#define LOAD(field) STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF_EQUAL(value, yes, no) JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), (yes), (no))
#define RETURN(value) STATEMENT(BPF_RET | BPF_K, (value))

int syscall_filter_install(void)
{
    static const int lock_commands[] = {F_GETLK,     F_SETLK,     F_SETLKW,
                                        F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW};
    struct sock_filter filter[2 * N_CALLS + 32];
    unsigned short n = 0;
    filter[n++] = LOAD(arch);
    filter[n++] = IF_EQUAL(AUDIT_ARCH_X86_64, 1, 0);
    filter[n++] = RETURN(SECCOMP_RET_ALLOW);
    filter[n++] = LOAD(nr);
    for (size_t i = 0; i < N_CALLS; i++) {
        if (calls[i].number == SYS_fcntl || calls[i].number == SYS_mmap)
            continue;
        filter[n++] = IF_EQUAL(calls[i].number, 0, 1);
        filter[n++] = RETURN(SECCOMP_RET_TRACE);
    }
    filter[n++] = IF_EQUAL(SYS_mmap, 0, 3);
    filter[n++] = LOAD(args[4]);
    filter[n++] = IF_EQUAL(-1, 0, 11);
    filter[n++] = RETURN(SECCOMP_RET_ALLOW);
    filter[n++] = IF_EQUAL(SYS_fcntl, 1, 0);
    filter[n++] = RETURN(SECCOMP_RET_ALLOW);
    filter[n++] = LOAD(args[1]);
    for (unsigned i = 0; i < 6; i++)
        filter[n++] = IF_EQUAL(lock_commands[i], (unsigned char)(6 - i), 0);
    filter[n++] = RETURN(SECCOMP_RET_ALLOW);
    filter[n++] = RETURN(SECCOMP_RET_TRACE);
    struct sock_fprog program = {n, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
