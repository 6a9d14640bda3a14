/* The property block of a message.
 *
 * Properties travel as one string, `name 0x01 value 0x02 name 0x01 value 0x02 ...`, and stay that
 * string here: a message keeps the slice, and a look-up walks it. A record has a dozen properties
 * and a reader wants one or two of them, so a walk beats building a table for each message.
 *
 * What counts as a property is what the broker and the Java client count, since the broker filters
 * by its own reading: an entry without separator, without a name or without a value is passed over,
 * and of two entries with one name the later one counts. The last 0x02 may be missing.
 *
 * Tags live here too: the code that brokers filter by (Java's String.hashCode over UTF-16 units)
 * and the comparison by string that a client owes after it, because two tags can share one code. */
#include "props.h"

#include <string.h>

#include "record.h"

#define NAME_END 0x01
#define VALUE_END 0x02
#define REPLACEMENT_CHARACTER 0xFFFDu

bool rmq_props_next(rmq_slice block, size_t *position, rmq_slice *out_name, rmq_slice *out_value)
{
    while (*position < block.len) {
        const char *entry = block.data + *position;
        size_t left = block.len - *position;
        const char *end = memchr(entry, VALUE_END, left);
        size_t len = end != NULL ? (size_t)(end - entry) : left;
        *position += end != NULL ? len + 1 : len;

        const char *separator = memchr(entry, NAME_END, len);
        if (separator == NULL || separator == entry || separator == entry + len - 1)
            continue;
        *out_name = (rmq_slice){entry, (size_t)(separator - entry)};
        *out_value = (rmq_slice){separator + 1, (size_t)(entry + len - separator - 1)};
        return true;
    }
    return false;
}

bool rmq_props_get(rmq_slice block, const char *name, rmq_slice *out_value)
{
    size_t name_len = strlen(name);
    size_t position = 0;
    bool found = false;
    rmq_slice entry_name;
    rmq_slice entry_value;
    while (rmq_props_next(block, &position, &entry_name, &entry_value)) {
        if (entry_name.len == name_len && memcmp(entry_name.data, name, name_len) == 0) {
            *out_value = entry_value;
            found = true;
        }
    }
    return found;
}

static bool has_separator(rmq_slice text)
{
    return memchr(text.data, NAME_END, text.len) != NULL ||
           memchr(text.data, VALUE_END, text.len) != NULL;
}

rmq_status rmq_props_append(rmq_buf *block, const char *name, rmq_slice value, rmq_error *err)
{
    rmq_slice key = rmq_slice_of(name);
    if (key.len == 0 || value.len == 0)
        return rmq_error_set(err, RMQ_INVAL, "property \"%s\": %s is empty", key.len ? name : "",
                             key.len == 0 ? "its name" : "its value");
    if (has_separator(key) || has_separator(value))
        return rmq_error_set(err, RMQ_INVAL,
                             "property \"%s\" holds a separator (byte 0x01 or 0x02)", name);
    if (value.len > RMQ_PROPERTIES_MAX_BYTES || key.len > RMQ_PROPERTIES_MAX_BYTES ||
        block->len + key.len + value.len + 2 > RMQ_PROPERTIES_MAX_BYTES)
        return rmq_error_set(err, RMQ_INVAL,
                             "property \"%s\": all properties together pass %d bytes", name,
                             RMQ_PROPERTIES_MAX_BYTES);
    uint8_t *room = rmq_buf_extend(block, key.len + value.len + 2);
    if (room == NULL)
        return rmq_error_set(err, block->failed, "property \"%s\": no room for it", name);
    memcpy(room, key.data, key.len);
    room[key.len] = NAME_END;
    memcpy(room + key.len + 1, value.data, value.len);
    room[key.len + 1 + value.len] = VALUE_END;
    return RMQ_OK;
}

/* Reads one code point of UTF-8 at `at` (at < end) and moves past it. Of a sequence that is not
 * UTF-8 the longest legal beginning becomes one U+FFFD, as in Java. */
static uint32_t next_code_point(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    uint32_t lead = *p++;
    int n_more = lead < 0x80 ? 0 : lead < 0xC2 ? -1 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    *at = p;
    if (n_more == 0)
        return lead;
    if (n_more < 0 || lead > 0xF4)
        return REPLACEMENT_CHARACTER;

    uint32_t code = lead & (0x3Fu >> n_more);
    /* The second byte's range rules out overlong forms, surrogates and values over U+10FFFF. */
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (int i = 0; i < n_more; i++) {
        if (p == end || *p < low || *p > high)
            return REPLACEMENT_CHARACTER;
        code = code << 6 | (*p++ & 0x3Fu);
        *at = p;
        low = 0x80;
        high = 0xBF;
    }
    return code;
}

int32_t rmq_tag_hash(rmq_slice tag)
{
    uint32_t hash = 0;
    const uint8_t *at = (const uint8_t *)tag.data;
    const uint8_t *end = tag.len == 0 ? at : at + tag.len;
    while (at < end) {
        uint32_t code = next_code_point(&at, end);
        if (code >= 0x10000) {
            code -= 0x10000;
            hash = hash * 31 + (0xD800 | code >> 10);
            code = 0xDC00 | (code & 0x3FF);
        }
        hash = hash * 31 + code;
    }
    return (int32_t)hash;
}

/* Without blanks and control characters at both ends, as Java's String.trim. */
static rmq_slice trimmed(const char *start, const char *end)
{
    while (start < end && (unsigned char)*start <= ' ')
        start++;
    while (start < end && (unsigned char)end[-1] <= ' ')
        end--;
    return (rmq_slice){start, (size_t)(end - start)};
}

bool rmq_tags_next(rmq_slice expression, size_t *position, rmq_slice *out_tag)
{
    while (*position < expression.len) {
        const char *at = expression.data + *position;
        const char *end = expression.data + expression.len;
        const char *separator = memmem(at, (size_t)(end - at), "||", 2);
        *position = separator != NULL ? (size_t)(separator + 2 - expression.data) : expression.len;
        rmq_slice tag = trimmed(at, separator != NULL ? separator : end);
        if (tag.len > 0) {
            *out_tag = tag;
            return true;
        }
    }
    return false;
}

bool rmq_tag_matches(rmq_slice expression, rmq_slice tags)
{
    if (rmq_slice_equals(expression, "*"))
        return true;
    size_t position = 0;
    bool any_tag = false;
    rmq_slice wanted;
    while (rmq_tags_next(expression, &position, &wanted)) {
        any_tag = true;
        if (wanted.len == tags.len && memcmp(wanted.data, tags.data, tags.len) == 0)
            return true;
    }
    return !any_tag;
}
