/* Taking option structs that a caller compiled with another version of the header. */
#ifndef RMQ_SIZED_STRUCT_H
#define RMQ_SIZED_STRUCT_H

#include <rmq/base.h>

/* Copies `given`, which begins with its size_t struct_size, into `out` of `out_size` bytes: a
 * smaller one is filled up with zeros, a larger one must be zero beyond what is known here. `what`
 * is for the error's text. Errors: INVAL. */
RMQ_MUST_CHECK rmq_status rmq_sized_struct_copy(const char *what, const void *given, void *out,
                                                size_t out_size, rmq_error *err);

#endif
