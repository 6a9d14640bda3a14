/* The server side of link tests, and records of what the client did. */
#include "fake_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

void fake_peer_open(fake_peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(peer->listener, 0);
    ck_assert_int_eq(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(peer->listener, 64), 0);
    ck_assert_int_eq(getsockname(peer->listener, (struct sockaddr *)&address, &len), 0);
    snprintf(peer->address, sizeof(peer->address), "127.0.0.1:%u", ntohs(address.sin_port));
}

bool fake_peer_open_v6(fake_peer *peer)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    socklen_t len = sizeof(address);
    peer->listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->listener < 0 ||
        bind(peer->listener, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fake_peer_close(peer);
        return false;
    }
    ck_assert_int_eq(listen(peer->listener, 64), 0);
    ck_assert_int_eq(getsockname(peer->listener, (struct sockaddr *)&address, &len), 0);
    snprintf(peer->address, sizeof(peer->address), "[::1]:%u", ntohs(address.sin6_port));
    return true;
}

void fake_peer_close(fake_peer *peer)
{
    if (peer->listener >= 0)
        close(peer->listener);
    peer->listener = -1;
}

static bool wait_for(int fd, short events, int wait_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int ready;
    do {
        ready = poll(&poll_fd, 1, wait_ms);
    } while (ready < 0 && errno == EINTR);
    return ready == 1;
}

int fake_accept(const fake_peer *peer)
{
    ck_assert_msg(wait_for(peer->listener, POLLIN, PATIENCE_MS), "nobody connects");
    int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

bool fake_nobody_connects(const fake_peer *peer, int wait_ms)
{
    return !wait_for(peer->listener, POLLIN, wait_ms);
}

static void read_all(int fd, uint8_t *data, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ck_assert_msg(wait_for(fd, POLLIN, PATIENCE_MS), "no bytes come");
        ssize_t n = read(fd, data + got, len - got);
        ck_assert_msg(n > 0, "the client closed, %zu of %zu bytes read", got, len);
        got += (size_t)n;
    }
}

void fake_read(int fd, rmq_frame **out_frame, rmq_command *out_command)
{
    uint8_t word[4];
    rmq_error err;
    read_all(fd, word, 4);
    size_t len = (size_t)word[0] << 24 | (size_t)word[1] << 16 | (size_t)word[2] << 8 | word[3];
    ck_assert_uint_lt(len, 64u << 20);
    uint8_t *bytes = malloc(len + 4);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, word, 4);
    read_all(fd, bytes + 4, len);
    ck_ok(rmq_frame_from_bytes(bytes, len + 4, out_frame, &err), &err);
    free(bytes);
    ck_ok(rmq_command_decode(*out_frame, out_command, &err), &err);
}

int32_t fake_read_opaque(int fd)
{
    rmq_frame *frame;
    rmq_command command;
    fake_read(fd, &frame, &command);
    int32_t opaque = command.opaque;
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    return opaque;
}

void fake_write(int fd, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0)
            return; /* the client may have closed: the test looks at that */
        at += n;
        len -= (size_t)n;
    }
}

void fake_write_command(int fd, rmq_command *command)
{
    rmq_buf out;
    rmq_error err;
    rmq_buf_init(&out, 64u << 20);
    ck_ok(rmq_command_encode(command, RMQ_SERIALIZATION_JSON, &out, &err), &err);
    fake_write(fd, out.data, out.len);
    rmq_buf_deinit(&out);
}

void fake_answer_body(int fd, int32_t opaque, int32_t code, const char *remark, rmq_slice body)
{
    rmq_command answer;
    rmq_command_init(&answer, code);
    answer.flag = RMQ_FLAG_RESPONSE;
    answer.opaque = opaque;
    answer.body = body;
    if (remark != NULL)
        rmq_command_set_remark(&answer, remark);
    fake_write_command(fd, &answer);
    rmq_command_deinit(&answer);
}

void fake_answer(int fd, int32_t opaque, int32_t code, int64_t number)
{
    rmq_command answer;
    rmq_command_init(&answer, code);
    answer.flag = RMQ_FLAG_RESPONSE;
    answer.opaque = opaque;
    rmq_command_set_int(&answer, "n", number);
    fake_write_command(fd, &answer);
    rmq_command_deinit(&answer);
}

void fake_expect_closed(int fd)
{
    uint8_t byte;
    ck_assert_msg(wait_for(fd, POLLIN, PATIENCE_MS), "the connection is not closed");
    ssize_t n = read(fd, &byte, 1);
    ck_assert_msg(n <= 0, "a byte comes instead of the end");
}

/* ---- calls ---- */

void record_init(call_record *record, rmq_client *client, const char *address)
{
    memset(record, 0, sizeof(*record));
    pthread_mutex_init(&record->mutex, NULL);
    pthread_cond_init(&record->cond, NULL);
    record->client = client;
    record->address = address;
    record->request_code = 105;
}

void record_deinit(call_record *record)
{
    pthread_cond_destroy(&record->cond);
    pthread_mutex_destroy(&record->mutex);
}

static void on_done(void *ctx, const rmq_call_outcome *outcome)
{
    call_record *record = ctx;
    pthread_mutex_lock(&record->mutex);
    record->n_done++;
    record->status = outcome->status;
    record->sent = outcome->sent;
    record->number = -1;
    record->code = -1;
    if (outcome->status == RMQ_OK) {
        record->code = outcome->answer->command.code;
        (void)rmq_command_get_int64(&outcome->answer->command, "n", &record->number);
    } else {
        record->error = *outcome->err;
    }
    record->call = NULL;
    pthread_cond_broadcast(&record->cond);
    pthread_mutex_unlock(&record->mutex);
}

static void run_start(rmq_task *task)
{
    call_record *record = (call_record *)((char *)task - offsetof(call_record, task));
    rmq_command request;
    rmq_command_init(&request, record->request_code);
    rmq_command_set(&request, "topic", "T");
    int before = record->n_done;
    record->call = rmq_call_start_cancellable(record->client, record->address, &request,
                                              record->timeout_ms, on_done, record);
    ck_assert_int_eq(record->n_done, before); /* never from inside */
    if (record->call != NULL)
        rmq_call_be_patient(record->call, record->patience);
    record->refused = record->call != NULL && record->call->state == RMQ_CALL_REFUSED;
    rmq_command_deinit(&request);
}

void record_start(call_record *record, int64_t timeout_ms)
{
    record->timeout_ms = timeout_ms;
    record->task.run = run_start;
    rmq_loop_run_sync(record->client->loop, &record->task);
}

static void run_cancel(rmq_task *task)
{
    call_record *record = (call_record *)((char *)task - offsetof(call_record, task));
    if (record->call != NULL)
        rmq_call_cancel(record->call);
    record->call = NULL;
}

void record_cancel(call_record *record)
{
    record->task.run = run_cancel;
    rmq_loop_run_sync(record->client->loop, &record->task);
}

static void set_deadline(struct timespec *out_until)
{
    clock_gettime(CLOCK_REALTIME, out_until);
    out_until->tv_sec += PATIENCE_MS / 1000;
}

void record_wait(call_record *record, int n)
{
    struct timespec until;
    set_deadline(&until);
    pthread_mutex_lock(&record->mutex);
    int woken = 0;
    while (record->n_done < n && woken == 0)
        woken = pthread_cond_timedwait(&record->cond, &record->mutex, &until);
    int n_done = record->n_done;
    pthread_mutex_unlock(&record->mutex);
    ck_assert_int_eq(n_done, n);
}

int record_count(call_record *record)
{
    pthread_mutex_lock(&record->mutex);
    int n_done = record->n_done;
    pthread_mutex_unlock(&record->mutex);
    return n_done;
}

/* ---- log ---- */

void log_record_init(log_record *record)
{
    memset(record, 0, sizeof(*record));
    pthread_mutex_init(&record->mutex, NULL);
    pthread_cond_init(&record->cond, NULL);
}

void log_record_fn(void *ctx, rmq_log_level level, const char *area, const char *line)
{
    log_record *record = ctx;
    pthread_mutex_lock(&record->mutex);
    record->n_lines++;
    if (level <= RMQ_LOG_WARN) {
        record->n_warnings++;
        snprintf(record->last_warning, sizeof(record->last_warning), "%s: %s", area, line);
    }
    size_t len = strlen(record->all);
    snprintf(record->all + len, sizeof(record->all) - len, "%s: %s\n", area, line);
    pthread_cond_broadcast(&record->cond);
    pthread_mutex_unlock(&record->mutex);
}

int log_warnings(log_record *record)
{
    pthread_mutex_lock(&record->mutex);
    int n_warnings = record->n_warnings;
    pthread_mutex_unlock(&record->mutex);
    return n_warnings;
}

void log_wait_for(log_record *record, const char *text)
{
    struct timespec until;
    set_deadline(&until);
    pthread_mutex_lock(&record->mutex);
    int woken = 0;
    while (strstr(record->all, text) == NULL && woken == 0)
        woken = pthread_cond_timedwait(&record->cond, &record->mutex, &until);
    bool found = strstr(record->all, text) != NULL;
    pthread_mutex_unlock(&record->mutex);
    ck_assert_msg(found, "no line with \"%s\" in:\n%s", text, record->all);
}

rmq_client *client_make(const char *namesrv, const rmq_client_config *config)
{
    rmq_client_config own = RMQ_CLIENT_CONFIG_INIT;
    rmq_error err;
    rmq_client *client = NULL;
    if (config != NULL)
        own = *config;
    own.namesrv = namesrv;
    ck_ok(rmq_client_new(&own, &client, &err), &err);
    return client;
}
