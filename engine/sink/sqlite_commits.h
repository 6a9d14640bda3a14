/* The bookkeeping of an SQLite sink: millrace_commits and millrace_offsets. */
#ifndef MILL_SQLITE_COMMITS_H
#define MILL_SQLITE_COMMITS_H

#include <mill/sink.h>

#include "offset_list.h"
#include "sqlite_db.h"

typedef struct mill_sqlite_commits {
    const mill_sqlite_db *db;
    char *stream_id;
    char *sink_id;
    sqlite3_stmt *select_row;
    sqlite3_stmt *update_row;
    sqlite3_stmt *put_offset;
    mill_offset_list offsets; /* what the last open gave */
} mill_sqlite_commits;

/* All within the caller's transaction: makes the tables if they are missing, finds or makes the row
 * of `owner` (adopting another stream's if asked), raises its epoch, prepares the statements and
 * tells the position. Errors: FENCED, EXISTS, NOMEM, and those of mill_sqlite_error. */
RMQ_MUST_CHECK rmq_status mill_sqlite_commits_open(mill_sqlite_commits *commits,
                                                   const mill_sqlite_db *db,
                                                   const mill_sink_owner *owner,
                                                   mill_sink_position *out_position,
                                                   rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_sqlite_commits_put_offsets(mill_sqlite_commits *commits,
                                                          const mill_offset *offsets,
                                                          size_t n_offsets, rmq_error *err);
/* The last step before COMMIT: FENCED if the row has another epoch or is gone, SINK unless the
 * batch is the successor of the row's. */
RMQ_MUST_CHECK rmq_status mill_sqlite_commits_advance(mill_sqlite_commits *commits,
                                                      const mill_sink_batch *batch, rmq_error *err);
/* Frees everything; before the database is closed. */
void mill_sqlite_commits_close(mill_sqlite_commits *commits);

#endif
