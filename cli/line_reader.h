/* Lines of standard input, with the knowledge whether another one is there already. */
#ifndef MILL_CLI_LINE_READER_H
#define MILL_CLI_LINE_READER_H

#include <rmq/base.h>

typedef struct mill_line_reader {
    char *data;
    size_t start; /* of what is not yet given out */
    size_t end;
    size_t capacity;
    bool ended; /* no more bytes come */
} mill_line_reader;

/* The next line without its line end, valid until the next call. Waits, unless `only_if_there`. OK;
 * AGAIN (only_if_there: no whole line is there); NOT_FOUND (the end; also after a stop was asked
 * for); IO; NOMEM; FULL (a line over 64 MiB). */
RMQ_MUST_CHECK rmq_status mill_line_next(mill_line_reader *reader, bool only_if_there,
                                         rmq_slice *out_line, rmq_error *err);
void mill_line_reader_deinit(mill_line_reader *reader);

#endif
