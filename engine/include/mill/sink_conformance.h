/* The sink conformance kit: runs a sink through everything that the protocol allows (repeats,
 * retries, kills, older and newer epochs, aborts, unknown outcomes) and names each defect that it
 * finds. */
#ifndef MILL_SINK_CONFORMANCE_H
#define MILL_SINK_CONFORMANCE_H

#include <mill/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the kit reaches the user's sink. Rows are pairs (text, int64): mill_type_pair(context, text,
 * int64). */
typedef struct mill_conformance_subject {
    size_t struct_size;
    /* A sink on the place that `ctx` means; called again to play a restarted or a second process.
     */
    rmq_status (*make_sink)(void *ctx, mill_context *context, mill_sink **out_sink, rmq_error *err);
    /* The rows that are visible now, from outside of the sink, sorted or not. */
    rmq_status (*visible_rows)(void *ctx, mill_context *context, mill_rows **out_rows,
                               rmq_error *err);
    /* Makes the place empty again. */
    rmq_status (*reset)(void *ctx, rmq_error *err);
    void *ctx;
    bool kills; /* also fork, kill the child in the middle of each step, and look what is left. The
                   subject must be usable in a forked child */
} mill_conformance_subject;

/* Called for every check: `passed`, its name ("refuses-older-epoch"), and what was seen if it
 * failed. Simple checks come first: of several that fail, the first says most. */
typedef void (*mill_conformance_report_fn)(const char *check, bool passed, const char *detail,
                                           void *ctx);

/* Runs all checks. RMQ_OK: all passed; RMQ_SINK: out_failed of them failed; anything else: the kit
 * itself could not run. Thread: any; the process must have no other threads if `kills`. */
MILL_API RMQ_MUST_CHECK rmq_status mill_sink_conformance_run(
    const mill_conformance_subject *subject, mill_conformance_report_fn report, void *report_ctx,
    uint32_t *out_failed, rmq_error *err);

#ifdef __cplusplus
}
#endif

#endif
