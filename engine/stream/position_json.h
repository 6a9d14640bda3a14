/* Positions and ranges as JSON: what plan, state and loss files are made of. */
#ifndef MILL_POSITION_JSON_H
#define MILL_POSITION_JSON_H

#include <rmq/json.h>

#include "position.h"

/* What a reader below says where memory ran out: known by its address. */
extern const char mill_out_of_memory[];

/* `"key":value` inside an object. */
void mill_json_put_int64(rmq_json_writer *writer, const char *key, int64_t value);
void mill_json_put_text(rmq_json_writer *writer, const char *key, const char *value);

/* {"topic","brokerName","queueId","nextOffset","generation","fingerprint"}. */
void mill_position_write(rmq_json_writer *writer, const mill_position *position);
/* The same with "start" and "end" instead of "nextOffset", and "lost" if records were. */
void mill_range_write(rmq_json_writer *writer, const mill_range *range);

/* Read an array of them and append each, then sort. False: `json` is in its error state,
 * `out_wrong` says what is wrong with a value, or memory ran out (`out_wrong` is "out of memory").
 */
bool mill_positions_read(rmq_json *json, mill_positions *positions, const char **out_wrong);
bool mill_ranges_read(rmq_json *json, mill_ranges *ranges, const char **out_wrong);

/* Copies a JSON string into `out_text` of `capacity` bytes; false if it doesn't fit or isn't one.
 */
bool mill_json_read_text(rmq_json *json, char *out_text, size_t capacity);

/* Ends a decoder: RMQ_OK if the whole text was read and nothing is `wrong`; CORRUPT or NOMEM with
 * what and where otherwise. */
RMQ_MUST_CHECK rmq_status mill_json_decoded(rmq_json *json, const char *wrong, rmq_error *err);

#endif
