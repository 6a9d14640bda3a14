/* A seccomp filter that stops a program at the calls of the file system and the network. */
#ifndef SYSCALL_FILTER_H
#define SYSCALL_FILTER_H

#include <stdint.h>

/* Installs it in this process: a tracer is asked at each call of the list. Returns 0, or -1 with
 * errno. */
int syscall_filter_install(void);

/* The name of a call of the list, or NULL. */
const char *syscall_name(uint64_t number);

#endif
