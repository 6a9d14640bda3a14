/* TLS over non-blocking sockets: one context per client, one session per connection. */
#ifndef RMQ_TLS_H
#define RMQ_TLS_H

#include <rmq/base.h>

typedef struct rmq_tls rmq_tls;
typedef struct rmq_tls_session rmq_tls_session;

/* What a read, a write or a handshake step on a non-blocking socket came to. */
typedef enum rmq_transfer {
    RMQ_TRANSFER_DONE = 0,
    RMQ_TRANSFER_WANT_READ = 1,
    RMQ_TRANSFER_WANT_WRITE = 2,
    RMQ_TRANSFER_EOF = 3,
    RMQ_TRANSFER_FAILED = 4 /* err is filled */
} rmq_transfer;

/* Strings are borrowed for the call; NULL where not given. */
typedef struct rmq_tls_options {
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    bool insecure;
} rmq_tls_options;

/* Errors: TLS (which file and why), NOMEM. Thread: any. */
RMQ_MUST_CHECK rmq_status rmq_tls_new(const rmq_tls_options *options, rmq_tls **out_tls,
                                      rmq_error *err);
void rmq_tls_free(rmq_tls *tls);

/* A client session on `fd`. `name` is what the certificate must be for: a host name or a literal IP
 * address. The context must outlive it; the socket stays the caller's. Errors: TLS, NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_tls_session_new(rmq_tls *tls, int fd, const char *name,
                                              rmq_tls_session **out_session, rmq_error *err);
/* Says goodbye if that works without waiting. Accepts NULL. */
void rmq_tls_session_free(rmq_tls_session *session);

rmq_transfer rmq_tls_handshake(rmq_tls_session *session, rmq_error *err);
rmq_transfer rmq_tls_read(rmq_tls_session *session, void *data, size_t capacity, size_t *out_len,
                          rmq_error *err);
/* May write less than `len`. After WANT_*, the next write must begin with the same bytes. */
rmq_transfer rmq_tls_write(rmq_tls_session *session, const void *data, size_t len, size_t *out_len,
                           rmq_error *err);
/* Whether decrypted bytes wait that no socket event will announce. */
bool rmq_tls_has_pending(const rmq_tls_session *session);

#endif
