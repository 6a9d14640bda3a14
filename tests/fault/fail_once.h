/* Every fallible call fails once: the runner and its judge.
 *
 * A scenario is an operation of the product. For each call that a clean run makes, each way in
 * which it can fail (fault_calls.c) and each n, a point is: prepare; let the nth call fail;
 * operate; and, whatever came out, operate again; finish. The judge then asks for
 *
 *   an error that says its status and why, or success with the whole right result;
 *   success where the fault is harmless (EINTR, a short read);
 *   success of the second run: the object is usable, or another can take its place;
 *   no memory of ours, descriptor or thread left behind; no leak of anybody's (LeakSanitizer);
 *   an end in bounded time. */
#ifndef FAIL_ONCE_H
#define FAIL_ONCE_H

#include <rmq/base.h>

#include "fault_calls.h"

typedef struct fail_scenario {
    const char *name;
    /* Makes what the operation works on; fails the test if it can't. May be NULL. */
    void *(*prepare)(void);
    /* The operation, to its end and with its result checked. What it makes of its own it frees.
     * Where the result is wrong: fail_once_wrong. */
    rmq_status (*operate)(void *state, rmq_error *err);
    /* Looks at what an operation that gave `status` has left, while nothing fails. May be NULL. */
    void (*check)(void *state, rmq_status status);
    void (*finish)(void *state); /* may be NULL */
    bool whole;                  /* takes no time: all points at any scale */
    uint32_t kinds;              /* that are tried, as bits; 0: all */
    uint32_t not_ways;           /* as bits of fault_effect: left out */
    int64_t deadline_ms;         /* of one run; 0: 15000 */
    int64_t max_nth; /* of one way; beyond that, some of them by the seed; 0: no limit */
} fail_scenario;

#define FAIL_KIND(kind) (1u << FAULT_KIND_##kind)

/* To be called in test_suite, before anything else is used: the hooks, and a table of points that
 * the forked cases share. */
void fail_once_install(void);

/* To be called by an operation whose result is not what it said: printf. */
void fail_once_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One point. Returns why it is not right, NULL if it is. */
const char *fail_once_point(const fail_scenario *scenario, const fault_way *way, int64_t nth,
                            bool *out_struck);

/* All points of the scenario, or the share that MILLRACE_FAULT_SCALE asks for (100: all). Returns
 * what is wrong with the first that is not right, and which it was; NULL if all are. */
const char *fail_once_all(const fail_scenario *scenario);
/* Fails the test with that text. MILLRACE_FAULT_ONLY=TEXT with the beginning of such a text, at
 * scale 100, repeats that point alone. */
void fail_once_run(const fail_scenario *scenario);

/* Prints the points by kind, of all cases so far; fails the test if they are fewer than `full` at
 * full scale, their share of it below that, or `least`. */
void fail_once_floor(int64_t full, int64_t least);

/* Whether LeakSanitizer looks for what the libraries leak. */
bool fail_once_checks_leaks(void);

/* A run that takes so long ends the process with this exit status; default 90 s. */
void fail_once_hang_after(unsigned int seconds);
#define FAIL_ONCE_HANG 97

#endif
