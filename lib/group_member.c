/* A member of a consumer group, and its part of the queues.
 *
 * Nobody hands out queues. Each member asks a broker of the topic who the members are, and computes
 * its own part from that list and the route (allocate.c); all come to the same result, at slightly
 * different times. So between two looks a queue may have two readers for a moment, which a group
 * must be able to bear, or none.
 *
 *   timer ──> route of each topic ──> members (38) of one of its masters ──> part ──> on_change
 *     ^
 *     every rebalance_ms; at once when a broker says so (40) or came back; after 1 s when a
 *     question failed or the list doesn't have us yet
 *
 * A question that fails changes nothing: the part stays as it was. A list without us does: the
 * others have dealt our queues out by now.
 *
 * All of it is on the loop; a mutex guards what rmq_group_member_poll takes. */
#include <rmq/group.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../proto/codes.h"
#include "../proto/route.h"
#include "../proto/sized_struct.h"
#include "allocate.h"
#include "client_state.h"
#include "deadline.h"
#include "outgoing.h"
#include "queues.h"
#include "route_question.h"

#define DEFAULT_REBALANCE_MS 20000
#define SOON_MS 1000
#define MAX_TOPICS 1000
#define GROUP_MAX_BYTES 120

typedef struct member_topic {
    struct rmq_group_member *member;
    const char *name; /* in the group's subscriptions */
    rmq_route_question *question;
    rmq_call *call;
    rmq_queue_list *queues; /* all, while the members are asked for */
    char address[RMQ_ADDRESS_MAX_BYTES];
    size_t turn; /* which master is asked next */
    bool troubled;
    rmq_queue_list *part; /* guarded by the member's mutex; NULL: not known yet */
} member_topic;

struct rmq_group_member {
    rmq_client *client;
    rmq_group_member_config
        config; /* defaults filled in; its pointers are the caller's, and gone */
    rmq_cancel_hook cancel_hook;

    /* the loop's */
    rmq_consumer_group group;
    rmq_timer timer;
    bool announced; /* to the brokers of the topics' routes */
    bool again;     /* a change was told while a topic's questions were under way */
    member_topic *topics;
    size_t n_topics;

    pthread_mutex_t mutex; /* guards what follows, and the topics' parts */
    pthread_cond_t cond;   /* there is something to tell */
    bool changed;
    bool cancelled;
    rmq_error refusal; /* status RMQ_OK: none */
};

/* ---- telling ---- */

static void tell(rmq_group_member *member)
{
    pthread_cond_broadcast(&member->cond);
    pthread_mutex_unlock(&member->mutex);
    if (member->config.on_change != NULL)
        member->config.on_change(member->config.on_change_ctx);
}

static bool same_queues(const rmq_queue_list *left, const rmq_queue_list *right)
{
    if (rmq_queue_list_count(left) != rmq_queue_list_count(right))
        return false;
    for (size_t i = 0; i < rmq_queue_list_count(left); i++)
        if (rmq_queue_compare(rmq_queue_list_at(left, i), rmq_queue_list_at(right, i)) != 0)
            return false;
    return true;
}

static bool all_parts_known(const rmq_group_member *member)
{
    for (size_t i = 0; i < member->n_topics; i++)
        if (member->topics[i].part == NULL)
            return false;
    return true;
}

/* Takes `part` over. */
static void set_part(member_topic *topic, rmq_queue_list *part)
{
    rmq_group_member *member = topic->member;
    pthread_mutex_lock(&member->mutex);
    if (topic->part != NULL && same_queues(topic->part, part)) {
        pthread_mutex_unlock(&member->mutex);
        rmq_queue_list_free(part);
        return;
    }
    rmq_queue_list_free(topic->part);
    topic->part = part;
    member->changed = all_parts_known(member);
    tell(member);
}

/* ---- rebalancing, on the loop ---- */

static void look_again(rmq_group_member *member, int64_t delay_ms)
{
    rmq_timer_set(&member->timer, delay_ms);
}

static void trouble(member_topic *topic, const char *what, const rmq_error *err)
{
    rmq_client_log(topic->member->client, topic->troubled ? RMQ_LOG_DEBUG : RMQ_LOG_WARN, "group",
                   "%s: %s of %s: %s; trying again", topic->member->group.data.group, what,
                   topic->name, err->text);
    topic->troubled = true;
    look_again(topic->member, SOON_MS);
}

static int compare_ids(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;
    return strcmp(*a, *b);
}

/* Sorts the ids. *out_index is `count` if ours isn't among them. */
static size_t own_index(const rmq_client *client, char **ids, size_t count)
{
    qsort(ids, count, sizeof(*ids), compare_ids);
    size_t index = 0;
    while (index < count && strcmp(ids[index], client->client_id) != 0)
        index++;
    return index;
}

static rmq_status take_share(member_topic *topic, size_t n_members, size_t index, rmq_error *err)
{
    const size_t n_queues = rmq_queue_list_count(topic->queues);
    rmq_share share = {0, 1, 0};
    rmq_queue_list *part = NULL;
    if (index < n_members)
        share = rmq_allocate(topic->member->config.allocation, n_queues, n_members, index);
    rmq_queue *queues = rmq_calloc(share.count + 1, sizeof(*queues));
    if (queues == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu queues", share.count);
    for (size_t i = 0; i < share.count; i++)
        queues[i] = *rmq_queue_list_at(topic->queues, share.first + i * share.step);
    rmq_status status = rmq_queue_list_copy(queues, share.count, &part, err);
    rmq_free(queues);
    if (status == RMQ_OK)
        set_part(topic, part);
    return status;
}

static rmq_status use_members(member_topic *topic, const rmq_answer *answer, rmq_error *err)
{
    rmq_client *client = topic->member->client;
    char **ids = NULL;
    size_t count = 0;
    rmq_status status = rmq_consumer_list_decode(answer->command.body, &ids, &count, err);
    if (status != RMQ_OK)
        return status;
    const size_t index = own_index(client, ids, count);
    if (index < count || topic->part != NULL)
        status = take_share(topic, count, index, err);
    if (index == count)
        look_again(topic->member, SOON_MS); /* the heartbeat isn't there yet, or no longer */
    rmq_topic_list_free(ids, count);
    return status;
}

static bool is_idle(const rmq_group_member *member)
{
    for (size_t i = 0; i < member->n_topics; i++)
        if (member->topics[i].question != NULL || member->topics[i].call != NULL)
            return false;
    return true;
}

static void topic_looked_at(member_topic *topic)
{
    rmq_group_member *member = topic->member;
    rmq_queue_list_free(topic->queues);
    topic->queues = NULL;
    if (member->again && is_idle(member))
        look_again(member, 0);
}

static void on_members(void *ctx, const rmq_call_outcome *outcome)
{
    member_topic *topic = ctx;
    rmq_error error;
    rmq_status status = outcome->status;
    topic->call = NULL;
    if (status != RMQ_OK)
        error = *outcome->err;
    else if (outcome->answer->command.code == RMQ_RESPONSE_SYSTEM_ERROR)
        look_again(topic->member, SOON_MS); /* "no consumer for this group": not even us, yet */
    else
        status =
            rmq_answer_error(outcome->answer, "GET_CONSUMER_LIST_BY_GROUP", topic->address, &error);
    if (status == RMQ_OK && outcome->answer->command.code == RMQ_RESPONSE_SUCCESS) {
        status = use_members(topic, outcome->answer, &error);
        topic->troubled = false;
    }
    if (status != RMQ_OK)
        trouble(topic, "members", &error);
    topic_looked_at(topic);
}

/* The masters take turns, so that one that is down doesn't keep us from asking. */
static const char *choose_master(member_topic *topic, const rmq_route *route)
{
    for (size_t i = 0; i < route->n_brokers; i++) {
        const rmq_route_broker *broker = &route->brokers[topic->turn++ % route->n_brokers];
        const char *address = rmq_route_broker_address(broker, 0);
        if (address != NULL)
            return address;
    }
    return NULL;
}

static void ask_for_members(member_topic *topic)
{
    rmq_client *client = topic->member->client;
    rmq_command request;
    rmq_command_init(&request, RMQ_REQUEST_GET_CONSUMER_LIST_BY_GROUP);
    rmq_command_set(&request, "consumerGroup", topic->member->group.data.group);
    topic->call =
        rmq_call_start_cancellable(client, topic->address, &request,
                                   client->settings.config.request_timeout_ms, on_members, topic);
    rmq_command_deinit(&request);
}

static void on_route(void *ctx, rmq_status status, const rmq_route *route, const rmq_error *err)
{
    member_topic *topic = ctx;
    rmq_group_member *member = topic->member;
    rmq_error error;
    topic->question = NULL;
    if (status != RMQ_OK)
        error = *err;
    else
        status = rmq_queue_list_of_route(topic->name, route, &topic->queues, &error);
    const char *master = status == RMQ_OK ? choose_master(topic, route) : NULL;
    if (status == RMQ_OK && master == NULL)
        status = rmq_error_set(&error, RMQ_NOT_FOUND, "no broker of it has a master now");
    if (status != RMQ_OK) {
        trouble(topic, "route", &error);
        topic_looked_at(topic);
        return;
    }
    snprintf(topic->address, sizeof(topic->address), "%s", master);
    if (!member->announced) {
        member->announced = true;
        rmq_registration_beat(&member->client->registration);
    }
    ask_for_members(topic);
}

static void on_timer(rmq_timer *timer)
{
    rmq_group_member *member =
        (rmq_group_member *)(void *)((char *)timer - offsetof(rmq_group_member, timer));
    if (member->client->closing)
        return;
    if (!is_idle(member)) {
        member->again = true;
        return;
    }
    member->again = false;
    look_again(member, member->config.rebalance_ms);
    for (size_t i = 0; i < member->n_topics; i++) {
        member_topic *topic = &member->topics[i];
        topic->question = rmq_route_question_ask(member->client, topic->name,
                                                 member->client->settings.config.route_refresh_ms,
                                                 on_route, topic);
        if (topic->question == NULL)
            look_again(member, SOON_MS);
    }
}

static void on_group_changed(rmq_consumer_group *group)
{
    rmq_group_member *member =
        (rmq_group_member *)(void *)((char *)group - offsetof(rmq_group_member, group));
    member->again = !is_idle(member);
    look_again(member, 0);
}

static void on_refused(rmq_consumer_group *group, const rmq_error *err)
{
    rmq_group_member *member =
        (rmq_group_member *)(void *)((char *)group - offsetof(rmq_group_member, group));
    pthread_mutex_lock(&member->mutex);
    member->refusal = *err;
    tell(member);
}

static void on_client_cancelled(rmq_cancel_hook *hook)
{
    rmq_group_member *member =
        (rmq_group_member *)(void *)((char *)hook - offsetof(rmq_group_member, cancel_hook));
    pthread_mutex_lock(&member->mutex);
    member->cancelled = true;
    tell(member);
}

/* ---- asking ---- */

static rmq_status copy_parts(const rmq_group_member *member, rmq_queue_list **out_queues,
                             rmq_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < member->n_topics; i++)
        count += rmq_queue_list_count(member->topics[i].part);
    rmq_queue *queues = rmq_calloc(count + 1, sizeof(*queues));
    if (queues == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu queues", count);
    count = 0;
    for (size_t i = 0; i < member->n_topics; i++)
        for (size_t k = 0; k < rmq_queue_list_count(member->topics[i].part); k++)
            queues[count++] = *rmq_queue_list_at(member->topics[i].part, k);
    rmq_status status = rmq_queue_list_copy(queues, count, out_queues, err);
    rmq_free(queues);
    return status;
}

static bool has_news(const rmq_group_member *member)
{
    return member->changed || member->cancelled || member->refusal.status != RMQ_OK;
}

rmq_status rmq_group_member_poll(rmq_group_member *member, int64_t timeout_ms,
                                 rmq_queue_list **out_queues, rmq_error *err)
{
    assert(!rmq_loop_is_current(member->client->loop));
    struct timespec deadline = rmq_deadline_after(timeout_ms);
    rmq_status status = RMQ_OK;
    int waited = 0;
    pthread_mutex_lock(&member->mutex);
    while (!has_news(member) && timeout_ms > 0 && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&member->cond, &member->mutex, &deadline);
    if (member->cancelled) {
        status = rmq_error_set(err, RMQ_CANCELLED, "cancelled");
    } else if (member->refusal.status != RMQ_OK) {
        status = member->refusal.status;
        if (err != NULL)
            *err = member->refusal;
        member->refusal.status = RMQ_OK;
    } else if (!member->changed) {
        status = rmq_error_set(err, RMQ_AGAIN, "group %s: the queues are the same as before",
                               member->group.data.group);
    } else {
        status = copy_parts(member, out_queues, err);
        member->changed = status != RMQ_OK;
    }
    pthread_mutex_unlock(&member->mutex);
    return status;
}

/* ---- joining and leaving ---- */

static rmq_status add_subscription(rmq_group_member *member, const rmq_topic_filter *filter,
                                   rmq_error *err)
{
    rmq_consumer_data *data = &member->group.data;
    rmq_status status = rmq_topic_check(filter->topic, err);
    if (status != RMQ_OK)
        return status;
    for (size_t i = 0; i < data->n_subscriptions; i++)
        if (strcmp(data->subscriptions[i].topic, filter->topic) == 0)
            return rmq_error_set(err, RMQ_INVAL, "group %s: topic \"%s\" is named twice",
                                 data->group, filter->topic);
    rmq_subscription *added = &data->subscriptions[data->n_subscriptions++];
    added->topic = rmq_strdup(filter->topic);
    added->expression = rmq_strdup(filter->expression != NULL ? filter->expression : "*");
    added->expression_type = rmq_strdup(filter->sql92 ? "SQL92" : "TAG");
    added->version = rmq_clock_wall_ms();
    if (added->topic == NULL || added->expression == NULL || added->expression_type == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a group's member");
    member_topic *topic = &member->topics[member->n_topics++];
    topic->member = member;
    topic->name = added->topic;
    return RMQ_OK;
}

static rmq_status take_topics(rmq_group_member *member, const rmq_topic_filter *filters,
                              size_t count, rmq_error *err)
{
    rmq_consumer_data *data = &member->group.data;
    data->consume_type = rmq_strdup("CONSUME_ACTIVELY");
    data->message_model = rmq_strdup("CLUSTERING");
    data->consume_from_where = rmq_strdup("CONSUME_FROM_FIRST_OFFSET");
    data->subscriptions = rmq_calloc(count, sizeof(*data->subscriptions));
    member->topics = rmq_calloc(count, sizeof(*member->topics));
    if (data->consume_type == NULL || data->message_model == NULL ||
        data->consume_from_where == NULL || data->subscriptions == NULL || member->topics == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a group's member");
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < count; i++)
        status = add_subscription(member, &filters[i], err);
    return status;
}

static rmq_status take_config(rmq_group_member *member, const rmq_group_member_config *given,
                              rmq_error *err)
{
    rmq_group_member_config *config = &member->config;
    rmq_status status =
        rmq_sized_struct_copy("group member config", given, config, sizeof(*config), err);
    if (status != RMQ_OK)
        return status;
    if (config->group == NULL || config->group[0] == '\0' ||
        strlen(config->group) > GROUP_MAX_BYTES)
        return rmq_error_set(err, RMQ_INVAL,
                             "group member: a group of 1 to %d characters is needed",
                             GROUP_MAX_BYTES);
    if (config->n_topics == 0 || config->n_topics > MAX_TOPICS || config->topics == NULL)
        return rmq_error_set(err, RMQ_INVAL, "group %s: it needs 1 to %d topics", config->group,
                             MAX_TOPICS);
    if (config->rebalance_ms < 0 ||
        (config->allocation != RMQ_ALLOCATE_AVERAGE && config->allocation != RMQ_ALLOCATE_CIRCLE))
        return rmq_error_set(
            err, RMQ_INVAL, "group %s: rebalance_ms %lld or allocation %d is out of range",
            config->group, (long long)config->rebalance_ms, (int)config->allocation);
    if (config->rebalance_ms == 0)
        config->rebalance_ms = DEFAULT_REBALANCE_MS;
    member->group.data.group = rmq_strdup(config->group);
    if (member->group.data.group == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a group's member");
    status = take_topics(member, config->topics, config->n_topics, err);
    config->group = NULL;
    config->topics = NULL;
    return status;
}

typedef struct errand {
    rmq_task task; /* first */
    rmq_group_member *member;
    rmq_status status;
    rmq_error *err;
} errand;

static void join_on_loop(rmq_task *task)
{
    errand *work = (errand *)(void *)task;
    rmq_group_member *member = work->member;
    rmq_client *client = member->client;
    work->status = rmq_timer_init(&member->timer, client->loop, on_timer, work->err);
    if (work->status != RMQ_OK)
        return;
    member->group.changed = on_group_changed;
    member->group.refused = on_refused;
    work->status = rmq_registration_add_consumer(&client->registration, &member->group, work->err);
    if (work->status != RMQ_OK) {
        rmq_timer_deinit(&member->timer);
        return;
    }
    member->cancel_hook.cancelled = on_client_cancelled;
    rmq_cancel_hook_add(client, &member->cancel_hook);
    if (rmq_client_is_cancelled(client))
        on_client_cancelled(&member->cancel_hook);
    look_again(member, 0);
}

static void leave_on_loop(rmq_task *task)
{
    errand *work = (errand *)(void *)task;
    rmq_group_member *member = work->member;
    rmq_registration_remove_consumer(&member->client->registration, &member->group);
    rmq_cancel_hook_remove(&member->cancel_hook);
    for (size_t i = 0; i < member->n_topics; i++) {
        rmq_route_question_drop(member->topics[i].question);
        if (member->topics[i].call != NULL)
            rmq_call_cancel(member->topics[i].call);
    }
    rmq_timer_deinit(&member->timer);
}

static void free_member(rmq_group_member *member)
{
    rmq_consumer_data_deinit(&member->group.data);
    for (size_t i = 0; i < member->n_topics; i++) {
        rmq_queue_list_free(member->topics[i].queues);
        rmq_queue_list_free(member->topics[i].part);
    }
    rmq_free(member->topics);
    pthread_cond_destroy(&member->cond);
    pthread_mutex_destroy(&member->mutex);
    rmq_free(member);
}

rmq_status rmq_group_join(rmq_client *client, const rmq_group_member_config *config,
                          rmq_group_member **out_member, rmq_error *err)
{
    rmq_group_member *member = rmq_calloc(1, sizeof(*member));
    if (member == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a group's member");
    member->client = client;
    pthread_mutex_init(&member->mutex, NULL);
    rmq_deadline_cond_init(&member->cond);
    rmq_status status = take_config(member, config, err);
    if (status == RMQ_OK) {
        errand work = {.task.run = join_on_loop, .member = member, .err = err};
        rmq_loop_run_sync(client->loop, &work.task);
        status = work.status;
    }
    if (status != RMQ_OK) {
        free_member(member);
        return status;
    }
    *out_member = member;
    return RMQ_OK;
}

void rmq_group_leave(rmq_group_member *member)
{
    if (member == NULL)
        return;
    errand work = {.task.run = leave_on_loop, .member = member};
    rmq_loop_run_sync(member->client->loop, &work.task);
    free_member(member);
}
