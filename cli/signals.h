/* Ctrl-C and SIGTERM: the first one asks for a clean stop, a second Ctrl-C ends the program at once
 * with 130. */
#ifndef MILL_CLI_SIGNALS_H
#define MILL_CLI_SIGNALS_H

#include <rmq/client.h>

/* Installs the handlers, and a thread that waits for them. */
void mill_signals_setup(void);
/* True once a stop was asked for. */
bool mill_signals_stopping(void);
/* An eventfd that becomes readable with the first signal; for poll. */
int mill_signals_fd(void);
/* The client (NULL: none any more) whose calls end when a stop is asked for. */
void mill_signals_cancel_client(rmq_client *client);
/* A function to be called (on the signal thread) when a stop is asked for; NULL: none. */
void mill_signals_on_stop(void (*fn)(void *ctx), void *ctx);

#endif
