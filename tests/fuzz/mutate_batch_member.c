/* Mutates a batch send's body member by member (mutate_members.c). */
#include "mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    return mutate(&mutate_batch_members, data, size, max_size, seed);
}
