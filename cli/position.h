/* Where to start or end reading, as a person writes it. */
#ifndef MILL_CLI_POSITION_H
#define MILL_CLI_POSITION_H

#include <rmq/base.h>

typedef enum mill_position_kind {
    MILL_POSITION_EARLIEST,
    MILL_POSITION_LATEST,
    MILL_POSITION_END, /* as latest, in --until */
    MILL_POSITION_OFFSET,
    MILL_POSITION_TIME,
    MILL_POSITION_NEVER
} mill_position_kind;

typedef struct mill_position {
    mill_position_kind kind;
    int64_t value; /* an offset, or milliseconds since 1970 */
} mill_position;

/* A bare integer is an offset; a TIME is RFC 3339 ("2026-01-31T12:00:00Z"), "@milliseconds", or
 * "-10m" before now_ms. `words` names the allowed words ("earliest|latest" or "end"). False if
 * `text` is none of these. */
bool mill_position_parse(const char *text, bool until, int64_t now_ms, mill_position *out_position);
/* TIME alone. */
bool mill_time_parse(const char *text, int64_t now_ms, int64_t *out_ms);

#endif
