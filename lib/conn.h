/* One connection to one server: from name lookup to the last byte. Single use; brokers.c makes a
 * new one to reconnect. All functions and callbacks: loop thread. */
#ifndef RMQ_CONN_H
#define RMQ_CONN_H

#include "../proto/frame.h"
#include "address.h"
#include "dns.h"
#include "loop.h"
#include "output.h"
#include "tls.h"

typedef struct rmq_conn rmq_conn;

/* None of them is called from inside a function of this file; all of them may call any of these
 * functions, rmq_conn_free too. */
typedef struct rmq_conn_events {
    /* Connected, TLS handshake included. */
    void (*up)(void *owner);
    /* A whole frame; borrowed. */
    void (*frame)(void *owner, rmq_frame *frame);
    /* It failed or ended; called once, and nothing after it. CLOSED: the peer closed it. */
    void (*down)(void *owner, rmq_status status, const rmq_error *err);
} rmq_conn_events;

/* Copied by rmq_conn_open, but for what the pointers lead to. */
typedef struct rmq_conn_options {
    rmq_loop *loop;
    rmq_dns *dns;
    rmq_tls *tls;                /* NULL: plain TCP */
    const char *tls_server_name; /* NULL: the address's host */
    rmq_address address;
    int64_t connect_timeout_ms; /* lookup, all addresses and the handshake together */
    size_t max_frame_bytes;
    size_t max_write_bytes;
    const rmq_conn_events *events;
    void *owner;
} rmq_conn_options;

/* Begins to connect. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_conn_open(const rmq_conn_options *options, rmq_conn **out_conn,
                                        rmq_error *err);
/* Closes at once and frees; no callback any more. Accepts NULL. */
void rmq_conn_free(rmq_conn *conn);

/* False from the moment it is known to have gone, before `down` tells. */
bool rmq_conn_is_up(const rmq_conn *conn);

/* Queues `take_data` (consumed on success) for writing at the end of this turn of the loop. If
 * `out_write` is given, *out_write is set, and set to NULL again as soon as a byte of it is tried
 * on the socket, or the connection goes down. Errors: CLOSED (not up), FULL (max_write_bytes),
 * NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_conn_send(rmq_conn *conn, uint8_t *take_data, size_t len,
                                        rmq_write **out_write, rmq_error *err);
/* Takes back a piece that `*out_write` still names. */
void rmq_conn_withdraw(rmq_conn *conn, rmq_write *write);
/* Tries to write what is queued, without waiting. */
void rmq_conn_flush(rmq_conn *conn);
/* When the last bytes came, by rmq_clock_monotonic_ns; 0 before the first. */
int64_t rmq_conn_last_received_ns(const rmq_conn *conn);

#endif
