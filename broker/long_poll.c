/* Held pulls.
 *
 * A pull at the end of its queue with the suspend bit is kept in two lists: its queue's, so that a
 * send finds it at once, and its session's, so that it goes when the connection does. A send wakes
 * those whose filter one of the new messages matches; they are answered in the same callback.
 *
 * The time is not watched: as in a real broker all holds are looked at every so often (5 s) and
 * answered then if their time is up, or if their queue has grown by messages they didn't match,
 * which gives them code 20 and a new offset (facts 8.4). */
#include "long_poll.h"

#include <string.h>

#include "broker_state.h"

typedef struct rmq_dev_hold {
    rmq_dev_reply reply;
    rmq_dev_pull pull;
    int64_t until_ms;
    rmq_dev_queue *queue;
    struct rmq_dev_hold *next; /* in the queue */
    struct rmq_dev_hold *previous;
    struct rmq_dev_hold *next_of_session;
    struct rmq_dev_hold *previous_of_session;
} rmq_dev_hold_entry;

static void unlink_hold(rmq_dev_hold_entry *hold)
{
    if (hold->previous != NULL)
        hold->previous->next = hold->next;
    else
        hold->queue->holds = hold->next;
    if (hold->next != NULL)
        hold->next->previous = hold->previous;
    if (hold->previous_of_session != NULL)
        hold->previous_of_session->next_of_session = hold->next_of_session;
    else
        hold->reply.session->holds = hold->next_of_session;
    if (hold->next_of_session != NULL)
        hold->next_of_session->previous_of_session = hold->previous_of_session;
}

static void hold_free(rmq_dev_hold_entry *hold)
{
    rmq_dev_pull_deinit(&hold->pull);
    rmq_free(hold);
}

bool rmq_dev_hold(const rmq_dev_reply *reply, rmq_dev_pull *take_pull)
{
    rmq_devbroker *broker = reply->session->broker;
    rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, rmq_slice_of(take_pull->topic));
    if (topic == NULL || take_pull->queue_id >= topic->n_queues)
        return false;
    rmq_dev_queue *queue = rmq_dev_topic_queue_make(topic, take_pull->queue_id);
    rmq_dev_hold_entry *hold = rmq_calloc(1, sizeof(*hold));
    if (queue == NULL || hold == NULL) {
        rmq_free(hold);
        return false;
    }
    hold->reply = *reply;
    hold->pull = *take_pull;
    hold->queue = queue;
    int64_t wish_ms = take_pull->hold_ms > 0 ? take_pull->hold_ms : 0;
    hold->until_ms = rmq_dev_monotonic_ms() + (wish_ms < INT32_MAX ? wish_ms : INT32_MAX);
    hold->next = queue->holds;
    if (hold->next != NULL)
        hold->next->previous = hold;
    queue->holds = hold;
    rmq_dev_session *session = reply->session;
    hold->next_of_session = session->holds;
    if (hold->next_of_session != NULL)
        hold->next_of_session->previous_of_session = hold;
    session->holds = hold;
    return true;
}

/* Takes it out and answers it. */
static void release(rmq_dev_hold_entry *hold)
{
    unlink_hold(hold);
    rmq_dev_pull_answer(&hold->reply, &hold->pull);
    hold_free(hold);
}

static bool any_matches(const rmq_dev_hold_entry *hold, int64_t first_offset)
{
    int64_t max_offset = rmq_dev_queue_max(hold->queue);
    for (int64_t offset = first_offset; offset < max_offset; offset++) {
        if (rmq_dev_tag_filter_matches(&hold->pull.filter,
                                       rmq_dev_queue_at(hold->queue, offset)->tag_hash))
            return true;
    }
    return false;
}

void rmq_dev_holds_wake(rmq_dev_topic *topic, int32_t queue_id, int64_t first_offset)
{
    rmq_dev_queue *queue = rmq_dev_topic_queue(topic, queue_id);
    if (queue == NULL)
        return;
    rmq_dev_hold_entry *hold = queue->holds;
    while (hold != NULL) {
        rmq_dev_hold_entry *next = hold->next;
        if (any_matches(hold, first_offset))
            release(hold);
        hold = next;
    }
}

void rmq_dev_holds_check(rmq_devbroker *broker)
{
    int64_t now = rmq_dev_monotonic_ms();
    for (rmq_dev_session *session = broker->sessions.first; session != NULL;
         session = session->next) {
        rmq_dev_hold_entry *hold = session->holds;
        while (hold != NULL) {
            rmq_dev_hold_entry *next = hold->next_of_session;
            if (now >= hold->until_ms || rmq_dev_queue_max(hold->queue) > hold->pull.offset)
                release(hold);
            hold = next;
        }
    }
}

void rmq_dev_holds_drop(rmq_dev_session *session)
{
    while (session->holds != NULL) {
        rmq_dev_hold_entry *hold = session->holds;
        unlink_hold(hold);
        hold_free(hold);
    }
}

void rmq_dev_holds_detach(rmq_dev_topic *topic)
{
    for (int32_t i = 0; i < topic->n_queues; i++) {
        while (topic->queues[i] != NULL && topic->queues[i]->holds != NULL) {
            rmq_dev_hold_entry *hold = topic->queues[i]->holds;
            unlink_hold(hold);
            rmq_dev_pull_answer_gone(&hold->reply, &hold->pull);
            hold_free(hold);
        }
    }
}
