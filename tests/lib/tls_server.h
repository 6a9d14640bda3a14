/* A certificate authority and a blocking TLS server for tests, by OpenSSL's API: nothing is fetched
 * and no file is checked in. */
#ifndef TEST_TLS_SERVER_H
#define TEST_TLS_SERVER_H

#include "fake_peer.h"

#include <openssl/ssl.h>

typedef struct tls_ca {
    X509 *cert;
    EVP_PKEY *key;
} tls_ca;

void tls_ca_make(tls_ca *ca, const char *name);
void tls_ca_free(tls_ca *ca);
void tls_write_cert(const X509 *cert, const char *path);
void tls_write_key(EVP_PKEY *key, const char *path);

/* A certificate signed by `ca`. `names` is a subjectAltName ("DNS:a,IP:127.0.0.1"); valid from
 * `from_s` to `to_s` seconds from now. */
void tls_issue(const tls_ca *ca, const char *names, long from_s, long to_s, X509 **out_cert,
               EVP_PKEY **out_key);

typedef struct tls_server {
    fake_peer peer;
    SSL_CTX *context;
    pthread_t thread;
    int n_connections; /* to be served, one after the other */
    int max_version;
    int n_handshakes; /* that worked; read it after tls_server_stop */
} tls_server;

/* Serves `n_connections` connections on a thread: handshake, then every request is answered with
 * its own opaque and n=1, until the client closes. Takes certificate and key. `client_ca`: clients
 * must show a certificate of it. */
void tls_server_start(tls_server *server, X509 *take_cert, EVP_PKEY *take_key,
                      const tls_ca *client_ca, int n_connections);
void tls_server_stop(tls_server *server);

#endif
