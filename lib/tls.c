/* TLS by OpenSSL: TLS 1.2 or newer, the peer's certificate and name verified unless the user says
 * `insecure`.
 *
 * - The socket is reached through a BIO of our own, since OpenSSL's writes without MSG_NOSIGNAL and
 *   would kill a program that doesn't ignore SIGPIPE.
 * - An IP address is checked against the certificate's IP entries, a name against its DNS entries
 *   (and is sent as SNI).
 * - An encrypted key is refused: OpenSSL would ask for the password on the terminal and block.
 * - With TLS 1.3 a server refuses our certificate after our handshake is done: that alert comes out
 *   of the first read, as status TLS. Protocol facts 16. */
#include "tls.h"

#include "address.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

struct rmq_tls {
    SSL_CTX *context;
    BIO_METHOD *socket_method;
    bool insecure;
};

struct rmq_tls_session {
    SSL *ssl;
    int fd;
    bool failed; /* after a fatal error not even a goodbye may be sent */
};

/* ---- the BIO ---- */

static bool would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    const rmq_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = send(session->fd, data, (size_t)len, MSG_NOSIGNAL);
    if (sent < 0 && would_block(errno))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static int bio_read(BIO *bio, char *data, int capacity)
{
    const rmq_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = recv(session->fd, data, (size_t)capacity, 0);
    if (got < 0 && would_block(errno))
        BIO_set_retry_read(bio);
    if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)got;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_FLUSH)
        return 1;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return 0;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *make_socket_method(void)
{
    int type = BIO_get_new_index();
    BIO_METHOD *method =
        type == -1 ? NULL : BIO_meth_new(type | BIO_TYPE_SOURCE_SINK, "rmq socket");
    if (method == NULL)
        return NULL;
    if (BIO_meth_set_write(method, bio_write) != 1 || BIO_meth_set_read(method, bio_read) != 1 ||
        BIO_meth_set_ctrl(method, bio_ctrl) != 1 || BIO_meth_set_create(method, bio_create) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* ---- errors ---- */

/* The most telling text of OpenSSL's error queue, which is emptied. */
static void queue_text(char *out_text, size_t capacity)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    if (reason != NULL)
        snprintf(out_text, capacity, "%s", reason);
    else if (code != 0)
        ERR_error_string_n(code, out_text, capacity);
    else
        snprintf(out_text, capacity, "%s", errno != 0 ? strerror(errno) : "unknown failure");
    ERR_clear_error();
}

static rmq_status tls_error(rmq_error *err, const char *what, const char *name)
{
    char text[256];
    queue_text(text, sizeof(text));
    return rmq_error_set(err, RMQ_TLS, "%s%s%s%s: %s", what, name != NULL ? " \"" : "",
                         name != NULL ? name : "", name != NULL ? "\"" : "", text);
}

/* ---- context ---- */

static int refuse_password(char *buffer, int size, int writing, void *ctx)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static rmq_status load_files(SSL_CTX *context, const rmq_tls_options *options, rmq_error *err)
{
    if (options->ca_file != NULL) {
        if (SSL_CTX_load_verify_locations(context, options->ca_file, NULL) != 1)
            return tls_error(err, "cannot read the CA certificates (tls_ca)", options->ca_file);
    } else if (!options->insecure && SSL_CTX_set_default_verify_paths(context) != 1) {
        return tls_error(err, "cannot use the system's CA certificates", NULL);
    }
    if (options->cert_file == NULL)
        return RMQ_OK;
    if (SSL_CTX_use_certificate_chain_file(context, options->cert_file) != 1)
        return tls_error(err, "cannot read the client certificate (tls_cert)", options->cert_file);
    if (SSL_CTX_use_PrivateKey_file(context, options->key_file, SSL_FILETYPE_PEM) != 1)
        return tls_error(err, "cannot read the private key (tls_key; it must not be encrypted)",
                         options->key_file);
    if (SSL_CTX_check_private_key(context) != 1)
        return tls_error(err, "the private key does not fit the client certificate",
                         options->key_file);
    return RMQ_OK;
}

rmq_status rmq_tls_new(const rmq_tls_options *options, rmq_tls **out_tls, rmq_error *err)
{
    ERR_clear_error();
    rmq_tls *tls = rmq_calloc(1, sizeof(*tls));
    if (tls == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for TLS");
    rmq_status status = RMQ_OK;
    tls->insecure = options->insecure;
    tls->socket_method = make_socket_method();
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->socket_method == NULL || tls->context == NULL) {
        status = rmq_error_set(err, RMQ_NOMEM, "no memory for TLS");
        goto out;
    }
    SSL_CTX_set_default_passwd_cb(tls->context, refuse_password);
    SSL_CTX_set_mode(tls->context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(tls->context, options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1) {
        status = tls_error(err, "cannot require TLS 1.2", NULL);
        goto out;
    }
    status = load_files(tls->context, options, err);
out:
    if (status != RMQ_OK) {
        rmq_tls_free(tls);
        return status;
    }
    *out_tls = tls;
    return RMQ_OK;
}

void rmq_tls_free(rmq_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->socket_method);
    rmq_free(tls);
}

/* ---- session ---- */

static bool expect_name(rmq_tls *tls, SSL *ssl, const char *name)
{
    bool is_ip = rmq_address_ip_version(name) != 0;
    if (!is_ip && SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    if (tls->insecure)
        return true;
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (is_ip)
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

rmq_status rmq_tls_session_new(rmq_tls *tls, int fd, const char *name,
                               rmq_tls_session **out_session, rmq_error *err)
{
    ERR_clear_error();
    BIO *bio = NULL;
    rmq_status status = RMQ_OK;
    rmq_tls_session *session = rmq_calloc(1, sizeof(*session));
    if (session == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a TLS session");
    session->fd = fd;
    session->failed = true; /* until the handshake has begun */
    session->ssl = SSL_new(tls->context);
    bio = BIO_new(tls->socket_method);
    if (session->ssl == NULL || bio == NULL) {
        status = rmq_error_set(err, RMQ_NOMEM, "no memory for a TLS session");
        goto out;
    }
    BIO_set_data(bio, session);
    SSL_set_bio(session->ssl, bio, bio);
    bio = NULL;
    SSL_set_connect_state(session->ssl);
    if (!expect_name(tls, session->ssl, name))
        status = tls_error(err, "cannot check a certificate for", name);
out:
    if (status != RMQ_OK) {
        BIO_free(bio);
        rmq_tls_session_free(session);
        return status;
    }
    *out_session = session;
    return RMQ_OK;
}

void rmq_tls_session_free(rmq_tls_session *session)
{
    if (session == NULL)
        return;
    if (session->ssl != NULL && !session->failed)
        SSL_shutdown(session->ssl);
    SSL_free(session->ssl);
    ERR_clear_error();
    rmq_free(session);
}

static void fill_failure(rmq_tls_session *session, int ssl_error, int os_errno, rmq_error *err)
{
    long verify = SSL_get_verify_result(session->ssl);
    if (verify != X509_V_OK && SSL_get_verify_mode(session->ssl) != SSL_VERIFY_NONE) {
        bool other_name =
            verify == X509_V_ERR_HOSTNAME_MISMATCH || verify == X509_V_ERR_IP_ADDRESS_MISMATCH;
        rmq_error_set(err, RMQ_TLS, "certificate refused: %s; %s",
                      X509_verify_cert_error_string(verify),
                      other_name ? "say which name it has (tls_server_name, --tls-server-name)"
                                 : "name an issuer to trust (tls_ca, --tls-ca)");
        ERR_clear_error();
    } else if (ssl_error == SSL_ERROR_SYSCALL && ERR_peek_error() == 0 && os_errno != 0) {
        rmq_error_set_errno(err, os_errno, "TLS connection");
    } else {
        errno = os_errno;
        tls_error(err, "TLS failure", NULL);
    }
}

static bool is_unexpected_eof(int ssl_error, int os_errno)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    if (ssl_error == SSL_ERROR_SSL &&
        ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return true;
#endif
    return ssl_error == SSL_ERROR_SYSCALL && ERR_peek_error() == 0 && os_errno == 0;
}

static rmq_transfer classify(rmq_tls_session *session, int result, rmq_error *err)
{
    int os_errno = errno;
    int ssl_error = SSL_get_error(session->ssl, result);
    if (ssl_error == SSL_ERROR_WANT_READ)
        return RMQ_TRANSFER_WANT_READ;
    if (ssl_error == SSL_ERROR_WANT_WRITE)
        return RMQ_TRANSFER_WANT_WRITE;
    if (ssl_error == SSL_ERROR_ZERO_RETURN)
        return RMQ_TRANSFER_EOF;
    session->failed = true;
    if (is_unexpected_eof(ssl_error, os_errno)) {
        ERR_clear_error();
        return RMQ_TRANSFER_EOF;
    }
    fill_failure(session, ssl_error, os_errno, err);
    return RMQ_TRANSFER_FAILED;
}

rmq_transfer rmq_tls_handshake(rmq_tls_session *session, rmq_error *err)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(session->ssl);
    if (result != 1)
        return classify(session, result, err);
    session->failed = false;
    return RMQ_TRANSFER_DONE;
}

rmq_transfer rmq_tls_read(rmq_tls_session *session, void *data, size_t capacity, size_t *out_len,
                          rmq_error *err)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(session->ssl, data, capacity, out_len);
    return result == 1 ? RMQ_TRANSFER_DONE : classify(session, result, err);
}

rmq_transfer rmq_tls_write(rmq_tls_session *session, const void *data, size_t len, size_t *out_len,
                           rmq_error *err)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(session->ssl, data, len, out_len);
    return result == 1 ? RMQ_TRANSFER_DONE : classify(session, result, err);
}

bool rmq_tls_has_pending(const rmq_tls_session *session)
{
    return SSL_has_pending(session->ssl) == 1;
}
