/* From the connection options (and environment, and credentials file) to a client. */
#ifndef MILL_CLI_CONNECTION_H
#define MILL_CLI_CONNECTION_H

#include <rmq/client.h>

#include "options.h"

/* Fills `out_config` from the arguments; strings are borrowed from argv, the environment, or memory
 * of `out_secrets`, which mill_secrets_free wipes. False after a complaint, with *out_exit 1 or 2.
 */
typedef struct mill_secrets {
    char *access_key;
    char *secret_key;
    char *security_token;
} mill_secrets;
bool mill_connection_config(const mill_args *args, rmq_client_config *out_config,
                            mill_secrets *out_secrets, int *out_exit);
void mill_secrets_free(mill_secrets *secrets);

/* For a child that is to connect, and to log, as this process does: the options given, but for name
 * servers and keys, as words of a command line, "--tls-ca=ca.pem". Each is to be freed with
 * rmq_free; false after a complaint. */
#define MILL_CONNECTION_WORDS 16
bool mill_connection_words(const mill_args *args, char **out_words, size_t *out_count);
/* The keys go through the environment, which `ps` doesn't show. To be called before other threads
 * look at that; false after a complaint. */
bool mill_secrets_export(const mill_secrets *secrets);

/* A client that has reached a name server; NULL after a complaint, with *out_exit set. A stop ends
 * its calls with CANCELLED from now on, until mill_signals_cancel_client(NULL). */
rmq_client *mill_connect(const mill_args *args, int *out_exit);
/* Frees what mill_connect gave; accepts NULL. */
void mill_disconnect(rmq_client *client);
/* Says why a call failed (or that a stop ended it), and gives the exit code. */
int mill_complain_call(const char *what, const rmq_error *err);

#endif
