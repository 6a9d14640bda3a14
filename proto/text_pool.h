/* Memory for decoded strings: bump-allocated, freed in one stroke. A pool is a `void *` that starts
 * as NULL, so that public structs can hold one without saying what it is. */
#ifndef RMQ_TEXT_POOL_H
#define RMQ_TEXT_POOL_H

#include <rmq/base.h>

/* `len` bytes (unaligned) that live until rmq_text_pool_free; NULL if memory ran out. */
char *rmq_text_pool_take(void **pool, size_t len);
/* Gives back the last `len` bytes of what was taken last. */
void rmq_text_pool_give_back(void *pool, size_t len);
void rmq_text_pool_free(void **pool);

#endif
