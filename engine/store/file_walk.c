/* Walking through the directories of a file: store.
 *
 * Two want it: list, which calls back for every file, and open, which syncs every directory. Links,
 * devices and whatever begins with a dot are passed over: no name of a store does. A directory that
 * goes away meanwhile is empty. The depth has a cap, so that a hostile tree can't exhaust the
 * stack or the file descriptors. */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A walk through the directories of a store: calls `each` for files, or syncs directories. */
typedef struct dir_walk {
    const mill_file_store *store;
    rmq_status (*each)(const char *name, void *ctx); /* NULL: only sync */
    void *ctx;
    char name[MILL_STORE_NAME_BYTES + 1]; /* of the entry, relative to where the walk began */
} dir_walk;

/* 'f' a file, 'd' a directory, 0 neither. */
static char entry_kind(DIR *dir, const struct dirent *entry)
{
    if (entry->d_type == DT_REG)
        return 'f';
    if (entry->d_type == DT_DIR)
        return 'd';
    struct stat info;
    if (entry->d_type != DT_UNKNOWN ||
        fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    return S_ISREG(info.st_mode) ? 'f' : S_ISDIR(info.st_mode) ? 'd' : 0;
}

static rmq_status walk_dir(dir_walk *walk, int take_fd, size_t name_len, int depth, rmq_error *err);

static rmq_status walk_entry(dir_walk *walk, DIR *dir, const struct dirent *entry, size_t name_len,
                             int depth, rmq_error *err)
{
    char kind = entry_kind(dir, entry);
    size_t len = strlen(entry->d_name);
    if (entry->d_name[0] == '.' || kind == 0 || name_len + len + 2 > sizeof(walk->name))
        return RMQ_OK;
    memcpy(walk->name + name_len, entry->d_name, len + 1);
    if (kind == 'f')
        return walk->each != NULL ? walk->each(walk->name, walk->ctx) : RMQ_OK;
    int fd = mill_fd_openat(dirfd(dir), entry->d_name, MILL_STORE_DIR_FLAGS, 0);
    if (fd < 0 && errno == ENOENT)
        return RMQ_OK;
    if (fd < 0)
        return rmq_error_set_errno(err, errno, "checkpoint %s: cannot read %s", walk->store->path,
                                   walk->name);
    memcpy(walk->name + name_len + len, "/", 2);
    return walk_dir(walk, fd, name_len + len + 1, depth + 1, err);
}

static rmq_status walk_dir(dir_walk *walk, int take_fd, size_t name_len, int depth, rmq_error *err)
{
    rmq_status status = RMQ_OK;
    int reason = walk->each == NULL ? mill_fd_sync(take_fd) : 0;
    DIR *dir = reason == 0 && depth <= MILL_STORE_DEPTH ? fdopendir(take_fd) : NULL;
    if (dir == NULL) {
        if (reason == 0)
            reason = depth <= MILL_STORE_DEPTH ? errno : ELOOP;
        close(take_fd);
        return rmq_error_set_errno(err, reason, "checkpoint %s: cannot read the directory %.*s",
                                   walk->store->path, (int)name_len, walk->name);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL)
            break;
        status = walk_entry(walk, dir, entry, name_len, depth, err);
        if (status != RMQ_OK)
            break;
    }
    if (status == RMQ_OK && errno != 0)
        status = rmq_error_set_errno(err, errno, "checkpoint %s: cannot read the directory %.*s",
                                     walk->store->path, (int)name_len, walk->name);
    closedir(dir);
    return status;
}

rmq_status mill_store_walk(const mill_file_store *store, int take_fd,
                           rmq_status (*each)(const char *name, void *ctx), void *ctx,
                           rmq_error *err)
{
    dir_walk walk = {.store = store, .each = each, .ctx = ctx};
    return walk_dir(&walk, take_fd, 0, 0, err);
}
