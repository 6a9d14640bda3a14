/* The lexical half of the JSON reader: where a string, a number or a word ends, and what it says.
 * json.c does the structure. */
#ifndef RMQ_JSON_SCAN_H
#define RMQ_JSON_SCAN_H

#include <rmq/json.h>

#include "json_escape.h"

/* Puts the reader in the error state, with `what` (static) at `at`. Returns false. */
bool rmq_json_fail_at(rmq_json *json, const char *what, const char *at);
bool rmq_json_fail_no_memory(rmq_json *json);

/* Passes over the string that begins at json->at with a quote. `out_raw` is what stands between the
 * quotes, `out_escaped` whether escapes are in it; they are checked, not decoded. */
static inline bool rmq_json_scan_string(rmq_json *json, rmq_slice *out_raw, bool *out_escaped);
/* Decodes what rmq_json_scan_string found. */
bool rmq_json_unescape(rmq_json *json, rmq_slice raw, rmq_slice *out_text);
/* Passes over a number, by JSON's grammar. */
bool rmq_json_scan_number(rmq_json *json, rmq_slice *out_text);
/* The value of a JSON number; an error if it is out of range. */
bool rmq_json_to_double(rmq_json *json, rmq_slice number, double *out_value);
/* Passes over `true`, `false` or `null`. */
bool rmq_json_scan_word(rmq_json *json, const char *word);

/* The value of a decimal integer, -?[0-9]+; false if `text` is something else or does not fit. */
bool rmq_parse_int64(rmq_slice text, int64_t *out_value);

/* As rmq_json_scan_string, from `at` on, where the first byte stands that is not plain. */
bool rmq_json_scan_string_on(rmq_json *json, const char *at, rmq_slice *out_raw, bool *out_escaped);

/* Nearly all strings, and all keys, are plain up to their quote: that much is done in place. */
static inline bool rmq_json_scan_string(rmq_json *json, rmq_slice *out_raw, bool *out_escaped)
{
    const char *begin = json->at + 1;
    const char *at = rmq_json_plain_end(begin, json->end);
    if (at == json->end || *at != '"')
        return rmq_json_scan_string_on(json, at, out_raw, out_escaped);
    *out_raw = (rmq_slice){begin, (size_t)(at - begin)};
    *out_escaped = false;
    json->at = at + 1;
    return true;
}

#endif
