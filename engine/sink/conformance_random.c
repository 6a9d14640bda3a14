/* The conformance kit's random history: some hundred steps, always the same ones, of everything
 * that can happen to a sink, against a model of five numbers. It is for what the narrow checks did
 * not think of: states that only a longer story reaches. */
#include "conformance.h"

#include <stdio.h>

#define N_STEPS 120
#define SEED 20240607u

typedef struct random_history {
    mill_kit *kit;
    mill_sink *sink;
    mill_sink *stale; /* an older epoch's; NULL: none */
    int64_t stale_epoch;
    int64_t epoch;
    int64_t last_batch;
    char last_run[MILL_RUN_NAME_BYTES];
    char tag[16]; /* of the current step */
    uint32_t random;
} random_history;

/* Below `limit`. */
static uint32_t next_random(random_history *history, uint32_t limit)
{
    history->random = history->random * 1664525u + 1013904223u;
    return (history->random >> 16) % limit;
}

static mill_kit_run random_run(random_history *history, int64_t batch_id, int64_t epoch)
{
    return (mill_kit_run){.batch_id = batch_id,
                          .epoch = epoch,
                          .tag = history->tag,
                          .n_partitions = next_random(history, 4),
                          .n_rows = next_random(history, 20)};
}

static bool step_commit(random_history *history)
{
    mill_kit_run run = random_run(history, history->last_batch + 1, history->epoch);
    if (!mill_kit_commit(history->kit, history->sink, &run))
        return false;
    history->last_batch++;
    mill_kit_run_name(&run, history->last_run);
    return true;
}

static bool step_unfinished(random_history *history)
{
    mill_kit_run run = random_run(history, history->last_batch + 1, history->epoch);
    return mill_kit_run_to_prepare(history->kit, history->sink, &run);
}

static bool step_abort(random_history *history)
{
    if (!step_unfinished(history))
        return false;
    history->sink->vtable.abort(history->sink->self);
    return true;
}

/* A batch that is not the next. */
static bool step_wrong_batch(random_history *history)
{
    static const int64_t distances[] = {0, -1, 2, 3};
    int64_t batch_id = history->last_batch + distances[next_random(history, 4)];
    mill_kit_run run = random_run(history, batch_id, history->epoch);
    return mill_kit_refused(history->kit, history->sink, &run, RMQ_OK);
}

static bool step_reopen(random_history *history)
{
    history->epoch++;
    return mill_kit_open(history->kit, history->sink, history->epoch, history->last_batch,
                         history->last_run);
}

static bool step_restart(random_history *history)
{
    mill_sink_free(history->sink);
    history->sink = NULL;
    history->epoch++;
    return mill_kit_restart(history->kit, history->epoch, history->last_batch, history->last_run,
                            &history->sink);
}

/* A new process; the old one still lives. */
static bool step_take_over(random_history *history)
{
    history->sink->vtable.abort(history->sink->self);
    mill_sink_free(history->stale);
    history->stale = history->sink;
    history->stale_epoch = history->epoch;
    history->sink = NULL;
    history->epoch++;
    return mill_kit_restart(history->kit, history->epoch, history->last_batch, history->last_run,
                            &history->sink);
}

static bool step_stale(random_history *history)
{
    if (history->stale == NULL)
        return true;
    history->sink->vtable.abort(history->sink->self); /* it may hold a lock */
    mill_kit_run run = random_run(history, history->last_batch + 1, history->stale_epoch);
    return mill_kit_refused(history->kit, history->stale, &run, RMQ_FENCED);
}

static const struct {
    const char *name;
    bool (*run)(random_history *history);
} steps[] = {
    {"commit", step_commit},     {"commit", step_commit},           {"commit", step_commit},
    {"abort", step_abort},       {"unfinished", step_unfinished},   {"restart", step_restart},
    {"open again", step_reopen}, {"wrong batch", step_wrong_batch}, {"take over", step_take_over},
    {"stale", step_stale},
};

void mill_kit_random_history(mill_kit *kit)
{
    random_history history = {.kit = kit, .random = SEED};
    bool good = mill_kit_restart(kit, ++history.epoch, 0, NULL, &history.sink);
    for (uint32_t i = 0; good && i < N_STEPS; i++) {
        uint32_t chosen = next_random(&history, sizeof(steps) / sizeof(steps[0]));
        char when[64];
        snprintf(history.tag, sizeof(history.tag), "s%u", i);
        snprintf(when, sizeof(when), "step %u (%s)", i, steps[chosen].name);
        good = steps[chosen].run(&history) && mill_kit_sees(kit, when, true);
    }
    mill_sink_free(history.sink);
    mill_sink_free(history.stale);
}
