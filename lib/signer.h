/* The ACL signature of a request, the same for 4.x and 5.x. */
#ifndef RMQ_SIGNER_H
#define RMQ_SIGNER_H

#include "../proto/command.h"

#define RMQ_SIGNATURE_BYTES 32

/* Borrowed strings; access_key NULL: nothing is signed. */
typedef struct rmq_signer {
    const char *access_key;
    const char *secret_key;
    const char *security_token; /* may be NULL */
} rmq_signer;

/* Fields and signature of one signed request. */
typedef struct rmq_signed {
    rmq_field *fields;
    size_t n_fields;
    char signature[RMQ_SIGNATURE_BYTES];
} rmq_signed;

/* Makes the ext fields to be sent instead of the command's: without AccessKey, SecurityToken and
 * Signature of an earlier signing, with ours added. Slices point into `command` and `out_signed`
 * itself, so it must stay where it is until the command is encoded. `skip_empty`: empty values will
 * not be sent (binary headers). Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_signer_sign(const rmq_signer *signer, const rmq_command *command,
                                          bool skip_empty, rmq_signed *out_signed, rmq_error *err);
void rmq_signed_deinit(rmq_signed *signed_fields);

#endif
