/* Looking into a checkpoint from outside, while its job runs or not. */
#ifndef MILL_CHECKPOINT_PUBLIC_H
#define MILL_CHECKPOINT_PUBLIC_H

#include <mill/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the checkpoint at `address` ("file:DIR" or DIR) holds, as one JSON object: address, meta
 * (format, streamId, name, createdMs, job), lock (its last holder), epoch (the newest number),
 * epochOwner, floor,
 * lastPlanned, lastDone, plan (the newest), state (of the newest done batch, or of the first
 * start). What isn't there is left out. Nothing is locked or changed; a job that runs may go on in
 * between. *out_json is to be freed with rmq_free. Errors: NOT_FOUND (no checkpoint there), CORRUPT
 * (names the file), UNSUPPORTED (a newer format), INVAL, IO, NOMEM. Thread: any. */
MILL_API RMQ_MUST_CHECK rmq_status mill_checkpoint_describe(const char *address, char **out_json,
                                                            rmq_error *err);

#ifdef __cplusplus
}
#endif

#endif
