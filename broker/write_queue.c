/* A list of byte runs, each either owned (an encoded header) or borrowed from a store's chunk (a
 * run of records), so that a pull's answer is written by one call without a copy. */
#include "write_queue.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define RUNS_AT_ONCE 64

typedef struct rmq_dev_write {
    struct rmq_dev_write *next;
    uint8_t *owned;       /* or NULL */
    rmq_dev_chunk *chunk; /* or NULL */
    const uint8_t *data;
    size_t len;
} rmq_dev_write;

static void write_free(rmq_dev_write *write)
{
    rmq_free(write->owned);
    rmq_dev_chunk_unref(write->chunk);
    rmq_free(write);
}

void rmq_dev_write_queue_deinit(rmq_dev_write_queue *queue)
{
    while (queue->first != NULL) {
        rmq_dev_write *next = queue->first->next;
        write_free(queue->first);
        queue->first = next;
    }
    queue->last = NULL;
    queue->bytes = 0;
}

static rmq_dev_write *add(rmq_dev_write_queue *queue, const uint8_t *data, size_t len)
{
    rmq_dev_write *write = rmq_calloc(1, sizeof(*write));
    if (write == NULL)
        return NULL;
    write->data = data;
    write->len = len;
    if (queue->last != NULL)
        queue->last->next = write;
    else
        queue->first = write;
    queue->last = write;
    queue->bytes += len;
    return write;
}

rmq_status rmq_dev_write_queue_add(rmq_dev_write_queue *queue, uint8_t *take_data, size_t len)
{
    rmq_dev_write *write = add(queue, take_data, len);
    if (write == NULL) {
        rmq_free(take_data);
        return RMQ_NOMEM;
    }
    write->owned = take_data;
    return RMQ_OK;
}

rmq_status rmq_dev_write_queue_add_chunk(rmq_dev_write_queue *queue, rmq_dev_chunk *chunk,
                                         const uint8_t *data, size_t len)
{
    rmq_dev_write *write = add(queue, data, len);
    if (write == NULL)
        return RMQ_NOMEM;
    write->chunk = chunk;
    rmq_dev_chunk_ref(chunk);
    return RMQ_OK;
}

/* Takes `n` written bytes off the front. */
static void advance(rmq_dev_write_queue *queue, size_t n)
{
    queue->bytes -= n;
    while (queue->first != NULL && n >= queue->first->len) {
        rmq_dev_write *done = queue->first;
        n -= done->len;
        queue->first = done->next;
        write_free(done);
    }
    if (queue->first == NULL) {
        queue->last = NULL;
        return;
    }
    queue->first->data += n;
    queue->first->len -= n;
}

rmq_status rmq_dev_write_queue_flush(rmq_dev_write_queue *queue, int fd, size_t *out_written)
{
    size_t written = 0;
    rmq_status status = RMQ_OK;
    while (queue->first != NULL && status == RMQ_OK) {
        struct iovec runs[RUNS_AT_ONCE];
        size_t n_runs = 0;
        for (rmq_dev_write *write = queue->first; write != NULL && n_runs < RUNS_AT_ONCE;
             write = write->next) {
            runs[n_runs].iov_base = (void *)(uintptr_t)write->data;
            runs[n_runs].iov_len = write->len;
            n_runs++;
        }
        struct msghdr message = {.msg_iov = runs, .msg_iovlen = n_runs};
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n >= 0) {
            written += (size_t)n;
            advance(queue, (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            status = RMQ_AGAIN;
        } else if (errno != EINTR) {
            status = RMQ_CLOSED;
        }
    }
    *out_written = written;
    return status;
}
