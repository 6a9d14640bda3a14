/* Temporary files of the file: store, and the read and write loops.
 *
 * Whatever becomes visible in a store is first a temporary file in its root directory, written and
 * synced, so that a name never stands for half of its bytes: not when the process dies, not when
 * the disk fills up.
 *
 * A process that dies leaves its temporary file behind. Who opens the store sweeps such files, but
 * must not take one from under a process that still lives. So the writer holds a flock on its file:
 * the sweeper removes only what it can lock itself. Between the writer's open and its flock there
 * is a gap in which its file may be swept; the writer then finds it gone when it links it (ENOENT)
 * and writes another. */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define MAX_NAME_TRIES 16

int mill_fd_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    int fd;
    do {
        fd = openat(dir_fd, path, flags, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int mill_fd_sync(int fd)
{
    while (fsync(fd) != 0) {
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

static int write_all(int fd, rmq_slice bytes)
{
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t written = write(fd, bytes.data + done, bytes.len - done);
        if (written > 0)
            done += (size_t)written;
        else if (written == 0)
            return ENOSPC;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

int mill_fd_read(int fd, char *out_bytes, size_t capacity, size_t *out_len)
{
    size_t done = 0;
    while (done < capacity) {
        ssize_t got = pread(fd, out_bytes + done, capacity - done, (off_t)done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0)
            break;
        else if (errno != EINTR)
            return errno;
    }
    *out_len = done;
    return 0;
}

/* A new, empty, locked file under a name that nobody else uses. Returns 0 or errno. */
static int create_temp(const mill_file_store *store, mill_temp_file *temp)
{
    for (int tries = 0; tries < MAX_NAME_TRIES; tries++) {
        uint64_t random = 0;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
            continue;
        snprintf(temp->name, sizeof(temp->name), MILL_TEMP_PREFIX "%ld-%016llx", (long)getpid(),
                 (unsigned long long)random);
        temp->fd = mill_fd_openat(store->root_fd, temp->name,
                                  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (temp->fd < 0 && errno == EEXIST)
            continue;
        if (temp->fd < 0)
            return errno;
        while (flock(temp->fd, LOCK_EX) != 0) {
            if (errno != EINTR) {
                int reason = errno;
                mill_temp_discard(store, temp);
                return reason;
            }
        }
        return 0;
    }
    return EEXIST;
}

rmq_status mill_temp_write(const mill_file_store *store, rmq_slice bytes, mill_temp_file *out_temp,
                           rmq_error *err)
{
    mill_temp_file temp = {.fd = -1};
    int reason = create_temp(store, &temp);
    if (reason != 0)
        return rmq_error_set_errno(err, reason, "checkpoint %s: cannot create a file", store->path);
    reason = write_all(temp.fd, bytes);
    if (reason == 0)
        reason = mill_fd_sync(temp.fd);
    if (reason != 0) {
        mill_temp_discard(store, &temp);
        return rmq_error_set_errno(err, reason, "checkpoint %s: cannot write %zu bytes",
                                   store->path, bytes.len);
    }
    *out_temp = temp;
    return RMQ_OK;
}

void mill_temp_discard(const mill_file_store *store, mill_temp_file *temp)
{
    if (temp->fd < 0)
        return;
    unlinkat(store->root_fd, temp->name, 0);
    close(temp->fd);
    temp->fd = -1;
}

static void sweep_one(const mill_file_store *store, const char *name)
{
    int fd =
        mill_fd_openat(store->root_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(store->root_fd, name, 0);
    close(fd);
}

void mill_temp_sweep(const mill_file_store *store)
{
    int fd = mill_fd_openat(store->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return; /* what could not be swept does no harm but take room */
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, MILL_TEMP_PREFIX, strlen(MILL_TEMP_PREFIX)) == 0)
            sweep_one(store, entry->d_name);
    }
    closedir(dir);
}
