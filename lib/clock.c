/* Clocks behind a hook: monotonic time for deadlines, wall time for message times. The hook is
 * process-wide and set before the first client, so it is read without a lock. Waiting itself
 * (timers of the loop, condition variables) follows the system's clock whatever the hook says. */
#include <rmq/client.h>

#include <time.h>

static int64_t system_monotonic_ns(void *ctx)
{
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t system_wall_ms(void *ctx)
{
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const rmq_clock system_clock = {.monotonic_ns = system_monotonic_ns,
                                       .wall_ms = system_wall_ms};
static rmq_clock clock_in_use = {.monotonic_ns = system_monotonic_ns, .wall_ms = system_wall_ms};

void rmq_clock_set(const rmq_clock *clock)
{
    clock_in_use = clock != NULL ? *clock : system_clock;
}

int64_t rmq_clock_monotonic_ns(void)
{
    return clock_in_use.monotonic_ns(clock_in_use.ctx);
}

int64_t rmq_clock_wall_ms(void)
{
    return clock_in_use.wall_ms(clock_in_use.ctx);
}
