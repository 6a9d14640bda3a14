/* Crash points: where a test kills the process, to show that a restart loses and repeats nothing.
 *
 * Compiled in with MILL_CRASH_POINTS only (meson -Dcrash_points=true, and the library variant that
 * the tests link); otherwise a point is nothing at all. Two variables of the environment choose:
 *
 *   MILLRACE_CRASH_AT=after-commit:3     SIGKILL to itself at this point of batch 3: no handler, no
 *                                        buffer flushed, as when the power fails for this process
 *   MILLRACE_STOP_AT=before-commit:3     SIGSTOP to itself: a process that is paused, loses its
 *                                        checkpoint to another one, and goes on
 *
 * A third number picks the nth time that the point of that batch is passed ("after-commit:3:2": the
 * second sink's commit); without it the first. */
#include "crash_point.h"

#ifdef MILL_CRASH_POINTS

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* True if `wanted` ("NAME:BATCH" or "NAME:BATCH:NTH") means this passing of the point. */
static bool hits(const char *wanted, const char *name, int64_t batch_id, long *n_passed)
{
    if (wanted == NULL)
        return false;
    size_t len = strlen(name);
    if (strncmp(wanted, name, len) != 0 || wanted[len] != ':')
        return false;
    char *end = NULL;
    if (strtoll(wanted + len + 1, &end, 10) != batch_id)
        return false;
    *n_passed += 1;
    return *n_passed == (*end == ':' ? strtol(end + 1, NULL, 10) : 1);
}

/* Thread: the driver's. */
void mill_crash_point(const char *name, int64_t batch_id)
{
    static long n_crash_passed = 0, n_stop_passed = 0;
    if (hits(getenv("MILLRACE_CRASH_AT"), name, batch_id, &n_crash_passed)) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    if (hits(getenv("MILLRACE_STOP_AT"), name, batch_id, &n_stop_passed))
        raise(SIGSTOP);
}

size_t mill_crash_points(const char *const **out_names)
{
#define POINT_NAMES(step) "before-" #step, "after-" #step,
    static const char *const names[] = {MILL_CRASH_STEPS(POINT_NAMES)};
#undef POINT_NAMES
    *out_names = names;
    return sizeof(names) / sizeof(names[0]);
}

#else

size_t mill_crash_points(const char *const **out_names)
{
    *out_names = NULL;
    return 0;
}

#endif
