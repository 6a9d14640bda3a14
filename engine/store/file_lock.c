/* The lock of a file: store: a file `lock` with a flock and a line that says who holds it.
 *
 * The flock goes away with its process, so a lock is never stale. The line is there to be shown.
 * It is never written in place: whoever gets the flock writes a new file with its line, locks that
 * (temporary files are locked from birth) and renames it to `lock`. So the line is whole, and
 * taking over from a process that does not let go is the same step without waiting for the old
 * flock: the old process keeps its lock on a file that has no name any more.
 *
 * Because the file changes under its name, who gets a flock looks whether its file still has the
 * name, and starts over if not.
 *
 * Only a courtesy: two take-overs at once may both succeed, and flock may do nothing on a network
 * file system. Who owns a checkpoint is decided by its epochs, not here. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_OWNER_BYTES 320
#define MAX_TRIES 100

/* The owner's line, made safe to print. */
static void read_owner(int fd, char *out_text, size_t capacity)
{
    size_t len = 0;
    if (mill_fd_read(fd, out_text, capacity - 1, &len) != 0)
        len = 0;
    out_text[len] = '\0';
    out_text[strcspn(out_text, "\n")] = '\0';
    for (char *at = out_text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    }
    if (out_text[0] == '\0')
        snprintf(out_text, capacity, "another process (it has not written its name yet)");
}

static bool still_named(const mill_file_store *store, int fd)
{
    struct stat ours;
    struct stat named;
    return fstat(fd, &ours) == 0 &&
           fstatat(store->root_fd, MILL_LOCK_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Waits for nothing: LOCKED with the owner's line if somebody holds the lock. */
static rmq_status get_flock(const mill_file_store *store, int *out_fd, rmq_error *err)
{
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        int fd = mill_fd_openat(store->root_fd, MILL_LOCK_NAME,
                                O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
            return rmq_error_set_errno(err, errno, "checkpoint %s: cannot open its lock",
                                       store->path);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (still_named(store, fd)) {
                *out_fd = fd;
                return RMQ_OK;
            }
        } else if (errno == EWOULDBLOCK) {
            char owner[MAX_OWNER_BYTES];
            read_owner(fd, owner, sizeof(owner));
            close(fd);
            return rmq_error_set(err, RMQ_LOCKED, "checkpoint %s is held by %s", store->path,
                                 owner);
        } else if (errno != EINTR) {
            int reason = errno;
            close(fd);
            return rmq_error_set_errno(err, reason, "checkpoint %s: cannot lock it", store->path);
        }
        close(fd);
    }
    return rmq_error_set(err, RMQ_LOCKED, "checkpoint %s: its lock changes all the time",
                         store->path);
}

/* Replaces the lock file by one with our line, which we hold. */
static rmq_status install_lock(mill_file_store *store, const char *owner, rmq_error *err)
{
    char line[MAX_OWNER_BYTES + 2];
    int len = snprintf(line, sizeof(line), "%s\n", owner);
    mill_temp_file temp = {.fd = -1};
    rmq_status status = mill_temp_write(store, (rmq_slice){line, (size_t)len}, &temp, err);
    if (status != RMQ_OK)
        return status;
    int reason = 0;
    if (renameat(store->root_fd, temp.name, store->root_fd, MILL_LOCK_NAME) != 0)
        reason = errno;
    if (reason != 0) {
        mill_temp_discard(store, &temp);
        return rmq_error_set_errno(err, reason, "checkpoint %s: cannot write its lock",
                                   store->path);
    }
    store->lock_fd = temp.fd;
    return RMQ_OK;
}

rmq_status mill_file_lock(void *self, const char *owner, bool take_over, rmq_error *err)
{
    mill_file_store *store = self;
    if (store->lock_fd >= 0)
        return rmq_error_set(err, RMQ_INVAL, "checkpoint %s: it is locked by us already",
                             store->path);
    if (strlen(owner) > MAX_OWNER_BYTES || strchr(owner, '\n') != NULL)
        return rmq_error_set(err, RMQ_INVAL,
                             "checkpoint %s: the owner must be one line of up to "
                             "%d bytes",
                             store->path, MAX_OWNER_BYTES);
    int old_fd = -1;
    rmq_status status = get_flock(store, &old_fd, err);
    if (status == RMQ_LOCKED && take_over)
        status = RMQ_OK;
    if (status == RMQ_OK)
        status = install_lock(store, owner, err);
    if (old_fd >= 0)
        close(old_fd);
    return status;
}
