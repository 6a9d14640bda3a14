/* Checkpoint stores: a few files that decide everything, behind one small interface.
 *
 * Every write is durable when the function returns (file and directory synced, or the server's
 * word). Names are relative paths of `A-Za-z0-9._-/` without "..", of which no part begins with a
 * dot. What a file holds is checked a layer above (checksum line). */
#ifndef MILL_STORE_H
#define MILL_STORE_H

#include <mill/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mill_store_vtable {
    size_t struct_size;
    const char *scheme; /* "file" */
    /* Creates `name` with `bytes`, or RMQ_EXISTS if there is one: safety rests on this. */
    rmq_status (*put_if_absent)(void *self, const char *name, rmq_slice bytes, rmq_error *err);
    /* Creates or replaces, atomically. */
    rmq_status (*replace)(void *self, const char *name, rmq_slice bytes, rmq_error *err);
    /* *out_bytes is zero-terminated memory to be freed with rmq_free. NOT_FOUND. */
    rmq_status (*get)(void *self, const char *name, char **out_bytes, size_t *out_len,
                      rmq_error *err);
    /* Calls `each` with every name below directory `prefix` ("plan"), without the prefix, in no
     * order. A failure of `each` ends the walk and is returned. A directory that does not exist is
     * empty. */
    rmq_status (*list)(void *self, const char *prefix,
                       rmq_status (*each)(const char *name, void *ctx), void *ctx, rmq_error *err);
    rmq_status (*remove)(void *self, const char *name,
                         rmq_error *err); /* RMQ_OK if it wasn't there */
    /* Holds `lock` with `owner` (one line of JSON) written in it until close or the process's
     * death. LOCKED with the text of the present owner in err->text, unless `take_over`. Only a
     * courtesy: the epoch decides. */
    rmq_status (*lock)(void *self, const char *owner, bool take_over, rmq_error *err);
    void (*close)(void *self);
} mill_store_vtable;

typedef struct mill_store {
    const mill_store_vtable *vtable;
    void *self;
} mill_store;

/* Opens the store of a checkpoint address: "file:DIR" or a plain path. With `create` the
 * directory is made (mode 0700, files 0600) if it is missing, and shown to keep put-if-absent;
 * without, it is opened to be looked at, and opening writes nothing. Errors: INVAL, NOT_FOUND, IO,
 * UNSUPPORTED (unknown scheme). */
MILL_API RMQ_MUST_CHECK rmq_status mill_store_open(const char *address, bool create,
                                                   mill_store *out_store, rmq_error *err);
MILL_API void mill_store_close(mill_store *store);

#ifdef __cplusplus
}
#endif

#endif
