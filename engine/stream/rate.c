/* Sharing the records of a batch.
 *
 * Lag decides: a queue that is far behind gets the larger part, so that queues reach their ends
 * together. Parts are rounded down and what is left over goes one by one to the first that still
 * have more, so the total is used up and no queue with records is left out for long. */
#include "rate.h"

int64_t mill_rate_of(int64_t rate, int64_t elapsed_ms)
{
    if (elapsed_ms > 0 && rate > INT64_MAX / elapsed_ms)
        return INT64_MAX;
    int64_t messages = rate * elapsed_ms / 1000;
    return messages > 0 ? messages : 1;
}

/* floor(total * part / whole) for 0 <= part <= whole, where the product may overflow. */
static int64_t proportion(int64_t total, int64_t part, int64_t whole)
{
    if (part == 0 || total <= INT64_MAX / part)
        return total * part / whole;
    double share = (double)total * ((double)part / (double)whole);
    int64_t rounded = share >= (double)total ? total : (int64_t)share;
    return rounded < part ? rounded : part;
}

static int64_t sum(const int64_t *values, size_t count)
{
    int64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total = values[i] > INT64_MAX - total ? INT64_MAX : total + values[i];
    return total;
}

void mill_rate_share(int64_t *takes, size_t count, int64_t per_queue, int64_t total)
{
    for (size_t i = 0; i < count; i++) {
        if (per_queue > 0 && takes[i] > per_queue)
            takes[i] = per_queue;
    }
    int64_t whole = sum(takes, count);
    if (total <= 0 || whole <= total)
        return;
    int64_t left = total;
    for (size_t i = 0; i < count; i++) {
        int64_t wanted = takes[i], share = proportion(total, wanted, whole);
        if (share > left)
            share = left;
        left -= share;
        takes[i] = share;
        if (share == 0 && wanted > 0)
            takes[i] = -1; /* first in line for what is left */
    }
    for (size_t i = 0; i < count; i++) {
        if (takes[i] < 0) {
            takes[i] = left > 0 ? 1 : 0;
            left -= takes[i];
        }
    }
}
