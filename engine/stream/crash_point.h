/* Named places at which a test lets the process die or stop. */
#ifndef MILL_CRASH_POINT_H
#define MILL_CRASH_POINT_H

#include <stddef.h>
#include <stdint.h>

/* The steps of a batch's life that have a point before and after them. */
#define MILL_CRASH_STEPS(X)                                                                        \
    X(plan)                                                                                        \
    X(read)                                                                                        \
    X(begin)                                                                                       \
    X(write)                                                                                       \
    X(prepare)                                                                                     \
    X(state)                                                                                       \
    X(decide)                                                                                      \
    X(commit)                                                                                      \
    X(done)                                                                                        \
    X(report)                                                                                      \
    X(forget)

#ifdef MILL_CRASH_POINTS
void mill_crash_point(const char *name, int64_t batch_id);
#define MILL_CRASH_POINT(name, batch_id) mill_crash_point((name), (batch_id))
#else
#define MILL_CRASH_POINT(name, batch_id) ((void)(batch_id))
#endif

/* All names ("before-plan", "after-plan", ...), static; their number, 0 if points are not compiled
 * in. */
size_t mill_crash_points(const char *const **out_names);

#endif
