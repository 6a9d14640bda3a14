/* Status codes, errors, slices, the allocator and the version: what every Millrace layer shares. */
#ifndef RMQ_BASE_H
#define RMQ_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RMQ_API __attribute__((visibility("default")))
#define RMQ_MUST_CHECK __attribute__((warn_unused_result))
#define RMQ_PRINTF(format_index, first_argument)                                                   \
    __attribute__((format(printf, format_index, first_argument)))
#else
#define RMQ_API
#define RMQ_MUST_CHECK
#define RMQ_PRINTF(format_index, first_argument)
#endif

/* The one status of all layers. Failures are split where a caller would act differently; values are
 * never reused. */
typedef enum rmq_status {
    RMQ_OK = 0,
    RMQ_AGAIN = 1,        /* nothing now; ask again later */
    RMQ_TIMEOUT = 2,      /* the deadline passed; the outcome is unknown */
    RMQ_CLOSED = 3,       /* the connection or handle is closed */
    RMQ_CANCELLED = 4,    /* the caller stopped it */
    RMQ_NOT_FOUND = 5,    /* topic, offset, key or file does not exist */
    RMQ_INVAL = 6,        /* the caller's argument or configuration is wrong */
    RMQ_NOMEM = 7,        /* memory ran out */
    RMQ_IO = 8,           /* the operating system refused; see os_errno */
    RMQ_TLS = 9,          /* TLS handshake or certificate failed */
    RMQ_AUTH = 10,        /* no permission, or a wrong signature */
    RMQ_PROTO = 11,       /* the peer broke the protocol */
    RMQ_BROKER = 12,      /* the broker answered with an error; see broker_code */
    RMQ_CORRUPT = 13,     /* stored or received data fails its check */
    RMQ_SINK = 14,        /* a sink failed */
    RMQ_FULL = 15,        /* a bounded queue, buffer or disk is full */
    RMQ_EXISTS = 16,      /* it is there already */
    RMQ_LOCKED = 17,      /* another process holds it */
    RMQ_FENCED = 18,      /* a newer owner has taken over */
    RMQ_DATA_LOSS = 19,   /* the broker no longer has what was asked for */
    RMQ_UNSUPPORTED = 20, /* not built in, or not known to the peer */
    RMQ_USER = 21         /* a user's function failed */
} rmq_status;

/* Borrowed bytes, not zero-terminated. Never owns. `data` may be NULL only if `len` is 0. */
typedef struct rmq_slice {
    const char *data;
    size_t len;
} rmq_slice;

/* A slice over a string literal. */
#define RMQ_SLICE_LITERAL(literal) ((rmq_slice){(literal), sizeof(literal) - 1})

#define RMQ_ERROR_TEXT_BYTES 512

/* The detail of a failure, in memory of the caller. Only meaningful after a function that was given
 * it returned something else than RMQ_OK. */
typedef struct rmq_error {
    rmq_status status;
    int32_t broker_code; /* response code of the broker, 0 if it was not the broker */
    int os_errno;        /* errno, 0 if it was not the operating system */
    bool retriable;      /* the same call may succeed later */
    char text[RMQ_ERROR_TEXT_BYTES];
} rmq_error;

/* Name of a status without prefix, "TIMEOUT"; "UNKNOWN" for a value that is not one.
 * Returns a static string. Thread: any. */
RMQ_API const char *rmq_status_name(rmq_status status);

/* Fills `err` (may be NULL) with `status` and the formatted text, and clears the other fields. A
 * text that is too long is cut. Returns `status`, so that a caller can write `return
 * rmq_error_set(...)`. Thread: any. */
RMQ_API rmq_status rmq_error_set(rmq_error *err, rmq_status status, const char *format, ...)
    RMQ_PRINTF(3, 4);
RMQ_API rmq_status rmq_error_setv(rmq_error *err, rmq_status status, const char *format,
                                  va_list arguments) RMQ_PRINTF(3, 0);

/* As rmq_error_set, with status RMQ_IO (RMQ_NOMEM for ENOMEM, RMQ_FULL for ENOSPC and EDQUOT), the
 * errno value kept and its text appended after ": ". Thread: any. */
RMQ_API rmq_status rmq_error_set_errno(rmq_error *err, int os_errno, const char *format, ...)
    RMQ_PRINTF(3, 4);

/* Puts "formatted text: " before the text of `err` (may be NULL) and returns its status unchanged
 * (RMQ_OK for NULL is never returned: pass the status separately in that case). Thread: any. */
RMQ_API void rmq_error_wrap(rmq_error *err, const char *format, ...) RMQ_PRINTF(2, 3);

/* Compares a slice with a zero-terminated string. Thread: any. */
RMQ_API bool rmq_slice_equals(rmq_slice slice, const char *string);

/* A slice over a zero-terminated string (NULL gives the empty slice). Thread: any. */
RMQ_API rmq_slice rmq_slice_of(const char *string);

/* The process-wide allocator. Set it before the first other call of any layer; the default is the C
 * library's. All functions follow malloc, calloc, realloc and free. */
typedef struct rmq_allocator {
    void *(*malloc_fn)(size_t size_bytes, void *ctx);
    void *(*calloc_fn)(size_t count, size_t size_bytes, void *ctx);
    void *(*realloc_fn)(void *memory, size_t size_bytes, void *ctx);
    void (*free_fn)(void *memory, void *ctx);
    void *ctx;
} rmq_allocator;

/* Copies `allocator`; NULL restores the default. Thread: call it before other threads use the
 * library. */
RMQ_API void rmq_allocator_set(const rmq_allocator *allocator);

/* Memory of the process-wide allocator; NULL if there is none left. rmq_calloc gives zeroed memory
 * and checks the product for overflow. rmq_free accepts NULL. Thread: any. */
RMQ_API void *rmq_malloc(size_t size_bytes);
RMQ_API void *rmq_calloc(size_t count, size_t size_bytes);
RMQ_API void *rmq_realloc(void *memory, size_t size_bytes);
RMQ_API void rmq_free(void *memory);
RMQ_API char *rmq_strdup(const char *string);
/* A zero-terminated copy of a slice. */
RMQ_API char *rmq_slice_dup(rmq_slice slice);

/* How grave a log line is. */
typedef enum rmq_log_level {
    RMQ_LOG_ERROR = 1,
    RMQ_LOG_WARN = 2,
    RMQ_LOG_INFO = 3,
    RMQ_LOG_DEBUG = 4,
    RMQ_LOG_TRACE = 5
} rmq_log_level;

/* Receives log lines. Called from any thread, never under a lock; `area` and `line` are valid
 * during the call. Bodies and secrets are never logged. */
typedef void (*rmq_log_fn)(void *ctx, rmq_log_level level, const char *area, const char *line);

/* The library's version, "0.1.0". Static. Thread: any. */
RMQ_API const char *rmq_version(void);

#ifdef __cplusplus
}
#endif

#endif
