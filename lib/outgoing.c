/* Checking and encoding what is to be sent, on the caller's thread: a mistake is told at once, in
 * the call that made it, and not by a broker's exception text later.
 *
 * A user's properties travel as they are given. Some names have a field of their own in
 * rmq_outgoing, and giving both is refused, not resolved; UNIQ_KEY may be given (a sender that
 * repeats a message then repeats its key); TRAN_MSG is refused, since it would turn the message
 * into one half of a transaction, which nobody would ever see. Source: protocol facts 5.3, 6.1,
 * 7, 17.2.
 */
#include "outgoing.h"

#include <stdio.h>
#include <string.h>

#include <rmq/client.h>

#include "../proto/props.h"
#include "../proto/record.h"
#include "../proto/sized_struct.h"

#define TOPIC_MAX_BYTES 127
#define LONG_TOPIC_MAX_BYTES 255
#define MAX_DELAY_LEVEL 18

void rmq_letter_init(rmq_letter *letter)
{
    *letter = (rmq_letter){0};
    rmq_buf_init(&letter->body, RMQ_MESSAGE_MAX_BYTES);
    rmq_buf_init(&letter->properties, RMQ_PROPERTIES_MAX_BYTES);
}

void rmq_letter_deinit(rmq_letter *letter)
{
    rmq_buf_deinit(&letter->body);
    rmq_buf_deinit(&letter->properties);
}

static bool is_topic_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '%' || c == '|';
}

rmq_status rmq_topic_check(const char *topic, rmq_error *err)
{
    if (topic == NULL || topic[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "a topic is missing");
    size_t len = strlen(topic);
    bool internal = strncmp(topic, "%RETRY%", 7) == 0 || strncmp(topic, "%DLQ%", 5) == 0;
    size_t limit = internal ? LONG_TOPIC_MAX_BYTES : TOPIC_MAX_BYTES;
    if (len > limit)
        return rmq_error_set(err, RMQ_INVAL, "topic of %zu characters; at most %zu are allowed",
                             len, limit);
    for (size_t i = 0; i < len; i++) {
        if (!is_topic_char(topic[i]))
            return rmq_error_set(err, RMQ_INVAL,
                                 "topic \"%s\": character %zu is not one of A-Z a-z 0-9 _ - %% |",
                                 topic, i + 1);
    }
    return RMQ_OK;
}

static bool is_given(const char *string)
{
    return string != NULL && string[0] != '\0';
}

/* A property that the caller may not give the way they did; NULL: fine. */
static const char *objection(const rmq_outgoing *message, const char *name)
{
    if (strcmp(name, "TRAN_MSG") == 0)
        return "would make it half of a transaction";
    bool twice =
        (strcmp(name, RMQ_PROPERTY_TAGS) == 0 && is_given(message->tags)) ||
        (strcmp(name, RMQ_PROPERTY_KEYS) == 0 && is_given(message->keys)) ||
        (strcmp(name, RMQ_PROPERTY_DELAY) == 0 && message->delay_level != 0) ||
        (strcmp(name, RMQ_PROPERTY_TIMER_DELIVER_MS) == 0 && message->deliver_at_ms != 0) ||
        (strcmp(name, RMQ_PROPERTY_SHARDING_KEY) == 0 && is_given(message->sharding_key));
    return twice ? "is given twice" : NULL;
}

/* What the caller's own properties already say. */
typedef struct given {
    const char *unique_key;
    bool wait;
} given;

static rmq_status write_user_properties(rmq_buf *out, const rmq_outgoing *message, given *out_given,
                                        rmq_error *err)
{
    for (size_t i = 0; i < message->n_properties; i++) {
        const rmq_property *property = &message->properties[i];
        if (!is_given(property->name) || !is_given(property->value))
            return rmq_error_set(err, RMQ_INVAL, "property %zu has an empty name or value", i + 1);
        const char *why = objection(message, property->name);
        if (why != NULL)
            return rmq_error_set(err, RMQ_INVAL, "property %s %s", property->name, why);
        if (strcmp(property->name, RMQ_PROPERTY_WAIT) == 0)
            out_given->wait = true;
        if (strcmp(property->name, RMQ_PROPERTY_UNIQUE_KEY) == 0) {
            if (out_given->unique_key != NULL ||
                strlen(property->value) >= sizeof(((rmq_letter *)0)->unique_key))
                return rmq_error_set(err, RMQ_INVAL,
                                     "property UNIQ_KEY is too long or given twice");
            out_given->unique_key = property->value;
        }
        rmq_status status =
            rmq_props_append(out, property->name, rmq_slice_of(property->value), err);
        if (status != RMQ_OK)
            return status;
    }
    return RMQ_OK;
}

static rmq_status append_text(rmq_buf *out, const char *name, const char *value, rmq_error *err)
{
    return is_given(value) ? rmq_props_append(out, name, rmq_slice_of(value), err) : RMQ_OK;
}

static rmq_status append_number(rmq_buf *out, const char *name, int64_t value, rmq_error *err)
{
    char text[24];
    if (value == 0)
        return RMQ_OK;
    snprintf(text, sizeof(text), "%lld", (long long)value);
    return rmq_props_append(out, name, rmq_slice_of(text), err);
}

/* All properties of one message. `out_key` gets its unique key. */
static rmq_status write_properties(rmq_buf *out, const rmq_outgoing *message,
                                   rmq_unique_id_source *ids, char out_key[64], rmq_error *err)
{
    given from_user = {NULL, false};
    char made[RMQ_UNIQUE_ID_BYTES];
    rmq_status status = append_text(out, RMQ_PROPERTY_TAGS, message->tags, err);
    if (status == RMQ_OK)
        status = append_text(out, RMQ_PROPERTY_KEYS, message->keys, err);
    if (status == RMQ_OK)
        status = write_user_properties(out, message, &from_user, err);
    if (status == RMQ_OK && from_user.unique_key == NULL) {
        rmq_unique_id_next(ids, rmq_clock_wall_ms(), made);
        status = append_text(out, RMQ_PROPERTY_UNIQUE_KEY, made, err);
    }
    if (status == RMQ_OK && !from_user.wait)
        status = append_text(out, RMQ_PROPERTY_WAIT, "true", err);
    if (status == RMQ_OK)
        status = append_text(out, RMQ_PROPERTY_SHARDING_KEY, message->sharding_key, err);
    if (status == RMQ_OK)
        status = append_number(out, RMQ_PROPERTY_DELAY, message->delay_level, err);
    if (status == RMQ_OK)
        status = append_number(out, RMQ_PROPERTY_TIMER_DELIVER_MS, message->deliver_at_ms, err);
    if (status == RMQ_OK && out->failed != RMQ_OK)
        status = rmq_error_set(err, out->failed, "no room for the properties");
    if (status == RMQ_OK)
        snprintf(out_key, 64, "%s", from_user.unique_key != NULL ? from_user.unique_key : made);
    return status;
}

static rmq_status check_message(const rmq_outgoing *message, rmq_error *err)
{
    rmq_status status = rmq_topic_check(message->topic, err);
    if (status != RMQ_OK)
        return status;
    if (message->body.len == 0 || message->body.data == NULL)
        return rmq_error_set(err, RMQ_INVAL, "a message to %s has no body", message->topic);
    if (message->delay_level < 0 || message->delay_level > MAX_DELAY_LEVEL)
        return rmq_error_set(err, RMQ_INVAL, "delay level %d is not from 1 to %d",
                             message->delay_level, MAX_DELAY_LEVEL);
    if (message->deliver_at_ms < 0 || (message->deliver_at_ms != 0 && message->delay_level != 0))
        return rmq_error_set(err, RMQ_INVAL, "deliver_at_ms is negative, or beside a delay level");
    if (message->broker_name != NULL && message->queue_id < 0)
        return rmq_error_set(err, RMQ_INVAL, "queue %d of %s", message->queue_id,
                             message->broker_name);
    if (message->n_properties > 0 && message->properties == NULL)
        return rmq_error_set(err, RMQ_INVAL, "n_properties is %zu, properties is NULL",
                             message->n_properties);
    return RMQ_OK;
}

static rmq_status too_big(size_t len, rmq_error *err)
{
    return rmq_error_set(err, RMQ_INVAL, "a body of %zu bytes; at most %u are allowed", len,
                         RMQ_MESSAGE_MAX_BYTES);
}

/* The body as it will be stored: compressed if asked for and if it gets smaller by it. */
static rmq_status write_body(rmq_letter *letter, const rmq_outgoing *message, rmq_error *err)
{
    rmq_slice body = message->body;
    if (message->compression != RMQ_COMPRESSION_NONE) {
        letter->body.max_bytes = SIZE_MAX / 2; /* compressors ask for the worst case's room */
        rmq_status status =
            rmq_body_compress(letter->codec, message->compression, body, &letter->body, err);
        letter->body.max_bytes = RMQ_MESSAGE_MAX_BYTES;
        if (status != RMQ_OK)
            return status;
        if (letter->body.len < body.len && letter->body.len <= RMQ_MESSAGE_MAX_BYTES) {
            letter->sys_flag = rmq_compression_sys_flag(message->compression);
            rmq_buf_shrink(&letter->body);
            return RMQ_OK;
        }
        rmq_buf_clear(&letter->body);
    }
    if (body.len > RMQ_MESSAGE_MAX_BYTES)
        return too_big(body.len, err);
    rmq_buf_append_slice(&letter->body, body);
    if (letter->body.failed != RMQ_OK)
        return rmq_error_set(err, letter->body.failed, "no memory for a body of %zu bytes",
                             body.len);
    return RMQ_OK;
}

rmq_status rmq_letter_write(rmq_letter *letter, const rmq_outgoing *message,
                            rmq_unique_id_source *ids, rmq_error *err)
{
    rmq_outgoing copy;
    rmq_status status = rmq_sized_struct_copy("message", message, &copy, sizeof(copy), err);
    if (status == RMQ_OK)
        status = check_message(&copy, err);
    if (status == RMQ_OK)
        status = write_body(letter, &copy, err);
    if (status == RMQ_OK)
        status = write_properties(&letter->properties, &copy, ids, letter->unique_key, err);
    letter->flag = copy.flag;
    return status;
}

static bool same(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

/* What all members of a batch must share, and what none may have. Protocol facts 6.1. */
static rmq_status check_member(const rmq_outgoing *first, const rmq_outgoing *member,
                               rmq_error *err)
{
    if (strcmp(first->topic, member->topic) != 0)
        return rmq_error_set(err, RMQ_INVAL, "a batch for topics %s and %s", first->topic,
                             member->topic);
    if (!same(first->broker_name, member->broker_name) ||
        (first->broker_name != NULL && first->queue_id != member->queue_id))
        return rmq_error_set(err, RMQ_INVAL, "a batch for more than one queue");
    if (!same(first->sharding_key, member->sharding_key))
        return rmq_error_set(err, RMQ_INVAL, "a batch with more than one sharding key");
    if (member->delay_level != 0 || member->deliver_at_ms != 0)
        return rmq_error_set(err, RMQ_INVAL, "a batch can't be delayed");
    if (member->compression != RMQ_COMPRESSION_NONE)
        return rmq_error_set(err, RMQ_INVAL, "a batch can't be compressed");
    if (strncmp(member->topic, "%RETRY%", 7) == 0)
        return rmq_error_set(err, RMQ_INVAL, "a batch can't be sent to a retry topic");
    return RMQ_OK;
}

static rmq_status write_member(rmq_letter *letter, const rmq_outgoing *first,
                               const rmq_outgoing *member, rmq_unique_id_source *ids,
                               rmq_error *err)
{
    char key[64] = "";
    rmq_status status = check_message(member, err);
    if (status == RMQ_OK)
        status = check_member(first, member, err);
    if (status != RMQ_OK)
        return status;
    rmq_buf_clear(&letter->properties);
    status = write_properties(&letter->properties, member, ids, key, err);
    if (status != RMQ_OK)
        return status;
    rmq_slice properties = {(const char *)letter->properties.data, letter->properties.len};
    rmq_batch_member_encode(member->flag, member->body, properties, &letter->body);
    if (letter->unique_key[0] == '\0')
        memcpy(letter->unique_key, key, sizeof(key));
    if (letter->body.failed == RMQ_FULL)
        return rmq_error_set(err, RMQ_INVAL, "a batch of more than %u bytes",
                             RMQ_MESSAGE_MAX_BYTES);
    if (letter->body.failed != RMQ_OK)
        return rmq_error_set(err, letter->body.failed, "no memory for a batch");
    return RMQ_OK;
}

rmq_status rmq_letter_write_batch(rmq_letter *letter, const rmq_outgoing *messages, size_t count,
                                  rmq_unique_id_source *ids, rmq_error *err)
{
    if (count == 0)
        return rmq_error_set(err, RMQ_INVAL, "a batch of no messages");
    rmq_outgoing first;
    rmq_status status = rmq_sized_struct_copy("message", messages, &first, sizeof(first), err);
    size_t stride = messages->struct_size;
    for (size_t i = 0; i < count && status == RMQ_OK; i++) {
        const char *at = (const char *)messages + i * stride;
        rmq_outgoing member;
        status = rmq_sized_struct_copy("message", at, &member, sizeof(member), err);
        if (status == RMQ_OK)
            status = write_member(letter, &first, &member, ids, err);
        if (status != RMQ_OK)
            rmq_error_wrap(err, "message %zu of the batch", i + 1);
    }
    rmq_buf_clear(&letter->properties);
    letter->batch = true;
    return status;
}
