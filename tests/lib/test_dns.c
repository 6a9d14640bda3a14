/* Name lookup: literals, a hosts file of our own, a name server that never answers. */
#include "fake_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../lib/dns.h"

typedef struct question {
    rmq_task task;
    rmq_loop *loop;
    rmq_dns *dns;
    const char *resolv_conf;
    const char *hosts;
    const char *host;
    rmq_resolve *resolve;
    bool starting;
    bool from_inside;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int n_done;
    rmq_status status;
    size_t count;
    char texts[RMQ_DNS_MAX_ENDPOINTS][64];
    rmq_error error;
} question;

static void on_resolved(void *ctx, rmq_status status, const rmq_endpoint *endpoints, size_t count,
                        const rmq_error *err)
{
    question *own = ctx;
    pthread_mutex_lock(&own->mutex);
    own->from_inside = own->starting;
    own->resolve = NULL;
    own->status = status;
    own->count = count;
    if (status != RMQ_OK)
        own->error = *err;
    for (size_t i = 0; i < count; i++)
        rmq_endpoint_format(&endpoints[i], own->texts[i], sizeof(own->texts[i]));
    own->n_done++;
    pthread_cond_broadcast(&own->cond);
    pthread_mutex_unlock(&own->mutex);
}

static void run_question(rmq_task *task)
{
    question *own = (question *)task;
    rmq_error err;
    if (own->dns == NULL)
        ck_ok(rmq_dns_new(own->loop, own->resolv_conf, own->hosts, &own->dns, &err), &err);
    own->starting = true;
    rmq_address address = {.port = 77};
    snprintf(address.host, sizeof(address.host), "%s", own->host);
    ck_ok(rmq_dns_resolve(own->dns, &address, on_resolved, own, &own->resolve, &err), &err);
    own->starting = false;
}

static void run_free(rmq_task *task)
{
    question *own = (question *)task;
    rmq_dns_free(own->dns);
}

static void run_cancel(rmq_task *task)
{
    question *own = (question *)task;
    rmq_resolve_cancel(own->resolve);
}

static void question_init(question *own)
{
    rmq_error err;
    memset(own, 0, sizeof(*own));
    pthread_mutex_init(&own->mutex, NULL);
    pthread_cond_init(&own->cond, NULL);
    ck_ok(rmq_loop_new(&own->loop, &err), &err);
}

static void question_deinit(question *own)
{
    own->task.run = run_free;
    rmq_loop_run_sync(own->loop, &own->task);
    rmq_loop_free(own->loop);
}

static void ask(question *own, const char *host)
{
    own->host = host;
    own->n_done = 0;
    own->task.run = run_question;
    rmq_loop_run_sync(own->loop, &own->task);
}

static void await(question *own)
{
    pthread_mutex_lock(&own->mutex);
    while (own->n_done == 0)
        pthread_cond_wait(&own->cond, &own->mutex);
    ck_assert(!own->from_inside);
    pthread_mutex_unlock(&own->mutex);
}

START_TEST(literals_need_no_lookup)
{
    question own;
    question_init(&own);
    ask(&own, "127.0.0.9");
    await(&own);
    ck_assert_int_eq(own.status, RMQ_OK);
    ck_assert_uint_eq(own.count, 1);
    ck_assert_str_eq(own.texts[0], "127.0.0.9:77");
    ask(&own, "::1");
    await(&own);
    ck_assert_str_eq(own.texts[0], "[::1]:77");
    question_deinit(&own);
}
END_TEST

static char *write_file(const char *dir, const char *name, const char *text)
{
    char *path = NULL;
    ck_assert_int_gt(asprintf(&path, "%s/%s", dir, name), 0);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return path;
}

/* A UDP socket that takes questions and never answers; its resolv.conf. */
static char *make_mute_server(const char *dir, int *out_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    char text[128];
    *out_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(*out_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(getsockname(*out_fd, (struct sockaddr *)&address, &len), 0);
    snprintf(text, sizeof(text), "nameserver 127.0.0.1:%u\n", ntohs(address.sin_port));
    return write_file(dir, "resolv.conf", text);
}

/* A hosts file, and a name server that says nothing. */
typedef struct mute_network {
    char *dir;
    char *resolv_conf;
    char *hosts;
    int fd;
} mute_network;

static void mute_network_open(mute_network *net, question *own, const char *hosts)
{
    net->dir = temp_dir_make();
    net->resolv_conf = make_mute_server(net->dir, &net->fd);
    net->hosts = write_file(net->dir, "hosts", hosts);
    question_init(own);
    own->resolv_conf = net->resolv_conf;
    own->hosts = net->hosts;
}

static void mute_network_close(mute_network *net, question *own)
{
    question_deinit(own);
    close(net->fd);
    free(net->hosts);
    free(net->resolv_conf);
    temp_dir_remove(net->dir);
}

START_TEST(the_hosts_file_is_honoured_with_all_its_addresses)
{
    question own;
    mute_network net;
    mute_network_open(&net, &own, "10.1.2.3 one two\n10.1.2.4 two\n::1 two\n");
    ask(&own, "one");
    await(&own);
    ck_assert_int_eq(own.status, RMQ_OK);
    ck_assert_uint_eq(own.count, 1);
    ck_assert_str_eq(own.texts[0], "10.1.2.3:77");
    ask(&own, "two");
    await(&own);
    ck_assert_uint_eq(own.count, 3);
    mute_network_close(&net, &own);
}
END_TEST

static void wait_for_question(int fd)
{
    char packet[512];
    ck_assert_int_gt(recv(fd, packet, sizeof(packet), 0), 0);
}

START_TEST(a_lookup_can_be_cancelled_and_torn_down)
{
    question own;
    mute_network net;
    mute_network_open(&net, &own, "");
    ask(&own, "broker.invalid");
    wait_for_question(net.fd);
    if (_i >= 1) {
        own.task.run = run_cancel;
        rmq_loop_run_sync(own.loop, &own.task);
    }
    if (_i == 2) { /* and one more after it */
        ask(&own, "other.invalid");
        wait_for_question(net.fd);
    }
    mute_network_close(&net, &own);
    ck_assert_int_eq(own.n_done, 0);
}
END_TEST

START_TEST(a_name_that_does_not_exist_says_so)
{
    question own;
    mute_network net;
    mute_network_open(&net, &own, "");
    ask(&own, "broker.invalid");
    for (int i = 0; i < 2; i++) { /* A and AAAA: answered with "no such name" */
        unsigned char packet[512];
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t len =
            recvfrom(net.fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &from_len);
        ck_assert_int_gt(len, 12);
        packet[2] |= 0x80;
        packet[3] = 0x83;
        ck_assert_int_eq(sendto(net.fd, packet, (size_t)len, 0, (struct sockaddr *)&from, from_len),
                         len);
    }
    await(&own);
    ck_assert_int_eq(own.status, RMQ_IO);
    ck_assert_ptr_nonnull(strstr(own.error.text, "broker.invalid"));
    ck_assert(own.error.retriable);
    mute_network_close(&net, &own);
}
END_TEST

/* A client of "localhost": whatever the system's hosts file gives (::1 first, perhaps, where nobody
 * listens), one of the addresses works. */
START_TEST(a_client_tries_all_addresses_of_a_name)
{
    fake_peer peer;
    call_record record;
    char address[64];
    fake_peer_open(&peer);
    snprintf(address, sizeof(address), "localhost%s", strrchr(peer.address, ':'));
    rmq_client *client = client_make(address, NULL);
    record_init(&record, client, address);
    record_start(&record, 20000);
    int fd = fake_accept(&peer);
    fake_answer(fd, fake_read_opaque(fd), 0, 3);
    record_wait(&record, 1);
    ck_assert_int_eq(record.status, RMQ_OK);
    rmq_client_free(client);
    record_deinit(&record);
    close(fd);
    fake_peer_close(&peer);
}
END_TEST

/* As a user writes it, and as a Java broker registers itself. */
START_TEST(a_client_speaks_ipv6)
{
    fake_peer peer;
    call_record record;
    char java[64];
    if (!fake_peer_open_v6(&peer))
        return; /* no IPv6 on this machine */
    snprintf(java, sizeof(java), "::1%s", strrchr(peer.address, ':'));
    rmq_client *client = client_make(peer.address, NULL);
    record_init(&record, client, _i == 0 ? peer.address : java);
    record_start(&record, 20000);
    int fd = fake_accept(&peer);
    fake_answer(fd, fake_read_opaque(fd), 0, 6);
    record_wait(&record, 1);
    ck_assert_int_eq(record.number, 6);
    fake_peer_close(&peer);
    close(fd);
    record_start(&record, 20000);
    record_wait(&record, 2);
    ck_assert_int_ne(record.status, RMQ_OK);
    ck_assert_ptr_nonnull(strstr(record.error.text, "[::1]:"));
    rmq_client_free(client);
    record_deinit(&record);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("dns");
    TCase *tc = tcase_create("dns");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, literals_need_no_lookup);
    tcase_add_test(tc, the_hosts_file_is_honoured_with_all_its_addresses);
    tcase_add_loop_test(tc, a_lookup_can_be_cancelled_and_torn_down, 0, 3);
    tcase_add_test(tc, a_name_that_does_not_exist_says_so);
    tcase_add_test(tc, a_client_tries_all_addresses_of_a_name);
    tcase_add_loop_test(tc, a_client_speaks_ipv6, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
