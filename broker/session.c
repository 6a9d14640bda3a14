/* A connection's life.
 *
 *   accept -> read -> splitter -> frame -> dispatch -> answers queued -> settle: written
 *
 * Nothing is written and no session is freed in the middle of a callback: both happen in
 * rmq_dev_settle, which ends every one. So a handler may close any session (its own too) and go on,
 * many answers to one read go out in one write, and the journal is committed before any of them.
 *
 * A client that doesn't read its answers is first no longer read from (from write_pause_bytes on),
 * then closed: after write_stall_ms without a byte taken, or at once beyond write_max_bytes. A
 * malformed frame closes the connection without an answer, as a real broker does. */
#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker_state.h"
#include "deliver.h"
#include "dispatch.h"
#include "journal.h"
#include "lifecycle.h"
#include "long_poll.h"

#define LINGER_MS 1000

void rmq_dev_session_touch(rmq_dev_session *session)
{
    if (session->dirty)
        return;
    session->dirty = true;
    session->next_dirty = session->broker->sessions.dirty;
    session->broker->sessions.dirty = session;
}

void rmq_dev_session_close(rmq_dev_session *session, const char *why)
{
    if (session->closed)
        return;
    rmq_dev_log(&session->broker->settings, RMQ_LOG_DEBUG, "%s closed: %s", session->peer_text,
                why);
    session->closed = true;
    rmq_dev_session_touch(session);
}

void rmq_dev_session_finish(rmq_dev_session *session)
{
    session->finishing = true;
    rmq_dev_session_touch(session);
}

void rmq_dev_session_stop_reading(rmq_dev_session *session)
{
    event_del(session->read_event);
}

static void session_free(rmq_dev_session *session)
{
    if (session->read_event != NULL)
        event_free(session->read_event);
    if (session->write_event != NULL)
        event_free(session->write_event);
    rmq_splitter_free(session->splitter);
    rmq_dev_write_queue_deinit(&session->out);
    close(session->fd);
    rmq_free(session);
}

/* ---- reading ---- */

static void pause_if_full(rmq_dev_session *session)
{
    const rmq_dev_settings *settings = &session->broker->settings;
    if (session->paused ||
        session->out.bytes + session->delayed_bytes < settings->write_pause_bytes)
        return;
    session->paused = true;
    event_del(session->read_event);
}

static void handle_frames(rmq_dev_session *session)
{
    while (!session->closed && !session->finishing && !session->stalled && !session->paused) {
        rmq_frame *frame = NULL;
        rmq_error err;
        rmq_status status = rmq_splitter_next(session->splitter, &frame, &err);
        if (status == RMQ_AGAIN)
            return;
        if (status != RMQ_OK) {
            rmq_dev_session_close(session, err.text);
            return;
        }
        rmq_dev_dispatch(session, frame);
        rmq_frame_unref(frame);
        pause_if_full(session);
    }
}

static void read_some(rmq_dev_session *session)
{
    uint8_t *space = NULL;
    size_t capacity = 0;
    rmq_error err;
    if (rmq_splitter_space(session->splitter, &space, &capacity, &err) != RMQ_OK) {
        rmq_dev_session_close(session, err.text);
        return;
    }
    ssize_t n = read(session->fd, space, capacity);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        rmq_dev_session_close(session, n == 0 ? "by the client" : strerror(errno));
        return;
    }
    session->last_traffic_ms = rmq_dev_monotonic_ms();
    if (session->finishing)
        return;
    rmq_splitter_filled(session->splitter, (size_t)n);
    handle_frames(session);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_dev_session *session = ctx;
    rmq_devbroker *broker = session->broker;
    read_some(session);
    rmq_dev_settle(broker);
}

/* ---- writing ---- */

static void check_cap(rmq_dev_session *session)
{
    if (session->out.bytes + session->delayed_bytes > session->broker->settings.write_max_bytes)
        rmq_dev_session_close(session, "it doesn't read its answers");
    rmq_dev_session_touch(session);
}

void rmq_dev_session_write(rmq_dev_session *session, uint8_t *take_data, size_t len)
{
    if (session->closed || session->finishing) {
        rmq_free(take_data);
        return;
    }
    if (session->out.bytes == 0)
        session->last_write_ms = rmq_dev_monotonic_ms();
    if (rmq_dev_write_queue_add(&session->out, take_data, len) != RMQ_OK)
        rmq_dev_session_close(session, "no memory for an answer");
    check_cap(session);
}

void rmq_dev_session_write_chunk(rmq_dev_session *session, rmq_dev_chunk *chunk,
                                 const uint8_t *data, size_t len)
{
    if (session->closed || session->finishing)
        return;
    if (rmq_dev_write_queue_add_chunk(&session->out, chunk, data, len) != RMQ_OK)
        rmq_dev_session_close(session, "no memory for an answer");
    check_cap(session);
}

/* Says goodbye once all is written. The socket stays open for a moment: closing it with bytes of
 * the client unread would make the kernel take back what the client hasn't read yet. */
static void finish(rmq_dev_session *session)
{
    if (session->out.bytes > 0 || session->finished_ms != 0)
        return;
    shutdown(session->fd, SHUT_WR);
    session->finished_ms = rmq_dev_monotonic_ms();
}

/* Writes what waits; reads on if enough of it is gone. */
static void flush(rmq_dev_session *session)
{
    size_t written = 0;
    rmq_status status = rmq_dev_write_queue_flush(&session->out, session->fd, &written);
    if (written > 0) {
        session->last_traffic_ms = rmq_dev_monotonic_ms();
        session->last_write_ms = session->last_traffic_ms;
    }
    if (status == RMQ_CLOSED) {
        rmq_dev_session_close(session, "its socket is broken");
        return;
    }
    if (status == RMQ_AGAIN)
        event_add(session->write_event, NULL);
    else
        event_del(session->write_event);
    if (session->finishing) {
        finish(session);
        return;
    }
    size_t waiting = session->out.bytes + session->delayed_bytes;
    if (session->paused && waiting < session->broker->settings.write_pause_bytes / 2) {
        session->paused = false;
        if (!session->stalled)
            event_add(session->read_event, NULL);
        handle_frames(session);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_dev_session *session = ctx;
    rmq_dev_session_touch(session);
    rmq_dev_settle(session->broker);
}

/* ---- settling ---- */

static void unlink_session(rmq_dev_session *session)
{
    rmq_dev_sessions *sessions = &session->broker->sessions;
    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        sessions->first = session->next;
    if (session->next != NULL)
        session->next->previous = session->previous;
    sessions->count--;
}

/* Takes everything that refers to it away. Others may become dirty: a group's members are told. */
static void retire(rmq_dev_session *session)
{
    rmq_dev_holds_drop(session);
    rmq_dev_delayed_drop(session);
    rmq_dev_groups_session_closed(session->broker, session);
    unlink_session(session);
    session_free(session);
}

static void commit_journal(rmq_devbroker *broker)
{
    rmq_error err;
    if (broker->journal == NULL || rmq_dev_journal_commit(broker->journal, &err) == RMQ_OK)
        return;
    /* What was answered since the last commit isn't stored: take the answers back. */
    rmq_dev_log(&broker->settings, RMQ_LOG_ERROR, "%s", err.text);
    for (rmq_dev_session *session = broker->sessions.dirty; session != NULL;
         session = session->next_dirty)
        rmq_dev_session_close(session, "its request could not be stored");
}

void rmq_dev_settle(rmq_devbroker *broker)
{
    if (broker->restart_wanted)
        rmq_dev_restart_now(broker);
    while (broker->sessions.dirty != NULL) {
        commit_journal(broker);
        rmq_dev_session *list = broker->sessions.dirty;
        broker->sessions.dirty = NULL;
        while (list != NULL) {
            rmq_dev_session *session = list;
            list = session->next_dirty;
            session->dirty = false;
            if (!session->closed)
                flush(session);
            else
                retire(session);
        }
        if (broker->restart_wanted)
            rmq_dev_restart_now(broker);
    }
    commit_journal(broker);
}

/* ---- beginning ---- */

static void read_peer(rmq_dev_session *session)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    memset(&peer, 0, sizeof(peer));
    /* On failure the peer is 0.0.0.0:0: the connection is dead, and reading will say so. */
    if (getpeername(session->fd, (struct sockaddr *)&peer, &len) != 0)
        memset(&peer, 0, sizeof(peer));
    memcpy(session->peer.address, &peer.sin_addr, 4);
    session->peer.address_bytes = 4;
    session->peer.port = ntohs(peer.sin_port);
    snprintf(session->peer_text, sizeof(session->peer_text), "%u.%u.%u.%u:%d",
             session->peer.address[0], session->peer.address[1], session->peer.address[2],
             session->peer.address[3], session->peer.port);
}

void rmq_dev_session_accept(void *ctx, rmq_dev_port port, int take_fd)
{
    rmq_devbroker *broker = ctx;
    rmq_dev_session *session = rmq_calloc(1, sizeof(*session));
    if (session == NULL) {
        close(take_fd);
        return;
    }
    session->broker = broker;
    session->port = port;
    session->fd = take_fd;
    session->last_traffic_ms = rmq_dev_monotonic_ms();
    session->last_write_ms = session->last_traffic_ms;
    session->splitter = rmq_splitter_new(RMQ_FRAME_MAX_BYTES_DEFAULT);
    session->read_event =
        event_new(broker->base, take_fd, EV_READ | EV_PERSIST, on_readable, session);
    session->write_event =
        event_new(broker->base, take_fd, EV_WRITE | EV_PERSIST, on_writable, session);
    if (session->splitter == NULL || session->read_event == NULL || session->write_event == NULL ||
        event_add(session->read_event, NULL) != 0) {
        session_free(session);
        return;
    }
    read_peer(session);
    session->next = broker->sessions.first;
    if (session->next != NULL)
        session->next->previous = session;
    broker->sessions.first = session;
    broker->sessions.count++;
}

void rmq_dev_sessions_close_all(rmq_devbroker *broker, rmq_dev_port port, const char *why)
{
    for (rmq_dev_session *session = broker->sessions.first; session != NULL;
         session = session->next) {
        if (session->port == port)
            rmq_dev_session_close(session, why);
    }
}

void rmq_dev_sessions_sweep(rmq_devbroker *broker)
{
    const rmq_dev_settings *settings = &broker->settings;
    int64_t now = rmq_dev_monotonic_ms();
    for (rmq_dev_session *session = broker->sessions.first; session != NULL;
         session = session->next) {
        if (session->finished_ms != 0 && now - session->finished_ms >= LINGER_MS)
            rmq_dev_session_close(session, "it was to be closed");
        else if (now - session->last_traffic_ms >= settings->idle_ms)
            rmq_dev_session_close(session, "idle");
        else if (session->out.bytes > 0 && now - session->last_write_ms >= settings->write_stall_ms)
            rmq_dev_session_close(session, "it doesn't read its answers");
    }
}
