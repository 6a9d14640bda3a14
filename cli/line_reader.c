/* Lines of standard input.
 *
 * stdio can't tell whether a getline would wait, and produce wants to know: what is there already
 * goes out in one request, and a single line that somebody typed goes at once. A stop ends the
 * waiting. */
#include "line_reader.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "signals.h"

#define MAX_LINE_BYTES (64u << 20)

/* Reads once. OK: some bytes, or the end; AGAIN. */
static rmq_status read_more(mill_line_reader *reader, bool wait, rmq_error *err)
{
    struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {mill_signals_fd(), POLLIN, 0}};
    int ready = poll(fds, 2, wait ? -1 : 0);
    if (mill_signals_stopping()) {
        reader->ended = true;
        reader->start = reader->end; /* half a line is no message */
        return RMQ_OK;
    }
    if (ready <= 0 || fds[0].revents == 0)
        return RMQ_AGAIN;
    if (reader->start > 0) {
        memmove(reader->data, reader->data + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    if (reader->end == reader->capacity) {
        size_t capacity = reader->capacity > 0 ? reader->capacity * 2 : 65536;
        if (capacity > MAX_LINE_BYTES)
            return rmq_error_set(err, RMQ_FULL, "a line is longer than 64 MiB");
        char *data = rmq_realloc(reader->data, capacity);
        if (data == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "out of memory");
        reader->data = data;
        reader->capacity = capacity;
    }
    ssize_t n = read(STDIN_FILENO, reader->data + reader->end, reader->capacity - reader->end);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? RMQ_AGAIN
                                                 : rmq_error_set_errno(err, errno, "stdin");
    reader->ended = n == 0;
    reader->end += (size_t)n;
    return RMQ_OK;
}

rmq_status mill_line_next(mill_line_reader *reader, bool only_if_there, rmq_slice *out_line,
                          rmq_error *err)
{
    size_t seen = 0; /* bytes of the line that hold no line end */
    for (;;) {
        size_t len = reader->end - reader->start;
        char *line = len > 0 ? reader->data + reader->start : NULL;
        char *stop = len > seen ? memchr(line + seen, '\n', len - seen) : NULL;
        if (stop != NULL || (reader->ended && len > 0)) {
            *out_line = (rmq_slice){line, stop != NULL ? (size_t)(stop - line) : len};
            reader->start += out_line->len + (stop != NULL);
            return RMQ_OK;
        }
        if (reader->ended)
            return RMQ_NOT_FOUND;
        seen = len;
        rmq_status status = read_more(reader, !only_if_there, err);
        if (status != RMQ_OK && (status != RMQ_AGAIN || only_if_there))
            return status;
    }
}

void mill_line_reader_deinit(mill_line_reader *reader)
{
    rmq_free(reader->data);
    memset(reader, 0, sizeof(*reader));
}
