/* Log lines on stderr.
 *
 * A small table remembers the last lines by hash: the same line within a minute is only counted,
 * and the count is added when it is let through again (or at the end). Lines come from many
 * threads: one mutex guards the table and stderr. */
#include "log.h"

#include <rmq/client.h>
#include <rmq/json.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REMEMBERED 64
#define REPEAT_MS 60000

typedef struct remembered {
    uint64_t hash;
    int64_t shown_ms;
    uint64_t held_back;
    rmq_log_level level;
    char area[32];
    char line[512];
} remembered;

static pthread_mutex_t log_lock =
    PTHREAD_MUTEX_INITIALIZER; /* guards `table`, and the order of lines */
static remembered table[REMEMBERED];
static rmq_log_level level_wanted = RMQ_LOG_WARN;
static bool as_json;
static atomic_bool is_quiet;

static const char *level_name(rmq_log_level level)
{
    static const char *const names[] = {"?", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    return level >= RMQ_LOG_ERROR && level <= RMQ_LOG_TRACE ? names[level] : names[0];
}

bool mill_log_setup(const mill_args *args)
{
    const char *format = mill_args_get(args, "log-format");
    if (format != NULL && strcmp(format, "text") != 0 && strcmp(format, "json") != 0) {
        mill_complain_usage(mill_args_command(args), "--log-format is text or json, not %s",
                            format);
        return false;
    }
    as_json = format != NULL && strcmp(format, "json") == 0;
    int verbosity = mill_args_verbosity(args);
    level_wanted = verbosity >= 2 ? RMQ_LOG_DEBUG : verbosity == 1 ? RMQ_LOG_INFO : RMQ_LOG_WARN;
    return true;
}

rmq_log_level mill_log_level(void)
{
    return level_wanted;
}

void mill_log_quiet(bool quiet)
{
    atomic_store(&is_quiet, quiet);
}

static void print_line(int64_t now_ms, rmq_log_level level, const char *area, const char *words,
                       uint64_t held_back)
{
    char stamp[40];
    char line[1024];
    snprintf(line, sizeof(line), "%s", words);
    mill_one_line(line);
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(stamp + n, sizeof(stamp) - n, ".%03dZ", (int)(now_ms % 1000));
    if (as_json) {
        rmq_json_writer writer;
        rmq_json_writer_init(&writer);
        rmq_json_begin_object(&writer);
        rmq_json_key(&writer, "time");
        rmq_json_string(&writer, stamp);
        rmq_json_key(&writer, "level");
        rmq_json_string(&writer, level_name(level));
        rmq_json_key(&writer, "area");
        rmq_json_string(&writer, area);
        rmq_json_key(&writer, "text");
        rmq_json_string(&writer, line);
        if (held_back > 0) {
            rmq_json_key(&writer, "repeated");
            rmq_json_int64(&writer, (int64_t)held_back);
        }
        rmq_json_end_object(&writer);
        rmq_slice text;
        if (rmq_json_writer_finish(&writer, &text) == RMQ_OK)
            fprintf(stderr, "%.*s\n", (int)text.len, text.data);
        rmq_json_writer_deinit(&writer);
    } else if (held_back > 0) {
        fprintf(stderr, "%s %s %s: %s (and %llu times more)\n", stamp, level_name(level), area,
                line, (unsigned long long)held_back);
    } else {
        fprintf(stderr, "%s %s %s: %s\n", stamp, level_name(level), area, line);
    }
}

static uint64_t hash_line(const char *area, const char *line)
{
    uint64_t hash = 14695981039346656037u;
    for (; *area != '\0'; area++)
        hash = (hash ^ (unsigned char)*area) * 1099511628211u;
    for (; *line != '\0'; line++)
        hash = (hash ^ (unsigned char)*line) * 1099511628211u;
    return hash;
}

void mill_log_line(void *ctx, rmq_log_level level, const char *area, const char *line)
{
    (void)ctx;
    if (level > level_wanted ||
        (level_wanted <= RMQ_LOG_WARN && atomic_load(&is_quiet) && strcmp(area, "link") == 0))
        return;
    int64_t now = rmq_clock_wall_ms();
    uint64_t hash = hash_line(area, line);
    pthread_mutex_lock(&log_lock);
    remembered *slot = &table[hash % REMEMBERED];
    if (slot->hash == hash && now - slot->shown_ms < REPEAT_MS && now >= slot->shown_ms) {
        slot->held_back++;
    } else {
        if (slot->held_back > 0 && slot->hash != hash)
            print_line(now, slot->level, slot->area, slot->line, slot->held_back);
        print_line(now, level, area, line, slot->hash == hash ? slot->held_back : 0);
        slot->hash = hash;
        slot->shown_ms = now;
        slot->held_back = 0;
        slot->level = level;
        snprintf(slot->area, sizeof(slot->area), "%s", area);
        snprintf(slot->line, sizeof(slot->line), "%s", line);
    }
    pthread_mutex_unlock(&log_lock);
}

void mill_log_flush(void)
{
    pthread_mutex_lock(&log_lock);
    for (size_t i = 0; i < REMEMBERED; i++) {
        if (table[i].held_back > 0)
            print_line(rmq_clock_wall_ms(), table[i].level, table[i].area, table[i].line,
                       table[i].held_back);
        table[i].held_back = 0;
    }
    pthread_mutex_unlock(&log_lock);
}

void mill_log_say(const char *area, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&log_lock);
    print_line(rmq_clock_wall_ms(), RMQ_LOG_INFO, area, text, 0);
    pthread_mutex_unlock(&log_lock);
}
