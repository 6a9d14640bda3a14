/* Data on stdout.
 *
 * stdio would hide which write failed, and when. A command's data goes through this buffer instead;
 * whoever must know that it has left the process (consume, before it commits an offset) flushes and
 * looks. */
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "signals.h"

#define BUFFER_BYTES 65536

static char buffer[BUFFER_BYTES];
static size_t buffered;
static bool pipe_closed;
static bool write_failed;

static void fail(int number)
{
    if (number == EPIPE) {
        pipe_closed = true;
    } else {
        write_failed = true;
        mill_complain("stdout: %s", strerror(number));
    }
}

/* Waits until stdout takes more; a stop ends the wait only if the reader is stuck for a second. */
static bool wait_writable(void)
{
    for (;;) {
        struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};
        int ready = poll(&out, 1, 1000);
        if (ready > 0)
            return true;
        if (ready == 0 && mill_signals_stopping())
            return false;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

static void write_all(const char *data, size_t len)
{
    while (len > 0 && mill_output_open()) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!wait_writable())
                fail(EPIPE);
        } else if (n < 0 && errno != EINTR) {
            fail(errno);
        }
    }
}

bool mill_output_open(void)
{
    return !pipe_closed && !write_failed;
}

bool mill_output_flush(void)
{
    size_t len = buffered;
    buffered = 0;
    write_all(buffer, len);
    return mill_output_open();
}

void mill_output_write(rmq_slice bytes)
{
    if (bytes.len > BUFFER_BYTES - buffered)
        mill_output_flush();
    if (bytes.len > BUFFER_BYTES) {
        write_all(bytes.data, bytes.len);
    } else if (bytes.len > 0 && mill_output_open()) {
        memcpy(buffer + buffered, bytes.data, bytes.len);
        buffered += bytes.len;
    }
}

void mill_output_print(const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (n > 0)
        mill_output_write(
            (rmq_slice){text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1});
}

int mill_output_exit(int exit_code)
{
    mill_output_flush();
    if (write_failed)
        return MILL_EXIT_FAILURE;
    return pipe_closed ? MILL_EXIT_OK : exit_code;
}
