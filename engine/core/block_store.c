/* The block store: counts the memory of all blocks and keeps what is above the cap in one file.
 *
 * One file for all, since a batch may have thousands of blocks and file descriptors are few. It is
 * unlinked as soon as it is open, so that nothing is left whatever the process dies of. Ranges are
 * given out at its end; a range that is dropped is punched out of the file (where the file system
 * can), and when the last one goes, the file is cut to nothing and starts anew. So the disk holds
 * what is alive, and there is no free list.
 *
 * The lock guards the file's bookkeeping and is never held while bytes are written or read: ranges
 * do not overlap. */
#include "block_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct mill_block_store {
    atomic_size_t memory_bytes;
    size_t max_memory_bytes;
    char *directory;
    pthread_mutex_t lock; /* guards fd (once it is not -1, it stays), end, live_bytes */
    int fd;
    int64_t end;
    size_t live_bytes;
};

rmq_status mill_block_store_new(size_t max_memory_bytes, const char *spill_directory,
                                mill_block_store **out_store, rmq_error *err)
{
    if (spill_directory == NULL)
        spill_directory = getenv("TMPDIR");
    if (spill_directory == NULL || spill_directory[0] == '\0')
        spill_directory = "/tmp";
    mill_block_store *store = rmq_calloc(1, sizeof(*store));
    if (store == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the block store");
    store->directory = rmq_strdup(spill_directory);
    if (store->directory == NULL) {
        rmq_free(store);
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the block store");
    }
    atomic_init(&store->memory_bytes, 0);
    store->max_memory_bytes = max_memory_bytes;
    store->fd = -1;
    pthread_mutex_init(&store->lock, NULL);
    *out_store = store;
    return RMQ_OK;
}

void mill_block_store_free(mill_block_store *store)
{
    if (store == NULL)
        return;
    if (store->fd >= 0)
        close(store->fd);
    pthread_mutex_destroy(&store->lock);
    rmq_free(store->directory);
    rmq_free(store);
}

void mill_block_store_charge(mill_block_store *store, size_t size_bytes)
{
    atomic_fetch_add_explicit(&store->memory_bytes, size_bytes, memory_order_relaxed);
}

void mill_block_store_discharge(mill_block_store *store, size_t size_bytes)
{
    atomic_fetch_sub_explicit(&store->memory_bytes, size_bytes, memory_order_relaxed);
}

size_t mill_block_store_memory(const mill_block_store *store)
{
    return atomic_load_explicit(&store->memory_bytes, memory_order_relaxed);
}

bool mill_block_store_is_over(const mill_block_store *store)
{
    return mill_block_store_memory(store) > store->max_memory_bytes;
}

size_t mill_block_store_spilled(mill_block_store *store)
{
    pthread_mutex_lock(&store->lock);
    size_t live_bytes = store->live_bytes;
    pthread_mutex_unlock(&store->lock);
    return live_bytes;
}

size_t mill_block_store_cap(const mill_block_store *store)
{
    return store->max_memory_bytes;
}

static int open_unlinked(const char *directory)
{
    int fd;
    do {
        fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/millrace-spill-XXXXXX", directory);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* Gives out a range of the file, opening it if need be. -1: errno says why. */
static int range_take(mill_block_store *store, size_t len, int64_t *out_at)
{
    pthread_mutex_lock(&store->lock);
    if (store->fd < 0)
        store->fd = open_unlinked(store->directory);
    int fd = store->fd;
    int saved_errno = errno;
    if (fd >= 0) {
        *out_at = store->end;
        store->end += (int64_t)len;
        store->live_bytes += len;
    }
    pthread_mutex_unlock(&store->lock);
    errno = saved_errno;
    return fd;
}

void mill_block_store_drop(mill_block_store *store, int64_t at, size_t len)
{
    pthread_mutex_lock(&store->lock);
    store->live_bytes -= len;
    /* Under the lock: nobody may be given the start of the file before it is cut. Failing to give
     * disk back is no failure of the run. */
    if (store->live_bytes == 0) {
        if (ftruncate(store->fd, 0) == 0)
            store->end = 0;
    } else {
        (void)!fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)len);
    }
    pthread_mutex_unlock(&store->lock);
}

static rmq_status spill_failed(const mill_block_store *store, int os_errno, const char *what,
                               rmq_error *err)
{
    /* EFBIG: the process' or the file system's limit of a file's size */
    if (os_errno != EFBIG)
        return rmq_error_set_errno(err, os_errno, "%s the spill file in %s", what,
                                   store->directory);
    rmq_error_set(err, RMQ_FULL, "%s the spill file in %s: the largest file size is reached", what,
                  store->directory);
    if (err != NULL)
        err->os_errno = os_errno;
    return RMQ_FULL;
}

rmq_status mill_block_store_spill(mill_block_store *store, const char *bytes, size_t len,
                                  int64_t *out_at, rmq_error *err)
{
    int64_t at = 0;
    int fd = range_take(store, len, &at);
    if (fd < 0)
        return spill_failed(store, errno, "open", err);
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, bytes + done, len - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int os_errno = n == 0 ? ENOSPC : errno;
            mill_block_store_drop(store, at, len);
            return spill_failed(store, os_errno, "write", err);
        }
        done += (size_t)n;
    }
    *out_at = at;
    return RMQ_OK;
}

rmq_status mill_block_store_load(mill_block_store *store, int64_t at, char *out_bytes, size_t len,
                                 rmq_error *err)
{
    /* Who has a range has seen the file open, under the lock: fd no longer changes. */
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(store->fd, out_bytes + done, len - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return spill_failed(store, errno, "read", err);
        if (n == 0)
            return rmq_error_set(err, RMQ_CORRUPT, "the spill file in %s ends too early",
                                 store->directory);
        done += (size_t)n;
    }
    return RMQ_OK;
}
