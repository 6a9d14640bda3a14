/* Putting sorted blocks together: a heap of readers, the one with the smallest key on top.
 *
 *     heap[0] -> its row is emitted, its next row read, and it sinks to its place
 *
 * Each reader has an arena of its own, since its row must last while those of others come and go.
 * Memory is a chunk for each block that was spilled, and what one row of each points to. */
#include "merge.h"

#include "block_reader.h"
#include "key_order.h"

typedef struct merge_input {
    mill_block_reader reader;
    mill_arena arena;
    const void *row;
} merge_input;

typedef struct merge {
    mill_task *task;
    const mill_type *key_type;
    merge_input *inputs;
    merge_input **heap;
    size_t n_heap;
} merge;

static bool is_before(const merge *m, size_t left, size_t right)
{
    return mill_key_order_compare(m->key_type, m->heap[left]->row, m->heap[right]->row) < 0;
}

static void sink_down(merge *m, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < m->n_heap; child++)
            if (is_before(m, child, least))
                least = child;
        if (least == at)
            return;
        merge_input *swap = m->heap[at];
        m->heap[at] = m->heap[least];
        m->heap[least] = swap;
        at = least;
    }
}

/* NOT_FOUND: the block is read to its end. */
static rmq_status input_next(merge *m, merge_input *input)
{
    mill_arena_reset(&input->arena);
    return mill_block_reader_next(&input->reader, &input->arena, &input->row, &m->task->err);
}

static rmq_status heap_fill(merge *m, mill_block *const *blocks, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++) {
        merge_input *input = &m->inputs[i];
        rmq_status status = mill_block_reader_start(&input->reader, blocks[i], &m->task->err);
        if (status == RMQ_OK)
            status = input_next(m, input);
        if (status == RMQ_OK)
            m->heap[m->n_heap++] = input;
        else if (status != RMQ_NOT_FOUND)
            return status;
    }
    for (size_t i = m->n_heap / 2; i > 0; i--)
        sink_down(m, i - 1);
    return RMQ_OK;
}

static rmq_status heap_emit(merge *m, mill_emitter *out, const char *at)
{
    while (m->n_heap > 0) {
        rmq_status status = mill_emit(out, m->heap[0]->row);
        if (status != RMQ_OK)
            return status;
        status = input_next(m, m->heap[0]);
        if (status == RMQ_NOT_FOUND)
            m->heap[0] = m->heap[--m->n_heap];
        else if (status != RMQ_OK)
            return mill_task_failed(m->task, status, at);
        sink_down(m, 0);
    }
    return RMQ_OK;
}

rmq_status mill_merge_emit(mill_task *task, mill_block *const *blocks, size_t n_blocks,
                           mill_emitter *out, const char *at)
{
    if (n_blocks == 0)
        return RMQ_OK;
    merge m = {.task = task, .key_type = mill_block_type(blocks[0])->key_type};
    m.inputs = rmq_calloc(n_blocks, sizeof(*m.inputs));
    m.heap = rmq_calloc(n_blocks, sizeof(merge_input *));
    rmq_status status;
    if (m.inputs == NULL || m.heap == NULL) {
        status = mill_task_nomem(task, at);
        goto out;
    }
    status = heap_fill(&m, blocks, n_blocks);
    if (status != RMQ_OK)
        status = mill_task_failed(task, status, at);
    else
        status = heap_emit(&m, out, at);
out:
    for (size_t i = 0; m.inputs != NULL && i < n_blocks; i++) {
        mill_block_reader_deinit(&m.inputs[i].reader);
        mill_arena_deinit(&m.inputs[i].arena);
    }
    rmq_free(m.inputs);
    rmq_free(m.heap);
    return status;
}
