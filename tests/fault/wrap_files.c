/* In front of the calls to files. SQLite's own go through its table of system calls
 * (wrap_libraries.c), but for fsync and fdatasync, which are not in it: the program defines those
 * itself, in front of the C library's. */
#include "fault_calls.h"
#include "fault_wraps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fault_strikes(FAULT_CALL_open) != NULL ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int at, const char *path, int flags, ...);
int __wrap_openat64(int at, const char *path, int flags, ...);
int __wrap_openat64(int at, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fault_strikes(FAULT_CALL_openat) != NULL ? -1 : __real_openat64(at, path, flags, mode);
}

FAULT_WRAP(int, stat64, (const char *path, struct stat64 *about), (path, about), stat, return -1)
FAULT_WRAP(int, fstat64, (int fd, struct stat64 *about), (fd, about), fstat, return -1)
FAULT_WRAP(int, fstatat64, (int at, const char *path, struct stat64 *about, int flags),
           (at, path, about, flags), fstatat, return -1)
FAULT_WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), mkdir, return -1)
FAULT_WRAP(int, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), mkdirat,
           return -1)
FAULT_WRAP(int, unlinkat, (int at, const char *path, int flags), (at, path, flags), unlinkat,
           return -1)
FAULT_WRAP(DIR *, fdopendir, (int fd), (fd), fdopendir, return NULL)
FAULT_WRAP(struct dirent64 *, readdir64, (DIR * directory), (directory), readdir, return NULL)
FAULT_WRAP(int, flock, (int fd, int operation), (fd, operation), flock, return -1)
FAULT_WRAP(int, ftruncate64, (int fd, off64_t len), (fd, len), ftruncate, return -1)
FAULT_WRAP(int, fallocate64, (int fd, int mode, off64_t from, off64_t len), (fd, mode, from, len),
           fallocate, return -1)
FAULT_WRAP(int, mkostemp64, (char *name, int flags), (name, flags), mkostemp, return -1)
FAULT_WRAP(int, gethostname, (char *name, size_t len), (name, len), gethostname, return -1)

ssize_t __real_pread64(int fd, void *data, size_t len, off64_t at);
ssize_t __wrap_pread64(int fd, void *data, size_t len, off64_t at);
ssize_t __wrap_pread64(int fd, void *data, size_t len, off64_t at)
{
    const fault_way *way = fault_strikes(FAULT_CALL_pread);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    return __real_pread64(fd, data, way != NULL && len > 0 ? 1 : len, at);
}

ssize_t __real_pwrite64(int fd, const void *data, size_t len, off64_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off64_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    const fault_way *way = fault_strikes(FAULT_CALL_pwrite);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    return __real_pwrite64(fd, data, way != NULL && len > 0 ? 1 : len, at);
}

/* The call's result, unless its success is not told. */
static int told(const fault_way *way, int result)
{
    if (way == NULL)
        return result;
    errno = way->reason;
    return -1;
}

int __real_linkat(int from_at, const char *from, int to_at, const char *to, int flags);
int __wrap_linkat(int from_at, const char *from, int to_at, const char *to, int flags);
int __wrap_linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    const fault_way *way = fault_strikes(FAULT_CALL_linkat);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    return told(way, __real_linkat(from_at, from, to_at, to, flags));
}

int __real_renameat(int from_at, const char *from, int to_at, const char *to);
int __wrap_renameat(int from_at, const char *from, int to_at, const char *to);
int __wrap_renameat(int from_at, const char *from, int to_at, const char *to)
{
    const fault_way *way = fault_strikes(FAULT_CALL_renameat);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    return told(way, __real_renameat(from_at, from, to_at, to));
}

static int sync_file(fault_call call, long number, int fd)
{
    const fault_way *way = fault_strikes(call);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    return told(way, (int)syscall(number, fd));
}

/* Ours are wrapped; the other two are called by SQLite. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return sync_file(FAULT_CALL_fsync, SYS_fsync, fd);
}

int fsync(int fd)
{
    return sync_file(FAULT_CALL_sqlite_file_sync, SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_file(FAULT_CALL_sqlite_file_sync, SYS_fdatasync, fd);
}
