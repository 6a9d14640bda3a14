/* Files of a checkpoint: a body and a checksum line over it. */
#ifndef MILL_CHECKPOINT_FILE_H
#define MILL_CHECKPOINT_FILE_H

#include <mill/store.h>
#include <rmq/json.h>

/* A store and the address that errors name. */
typedef struct mill_checkpoint_files {
    mill_store store;
    char *address;
} mill_checkpoint_files;

#define MILL_CHECKPOINT_NAME_BYTES 160
/* The format that is written, and the newest that is read. */
#define MILL_CHECKPOINT_FORMAT 1

/* UNSUPPORTED if meta.json says that a newer version wrote this; what can't be read is for others
 * to find. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_check_format(const mill_checkpoint_files *files,
                                                       rmq_error *err);

/* The body of `name`, zero-terminated, to be freed with rmq_free. Errors: NOT_FOUND, CORRUPT (no or
 * a wrong checksum line; says what to do), IO, NOMEM. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_file_get(const mill_checkpoint_files *files,
                                                   const char *name, char **out_body,
                                                   size_t *out_len, rmq_error *err);
/* Writes `body` and its checksum line if there is no file of this name. Errors: EXISTS, IO, FULL,
 * NOMEM. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_file_put(const mill_checkpoint_files *files,
                                                   const char *name, rmq_slice body,
                                                   rmq_error *err);
/* Finishes `writer` and puts its text, or replaces what is there by it. */
RMQ_MUST_CHECK rmq_status mill_checkpoint_json_put(const mill_checkpoint_files *files,
                                                   const char *name, rmq_json_writer *writer,
                                                   rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_checkpoint_json_replace(const mill_checkpoint_files *files,
                                                       const char *name, rmq_json_writer *writer,
                                                       rmq_error *err);
/* Turns a decoder's CORRUPT into the error of file `name`, with what to do; others pass. */
rmq_status mill_checkpoint_file_wrap(const mill_checkpoint_files *files, const char *name,
                                     rmq_status status, rmq_error *err);

#endif
