/* In front of SQLite: its functions by the linker; its memory and the system calls of its file
 * layer by SQLite's own hooks. */
#include "fault_calls.h"
#include "fault_wraps.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/types.h>
#include <unistd.h>

typedef const char **tail;
FAULT_WRAP(int, sqlite3_prepare_v3,
           (sqlite3 * db, const char *sql, int len, unsigned flags, sqlite3_stmt **out, tail rest),
           (db, sql, len, flags, out, rest), sqlite3_prepare, return way->reason)
FAULT_WRAP(int, sqlite3_step, (sqlite3_stmt * statement), (statement), sqlite3_step,
           return way->reason)
FAULT_WRAP(int, sqlite3_bind_int64, (sqlite3_stmt * statement, int at, sqlite3_int64 value),
           (statement, at, value), sqlite3_bind, return way->reason)
FAULT_WRAP(int, sqlite3_bind_text,
           (sqlite3_stmt * statement, int at, const char *text, int len, void (*done)(void *)),
           (statement, at, text, len, done), sqlite3_bind, return way->reason)
FAULT_WRAP(int, sqlite3_bind_text64,
           (sqlite3_stmt * statement, int at, const char *text, sqlite3_uint64 len,
            void (*done)(void *), unsigned char encoding),
           (statement, at, text, len, done, encoding), sqlite3_bind, return way->reason)
FAULT_WRAP(const unsigned char *, sqlite3_column_text, (sqlite3_stmt * statement, int at),
           (statement, at), sqlite3_column_text, return NULL)

/* A database is handed out even if it could not be opened. */
int __real_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs)
{
    const fault_way *way = fault_strikes(FAULT_CALL_sqlite3_open);
    if (way != NULL && way->reason == SQLITE_NOMEM) {
        *db = NULL;
        return SQLITE_NOMEM;
    }
    int code = __real_sqlite3_open_v2(path, db, flags, vfs);
    return way != NULL ? way->reason : code;
}

typedef int (*row_fn)(void *, int, char **, char **);
int __real_sqlite3_exec(sqlite3 *db, const char *sql, row_fn row, void *ctx, char **text);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, row_fn row, void *ctx, char **text);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, row_fn row, void *ctx, char **text)
{
    const fault_way *way = fault_strikes(FAULT_CALL_sqlite3_exec);
    if (way != NULL && way->effect == FAULT_FAIL)
        return way->reason;
    int code = __real_sqlite3_exec(db, sql, row, ctx, text);
    return way != NULL ? way->reason : code;
}

/* ---- memory ---- */

static sqlite3_mem_methods memory;

static void *sqlite_malloc(int len)
{
    return fault_strikes(FAULT_CALL_sqlite_malloc) != NULL ? NULL : memory.xMalloc(len);
}

static void *sqlite_realloc(void *block, int len)
{
    return fault_strikes(FAULT_CALL_sqlite_malloc) != NULL ? NULL : memory.xRealloc(block, len);
}

/* ---- files ---- */

static int file_open(const char *path, int flags, int mode)
{
    return fault_strikes(FAULT_CALL_sqlite_file_open) != NULL ? -1 : open(path, flags, mode);
}

static ssize_t file_read(int fd, void *data, size_t len, off64_t at)
{
    return fault_strikes(FAULT_CALL_sqlite_file_read) != NULL ? -1 : pread(fd, data, len, at);
}

static ssize_t file_write(int fd, const void *data, size_t len, off64_t at)
{
    const fault_way *way = fault_strikes(FAULT_CALL_sqlite_file_write);
    if (way != NULL && way->effect == FAULT_FAIL)
        return -1;
    ssize_t written = pwrite(fd, data, len, at);
    if (way == NULL)
        return written;
    errno = way->reason;
    return -1;
}

static int file_truncate(int fd, off64_t len)
{
    return fault_strikes(FAULT_CALL_sqlite_file_truncate) != NULL ? -1 : ftruncate(fd, len);
}

static int file_unlink(const char *path)
{
    return fault_strikes(FAULT_CALL_sqlite_file_unlink) != NULL ? -1 : unlink(path);
}

typedef int (*fcntl_fn)(int, int, ...);
static fcntl_fn real_fcntl;

/* Only locks, which carry a pointer. */
static int file_control(int fd, int command, void *argument)
{
    bool sets = command == F_SETLK;
    if (sets && ((const struct flock *)argument)->l_type != F_UNLCK &&
        fault_strikes(FAULT_CALL_sqlite_file_lock) != NULL)
        return -1;
    return real_fcntl(fd, command, argument);
}

static void replace(sqlite3_vfs *vfs, const char *name, sqlite3_syscall_ptr call)
{
    if (vfs->xGetSystemCall(vfs, name) != NULL)
        vfs->xSetSystemCall(vfs, name, call);
}

void fault_wrap_sqlite(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
    sqlite3_mem_methods own = memory;
    own.xMalloc = sqlite_malloc;
    own.xRealloc = sqlite_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &own);
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    real_fcntl = (fcntl_fn)vfs->xGetSystemCall(vfs, "fcntl");
    replace(vfs, "open", (sqlite3_syscall_ptr)file_open);
    replace(vfs, "pread64", (sqlite3_syscall_ptr)file_read);
    replace(vfs, "pread", (sqlite3_syscall_ptr)file_read);
    replace(vfs, "pwrite64", (sqlite3_syscall_ptr)file_write);
    replace(vfs, "pwrite", (sqlite3_syscall_ptr)file_write);
    replace(vfs, "ftruncate", (sqlite3_syscall_ptr)file_truncate);
    replace(vfs, "unlink", (sqlite3_syscall_ptr)file_unlink);
    replace(vfs, "fcntl", (sqlite3_syscall_ptr)file_control);
}
