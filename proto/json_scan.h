/* The lexical half of the JSON reader: where a string, a number or a word ends, and what it says.
 * json.c does the structure. */
#ifndef RMQ_JSON_SCAN_H
#define RMQ_JSON_SCAN_H

#include <rmq/json.h>

/* Puts the reader in the error state, with `what` (static) at `at`. Returns false. */
bool rmq_json_fail_at(rmq_json *json, const char *what, const char *at);
bool rmq_json_fail_no_memory(rmq_json *json);

/* Passes over the string that begins at json->at with a quote. `out_raw` is what stands between the
 * quotes, `out_escaped` whether escapes are in it; they are checked, not decoded. */
bool rmq_json_scan_string(rmq_json *json, rmq_slice *out_raw, bool *out_escaped);
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

#endif
