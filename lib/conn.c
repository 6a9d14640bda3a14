/* One connection as a state machine.
 *
 *   RESOLVING -> CONNECTING -> HANDSHAKE (TLS only) -> UP -> DOWN
 *       |            |  ^          |                    ^
 *       |            +--+ next     +--- next address    |
 *       +------------ no address left ------------------+
 *
 * All addresses of a name are tried in turn; what is left of the connect timeout is divided among
 * those not yet tried, so that one black hole doesn't eat it all. Each failure is kept in the text
 * that `down` finally gets.
 *
 * Bytes are received straight into the frame splitter's memory. What is sent waits in a list of
 * pieces and goes out at the end of the turn (event_active on the write event: many calls of one
 * turn become one sendmsg without a trip through epoll). See output.c.
 *
 * `down` is always delivered by the timer with delay 0, so it never arrives inside another
 * callback. A callback may free the connection: `busy` keeps the memory until the event handler has
 * returned.
 *
 * Decided against: bufferevent, which copies every byte once more and hides what was written. */
#include "conn.h"

#include <rmq/client.h>

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Most bytes taken from one connection per turn of the loop, for fairness among connections. */
#define READ_BUDGET_BYTES ((size_t)1024 * 1024)
#define WRITE_PIECES 64
/* A machine that vanished and came back answers the next packet with a reset: there must be one
 * every few seconds. */
#define KEEPALIVE_IDLE_S 4
#define KEEPALIVE_INTERVAL_S 2
#define UNANSWERED_MAX_MS 10000

typedef enum conn_state {
    CONN_RESOLVING = 0,
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_UP,
    CONN_DOWN
} conn_state;

struct rmq_conn {
    rmq_conn_options options;
    conn_state state;
    rmq_resolve *resolve;
    rmq_endpoint endpoints[RMQ_DNS_MAX_ENDPOINTS];
    size_t n_endpoints;
    size_t next_endpoint;
    int64_t deadline_ns;
    int fd;
    rmq_tls_session *session;
    struct event read_event;
    struct event write_event;
    rmq_timer timer; /* connect deadline, later the delivery of `down` */
    rmq_splitter *splitter;
    rmq_output output;
    int64_t last_received_ns;
    rmq_error error;
    bool tls_failed;       /* of the addresses tried, one failed in TLS */
    bool read_wants_write; /* TLS */
    bool write_wants_read; /* TLS */
    bool busy;             /* an event handler is on the stack */
    bool freed;            /* free when it returns */
};

static void try_next_endpoint(rmq_conn *conn);

/* ---- going down ---- */

static void close_socket(rmq_conn *conn)
{
    if (conn->fd < 0)
        return;
    event_del(&conn->read_event);
    event_del(&conn->write_event);
    rmq_tls_session_free(conn->session);
    conn->session = NULL;
    close(conn->fd);
    conn->fd = -1;
}

/* conn->error says why. Owners' write pointers are kept until `down` is delivered: they tell which
 * calls were never sent. */
static void go_down(rmq_conn *conn)
{
    close_socket(conn);
    rmq_resolve_cancel(conn->resolve);
    conn->resolve = NULL;
    conn->state = CONN_DOWN;
    rmq_timer_set(&conn->timer, 0);
}

static void append_text(rmq_conn *conn, const char *text)
{
    size_t len = strlen(conn->error.text);
    snprintf(conn->error.text + len, sizeof(conn->error.text) - len, "%s", text);
}

static void note_endpoint_failure(rmq_conn *conn, rmq_status status, int os_errno, const char *why)
{
    char name[RMQ_ADDRESS_MAX_BYTES];
    char tried[64] = "";
    rmq_address_format(&conn->options.address, name);
    if (conn->next_endpoint > 0)
        rmq_endpoint_format(&conn->endpoints[conn->next_endpoint - 1], tried, sizeof(tried));
    bool first = conn->error.text[0] == '\0';
    bool show = tried[0] != '\0' && strcmp(tried, name) != 0;
    conn->tls_failed = conn->tls_failed || status == RMQ_TLS;
    conn->error.status = conn->tls_failed ? RMQ_TLS : RMQ_IO;
    append_text(conn, first ? "cannot connect to " : "; ");
    append_text(conn, first ? name : "");
    append_text(conn, first ? ": " : "");
    append_text(conn, show ? tried : "");
    append_text(conn, show ? ": " : "");
    append_text(conn, why);
    conn->error.os_errno = status == RMQ_NOMEM ? ENOMEM : os_errno;
    conn->error.retriable = !conn->tls_failed;
}

static void endpoint_failed(rmq_conn *conn, rmq_status status, int os_errno, const char *why)
{
    note_endpoint_failure(conn, status, os_errno, why);
    close_socket(conn);
    try_next_endpoint(conn);
}

/* An established connection ended. */
static void lost(rmq_conn *conn, const rmq_error *why)
{
    char name[RMQ_ADDRESS_MAX_BYTES];
    rmq_address_format(&conn->options.address, name);
    conn->error = *why;
    rmq_error_wrap(&conn->error, "connection to %s", name);
    conn->error.retriable = why->status != RMQ_TLS && why->status != RMQ_PROTO;
    go_down(conn);
}

/* ---- writing ---- */

static rmq_transfer write_plain(rmq_conn *conn, size_t *out_len, rmq_error *err)
{
    struct iovec pieces[WRITE_PIECES];
    struct msghdr message = {.msg_iov = pieces};
    message.msg_iovlen = rmq_output_gather(&conn->output, pieces, WRITE_PIECES);
    ssize_t written = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return RMQ_TRANSFER_WANT_WRITE;
    if (written < 0) {
        rmq_error_set_errno(err, errno, "write");
        return RMQ_TRANSFER_FAILED;
    }
    *out_len = (size_t)written;
    rmq_output_tried(&conn->output, *out_len);
    return RMQ_TRANSFER_DONE;
}

static rmq_transfer write_tls(rmq_conn *conn, size_t *out_len, rmq_error *err)
{
    struct iovec piece;
    (void)rmq_output_gather(&conn->output, &piece, 1);
    /* Even where it wants to be called again, a part of the record may be on its way. */
    rmq_output_tried(&conn->output, piece.iov_len);
    return rmq_tls_write(conn->session, piece.iov_base, piece.iov_len, out_len, err);
}

static void write_out(rmq_conn *conn)
{
    conn->write_wants_read = false;
    while (conn->state == CONN_UP && !rmq_output_is_empty(&conn->output)) {
        size_t written = 0;
        rmq_error error;
        rmq_transfer transfer = conn->session != NULL ? write_tls(conn, &written, &error)
                                                      : write_plain(conn, &written, &error);
        if (transfer == RMQ_TRANSFER_DONE) {
            rmq_output_written(&conn->output, written);
        } else if (transfer == RMQ_TRANSFER_WANT_WRITE) {
            if (event_add(&conn->write_event, NULL) == 0)
                return;
            rmq_error_set(&error, RMQ_NOMEM, "no memory to wait for the socket");
            lost(conn, &error);
        } else if (transfer == RMQ_TRANSFER_WANT_READ) {
            conn->write_wants_read = true;
            return;
        } else {
            if (transfer == RMQ_TRANSFER_EOF)
                rmq_error_set(&error, RMQ_CLOSED, "closed by the peer");
            lost(conn, &error);
        }
    }
}

/* ---- reading ---- */

static void hand_out_frames(rmq_conn *conn)
{
    while (conn->state == CONN_UP && !conn->freed) {
        rmq_frame *frame = NULL;
        rmq_error error;
        rmq_status status = rmq_splitter_next(conn->splitter, &frame, &error);
        if (status == RMQ_AGAIN)
            return;
        if (status != RMQ_OK) {
            lost(conn, &error);
            return;
        }
        conn->options.events->frame(conn->options.owner, frame);
        rmq_frame_unref(frame);
    }
}

static rmq_transfer read_plain(rmq_conn *conn, uint8_t *data, size_t capacity, size_t *out_len,
                               rmq_error *err)
{
    ssize_t got = recv(conn->fd, data, capacity, 0);
    if (got > 0) {
        *out_len = (size_t)got;
        return RMQ_TRANSFER_DONE;
    }
    if (got == 0)
        return RMQ_TRANSFER_EOF;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return RMQ_TRANSFER_WANT_READ;
    rmq_error_set_errno(err, errno, "read");
    return RMQ_TRANSFER_FAILED;
}

/* One read; false when there is nothing more to be read now. */
static bool read_once(rmq_conn *conn, size_t *out_len, bool *out_was_short)
{
    rmq_error error;
    uint8_t *data = NULL;
    size_t capacity = 0;
    size_t got = 0;
    rmq_status status = rmq_splitter_space(conn->splitter, &data, &capacity, &error);
    if (status != RMQ_OK) {
        lost(conn, &error);
        return false;
    }
    rmq_transfer transfer = conn->session != NULL
                                ? rmq_tls_read(conn->session, data, capacity, &got, &error)
                                : read_plain(conn, data, capacity, &got, &error);
    if (transfer == RMQ_TRANSFER_DONE) {
        rmq_splitter_filled(conn->splitter, got);
        *out_len = got;
        *out_was_short = conn->session == NULL && got < capacity;
        return true;
    }
    if (transfer == RMQ_TRANSFER_WANT_WRITE) {
        conn->read_wants_write = true;
        if (event_add(&conn->write_event, NULL) == 0)
            return false;
        rmq_error_set(&error, RMQ_NOMEM, "no memory to wait for the socket");
        lost(conn, &error);
    } else if (transfer != RMQ_TRANSFER_WANT_READ) {
        if (transfer == RMQ_TRANSFER_EOF)
            rmq_error_set(&error, RMQ_CLOSED, "closed by the peer");
        lost(conn, &error);
    }
    return false;
}

static void read_in(rmq_conn *conn)
{
    size_t budget = READ_BUDGET_BYTES;
    bool was_short = false;
    conn->read_wants_write = false;
    while (conn->state == CONN_UP && !conn->freed && !was_short) {
        size_t got = 0;
        if (!read_once(conn, &got, &was_short))
            return;
        conn->last_received_ns = rmq_clock_monotonic_ns();
        hand_out_frames(conn);
        if (got >= budget)
            break;
        budget -= got;
    }
    /* The socket won't tell of bytes that are already decrypted. */
    if (conn->state == CONN_UP && !conn->freed && conn->session != NULL &&
        rmq_tls_has_pending(conn->session))
        event_active(&conn->read_event, EV_READ, 0);
}

/* ---- connecting ---- */

static void become_up(rmq_conn *conn)
{
    conn->state = CONN_UP;
    conn->last_received_ns = rmq_clock_monotonic_ns();
    rmq_timer_clear(&conn->timer);
    conn->options.events->up(conn->options.owner);
    if (conn->state == CONN_UP && !conn->freed)
        read_in(conn);
}

static void step_handshake(rmq_conn *conn)
{
    rmq_error error = {.text = "closed by the peer"};
    rmq_transfer transfer = rmq_tls_handshake(conn->session, &error);
    if (transfer == RMQ_TRANSFER_DONE) {
        become_up(conn);
        return;
    }
    if (transfer == RMQ_TRANSFER_WANT_READ)
        return;
    if (transfer == RMQ_TRANSFER_WANT_WRITE && event_add(&conn->write_event, NULL) == 0)
        return;
    char why[RMQ_ERROR_TEXT_BYTES];
    snprintf(why, sizeof(why), "TLS handshake: %.400s%s", error.text,
             transfer == RMQ_TRANSFER_EOF ? "; does it speak TLS (tls, --tls)?" : "");
    endpoint_failed(conn, RMQ_TLS, 0, why);
}

static void begin_handshake(rmq_conn *conn)
{
    const char *name = conn->options.tls_server_name;
    rmq_error error;
    if (name == NULL)
        name = conn->options.address.host;
    rmq_status status =
        rmq_tls_session_new(conn->options.tls, conn->fd, name, &conn->session, &error);
    if (status != RMQ_OK) {
        endpoint_failed(conn, status, 0, error.text);
        return;
    }
    conn->state = CONN_HANDSHAKE;
    step_handshake(conn);
}

static void finish_connect(rmq_conn *conn)
{
    const unsigned int unanswered_ms = UNANSWERED_MAX_MS;
    int failure = 0;
    socklen_t len = sizeof(failure);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0)
        failure = errno;
    if (failure != 0) {
        endpoint_failed(conn, RMQ_IO, failure, strerror(failure));
        return;
    }
    /* A machine that vanished with a request on its way: the kernel would repeat that at ever
     * longer intervals. As with keep-alive it is the other kernel that must answer, not the broker:
     * one that is only slow is not hung up on. (Not before: the connect has a timeout of its own.)
     */
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms,
                     sizeof(unanswered_ms));
    if (event_add(&conn->read_event, NULL) != 0)
        endpoint_failed(conn, RMQ_NOMEM, 0, "no memory to wait for the socket");
    else if (conn->options.tls != NULL)
        begin_handshake(conn);
    else
        become_up(conn);
}

static void end_busy(rmq_conn *conn)
{
    conn->busy = false;
    if (conn->freed)
        rmq_conn_free(conn);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_conn *conn = ctx;
    conn->busy = true;
    if (conn->state == CONN_HANDSHAKE)
        step_handshake(conn);
    else if (conn->state == CONN_UP)
        read_in(conn);
    if (conn->state == CONN_UP && !conn->freed && conn->write_wants_read)
        write_out(conn);
    end_busy(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_conn *conn = ctx;
    conn->busy = true;
    if (conn->state == CONN_CONNECTING)
        finish_connect(conn);
    else if (conn->state == CONN_HANDSHAKE)
        step_handshake(conn);
    else if (conn->state == CONN_UP)
        write_out(conn);
    if (conn->state == CONN_UP && !conn->freed && conn->read_wants_write)
        read_in(conn);
    end_busy(conn);
}

/* Requests are small and waited for, so no Nagle. Keep-alive finds a machine that vanished while a
 * long poll waits for it. Without the options all works, only later. */
static void set_options(int fd)
{
    const int on = 1;
    const int idle_s = KEEPALIVE_IDLE_S;
    const int interval_s = KEEPALIVE_INTERVAL_S;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
}

/* Begins to connect. After EINTR the kernel goes on by itself, and says so (EALREADY, or EISCONN)
 * if it is asked again. */
static bool begin_connect(int fd, const rmq_endpoint *endpoint)
{
    int result;
    do {
        result = connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->address_len);
    } while (result != 0 && errno == EINTR);
    return result == 0 || errno == EINPROGRESS || errno == EALREADY || errno == EISCONN;
}

/* Makes the socket and begins to connect; false (and errno) if that fails at once. */
static bool start_socket(rmq_conn *conn, const rmq_endpoint *endpoint)
{
    conn->fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return false;
    struct event_base *base = rmq_loop_base(conn->options.loop);
    (void)event_assign(&conn->read_event, base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
    (void)event_assign(&conn->write_event, base, conn->fd, EV_WRITE, on_writable, conn);
    set_options(conn->fd);
    if (!begin_connect(conn->fd, endpoint))
        return false;
    if (event_add(&conn->write_event, NULL) != 0) {
        errno = ENOMEM;
        return false;
    }
    return true;
}

static void try_next_endpoint(rmq_conn *conn)
{
    while (conn->next_endpoint < conn->n_endpoints) {
        size_t n_left = conn->n_endpoints - conn->next_endpoint;
        const rmq_endpoint *endpoint = &conn->endpoints[conn->next_endpoint++];
        conn->state = CONN_CONNECTING;
        if (start_socket(conn, endpoint)) {
            int64_t left_ms = (conn->deadline_ns - rmq_clock_monotonic_ns()) / 1000000;
            rmq_timer_set(&conn->timer, left_ms / (int64_t)n_left);
            return;
        }
        int failure = errno;
        note_endpoint_failure(conn, RMQ_IO, failure, strerror(failure));
        close_socket(conn);
    }
    go_down(conn);
}

static void on_resolved(void *ctx, rmq_status status, const rmq_endpoint *endpoints, size_t count,
                        const rmq_error *err)
{
    rmq_conn *conn = ctx;
    conn->resolve = NULL;
    if (status != RMQ_OK) {
        note_endpoint_failure(conn, RMQ_IO, 0, err->text);
        go_down(conn);
        return;
    }
    memcpy(conn->endpoints, endpoints, count * sizeof(*endpoints));
    conn->n_endpoints = count;
    try_next_endpoint(conn);
}

static void on_connect_timeout(rmq_conn *conn)
{
    char why[96];
    const char *doing = conn->state == CONN_RESOLVING    ? "name lookup"
                        : conn->state == CONN_CONNECTING ? "connect"
                                                         : "TLS handshake";
    snprintf(why, sizeof(why), "%s timed out (connect timeout %lld ms)", doing,
             (long long)conn->options.connect_timeout_ms);
    if (conn->state == CONN_RESOLVING) {
        note_endpoint_failure(conn, RMQ_IO, ETIMEDOUT, why);
        go_down(conn);
        return;
    }
    endpoint_failed(conn, RMQ_IO, ETIMEDOUT, why);
}

static void on_timer(rmq_timer *timer)
{
    rmq_conn *conn = (rmq_conn *)((char *)timer - offsetof(rmq_conn, timer));
    conn->busy = true;
    if (conn->state == CONN_DOWN)
        conn->options.events->down(conn->options.owner, conn->error.status, &conn->error);
    else
        on_connect_timeout(conn);
    end_busy(conn);
}

/* ---- for the owner ---- */

rmq_status rmq_conn_open(const rmq_conn_options *options, rmq_conn **out_conn, rmq_error *err)
{
    rmq_conn *conn = rmq_calloc(1, sizeof(*conn));
    if (conn == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a connection");
    conn->options = *options;
    conn->fd = -1;
    rmq_output_init(&conn->output, options->max_write_bytes);
    conn->deadline_ns = rmq_clock_monotonic_ns() + options->connect_timeout_ms * 1000000;
    rmq_status status = rmq_timer_init(&conn->timer, options->loop, on_timer, err);
    if (status != RMQ_OK)
        goto out;
    conn->splitter = rmq_splitter_new(options->max_frame_bytes);
    if (conn->splitter == NULL) {
        status = rmq_error_set(err, RMQ_NOMEM, "no memory for a connection");
        goto out;
    }
    status = rmq_dns_resolve(options->dns, &conn->options.address, on_resolved, conn,
                             &conn->resolve, err);
    if (status != RMQ_OK)
        goto out;
    rmq_timer_set(&conn->timer, options->connect_timeout_ms);
    *out_conn = conn;
    conn = NULL;
out:
    rmq_conn_free(conn);
    return status;
}

void rmq_conn_free(rmq_conn *conn)
{
    if (conn == NULL)
        return;
    close_socket(conn);
    rmq_output_clear(&conn->output);
    rmq_resolve_cancel(conn->resolve);
    conn->resolve = NULL;
    rmq_timer_deinit(&conn->timer);
    conn->state = CONN_DOWN;
    conn->freed = true;
    if (conn->busy)
        return;
    rmq_splitter_free(conn->splitter);
    rmq_free(conn);
}

rmq_status rmq_conn_send(rmq_conn *conn, uint8_t *take_data, size_t len, rmq_write **out_write,
                         rmq_error *err)
{
    if (conn->state != CONN_UP)
        return rmq_error_set(err, RMQ_CLOSED, "not connected");
    bool was_empty = rmq_output_is_empty(&conn->output);
    rmq_status status = rmq_output_push(&conn->output, take_data, len, out_write, err);
    /* While something waits, the write event is active or added already. */
    if (status == RMQ_OK && was_empty)
        event_active(&conn->write_event, EV_WRITE, 0);
    return status;
}

bool rmq_conn_is_up(const rmq_conn *conn)
{
    return conn->state == CONN_UP;
}

void rmq_conn_withdraw(rmq_conn *conn, rmq_write *write)
{
    rmq_output_withdraw(&conn->output, write);
}

void rmq_conn_flush(rmq_conn *conn)
{
    if (conn->state == CONN_UP)
        write_out(conn);
}

int64_t rmq_conn_last_received_ns(const rmq_conn *conn)
{
    return conn->last_received_ns;
}
