/* Certificates and a TLS server for tests. */
#include "tls_server.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long next_serial = 1;

static X509 *make_cert(EVP_PKEY *key, const char *name, long from_s, long to_s)
{
    X509 *cert = X509_new();
    ck_assert_ptr_nonnull(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), next_serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), to_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_pubkey(cert, key);
    return cert;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

static EVP_PKEY *make_key(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    ck_assert_int_eq(EVP_PKEY_keygen_init(context), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1), 1);
    ck_assert_int_eq(EVP_PKEY_keygen(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

void tls_ca_make(tls_ca *ca, const char *name)
{
    ca->key = make_key();
    ca->cert = make_cert(ca->key, name, -3600, 3600);
    X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert));
    add_extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE");
    ck_assert_int_gt(X509_sign(ca->cert, ca->key, EVP_sha256()), 0);
}

void tls_ca_free(tls_ca *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
}

void tls_write_cert(const X509 *cert, const char *path)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_X509(file, (X509 *)(uintptr_t)cert), 1);
    fclose(file);
}

void tls_write_key(EVP_PKEY *key, const char *path)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
}

void tls_issue(const tls_ca *ca, const char *names, long from_s, long to_s, X509 **out_cert,
               EVP_PKEY **out_key)
{
    *out_key = make_key();
    *out_cert = make_cert(*out_key, "test", from_s, to_s);
    X509_set_issuer_name(*out_cert, X509_get_subject_name(ca->cert));
    if (names != NULL)
        add_extension(*out_cert, ca->cert, NID_subject_alt_name, names);
    ck_assert_int_gt(X509_sign(*out_cert, ca->key, EVP_sha256()), 0);
}

static bool read_exactly(SSL *ssl, uint8_t *data, int len)
{
    int got = 0;
    while (got < len) {
        int n = SSL_read(ssl, data + got, len - got);
        if (n <= 0)
            return false;
        got += n;
    }
    return true;
}

static bool answer_one(SSL *ssl)
{
    uint8_t word[4];
    rmq_error err;
    rmq_frame *frame = NULL;
    rmq_command request;
    rmq_command answer;
    rmq_buf out;
    if (!read_exactly(ssl, word, 4))
        return false;
    int len = word[0] << 24 | word[1] << 16 | word[2] << 8 | word[3];
    uint8_t *bytes = malloc((size_t)len + 4);
    memcpy(bytes, word, 4);
    bool whole = read_exactly(ssl, bytes + 4, len);
    if (whole) {
        ck_ok(rmq_frame_from_bytes(bytes, (size_t)len + 4, &frame, &err), &err);
        ck_ok(rmq_command_decode(frame, &request, &err), &err);
        rmq_command_init(&answer, 0);
        answer.flag = RMQ_FLAG_RESPONSE;
        answer.opaque = request.opaque;
        answer.body = request.body; /* an echo */
        rmq_command_set_int(&answer, "n", 1);
        rmq_buf_init(&out, 64u << 20);
        ck_ok(rmq_command_encode(&answer, RMQ_SERIALIZATION_JSON, &out, &err), &err);
        whole = SSL_write(ssl, out.data, (int)out.len) == (int)out.len;
        rmq_buf_deinit(&out);
        rmq_command_deinit(&answer);
        rmq_command_deinit(&request);
        rmq_frame_unref(frame);
    }
    free(bytes);
    return whole;
}

static void *serve(void *ctx)
{
    tls_server *server = ctx;
    for (int i = 0; i < server->n_connections; i++) {
        int fd = fake_accept(&server->peer);
        SSL *ssl = SSL_new(server->context);
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1) {
            server->n_handshakes++;
            while (answer_one(ssl))
                continue;
        }
        ERR_clear_error();
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

void tls_server_start(tls_server *server, X509 *take_cert, EVP_PKEY *take_key,
                      const tls_ca *client_ca, int n_connections)
{
    fake_peer_open(&server->peer);
    server->n_connections = n_connections;
    server->n_handshakes = 0;
    server->context = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(server->context, take_cert), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(server->context, take_key), 1);
    X509_free(take_cert);
    EVP_PKEY_free(take_key);
    if (server->max_version != 0) {
        SSL_CTX_set_security_level(server->context, 0);
        ck_assert_int_eq(SSL_CTX_set_max_proto_version(server->context, server->max_version), 1);
    }
    if (client_ca != NULL) {
        SSL_CTX_set_verify(server->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           NULL);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(server->context), client_ca->cert);
    }
    ck_assert_int_eq(pthread_create(&server->thread, NULL, serve, server), 0);
}

void tls_server_stop(tls_server *server)
{
    pthread_join(server->thread, NULL);
    SSL_CTX_free(server->context);
    fake_peer_close(&server->peer);
}
