/* The optional directory: one append-only file with every change to topics, messages, groups and
 * offsets, replayed when the broker starts. */
#ifndef RMQ_DEV_JOURNAL_H
#define RMQ_DEV_JOURNAL_H

#include <rmq/base.h>

#include "message_store.h"

typedef struct rmq_dev_journal rmq_dev_journal;

/* A queue and an offset in it. */
typedef struct rmq_dev_journal_range {
    rmq_slice topic;
    int32_t queue_id;
    int64_t offset;
} rmq_dev_journal_range;

/* What a replay hands over. Each returns a failure to stop it. */
typedef struct rmq_dev_journal_reader {
    rmq_status (*topic)(void *ctx, const rmq_dev_topic_spec *spec, rmq_error *err);
    rmq_status (*topic_delete)(void *ctx, rmq_slice name, rmq_error *err);
    rmq_status (*message)(void *ctx, rmq_slice record, rmq_error *err);
    rmq_status (*messages_delete)(void *ctx, bool below, const rmq_dev_journal_range *range,
                                  rmq_error *err);
    rmq_status (*group)(void *ctx, rmq_slice name, bool deleted, rmq_error *err);
    rmq_status (*half_decided)(void *ctx, int64_t offset, rmq_error *err);
    rmq_status (*offset)(void *ctx, rmq_slice group, const rmq_dev_journal_range *range,
                         rmq_error *err);
    void *ctx;
} rmq_dev_journal_reader;

/* Opens (or creates) the journal in `directory`, which is created if it is missing, locks it, and
 * replays what is there. A torn last entry (the process died while writing) is cut off. Errors: IO,
 * NOMEM, LOCKED (another process has it), CORRUPT (an entry that isn't the last is broken). */
RMQ_MUST_CHECK rmq_status rmq_dev_journal_open(const char *directory,
                                               const rmq_dev_journal_reader *reader,
                                               rmq_dev_journal **out_journal, rmq_error *err);
void rmq_dev_journal_close(rmq_dev_journal *journal); /* commits; accepts NULL */

/* Each adds an entry, which is in the file after the next commit. Errors: NOMEM, IO (an earlier
 * commit failed: nothing is accepted any more). */
RMQ_MUST_CHECK rmq_status rmq_dev_journal_topic(rmq_dev_journal *journal,
                                                const rmq_dev_topic_spec *spec, rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_journal_topic_delete(rmq_dev_journal *journal, rmq_slice name,
                                                       rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_journal_message(rmq_dev_journal *journal, rmq_slice record,
                                                  rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_journal_delete(rmq_dev_journal *journal, bool below,
                                                 const rmq_dev_journal_range *range,
                                                 rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_journal_group(rmq_dev_journal *journal, rmq_slice name,
                                                bool deleted, rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_journal_offset(rmq_dev_journal *journal, rmq_slice group,
                                                 const rmq_dev_journal_range *range,
                                                 rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_journal_half_decided(rmq_dev_journal *journal, int64_t offset,
                                                       rmq_error *err);
/* Takes the entry that was added last back. */
void rmq_dev_journal_undo(rmq_dev_journal *journal);
/* Writes what was added. No answer may leave before. Errors: IO. */
RMQ_MUST_CHECK rmq_status rmq_dev_journal_commit(rmq_dev_journal *journal, rmq_error *err);

#endif
