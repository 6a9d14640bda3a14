/* A list of blocks, the newest first; only the newest is taken from. A string that is longer than
 * what is left opens a block of its own size or of the usual one, whichever is more. What was left
 * in the block before is lost, which costs less than looking for it. */
#include "text_pool.h"

#include <assert.h>

#include "mem.h"

#define BLOCK_BYTES 1008

typedef struct text_block {
    struct text_block *next;
    size_t used;
    size_t capacity;
    char data[];
} text_block;

char *rmq_text_pool_take(void **pool, size_t len)
{
    text_block *block = *pool;
    if (block == NULL || len > block->capacity - block->used) {
        size_t capacity = len > BLOCK_BYTES ? len : BLOCK_BYTES;
        size_t size_bytes;
        if (!rmq_size_add(sizeof(text_block), capacity, &size_bytes))
            return NULL;
        text_block *opened = rmq_malloc(size_bytes);
        if (opened == NULL)
            return NULL;
        *opened = (text_block){.next = block, .capacity = capacity};
        *pool = block = opened;
    }
    char *taken = block->data + block->used;
    block->used += len;
    return taken;
}

void rmq_text_pool_give_back(void *pool, size_t len)
{
    text_block *block = pool;
    assert(block != NULL && len <= block->used);
    block->used -= len;
}

void rmq_text_pool_free(void **pool)
{
    text_block *block = *pool;
    while (block != NULL) {
        text_block *next = block->next;
        rmq_free(block);
        block = next;
    }
    *pool = NULL;
}
