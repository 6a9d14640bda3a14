/* Fault rules are looked through in the order they were added; the first that hits decides, and the
 * others don't see the request.
 *
 * A rule lets the first `skip` fitting requests pass and hits the `times` after them (0: all), each
 * with `percent` probability. The dice are a generator of its own per rule, seeded by the rule, so
 * a run with the same seed and the same order of requests goes wrong in the same places. */
#include "faults.h"

#include <string.h>

#include "sized_struct.h"

struct rmq_dev_fault {
    rmq_fault_rule rule;
    char *topic; /* or NULL */
    int32_t id;
    int64_t seen;
    uint64_t hits;
    uint64_t random_state;
    rmq_dev_fault *next;
};

void rmq_dev_faults_init(rmq_dev_faults *faults)
{
    memset(faults, 0, sizeof(*faults));
    faults->next_id = 1;
}

void rmq_dev_faults_clear(rmq_dev_faults *faults)
{
    while (faults->first != NULL) {
        rmq_dev_fault *next = faults->first->next;
        rmq_free(faults->first->topic);
        rmq_free(faults->first);
        faults->first = next;
    }
    faults->n_faults = 0;
}

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
    uint64_t value = *state += 0x9E3779B97F4A7C15u;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

static rmq_status check_rule(const rmq_fault_rule *rule, rmq_error *err)
{
    if (rule->action < RMQ_FAULT_DELAY || rule->action > RMQ_FAULT_STALL)
        return rmq_error_set(err, RMQ_INVAL, "fault rule: no action %d", (int)rule->action);
    if (rule->skip < 0 || rule->times < 0 || rule->percent > 100)
        return rmq_error_set(err, RMQ_INVAL,
                             "fault rule: skip and times are not negative, percent at most 100");
    if (rule->delay_ms < 0 || rule->delay_ms > 24 * 3600 * 1000)
        return rmq_error_set(err, RMQ_INVAL, "fault rule: delay_ms is not within a day");
    if (rule->action == RMQ_FAULT_CUT && rule->cut_bytes < 0)
        return rmq_error_set(err, RMQ_INVAL, "fault rule: cut_bytes is negative");
    if (rule->action == RMQ_FAULT_CORRUPT && rule->corrupt_bit < -1)
        return rmq_error_set(err, RMQ_INVAL, "fault rule: corrupt_bit is below -1");
    return RMQ_OK;
}

rmq_status rmq_dev_faults_add(rmq_dev_faults *faults, const rmq_fault_rule *rule,
                              int32_t *out_rule_id, rmq_error *err)
{
    rmq_fault_rule known;
    rmq_status status = rmq_sized_struct_copy("fault rule", rule, &known, sizeof(known), err);
    if (status == RMQ_OK)
        status = check_rule(&known, err);
    if (status != RMQ_OK)
        return status;
    if (faults->n_faults >= RMQ_DEV_MAX_FAULTS)
        return rmq_error_set(err, RMQ_FULL, "%d fault rules are the most", RMQ_DEV_MAX_FAULTS);
    rmq_dev_fault *fault = rmq_calloc(1, sizeof(*fault));
    if (fault == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a fault rule");
    fault->rule = known;
    fault->random_state = known.seed;
    if (known.topic != NULL) {
        fault->topic = rmq_strdup(known.topic);
        if (fault->topic == NULL) {
            rmq_free(fault);
            return rmq_error_set(err, RMQ_NOMEM, "no memory for a fault rule");
        }
    }
    fault->id = faults->next_id++;
    rmq_dev_fault **end = &faults->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = fault;
    faults->n_faults++;
    if (out_rule_id != NULL)
        *out_rule_id = fault->id;
    return RMQ_OK;
}

uint64_t rmq_dev_faults_hits(const rmq_dev_faults *faults, int32_t rule_id)
{
    for (const rmq_dev_fault *fault = faults->first; fault != NULL; fault = fault->next) {
        if (fault->id == rule_id)
            return fault->hits;
    }
    return 0;
}

static bool hits(rmq_dev_fault *fault, int32_t request_code, rmq_slice topic)
{
    const rmq_fault_rule *rule = &fault->rule;
    if (rule->request_code != 0 && rule->request_code != request_code)
        return false;
    if (fault->topic != NULL && !rmq_slice_equals(topic, fault->topic))
        return false;
    int64_t place = fault->seen++;
    if (place < rule->skip || (rule->times != 0 && place >= (int64_t)rule->skip + rule->times))
        return false;
    return rule->percent == 0 || rule->percent == 100 ||
           random_next(&fault->random_state) % 100 < rule->percent;
}

rmq_dev_effect rmq_dev_faults_match(rmq_dev_faults *faults, int32_t request_code, rmq_slice topic)
{
    rmq_dev_effect effect = {0};
    for (rmq_dev_fault *fault = faults->first; fault != NULL; fault = fault->next) {
        if (!hits(fault, request_code, topic))
            continue;
        fault->hits++;
        effect.action = fault->rule.action;
        effect.delay_ms = fault->rule.delay_ms;
        effect.cut_bytes = fault->rule.cut_bytes;
        effect.corrupt_bit = fault->rule.corrupt_bit;
        if (effect.action == RMQ_FAULT_CORRUPT && effect.corrupt_bit < 0)
            effect.corrupt_bit = -1 - (int64_t)(random_next(&fault->random_state) >> 2);
        effect.response_code = fault->rule.response_code;
        break;
    }
    return effect;
}
