/* Status names, and filling an rmq_error.
 *
 * An error is filled once, where the failure is understood, into memory of the caller: no
 * allocation, no thread-local state. The text is formatted aside first and copied then, so that the
 * old text of the same error may be among the arguments. A text that is too long is cut, never in
 * the middle of a UTF-8 character. */
#include <rmq/base.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const status_names[] = {
    [RMQ_OK] = "OK",         [RMQ_AGAIN] = "AGAIN",         [RMQ_TIMEOUT] = "TIMEOUT",
    [RMQ_CLOSED] = "CLOSED", [RMQ_CANCELLED] = "CANCELLED", [RMQ_NOT_FOUND] = "NOT_FOUND",
    [RMQ_INVAL] = "INVAL",   [RMQ_NOMEM] = "NOMEM",         [RMQ_IO] = "IO",
    [RMQ_TLS] = "TLS",       [RMQ_AUTH] = "AUTH",           [RMQ_PROTO] = "PROTO",
    [RMQ_BROKER] = "BROKER", [RMQ_CORRUPT] = "CORRUPT",     [RMQ_SINK] = "SINK",
    [RMQ_FULL] = "FULL",     [RMQ_EXISTS] = "EXISTS",       [RMQ_LOCKED] = "LOCKED",
    [RMQ_FENCED] = "FENCED", [RMQ_DATA_LOSS] = "DATA_LOSS", [RMQ_UNSUPPORTED] = "UNSUPPORTED",
    [RMQ_USER] = "USER",
};

const char *rmq_status_name(rmq_status status)
{
    size_t index = (size_t)status;
    if (index >= sizeof(status_names) / sizeof(status_names[0]) || status_names[index] == NULL)
        return "UNKNOWN";
    return status_names[index];
}

/* Removes the last character if the cut went through it. `len` is at least 4. */
static size_t cut_whole_character(const char *text, size_t len)
{
    for (size_t back = 1; back <= 3; back++) {
        uint8_t byte = (uint8_t)text[len - back];
        if ((byte & 0xC0) == 0x80)
            continue;
        size_t needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
        return needed > back ? len - back : len;
    }
    return len;
}

static void put_text(rmq_error *err, const char *text, int formatted_len)
{
    size_t len = formatted_len < 0 ? 0 : (size_t)formatted_len;
    if (len >= RMQ_ERROR_TEXT_BYTES)
        len = cut_whole_character(text, RMQ_ERROR_TEXT_BYTES - 1);
    memcpy(err->text, text, len);
    err->text[len] = '\0';
}

rmq_status rmq_error_setv(rmq_error *err, rmq_status status, const char *format, va_list arguments)
{
    if (err == NULL)
        return status;
    char text[RMQ_ERROR_TEXT_BYTES];
    int len = vsnprintf(text, sizeof(text), format, arguments);
    *err = (rmq_error){.status = status};
    put_text(err, text, len);
    return status;
}

rmq_status rmq_error_set(rmq_error *err, rmq_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    rmq_error_setv(err, status, format, arguments);
    va_end(arguments);
    return status;
}

static rmq_status status_of_errno(int os_errno)
{
    switch (os_errno) {
    case ENOMEM:
        return RMQ_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return RMQ_FULL;
    default:
        return RMQ_IO;
    }
}

rmq_status rmq_error_set_errno(rmq_error *err, int os_errno, const char *format, ...)
{
    rmq_status status = status_of_errno(os_errno);
    if (err == NULL)
        return status;
    va_list arguments;
    va_start(arguments, format);
    rmq_error_setv(err, status, format, arguments);
    va_end(arguments);
    err->os_errno = os_errno;
    char reason_memory[128];
    const char *reason = strerror_r(os_errno, reason_memory, sizeof(reason_memory));
    char text[RMQ_ERROR_TEXT_BYTES];
    put_text(err, text, snprintf(text, sizeof(text), "%s: %s", err->text, reason));
    return status;
}

void rmq_error_wrap(rmq_error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    char prefix[RMQ_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int prefix_len = vsnprintf(prefix, sizeof(prefix), format, arguments);
    va_end(arguments);
    if (prefix_len < 0)
        return;
    char text[RMQ_ERROR_TEXT_BYTES];
    put_text(err, text, snprintf(text, sizeof(text), "%s: %s", prefix, err->text));
}
