/* Calls of the product that can fail, and the ways in which they do. The wrap_*.c files stand in
 * front of them (ld --wrap, hooks of the libraries) and ask fault_strikes each time.
 *
 *   fault_arm(way, nth)           the nth call (0: the next) fails that way, and only that one
 *   operation()
 *   struck = fault_disarm()       whether it came so far
 *
 * A clean run between fault_arm(NULL, 0) and fault_disarm counts: fault_count(call). */
#ifndef FAULT_CALLS_H
#define FAULT_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a point counts as. */
typedef enum fault_kind {
    FAULT_KIND_MEMORY,  /* allocations of ours */
    FAULT_KIND_LIBRARY, /* allocations of OpenSSL, libevent, SQLite; contexts of the compressors */
    FAULT_KIND_SOCKET,
    FAULT_KIND_TLS,
    FAULT_KIND_THREAD,
    FAULT_KIND_EVENT,
    FAULT_KIND_FILE,
    FAULT_KIND_DATABASE,
    FAULT_N_KINDS
} fault_kind;

const char *fault_kind_name(fault_kind kind);

/* One line per call that is counted: name and kind. */
#define FAULT_CALLS(X)                                                                             \
    X(rmq_malloc, MEMORY)                                                                          \
    X(openssl_malloc, LIBRARY)                                                                     \
    X(libevent_malloc, LIBRARY)                                                                    \
    X(sqlite_malloc, LIBRARY)                                                                      \
    X(inflateInit, LIBRARY)                                                                        \
    X(deflateInit, LIBRARY)                                                                        \
    X(lz4_context, LIBRARY)                                                                        \
    X(zstd_context, LIBRARY)                                                                       \
    X(inflate, LIBRARY)                                                                            \
    X(deflate, LIBRARY)                                                                            \
    X(lz4_pack, LIBRARY)                                                                           \
    X(lz4_unpack, LIBRARY)                                                                         \
    X(zstd_pack, LIBRARY)                                                                          \
    X(zstd_unpack, LIBRARY)                                                                        \
    X(newlocale, LIBRARY)                                                                          \
    X(socket, SOCKET)                                                                              \
    X(connect, SOCKET)                                                                             \
    X(getsockopt, SOCKET)                                                                          \
    X(setsockopt, SOCKET)                                                                          \
    X(recv, SOCKET)                                                                                \
    X(send, SOCKET)                                                                                \
    X(sendmsg, SOCKET)                                                                             \
    X(getifaddrs, SOCKET)                                                                          \
    X(getrandom, FILE)                                                                             \
    X(getentropy, FILE)                                                                            \
    X(eventfd, EVENT)                                                                              \
    X(wake_read, EVENT)                                                                            \
    X(wake_write, EVENT)                                                                           \
    X(epoll_create, EVENT)                                                                         \
    X(epoll_ctl, EVENT)                                                                            \
    X(epoll_wait, EVENT)                                                                           \
    X(event_config_new, EVENT)                                                                     \
    X(event_base_new, EVENT)                                                                       \
    X(event_new, EVENT)                                                                            \
    X(event_add, EVENT)                                                                            \
    X(evdns_base_new, EVENT)                                                                       \
    X(evdns_resolv_conf, EVENT)                                                                    \
    X(evdns_load_hosts, EVENT)                                                                     \
    X(evdns_getaddrinfo, EVENT)                                                                    \
    X(pthread_create, THREAD)                                                                      \
    X(pthread_cond_wait, THREAD)                                                                   \
    X(pthread_cond_timedwait, THREAD)                                                              \
    X(SSL_CTX_new, TLS)                                                                            \
    X(SSL_CTX_load_verify_locations, TLS)                                                          \
    X(SSL_CTX_min_version, TLS)                                                                    \
    X(SSL_CTX_verify_paths, TLS)                                                                   \
    X(SSL_CTX_certificate, TLS)                                                                    \
    X(SSL_CTX_private_key, TLS)                                                                    \
    X(SSL_CTX_check_private_key, TLS)                                                              \
    X(BIO_get_new_index, TLS)                                                                      \
    X(BIO_meth_set, TLS)                                                                           \
    X(BIO_meth_new, TLS)                                                                           \
    X(BIO_new, TLS)                                                                                \
    X(SSL_new, TLS)                                                                                \
    X(X509_VERIFY_PARAM_set1_ip_asc, TLS)                                                          \
    X(X509_VERIFY_PARAM_set1_host, TLS)                                                            \
    X(SSL_set_host_name, TLS)                                                                      \
    X(SSL_do_handshake, TLS)                                                                       \
    X(SSL_read_ex, TLS)                                                                            \
    X(SSL_write_ex, TLS)                                                                           \
    X(EVP_PKEY_new_raw_private_key, TLS)                                                           \
    X(EVP_MD_CTX_new, TLS)                                                                         \
    X(EVP_DigestSignInit, TLS)                                                                     \
    X(EVP_DigestSignUpdate, TLS)                                                                   \
    X(EVP_DigestSignFinal, TLS)                                                                    \
    X(open, FILE)                                                                                  \
    X(openat, FILE)                                                                                \
    X(stat, FILE)                                                                                  \
    X(fstat, FILE)                                                                                 \
    X(fstatat, FILE)                                                                               \
    X(mkdir, FILE)                                                                                 \
    X(mkdirat, FILE)                                                                               \
    X(write, FILE)                                                                                 \
    X(pread, FILE)                                                                                 \
    X(pwrite, FILE)                                                                                \
    X(fsync, FILE)                                                                                 \
    X(linkat, FILE)                                                                                \
    X(renameat, FILE)                                                                              \
    X(unlinkat, FILE)                                                                              \
    X(fdopendir, FILE)                                                                             \
    X(readdir, FILE)                                                                               \
    X(flock, FILE)                                                                                 \
    X(ftruncate, FILE)                                                                             \
    X(fallocate, FILE)                                                                             \
    X(mkostemp, FILE)                                                                              \
    X(gethostname, FILE)                                                                           \
    X(sqlite3_open, DATABASE)                                                                      \
    X(sqlite3_prepare, DATABASE)                                                                   \
    X(sqlite3_bind, DATABASE)                                                                      \
    X(sqlite3_step, DATABASE)                                                                      \
    X(sqlite3_exec, DATABASE)                                                                      \
    X(sqlite3_column_text, DATABASE)                                                               \
    X(sqlite_file_open, DATABASE)                                                                  \
    X(sqlite_file_read, DATABASE)                                                                  \
    X(sqlite_file_write, DATABASE)                                                                 \
    X(sqlite_file_truncate, DATABASE)                                                              \
    X(sqlite_file_lock, DATABASE)                                                                  \
    X(sqlite_file_unlink, DATABASE)                                                                \
    X(sqlite_file_sync, DATABASE)

typedef enum fault_call {
#define X(name, kind) FAULT_CALL_##name,
    FAULT_CALLS(X)
#undef X
        FAULT_N_CALLS
} fault_call;

const char *fault_call_name(fault_call call);
fault_kind fault_call_kind(fault_call call);

typedef enum fault_effect {
    FAULT_FAIL,       /* the call is not made */
    FAULT_FAIL_AFTER, /* the call is made, its success is not told */
    FAULT_SHORT,      /* it moves one byte */
    FAULT_END,        /* it tells the end of the stream or list */
    FAULT_EARLY       /* a wait returns for no reason */
} fault_effect;

/* One way in which one call fails. */
typedef struct fault_way {
    fault_call call;
    fault_effect effect;
    int reason;    /* errno, or SQLite's code */
    bool harmless; /* the operation must succeed all the same */
} fault_way;

extern const fault_way fault_ways[];
extern const size_t fault_n_ways;
/* "connect: Connection refused". Static text, until the next call. */
const char *fault_way_text(const fault_way *way);

/* Installs the allocators; to be called before OpenSSL, libevent or SQLite is used. */
void fault_install(void);

void fault_arm(const fault_way *way, int64_t nth);
/* Whether it struck; nothing fails any more. */
bool fault_disarm(void);
/* Calls since the last fault_arm. */
int64_t fault_count(fault_call call);

/* For the wrap_*.c: counts the call; the way in which it has to fail (errno is set), or NULL. */
const fault_way *fault_strikes(fault_call call);

/* From now on a connect to 127.0.0.1:from goes to port `to` instead. */
void fault_map_port(uint16_t from, uint16_t to);
uint16_t fault_mapped_port(uint16_t from);

#endif
