/* The text form of a fault rule, as it is written on a command line: pairs KEY=VALUE, separated by
 * commas. Keys: code, topic, skip, times, percent, action (delay, drop, ignore, cut, close, repeat,
 * reorder, corrupt, code, restart, stall), ms, bytes, bit, answer, seed. */
#include "faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    rmq_fault_action action;
} actions[] = {
    {"delay", RMQ_FAULT_DELAY},     {"drop", RMQ_FAULT_DROP},       {"ignore", RMQ_FAULT_IGNORE},
    {"cut", RMQ_FAULT_CUT},         {"close", RMQ_FAULT_CLOSE},     {"repeat", RMQ_FAULT_REPEAT},
    {"reorder", RMQ_FAULT_REORDER}, {"corrupt", RMQ_FAULT_CORRUPT}, {"code", RMQ_FAULT_CODE},
    {"restart", RMQ_FAULT_RESTART}, {"stall", RMQ_FAULT_STALL},
};

static rmq_status set_action(rmq_fault_rule *rule, const char *name, rmq_error *err)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, name) == 0) {
            rule->action = actions[i].action;
            return RMQ_OK;
        }
    }
    return rmq_error_set(err, RMQ_INVAL, "fault rule: no action '%s'", name);
}

static rmq_status set_number(rmq_fault_rule *rule, const char *key, int64_t value, rmq_error *err)
{
    int32_t value32 = value >= INT32_MIN && value <= INT32_MAX ? (int32_t)value : -1;
    if (strcmp(key, "code") == 0)
        rule->request_code = value32;
    else if (strcmp(key, "skip") == 0)
        rule->skip = value32;
    else if (strcmp(key, "times") == 0)
        rule->times = value32;
    else if (strcmp(key, "percent") == 0)
        rule->percent = value < 0 || value > 100 ? UINT32_MAX : (uint32_t)value;
    else if (strcmp(key, "ms") == 0)
        rule->delay_ms = value;
    else if (strcmp(key, "bytes") == 0)
        rule->cut_bytes = value;
    else if (strcmp(key, "bit") == 0)
        rule->corrupt_bit = value;
    else if (strcmp(key, "answer") == 0)
        rule->response_code = value32;
    else if (strcmp(key, "seed") == 0)
        rule->seed = (uint64_t)value;
    else
        return rmq_error_set(err, RMQ_INVAL, "fault rule: no key '%s'", key);
    return RMQ_OK;
}

static rmq_status set_pair(rmq_fault_rule *rule, const char *key, const char *value,
                           char out_topic[RMQ_DEV_FAULT_TOPIC_BYTES], rmq_error *err)
{
    if (strcmp(key, "action") == 0)
        return set_action(rule, value, err);
    if (strcmp(key, "topic") == 0) {
        size_t len = strlen(value);
        if (len == 0 || len >= RMQ_DEV_FAULT_TOPIC_BYTES)
            return rmq_error_set(err, RMQ_INVAL, "fault rule: the topic has %zu bytes", len);
        memcpy(out_topic, value, len + 1);
        rule->topic = out_topic;
        return RMQ_OK;
    }
    char *end = NULL;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (value[0] == '\0' || *end != '\0' || errno != 0)
        return rmq_error_set(err, RMQ_INVAL, "fault rule: %s=%s is no number", key, value);
    return set_number(rule, key, number, err);
}

rmq_status rmq_dev_fault_parse(const char *text, rmq_fault_rule *out_rule,
                               char out_topic[RMQ_DEV_FAULT_TOPIC_BYTES], rmq_error *err)
{
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    char *copy = rmq_strdup(text);
    if (copy == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a fault rule");
    rmq_status status = RMQ_OK;
    char *rest = NULL;
    for (char *pair = strtok_r(copy, ",", &rest); pair != NULL && status == RMQ_OK;
         pair = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(pair, '=');
        if (equals == NULL) {
            status = rmq_error_set(err, RMQ_INVAL, "fault rule: '%s' is not KEY=VALUE", pair);
            break;
        }
        *equals = '\0';
        status = set_pair(&rule, pair, equals + 1, out_topic, err);
    }
    rmq_free(copy);
    if (status == RMQ_OK && rule.action == 0)
        status = rmq_error_set(err, RMQ_INVAL, "fault rule: no action in '%s'", text);
    if (status == RMQ_OK)
        *out_rule = rule;
    return status;
}
