/* ACL signature: base64(HMAC-SHA1(secret key, values of all ext fields in byte order of their keys,
 * then the body)). Code, opaque and remark are not signed, and there is no nonce: over a plain
 * connection a signed request can be replayed; that is the protocol's.
 * Source: AclSigner, AclUtils 4.9.7 and 5.4.0; protocol facts 15.1; vector acl_signed_req.
 *
 * Signing leaves the caller's command as it was, so that it can be sent again. */
#include "signer.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static const char access_key_name[] = "AccessKey";
static const char token_name[] = "SecurityToken";
static const char signature_name[] = "Signature";

static int compare_keys(const void *left, const void *right)
{
    const rmq_field *a = left;
    const rmq_field *b = right;
    size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = len > 0 ? memcmp(a->key.data, b->key.data, len) : 0;
    if (order != 0)
        return order;
    return a->key.len < b->key.len ? -1 : a->key.len > b->key.len;
}

static bool is_ours(rmq_slice key)
{
    return rmq_slice_equals(key, access_key_name) || rmq_slice_equals(key, token_name) ||
           rmq_slice_equals(key, signature_name);
}

static void add(rmq_signed *out_signed, const char *key, const char *value)
{
    out_signed->fields[out_signed->n_fields++] =
        (rmq_field){rmq_slice_of(key), rmq_slice_of(value)};
}

static bool hash(const rmq_signer *signer, const rmq_signed *sorted, rmq_slice body,
                 unsigned char out_digest[EVP_MAX_MD_SIZE], size_t *out_len)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(
        EVP_PKEY_HMAC, NULL, (const unsigned char *)signer->secret_key, strlen(signer->secret_key));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = key != NULL && context != NULL &&
              EVP_DigestSignInit(context, NULL, EVP_sha1(), NULL, key) == 1;
    for (size_t i = 0; i < sorted->n_fields && ok; i++)
        ok = EVP_DigestSignUpdate(context, sorted->fields[i].value.data,
                                  sorted->fields[i].value.len) == 1;
    if (ok && body.len > 0)
        ok = EVP_DigestSignUpdate(context, body.data, body.len) == 1;
    *out_len = EVP_MAX_MD_SIZE;
    ok = ok && EVP_DigestSignFinal(context, out_digest, out_len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return ok;
}

rmq_status rmq_signer_sign(const rmq_signer *signer, const rmq_command *command, bool skip_empty,
                           rmq_signed *out_signed, rmq_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t digest_len = 0;
    memset(out_signed, 0, sizeof(*out_signed));
    out_signed->fields = rmq_calloc(command->n_fields + 3, sizeof(rmq_field));
    if (out_signed->fields == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory to sign a request");
    for (size_t i = 0; i < command->n_fields; i++) {
        const rmq_field *field = &command->fields[i];
        if (!is_ours(field->key) && !(skip_empty && field->value.len == 0))
            out_signed->fields[out_signed->n_fields++] = *field;
    }
    add(out_signed, access_key_name, signer->access_key);
    if (signer->security_token != NULL)
        add(out_signed, token_name, signer->security_token);
    qsort(out_signed->fields, out_signed->n_fields, sizeof(rmq_field), compare_keys);
    if (!hash(signer, out_signed, command->body, digest, &digest_len)) {
        rmq_signed_deinit(out_signed);
        return rmq_error_set(err, RMQ_NOMEM, "no memory to sign a request");
    }
    EVP_EncodeBlock((unsigned char *)out_signed->signature, digest, (int)digest_len);
    add(out_signed, signature_name, out_signed->signature);
    return RMQ_OK;
}

void rmq_signed_deinit(rmq_signed *signed_fields)
{
    rmq_free(signed_fields->fields);
    signed_fields->fields = NULL;
    signed_fields->n_fields = 0;
}
