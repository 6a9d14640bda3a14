/* Offsets and times as a person writes them. RFC 3339 is read by hand, since strptime knows neither
 * fractions nor offsets with a colon. */
#include "position.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"

static bool whole_number(const char *text, int64_t *out_value)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0)
        return false;
    *out_value = value;
    return true;
}

/* Fraction of a second after a dot, in milliseconds; moves *text on. */
static int64_t fraction_ms(const char **text)
{
    if (**text != '.')
        return 0;
    int64_t ms = 0;
    int64_t unit = 100;
    for ((*text)++; isdigit((unsigned char)**text); (*text)++, unit /= 10)
        ms += (**text - '0') * unit;
    return ms;
}

static bool zone_seconds(const char *text, int64_t *out_seconds)
{
    int hours = 0;
    int minutes = 0;
    int used = 0;
    *out_seconds = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return true;
    if ((text[0] != '+' && text[0] != '-') ||
        sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || text[1 + used] != '\0' ||
        used != 5)
        return false;
    *out_seconds = (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

static bool rfc3339(const char *text, int64_t *out_ms)
{
    struct tm parts;
    memset(&parts, 0, sizeof(parts));
    int used = 0;
    char between = 0;
    if (sscanf(text, "%4d-%2d-%2d%c%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
               &between, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &used) != 7 ||
        strchr("Tt ", between) == NULL || used != 19)
        return false;
    if (parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 || parts.tm_mday > 31 ||
        parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60)
        return false;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    int wanted_day = parts.tm_mday;
    const char *rest = text + used;
    int64_t ms = fraction_ms(&rest);
    int64_t zone = 0;
    if (!zone_seconds(rest, &zone))
        return false;
    int64_t seconds = timegm(&parts);
    if (parts.tm_mday != wanted_day && parts.tm_sec != 60)
        return false; /* 31 February */
    *out_ms = (seconds - zone) * 1000 + ms;
    return true;
}

bool mill_time_parse(const char *text, int64_t now_ms, int64_t *out_ms)
{
    int64_t span = 0;
    if (text[0] == '@')
        return whole_number(text + 1, out_ms);
    if (text[0] == '-') {
        /* a bare number would be taken for seconds, but "-10" looks like an offset gone wrong */
        if (isdigit((unsigned char)text[strlen(text) - 1]) || !mill_duration_parse(text + 1, &span))
            return false;
        *out_ms = now_ms - span;
        return true;
    }
    return rfc3339(text, out_ms);
}

bool mill_position_parse(const char *text, bool until, int64_t now_ms, mill_position *out_position)
{
    mill_position position = {MILL_POSITION_OFFSET, 0};
    if (!until && strcmp(text, "earliest") == 0)
        position.kind = MILL_POSITION_EARLIEST;
    else if (!until && strcmp(text, "latest") == 0)
        position.kind = MILL_POSITION_LATEST;
    else if (until && strcmp(text, "end") == 0)
        position.kind = MILL_POSITION_END;
    else if (whole_number(text, &position.value))
        position.kind = MILL_POSITION_OFFSET;
    else if (mill_time_parse(text, now_ms, &position.value))
        position.kind = MILL_POSITION_TIME;
    else
        return false;
    *out_position = position;
    return true;
}
