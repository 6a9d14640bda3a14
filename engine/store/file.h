/* The inside of the file: store, shared by its files: file.c (the store's operations),
 * file_temp.c (synced temporary files), file_walk.c (directories) and file_lock.c (the lock). */
#ifndef MILL_STORE_FILE_H
#define MILL_STORE_FILE_H

#include <mill/store.h>
#include <sys/types.h>

typedef struct mill_file_store {
    char *path;  /* as the user gave it, for messages */
    int root_fd; /* the directory; everything is opened relative to it */
    int lock_fd; /* the lock file that we hold, -1: none */
} mill_file_store;

#define MILL_STORE_NAME_BYTES 512
#define MILL_STORE_DEPTH 16
#define MILL_STORE_DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define MILL_LOCK_NAME "lock"
#define MILL_TEMP_PREFIX ".tmp-"

/* Opens the directory at `path` as a store. Errors: INVAL, NOT_FOUND, IO, UNSUPPORTED, NOMEM. */
RMQ_MUST_CHECK rmq_status mill_file_store_open(const char *path, bool create, mill_store *out_store,
                                               rmq_error *err);

/* A synced file below the root that no reader looks at. */
typedef struct mill_temp_file {
    int fd; /* holds a flock as long as it is open: an open temporary file is not swept */
    char name[64];
} mill_temp_file;

/* Writes and syncs `bytes`. On failure nothing is left. Errors: FULL, IO. */
RMQ_MUST_CHECK rmq_status mill_temp_write(const mill_file_store *store, rmq_slice bytes,
                                          mill_temp_file *out_temp, rmq_error *err);
/* Closes and unlinks it; a file that was linked elsewhere stays there. */
void mill_temp_discard(const mill_file_store *store, mill_temp_file *temp);
/* Removes the temporary files that dead processes left in the root. */
void mill_temp_sweep(const mill_file_store *store);
/* openat, with EINTR handled. */
int mill_fd_openat(int dir_fd, const char *path, int flags, mode_t mode);
/* fsync, with EINTR handled. Returns 0 or errno. */
int mill_fd_sync(int fd);
/* Reads up to `capacity` bytes from the start of a file. Returns 0 or errno. */
int mill_fd_read(int fd, char *out_bytes, size_t capacity, size_t *out_len);

/* Calls `each` for every file below the directory `take_fd`, which is closed; without `each` syncs
 * every directory instead. */
RMQ_MUST_CHECK rmq_status mill_store_walk(const mill_file_store *store, int take_fd,
                                          rmq_status (*each)(const char *name, void *ctx),
                                          void *ctx, rmq_error *err);

rmq_status mill_file_lock(void *self, const char *owner, bool take_over, rmq_error *err);

#endif
