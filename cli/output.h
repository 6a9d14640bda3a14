/* Data on stdout: one buffered writer that notices a closed pipe and a full disk. */
#ifndef MILL_CLI_OUTPUT_H
#define MILL_CLI_OUTPUT_H

#include "options.h"

/* Appends bytes; written when 64 KiB are there or on a flush. */
void mill_output_write(rmq_slice bytes);
void mill_output_print(const char *format, ...) RMQ_PRINTF(1, 2);
/* Writes out what is buffered. False if stdout is gone: a closed pipe (mill_output_exit says 0) or
 * an error (it complained, and mill_output_exit says 1). */
bool mill_output_flush(void);
/* False once stdout is gone. */
bool mill_output_open(void);
/* Flushes; the exit code that stdout's fate asks for: `exit_code`, 0 after a closed pipe, 1 after
 * an error. */
int mill_output_exit(int exit_code);

#endif
