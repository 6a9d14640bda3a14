/* In front of libevent, OpenSSL and the compressors; and the allocators of the
 * first two, by the hooks that they have for that. SQLite is in wrap_sqlite.c. */
#include "fault_calls.h"
#include "fault_wraps.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <locale.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <zlib.h>
#ifdef FAULT_HAVE_LZ4
#include <lz4frame.h>
#endif
#ifdef FAULT_HAVE_ZSTD
#include <zstd.h>
#endif

/* ---- libevent ---- */

FAULT_WRAP(struct event_config *, event_config_new, (void), (), event_config_new, return NULL)
FAULT_WRAP(struct event_base *, event_base_new_with_config, (const struct event_config *config),
           (config), event_base_new, return NULL)
FAULT_WRAP(struct event *, event_new,
           (struct event_base * base, evutil_socket_t fd, short what, event_callback_fn run,
            void *ctx),
           (base, fd, what, run, ctx), event_new, return NULL)
FAULT_WRAP(int, event_add, (struct event * event, const struct timeval *delay), (event, delay),
           event_add, return -1)
FAULT_WRAP(struct evdns_base *, evdns_base_new, (struct event_base * base, int flags),
           (base, flags), evdns_base_new, return NULL)
/* "cannot open the file" */
FAULT_WRAP(int, evdns_base_resolv_conf_parse,
           (struct evdns_base * base, int flags, const char *path), (base, flags, path),
           evdns_resolv_conf, return 1)
FAULT_WRAP(int, evdns_base_load_hosts, (struct evdns_base * base, const char *path), (base, path),
           evdns_load_hosts, return -1)

typedef struct evdns_getaddrinfo_request lookup;
typedef const struct evutil_addrinfo *hints;
/* It fails as the real one: by its callback, from inside. */
FAULT_WRAP(lookup *, evdns_getaddrinfo,
           (struct evdns_base * base, const char *name, const char *service, hints wanted,
            evdns_getaddrinfo_cb done, void *ctx),
           (base, name, service, wanted, done, ctx), evdns_getaddrinfo,
           done(EVUTIL_EAI_MEMORY, NULL, ctx);
           return NULL)

/* ---- OpenSSL ---- */

/* What OpenSSL would leave in its queue. */
static int openssl_failed(void)
{
    ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);
    return 0;
}

typedef const unsigned char *bytes;
FAULT_WRAP(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *method), (method), SSL_CTX_new, return NULL)
FAULT_WRAP(int, SSL_CTX_load_verify_locations,
           (SSL_CTX * context, const char *file, const char *directory), (context, file, directory),
           SSL_CTX_load_verify_locations, return openssl_failed())
FAULT_WRAP(BIO_METHOD *, BIO_meth_new, (int type, const char *name), (type, name), BIO_meth_new,
           return NULL)
FAULT_WRAP(int, SSL_CTX_set_default_verify_paths, (SSL_CTX * context), (context),
           SSL_CTX_verify_paths, return openssl_failed())
FAULT_WRAP(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX * context, const char *path),
           (context, path), SSL_CTX_certificate, return openssl_failed())
FAULT_WRAP(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX * context, const char *path, int type),
           (context, path, type), SSL_CTX_private_key, return openssl_failed())
FAULT_WRAP(int, SSL_CTX_check_private_key, (const SSL_CTX *context), (context),
           SSL_CTX_check_private_key, return openssl_failed())
FAULT_WRAP(int, BIO_get_new_index, (void), (), BIO_get_new_index, return -1)
typedef int (*bio_write_fn)(BIO *, const char *, int);
FAULT_WRAP(int, BIO_meth_set_write, (BIO_METHOD * method, bio_write_fn write), (method, write),
           BIO_meth_set, return 0)
FAULT_WRAP(int, X509_VERIFY_PARAM_set1_host,
           (X509_VERIFY_PARAM * param, const char *name, size_t len), (param, name, len),
           X509_VERIFY_PARAM_set1_host, return openssl_failed())
FAULT_WRAP(long, SSL_ctrl, (SSL * ssl, int command, long number, void *pointer),
           (ssl, command, number, pointer), SSL_set_host_name, return openssl_failed())
FAULT_WRAP(BIO *, BIO_new, (const BIO_METHOD *method), (method), BIO_new, return NULL)
FAULT_WRAP(SSL *, SSL_new, (SSL_CTX * context), (context), SSL_new, return NULL)
FAULT_WRAP(int, X509_VERIFY_PARAM_set1_ip_asc, (X509_VERIFY_PARAM * param, const char *text),
           (param, text), X509_VERIFY_PARAM_set1_ip_asc, return openssl_failed())
FAULT_WRAP(int, SSL_do_handshake, (SSL * ssl), (ssl), SSL_do_handshake, return openssl_failed() - 1)
FAULT_WRAP(int, SSL_read_ex, (SSL * ssl, void *data, size_t len, size_t *out_len),
           (ssl, data, len, out_len), SSL_read_ex, return openssl_failed())
FAULT_WRAP(int, SSL_write_ex, (SSL * ssl, const void *data, size_t len, size_t *out_len),
           (ssl, data, len, out_len), SSL_write_ex, return openssl_failed())
FAULT_WRAP(EVP_PKEY *, EVP_PKEY_new_raw_private_key, (int type, ENGINE *e, bytes key, size_t len),
           (type, e, key, len), EVP_PKEY_new_raw_private_key, return NULL)
FAULT_WRAP(EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), EVP_MD_CTX_new, return NULL)
FAULT_WRAP(int, EVP_DigestSignInit,
           (EVP_MD_CTX * context, EVP_PKEY_CTX **key_context, const EVP_MD *type, ENGINE *e,
            EVP_PKEY *key),
           (context, key_context, type, e, key), EVP_DigestSignInit, return openssl_failed())
FAULT_WRAP(int, EVP_DigestSignUpdate, (EVP_MD_CTX * context, const void *data, size_t len),
           (context, data, len), EVP_DigestSignUpdate, return openssl_failed())
FAULT_WRAP(int, EVP_DigestSignFinal, (EVP_MD_CTX * context, unsigned char *digest, size_t *len),
           (context, digest, len), EVP_DigestSignFinal, return openssl_failed())

long __real_SSL_CTX_ctrl(SSL_CTX *context, int command, long number, void *pointer);
long __wrap_SSL_CTX_ctrl(SSL_CTX *context, int command, long number, void *pointer);
long __wrap_SSL_CTX_ctrl(SSL_CTX *context, int command, long number, void *pointer)
{
    if (command == SSL_CTRL_SET_MIN_PROTO_VERSION &&
        fault_strikes(FAULT_CALL_SSL_CTX_min_version) != NULL)
        return openssl_failed();
    return __real_SSL_CTX_ctrl(context, command, number, pointer);
}

/* ---- the compressors, and the C locale of numbers ---- */

FAULT_WRAP(int, inflateInit_, (z_streamp stream, const char *version, int size),
           (stream, version, size), inflateInit, return Z_MEM_ERROR)
FAULT_WRAP(int, deflateInit_, (z_streamp stream, int level, const char *version, int size),
           (stream, level, version, size), deflateInit, return Z_MEM_ERROR)
FAULT_WRAP(int, inflate, (z_streamp stream, int flush), (stream, flush), inflate,
           return Z_MEM_ERROR)
FAULT_WRAP(int, deflate, (z_streamp stream, int flush), (stream, flush), deflate,
           return Z_MEM_ERROR)
FAULT_WRAP(locale_t, newlocale, (int mask, const char *name, locale_t base), (mask, name, base),
           newlocale, return (locale_t)0)
#ifdef FAULT_HAVE_LZ4
#define LZ4_NO_MEMORY ((size_t)-9) /* LZ4F_ERROR_allocation_failed */
FAULT_WRAP(LZ4F_errorCode_t, LZ4F_createDecompressionContext, (LZ4F_dctx * *context, unsigned ask),
           (context, ask), lz4_context, return LZ4_NO_MEMORY)
FAULT_WRAP(size_t, LZ4F_compressFrame,
           (void *to, size_t capacity, const void *from, size_t len,
            const LZ4F_preferences_t *preferences),
           (to, capacity, from, len, preferences), lz4_pack, return LZ4_NO_MEMORY)
FAULT_WRAP(size_t, LZ4F_decompress,
           (LZ4F_dctx * context, void *to, size_t *capacity, const void *from, size_t *len,
            const LZ4F_decompressOptions_t *options),
           (context, to, capacity, from, len, options), lz4_unpack, return LZ4_NO_MEMORY)
#endif
#ifdef FAULT_HAVE_ZSTD
#define ZSTD_NO_MEMORY ((size_t)-64) /* ZSTD_error_memory_allocation */
FAULT_WRAP(ZSTD_DCtx *, ZSTD_createDCtx, (void), (), zstd_context, return NULL)
FAULT_WRAP(ZSTD_CCtx *, ZSTD_createCCtx, (void), (), zstd_context, return NULL)
FAULT_WRAP(size_t, ZSTD_compressCCtx,
           (ZSTD_CCtx * context, void *to, size_t capacity, const void *from, size_t len,
            int level),
           (context, to, capacity, from, len, level), zstd_pack, return ZSTD_NO_MEMORY)
FAULT_WRAP(size_t, ZSTD_decompressStream,
           (ZSTD_DCtx * context, ZSTD_outBuffer *to, ZSTD_inBuffer *from), (context, to, from),
           zstd_unpack, return ZSTD_NO_MEMORY)
#endif

/* ---- allocators ---- */

static void *openssl_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return fault_strikes(FAULT_CALL_openssl_malloc) != NULL ? NULL : malloc(len);
}

static void *openssl_realloc(void *memory, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return fault_strikes(FAULT_CALL_openssl_malloc) != NULL ? NULL : realloc(memory, len);
}

static void openssl_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

static void *libevent_malloc(size_t len)
{
    return fault_strikes(FAULT_CALL_libevent_malloc) != NULL ? NULL : malloc(len);
}

static void *libevent_realloc(void *memory, size_t len)
{
    return fault_strikes(FAULT_CALL_libevent_malloc) != NULL ? NULL : realloc(memory, len);
}

void fault_wrap_libraries(void)
{
    CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
    event_set_mem_functions(libevent_malloc, libevent_realloc, free);
    fault_wrap_sqlite();
}
