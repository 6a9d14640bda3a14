/* Filling a new broker from its directory. */
#ifndef RMQ_DEV_OPEN_DIRECTORY_H
#define RMQ_DEV_OPEN_DIRECTORY_H

#include <rmq/devbroker.h>

/* Replays the journal and has every later change written to it. Errors: as rmq_dev_journal_open. */
RMQ_MUST_CHECK rmq_status rmq_dev_directory_open(rmq_devbroker *broker, rmq_error *err);

#endif
