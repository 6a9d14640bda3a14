/* A route lookup can't be taken back (others may wait for the same answer), but who asked may be
 * freed meanwhile. So its completion has memory of its own, which says whether anyone still waits.
 */
#include "route_question.h"

struct rmq_route_question {
    rmq_route_fn answered; /* NULL: nobody waits any more */
    void *ctx;
    bool starting; /* still inside ask */
    bool failed;   /* while it was started, which happens only without memory */
};

static void tell(void *ctx, rmq_status status, const struct rmq_route *route, const rmq_error *err)
{
    rmq_route_question *question = ctx;
    if (question->starting) {
        question->failed = true;
        return;
    }
    rmq_route_fn answered = question->answered;
    void *owner = question->ctx;
    rmq_free(question);
    if (answered != NULL)
        answered(owner, status, route, err);
}

rmq_route_question *rmq_route_question_ask(rmq_client *client, const char *topic,
                                           int64_t max_age_ms, rmq_route_fn answered, void *ctx)
{
    rmq_route_question *question = rmq_malloc(sizeof(*question));
    if (question == NULL)
        return NULL;
    question->answered = answered;
    question->ctx = ctx;
    question->starting = true;
    question->failed = false;
    rmq_route_lookup(client, topic, max_age_ms, tell, question);
    question->starting = false;
    if (question->failed) {
        rmq_free(question);
        return NULL;
    }
    return question;
}

void rmq_route_question_drop(rmq_route_question *question)
{
    if (question != NULL)
        question->answered = NULL;
}
