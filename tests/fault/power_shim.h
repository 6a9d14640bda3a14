/* Records what a process does to the files below a directory. */
#ifndef POWER_SHIM_H
#define POWER_SHIM_H

#include <stdint.h>

/* Begins to record; processes forked from here on record too. Once per program. */
void power_record(const char *root, const char *log_path);
/* A remark in the log: what the program has reported by now. */
void power_mark(const char *what, int64_t number);

#endif
