/* A layer between a program and its files that writes down each change and each sync.
 *
 * It defines the C library's own functions. The linker gives those of a program precedence over the
 * library's, also for calls out of shared libraries, so SQLite's writes come by here as ours do.
 * The work itself is done by raw system calls. What a program writes through mmap is not seen:
 * SQLite's -shm only, which needs no durability.
 *
 * A file is known by a number from its creation on, since names come and go and the file system
 * uses inodes again. The order of the records is the order of the calls: a lock is held around each
 * call and its record. power_disk.py reads the log.
 *
 *   record: kind, then number, offset, lengths of two names and of the data, then those */
#include "power_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FILES 100000
#define PATH_BYTES 1024

typedef struct known_files {
    int64_t count;
    ino_t inodes[MAX_FILES]; /* of file number i + 1; the newest counts */
} known_files;

typedef struct record {
    char kind; /* C created, K known from before, W write, T truncate, S sync, D directory sync, L
                  link, R rename, U unlink, M mkdir, X rmdir, ! mark */
    char pad[7];
    uint64_t file;
    uint64_t offset;
    uint64_t name_len, second_len, data_len;
} record;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static known_files *files; /* shared by the processes */
static char root[PATH_BYTES];
static size_t root_len; /* 0: nothing is recorded */
static int log_fd = -1;

/* ---- writing records ---- */

static void put(char kind, uint64_t file, uint64_t offset, const char *name, const char *second,
                const void *data, size_t data_len)
{
    record head = {.kind = kind, .file = file, .offset = offset, .data_len = data_len};
    head.name_len = strlen(name);
    head.second_len = strlen(second);
    struct iovec parts[4] = {{&head, sizeof(head)},
                             {(void *)(uintptr_t)name, head.name_len},
                             {(void *)(uintptr_t)second, head.second_len},
                             {(void *)(uintptr_t)data, data_len}};
    ssize_t wanted = (ssize_t)(sizeof(head) + head.name_len + head.second_len + data_len);
    if (syscall(SYS_writev, log_fd, parts, 4) != wanted)
        abort();
}

void power_record(const char *root_path, const char *log_path)
{
    files = mmap(NULL, sizeof(*files), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log_path,
                          O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    char *real = realpath(root_path, NULL);
    if (files == MAP_FAILED || log_fd < 0 || real == NULL)
        abort();
    snprintf(root, sizeof(root), "%s", real);
    free(real);
    root_len = strlen(root);
}

void power_mark(const char *what, int64_t number)
{
    if (root_len == 0)
        return;
    pthread_mutex_lock(&lock);
    put('!', 0, (uint64_t)number, what, "", NULL, 0);
    pthread_mutex_unlock(&lock);
}

/* ---- what a descriptor and a name are ---- */

/* The path below the root; NULL: it is not there. */
static const char *below(const char *path)
{
    if (root_len == 0 || strncmp(path, root, root_len) != 0)
        return NULL;
    return path[root_len] == '/' ? path + root_len + 1 : path[root_len] == '\0' ? "." : NULL;
}

static const char *path_of_fd(int fd, char buffer[PATH_BYTES])
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, buffer, PATH_BYTES - 1);
    if (len <= 0)
        return NULL;
    buffer[len] = '\0';
    return below(buffer);
}

static const char *path_at(int dir_fd, const char *name, char buffer[PATH_BYTES])
{
    if (root_len == 0)
        return NULL;
    char dir[PATH_BYTES / 2] = "";
    if (name[0] != '/' && dir_fd != AT_FDCWD) {
        const char *found = path_of_fd(dir_fd, buffer);
        if (found == NULL)
            return NULL;
        snprintf(dir, sizeof(dir), "%.500s/", buffer);
    } else if (name[0] != '/') {
        return NULL; /* the tests give absolute paths */
    }
    snprintf(buffer, PATH_BYTES, "%s%.500s", dir, name);
    return below(buffer);
}

static uint64_t new_number(ino_t inode)
{
    if (files->count == MAX_FILES)
        abort();
    files->inodes[files->count++] = inode;
    return (uint64_t)files->count;
}

/* The number of a regular file; 0: it is none. One that was there before is told to the log. */
static uint64_t number_of(const struct stat *info, const char *path)
{
    if (!S_ISREG(info->st_mode))
        return 0;
    for (int64_t i = files->count; i > 0; i--) {
        if (files->inodes[i - 1] == info->st_ino)
            return (uint64_t)i;
    }
    uint64_t number = new_number(info->st_ino);
    put('K', number, 0, path, "", NULL, 0);
    return number;
}

/* The number of an open file below the root; 0: something else. */
static uint64_t tracked(int fd, char buffer[PATH_BYTES], const char **out_path)
{
    if (root_len == 0)
        return 0;
    struct stat info;
    const char *path = path_of_fd(fd, buffer);
    if (path == NULL || fstat(fd, &info) != 0)
        return 0;
    *out_path = path;
    return number_of(&info, path);
}

static uint64_t number_at(int dir_fd, const char *name, const char *path)
{
    struct stat info;
    return fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 ? number_of(&info, path) : 0;
}

/* ---- opening ---- */

static int do_open(int dir_fd, const char *name, int flags, mode_t mode)
{
    char buffer[PATH_BYTES];
    pthread_mutex_lock(&lock);
    const char *path = (flags & (O_CREAT | O_TRUNC)) != 0 ? path_at(dir_fd, name, buffer) : NULL;
    struct stat before;
    bool there = path != NULL && fstatat(dir_fd, name, &before, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = (int)syscall(SYS_openat, dir_fd, name, flags, mode);
    int reason = errno;
    struct stat info;
    if (fd >= 0 && path != NULL && fstat(fd, &info) == 0) {
        if (!there)
            put('C', new_number(info.st_ino), 0, path, "", NULL, 0);
        else if ((flags & O_TRUNC) != 0 && before.st_size > 0)
            put('T', number_of(&info, path), 0, "", "", NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = reason;
    return fd;
}

#define OPEN_MODE(flags, mode)                                                                     \
    mode_t mode = 0;                                                                               \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                                  \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }

int open(const char *name, int flags, ...)
{
    OPEN_MODE(flags, mode)
    return do_open(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    OPEN_MODE(flags, mode)
    return do_open(AT_FDCWD, name, flags, mode);
}

int openat(int dir_fd, const char *name, int flags, ...)
{
    OPEN_MODE(flags, mode)
    return do_open(dir_fd, name, flags, mode);
}

int openat64(int dir_fd, const char *name, int flags, ...)
{
    OPEN_MODE(flags, mode)
    return do_open(dir_fd, name, flags, mode);
}

/* ---- content ---- */

static ssize_t do_write(int fd, const void *bytes, size_t len, int64_t offset)
{
    char buffer[PATH_BYTES];
    const char *path = NULL;
    pthread_mutex_lock(&lock);
    uint64_t file = tracked(fd, buffer, &path);
    int64_t at = offset;
    if (file != 0 && offset < 0)
        at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = offset < 0 ? syscall(SYS_write, fd, bytes, len)
                              : syscall(SYS_pwrite64, fd, bytes, len, offset);
    int reason = errno;
    if (file != 0 && done > 0)
        put('W', file, (uint64_t)at, "", "", bytes, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = reason;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    return root_len == 0 ? syscall(SYS_write, fd, bytes, len) : do_write(fd, bytes, len, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return do_write(fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
    return do_write(fd, bytes, len, offset);
}

static int do_truncate(int fd, int64_t size)
{
    char buffer[PATH_BYTES];
    const char *path = NULL;
    pthread_mutex_lock(&lock);
    uint64_t file = tracked(fd, buffer, &path);
    int result = (int)syscall(SYS_ftruncate, fd, size);
    int reason = errno;
    if (file != 0 && result == 0)
        put('T', file, (uint64_t)size, "", "", NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = reason;
    return result;
}

int ftruncate(int fd, off_t size)
{
    return do_truncate(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return do_truncate(fd, size);
}

/* ---- syncs ---- */

static int do_sync(long call, int fd)
{
    char buffer[PATH_BYTES];
    const char *path = NULL;
    pthread_mutex_lock(&lock);
    uint64_t file = tracked(fd, buffer, &path);
    int result = (int)syscall(call, fd);
    int reason = errno;
    if (file != 0 && result == 0)
        put('S', file, 0, "", "", NULL, 0);
    else if (path != NULL && result == 0)
        put('D', 0, 0, path, "", NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = reason;
    return result;
}

int fsync(int fd)
{
    return do_sync(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return do_sync(SYS_fdatasync, fd);
}

/* ---- names ---- */

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    char buffer[PATH_BYTES];
    pthread_mutex_lock(&lock);
    const char *path = path_at(to_fd, to, buffer);
    int result = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    int reason = errno;
    if (path != NULL && result == 0)
        put('L', number_at(to_fd, to, path), 0, path, "", NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = reason;
    return result;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    char buffer[PATH_BYTES], second[PATH_BYTES];
    pthread_mutex_lock(&lock);
    const char *path = path_at(from_fd, from, buffer), *target = path_at(to_fd, to, second);
    int result = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
    int reason = errno;
    if (path != NULL && target != NULL && result == 0)
        put('R', number_at(to_fd, to, target), 0, path, target, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = reason;
    return result;
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int dir_fd, const char *name, int flags)
{
    char buffer[PATH_BYTES];
    pthread_mutex_lock(&lock);
    const char *path = path_at(dir_fd, name, buffer);
    int result = (int)syscall(SYS_unlinkat, dir_fd, name, flags);
    int reason = errno;
    if (path != NULL && result == 0)
        put((flags & AT_REMOVEDIR) != 0 ? 'X' : 'U', 0, 0, path, "", NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = reason;
    return result;
}

int unlink(const char *name)
{
    return unlinkat(AT_FDCWD, name, 0);
}

int rmdir(const char *name)
{
    return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int mkdirat(int dir_fd, const char *name, mode_t mode)
{
    char buffer[PATH_BYTES];
    pthread_mutex_lock(&lock);
    const char *path = path_at(dir_fd, name, buffer);
    int result = (int)syscall(SYS_mkdirat, dir_fd, name, mode);
    int reason = errno;
    if (path != NULL && result == 0)
        put('M', 0, 0, path, "", NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = reason;
    return result;
}

int mkdir(const char *name, mode_t mode)
{
    return mkdirat(AT_FDCWD, name, mode);
}
