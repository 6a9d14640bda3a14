/* The fault proxy's rules. Numbers of rules stay valid after a clear, so that a test can still ask
 * how often one hit. */
#include "proxy_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t proxy_random(proxy_rules *rules)
{
    rules->random ^= rules->random << 13;
    rules->random ^= rules->random >> 7;
    rules->random ^= rules->random << 17;
    return rules->random >> 1;
}

int proxy_rules_add(proxy_rules *rules, const fault_spec *spec)
{
    int index = rules->n_rules < PROXY_MAX_RULES ? rules->n_rules++ : 0;
    for (int i = 0; rules->rules[index].active && i < PROXY_MAX_RULES; i++)
        index = i;
    rules->rules[index] = (proxy_rule){.spec = *spec, .active = true};
    return index;
}

const fault_spec *proxy_rules_hit(proxy_rules *rules, int32_t request_code, bool is_request)
{
    for (int i = 0; i < rules->n_rules; i++) {
        proxy_rule *rule = &rules->rules[i];
        const fault_spec *spec = &rule->spec;
        if (!rule->active || spec->of_request != is_request ||
            (spec->request_code != 0 && spec->request_code != request_code))
            continue;
        int64_t nth = rule->n_seen++;
        bool in_range = nth >= spec->skip && (spec->times == 0 || nth < spec->skip + spec->times);
        if (!in_range || (spec->percent != 0 && proxy_random(rules) % 100 >= spec->percent))
            continue;
        rule->n_hits++;
        return spec;
    }
    return NULL;
}

void proxy_rules_keep(proxy_rules *rules, int32_t request_code, const uint8_t *data, size_t len)
{
    int i = 0;
    while (i < rules->n_answers && rules->answers[i].request_code != request_code)
        i++;
    if (i == PROXY_MAX_KINDS)
        return;
    if (i == rules->n_answers)
        rules->answers[rules->n_answers++] = (proxy_answer){.request_code = request_code};
    uint8_t *copy = realloc(rules->answers[i].data, len);
    if (copy == NULL)
        abort();
    memcpy(copy, data, len);
    rules->answers[i].data = copy;
    rules->answers[i].len = len;
}

void proxy_rules_deinit(proxy_rules *rules)
{
    for (int i = 0; i < rules->n_answers; i++)
        free(rules->answers[i].data);
}

/* ---- text ---- */

static const char *const kind_names[] = {"",     "cut",    "reset", "half-open", "flip",
                                         "drop", "repeat", "delay", "throttle"};

static bool set_kind(fault_spec *spec, const char *name)
{
    for (int i = 1; i < (int)(sizeof(kind_names) / sizeof(kind_names[0])); i++) {
        if (strcmp(name, kind_names[i]) == 0) {
            spec->kind = (fault_kind)i;
            return true;
        }
    }
    return false;
}

static bool set_field(fault_spec *spec, const char *name, const char *value)
{
    char *end;
    if (strcmp(name, "kind") == 0)
        return set_kind(spec, value);
    long long number = strtoll(value, &end, 10);
    if (*value == '\0' || *end != '\0')
        return false;
    if (strcmp(name, "code") == 0)
        spec->request_code = (int32_t)number;
    else if (strcmp(name, "request") == 0)
        spec->of_request = number != 0;
    else if (strcmp(name, "skip") == 0)
        spec->skip = (int32_t)number;
    else if (strcmp(name, "times") == 0)
        spec->times = (int32_t)number;
    else if (strcmp(name, "percent") == 0)
        spec->percent = (uint32_t)number;
    else if (strcmp(name, "at") == 0)
        spec->at = number;
    else if (strcmp(name, "delay_us") == 0)
        spec->delay_us = number;
    else if (strcmp(name, "bytes_per_s") == 0)
        spec->bytes_per_s = number;
    else
        return false;
    return true;
}

bool fault_spec_parse(const char *text, fault_spec *out_spec)
{
    fault_spec spec = {.kind = 0};
    char copy[512];
    char *rest = NULL;
    if (strlen(text) >= sizeof(copy))
        return false;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *item = strtok_r(copy, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(item, '=');
        if (equals == NULL)
            return false;
        *equals = '\0';
        if (!set_field(&spec, item, equals + 1))
            return false;
    }
    *out_spec = spec;
    return spec.kind != 0;
}
