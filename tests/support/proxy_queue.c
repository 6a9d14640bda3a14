/* The fault proxy's outgoing bytes. A speed is kept by waiting after each write for as long as its
 * bytes take, with writes of at most a hundredth of a second's worth. */
#include "proxy_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

proxy_piece *proxy_queue_add(proxy_queue *queue, const uint8_t *data, size_t len, int64_t due_ns)
{
    proxy_piece *piece = malloc(sizeof(*piece) + len);
    if (piece == NULL)
        abort();
    memset(piece, 0, sizeof(*piece));
    piece->len = len;
    if (len > 0)
        memcpy(piece->data, data, len);
    piece->due_ns =
        queue->last != NULL && queue->last->due_ns > due_ns ? queue->last->due_ns : due_ns;
    if (queue->last != NULL)
        queue->last->next = piece;
    else
        queue->first = piece;
    queue->last = piece;
    queue->bytes += len;
    return piece;
}

static void drop_first(proxy_queue *queue)
{
    proxy_piece *piece = queue->first;
    queue->first = piece->next;
    if (queue->first == NULL)
        queue->last = NULL;
    queue->bytes -= piece->len - piece->at;
    free(piece);
}

void proxy_queue_clear(proxy_queue *queue)
{
    while (queue->first != NULL)
        drop_first(queue);
}

int64_t proxy_queue_due_ns(const proxy_queue *queue)
{
    if (queue->first == NULL)
        return INT64_MAX;
    int64_t due_ns = queue->first->due_ns;
    return queue->bytes_per_s > 0 && queue->next_ns > due_ns ? queue->next_ns : due_ns;
}

/* How much of the first piece may go now. */
static size_t allowance(const proxy_queue *queue)
{
    size_t left = queue->first->len - queue->first->at;
    if (queue->bytes_per_s <= 0)
        return left;
    size_t most = (size_t)(queue->bytes_per_s / 100 + 1);
    return left < most ? left : most;
}

static void pay_for(proxy_queue *queue, size_t n, int64_t now_ns)
{
    if (queue->bytes_per_s <= 0)
        return;
    int64_t from = queue->next_ns > now_ns ? queue->next_ns : now_ns;
    queue->next_ns = from + (int64_t)n * 1000000000 / queue->bytes_per_s;
}

bool proxy_queue_write(proxy_queue *queue, int fd, int64_t now_ns, proxy_after *out_after)
{
    *out_after = PROXY_GO_ON;
    while (proxy_queue_due_ns(queue) <= now_ns) {
        proxy_piece *piece = queue->first;
        if (piece->at < piece->len) {
            ssize_t n = send(fd, piece->data + piece->at, allowance(queue), MSG_NOSIGNAL);
            if (n < 0)
                return errno == EAGAIN || errno == EINTR;
            piece->at += (size_t)n;
            queue->bytes -= (size_t)n;
            pay_for(queue, (size_t)n, now_ns);
        }
        if (piece->at < piece->len)
            continue;
        proxy_after after = piece->after;
        if (after == PROXY_SLOW) {
            queue->bytes_per_s = piece->bytes_per_s;
            queue->next_ns = now_ns;
        }
        drop_first(queue);
        if (after != PROXY_GO_ON && after != PROXY_SLOW) {
            *out_after = after;
            return true;
        }
    }
    return true;
}
