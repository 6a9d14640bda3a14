/* The direct stream's second thread: what may take long and must not delay a batch.
 *
 * It asks the name servers for the topics' queues once a second, so that new queues and brokers are
 * found while the stream runs; when no name server answers, the last known queues stay. And it
 * tells the brokers the group's offsets after each batch: only the newest matter, so a report that
 * was not sent when the next one comes is left out. Trouble is logged when it begins and when it
 * ends.
 *
 * At the end it gets a second to send the last report; then calls under way are cancelled. */
#include "direct.h"

#include <time.h>

#include "../core/run.h"

#define REFRESH_MS 1000
#define LAST_REPORT_MS 1000

static struct timespec in_ms(int64_t wait_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t ns = (int64_t)at.tv_nsec + wait_ms * 1000000;
    at.tv_sec += (time_t)(ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    return at;
}

rmq_status mill_direct_ask_queues(mill_direct *direct, mill_positions *queues, rmq_error *err)
{
    for (size_t t = 0; t < direct->n_topics; t++) {
        rmq_queue_list *list = NULL;
        rmq_status status = rmq_client_queues(direct->client, direct->topics[t], &list, err);
        for (size_t i = 0; status == RMQ_OK && i < rmq_queue_list_count(list); i++)
            status = mill_positions_add(queues, rmq_queue_list_at(list, i), -1, err);
        rmq_queue_list_free(list);
        if (status == RMQ_NOT_FOUND)
            rmq_error_wrap(err, "topic %s", direct->topics[t]);
        if (status != RMQ_OK)
            return status;
    }
    mill_positions_sort(queues);
    return RMQ_OK;
}

/* What is in trouble, to be said once. */
typedef struct troubles {
    bool routes;
    bool reports;
} troubles;

static void tell(mill_direct *direct, bool *in_trouble, bool good, const char *what,
                 const rmq_error *err)
{
    if (*in_trouble == !good)
        return;
    *in_trouble = !good;
    mill_context *context = mill_stream_engine(direct->stream);
    if (good)
        mill_context_log(context, RMQ_LOG_WARN, "direct", "%s: %s again", direct->name, what);
    else
        mill_context_log(context, RMQ_LOG_WARN, "direct", "%s: no %s, trying on: %s", direct->name,
                         what, err->text);
}

static void refresh(mill_direct *direct, troubles *known)
{
    mill_positions queues = {0};
    rmq_error err = {0};
    rmq_status status = mill_direct_ask_queues(direct, &queues, &err);
    if (status == RMQ_CANCELLED) {
        mill_positions_clear(&queues);
        return;
    }
    tell(direct, &known->routes, status == RMQ_OK, "routes", &err);
    if (status == RMQ_OK) {
        pthread_mutex_lock(&direct->lock);
        mill_positions old = direct->queues;
        direct->queues = queues;
        direct->queues_changed = true;
        pthread_mutex_unlock(&direct->lock);
        queues = old;
    }
    mill_positions_clear(&queues);
}

static bool superseded(mill_direct *direct)
{
    pthread_mutex_lock(&direct->lock);
    bool newer = direct->has_reports;
    pthread_mutex_unlock(&direct->lock);
    return newer;
}

/* Queues of a broker that failed are left out: each would cost a timeout. */
static void send_reports(mill_direct *direct, const mill_positions *reports, troubles *known)
{
    rmq_error err = {0};
    rmq_status status = RMQ_OK, worst = RMQ_OK;
    const char *away = NULL;
    for (size_t i = 0; i < reports->count && !superseded(direct); i++) {
        const mill_position *position = &reports->items[i];
        if (away != NULL && rmq_slice_equals(rmq_slice_of(position->broker_name), away))
            continue;
        rmq_queue queue = mill_position_queue(position);
        status = rmq_group_offset_commit(direct->client, direct->group, &queue,
                                         position->next_offset, &err);
        if (status == RMQ_CANCELLED)
            return;
        if (status != RMQ_OK) {
            worst = status;
            away = position->broker_name;
        }
    }
    tell(direct, &known->reports, worst == RMQ_OK, "group offsets", &err);
}

static void *keep(void *direct_ptr)
{
    mill_direct *direct = direct_ptr;
    troubles known = {0};
    pthread_setname_np(pthread_self(), "mill-keeper");
    struct timespec refresh_at = in_ms(REFRESH_MS);
    pthread_mutex_lock(&direct->lock);
    while (!direct->stopping || direct->has_reports) {
        int timed = 0;
        while (timed == 0 && !direct->stopping && !direct->has_reports)
            timed = pthread_cond_timedwait(&direct->wake, &direct->lock, &refresh_at);
        mill_positions reports = {0};
        if (direct->has_reports) {
            reports = direct->reports;
            direct->reports = (mill_positions){0};
            direct->has_reports = false;
        }
        bool stopping = direct->stopping;
        pthread_mutex_unlock(&direct->lock);
        if (reports.count > 0)
            send_reports(direct, &reports, &known);
        mill_positions_clear(&reports);
        struct timespec now = in_ms(0);
        bool due = now.tv_sec > refresh_at.tv_sec ||
                   (now.tv_sec == refresh_at.tv_sec && now.tv_nsec >= refresh_at.tv_nsec);
        if (due && !stopping) {
            refresh(direct, &known);
            refresh_at = in_ms(REFRESH_MS);
        }
        pthread_mutex_lock(&direct->lock);
    }
    direct->keeper_runs = false;
    pthread_cond_broadcast(&direct->wake);
    pthread_mutex_unlock(&direct->lock);
    return NULL;
}

rmq_status mill_direct_keeper_start(mill_direct *direct, rmq_error *err)
{
    direct->keeper_runs = true;
    direct->keeper_started = true;
    int failed = pthread_create(&direct->keeper, NULL, keep, direct);
    if (failed == 0)
        return RMQ_OK;
    direct->keeper_runs = direct->keeper_started = false;
    return rmq_error_set_errno(err, failed, "a thread of direct stream %s", direct->name);
}

void mill_direct_keeper_stop(mill_direct *direct)
{
    if (!direct->keeper_started)
        return;
    direct->keeper_started = false;
    struct timespec deadline = in_ms(LAST_REPORT_MS);
    pthread_mutex_lock(&direct->lock);
    direct->stopping = true;
    pthread_cond_broadcast(&direct->wake);
    int timed = 0;
    while (direct->keeper_runs && timed == 0)
        timed = pthread_cond_timedwait(&direct->wake, &direct->lock, &deadline);
    pthread_mutex_unlock(&direct->lock);
    rmq_client_cancel(direct->client);
    pthread_join(direct->keeper, NULL);
}
