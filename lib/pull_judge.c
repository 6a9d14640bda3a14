/* The meaning of pull answers. Source: PullMessageProcessor, PullAPIWrapper 5.4.0; protocol facts
 * 8.2.
 *
 * Response codes say less than they seem to: 21 stands for "deleted", "beyond the end", "queue is
 * empty" and "reset by an administrator"; which of them it was follows from the offsets, except the
 * reset, which only the remark tells. So the offsets decide here, and a broker whose code and
 * offsets contradict each other is doubted: asked again, and an error if it keeps saying so.
 *
 * maxOffset in an answer may be older than the records beside it (the broker reads it first), so
 * that next > max is no contradiction. */
#include "pull_judge.h"

#include <rmq/message.h>

#include "../proto/codes.h"
#include "remark.h"

static void judge_found(const rmq_answer *answer, int64_t asked_from, const char *address,
                        rmq_pull_verdict *verdict, rmq_error *err)
{
    if (verdict->next_offset <= asked_from) {
        verdict->meaning = RMQ_PULL_DOUBTFUL;
        verdict->status = rmq_error_set(
            err, RMQ_PROTO, "%s answered a pull at offset %lld with nextBeginOffset %lld", address,
            (long long)asked_from, (long long)verdict->next_offset);
        return;
    }
    verdict->meaning = answer->command.body.len > 0 ? RMQ_PULL_RECORDS : RMQ_PULL_MOVED;
}

static void judge_no_match(int64_t asked_from, const char *address, rmq_pull_verdict *verdict,
                           rmq_error *err)
{
    if (verdict->next_offset > asked_from) {
        verdict->meaning = RMQ_PULL_MOVED;
        return;
    }
    /* A slave that lacks the data says so too, and names another broker. */
    verdict->meaning = RMQ_PULL_TROUBLE;
    verdict->status =
        rmq_error_set(err, RMQ_BROKER, "%s has nothing at offset %lld and does not move on",
                      address, (long long)asked_from);
}

static void judge_moved(const rmq_command *command, int64_t asked_from, rmq_pull_verdict *verdict)
{
    verdict->reset = rmq_remark_holds(command, "OFFSET_RESET");
    bool deleted = verdict->min_offset >= 0 && asked_from < verdict->min_offset;
    verdict->meaning = verdict->reset || deleted ? RMQ_PULL_GONE : RMQ_PULL_BEYOND;
}

/* Response codes that are neither records nor an empty answer. */
static void judge_refusal(const rmq_answer *answer, const char *address, rmq_pull_verdict *verdict,
                          rmq_error *err)
{
    verdict->status = rmq_answer_error(answer, "PULL_MESSAGE", address, err);
    switch (answer->command.code) {
    case RMQ_RESPONSE_TOPIC_NOT_EXIST:
    case RMQ_RESPONSE_NOT_LEADER_FOR_QUEUE:
    case RMQ_RESPONSE_GO_AWAY:
        verdict->ask_route = true;
        verdict->meaning = RMQ_PULL_TROUBLE;
        return;
    case RMQ_RESPONSE_SYSTEM_BUSY:
    case RMQ_RESPONSE_FLOW_CONTROL:
    case RMQ_RESPONSE_SERVICE_NOT_AVAILABLE:
        verdict->meaning = RMQ_PULL_TROUBLE;
        return;
    case RMQ_RESPONSE_SYSTEM_ERROR:
        verdict->meaning = RMQ_PULL_TROUBLE;
        if (verdict->status == RMQ_AUTH) {
            verdict->meaning = RMQ_PULL_REFUSED;
        } else if (rmq_remark_holds(&answer->command, RMQ_REMARK_NO_FILTER)) {
            verdict->meaning = RMQ_PULL_REFUSED;
            verdict->status = RMQ_UNSUPPORTED;
        } else if (rmq_remark_holds(&answer->command, RMQ_REMARK_ILLEGAL_QUEUE)) {
            verdict->meaning = RMQ_PULL_DOUBTFUL;
            verdict->status = RMQ_INVAL;
        }
        return;
    case RMQ_RESPONSE_REQUEST_CODE_NOT_SUPPORTED:
        verdict->meaning = RMQ_PULL_REFUSED;
        verdict->status = RMQ_UNSUPPORTED;
        return;
    case RMQ_RESPONSE_SUBSCRIPTION_PARSE_FAILED:
        verdict->meaning = RMQ_PULL_REFUSED;
        verdict->status = RMQ_INVAL;
        return;
    case RMQ_RESPONSE_INVALID_PARAMETER:
        verdict->meaning = RMQ_PULL_DOUBTFUL;
        verdict->status = RMQ_INVAL;
        return;
    default:
        verdict->meaning = verdict->status == RMQ_AUTH ? RMQ_PULL_REFUSED : RMQ_PULL_DOUBTFUL;
        return;
    }
}

void rmq_pull_judge(const rmq_answer *answer, int64_t asked_from, const char *address,
                    rmq_pull_verdict *out_verdict, rmq_error *err)
{
    const rmq_command *command = &answer->command;
    rmq_pull_verdict verdict = {
        .next_offset = -1,
        .min_offset = -1,
        .max_offset = -1,
    };
    (void)rmq_command_get_int64(command, "nextBeginOffset", &verdict.next_offset);
    (void)rmq_command_get_int64(command, "minOffset", &verdict.min_offset);
    (void)rmq_command_get_int64(command, "maxOffset", &verdict.max_offset);
    (void)rmq_command_get_int64(command, "suggestWhichBrokerId", &verdict.suggested_broker_id);
    (void)rmq_command_get_int64(command, "offsetDelta", &verdict.offset_delta);
    switch (command->code) {
    case RMQ_RESPONSE_SUCCESS:
        judge_found(answer, asked_from, address, &verdict, err);
        break;
    case RMQ_RESPONSE_PULL_NOT_FOUND:
        verdict.meaning = RMQ_PULL_NOTHING;
        break;
    case RMQ_RESPONSE_PULL_RETRY_IMMEDIATELY:
        judge_no_match(asked_from, address, &verdict, err);
        break;
    case RMQ_RESPONSE_PULL_OFFSET_MOVED:
        judge_moved(command, asked_from, &verdict);
        break;
    default:
        judge_refusal(answer, address, &verdict, err);
        break;
    }
    if (verdict.meaning >= RMQ_PULL_TROUBLE && err != NULL)
        err->status = verdict.status;
    *out_verdict = verdict;
}
