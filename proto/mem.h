/* Size arithmetic that cannot overflow, and growing arrays. The allocator itself is in
 * <rmq/base.h>. */
#ifndef RMQ_MEM_H
#define RMQ_MEM_H

#include <rmq/base.h>

/* False, and `out` untouched, if the result does not fit. */
bool rmq_size_add(size_t left, size_t right, size_t *out_sum);
bool rmq_size_multiply(size_t left, size_t right, size_t *out_product);

/* Gives an array of `*capacity` elements room for at least `needed`, doubling so that appending
 * stays linear. Returns the array, moved perhaps, with `*capacity` raised; NULL if memory ran out:
 * the old array then stands as it was. */
void *rmq_array_grow(void *array, size_t *capacity, size_t needed, size_t element_bytes);

#endif
