/* The inside of a sink handle: what the batch driver and the built-in sinks see of it. */
#ifndef MILL_SINK_PRIVATE_H
#define MILL_SINK_PRIVATE_H

#include <mill/sink.h>

/* Made by mill_sink_new, owned by whoever made it until a job takes it. After that the job frees it
 * with mill_sink_release, and mill_sink_free does nothing. Thread: one at a time. */
struct mill_sink {
    mill_sink_vtable vtable; /* a copy: functions that an older caller's struct lacks are NULL, and
                                n_targets is at least 1 */
    void *self;
    const mill_type **types; /* vtable.n_targets of them */
    const void *owner;       /* the job that took it, NULL as long as none has */
};

/* Takes the sink for `owner` (any pointer that names the job). The same owner may take it again;
 * another one gets INVAL. `target` must be one of the sink's and `type` its type (INVAL). */
RMQ_MUST_CHECK rmq_status mill_sink_take(mill_sink *sink, const void *owner, uint32_t target,
                                         const mill_type *type, rmq_error *err);
/* Closes and frees a sink that was taken. Accepts NULL. */
void mill_sink_release(mill_sink *sink);

/* True if its commits are transactions (MILL_SINK_TRANSACTIONAL). */
bool mill_sink_is_transactional(const mill_sink *sink);
/* NULL or OK: a sink's prepare may be NULL. */
RMQ_MUST_CHECK rmq_status mill_sink_prepare(mill_sink *sink, rmq_error *err);

#endif
