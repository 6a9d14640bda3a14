/* Structs of the caller that begin with struct_size: configs and vtables. */
#ifndef MILL_VERSIONED_H
#define MILL_VERSIONED_H

#include <rmq/base.h>

/* Copies what the caller's struct has into `out_known`, our version of it, `known_bytes` long; what
 * an older caller lacks is zero. `name` is the struct's, for the error. Errors: INVAL if
 * struct_size is not set, or if a newer caller sets a field that we do not know. */
RMQ_MUST_CHECK rmq_status mill_versioned_copy(const void *given, const char *name, void *out_known,
                                              size_t known_bytes, rmq_error *err);

#endif
