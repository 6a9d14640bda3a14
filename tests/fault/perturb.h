/* Shakes the schedule: in programs linked with it (meson: perturb_dep) every lock, unlock, signal,
 * wait, read and write may first give the processor away or sleep a little, each thread by a
 * random sequence of its own. So orders of events come up that a quiet machine never shows. */
#ifndef FAULT_PERTURB_H
#define FAULT_PERTURB_H

#include <stdint.h>

/* Starts shaking by `seed`; every thread draws from its own sequence. 0: stops. */
void perturb_start(uint64_t seed);
/* A number below `bound` from the calling thread's sequence. */
uint64_t perturb_random(uint64_t bound);
/* How often a thread was held up. */
uint64_t perturb_count(void);
/* MILLRACE_SEED, or 1. */
uint64_t perturb_seed(void);
/* `base` rounds, more as MILLRACE_FAULT_SCALE grows (at 100: twenty times as many). */
int perturb_rounds(int base);

#endif
