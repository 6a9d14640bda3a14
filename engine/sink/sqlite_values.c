/* One INSERT of many rows made from an INSERT of one.
 *
 * Running a statement costs SQLite about as much as changing a row does: cursors, memory and a
 * statement's transaction are set up and torn down. So for a statement of the form
 *
 *     INSERT ... VALUES (?1, ?2) ON CONFLICT ...     ->     INSERT ... VALUES (?1, ?2), (?3, ?4)
 * ...
 *
 * the sink runs the right one for as many rows as it can. SQLite takes the rows of a VALUES list
 * one after the other, each with its conflicts and triggers, as it would take them from statements
 * of their own. What could make a difference is left alone, and so is all that this little scanner
 * doesn't understand: subqueries (which may be evaluated once for all rows), functions in the list
 * or those that look at what the statement has done, parameters outside of the list, RETURNING,
 * several rows already, comments, unusual quotes. Such a statement is run row by row, as written.
 */
#include "sqlite_values.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct scan {
    const char *at;
    int depth;        /* of parentheses */
    const char *open; /* the list: its first parenthesis, and where it has ended */
    const char *close;
    int n_parameters;
    int n_seen; /* parameters in the list */
    bool is_first;
    bool after_values; /* VALUES was just read */
    bool after_word;
} scan;

static bool word_is(const char *word, size_t len, const char *wanted)
{
    return strlen(wanted) == len && strncasecmp(word, wanted, len) == 0;
}

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool in_list(const scan *s)
{
    return s->open != NULL && s->close == NULL;
}

static bool take_word(scan *s)
{
    static const char *const refused[] = {"select",  "returning",     "with",
                                          "changes", "total_changes", "last_insert_rowid"};
    const char *word = s->at;
    while (is_word_char(*s->at))
        s->at++;
    size_t len = (size_t)(s->at - word);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (word_is(word, len, refused[i]))
            return false;
    if (s->is_first && !word_is(word, len, "insert") && !word_is(word, len, "replace"))
        return false;
    if (word_is(word, len, "values")) {
        if (s->open != NULL || s->depth != 0)
            return false;
        s->after_values = true;
    }
    s->after_word = true;
    return true;
}

/* ?N; nothing else is taken. */
static bool take_parameter(scan *s)
{
    char *end = NULL;
    if (!in_list(s) || !isdigit((unsigned char)s->at[1]))
        return false;
    long number = strtol(s->at + 1, &end, 10);
    if (number < 1 || number > s->n_parameters)
        return false;
    s->at = end;
    s->n_seen++;
    return true;
}

static bool take_quoted(scan *s)
{
    const char *end = strchr(s->at + 1, *s->at);
    if (end == NULL)
        return false;
    s->at = end + 1; /* a doubled quote begins the next piece of the same text */
    return true;
}

static bool take_parenthesis(scan *s, bool after_values, bool after_word)
{
    if (*s->at == '(') {
        if (after_values)
            s->open = s->at;
        else if (in_list(s) && after_word)
            return false; /* a function */
        s->depth++;
    } else {
        s->depth--;
        if (in_list(s) && s->depth == 0)
            s->close = s->at + 1;
    }
    s->at++;
    return s->depth >= 0;
}

static bool take_sign(scan *s)
{
    if (strchr("[`:@$;", *s->at) != NULL || strncmp(s->at, "--", 2) == 0 ||
        strncmp(s->at, "/*", 2) == 0)
        return false;
    s->at++;
    return true;
}

static bool take_token(scan *s)
{
    bool after_values = s->after_values;
    bool after_word = s->after_word;
    s->after_values = false;
    s->after_word = false;
    if (after_values && *s->at != '(')
        return false;
    bool good;
    if (is_word_char(*s->at))
        good = take_word(s);
    else if (*s->at == '?')
        good = take_parameter(s);
    else if (*s->at == '\'' || *s->at == '"')
        good = take_quoted(s);
    else if (*s->at == '(' || *s->at == ')')
        good = take_parenthesis(s, after_values, after_word);
    else
        good = take_sign(s);
    s->is_first = false;
    return good;
}

/* What follows the list may be ON CONFLICT ... or nothing. */
static bool tail_is_known(const char *tail)
{
    tail += strspn(tail, " \t\r\n");
    return *tail == '\0' || (strncasecmp(tail, "on", 2) == 0 && !is_word_char(tail[2]));
}

static bool find_list(scan *s)
{
    while (*s->at != '\0') {
        s->at += strspn(s->at, " \t\r\n");
        if (*s->at != '\0' && !take_token(s))
            return false;
    }
    return s->close != NULL && s->depth == 0 && s->n_seen > 0 && tail_is_known(s->close);
}

/* Writes the list for row `row` and gives its length; with `out` NULL it only counts. `out` has
 * room for what was counted for a later row. */
static size_t put_list(const scan *s, int row, char *out)
{
    size_t len = 0;
    for (const char *at = s->open; at < s->close;) {
        char number[24];
        const char *piece = at;
        size_t piece_bytes = 1;
        if (*at == '\'' || *at == '"') {
            piece_bytes = (size_t)(strchr(at + 1, *at) + 1 - at);
            at += piece_bytes;
        } else if (*at == '?') {
            char *end = NULL;
            long first = strtol(at + 1, &end, 10);
            piece = number;
            piece_bytes = (size_t)snprintf(number, sizeof(number), "?%ld",
                                           first + (long)row * s->n_parameters);
            at = end;
        } else {
            at++;
        }
        if (out != NULL)
            memcpy(out + len, piece, piece_bytes);
        len += piece_bytes;
    }
    return len;
}

rmq_status mill_sqlite_repeat_values(const char *sql, int n_parameters, int n_rows, char **out_sql,
                                     rmq_error *err)
{
    scan s = {.at = sql, .n_parameters = n_parameters, .is_first = true};
    if (n_parameters < 1 || !find_list(&s)) {
        *out_sql = NULL;
        return RMQ_OK;
    }
    size_t list_bytes = put_list(&s, n_rows, NULL) + 1; /* the longest, and a comma */
    size_t head_bytes = (size_t)(s.open - sql);
    size_t size_bytes = head_bytes + (size_t)n_rows * list_bytes + strlen(s.close) + 1;
    char *many = rmq_malloc(size_bytes);
    if (many == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a statement of %d rows", n_rows);
    memcpy(many, sql, head_bytes);
    size_t len = head_bytes;
    for (int row = 0; row < n_rows; row++) {
        if (row > 0)
            many[len++] = ',';
        len += put_list(&s, row, many + len);
    }
    memcpy(many + len, s.close, strlen(s.close) + 1);
    *out_sql = many;
    return RMQ_OK;
}
