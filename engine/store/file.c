/* The file: checkpoint store: a directory.
 *
 * put_if_absent is what the engine's safety rests on. A rename would overwrite, and O_EXCL would
 * show a name before its bytes are there; so the bytes go to a synced temporary file, which is then
 * linked to the name. link fails if the name exists, and what it makes is whole. replace renames
 * the temporary file.
 *
 *      temp: write, fsync  ->  link / rename  ->  fsync directory  ->  OK
 *
 * What a reader finds must be as durable as if it had written it itself: it may have been left by a
 * process that died before its fsync of the directory, and decisions are built on it. So open syncs
 * every directory once, and put_if_absent syncs the directory before it says EXISTS.
 *
 * Names are checked and opened part by part without following symbolic links: a store never
 * reaches outside its directory. Directories below the first level (state/N.RUN) go with their
 * last file; a writer that loses its directory that way makes it again. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_BYTES ((size_t)1 << 30)
#define MAX_PUT_TRIES 8

/* ---- names and directories ---- */

static rmq_status check_name(const mill_file_store *store, const char *name, rmq_error *err)
{
    size_t len = strlen(name);
    bool good = len > 0 && len <= MILL_STORE_NAME_BYTES && name[len - 1] != '/';
    int depth = 0;
    for (size_t i = 0; good && i < len; i++) {
        bool first = i == 0 || name[i - 1] == '/';
        if (first)
            good = name[i] != '/' && name[i] != '.' && ++depth <= MILL_STORE_DEPTH;
        else
            good = !(name[i] == '.' && name[i - 1] == '.');
        good = good && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/",
                              name[i]) != NULL;
    }
    if (!good)
        return rmq_error_set(err, RMQ_INVAL, "checkpoint %s: bad name \"%.80s\"", store->path,
                             name);
    return RMQ_OK;
}

static rmq_status check_write_name(const mill_file_store *store, const char *name, rmq_error *err)
{
    if (strcmp(name, MILL_LOCK_NAME) == 0)
        return rmq_error_set(err, RMQ_INVAL, "checkpoint %s: \"lock\" is written by lock only",
                             store->path);
    return check_name(store, name, err);
}

static void close_dir(const mill_file_store *store, int dir_fd)
{
    if (dir_fd >= 0 && dir_fd != store->root_fd)
        close(dir_fd);
}

/* Makes `name` in dir_fd, durable. It may exist: then another process made it a moment ago. */
static int make_dir(int dir_fd, const char *name)
{
    if (mkdirat(dir_fd, name, 0700) != 0 && errno != EEXIST)
        return errno;
    return mill_fd_sync(dir_fd);
}

/* Opens the directory that `name` is in, and says where its last part begins. Returns 0 or errno;
 * *out_dir_fd is for close_dir. */
static int open_parent(const mill_file_store *store, const char *name, bool create, int *out_dir_fd,
                       const char **out_leaf)
{
    int dir_fd = store->root_fd;
    const char *slash;
    while ((slash = strchr(name, '/')) != NULL) {
        char part[MILL_STORE_NAME_BYTES + 1];
        size_t len = (size_t)(slash - name);
        memcpy(part, name, len);
        part[len] = '\0';
        int next_fd = mill_fd_openat(dir_fd, part, MILL_STORE_DIR_FLAGS, 0);
        int reason = next_fd < 0 ? errno : 0;
        if (reason == ENOENT && create) {
            reason = make_dir(dir_fd, part);
            if (reason == 0) {
                next_fd = mill_fd_openat(dir_fd, part, MILL_STORE_DIR_FLAGS, 0);
                reason = next_fd < 0 ? errno : 0;
            }
        }
        close_dir(store, dir_fd);
        if (reason != 0)
            return reason;
        dir_fd = next_fd;
        name = slash + 1;
    }
    *out_dir_fd = dir_fd;
    *out_leaf = name;
    return 0;
}

/* ---- writing ---- */

/* Whether `leaf` is the very file `fd`: over NFS a link that was made may be answered EEXIST, since
 * the first answer was lost. */
static bool is_same_file(int dir_fd, const char *leaf, int fd)
{
    struct stat ours;
    struct stat named;
    return fstat(fd, &ours) == 0 && fstatat(dir_fd, leaf, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Gives the temporary file its name in `dir_fd`. Returns 0 or errno. */
static int publish(const mill_file_store *store, const mill_temp_file *temp, int dir_fd,
                   const char *leaf, bool replace)
{
    if (replace)
        return renameat(store->root_fd, temp->name, dir_fd, leaf) == 0 ? 0 : errno;
    if (linkat(store->root_fd, temp->name, dir_fd, leaf, 0) == 0)
        return 0;
    int reason = errno;
    return reason == EEXIST && is_same_file(dir_fd, leaf, temp->fd) ? 0 : reason;
}

static bool is_no_hard_links(int reason)
{
    return reason == EPERM || reason == EOPNOTSUPP || reason == ENOSYS || reason == EMLINK;
}

static rmq_status refuse_no_links(const mill_file_store *store, int reason, rmq_error *err)
{
    rmq_error_set_errno(err, reason,
                        "checkpoint %s: its file system has no hard links, which a checkpoint "
                        "needs; put it on a local disk (ext4, xfs, btrfs, tmpfs)",
                        store->path);
    if (err != NULL)
        err->status = RMQ_UNSUPPORTED;
    return RMQ_UNSUPPORTED;
}

/* One try to write; ENOENT means that the directory or the temporary file was taken from under us,
 * by another process's clean-up. */
static int put_once(const mill_file_store *store, const char *name, const mill_temp_file *temp,
                    bool replace)
{
    int dir_fd = -1;
    const char *leaf = NULL;
    int reason = open_parent(store, name, true, &dir_fd, &leaf);
    if (reason != 0)
        return reason;
    reason = publish(store, temp, dir_fd, leaf, replace);
    if (reason == 0 || reason == EEXIST) {
        int sync_reason = mill_fd_sync(dir_fd);
        if (sync_reason != 0)
            reason = sync_reason;
    }
    close_dir(store, dir_fd);
    return reason;
}

static rmq_status put(const mill_file_store *store, const char *name, rmq_slice bytes, bool replace,
                      rmq_error *err)
{
    rmq_status status = check_write_name(store, name, err);
    if (status != RMQ_OK)
        return status;
    int reason = ENOENT;
    for (int tries = 0; reason == ENOENT && tries < MAX_PUT_TRIES; tries++) {
        mill_temp_file temp = {.fd = -1};
        status = mill_temp_write(store, bytes, &temp, err);
        if (status != RMQ_OK) {
            rmq_error_wrap(err, "%s", name);
            return status;
        }
        reason = put_once(store, name, &temp, replace);
        mill_temp_discard(store, &temp);
    }
    if (reason == 0)
        return RMQ_OK;
    if (reason == EEXIST && !replace)
        return rmq_error_set(err, RMQ_EXISTS, "checkpoint %s: %s is there already", store->path,
                             name);
    if (!replace && is_no_hard_links(reason))
        return refuse_no_links(store, reason, err);
    return rmq_error_set_errno(err, reason, "checkpoint %s: cannot write %s", store->path, name);
}

static rmq_status file_put_if_absent(void *self, const char *name, rmq_slice bytes, rmq_error *err)
{
    return put(self, name, bytes, false, err);
}

static rmq_status file_replace(void *self, const char *name, rmq_slice bytes, rmq_error *err)
{
    return put(self, name, bytes, true, err);
}

/* Removes the directories that `name` was the last file of, but for the first level. */
static void prune_dirs(const mill_file_store *store, const char *name)
{
    char path[MILL_STORE_NAME_BYTES + 1];
    snprintf(path, sizeof(path), "%s", name);
    const char *first = strchr(path, '/');
    char *last;
    while ((last = strrchr(path, '/')) != first) {
        *last = '\0';
        if (unlinkat(store->root_fd, path, AT_REMOVEDIR) != 0)
            return; /* others are in it */
    }
}

static rmq_status file_remove(void *self, const char *name, rmq_error *err)
{
    const mill_file_store *store = self;
    rmq_status status = check_write_name(store, name, err);
    if (status != RMQ_OK)
        return status;
    int dir_fd = -1;
    const char *leaf = NULL;
    int reason = open_parent(store, name, false, &dir_fd, &leaf);
    if (reason == 0) {
        if (unlinkat(dir_fd, leaf, 0) != 0)
            reason = errno;
        if (reason == 0)
            reason = mill_fd_sync(dir_fd);
        close_dir(store, dir_fd);
    }
    if (reason == ENOENT)
        return RMQ_OK;
    if (reason != 0)
        return rmq_error_set_errno(err, reason, "checkpoint %s: cannot remove %s", store->path,
                                   name);
    prune_dirs(store, name);
    return RMQ_OK;
}

/* ---- reading ---- */

static rmq_status read_whole(const mill_file_store *store, const char *name, int fd,
                             char **out_bytes, size_t *out_len, rmq_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return rmq_error_set_errno(err, errno, "checkpoint %s: cannot read %s", store->path, name);
    if (!S_ISREG(info.st_mode))
        return rmq_error_set(err, RMQ_CORRUPT, "checkpoint %s: %s is not a file", store->path,
                             name);
    if (info.st_size < 0 || (uint64_t)info.st_size > MAX_FILE_BYTES)
        return rmq_error_set(err, RMQ_CORRUPT, "checkpoint %s: %s has %lld bytes > max %zu",
                             store->path, name, (long long)info.st_size, MAX_FILE_BYTES);
    size_t size = (size_t)info.st_size;
    char *bytes = rmq_malloc(size + 1);
    if (bytes == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "checkpoint %s: no memory for the %zu bytes of %s",
                             store->path, size, name);
    size_t len = 0;
    int reason = mill_fd_read(fd, bytes, size, &len);
    if (reason != 0) {
        rmq_free(bytes);
        return rmq_error_set_errno(err, reason, "checkpoint %s: cannot read %s", store->path, name);
    }
    bytes[len] = '\0';
    *out_bytes = bytes;
    *out_len = len;
    return RMQ_OK;
}

static rmq_status file_get(void *self, const char *name, char **out_bytes, size_t *out_len,
                           rmq_error *err)
{
    const mill_file_store *store = self;
    rmq_status status = check_name(store, name, err);
    if (status != RMQ_OK)
        return status;
    int dir_fd = -1;
    const char *leaf = NULL;
    int fd = -1;
    int reason = open_parent(store, name, false, &dir_fd, &leaf);
    if (reason == 0) {
        /* O_NONBLOCK: a FIFO in a hostile directory must not hang us */
        fd = mill_fd_openat(dir_fd, leaf, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
        reason = fd < 0 ? errno : 0;
        close_dir(store, dir_fd);
    }
    if (reason == ENOENT)
        return rmq_error_set(err, RMQ_NOT_FOUND, "checkpoint %s: there is no %s", store->path,
                             name);
    if (reason != 0)
        return rmq_error_set_errno(err, reason, "checkpoint %s: cannot open %s", store->path, name);
    status = read_whole(store, name, fd, out_bytes, out_len, err);
    close(fd);
    return status;
}

static rmq_status file_list(void *self, const char *prefix,
                            rmq_status (*each)(const char *name, void *ctx), void *ctx,
                            rmq_error *err)
{
    const mill_file_store *store = self;
    int fd = -1;
    int reason = 0;
    if (prefix == NULL || prefix[0] == '\0') {
        fd = mill_fd_openat(store->root_fd, ".", MILL_STORE_DIR_FLAGS, 0);
        reason = fd < 0 ? errno : 0;
    } else {
        rmq_status status = check_name(store, prefix, err);
        if (status != RMQ_OK)
            return status;
        int dir_fd = -1;
        const char *leaf = NULL;
        reason = open_parent(store, prefix, false, &dir_fd, &leaf);
        if (reason == 0) {
            fd = mill_fd_openat(dir_fd, leaf, MILL_STORE_DIR_FLAGS, 0);
            reason = fd < 0 ? errno : 0;
            close_dir(store, dir_fd);
        }
    }
    if (reason == ENOENT)
        return RMQ_OK;
    if (reason != 0)
        return rmq_error_set_errno(err, reason, "checkpoint %s: cannot list %s", store->path,
                                   prefix);
    return mill_store_walk(store, fd, each, ctx, err);
}

/* ---- opening ---- */

static void file_close(void *self)
{
    mill_file_store *store = self;
    if (store == NULL)
        return;
    if (store->lock_fd >= 0)
        close(store->lock_fd); /* and with it the flock */
    if (store->root_fd >= 0)
        close(store->root_fd);
    rmq_free(store->path);
    rmq_free(store);
}

static const mill_store_vtable file_vtable = {
    .struct_size = sizeof(mill_store_vtable),
    .scheme = "file",
    .put_if_absent = file_put_if_absent,
    .replace = file_replace,
    .get = file_get,
    .list = file_list,
    .remove = file_remove,
    .lock = mill_file_lock,
    .close = file_close,
};

/* Makes one directory; its parent is synced. */
static rmq_status make_root_level(const char *path, rmq_error *err)
{
    if (mkdir(path, 0700) != 0) {
        if (errno == EEXIST)
            return RMQ_OK;
        return rmq_error_set_errno(err, errno, "checkpoint: cannot make the directory %s", path);
    }
    int fd = mill_fd_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int parent_fd = fd >= 0 ? mill_fd_openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) : -1;
    int reason = parent_fd >= 0 ? mill_fd_sync(parent_fd) : errno;
    if (fd >= 0)
        close(fd);
    if (parent_fd >= 0)
        close(parent_fd);
    return reason == 0 ? RMQ_OK
                       : rmq_error_set_errno(err, reason,
                                             "checkpoint: cannot make the "
                                             "directory %s",
                                             path);
}

/* Makes the directory and those above it that are missing. */
static rmq_status make_root(const char *path, rmq_error *err)
{
    struct stat info;
    if (stat(path, &info) == 0)
        return RMQ_OK;
    char *copy = rmq_strdup(path);
    if (copy == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "checkpoint %s: out of memory", path);
    rmq_status status = RMQ_OK;
    for (char *slash = strchr(copy + 1, '/'); status == RMQ_OK && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (stat(copy, &info) != 0)
            status = make_root_level(copy, err);
        *slash = '/';
    }
    if (status == RMQ_OK)
        status = make_root_level(copy, err);
    rmq_free(copy);
    return status;
}

/* Links the temporary file twice to one name. Returns 0 if the second was refused, errno if the
 * first was, -1 if both were done. */
static int link_twice(const mill_file_store *store, const mill_temp_file *temp)
{
    char name[sizeof(temp->name) + 8];
    snprintf(name, sizeof(name), "%s-probe", temp->name);
    if (linkat(store->root_fd, temp->name, store->root_fd, name, 0) != 0)
        return errno;
    bool overwrites = linkat(store->root_fd, temp->name, store->root_fd, name, 0) == 0;
    int reason = overwrites ? -1 : errno == EEXIST ? 0 : errno;
    unlinkat(store->root_fd, name, 0);
    return reason;
}

/* Shows that put-if-absent works here. */
static rmq_status probe(const mill_file_store *store, rmq_error *err)
{
    int reason = ENOENT; /* another process's sweep took the file */
    for (int tries = 0; reason == ENOENT && tries < MAX_PUT_TRIES; tries++) {
        mill_temp_file temp = {.fd = -1};
        rmq_status status = mill_temp_write(store, RMQ_SLICE_LITERAL("probe\n"), &temp, err);
        if (status != RMQ_OK)
            return status;
        reason = link_twice(store, &temp);
        mill_temp_discard(store, &temp);
    }
    if (reason == 0)
        return RMQ_OK;
    if (reason == -1)
        return rmq_error_set(err, RMQ_UNSUPPORTED,
                             "checkpoint %s: its file system lets a link replace a file; put it "
                             "on a local disk (ext4, xfs, btrfs, tmpfs)",
                             store->path);
    if (is_no_hard_links(reason))
        return refuse_no_links(store, reason, err);
    return rmq_error_set_errno(err, reason, "checkpoint %s: cannot link a file", store->path);
}

/* Sweeps, probes, and makes durable what an earlier process left. */
static rmq_status prepare_root(const mill_file_store *store, rmq_error *err)
{
    mill_temp_sweep(store);
    rmq_status status = probe(store, err);
    if (status != RMQ_OK)
        return status;
    int fd = mill_fd_openat(store->root_fd, ".", MILL_STORE_DIR_FLAGS, 0);
    if (fd < 0)
        return rmq_error_set_errno(err, errno, "checkpoint %s: cannot open it", store->path);
    return mill_store_walk(store, fd, NULL, NULL, err);
}

static rmq_status open_root(mill_file_store *store, const char *path, bool create, rmq_error *err)
{
    rmq_status status = create ? make_root(path, err) : RMQ_OK;
    if (status != RMQ_OK)
        return status;
    store->root_fd = mill_fd_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (store->root_fd < 0 && errno == ENOENT)
        return rmq_error_set(err, RMQ_NOT_FOUND, "checkpoint %s: there is no such directory", path);
    if (store->root_fd < 0 && errno == ENOTDIR)
        return rmq_error_set(err, RMQ_INVAL, "checkpoint %s: it is not a directory", path);
    if (store->root_fd < 0)
        return rmq_error_set_errno(err, errno, "checkpoint %s: cannot open it", path);
    store->path = rmq_strdup(path);
    if (store->path == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "checkpoint %s: out of memory", path);
    return create ? prepare_root(store, err) : RMQ_OK;
}

rmq_status mill_file_store_open(const char *path, bool create, mill_store *out_store,
                                rmq_error *err)
{
    if (path[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "checkpoint: its path is empty");
    mill_file_store *store = rmq_calloc(1, sizeof(*store));
    if (store == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "checkpoint %s: out of memory", path);
    store->root_fd = -1;
    store->lock_fd = -1;
    rmq_status status = open_root(store, path, create, err);
    if (status != RMQ_OK) {
        file_close(store);
        return status;
    }
    *out_store = (mill_store){.vtable = &file_vtable, .self = store};
    return RMQ_OK;
}
