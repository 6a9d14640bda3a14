/* The conformance kit: runs every check on a fresh place and reports it.
 *
 * A check is a short story of what may happen to a sink, and fails at the first thing that is not
 * as the protocol says. Checks are narrow, so that the names of those that fail say what is wrong
 * with a sink; a last one plays a long random history, for what nobody thought of. The checks with
 * kills come after all others, since they need a process without threads: no context is alive while
 * they fork. */
#include "conformance.h"

#include "../core/versioned.h"

static rmq_status check_subject(const mill_conformance_subject *subject, rmq_error *err)
{
    if (subject->make_sink == NULL || subject->visible_rows == NULL || subject->reset == NULL)
        return rmq_error_set(err, RMQ_INVAL,
                             "conformance kit: make_sink, visible_rows and reset are needed");
    return RMQ_OK;
}

/* Runs and reports; false if the kit is broken. */
static bool run_checks(mill_kit *kit, const mill_kit_check *checks, size_t n_checks,
                       mill_conformance_report_fn report, void *report_ctx)
{
    for (size_t i = 0; i < n_checks; i++) {
        if (mill_kit_begin(kit))
            checks[i].run(kit);
        mill_kit_end(kit);
        if (kit->broken != RMQ_OK)
            return false;
        if (report != NULL)
            report(checks[i].name, !kit->failed, kit->failed ? kit->detail : "", report_ctx);
        kit->n_failed += kit->failed;
    }
    return true;
}

rmq_status mill_sink_conformance_run(const mill_conformance_subject *subject,
                                     mill_conformance_report_fn report, void *report_ctx,
                                     uint32_t *out_failed, rmq_error *err)
{
    mill_conformance_subject copy;
    if (subject == NULL || out_failed == NULL)
        return rmq_error_set(err, RMQ_INVAL, "conformance kit: subject and out_failed are needed");
    rmq_status status =
        mill_versioned_copy(subject, "mill_conformance_subject", &copy, sizeof(copy), err);
    if (status == RMQ_OK)
        status = check_subject(&copy, err);
    if (status != RMQ_OK)
        return status;
    mill_kit kit = {.subject = &copy};
    bool good = run_checks(&kit, mill_kit_checks, mill_kit_n_checks, report, report_ctx);
    if (good && copy.kills)
        run_checks(&kit, mill_kit_kills, mill_kit_n_kills, report, report_ctx);
    mill_row_list_deinit(&kit.expected);
    if (kit.broken != RMQ_OK) {
        if (err != NULL)
            *err = kit.err;
        return kit.broken;
    }
    *out_failed = kit.n_failed;
    return kit.n_failed == 0
               ? RMQ_OK
               : rmq_error_set(err, RMQ_SINK, "conformance kit: %u checks failed", kit.n_failed);
}
