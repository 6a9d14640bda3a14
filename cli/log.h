/* Log lines on stderr: `TIME LEVEL area: text`, the same line at most once a minute with a count.
 */
#ifndef MILL_CLI_LOG_H
#define MILL_CLI_LOG_H

#include "options.h"

/* Sets level and format from the arguments; false after a complaint. */
bool mill_log_setup(const mill_args *args);
/* The hook for the configs of client, engine and broker. Thread: any. */
void mill_log_line(void *ctx, rmq_log_level level, const char *area, const char *line);
rmq_log_level mill_log_level(void);
/* While quiet, warnings about links are only shown with -v: what a command is about to report
 * itself needs no second line. */
void mill_log_quiet(bool quiet);
/* Says how often lines were held back; at the end of the program. */
void mill_log_flush(void);
/* A state line of the command itself, level INFO as shown to a user. */
void mill_log_say(const char *area, const char *format, ...) RMQ_PRINTF(2, 3);

#endif
