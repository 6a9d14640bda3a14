/* What the decoders of JSON bodies share.
 *
 * Servers leave out what is not set, or send null for it, or send more than this code knows; so a
 * null leaves a default in place and unknown keys are skipped. What can't be: a number where a text
 * belongs (the peer broke the protocol), and text with a zero byte, since every name here becomes a
 * C string and would silently be another name.
 *
 * Lists grow by doubling from a few items, never from a count that the peer claims, and each has a
 * cap; the error for that is told apart by the address of its text, as the reader knows no status.
 */
#include "body_json.h"

#include <string.h>

#include "json_scan.h"
#include "mem.h"

#define MAX_STRINGS 1000000
#define BLOCK_BYTES 32 /* of the smallest block of memory, or what a larger one wastes */

static const char too_many[] = "too many entries";
static const char too_large[] = "a body that is too large";

void rmq_body_init(rmq_json *json, rmq_slice body)
{
    rmq_json_init(json, body, true);
    if (body.len > RMQ_BODY_MAX_BYTES)
        rmq_json_fail_at(json, too_large, json->at);
}

bool rmq_body_full(rmq_json *json)
{
    return rmq_json_fail_at(json, too_many, json->at);
}

void *rmq_body_list_add(rmq_json *json, rmq_body_list *list, size_t item_bytes, size_t max_items)
{
    if (list->count >= max_items) {
        rmq_body_full(json);
        return NULL;
    }
    if (list->count == list->capacity) {
        void *items = rmq_array_grow(list->items, &list->capacity, list->count + 1, item_bytes);
        if (items == NULL) {
            rmq_json_fail_no_memory(json);
            return NULL;
        }
        list->items = items;
    }
    void *item = (char *)list->items + list->count * item_bytes;
    list->count++;
    return memset(item, 0, item_bytes);
}

static bool pass_null(rmq_json *json)
{
    return rmq_json_peek(json) == RMQ_JSON_NULL && rmq_json_skip(json);
}

bool rmq_body_text(rmq_json *json, char **io_text)
{
    rmq_slice text;
    if (pass_null(json))
        return true;
    if (!rmq_json_read_string(json, &text))
        return false;
    if (memchr(text.data, '\0', text.len) != NULL)
        return rmq_json_fail_at(json, "zero byte in a name", json->at);
    char *copy = rmq_slice_dup(text);
    if (copy == NULL)
        return rmq_json_fail_no_memory(json);
    rmq_free(*io_text);
    *io_text = copy;
    return true;
}

bool rmq_body_int32(rmq_json *json, int32_t *io_value)
{
    int64_t value;
    if (pass_null(json))
        return true;
    if (!rmq_json_read_int64(json, &value))
        return false;
    if (value < INT32_MIN || value > INT32_MAX)
        return rmq_json_fail_at(json, "not an integer of 32 bits", json->at);
    *io_value = (int32_t)value;
    return true;
}

bool rmq_body_int64(rmq_json *json, int64_t *io_value)
{
    return pass_null(json) || rmq_json_read_int64(json, io_value);
}

bool rmq_body_enter_object(rmq_json *json)
{
    return !pass_null(json) && rmq_json_enter_object(json);
}

bool rmq_body_enter_array(rmq_json *json)
{
    return !pass_null(json) && rmq_json_enter_array(json);
}

rmq_status rmq_body_finish(rmq_json *json, const char *what, rmq_error *err)
{
    if (rmq_json_peek(json) != RMQ_JSON_END)
        rmq_json_fail_at(json, "more after the end", json->at);
    rmq_status status = rmq_json_status(json, err);
    if (json->error == too_many || json->error == too_large)
        status = rmq_error_set(err, RMQ_FULL, "%s, at byte %zu of %zu", json->error, json->error_at,
                               (size_t)(json->end - json->start));
    if (status != RMQ_OK)
        rmq_error_wrap(err, "%s", what);
    return status;
}

rmq_status rmq_body_append(rmq_json_writer *writer, rmq_buf *out)
{
    rmq_slice text;
    rmq_status status = rmq_json_writer_finish(writer, &text);
    if (status != RMQ_OK)
        return status;
    rmq_buf_append_slice(out, text);
    return out->failed;
}

/* Each string is a block of its own, so many short ones take much more than the body did. */
static void read_strings(rmq_json *json, rmq_body_list *list)
{
    size_t used_bytes = 0;
    if (!rmq_body_enter_array(json))
        return;
    while (rmq_json_next_element(json)) {
        if (pass_null(json))
            continue;
        char **text = rmq_body_list_add(json, list, sizeof(*text), MAX_STRINGS);
        if (text == NULL || !rmq_body_text(json, text))
            return;
        used_bytes += sizeof(*text) + BLOCK_BYTES + (*text != NULL ? strlen(*text) : 0);
        if (used_bytes > RMQ_BODY_MAX_STRING_BYTES)
            rmq_body_full(json);
    }
}

rmq_status rmq_body_strings_decode(rmq_slice body, const char *key, char ***out_strings,
                                   size_t *out_count, rmq_error *err)
{
    rmq_json json;
    rmq_body_list list = {0};
    rmq_slice name;
    rmq_body_init(&json, body);
    if (rmq_json_enter_object(&json)) {
        while (rmq_json_next_key(&json, &name)) {
            if (rmq_slice_equals(name, key))
                read_strings(&json, &list);
            else
                rmq_json_skip(&json);
        }
    }
    rmq_status status = rmq_body_finish(&json, key, err);
    rmq_json_deinit(&json);
    if (status != RMQ_OK) {
        rmq_body_strings_free(list.items, list.count);
        return status;
    }
    *out_strings = list.items;
    *out_count = list.count;
    return RMQ_OK;
}

void rmq_body_strings_free(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rmq_free(strings[i]);
    rmq_free(strings);
}
