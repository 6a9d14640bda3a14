/* How many records a batch takes from each queue. */
#ifndef MILL_RATE_H
#define MILL_RATE_H

#include <stddef.h>
#include <stdint.h>

/* Shares a batch among queues. takes[i] is what queue i has waiting; afterwards it is what the
 * batch takes of it: at most `per_queue` each and `total` in all (0: no limit). Where the total is
 * not enough, each queue gets in proportion to what it has waiting. */
void mill_rate_share(int64_t *takes, size_t count, int64_t per_queue, int64_t total);

/* Messages per queue in `elapsed_ms` at `rate` messages a second, at least 1, without overflow. */
int64_t mill_rate_of(int64_t rate, int64_t elapsed_ms);

#endif
