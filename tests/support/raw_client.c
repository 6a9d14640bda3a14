/* The raw client. */
#include "raw_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "codes.h"

static struct sockaddr_in parse_address(const char *address)
{
    struct sockaddr_in peer = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(address, ':');
    ck_assert_ptr_nonnull(colon);
    size_t host_len = (size_t)(colon - address);
    ck_assert_uint_lt(host_len, sizeof(host));
    memcpy(host, address, host_len);
    host[host_len] = '\0';
    ck_assert_int_eq(inet_pton(AF_INET, host, &peer.sin_addr), 1);
    peer.sin_port = htons((uint16_t)atoi(colon + 1));
    return peer;
}

raw_client raw_connect(const char *address)
{
    struct sockaddr_in peer = parse_address(address);
    raw_client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                         .serialization = RMQ_SERIALIZATION_JSON,
                         .next_opaque = 1,
                         .version = RMQ_PROTOCOL_VERSION};
    ck_assert_int_ge(client.fd, 0);
    struct timeval timeout = {10, 0};
    int on = 1;
    setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(client.fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int connected = connect(client.fd, (const struct sockaddr *)&peer, sizeof(peer));
    ck_assert_msg(connected == 0, "connect %s: %s", address, strerror(errno));
    return client;
}

bool raw_reachable(const char *address)
{
    struct sockaddr_in peer = parse_address(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    int connected = connect(fd, (const struct sockaddr *)&peer, sizeof(peer));
    close(fd);
    return connected == 0;
}

void raw_close(raw_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

void raw_send_bytes(raw_client *client, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(client->fd, at, len, MSG_NOSIGNAL);
        ck_assert_msg(n > 0, "send: %s", strerror(errno));
        at += n;
        len -= (size_t)n;
    }
}

void raw_send_command(raw_client *client, rmq_command *command)
{
    rmq_buf buf;
    rmq_error err;
    if (command->opaque == 0)
        command->opaque = client->next_opaque++;
    command->version = client->version;
    rmq_buf_init(&buf, 64u * 1024 * 1024);
    rmq_status status = rmq_command_encode(command, client->serialization, &buf, &err);
    ck_assert_msg(status == RMQ_OK, "encode: %s", err.text);
    raw_send_bytes(client, buf.data, buf.len);
    rmq_buf_deinit(&buf);
}

int32_t raw_send(raw_client *client, int32_t code, const char *const *fields, rmq_slice body)
{
    rmq_command command;
    rmq_command_init(&command, code);
    command.body = body;
    for (; fields != NULL && *fields != NULL; fields++) {
        const char *equals = strchr(*fields, '=');
        ck_assert_ptr_nonnull(equals);
        char name[64];
        size_t len = (size_t)(equals - *fields);
        ck_assert_uint_lt(len, sizeof(name));
        memcpy(name, *fields, len);
        name[len] = '\0';
        rmq_command_set(&command, name, equals + 1);
    }
    raw_send_command(client, &command);
    int32_t opaque = command.opaque;
    rmq_command_deinit(&command);
    return opaque;
}

static void read_exactly(raw_client *client, uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(client->fd, data, len, 0);
        ck_assert_msg(n != 0, "the peer closed in the middle, or instead, of a frame");
        ck_assert_msg(n > 0, "recv: %s", strerror(errno));
        data += n;
        len -= (size_t)n;
    }
}

raw_frame raw_read(raw_client *client)
{
    uint8_t word[4];
    read_exactly(client, word, sizeof(word));
    size_t total = (size_t)word[0] << 24 | (size_t)word[1] << 16 | (size_t)word[2] << 8 | word[3];
    ck_assert_uint_lt(total, 64u * 1024 * 1024);
    uint8_t *bytes = malloc(total + 4);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, word, 4);
    read_exactly(client, bytes + 4, total);
    raw_frame frame;
    rmq_error err;
    rmq_status status = rmq_frame_from_bytes(bytes, total + 4, &frame.frame, &err);
    ck_assert_msg(status == RMQ_OK, "frame: %s", err.text);
    free(bytes);
    status = rmq_command_decode(frame.frame, &frame.command, &err);
    ck_assert_msg(status == RMQ_OK, "header: %s", err.text);
    return frame;
}

void raw_frame_free(raw_frame *frame)
{
    rmq_command_deinit(&frame->command);
    rmq_frame_unref(frame->frame);
}

raw_frame raw_read_answer(raw_client *client, int32_t opaque)
{
    for (;;) {
        raw_frame frame = raw_read(client);
        if (rmq_command_is_response(&frame.command) && frame.command.opaque == opaque)
            return frame;
        raw_frame_free(&frame);
    }
}

raw_frame raw_call(raw_client *client, int32_t code, const char *const *fields, rmq_slice body)
{
    return raw_read_answer(client, raw_send(client, code, fields, body));
}

size_t raw_read_to_end(raw_client *client, uint8_t *out_data, size_t capacity)
{
    size_t len = 0;
    for (;;) {
        uint8_t thrown[4096];
        bool room = len < capacity;
        ssize_t n = room ? recv(client->fd, out_data + len, capacity - len, 0)
                         : recv(client->fd, thrown, sizeof(thrown), 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return len;
        ck_assert_msg(n > 0, "recv: %s", strerror(errno));
        len += (size_t)n;
    }
}

bool raw_silent(raw_client *client, int wait_ms)
{
    struct pollfd poller = {.fd = client->fd, .events = POLLIN};
    return poll(&poller, 1, wait_ms) == 0;
}

int64_t raw_int(const raw_frame *frame, const char *name)
{
    int64_t value = -1;
    bool found = rmq_command_get_int64(&frame->command, name, &value);
    ck_assert_msg(found, "no number %s in an answer of code %d (%.*s)", name, frame->command.code,
                  (int)frame->command.remark.len, frame->command.remark.data);
    return value;
}

void raw_expect(const raw_frame *frame, int32_t code)
{
    ck_assert_msg(frame->command.code == code, "code %d, expected %d (%.*s)", frame->command.code,
                  code, (int)frame->command.remark.len, frame->command.remark.data);
}
