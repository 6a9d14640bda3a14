/* The output of one connection. Each piece is one encoded request. Its owner's pointer tells
 * whether the peer can have seen anything of it: that pointer is cleared when the first byte is
 * tried on the socket, and until then the piece can be withdrawn. That is what makes "it was not
 * sent" of a request that timed out a fact. */
#include "output.h"

#include <assert.h>

struct rmq_write {
    rmq_write *next;
    rmq_write **back; /* the owner's pointer; NULL once tried */
    uint8_t *data;
    size_t len;
    size_t at; /* bytes already written */
};

void rmq_output_init(rmq_output *output, size_t max_bytes)
{
    *output = (rmq_output){.max_bytes = max_bytes};
}

static void forget_owner(rmq_write *write)
{
    if (write->back != NULL)
        *write->back = NULL;
    write->back = NULL;
}

static void free_write(rmq_write *write)
{
    forget_owner(write);
    rmq_free(write->data);
    rmq_free(write);
}

void rmq_output_clear(rmq_output *output)
{
    while (output->first != NULL) {
        rmq_write *write = output->first;
        output->first = write->next;
        free_write(write);
    }
    output->last = NULL;
    output->queued_bytes = 0;
}

bool rmq_output_is_empty(const rmq_output *output)
{
    return output->first == NULL;
}

rmq_status rmq_output_push(rmq_output *output, uint8_t *take_data, size_t len,
                           rmq_write **out_write, rmq_error *err)
{
    if (len > output->max_bytes - output->queued_bytes)
        return rmq_error_set(err, RMQ_FULL, "%zu bytes wait to be written, %zu more pass %zu",
                             output->queued_bytes, len, output->max_bytes);
    rmq_write *write = rmq_calloc(1, sizeof(*write));
    if (write == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory to send %zu bytes", len);
    write->data = take_data;
    write->len = len;
    write->back = out_write;
    if (out_write != NULL)
        *out_write = write;
    if (output->last != NULL)
        output->last->next = write;
    else
        output->first = write;
    output->last = write;
    output->queued_bytes += len;
    return RMQ_OK;
}

void rmq_output_withdraw(rmq_output *output, rmq_write *write)
{
    rmq_write *previous = NULL;
    rmq_write **at = &output->first;
    while (*at != write) {
        previous = *at;
        at = &previous->next;
    }
    *at = write->next;
    if (output->last == write)
        output->last = previous;
    output->queued_bytes -= write->len;
    free_write(write);
}

size_t rmq_output_gather(const rmq_output *output, struct iovec *out_pieces, size_t capacity)
{
    size_t count = 0;
    for (const rmq_write *write = output->first; write != NULL && count < capacity;
         write = write->next) {
        out_pieces[count].iov_base = write->data + write->at;
        out_pieces[count++].iov_len = write->len - write->at;
    }
    return count;
}

void rmq_output_tried(rmq_output *output, size_t len)
{
    size_t seen = 0;
    for (rmq_write *write = output->first; write != NULL && seen < len; write = write->next) {
        seen += write->len - write->at;
        forget_owner(write);
    }
}

void rmq_output_written(rmq_output *output, size_t len)
{
    output->queued_bytes -= len;
    while (len > 0) {
        rmq_write *write = output->first;
        assert(write != NULL);
        size_t left = write->len - write->at;
        if (len < left) {
            write->at += len;
            return;
        }
        len -= left;
        output->first = write->next;
        if (output->first == NULL)
            output->last = NULL;
        free_write(write);
    }
}
