/* TLS: who is trusted, under which name, in which version, and with which certificate of our own.
 */
#include "tls_server.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUR 3600L

static char *dir;
static tls_ca ca;
static char ca_path[256];

static void setup(void)
{
    dir = temp_dir_make();
    tls_ca_make(&ca, "test CA");
    snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", dir);
    tls_write_cert(ca.cert, ca_path);
}

static void teardown(void)
{
    tls_ca_free(&ca);
    temp_dir_remove(dir);
}

static rmq_client_config base_config(void)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.tls = true;
    config.tls_ca = ca_path;
    return config;
}

/* Connects once; gives the status and leaves the text in *out_error. */
static rmq_status connect_once(tls_server *server, const rmq_client_config *config,
                               log_record *logged, rmq_error *out_error)
{
    rmq_client_config own = *config;
    log_record_init(logged);
    own.log = log_record_fn;
    own.log_ctx = logged;
    rmq_client *client = client_make(server->peer.address, &own);
    rmq_status status = rmq_client_connect(client, 10000, out_error);
    rmq_client_free(client);
    tls_server_stop(server);
    return status;
}

static rmq_status connect_with_cert(const tls_ca *issuer, const char *names, long from_s, long to_s,
                                    const rmq_client_config *config, int *out_handshakes,
                                    rmq_error *out_error)
{
    tls_server server = {.max_version = 0};
    log_record logged;
    X509 *cert;
    EVP_PKEY *key;
    tls_issue(issuer, names, from_s, to_s, &cert, &key);
    tls_server_start(&server, cert, key, NULL, 1);
    rmq_status status = connect_once(&server, config, &logged, out_error);
    *out_handshakes = server.n_handshakes;
    return status;
}

typedef struct name_case {
    const char *names;
    const char *server_name; /* NULL: the address */
    bool good;
} name_case;

static const name_case names[] = {
    {"IP:127.0.0.1", NULL, true},
    {"DNS:broker.test", NULL, false},
    {"DNS:127.0.0.1", NULL, false}, /* an address is not a name */
    {"IP:127.0.0.2", NULL, false},
    {NULL, NULL, false},
    {"DNS:broker.test", "broker.test", true},
    {"DNS:other.test,DNS:broker.test", "broker.test", true},
    {"DNS:*.site.test", "broker.site.test", true},
    {"DNS:*.site.test", "a.broker.site.test", false},
    {"DNS:b*.site.test", "broker.site.test", false}, /* partial wildcards are refused */
    {"DNS:other.test", "broker.test", false},
    {"IP:127.0.0.1", "broker.test", false}, /* the name counts instead of the address */
    {"IP:10.0.0.9", "10.0.0.9", true},
    {"DNS:test", "broker.test", false},
};

START_TEST(the_name_is_checked)
{
    const name_case *each = &names[_i];
    rmq_client_config config = base_config();
    rmq_error err;
    int n_handshakes;
    config.tls_server_name = each->server_name;
    rmq_status status =
        connect_with_cert(&ca, each->names, -HOUR, HOUR, &config, &n_handshakes, &err);
    if (each->good) {
        ck_assert_msg(status == RMQ_OK, "case %d: %s", _i, err.text);
        ck_assert_int_eq(n_handshakes, 1);
        return;
    }
    ck_assert_msg(status == RMQ_TLS, "case %d: %s", _i, rmq_status_name(status));
    ck_assert_msg(strstr(err.text, "mismatch") != NULL, "%s", err.text);
    ck_assert(!err.retriable);
}
END_TEST

START_TEST(an_expired_certificate_is_refused)
{
    rmq_client_config config = base_config();
    rmq_error err;
    int n_handshakes;
    ck_status(
        connect_with_cert(&ca, "IP:127.0.0.1", -2 * HOUR, -HOUR, &config, &n_handshakes, &err),
        RMQ_TLS);
    ck_assert_msg(strstr(err.text, "expired") != NULL, "%s", err.text);
    ck_status(connect_with_cert(&ca, "IP:127.0.0.1", HOUR, 2 * HOUR, &config, &n_handshakes, &err),
              RMQ_TLS);
    ck_assert_msg(strstr(err.text, "not yet valid") != NULL, "%s", err.text);
}
END_TEST

START_TEST(an_unknown_issuer_is_refused)
{
    rmq_client_config config = base_config();
    rmq_error err;
    int n_handshakes;
    tls_ca other;
    tls_ca_make(&other, "other CA");
    ck_status(connect_with_cert(&other, "IP:127.0.0.1", -HOUR, HOUR, &config, &n_handshakes, &err),
              RMQ_TLS);
    ck_assert_msg(strstr(err.text, "issuer") != NULL, "%s", err.text);
    config.tls_ca = NULL; /* the system's don't know it either */
    ck_status(connect_with_cert(&ca, "IP:127.0.0.1", -HOUR, HOUR, &config, &n_handshakes, &err),
              RMQ_TLS);
    tls_ca_free(&other);
}
END_TEST

START_TEST(insecure_takes_anything_and_warns)
{
    rmq_client_config config = base_config();
    rmq_error err;
    log_record logged;
    tls_server server = {.max_version = 0};
    tls_ca other;
    X509 *cert;
    EVP_PKEY *key;
    tls_ca_make(&other, "other CA");
    tls_issue(&other, "DNS:x", -2 * HOUR, -HOUR, &cert, &key);
    tls_server_start(&server, cert, key, NULL, 1);
    config.tls_ca = NULL;
    config.tls_insecure = true;
    ck_ok(connect_once(&server, &config, &logged, &err), &err);
    ck_assert_int_eq(log_warnings(&logged), 1);
    log_wait_for(&logged, "not verified");
    tls_ca_free(&other);
}
END_TEST

START_TEST(old_versions_are_refused)
{
    static const int versions[] = {TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    rmq_client_config config = base_config();
    rmq_error err;
    log_record logged;
    tls_server server = {.max_version = versions[_i]};
    X509 *cert;
    EVP_PKEY *key;
    tls_issue(&ca, "IP:127.0.0.1", -HOUR, HOUR, &cert, &key);
    tls_server_start(&server, cert, key, NULL, 1);
    rmq_status status = connect_once(&server, &config, &logged, &err);
    ck_assert_int_eq(status, _i == 0 ? RMQ_TLS : RMQ_OK);
}
END_TEST

/* Our own certificate: none, of another CA, the right one; in TLS 1.2 and 1.3. */
START_TEST(the_servers_check_of_our_certificate)
{
    int which = _i % 3;
    rmq_client_config config = base_config();
    rmq_error err;
    log_record logged;
    tls_server server = {.max_version = _i < 3 ? TLS1_2_VERSION : TLS1_3_VERSION};
    tls_ca other;
    X509 *cert;
    EVP_PKEY *key;
    char cert_path[256];
    char key_path[256];
    snprintf(cert_path, sizeof(cert_path), "%s/client.pem", dir);
    snprintf(key_path, sizeof(key_path), "%s/client.key", dir);
    tls_ca_make(&other, "other CA");
    tls_issue(which == 1 ? &other : &ca, NULL, -HOUR, HOUR, &cert, &key);
    tls_write_cert(cert, cert_path);
    tls_write_key(key, key_path);
    X509_free(cert);
    EVP_PKEY_free(key);
    tls_issue(&ca, "IP:127.0.0.1", -HOUR, HOUR, &cert, &key);
    tls_server_start(&server, cert, key, &ca, 1);
    if (which != 0) {
        config.tls_cert = cert_path;
        config.tls_key = key_path;
    }
    rmq_status status = connect_once(&server, &config, &logged, &err);
    if (which == 2)
        ck_assert_msg(status == RMQ_OK, "case %d: %s", _i, err.text);
    else
        ck_assert_msg(status == RMQ_TLS, "case %d: %s %s", _i, rmq_status_name(status),
                      status == RMQ_OK ? "" : err.text);
    tls_ca_free(&other);
}
END_TEST

typedef struct echo {
    rmq_task task;
    rmq_client *client;
    const char *address;
    rmq_slice body;
    rmq_status status;
    rmq_error error;
} echo;

static void *run_echo(void *ctx)
{
    echo *own = ctx;
    rmq_answer *answer = NULL;
    rmq_command request;
    rmq_command_init(&request, 310);
    request.body = own->body;
    own->status = rmq_call_sync(own->client, own->address, &request, 20000, &answer, &own->error);
    if (own->status == RMQ_OK &&
        (answer->command.body.len != own->body.len ||
         memcmp(answer->command.body.data, own->body.data, own->body.len) != 0))
        own->status = RMQ_CORRUPT;
    rmq_answer_free(answer);
    rmq_command_deinit(&request);
    return NULL;
}

START_TEST(large_frames_pass_both_ways)
{
    rmq_client_config config = base_config();
    tls_server server = {.max_version = 0};
    X509 *cert;
    EVP_PKEY *key;
    size_t len = 8u << 20;
    char *body = malloc(len);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 2654435761u >> 24);
    tls_issue(&ca, "IP:127.0.0.1", -HOUR, HOUR, &cert, &key);
    tls_server_start(&server, cert, key, NULL, 1);
    rmq_client *client = client_make(server.peer.address, &config);
    echo small = {.client = client, .address = server.peer.address, .body = {body, 100}};
    echo large = small;
    large.body.len = len;
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, run_echo, &large);
    pthread_create(&threads[1], NULL, run_echo, &small);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    ck_ok(large.status, &large.error);
    ck_ok(small.status, &small.error);
    rmq_client_free(client);
    tls_server_stop(&server);
    free(body);
}
END_TEST

START_TEST(a_handshake_that_never_ends_is_bounded)
{
    rmq_client_config config = base_config();
    rmq_error err;
    fake_peer peer;
    fake_peer_open(&peer);
    config.connect_timeout_ms = 100;
    rmq_client *client = client_make(peer.address, &config);
    rmq_status status = rmq_client_connect(client, 5000, &err);
    ck_assert_int_eq(status, RMQ_IO);
    ck_assert_msg(strstr(err.text, "TLS handshake timed out") != NULL, "%s", err.text);
    rmq_client_free(client);
    /* And freeing in the middle of one doesn't wait for it. */
    config.connect_timeout_ms = 3600000;
    client = client_make(peer.address, &config);
    call_record record;
    record_init(&record, client, peer.address);
    record_start(&record, 3600000);
    int fd = fake_accept(&peer); /* the first client's */
    int fd2 = fake_accept(&peer);
    rmq_client_free(client);
    record_wait(&record, 1);
    ck_assert_int_eq(record.status, RMQ_CANCELLED);
    ck_assert(!record.sent);
    close(fd);
    close(fd2);
    record_deinit(&record);
    fake_peer_close(&peer);
}
END_TEST

START_TEST(a_plain_server_is_told_from_a_tls_one)
{
    rmq_client_config config = base_config();
    rmq_error err;
    fake_peer peer;
    call_record record;
    fake_peer_open(&peer);
    rmq_client *client = client_make(peer.address, &config);
    record_init(&record, client, peer.address);
    record_start(&record, 20000);
    int fd = fake_accept(&peer);
    fake_write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    record_wait(&record, 1);
    ck_assert_int_eq(record.status, RMQ_TLS);
    ck_assert_msg(strstr(record.error.text, "TLS handshake") != NULL, "%s", record.error.text);
    rmq_client_free(client);
    record_deinit(&record);
    close(fd);
    fake_peer_close(&peer);
    (void)err;
}
END_TEST

START_TEST(bad_files_are_refused_by_name)
{
    rmq_client_config config = base_config();
    rmq_client *client = NULL;
    rmq_error err;
    char missing[256];
    snprintf(missing, sizeof(missing), "%s/missing.pem", dir);
    config.tls_ca = missing;
    ck_status(rmq_client_new(&config, &client, &err), RMQ_TLS);
    ck_assert_ptr_nonnull(strstr(err.text, missing));
    config = base_config();
    config.tls_cert = missing;
    config.tls_key = missing;
    ck_status(rmq_client_new(&config, &client, &err), RMQ_TLS);
    ck_assert_ptr_nonnull(strstr(err.text, "tls_cert"));
    config.tls_cert = ca_path; /* a certificate without its key */
    config.tls_key = ca_path;
    ck_status(rmq_client_new(&config, &client, &err), RMQ_TLS);
    ck_assert_ptr_nonnull(strstr(err.text, "tls_key"));
}
END_TEST

START_TEST(an_encrypted_key_is_refused_without_asking)
{
    rmq_client_config config = base_config();
    rmq_client *client = NULL;
    rmq_error err;
    char key_path[256];
    snprintf(key_path, sizeof(key_path), "%s/encrypted.key", dir);
    FILE *file = fopen(key_path, "w");
    ck_assert_int_eq(PEM_write_PrivateKey(file, ca.key, EVP_aes_128_cbc(),
                                          (const unsigned char *)"password", 8, NULL, NULL),
                     1);
    fclose(file);
    config.tls_cert = ca_path;
    config.tls_key = key_path;
    ck_status(rmq_client_new(&config, &client, &err), RMQ_TLS);
    ck_assert_ptr_nonnull(strstr(err.text, "encrypted.key"));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("tls");
    TCase *tc = tcase_create("tls");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, the_name_is_checked, 0, (int)(sizeof(names) / sizeof(names[0])));
    tcase_add_test(tc, an_expired_certificate_is_refused);
    tcase_add_test(tc, an_unknown_issuer_is_refused);
    tcase_add_test(tc, insecure_takes_anything_and_warns);
    tcase_add_loop_test(tc, old_versions_are_refused, 0, 3);
    tcase_add_loop_test(tc, the_servers_check_of_our_certificate, 0, 6);
    tcase_add_test(tc, large_frames_pass_both_ways);
    tcase_add_test(tc, a_handshake_that_never_ends_is_bounded);
    tcase_add_test(tc, a_plain_server_is_told_from_a_tls_one);
    tcase_add_test(tc, bad_files_are_refused_by_name);
    tcase_add_test(tc, an_encrypted_key_is_refused_without_asking);
    suite_add_tcase(suite, tc);
    return suite;
}
