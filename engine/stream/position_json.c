/* The JSON of positions and ranges.
 *
 * A checkpoint is read by people (what did the job read, where does it stand?) and by programs of
 * other versions: names are spelled as in the rest of the project, unknown keys are passed over,
 * what is missing or can't be is an error and never a default, since a default offset would be a
 * guess. Only "generation", "lost" and the fingerprint may be absent: they are written only if
 * there is something to say. */
#include "position_json.h"

#include <string.h>

const char mill_out_of_memory[] = "out of memory";

void mill_json_put_int64(rmq_json_writer *writer, const char *key, int64_t value)
{
    rmq_json_key(writer, key);
    rmq_json_int64(writer, value);
}

void mill_json_put_text(rmq_json_writer *writer, const char *key, const char *value)
{
    rmq_json_key(writer, key);
    rmq_json_string(writer, value);
}

static void write_queue(rmq_json_writer *writer, const mill_position *position)
{
    mill_json_put_text(writer, "topic", position->topic);
    mill_json_put_text(writer, "brokerName", position->broker_name);
    mill_json_put_int64(writer, "queueId", position->queue_id);
}

static void write_history(rmq_json_writer *writer, const mill_position *position)
{
    if (position->generation != 0)
        mill_json_put_int64(writer, "generation", position->generation);
    const mill_fingerprint *last = &position->last;
    if (last->offset_id[0] == '\0')
        return;
    rmq_json_key(writer, "fingerprint");
    rmq_json_begin_object(writer);
    mill_json_put_text(writer, "offsetMsgId", last->offset_id);
    mill_json_put_int64(writer, "storeTimestamp", last->store_timestamp_ms);
    mill_json_put_int64(writer, "queueOffset", last->queue_offset);
    rmq_json_end_object(writer);
}

void mill_position_write(rmq_json_writer *writer, const mill_position *position)
{
    rmq_json_begin_object(writer);
    write_queue(writer, position);
    mill_json_put_int64(writer, "nextOffset", position->next_offset);
    write_history(writer, position);
    rmq_json_end_object(writer);
}

void mill_range_write(rmq_json_writer *writer, const mill_range *range)
{
    rmq_json_begin_object(writer);
    write_queue(writer, &range->from);
    mill_json_put_int64(writer, "start", range->from.next_offset);
    mill_json_put_int64(writer, "end", range->end_offset);
    write_history(writer, &range->from);
    if (range->lost != 0)
        mill_json_put_int64(writer, "lost", range->lost);
    rmq_json_end_object(writer);
}

bool mill_json_read_text(rmq_json *json, char *out_text, size_t capacity)
{
    rmq_slice text;
    if (!rmq_json_read_string(json, &text) || text.len >= capacity)
        return false;
    if (text.len > 0)
        memcpy(out_text, text.data, text.len);
    out_text[text.len] = '\0';
    return true;
}

rmq_status mill_json_decoded(rmq_json *json, const char *wrong, rmq_error *err)
{
    if (wrong == mill_out_of_memory)
        return rmq_error_set(err, RMQ_NOMEM, "%s", wrong);
    rmq_error detail;
    rmq_status status = rmq_json_status(json, &detail);
    if (status == RMQ_NOMEM)
        return rmq_error_set(err, RMQ_NOMEM, "%s", detail.text);
    if (status != RMQ_OK)
        return rmq_error_set(err, RMQ_CORRUPT, "%s", detail.text);
    if (wrong != NULL)
        return rmq_error_set(err, RMQ_CORRUPT, "%s", wrong);
    if (rmq_json_peek(json) != RMQ_JSON_END)
        return rmq_error_set(err, RMQ_CORRUPT, "there is more after the JSON object");
    return RMQ_OK;
}

/* ---- reading ---- */

/* What stands in one object of either kind; -1 where a number is absent. */
typedef struct entry {
    char *topic;
    char *broker_name;
    int64_t queue_id, start, end, next_offset, generation, lost;
    mill_fingerprint last;
} entry;

static bool read_owned(rmq_json *json, char **text, const char **out_wrong)
{
    rmq_slice value;
    if (!rmq_json_read_string(json, &value))
        return false;
    rmq_free(*text);
    *text = rmq_slice_dup(value);
    if (*text == NULL)
        *out_wrong = mill_out_of_memory;
    return *text != NULL;
}

static bool read_fingerprint(rmq_json *json, mill_fingerprint *last, const char **out_wrong)
{
    memset(last, 0, sizeof(*last));
    last->queue_offset = -1;
    if (!rmq_json_enter_object(json))
        return false;
    rmq_slice key;
    while (rmq_json_next_key(json, &key)) {
        bool good;
        if (rmq_slice_equals(key, "offsetMsgId"))
            good = mill_json_read_text(json, last->offset_id, sizeof(last->offset_id));
        else if (rmq_slice_equals(key, "storeTimestamp"))
            good = rmq_json_read_int64(json, &last->store_timestamp_ms);
        else if (rmq_slice_equals(key, "queueOffset"))
            good = rmq_json_read_int64(json, &last->queue_offset);
        else
            good = rmq_json_skip(json);
        if (!good) {
            *out_wrong = "a fingerprint can't be read";
            return false;
        }
    }
    if (last->offset_id[0] == '\0' || last->queue_offset < 0)
        *out_wrong = "a fingerprint lacks offsetMsgId or queueOffset";
    return *out_wrong == NULL;
}

static bool read_entry_value(rmq_json *json, rmq_slice key, entry *into, const char **out_wrong)
{
    if (rmq_slice_equals(key, "topic"))
        return read_owned(json, &into->topic, out_wrong);
    if (rmq_slice_equals(key, "brokerName"))
        return read_owned(json, &into->broker_name, out_wrong);
    if (rmq_slice_equals(key, "fingerprint"))
        return read_fingerprint(json, &into->last, out_wrong);
    const struct {
        const char *name;
        int64_t *value;
    } numbers[] = {
        {"queueId", &into->queue_id},
        {"start", &into->start},
        {"end", &into->end},
        {"nextOffset", &into->next_offset},
        {"generation", &into->generation},
        {"lost", &into->lost},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (!rmq_slice_equals(key, numbers[i].name))
            continue;
        if (!rmq_json_read_int64(json, numbers[i].value))
            return false;
        if (*numbers[i].value < 0)
            *out_wrong = "a number of a queue is negative";
        return *out_wrong == NULL;
    }
    return rmq_json_skip(json);
}

static void entry_deinit(entry *into)
{
    rmq_free(into->topic);
    rmq_free(into->broker_name);
}

static bool read_entry(rmq_json *json, entry *into, const char **out_wrong)
{
    *into = (entry){.queue_id = -1, .start = -1, .end = -1, .next_offset = -1};
    if (!rmq_json_enter_object(json))
        return false;
    rmq_slice key;
    while (rmq_json_next_key(json, &key)) {
        if (!read_entry_value(json, key, into, out_wrong))
            return false;
    }
    if (into->topic == NULL || into->broker_name == NULL || into->queue_id < 0)
        *out_wrong = "a queue lacks topic, brokerName or queueId";
    else if (into->queue_id > INT32_MAX || into->generation > INT32_MAX)
        *out_wrong = "a number of a queue is too large";
    return *out_wrong == NULL;
}

static mill_position entry_position(const entry *from, int64_t next_offset)
{
    return (mill_position){.topic = from->topic,
                           .broker_name = from->broker_name,
                           .queue_id = (int32_t)from->queue_id,
                           .generation = (int32_t)from->generation,
                           .next_offset = next_offset,
                           .last = from->last};
}

static bool add_position(mill_positions *positions, const entry *from, const char **out_wrong)
{
    if (from->next_offset < 0) {
        *out_wrong = "a position lacks nextOffset";
        return false;
    }
    mill_position position = entry_position(from, from->next_offset);
    if (mill_positions_copy(positions, &position, NULL) != RMQ_OK)
        *out_wrong = mill_out_of_memory;
    return *out_wrong == NULL;
}

static bool add_range(mill_ranges *ranges, const entry *from, const char **out_wrong)
{
    if (from->start < 0 || from->end < from->start) {
        *out_wrong = "a range lacks start or end, or ends before it starts";
        return false;
    }
    mill_position position = entry_position(from, from->start);
    if (mill_ranges_add(ranges, &position, NULL) != RMQ_OK) {
        *out_wrong = mill_out_of_memory;
        return false;
    }
    mill_range *range = &ranges->items[ranges->count - 1];
    range->end_offset = from->end;
    range->lost = from->lost;
    return true;
}

bool mill_positions_read(rmq_json *json, mill_positions *positions, const char **out_wrong)
{
    if (!rmq_json_enter_array(json))
        return false;
    while (rmq_json_next_element(json)) {
        entry each;
        bool good = read_entry(json, &each, out_wrong) && add_position(positions, &each, out_wrong);
        entry_deinit(&each);
        if (!good)
            return false;
    }
    mill_positions_sort(positions);
    return true;
}

bool mill_ranges_read(rmq_json *json, mill_ranges *ranges, const char **out_wrong)
{
    if (!rmq_json_enter_array(json))
        return false;
    while (rmq_json_next_element(json)) {
        entry each;
        bool good = read_entry(json, &each, out_wrong) && add_range(ranges, &each, out_wrong);
        entry_deinit(&each);
        if (!good)
            return false;
    }
    mill_ranges_sort(ranges);
    return true;
}
