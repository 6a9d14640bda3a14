/* A checkpoint: the files that decide what a stream has done, over any store. */
#ifndef MILL_CHECKPOINT_H
#define MILL_CHECKPOINT_H

#include "checkpoint_file.h"
#include "position.h"

#define MILL_STREAM_ID_BYTES 37
/* The run of state/0: where the sources stood at the very first start. */
#define MILL_START_RUN "start"

typedef struct mill_checkpoint {
    mill_checkpoint_files files;
    char stream_id[MILL_STREAM_ID_BYTES];
    int64_t epoch; /* ours; 0 before mill_checkpoint_next_epoch */
    int64_t floor; /* batches up to it are forgotten, as last read or raised */
    bool fresh;    /* meta.json was made by this process */
} mill_checkpoint;

/* Opens the store at `address` (made if need be), takes its lock. Errors: LOCKED (names the holder
 * and what to do), INVAL, IO, UNSUPPORTED. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_open(const char *address, bool take_over,
                                               mill_checkpoint **out_checkpoint, rmq_error *err);
void mill_checkpoint_close(mill_checkpoint *checkpoint); /* accepts NULL */

/* Checks meta.json against the job `name`, whose sources and outputs `job` describes (JSON).
 * Errors: NOT_FOUND (there is none yet), INVAL (another job's; names both), UNSUPPORTED (newer
 * format), CORRUPT, IO. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_check_meta(mill_checkpoint *checkpoint, const char *name,
                                                     rmq_slice job, rmq_error *err);
/* Makes meta.json for the job `name`, whose sources and outputs `job` describes (JSON), or checks
 * the one that is there. Errors: INVAL (another job's; names both), UNSUPPORTED (newer format),
 * CORRUPT, IO. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_meta(mill_checkpoint *checkpoint, const char *name,
                                               rmq_slice job, rmq_error *err);
/* Takes the next epoch, and reads the floor. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_next_epoch(mill_checkpoint *checkpoint, rmq_error *err);
/* FENCED if a process has taken a newer epoch than ours. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_check_epoch(const mill_checkpoint *checkpoint,
                                                      rmq_error *err);
/* Reads the floor into checkpoint->floor; 0 if there is none yet. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_read_floor(mill_checkpoint *checkpoint, rmq_error *err);
/* FENCED if batch `batch_id` is at or below the floor: to be asked after creating plan/N or
 * commit/N. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_check_floor(mill_checkpoint *checkpoint, int64_t batch_id,
                                                      rmq_error *err);
/* A name for a run, never used before: the epoch and a random part. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_run_name(const mill_checkpoint *checkpoint,
                                                   char out_run[MILL_RUN_NAME_BYTES],
                                                   rmq_error *err);

/* ---- batches ---- */

/* The highest N of plan/N and done/N; 0 if there is none. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_last_plan(const mill_checkpoint *checkpoint,
                                                    int64_t *out_batch_id, rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_checkpoint_last_done(const mill_checkpoint *checkpoint,
                                                    int64_t *out_batch_id, rmq_error *err);

/* Writes plan/N if there is none; otherwise *plan is freed and replaced by the one that is there,
 * and *out_found set. Errors: FENCED (N is not above the floor: others have gone on), CORRUPT, IO.
 */
RMQ_MUST_CHECK rmq_status mill_checkpoint_put_plan(mill_checkpoint *checkpoint,
                                                   mill_stream_plan **plan, bool *out_found,
                                                   rmq_error *err);
/* Errors: NOT_FOUND, CORRUPT, IO. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_get_plan(const mill_checkpoint *checkpoint,
                                                   int64_t batch_id, mill_stream_plan **out_plan,
                                                   rmq_error *err);
/* loss/N.K, K from 1: what try K of batch N could not read, put if absent as a plan is. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_put_loss(mill_checkpoint *checkpoint, uint32_t number,
                                                   mill_stream_plan **loss, rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_checkpoint_get_loss(const mill_checkpoint *checkpoint,
                                                   int64_t batch_id, uint32_t number,
                                                   mill_stream_plan **out_loss, rmq_error *err);

/* state/N.RUN is written once. get's NOT_FOUND: no such run. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_put_state(mill_checkpoint *checkpoint,
                                                    const mill_state *state, rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_checkpoint_get_state(const mill_checkpoint *checkpoint,
                                                    int64_t batch_id, const char *run,
                                                    mill_state **out_state, rmq_error *err);

/* out/N.RUN: staged output, bytes of the caller's own form. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_put_output(mill_checkpoint *checkpoint, int64_t batch_id,
                                                     const char *run, rmq_slice bytes,
                                                     rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_checkpoint_get_output(const mill_checkpoint *checkpoint,
                                                     int64_t batch_id, const char *run,
                                                     char **out_bytes, size_t *out_len,
                                                     rmq_error *err);

/* Decides batch N for `run` unless it is decided; `run` then becomes the decided one. Errors:
 * FENCED as put_plan. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_decide(mill_checkpoint *checkpoint, int64_t batch_id,
                                                 char run[MILL_RUN_NAME_BYTES], rmq_error *err);
/* NOT_FOUND: N is not decided (or forgotten). */
RMQ_MUST_CHECK rmq_status mill_checkpoint_decided(const mill_checkpoint *checkpoint,
                                                  int64_t batch_id,
                                                  char out_run[MILL_RUN_NAME_BYTES],
                                                  rmq_error *err);

RMQ_MUST_CHECK rmq_status mill_checkpoint_put_done(mill_checkpoint *checkpoint, int64_t batch_id,
                                                   const char *run, rmq_error *err);
/* NOT_FOUND: not done (or forgotten). */
RMQ_MUST_CHECK rmq_status mill_checkpoint_get_done(const mill_checkpoint *checkpoint,
                                                   int64_t batch_id,
                                                   char out_run[MILL_RUN_NAME_BYTES],
                                                   rmq_error *err);

/* Raises the floor to `floor`, durable, then deletes what lies at or below it. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_forget(mill_checkpoint *checkpoint, int64_t floor,
                                                 rmq_error *err);
/* Sets the floor only (a checkpoint that adopts a sink begins above batch 0). */
RMQ_MUST_CHECK rmq_status mill_checkpoint_raise_floor(mill_checkpoint *checkpoint, int64_t floor,
                                                      rmq_error *err);

#endif
