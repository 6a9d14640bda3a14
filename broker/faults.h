/* Fault rules: which requests go wrong, and how. */
#ifndef RMQ_DEV_FAULTS_H
#define RMQ_DEV_FAULTS_H

#include <rmq/devbroker.h>

#define RMQ_DEV_MAX_FAULTS 1024

/* What happens to one answer. A copy: it outlives its rule. */
typedef struct rmq_dev_effect {
    rmq_fault_action action; /* 0: none */
    int64_t delay_ms;
    int64_t cut_bytes;
    int64_t corrupt_bit;
    int32_t response_code;
} rmq_dev_effect;

typedef struct rmq_dev_fault rmq_dev_fault;

typedef struct rmq_dev_faults {
    rmq_dev_fault *first; /* in the order of their adding */
    int32_t n_faults;
    int32_t next_id;
} rmq_dev_faults;

void rmq_dev_faults_init(rmq_dev_faults *faults);
/* Takes all rules away; their hits are forgotten. */
void rmq_dev_faults_clear(rmq_dev_faults *faults);
/* Errors: INVAL, NOMEM, FULL. */
RMQ_MUST_CHECK rmq_status rmq_dev_faults_add(rmq_dev_faults *faults, const rmq_fault_rule *rule,
                                             int32_t *out_rule_id, rmq_error *err);
uint64_t rmq_dev_faults_hits(const rmq_dev_faults *faults, int32_t rule_id);
/* Which effect this request has, counting it. `topic` is empty for a request without one. */
rmq_dev_effect rmq_dev_faults_match(rmq_dev_faults *faults, int32_t request_code, rmq_slice topic);

/* fault_text.c: parses "code=11,topic=T,skip=2,times=1,action=cut,bytes=20" into `out_rule`, whose
 * topic points into `out_topic`. Errors: INVAL. */
#define RMQ_DEV_FAULT_TOPIC_BYTES 256
RMQ_MUST_CHECK rmq_status rmq_dev_fault_parse(const char *text, rmq_fault_rule *out_rule,
                                              char out_topic[RMQ_DEV_FAULT_TOPIC_BYTES],
                                              rmq_error *err);

#endif
