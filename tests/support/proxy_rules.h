/* Which frames the fault proxy hits: its rules, the seeded choice, and the last answer of each
 * kind. */
#ifndef TEST_PROXY_RULES_H
#define TEST_PROXY_RULES_H

#include "fault_proxy.h"

#define PROXY_MAX_RULES 64
#define PROXY_MAX_KINDS 64

typedef struct proxy_rule {
    fault_spec spec;
    bool active;
    int64_t n_seen;
    uint64_t n_hits;
} proxy_rule;

typedef struct proxy_answer {
    int32_t request_code;
    uint8_t *data;
    size_t len;
} proxy_answer;

typedef struct proxy_rules {
    uint64_t random;
    proxy_rule rules[PROXY_MAX_RULES];
    int n_rules;
    proxy_answer answers[PROXY_MAX_KINDS];
    int n_answers;
} proxy_rules;

uint64_t proxy_random(proxy_rules *rules);
int proxy_rules_add(proxy_rules *rules, const fault_spec *spec);
/* The rule that hits this frame, counted; NULL: it passes. */
const fault_spec *proxy_rules_hit(proxy_rules *rules, int32_t request_code, bool is_request);
bool fault_spec_parse(const char *text, fault_spec *out_spec);

void proxy_rules_keep(proxy_rules *rules, int32_t request_code, const uint8_t *data, size_t len);
void proxy_rules_deinit(proxy_rules *rules);

#endif
