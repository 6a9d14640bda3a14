/* The console sink: a header and some lines per batch on standard output, for a first look.
 *
 * Lines are collected while rows are written and printed at commit in one piece, so that a run that
 * is given up prints nothing and two batches never mix. What a message says is not sent to the
 * terminal as it is: control characters become '?'. Writing to standard output is all this sink is
 * for; if that fails (a closed pipe) the batch fails. */
#include <mill/sink.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_ROWS 20
#define MAX_LINE_BYTES ((size_t)1 << 20)
#define RULE "-------------------------------------------\n"

typedef struct console_sink {
    mill_format_fn format;
    void *ctx;
    uint32_t max_rows;
    int64_t batch_id;
    uint64_t n_rows; /* of the run, shown or not */
    char *text;
    size_t len;
    size_t capacity;
} console_sink;

static bool reserve(console_sink *sink, size_t more)
{
    if (sink->capacity - sink->len >= more)
        return true;
    size_t capacity = (sink->len + more) * 2;
    char *grown = rmq_realloc(sink->text, capacity);
    if (grown == NULL)
        return false;
    sink->text = grown;
    sink->capacity = capacity;
    return true;
}

static rmq_status no_memory(rmq_error *err)
{
    return rmq_error_set(err, RMQ_NOMEM, "console sink: out of memory");
}

static rmq_status console_open(void *self, const mill_sink_owner *owner,
                               mill_sink_position *out_position, rmq_error *err)
{
    (void)self;
    (void)owner;
    (void)err;
    memset(out_position, 0, sizeof(*out_position));
    return RMQ_OK;
}

static rmq_status console_begin(void *self, const mill_sink_batch *batch, rmq_error *err)
{
    console_sink *sink = self;
    sink->batch_id = batch->batch_id;
    sink->n_rows = 0;
    sink->len = 0;
    char header[sizeof(RULE) * 2 + 32];
    int len =
        snprintf(header, sizeof(header), RULE "Batch: %lld\n" RULE, (long long)sink->batch_id);
    if (!reserve(sink, (size_t)len))
        return no_memory(err);
    memcpy(sink->text, header, (size_t)len);
    sink->len = (size_t)len;
    return RMQ_OK;
}

/* Appends the line of one row: formatted where there is room, once more if there was too little. */
static rmq_status add_row(console_sink *sink, const void *row, rmq_error *err)
{
    size_t room = 256;
    for (;;) {
        if (!reserve(sink, room + 1))
            return no_memory(err);
        char *line = sink->text + sink->len;
        int len = sink->format(row, line, room, sink->ctx);
        if (len < 0)
            return rmq_error_set(err, RMQ_USER, "console sink: the format function failed");
        size_t needed = (size_t)len + 1;
        if (needed > room && room < MAX_LINE_BYTES) {
            room = needed < MAX_LINE_BYTES ? needed : MAX_LINE_BYTES;
            continue;
        }
        size_t shown = needed <= room ? (size_t)len : room - 1; /* cut */
        for (size_t i = 0; i < shown; i++) {
            if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
                line[i] = '?';
        }
        line[shown] = '\n';
        sink->len += shown + 1;
        return RMQ_OK;
    }
}

static rmq_status console_write(void *self, uint32_t target, uint32_t partition, mill_rows *rows,
                                rmq_error *err)
{
    console_sink *sink = self;
    (void)target;
    (void)partition;
    uint64_t before = sink->n_rows;
    sink->n_rows += mill_rows_count(rows);
    for (uint64_t i = before; i < sink->max_rows && i < sink->n_rows; i++) {
        const void *row = NULL;
        rmq_status status = mill_rows_next(rows, &row, err);
        if (status == RMQ_OK)
            status = add_row(sink, row, err);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static rmq_status print_all(const char *text, size_t len, rmq_error *err)
{
    while (len > 0) {
        ssize_t written = write(STDOUT_FILENO, text, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return rmq_error_set_errno(err, errno, "console sink: cannot write to standard output");
        text += written;
        len -= (size_t)written;
    }
    return RMQ_OK;
}

static rmq_status console_commit(void *self, const mill_offset *offsets, size_t n_offsets,
                                 rmq_error *err)
{
    console_sink *sink = self;
    (void)offsets;
    (void)n_offsets;
    char footer[64];
    int len = 0;
    if (sink->n_rows > sink->max_rows)
        len = snprintf(footer, sizeof(footer), "only showing top %u rows\n", sink->max_rows);
    if (!reserve(sink, (size_t)len))
        return no_memory(err);
    memcpy(sink->text + sink->len, footer, (size_t)len);
    sink->len += (size_t)len;
    fflush(stdout); /* what the program itself has printed stands before */
    return print_all(sink->text, sink->len, err);
}

static void console_abort(void *self)
{
    console_sink *sink = self;
    sink->len = 0;
}

static void console_close(void *self)
{
    console_sink *sink = self;
    rmq_free(sink->text);
    rmq_free(sink);
}

rmq_status mill_console_sink_new(const mill_type *type, mill_format_fn format, void *ctx,
                                 uint32_t max_rows, mill_sink **out_sink, rmq_error *err)
{
    static const mill_sink_vtable vtable = {
        .struct_size = sizeof(vtable),
        .name = "console",
        .n_targets = 1,
        .open = console_open,
        .begin = console_begin,
        .write = console_write,
        .commit = console_commit,
        .abort = console_abort,
        .close = console_close,
    };
    if (type == NULL || format == NULL || out_sink == NULL)
        return rmq_error_set(err, RMQ_INVAL, "console sink: a type and a format are needed");
    console_sink *sink = rmq_calloc(1, sizeof(*sink));
    if (sink == NULL)
        return no_memory(err);
    sink->format = format;
    sink->ctx = ctx;
    sink->max_rows = max_rows != 0 ? max_rows : DEFAULT_ROWS;
    rmq_status status = mill_sink_new(&vtable, sink, &type, out_sink, err);
    if (status != RMQ_OK)
        console_close(sink);
    return status;
}
