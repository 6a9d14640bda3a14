/* Which call fails next, and the table of ways.
 *
 * One call at a time is armed: (call, way, nth). Every wrapped call counts itself, from whatever
 * thread; the one whose number comes up fails, once. Our own allocations go through the fault
 * allocator of tests/support, which counts by itself.
 *
 * Left out, since glibc's cannot fail: pthread_mutex_init, pthread_cond_init and their attributes,
 * clock_gettime. close is left out, too: on Linux the descriptor is gone whatever it answers. */
#include "fault_calls.h"

#include "../support/fault_alloc.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "fault_wraps.h"

static const struct {
    const char *name;
    fault_kind kind;
} calls[FAULT_N_CALLS] = {
#define X(name, kind) {#name, FAULT_KIND_##kind},
    FAULT_CALLS(X)
#undef X
};

const char *fault_kind_name(fault_kind kind)
{
    static const char *const names[FAULT_N_KINDS] = {"memory", "library", "socket", "tls",
                                                     "thread", "event",   "file",   "database"};
    return names[kind];
}

const char *fault_call_name(fault_call call)
{
    return calls[call].name;
}

fault_kind fault_call_kind(fault_call call)
{
    return calls[call].kind;
}

#define FAILS(call, reason)                                                                        \
    {                                                                                              \
        FAULT_CALL_##call, FAULT_FAIL, reason, false                                               \
    }
#define HARMLESS(call, effect, reason)                                                             \
    {                                                                                              \
        FAULT_CALL_##call, effect, reason, true                                                    \
    }
#define AFTER(call, reason)                                                                        \
    {                                                                                              \
        FAULT_CALL_##call, FAULT_FAIL_AFTER, reason, false                                         \
    }

const fault_way fault_ways[] = {
    FAILS(rmq_malloc, ENOMEM),
    FAILS(openssl_malloc, ENOMEM),
    FAILS(libevent_malloc, ENOMEM),
    FAILS(sqlite_malloc, ENOMEM),
    FAILS(inflateInit, ENOMEM),
    FAILS(deflateInit, ENOMEM),
    FAILS(lz4_context, ENOMEM),
    FAILS(zstd_context, ENOMEM),
    FAILS(inflate, ENOMEM),
    FAILS(deflate, ENOMEM),
    FAILS(lz4_pack, ENOMEM),
    FAILS(lz4_unpack, ENOMEM),
    FAILS(zstd_pack, ENOMEM),
    FAILS(zstd_unpack, ENOMEM),
    FAILS(newlocale, ENOMEM),

    FAILS(socket, EMFILE),
    FAILS(socket, ENOBUFS),
    FAILS(connect, ECONNREFUSED),
    FAILS(connect, ENETUNREACH),
    FAILS(connect, EADDRNOTAVAIL),
    FAILS(getsockopt, ENOBUFS),
    HARMLESS(setsockopt, FAULT_FAIL, EINVAL),
    FAILS(recv, ECONNRESET),
    FAILS(recv, ETIMEDOUT),
    {FAULT_CALL_recv, FAULT_END, 0, false},
    HARMLESS(recv, FAULT_SHORT, 0),
    HARMLESS(recv, FAULT_FAIL, EINTR),
    HARMLESS(recv, FAULT_FAIL, EAGAIN),
    FAILS(send, ECONNRESET),
    FAILS(send, EPIPE),
    HARMLESS(send, FAULT_SHORT, 0),
    HARMLESS(send, FAULT_FAIL, EINTR),
    HARMLESS(send, FAULT_FAIL, EAGAIN),
    FAILS(sendmsg, ECONNRESET),
    FAILS(sendmsg, EPIPE),
    FAILS(sendmsg, ENOBUFS),
    HARMLESS(sendmsg, FAULT_SHORT, 0),
    HARMLESS(sendmsg, FAULT_FAIL, EINTR),
    HARMLESS(sendmsg, FAULT_FAIL, EAGAIN),
    HARMLESS(getifaddrs, FAULT_FAIL, EMFILE),
    FAILS(getrandom, ENOSYS),
    FAILS(getentropy, ENOSYS),

    FAILS(eventfd, EMFILE),
    HARMLESS(wake_read, FAULT_FAIL, EINTR),
    HARMLESS(wake_write, FAULT_FAIL, EINTR),
    FAILS(epoll_create, EMFILE),
    FAILS(epoll_ctl, ENOMEM),
    FAILS(epoll_ctl, ENOSPC),
    HARMLESS(epoll_wait, FAULT_FAIL, EINTR),
    HARMLESS(epoll_wait, FAULT_EARLY, 0),
    FAILS(event_config_new, ENOMEM),
    FAILS(event_base_new, ENOMEM),
    FAILS(event_new, ENOMEM),
    FAILS(event_add, ENOMEM),
    FAILS(evdns_base_new, ENOMEM),
    FAILS(evdns_resolv_conf, EACCES),
    FAILS(evdns_load_hosts, EACCES),
    FAILS(evdns_getaddrinfo, ENOMEM),

    FAILS(pthread_create, EAGAIN),
    HARMLESS(pthread_cond_wait, FAULT_EARLY, 0),
    HARMLESS(pthread_cond_timedwait, FAULT_EARLY, 0),

    FAILS(SSL_CTX_new, ENOMEM),
    FAILS(SSL_CTX_load_verify_locations, ENOMEM),
    FAILS(SSL_CTX_min_version, ENOMEM),
    FAILS(SSL_CTX_verify_paths, ENOMEM),
    FAILS(SSL_CTX_certificate, ENOMEM),
    FAILS(SSL_CTX_private_key, ENOMEM),
    FAILS(SSL_CTX_check_private_key, ENOMEM),
    FAILS(BIO_get_new_index, ENOMEM),
    FAILS(BIO_meth_set, ENOMEM),
    FAILS(BIO_meth_new, ENOMEM),
    FAILS(BIO_new, ENOMEM),
    FAILS(SSL_new, ENOMEM),
    FAILS(X509_VERIFY_PARAM_set1_ip_asc, ENOMEM),
    FAILS(X509_VERIFY_PARAM_set1_host, ENOMEM),
    FAILS(SSL_set_host_name, ENOMEM),
    FAILS(SSL_do_handshake, ENOMEM),
    FAILS(SSL_read_ex, ENOMEM),
    FAILS(SSL_write_ex, ENOMEM),
    FAILS(EVP_PKEY_new_raw_private_key, ENOMEM),
    FAILS(EVP_MD_CTX_new, ENOMEM),
    FAILS(EVP_DigestSignInit, ENOMEM),
    FAILS(EVP_DigestSignUpdate, ENOMEM),
    FAILS(EVP_DigestSignFinal, ENOMEM),

    FAILS(open, EMFILE),
    FAILS(open, EACCES),
    FAILS(openat, EMFILE),
    FAILS(openat, EIO),
    FAILS(openat, ENOSPC),
    FAILS(stat, EACCES),
    FAILS(fstat, EIO),
    FAILS(fstatat, EIO),
    FAILS(mkdir, ENOSPC),
    FAILS(mkdirat, ENOSPC),
    FAILS(write, EIO),
    FAILS(write, ENOSPC),
    AFTER(write, EIO),
    HARMLESS(write, FAULT_SHORT, 0),
    HARMLESS(write, FAULT_FAIL, EINTR),
    FAILS(pread, EIO),
    HARMLESS(pread, FAULT_SHORT, 0),
    HARMLESS(pread, FAULT_FAIL, EINTR),
    FAILS(pwrite, ENOSPC),
    HARMLESS(pwrite, FAULT_SHORT, 0),
    HARMLESS(pwrite, FAULT_FAIL, EINTR),
    FAILS(fsync, EIO),
    AFTER(fsync, EIO),
    HARMLESS(fsync, FAULT_FAIL, EINTR),
    FAILS(linkat, EIO),
    FAILS(linkat, ENOSPC),
    AFTER(linkat, EIO),
    FAILS(renameat, EIO),
    AFTER(renameat, EIO),
    FAILS(unlinkat, EIO),
    FAILS(fdopendir, ENOMEM),
    FAILS(readdir, EIO),
    FAILS(flock, ENOLCK),
    FAILS(ftruncate, EIO),
    FAILS(fallocate, ENOSPC),
    FAILS(mkostemp, EMFILE),
    HARMLESS(gethostname, FAULT_FAIL, ENAMETOOLONG),

    FAILS(sqlite3_open, SQLITE_CANTOPEN),
    FAILS(sqlite3_open, SQLITE_NOMEM),
    FAILS(sqlite3_prepare, SQLITE_NOMEM),
    FAILS(sqlite3_prepare, SQLITE_IOERR),
    FAILS(sqlite3_bind, SQLITE_NOMEM),
    FAILS(sqlite3_step, SQLITE_BUSY),
    FAILS(sqlite3_step, SQLITE_FULL),
    FAILS(sqlite3_step, SQLITE_IOERR),
    FAILS(sqlite3_exec, SQLITE_BUSY),
    FAILS(sqlite3_exec, SQLITE_IOERR),
    AFTER(sqlite3_exec, SQLITE_IOERR),
    FAILS(sqlite3_column_text, SQLITE_NOMEM),
    FAILS(sqlite_file_open, EMFILE),
    FAILS(sqlite_file_read, EIO),
    HARMLESS(sqlite_file_read, FAULT_FAIL, EINTR),
    FAILS(sqlite_file_write, EIO),
    FAILS(sqlite_file_write, ENOSPC),
    AFTER(sqlite_file_write, EIO),
    HARMLESS(sqlite_file_write, FAULT_FAIL, EINTR),
    FAILS(sqlite_file_truncate, EIO),
    FAILS(sqlite_file_lock, EIO),
    FAILS(sqlite_file_unlink, EIO),
    FAILS(sqlite_file_sync, EIO),
    AFTER(sqlite_file_sync, EIO),
};

const size_t fault_n_ways = sizeof(fault_ways) / sizeof(fault_ways[0]);

const char *fault_way_text(const fault_way *way)
{
    static char text[160];
    static const char *const effects[] = {"", ", after it was made", "one byte", "end", "early"};
    const char *reason = way->effect != FAULT_FAIL && way->effect != FAULT_FAIL_AFTER ? ""
                         : fault_call_kind(way->call) == FAULT_KIND_DATABASE &&
                                 strncmp(fault_call_name(way->call), "sqlite3", 7) == 0
                             ? sqlite3_errstr(way->reason)
                             : strerror(way->reason);
    snprintf(text, sizeof(text), "%s: %s%s", fault_call_name(way->call), reason,
             effects[way->effect]);
    return text;
}

static struct {
    _Atomic(const fault_way *) way; /* NULL: only counting, or off */
    _Atomic int64_t nth;
    _Atomic int64_t struck;
    _Atomic int64_t counts[FAULT_N_CALLS];
} state;

void fault_install(void)
{
    fault_alloc_fail(-1);
    fault_wrap_libraries();
}

void fault_arm(const fault_way *way, int64_t nth)
{
    atomic_store(&state.way, NULL);
    for (size_t i = 0; i < FAULT_N_CALLS; i++)
        atomic_store(&state.counts[i], 0);
    atomic_store(&state.struck, 0);
    atomic_store(&state.nth, nth);
    bool ours = way != NULL && way->call == FAULT_CALL_rmq_malloc;
    fault_alloc_rearm(ours ? nth : -1);
    atomic_store(&state.way, ours ? NULL : way);
}

bool fault_disarm(void)
{
    bool struck = atomic_load(&state.struck) + fault_alloc_failed() > 0;
    atomic_store(&state.counts[FAULT_CALL_rmq_malloc], fault_alloc_count());
    atomic_store(&state.way, NULL);
    fault_alloc_rearm(-1);
    return struck;
}

int64_t fault_count(fault_call call)
{
    return atomic_load(&state.counts[call]);
}

const fault_way *fault_strikes(fault_call call)
{
    int64_t number = atomic_fetch_add(&state.counts[call], 1);
    const fault_way *way = atomic_load(&state.way);
    if (way == NULL || way->call != call || number != atomic_load(&state.nth))
        return NULL;
    atomic_fetch_add(&state.struck, 1);
    errno = way->reason;
    return way;
}

/* ---- ports ---- */

static struct {
    uint16_t from;
    uint16_t to;
} ports[4];
static size_t n_ports;

void fault_map_port(uint16_t from, uint16_t to)
{
    ports[n_ports].from = from;
    ports[n_ports++].to = to;
}

uint16_t fault_mapped_port(uint16_t from)
{
    for (size_t i = 0; i < n_ports; i++) {
        if (ports[i].from == from)
            return ports[i].to;
    }
    return from;
}
