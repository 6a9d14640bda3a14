/* The public functions about fault rules and counts: each a closure for the loop thread. */
#include <rmq/devbroker.h>

#include "broker_state.h"
#include "calls.h"

typedef struct fault_call {
    const rmq_fault_rule *rule;
    int32_t *out_rule_id;
    int32_t number; /* a rule's id, or a request code */
    uint64_t count;
} fault_call;

static rmq_status do_add(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    fault_call *call = argument;
    return rmq_dev_faults_add(&broker->faults, call->rule, call->out_rule_id, err);
}

rmq_status rmq_devbroker_add_fault(rmq_devbroker *broker, const rmq_fault_rule *rule,
                                   int32_t *out_rule_id, rmq_error *err)
{
    fault_call call = {.rule = rule, .out_rule_id = out_rule_id};
    return rmq_dev_call_sync(broker, do_add, &call, err);
}

rmq_status rmq_devbroker_add_fault_text(rmq_devbroker *broker, const char *text,
                                        int32_t *out_rule_id, rmq_error *err)
{
    rmq_fault_rule rule;
    char topic[RMQ_DEV_FAULT_TOPIC_BYTES];
    rmq_status status = rmq_dev_fault_parse(text, &rule, topic, err);
    return status == RMQ_OK ? rmq_devbroker_add_fault(broker, &rule, out_rule_id, err) : status;
}

static rmq_status do_clear(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    (void)argument;
    (void)err;
    rmq_dev_faults_clear(&broker->faults);
    return RMQ_OK;
}

void rmq_devbroker_clear_faults(rmq_devbroker *broker)
{
    rmq_status cleared = rmq_dev_call_sync(broker, do_clear, NULL, NULL);
    (void)cleared; /* it can't fail */
}

static rmq_status do_hits(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    (void)err;
    fault_call *call = argument;
    call->count = rmq_dev_faults_hits(&broker->faults, call->number);
    return RMQ_OK;
}

uint64_t rmq_devbroker_fault_hits(rmq_devbroker *broker, int32_t rule_id)
{
    fault_call call = {.number = rule_id};
    return rmq_dev_call_sync(broker, do_hits, &call, NULL) == RMQ_OK ? call.count : 0;
}

static rmq_status do_requests(rmq_devbroker *broker, void *argument, rmq_error *err)
{
    (void)err;
    fault_call *call = argument;
    call->count = rmq_dev_request_counts_get(&broker->request_counts, call->number);
    return RMQ_OK;
}

uint64_t rmq_devbroker_requests(rmq_devbroker *broker, int32_t request_code)
{
    fault_call call = {.number = request_code};
    return rmq_dev_call_sync(broker, do_requests, &call, NULL) == RMQ_OK ? call.count : 0;
}
