/* Messages as text.
 *
 * The JSON object is a contract: numbers are numbers, times are milliseconds, absent fields are
 * left out, and bytes that are not UTF-8 go as base64 so that nothing is changed by printing.
 * Reading takes the same object back. */
#include "message_text.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

static void text_field(rmq_json_writer *writer, const char *key, rmq_slice value)
{
    if (value.len == 0)
        return;
    rmq_json_key(writer, key);
    rmq_json_string_slice(writer, value);
}

static void number_field(rmq_json_writer *writer, const char *key, int64_t value)
{
    rmq_json_key(writer, key);
    rmq_json_int64(writer, value);
}

static void body_field(rmq_json_writer *writer, rmq_slice body)
{
    if (rmq_utf8_valid(body)) {
        rmq_json_key(writer, "body");
        rmq_json_string_slice(writer, body);
        return;
    }
    rmq_json_key(writer, "bodyBase64");
    char *text = rmq_malloc(body.len / 3 * 4 + 8);
    if (text == NULL) {
        writer->failed = true;
        return;
    }
    int len =
        EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)body.data, (int)body.len);
    rmq_json_string_slice(writer, (rmq_slice){text, (size_t)len});
    rmq_free(text);
}

static void property_fields(const rmq_message *message, rmq_json_writer *writer)
{
    size_t position = 0;
    rmq_slice name;
    rmq_slice value;
    bool any = false;
    while (rmq_message_next_property(message, &position, &name, &value)) {
        if (rmq_slice_equals(name, "KEYS") || rmq_slice_equals(name, "TAGS"))
            continue;
        if (!any) {
            rmq_json_key(writer, "properties");
            rmq_json_begin_object(writer);
            any = true;
        }
        rmq_json_key_slice(writer, name);
        rmq_json_string_slice(writer, value);
    }
    if (any)
        rmq_json_end_object(writer);
}

void mill_message_json(const rmq_message *message, rmq_json_writer *writer)
{
    char offset_id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_message_offset_id(message, offset_id);
    rmq_slice unique = rmq_message_unique_key(message);
    rmq_json_begin_object(writer);
    text_field(writer, "topic", message->topic);
    text_field(writer, "brokerName", message->broker_name);
    number_field(writer, "queueId", message->queue_id);
    number_field(writer, "queueOffset", message->queue_offset);
    text_field(writer, "keys", rmq_message_keys(message));
    text_field(writer, "tags", rmq_message_tags(message));
    body_field(writer, message->body);
    number_field(writer, "bornTimestamp", message->born_timestamp_ms);
    number_field(writer, "storeTimestamp", message->store_timestamp_ms);
    text_field(writer, "msgId", unique.len > 0 ? unique : rmq_slice_of(offset_id));
    text_field(writer, "offsetMsgId", rmq_slice_of(offset_id));
    number_field(writer, "reconsumeTimes", message->reconsume_times);
    property_fields(message, writer);
    rmq_json_end_object(writer);
    rmq_json_newline(writer);
}

bool mill_message_format_check(const char *format, const char **out_bad)
{
    for (const char *c = format; *c != '\0'; c++) {
        if (*c == '%' && (c[1] == '\0' || strchr("tbqokgsTm%", c[1]) == NULL)) {
            *out_bad = c;
            return false;
        }
        if (*c == '%')
            c++;
    }
    return true;
}

static void write_directive(const rmq_message *message, char directive)
{
    char offset_id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    switch (directive) {
    case 't':
        mill_output_write(message->topic);
        break;
    case 'b':
        mill_output_write(message->broker_name);
        break;
    case 'q':
        mill_output_print("%d", message->queue_id);
        break;
    case 'o':
        mill_output_print("%lld", (long long)message->queue_offset);
        break;
    case 'k':
        mill_output_write(rmq_message_keys(message));
        break;
    case 'g':
        mill_output_write(rmq_message_tags(message));
        break;
    case 's':
        mill_output_write(message->body);
        break;
    case 'T':
        mill_output_print("%lld", (long long)message->store_timestamp_ms);
        break;
    case 'm':
        rmq_message_offset_id(message, offset_id);
        mill_output_write(rmq_message_unique_key(message).len > 0 ? rmq_message_unique_key(message)
                                                                  : rmq_slice_of(offset_id));
        break;
    default:
        mill_output_write(RMQ_SLICE_LITERAL("%"));
    }
}

void mill_message_format_write(const rmq_message *message, const char *format)
{
    for (const char *c = format; *c != '\0'; c++) {
        if (*c == '%') {
            write_directive(message, *++c);
        } else if (*c == '\\' && (c[1] == 'n' || c[1] == 't')) {
            c++;
            mill_output_write(*c == 'n' ? RMQ_SLICE_LITERAL("\n") : RMQ_SLICE_LITERAL("\t"));
        } else {
            mill_output_write((rmq_slice){c, 1});
        }
    }
    mill_output_write(RMQ_SLICE_LITERAL("\n"));
}

/* ---- reading ---- */

/* Properties that the broker or the sending client makes: passing them on would lie about the new
 * message. */
static bool is_system_property(rmq_slice name)
{
    static const char *const names[] = {
        "UNIQ_KEY",   "CLUSTER",    "MSG_REGION",         "TRACE_ON",          "WAIT",
        "MIN_OFFSET", "MAX_OFFSET", "REAL_TOPIC",         "REAL_QID",          "TRAN_MSG",
        "PGROUP",     "DELAY",      "__transactionId__",  "ORIGIN_MESSAGE_ID", "RETRY_TOPIC",
        "INNER_NUM",  "INNER_BASE", "CONSUME_START_TIME", "RECONSUME_TIME"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (rmq_slice_equals(name, names[i]))
            return true;
    return name.len >= 6 && memcmp(name.data, "TIMER_", 6) == 0;
}

static rmq_status take_text(char **slot, rmq_slice value, rmq_error *err)
{
    rmq_free(*slot);
    *slot = rmq_slice_dup(value);
    if (*slot == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    return RMQ_OK;
}

static rmq_status take_base64(mill_input_message *message, rmq_slice text, rmq_error *err)
{
    if (text.len % 4 != 0 || text.len > 64u << 20)
        return rmq_error_set(err, RMQ_INVAL, "bodyBase64 is not base64");
    rmq_free(message->body);
    message->body = rmq_malloc(text.len / 4 * 3 + 1);
    if (message->body == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    int len = EVP_DecodeBlock((unsigned char *)message->body, (const unsigned char *)text.data,
                              (int)text.len);
    if (len < 0)
        return rmq_error_set(err, RMQ_INVAL, "bodyBase64 is not base64");
    for (size_t i = text.len; i > 0 && text.data[i - 1] == '=' && len > 0; i--)
        len--;
    message->body_len = (size_t)len;
    return RMQ_OK;
}

static rmq_status add_property(mill_input_message *message, rmq_slice name, rmq_slice value,
                               rmq_error *err)
{
    size_t n = message->n_properties;
    char **names = rmq_realloc(message->property_names, (n + 1) * sizeof(char *));
    if (names != NULL)
        message->property_names = names;
    char **values = rmq_realloc(message->property_values, (n + 1) * sizeof(char *));
    if (values != NULL)
        message->property_values = values;
    if (names == NULL || values == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    names[n] = rmq_slice_dup(name);
    values[n] = rmq_slice_dup(value);
    message->n_properties++;
    if (names[n] == NULL || values[n] == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    return RMQ_OK;
}

static rmq_status take_properties(mill_input_message *message, rmq_json *json, rmq_error *err)
{
    rmq_slice name;
    rmq_slice value;
    rmq_status status = RMQ_OK;
    if (!rmq_json_enter_object(json))
        return RMQ_OK; /* rmq_json_status tells */
    while (status == RMQ_OK && rmq_json_next_key(json, &name)) {
        if (!rmq_json_read_string(json, &value))
            break;
        if (!is_system_property(name) && value.len > 0)
            status = add_property(message, name, value, err);
    }
    return status;
}

static rmq_status take_field(mill_input_message *message, rmq_json *json, rmq_slice key,
                             bool *has_body, rmq_error *err)
{
    rmq_slice value;
    bool body = rmq_slice_equals(key, "body");
    if (body || rmq_slice_equals(key, "bodyBase64")) {
        if (*has_body)
            return rmq_error_set(err, RMQ_INVAL, "body is given twice");
        *has_body = true;
        if (!rmq_json_read_string(json, &value))
            return RMQ_OK;
        if (!body)
            return take_base64(message, value, err);
        message->body_len = value.len;
        return take_text(&message->body, value, err);
    }
    if (rmq_slice_equals(key, "tags") || rmq_slice_equals(key, "keys")) {
        bool tags = rmq_slice_equals(key, "tags");
        return rmq_json_read_string(json, &value)
                   ? take_text(tags ? &message->tags : &message->keys, value, err)
                   : RMQ_OK;
    }
    if (rmq_slice_equals(key, "properties"))
        return take_properties(message, json, err);
    rmq_json_skip(json);
    return RMQ_OK;
}

rmq_status mill_message_parse(rmq_slice line, mill_input_message *out_message, rmq_error *err)
{
    mill_input_message message;
    memset(&message, 0, sizeof(message));
    rmq_json json;
    rmq_json_init(&json, line, false);
    rmq_slice key;
    bool has_body = false;
    rmq_status status = RMQ_OK;
    if (rmq_json_peek(&json) != RMQ_JSON_OBJECT)
        status = rmq_error_set(err, RMQ_INVAL, "not a JSON object");
    else if (rmq_json_enter_object(&json))
        while (status == RMQ_OK && rmq_json_next_key(&json, &key))
            status = take_field(&message, &json, key, &has_body, err);
    if (status == RMQ_OK && rmq_json_status(&json, err) != RMQ_OK)
        status = RMQ_INVAL;
    if (status == RMQ_OK && rmq_json_peek(&json) != RMQ_JSON_END)
        status = rmq_error_set(err, RMQ_INVAL, "something follows the JSON object");
    if (status == RMQ_OK && !has_body)
        status = rmq_error_set(err, RMQ_INVAL, "no \"body\" and no \"bodyBase64\"");
    rmq_json_deinit(&json);
    if (status == RMQ_OK)
        *out_message = message;
    else
        mill_input_message_deinit(&message);
    return status;
}

void mill_input_message_deinit(mill_input_message *message)
{
    rmq_free(message->body);
    rmq_free(message->tags);
    rmq_free(message->keys);
    for (size_t i = 0; i < message->n_properties; i++) {
        rmq_free(message->property_names[i]);
        rmq_free(message->property_values[i]);
    }
    rmq_free(message->property_names);
    rmq_free(message->property_values);
    memset(message, 0, sizeof(*message));
}
