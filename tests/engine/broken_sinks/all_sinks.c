/* The list of all broken sinks. */
#include "model_sink.h"

extern const broken_sink broken_abort_applies;
extern const broken_sink broken_abort_loses;
extern const broken_sink broken_accepts_again;
extern const broken_sink broken_accepts_gap;
extern const broken_sink broken_any_stream;
extern const broken_sink broken_applies_at_write;
extern const broken_sink broken_commits_outside;
extern const broken_sink broken_cuts_text;
extern const broken_sink broken_forgets_epoch;
extern const broken_sink broken_forgets_run;
extern const broken_sink broken_last_partition;
extern const broken_sink broken_late_epoch;
extern const broken_sink broken_loses_offsets;
extern const broken_sink broken_lowers_epoch;
extern const broken_sink broken_mixes_runs;
extern const broken_sink broken_not_durable;
extern const broken_sink broken_says_ok;
extern const broken_sink broken_torn;
extern const broken_sink broken_wrong_batch;

const broken_sink *const broken_sinks[] = {
    &broken_abort_applies,   &broken_abort_loses,    &broken_accepts_again,
    &broken_accepts_gap,     &broken_any_stream,     &broken_applies_at_write,
    &broken_commits_outside, &broken_cuts_text,      &broken_forgets_epoch,
    &broken_forgets_run,     &broken_last_partition, &broken_late_epoch,
    &broken_loses_offsets,   &broken_lowers_epoch,   &broken_mixes_runs,
    &broken_not_durable,     &broken_says_ok,        &broken_torn,
    &broken_wrong_batch,
};
const size_t n_broken_sinks = sizeof(broken_sinks) / sizeof(broken_sinks[0]);
