/* The JSON header. Source: RemotingCommand and RemotingSerializable 5.4.0; protocol facts 1.2.
 *
 * Reading is tolerant where servers are: any key order, unknown keys skipped, ext values that are
 * numbers, booleans or anything else taken as their text, null as absent. It insists on code and
 * opaque: without them an answer would look like success, or find the wrong call. Strings keep
 * their bytes, also those that are no UTF-8.
 *
 * Writing goes straight into the output buffer, in one pass, keys in the order in which servers
 * write them. Only what JSON demands is escaped, so that bytes come out as they went in. */
#include "command.h"

#include <rmq/json.h>

#include <string.h>

#include "json_escape.h"

static const char *const languages[] = {"JAVA",   "CPP",  "DOTNET", "PYTHON", "DELPHI",
                                        "ERLANG", "RUBY", "OTHER",  "HTTP",   "GO",
                                        "PHP",    "OMS",  "RUST",   "NODE_JS"};
#define N_LANGUAGES ((int32_t)(sizeof(languages) / sizeof(languages[0])))

static int32_t language_number(rmq_slice name)
{
    for (int32_t i = 0; i < N_LANGUAGES; i++) {
        if (rmq_slice_equals(name, languages[i]))
            return i;
    }
    return RMQ_LANGUAGE_OTHER;
}

const char *rmq_language_name(int32_t language)
{
    return languages[language >= 0 && language < N_LANGUAGES ? language : RMQ_LANGUAGE_OTHER];
}

/* Whether a key is this literal; its length is known here, so most keys differ at the first look.
 */
#define KEY_IS(key, literal)                                                                       \
    ((key).len == sizeof(literal) - 1 && memcmp((key).data, (literal), sizeof(literal) - 1) == 0)

/* False on an error of the reader; `out_fits` is false if the number is no int32. */
static bool read_int32(rmq_json *json, int32_t *out_value, bool *out_fits)
{
    int64_t value;
    if (!rmq_json_read_int64(json, &value))
        return false;
    *out_fits = value >= INT32_MIN && value <= INT32_MAX;
    if (*out_fits)
        *out_value = (int32_t)value;
    return true;
}

static rmq_status read_fields(rmq_json *json, rmq_command *out_command, rmq_error *err)
{
    rmq_slice key;
    rmq_slice value;
    if (!rmq_json_enter_object(json))
        return rmq_json_status(json, err);
    while (rmq_json_next_key(json, &key)) {
        rmq_json_type type = rmq_json_peek(json);
        if (type == RMQ_JSON_NULL) {
            if (!rmq_json_skip(json))
                break;
            continue;
        }
        bool read = type == RMQ_JSON_STRING ? rmq_json_read_string(json, &value)
                                            : rmq_json_read_raw(json, &value);
        if (!read)
            break;
        rmq_status status = rmq_command_add_field(out_command, key, value, err);
        if (status != RMQ_OK)
            return status;
    }
    return rmq_json_status(json, err);
}

/* What was found of the fields that must be there. */
typedef struct found_keys {
    bool code;
    bool opaque;
} found_keys;

/* Where the number of a top-level key goes; NULL for a key that holds none. */
static int32_t *number_of_key(rmq_slice key, rmq_command *out_command, found_keys *found)
{
    if (KEY_IS(key, "code")) {
        found->code = true;
        return &out_command->code;
    }
    if (KEY_IS(key, "opaque")) {
        found->opaque = true;
        return &out_command->opaque;
    }
    if (KEY_IS(key, "flag"))
        return &out_command->flag;
    if (KEY_IS(key, "version"))
        return &out_command->version;
    return NULL;
}

static rmq_status read_member(rmq_json *json, rmq_slice key, rmq_command *out_command,
                              found_keys *found, rmq_error *err)
{
    rmq_json_type type = rmq_json_peek(json);
    if (type == RMQ_JSON_NULL) {
        (void)rmq_json_skip(json);
        return rmq_json_status(json, err);
    }
    int32_t *number = number_of_key(key, out_command, found);
    if (number != NULL) {
        bool fits = true;
        if (read_int32(json, number, &fits) && !fits)
            return rmq_error_set(err, RMQ_PROTO, "JSON header: %.*s does not fit 32 bits",
                                 (int)key.len, key.data);
    } else if (KEY_IS(key, "extFields")) {
        return read_fields(json, out_command, err);
    } else if (KEY_IS(key, "remark")) {
        out_command->has_remark = rmq_json_read_string(json, &out_command->remark);
    } else if (KEY_IS(key, "language") && type == RMQ_JSON_STRING) {
        rmq_slice name;
        if (rmq_json_read_string(json, &name))
            out_command->language = language_number(name);
    } else {
        (void)rmq_json_skip(json);
    }
    return rmq_json_status(json, err);
}

static rmq_status read_header(rmq_json *json, rmq_command *out_command, rmq_error *err)
{
    found_keys found = {false, false};
    rmq_slice key;
    if (!rmq_json_enter_object(json))
        return rmq_json_status(json, err);
    while (rmq_json_next_key(json, &key)) {
        rmq_status status = read_member(json, key, out_command, &found, err);
        if (status != RMQ_OK)
            return status;
    }
    rmq_json_type after = rmq_json_peek(json);
    rmq_status status = rmq_json_status(json, err);
    if (status != RMQ_OK)
        return status;
    if (after != RMQ_JSON_END)
        return rmq_error_set(err, RMQ_PROTO, "JSON header: something after the object");
    if (!found.code || !found.opaque)
        return rmq_error_set(err, RMQ_PROTO, "JSON header without %s",
                             found.code ? "opaque" : "code");
    return RMQ_OK;
}

rmq_status rmq_header_json_decode(rmq_slice header, rmq_command *out_command, rmq_error *err)
{
    rmq_json json;
    rmq_json_init(&json, header, false);
    json.strings = out_command->scratch;
    rmq_status status = read_header(&json, out_command, err);
    /* The decoded strings live on with the command. */
    out_command->scratch = json.strings;
    json.strings = NULL;
    rmq_json_deinit(&json);
    return status;
}

static void put_string(rmq_buf *out, rmq_slice text)
{
    const char *at = text.data;
    const char *end = text.len > 0 ? at + text.len : at;
    rmq_buf_append_u8(out, '"');
    while (at < end) {
        const char *plain = at;
        at = rmq_json_plain_end(plain, end);
        rmq_buf_append(out, plain, (size_t)(at - plain));
        if (at < end) {
            char escape[RMQ_JSON_ESCAPE_BYTES];
            rmq_buf_append(out, escape, rmq_json_escape((uint8_t)*at, escape));
            at++;
        }
    }
    rmq_buf_append_u8(out, '"');
}

/* A literal, so that its length is known here. */
#define PUT_LITERAL(out, literal) rmq_buf_append((out), (literal), sizeof(literal) - 1)

static void put_number(rmq_buf *out, int32_t value)
{
    char digits[RMQ_INT64_TEXT_BYTES];
    rmq_buf_append_slice(out, rmq_format_int64(value, digits));
}

static void put_fields(rmq_buf *out, const rmq_command *command)
{
    PUT_LITERAL(out, ",\"extFields\":{");
    for (size_t i = 0; i < command->n_fields; i++) {
        if (i > 0)
            rmq_buf_append_u8(out, ',');
        put_string(out, command->fields[i].key);
        rmq_buf_append_u8(out, ':');
        put_string(out, command->fields[i].value);
    }
    rmq_buf_append_u8(out, '}');
}

rmq_status rmq_header_json_encode(const rmq_command *command, rmq_buf *out, rmq_error *err)
{
    PUT_LITERAL(out, "{\"code\":");
    put_number(out, command->code);
    if (command->n_fields > 0)
        put_fields(out, command);
    PUT_LITERAL(out, ",\"flag\":");
    put_number(out, command->flag);
    PUT_LITERAL(out, ",\"language\":\"");
    rmq_buf_append_slice(out, rmq_slice_of(rmq_language_name(command->language)));
    PUT_LITERAL(out, "\",\"opaque\":");
    put_number(out, command->opaque);
    if (command->has_remark) {
        PUT_LITERAL(out, ",\"remark\":");
        put_string(out, command->remark);
    }
    PUT_LITERAL(out, ",\"version\":");
    put_number(out, command->version);
    rmq_buf_append_u8(out, '}');
    if (out->failed != RMQ_OK)
        return rmq_error_set(err, out->failed, "no room for a JSON header");
    return RMQ_OK;
}
