/* The inside of a context. */
#ifndef MILL_CONTEXT_PRIVATE_H
#define MILL_CONTEXT_PRIVATE_H

#include <mill/dataset.h>

#include <pthread.h>

#include "block_store.h"
#include "pair.h"
#include "pool.h"

struct mill_context {
    mill_context_config config; /* spill_directory is NULL: the store has it */
    mill_pool *pool;
    mill_block_store *blocks;
    mill_pair_types pair_types;
    pthread_mutex_t lock; /* guards datasets and last_dataset_id */
    mill_dataset *datasets;
    uint32_t last_dataset_id;
};

uint32_t mill_context_workers(const mill_context *context);

#endif
