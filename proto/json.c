/* The structural half of the JSON pull reader.
 *
 * There is no tree and no stack: the caller's own calls are the nesting, and the only state is the
 * place in the text. Whether a comma is due is read from the byte before that place: only directly
 * after entering is it a brace or a bracket, since no value ends in one. So peeking never moves.
 *
 * The first error sticks; everything after it is a no-op that says false, and the caller asks once,
 * at its end, with rmq_json_status. Depth is capped, also in what is skipped, where one bit a level
 * (object or array) takes the place of recursion.
 *
 * Lenient mode takes, as a key, what RocketMQ's servers write there although JSON does not have it:
 * a bare number, or a whole object (given as its raw text). Protocol facts 4.2, 10, 14. */
#include <rmq/json.h>

#include "json_scan.h"
#include "text_pool.h"

_Static_assert(RMQ_JSON_MAX_DEPTH <= 64, "skip keeps one bit per level");

static const char empty_text[] = "";

void rmq_json_init(rmq_json *json, rmq_slice text, bool lenient)
{
    const char *start = text.data != NULL ? text.data : empty_text;
    *json = (rmq_json){
        .start = start,
        .at = start,
        .end = start + text.len,
        .lenient = lenient,
    };
}

void rmq_json_deinit(rmq_json *json)
{
    rmq_text_pool_free(&json->strings);
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

static rmq_json_type type_at(const rmq_json *json, const char *at)
{
    if (at == json->end)
        return json->depth == 0 ? RMQ_JSON_END : RMQ_JSON_ERROR;
    switch (*at) {
    case '{':
        return RMQ_JSON_OBJECT;
    case '[':
        return RMQ_JSON_ARRAY;
    case '"':
        return RMQ_JSON_STRING;
    case 't':
    case 'f':
        return RMQ_JSON_BOOL;
    case 'n':
        return RMQ_JSON_NULL;
    default:
        return *at == '-' || (*at >= '0' && *at <= '9') ? RMQ_JSON_NUMBER : RMQ_JSON_ERROR;
    }
}

rmq_json_type rmq_json_peek(rmq_json *json)
{
    if (json->error != NULL)
        return RMQ_JSON_ERROR;
    const char *at = skip_blanks(json->at, json->end);
    rmq_json_type type = type_at(json, at);
    if (type == RMQ_JSON_ERROR)
        rmq_json_fail_at(json, at == json->end ? "text ends early" : "value expected", at);
    return type;
}

/* Stands on the value that comes next if it is of `type`. */
static bool expect(rmq_json *json, rmq_json_type type, const char *what)
{
    if (json->error != NULL)
        return false;
    const char *at = skip_blanks(json->at, json->end);
    if (type_at(json, at) == type) {
        json->at = at;
        return true;
    }
    /* Where nothing legal stands, peek says so better. */
    return rmq_json_peek(json) != RMQ_JSON_ERROR && rmq_json_fail_at(json, what, at);
}

static bool enter(rmq_json *json)
{
    if (json->depth >= RMQ_JSON_MAX_DEPTH)
        return rmq_json_fail_at(json, "nested too deep", json->at);
    json->depth++;
    json->at++;
    return true;
}

bool rmq_json_enter_object(rmq_json *json)
{
    return expect(json, RMQ_JSON_OBJECT, "object expected") && enter(json);
}

bool rmq_json_enter_array(rmq_json *json)
{
    return expect(json, RMQ_JSON_ARRAY, "array expected") && enter(json);
}

/* Passes over the comma that is due, or leaves at `close`. True if a member comes next. */
static bool next_member(rmq_json *json, char open, char close)
{
    if (json->error != NULL)
        return false;
    if (json->depth == 0)
        return rmq_json_fail_at(json, "not inside of anything", json->at);
    bool first = json->at[-1] == open;
    const char *at = skip_blanks(json->at, json->end);
    if (at == json->end)
        return rmq_json_fail_at(json, "text ends early", at);
    if (*at == close) {
        json->at = at + 1;
        json->depth--;
        return false;
    }
    if (!first) {
        if (*at != ',')
            return rmq_json_fail_at(json, "comma expected", at);
        at = skip_blanks(at + 1, json->end);
        if (at < json->end && *at == close)
            return rmq_json_fail_at(json, "nothing after a comma", at);
    }
    json->at = at;
    return true;
}

bool rmq_json_next_element(rmq_json *json)
{
    return next_member(json, '[', ']');
}

/* Reads the string whose quote is at json->at. */
static bool read_string_here(rmq_json *json, rmq_slice *out_value)
{
    rmq_slice raw;
    bool escaped;
    if (!rmq_json_scan_string(json, &raw, &escaped))
        return false;
    if (escaped)
        return rmq_json_unescape(json, raw, out_value);
    *out_value = raw;
    return true;
}

static bool read_key(rmq_json *json, rmq_slice *out_key)
{
    switch (json->at < json->end ? *json->at : '\0') {
    case '"':
        return read_string_here(json, out_key);
    case '{':
        if (json->lenient)
            return rmq_json_read_raw(json, out_key);
        break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        if (json->lenient)
            return rmq_json_scan_number(json, out_key);
        break;
    default:
        break;
    }
    return rmq_json_fail_at(json, "key expected", json->at);
}

/* Passes over the key that comes next and its colon. */
static bool pass_key(rmq_json *json, rmq_slice *out_key)
{
    rmq_slice key;
    if (!read_key(json, &key))
        return false;
    const char *at = skip_blanks(json->at, json->end);
    if (at == json->end || *at != ':')
        return rmq_json_fail_at(json, "colon expected", at);
    json->at = at + 1;
    *out_key = key;
    return true;
}

bool rmq_json_next_key(rmq_json *json, rmq_slice *out_key)
{
    return next_member(json, '{', '}') && pass_key(json, out_key);
}

bool rmq_json_read_string(rmq_json *json, rmq_slice *out_value)
{
    return expect(json, RMQ_JSON_STRING, "string expected") && read_string_here(json, out_value);
}

bool rmq_json_read_int64(rmq_json *json, int64_t *out_value)
{
    rmq_slice text;
    bool quoted = rmq_json_peek(json) == RMQ_JSON_STRING;
    if (quoted) {
        if (!rmq_json_read_string(json, &text))
            return false;
    } else if (!expect(json, RMQ_JSON_NUMBER, "integer expected") ||
               !rmq_json_scan_number(json, &text)) {
        return false;
    }
    if (!rmq_parse_int64(text, out_value))
        return rmq_json_fail_at(json, "not an integer of 64 bits", json->at);
    return true;
}

bool rmq_json_read_bool(rmq_json *json, bool *out_value)
{
    if (!expect(json, RMQ_JSON_BOOL, "true or false expected"))
        return false;
    bool value = *json->at == 't';
    if (!rmq_json_scan_word(json, value ? "true" : "false"))
        return false;
    *out_value = value;
    return true;
}

/* Passes over a value that is no container. */
static bool skip_scalar(rmq_json *json, rmq_json_type type)
{
    rmq_slice text;
    bool value;
    switch (type) {
    case RMQ_JSON_STRING:
        return rmq_json_scan_string(json, &text, &value);
    case RMQ_JSON_NUMBER:
        return rmq_json_scan_number(json, &text);
    case RMQ_JSON_BOOL:
        return rmq_json_scan_word(json, *json->at == 't' ? "true" : "false");
    case RMQ_JSON_NULL:
        return rmq_json_scan_word(json, "null");
    default:
        return rmq_json_fail_at(json, "value expected", json->at);
    }
}

bool rmq_json_read_double(rmq_json *json, double *out_value)
{
    rmq_slice text;
    return expect(json, RMQ_JSON_NUMBER, "number expected") && rmq_json_scan_number(json, &text) &&
           rmq_json_to_double(json, text, out_value);
}

/* As pass_key, but nothing is decoded and so nothing allocated. */
static bool skip_key(rmq_json *json)
{
    rmq_slice key;
    bool escaped;
    if (json->at == json->end || *json->at != '"')
        return pass_key(json, &key);
    if (!rmq_json_scan_string(json, &key, &escaped))
        return false;
    const char *at = skip_blanks(json->at, json->end);
    if (at == json->end || *at != ':')
        return rmq_json_fail_at(json, "colon expected", at);
    json->at = at + 1;
    return true;
}

/* Goes on to the next value inside the containers entered since depth `base`; `objects` has bit d
 * set if the container at depth d + 1 is an object. False once they are all left, or on an error.
 */
static bool skip_to_next(rmq_json *json, uint32_t base, uint64_t objects)
{
    while (json->depth > base) {
        bool is_object = (objects >> (json->depth - 1) & 1) != 0;
        if (is_object ? next_member(json, '{', '}') : next_member(json, '[', ']'))
            return !is_object || skip_key(json);
        if (json->error != NULL)
            return false;
    }
    return false;
}

bool rmq_json_skip(rmq_json *json)
{
    uint32_t base = json->depth;
    uint64_t objects = 0;
    do {
        rmq_json_type type = rmq_json_peek(json);
        if (json->error != NULL)
            return false;
        json->at = skip_blanks(json->at, json->end);
        if (type != RMQ_JSON_OBJECT && type != RMQ_JSON_ARRAY) {
            if (!skip_scalar(json, type))
                return false;
            continue;
        }
        if (!enter(json))
            return false;
        uint64_t bit = UINT64_C(1) << (json->depth - 1);
        objects = type == RMQ_JSON_OBJECT ? objects | bit : objects & ~bit;
    } while (skip_to_next(json, base, objects));
    return json->error == NULL;
}

bool rmq_json_read_raw(rmq_json *json, rmq_slice *out_text)
{
    const char *begin = skip_blanks(json->at, json->end);
    if (!rmq_json_skip(json))
        return false;
    *out_text = (rmq_slice){begin, (size_t)(json->at - begin)};
    return true;
}
