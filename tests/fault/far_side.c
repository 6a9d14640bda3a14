/* The broker's process, and its TLS front: each connection of the front has a thread that decrypts
 * into a connection of its own to the broker. */
#include "far_side.h"

#include "../lib/tls_server.h"
#include "../support/test_broker.h"
#include "fault_calls.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the TLS front ---- */

typedef struct tls_front {
    int listener;
    uint16_t to;
    SSL_CTX *context;
} tls_front;

typedef struct tls_link {
    const tls_front *front;
    int fd;
} tls_link;

/* Nothing waits for more to send. */
static void no_delay(int fd)
{
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int loopback_socket(uint16_t port, bool listens)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *at = (const struct sockaddr *)&address;
    int failed = listens ? bind(fd, at, sizeof(address)) || listen(fd, 64)
                         : connect(fd, at, sizeof(address));
    if (failed != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        len -= (size_t)sent;
    }
    return true;
}

/* Moves what is there in one direction; false at the end. */
static bool pass_on(SSL *ssl, int inner, bool inward)
{
    char data[16384];
    if (inward) {
        int got = SSL_read(ssl, data, sizeof(data));
        return got > 0 && write_all(inner, data, (size_t)got);
    }
    ssize_t got = recv(inner, data, sizeof(data), 0);
    return got > 0 && SSL_write(ssl, data, (int)got) == (int)got;
}

static void *run_link(void *ctx)
{
    tls_link *link = ctx;
    SSL *ssl = SSL_new(link->front->context);
    int inner = loopback_socket(link->front->to, false);
    no_delay(link->fd);
    no_delay(inner);
    SSL_set_fd(ssl, link->fd);
    bool alive = inner >= 0 && SSL_accept(ssl) == 1;
    while (alive) {
        struct pollfd ends[2] = {{.fd = link->fd, .events = POLLIN},
                                 {.fd = inner, .events = POLLIN}};
        if (SSL_pending(ssl) == 0 && poll(ends, 2, -1) <= 0)
            continue;
        if (SSL_pending(ssl) > 0 || ends[0].revents != 0)
            alive = pass_on(ssl, inner, true);
        if (alive && ends[1].revents != 0)
            alive = pass_on(ssl, inner, false);
    }
    ERR_clear_error();
    SSL_free(ssl);
    if (inner >= 0)
        close(inner);
    close(link->fd);
    free(link);
    return NULL;
}

static void *run_front(void *ctx)
{
    tls_front *front = ctx;
    for (;;) {
        int fd = accept(front->listener, NULL, NULL);
        tls_link *link = fd >= 0 ? malloc(sizeof(*link)) : NULL;
        pthread_t thread;
        if (link == NULL)
            continue;
        *link = (tls_link){front, fd};
        if (pthread_create(&thread, NULL, run_link, link) == 0)
            pthread_detach(thread);
    }
    return NULL;
}

static uint16_t port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon != NULL ? (uint16_t)strtol(colon + 1, NULL, 10) : 0;
}

/* Serves on a thread for ever; returns the port. */
static uint16_t start_front(const char *to, SSL_CTX *context)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    pthread_t thread;
    tls_front *front = calloc(1, sizeof(*front));
    ck_assert_ptr_nonnull(front);
    front->listener = loopback_socket(0, true);
    front->to = port_of(to);
    front->context = context;
    ck_assert_int_ge(front->listener, 0);
    ck_assert_int_eq(getsockname(front->listener, (struct sockaddr *)&address, &len), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_front, front), 0);
    pthread_detach(thread);
    return ntohs(address.sin_port);
}

static void start_tls(far_side *far, const char *directory)
{
    tls_ca ca;
    X509 *cert;
    EVP_PKEY *key;
    tls_ca_make(&ca, "test CA");
    snprintf(far->ca_path, sizeof(far->ca_path), "%s/ca.pem", directory);
    tls_write_cert(ca.cert, far->ca_path);
    tls_issue(&ca, NULL, -3600, 3600, &cert, &key);
    snprintf(far->cert_path, sizeof(far->cert_path), "%s/client.pem", directory);
    snprintf(far->key_path, sizeof(far->key_path), "%s/client.key", directory);
    tls_write_cert(cert, far->cert_path);
    tls_write_key(key, far->key_path);
    tls_issue(&ca, "IP:127.0.0.1,DNS:broker.test", -3600, 3600, &cert, &key);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(context, cert), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, key), 1);
    far->tls_ports[0] = start_front(far->namesrv, context);
    far->tls_ports[1] = start_front(far->broker, context);
}

/* ---- the process ---- */

static void serve(far_side *far, int32_t n_queues, int64_t count, const char *tls_dir)
{
    test_broker broker;
    test_broker_start_dev(&broker, NULL);
    char *topic = test_broker_topic(&broker, n_queues);
    char *name = test_broker_name(&broker, topic);
    for (int32_t q = 0; q < n_queues; q++) {
        rmq_queue queue = {topic, name, q};
        test_broker_fill(&broker, &queue, 0, count, 100);
    }
    snprintf(far->namesrv, sizeof(far->namesrv), "%s", broker.namesrv);
    snprintf(far->broker, sizeof(far->broker), "%s", rmq_devbroker_address(broker.dev));
    snprintf(far->topic, sizeof(far->topic), "%s", topic);
    snprintf(far->broker_name, sizeof(far->broker_name), "%s", name);
    if (tls_dir != NULL)
        start_tls(far, tls_dir);
}

void far_side_start(far_side *far, int32_t n_queues, int64_t count, const char *tls_dir)
{
    int told[2];
    int stop[2];
    memset(far, 0, sizeof(*far));
    ck_assert_int_eq(pipe(told), 0);
    ck_assert_int_eq(pipe(stop), 0);
    far->pid = fork();
    ck_assert_int_ge(far->pid, 0);
    if (far->pid == 0) {
        char byte;
        close(told[0]);
        close(stop[1]);
        serve(far, n_queues, count, tls_dir);
        if (write(told[1], far, sizeof(*far)) == sizeof(*far))
            (void)!read(stop[0], &byte, 1);
        _exit(0);
    }
    close(told[1]);
    close(stop[0]);
    pid_t pid = far->pid;
    ck_assert_int_eq(read(told[0], far, sizeof(*far)), sizeof(*far));
    close(told[0]);
    far->pid = pid;
    far->pipe_fd = stop[1];
}

void far_side_stop(far_side *far)
{
    close(far->pipe_fd);
    waitpid(far->pid, NULL, 0);
}

void far_side_use_tls(const far_side *far)
{
    fault_map_port(port_of(far->namesrv), far->tls_ports[0]);
    fault_map_port(port_of(far->broker), far->tls_ports[1]);
}
