/* The inside of the conformance kit: what its files share. conformance.c runs the checks,
 * conformance_kit.c drives a sink for them, conformance_rows.c makes and compares rows,
 * conformance_checks.c and conformance_kill.c are the checks. */
#ifndef MILL_CONFORMANCE_H
#define MILL_CONFORMANCE_H

#include <mill/sink_conformance.h>

#include "sink.h"

/* ---- rows ---- */

/* Rows as bytes, key and value, to be compared as a multiset. All zero is an empty list. */
typedef struct mill_row_list {
    rmq_slice *items;
    size_t count;
    size_t capacity;
} mill_row_list;

/* False if memory ran out. */
RMQ_MUST_CHECK bool mill_row_list_add(mill_row_list *list, rmq_slice key, int64_t value);
void mill_row_list_clear(mill_row_list *list);
void mill_row_list_deinit(mill_row_list *list);
/* Sorts both. False, and a text that says what is too many or missing, if they differ. */
bool mill_row_list_equal(mill_row_list *seen, mill_row_list *expected, char *out_text,
                         size_t capacity);

/* ---- the kit ---- */

/* A run of a batch as the kit makes it: its rows follow from these fields. */
typedef struct mill_kit_run {
    int64_t batch_id;
    int64_t epoch;
    const char *tag;       /* makes the run's name and rows its own */
    uint32_t n_partitions; /* one write each */
    uint32_t n_rows;       /* in each partition */
} mill_kit_run;

typedef struct mill_kit {
    const mill_conformance_subject *subject;
    mill_context *context;
    const mill_type *pair;
    mill_row_list expected; /* what is to be visible */
    const char *stream_id;
    bool adopt;
    bool failed;                       /* the current check */
    char detail[RMQ_ERROR_TEXT_BYTES]; /* why */
    uint32_t n_failed;                 /* checks */
    rmq_status broken;                 /* the kit itself can't go on */
    rmq_error err;                     /* of the last call */
} mill_kit;

typedef struct mill_kit_check {
    const char *name;
    void (*run)(mill_kit *kit);
} mill_kit_check;
extern const mill_kit_check mill_kit_checks[];
extern const size_t mill_kit_n_checks;
extern const mill_kit_check mill_kit_kills[];
extern const size_t mill_kit_n_kills;

/* A fresh place and context. False: the kit is broken. */
bool mill_kit_begin(mill_kit *kit);
void mill_kit_end(mill_kit *kit);
/* The context only: what a child makes for itself. */
bool mill_kit_context_new(mill_kit *kit);
void mill_kit_context_free(mill_kit *kit);

/* Notes the first failure of the check; always false. */
bool mill_kit_fail(mill_kit *kit, const char *format, ...) RMQ_PRINTF(2, 3);

/* All below that return bool: true, or false after mill_kit_fail or with kit->broken set. */
bool mill_kit_make(mill_kit *kit, mill_sink **out_sink);
rmq_status mill_kit_try_open(mill_kit *kit, mill_sink *sink, int64_t epoch,
                             mill_sink_position *out_position);
/* Tries again as long as the error is retriable, some seconds at most: a server may need a moment
 * to see that a killed client is gone. */
rmq_status mill_kit_open_patiently(mill_kit *kit, mill_sink *sink, int64_t epoch,
                                   mill_sink_position *out_position);
/* Must open and tell `batch_id`; with `run_name` also that run and the batch's offsets. */
bool mill_kit_open(mill_kit *kit, mill_sink *sink, int64_t epoch, int64_t batch_id,
                   const char *run_name);
/* A new sink that must open so. */
bool mill_kit_restart(mill_kit *kit, int64_t epoch, int64_t batch_id, const char *run_name,
                      mill_sink **out_sink);

void mill_kit_run_name(const mill_kit_run *run, char out_name[MILL_RUN_NAME_BYTES]);
/* begin, writes, prepare: up to the first that fails. */
rmq_status mill_kit_try_run(mill_kit *kit, mill_sink *sink, const mill_kit_run *run);
rmq_status mill_kit_try_begin(mill_kit *kit, mill_sink *sink, const mill_kit_run *run);
rmq_status mill_kit_try_write(mill_kit *kit, mill_sink *sink, const mill_kit_run *run,
                              uint32_t partition, const mill_type *type);
rmq_status mill_kit_try_commit(mill_kit *kit, mill_sink *sink, int64_t batch_id);
/* The run must not be refused before commit. */
bool mill_kit_run_to_prepare(mill_kit *kit, mill_sink *sink, const mill_kit_run *run);
/* The run must be taken; its rows are expected from now on. */
bool mill_kit_commit(mill_kit *kit, mill_sink *sink, const mill_kit_run *run);
/* The run must be refused, at commit or before; with `status`, unless it is RMQ_OK. Aborts. */
bool mill_kit_refused(mill_kit *kit, mill_sink *sink, const mill_kit_run *run, rmq_status status);
/* Its rows are to be visible. False: the kit is broken. */
bool mill_kit_expect(mill_kit *kit, const mill_kit_run *run);
/* What is visible must be what is expected. `during_run`: a place that is locked shows nothing,
 * which is right too. */
bool mill_kit_sees(mill_kit *kit, const char *when, bool during_run);

/* The offsets of `position` must be those of batch `batch_id`. */
bool mill_kit_check_offsets(mill_kit *kit, const mill_sink_position *position, int64_t batch_id);

void mill_kit_random_history(mill_kit *kit);

#endif
