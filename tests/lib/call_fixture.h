/* What a test of calls starts with: a server that the test plays, a client of it, and some calls.
 *
 * Check runs each test in a process of its own, so that globals are a test's own, too. */
#ifndef TEST_CALL_FIXTURE_H
#define TEST_CALL_FIXTURE_H

#include "fake_peer.h"

#define LONG_MS 20000 /* never passes while a test runs */
#define SHORT_MS 80   /* meant to pass */

#define N_CALLS 4

extern fake_peer server;
extern rmq_client *client;
extern log_record logged;
extern call_record calls[N_CALLS];

/* Opens the server and a client of it with this config (NULL: the defaults), which logs to
 * `logged`. */
void start_client(const rmq_client_config *given);
void stop_client(void);

#endif
