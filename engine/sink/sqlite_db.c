/* An SQLite database file: opening it carefully, and saying what is wrong with it.
 *
 * The file is looked at before SQLite sees it: SQLite would make a new one with the mode of the
 * umask, open what it can't write as read-only and fail much later, and say "unable to open
 * database file" for a directory. Nothing of the path is special to us: ":memory:" is a file.
 *
 * Durability: synchronous=EXTRA is FULL, and in a database that keeps a rollback journal it also
 * syncs the directory after the journal is gone. Without that a power loss could bring the journal
 * back and undo a commit that we have reported. In WAL mode both are the same.
 *
 * The journal mode of a database that exists is its owner's business. */
#include "sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- errors ---- */

/* `reason` is the errno behind an I/O error. */
static rmq_status status_of(int result, int reason)
{
    if (result == SQLITE_IOERR_NOMEM)
        return RMQ_NOMEM;
    if ((result & 0xff) == SQLITE_IOERR && (reason == ENOSPC || reason == EDQUOT))
        return RMQ_FULL; /* SQLite says so of the database, not of its shared memory */
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return RMQ_LOCKED;
    case SQLITE_FULL:
        return RMQ_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return RMQ_CORRUPT;
    case SQLITE_NOMEM:
        return RMQ_NOMEM;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return RMQ_IO;
    default:
        return RMQ_SINK;
    }
}

rmq_status mill_sqlite_error(const mill_sqlite_db *db, int result, const char *doing,
                             rmq_error *err)
{
    int reason = db->handle != NULL ? sqlite3_system_errno(db->handle) : 0;
    rmq_status status = status_of(result, reason);
    const char *text = db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(result);
    if (status == RMQ_LOCKED)
        rmq_error_set(err, status,
                      "database %s: cannot %s: locked by another program for %lld "
                      "ms; let that program end its transaction",
                      db->path, doing, (long long)db->busy_timeout_ms);
    else if (status == RMQ_FULL)
        rmq_error_set(err, status,
                      "database %s: cannot %s: the disk is full; make room and start again",
                      db->path, doing);
    else if ((result & 0xff) == SQLITE_NOTADB)
        rmq_error_set(err, status,
                      "database %s: it is not an SQLite database; give the path of one, or of a "
                      "new file",
                      db->path);
    else if (status == RMQ_CORRUPT)
        rmq_error_set(err, status,
                      "database %s: cannot %s: it is damaged (%s); put a copy of it back, with its "
                      "checkpoint of the same time",
                      db->path, doing, text);
    else if ((result & 0xff) == SQLITE_READONLY)
        rmq_error_set(err, status,
                      "database %s: cannot %s: it is read-only; make it and its directory writable",
                      db->path, doing);
    else if (status == RMQ_IO && reason != 0)
        rmq_error_set_errno(err, reason, "database %s: cannot %s: %s", db->path, doing, text);
    else
        rmq_error_set(err, status, "database %s: cannot %s: %s", db->path, doing, text);
    if (err != NULL) {
        err->status = status;
        err->retriable = status == RMQ_LOCKED;
    }
    return status;
}

/* ---- statements ---- */

rmq_status mill_sqlite_exec(const mill_sqlite_db *db, const char *sql, const char *doing,
                            rmq_error *err)
{
    int result = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? RMQ_OK : mill_sqlite_error(db, result, doing, err);
}

rmq_status mill_sqlite_prepare(const mill_sqlite_db *db, const char *sql,
                               sqlite3_stmt **out_statement, rmq_error *err)
{
    const char *rest = NULL;
    sqlite3_stmt *statement = NULL;
    int result =
        sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, &rest);
    if (result != SQLITE_OK) {
        char doing[128];
        snprintf(doing, sizeof(doing), "prepare \"%.80s\"", sql);
        return mill_sqlite_error(db, result, doing, err);
    }
    if (statement == NULL || rest[strspn(rest, " \t\r\n;")] != '\0') {
        sqlite3_finalize(statement);
        return rmq_error_set(err, RMQ_INVAL, "database %s: exactly one statement is needed: %.120s",
                             db->path, sql);
    }
    *out_statement = statement;
    return RMQ_OK;
}

rmq_status mill_sqlite_run(const mill_sqlite_db *db, sqlite3_stmt *statement, const char *doing,
                           rmq_error *err)
{
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        ; /* a RETURNING clause: nobody wants the rows */
    rmq_status status = result == SQLITE_DONE ? RMQ_OK : mill_sqlite_error(db, result, doing, err);
    sqlite3_reset(statement);
    return status;
}

bool mill_sqlite_in_transaction(const mill_sqlite_db *db)
{
    return db->handle != NULL && sqlite3_get_autocommit(db->handle) == 0;
}

void mill_sqlite_rollback(const mill_sqlite_db *db)
{
    if (mill_sqlite_in_transaction(db))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- opening ---- */

static int open_again(const char *path, int flags, mode_t mode)
{
    int fd;
    do {
        fd = open(path, flags, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Makes the name of a new file durable. */
static int sync_directory_of(const char *path)
{
    char directory[4096];
    int len = snprintf(directory, sizeof(directory), "%s", path);
    if (len < 0 || (size_t)len >= sizeof(directory))
        return ENAMETOOLONG;
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        slash[slash == directory ? 1 : 0] = '\0';
    int fd = open_again(slash != NULL ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int result;
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    int reason = result == 0 ? 0 : errno;
    close(fd);
    return reason;
}

static rmq_status refuse_path(const char *path, int reason, rmq_error *err)
{
    if (reason == ENOENT)
        return rmq_error_set(err, RMQ_NOT_FOUND,
                             "database %s: its directory does not exist; create it", path);
    return rmq_error_set_errno(err, reason, "database %s: cannot open it", path);
}

/* Makes the file if there is none; says whether it has no content yet. */
static rmq_status prepare_file(const char *path, bool *out_fresh, rmq_error *err)
{
    struct stat info;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return rmq_error_set(err, RMQ_INVAL,
                                 "database %s: it is a directory; give the path of a file", path);
        if (!S_ISREG(info.st_mode))
            return rmq_error_set(err, RMQ_INVAL,
                                 "database %s: it is not a regular file; give the path of one",
                                 path);
        *out_fresh = info.st_size == 0;
        return RMQ_OK;
    }
    if (errno != ENOENT)
        return refuse_path(path, errno, err);
    int fd = open_again(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return refuse_path(path, errno, err);
    if (fd >= 0)
        close(fd);
    int reason = sync_directory_of(path);
    if (reason != 0)
        return refuse_path(path, reason, err);
    *out_fresh = true;
    return RMQ_OK;
}

static rmq_status set_up(mill_sqlite_db *db, bool fresh, rmq_error *err)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, (int)db->busy_timeout_ms);
    if (sqlite3_db_readonly(db->handle, "main") == 1)
        return mill_sqlite_error(db, SQLITE_READONLY, "write to it", err);
    rmq_status status = RMQ_OK;
    if (fresh) /* where the file system can't do WAL the mode stays what it was, without an error */
        status = mill_sqlite_exec(db, "PRAGMA journal_mode=WAL", "put it in WAL mode", err);
    if (status == RMQ_OK)
        status = mill_sqlite_exec(db, "PRAGMA synchronous=EXTRA", "open it", err);
    if (status == RMQ_OK) /* the first look into the file: is it a database at all? */
        status = mill_sqlite_exec(db, "SELECT count(*) FROM sqlite_master", "read it", err);
    return status;
}

rmq_status mill_sqlite_db_open(mill_sqlite_db *db, rmq_error *err)
{
    char path[4096];
    /* "./" keeps SQLite from seeing ":memory:" or a URI in it */
    int len = snprintf(path, sizeof(path), "%s%s", db->path[0] == '/' ? "" : "./", db->path);
    if (len < 0 || (size_t)len >= sizeof(path))
        return rmq_error_set(err, RMQ_INVAL, "database %.80s...: the path is too long", db->path);
    bool fresh = false;
    rmq_status status = prepare_file(db->path, &fresh, err);
    if (status != RMQ_OK)
        return status;
    /* NOMUTEX: a sink is called by one thread at a time, so SQLite needs no lock of its own */
    int result =
        sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (db->handle == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "database %s: out of memory", db->path);
    if (result != SQLITE_OK)
        status = mill_sqlite_error(db, result, "open it", err);
    else
        status = set_up(db, fresh, err);
    if (status != RMQ_OK)
        mill_sqlite_db_close(db);
    return status;
}

void mill_sqlite_db_close(mill_sqlite_db *db)
{
    if (db->handle == NULL)
        return;
    mill_sqlite_rollback(db);
    sqlite3_close(db->handle);
    db->handle = NULL;
}
