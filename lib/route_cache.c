/* Topic to queues and brokers.
 *
 * Name servers don't talk to each other; each broker registers with all of them. So one is chosen
 * (at random, to spread clients) and kept until it fails; then the next is asked, and so on around
 * the list. A lookup asks each at most once and shares the request timeout among them, so that one
 * that hangs doesn't eat it all.
 *
 * "Topic does not exist" (17) is a fact only if no name server knows better: after a restart a
 * broker is missing for up to 30 s (protocol facts 4.4). A cached route is therefore kept for some
 * minutes after the name servers stopped knowing it; the lookup itself still says NOT_FOUND, and
 * those who can wait ask again (lookup.c).
 *
 * All who ask for a topic while a question is under way share its answer, except those who want a
 * fresh one: they wait for the next question, since the one under way may be older than the change
 * they look for.
 *
 * A waiter is completed by a posted task or by the answer, never from inside rmq_route_lookup. */
#include "route_cache.h"

#include "../proto/codes.h"
#include "client_state.h"

#include <assert.h>
#include <string.h>

#define KEEP_MISSING_NS ((int64_t)150 * 1000000000)
#define FORGET_UNUSED_NS ((int64_t)600 * 1000000000)
#define LEAST_TRY_MS 300

struct rmq_route_waiter {
    rmq_task task; /* of one that is answered from the cache, or refused */
    rmq_route_waiter *next;
    rmq_client *client;
    rmq_route_entry *entry; /* NULL: refused */
    rmq_route_fn done;
    void *ctx;
    rmq_status status; /* of one that is refused */
    bool from_reserve;
};

typedef struct waiter_list {
    rmq_route_waiter *first;
    rmq_route_waiter **tail;
} waiter_list;

struct rmq_route_entry {
    rmq_route_entry *next;
    rmq_client *client;
    rmq_route route;
    bool has_route;
    bool asking;
    int64_t fetched_ns;
    int64_t used_ns;
    int64_t missing_since_ns; /* 0: not missing */
    size_t n_posted;          /* waiters on their way to be answered from the cache */
    waiter_list waiters;      /* of the question under way */
    waiter_list late_waiters; /* of the next one */
    size_t asked;             /* index of the name server being asked */
    size_t n_left;            /* name servers not asked yet */
    bool missing;             /* one said 17 */
    rmq_error error;          /* the last failure that was not 17 */
    char topic[];
};

/* ---- waiters ---- */

static void list_append(waiter_list *list, rmq_route_waiter *waiter)
{
    waiter->next = NULL;
    *list->tail = waiter;
    list->tail = &waiter->next;
}

static void list_init(waiter_list *list)
{
    list->first = NULL;
    list->tail = &list->first;
}

static rmq_route_waiter *take_waiter(rmq_route_cache *cache, rmq_route_fn done, void *ctx)
{
    rmq_route_waiter *waiter = rmq_calloc(1, sizeof(*waiter));
    bool from_reserve = waiter == NULL && cache->reserve != NULL;
    if (from_reserve) {
        waiter = cache->reserve;
        cache->reserve = waiter->next;
    }
    if (waiter == NULL)
        return NULL;
    waiter->from_reserve = from_reserve;
    waiter->client = cache->client;
    waiter->entry = NULL;
    waiter->done = done;
    waiter->ctx = ctx;
    return waiter;
}

static void free_waiter(rmq_route_waiter *waiter)
{
    if (waiter->from_reserve) {
        waiter->next = waiter->client->routes.reserve;
        waiter->client->routes.reserve = waiter;
        return;
    }
    rmq_free(waiter);
}

static void run_posted_waiter(rmq_task *task)
{
    rmq_route_waiter *waiter = (rmq_route_waiter *)task;
    rmq_route_fn done = waiter->done;
    void *ctx = waiter->ctx;
    rmq_route_entry *entry = waiter->entry;
    rmq_status status = waiter->status;
    free_waiter(waiter);
    if (entry != NULL && entry->has_route) {
        done(ctx, RMQ_OK, &entry->route, NULL);
        entry->n_posted--;
        return;
    }
    if (entry != NULL) {
        status = RMQ_NOT_FOUND; /* forgotten on the way here */
        entry->n_posted--;
    }
    rmq_error error;
    rmq_error_set(&error, status, "%s",
                  status == RMQ_NOMEM       ? "no memory for a route"
                  : status == RMQ_NOT_FOUND ? "the topic is gone"
                                            : "the client is being stopped");
    done(ctx, status, NULL, &error);
}

static void refuse(rmq_route_waiter *waiter, rmq_status status)
{
    waiter->status = status;
    waiter->entry = NULL;
    waiter->task.run = run_posted_waiter;
    rmq_loop_post(waiter->client->loop, &waiter->task);
}

static void answer_from_cache(rmq_route_waiter *waiter, rmq_route_entry *entry)
{
    waiter->entry = entry;
    entry->n_posted++;
    waiter->task.run = run_posted_waiter;
    rmq_loop_post(waiter->client->loop, &waiter->task);
}

/* ---- asking ---- */

static void ask(rmq_route_entry *entry);

static void begin_question(rmq_route_entry *entry)
{
    rmq_route_cache *cache = &entry->client->routes;
    entry->asking = true;
    entry->asked = cache->current;
    entry->n_left = entry->client->settings.n_namesrvs;
    entry->missing = false;
    rmq_error_set(&entry->error, RMQ_NOT_FOUND, "no name server asked");
    ask(entry);
}

static void finish_question(rmq_route_entry *entry, rmq_status status)
{
    rmq_error error = entry->error;
    waiter_list done = entry->waiters;
    list_init(&entry->waiters);
    entry->asking = false;
    rmq_route_waiter *next = NULL;
    for (rmq_route_waiter *waiter = done.first; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->done(waiter->ctx, status, status == RMQ_OK ? &entry->route : NULL, &error);
        free_waiter(waiter);
    }
    if (entry->late_waiters.first == NULL || entry->asking)
        return;
    while (entry->late_waiters.first != NULL) {
        rmq_route_waiter *waiter = entry->late_waiters.first;
        entry->late_waiters.first = waiter->next;
        list_append(&entry->waiters, waiter);
    }
    list_init(&entry->late_waiters);
    begin_question(entry);
}

static void nobody_knows(rmq_route_entry *entry)
{
    int64_t now_ns = rmq_clock_monotonic_ns();
    if (!entry->missing) {
        finish_question(entry, entry->error.status);
        return;
    }
    if (entry->missing_since_ns == 0)
        entry->missing_since_ns = now_ns;
    if (entry->has_route && now_ns - entry->missing_since_ns > KEEP_MISSING_NS) {
        rmq_route_deinit(&entry->route);
        entry->has_route = false;
    }
    rmq_error_set(&entry->error, RMQ_NOT_FOUND,
                  "topic \"%s\" does not exist; check its name, or create it", entry->topic);
    entry->error.broker_code = RMQ_RESPONSE_TOPIC_NOT_EXIST;
    finish_question(entry, RMQ_NOT_FOUND);
}

static void next_namesrv(rmq_route_entry *entry, bool failed)
{
    rmq_route_cache *cache = &entry->client->routes;
    const rmq_settings *settings = &entry->client->settings;
    size_t following = (entry->asked + 1) % settings->n_namesrvs;
    if (failed && entry->asked == cache->current && following != entry->asked) {
        rmq_client_log(entry->client, RMQ_LOG_INFO, "route", "name server %s failed, using %s now",
                       settings->namesrvs[entry->asked], settings->namesrvs[following]);
        cache->current = following;
    }
    entry->asked = following;
    if (entry->n_left == 0)
        nobody_knows(entry);
    else
        ask(entry);
}

static void take_route(rmq_route_entry *entry, const rmq_answer *answer)
{
    rmq_route route;
    rmq_status status = rmq_route_decode(answer->command.body, &route, &entry->error);
    if (status != RMQ_OK) {
        rmq_error_wrap(&entry->error, "route of \"%s\" from %s", entry->topic,
                       entry->client->settings.namesrvs[entry->asked]);
        next_namesrv(entry, true);
        return;
    }
    if (entry->has_route)
        rmq_route_deinit(&entry->route);
    entry->route = route;
    entry->has_route = true;
    entry->missing_since_ns = 0;
    entry->fetched_ns = rmq_clock_monotonic_ns();
    finish_question(entry, RMQ_OK);
}

static void on_answer(void *ctx, const rmq_call_outcome *outcome)
{
    rmq_route_entry *entry = ctx;
    const char *namesrv = entry->client->settings.namesrvs[entry->asked];
    if (outcome->status == RMQ_CANCELLED || outcome->status == RMQ_NOMEM) {
        entry->error = *outcome->err;
        finish_question(entry, outcome->status);
        return;
    }
    if (outcome->status != RMQ_OK) {
        entry->error = *outcome->err;
        next_namesrv(entry, true);
        return;
    }
    if (outcome->answer->command.code == RMQ_RESPONSE_TOPIC_NOT_EXIST) {
        entry->missing = true;
        next_namesrv(entry, false);
        return;
    }
    if (rmq_answer_error(outcome->answer, "GET_ROUTEINFO_BY_TOPIC", namesrv, &entry->error) !=
        RMQ_OK)
        next_namesrv(entry, true);
    else
        take_route(entry, outcome->answer);
}

static void ask(rmq_route_entry *entry)
{
    const rmq_settings *settings = &entry->client->settings;
    int64_t timeout_ms = settings->config.request_timeout_ms / (int64_t)settings->n_namesrvs;
    if (timeout_ms < LEAST_TRY_MS)
        timeout_ms = LEAST_TRY_MS;
    rmq_command request;
    rmq_command_init(&request, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC);
    rmq_command_set(&request, "topic", entry->topic);
    rmq_command_set_bool(&request, "acceptStandardJsonOnly", true);
    entry->n_left--;
    rmq_call_start(entry->client, settings->namesrvs[entry->asked], &request, timeout_ms, on_answer,
                   entry);
    rmq_command_deinit(&request);
}

/* ---- the cache ---- */

static rmq_route_entry *find_entry(const rmq_route_cache *cache, const char *topic)
{
    rmq_route_entry *entry = cache->entries;
    while (entry != NULL && strcmp(entry->topic, topic) != 0)
        entry = entry->next;
    return entry;
}

static rmq_route_entry *get_entry(rmq_route_cache *cache, const char *topic)
{
    rmq_route_entry *entry = find_entry(cache, topic);
    if (entry != NULL)
        return entry;
    size_t len = strlen(topic);
    entry = rmq_calloc(1, sizeof(*entry) + len + 1);
    if (entry == NULL)
        return NULL;
    memcpy(entry->topic, topic, len + 1);
    entry->client = cache->client;
    list_init(&entry->waiters);
    list_init(&entry->late_waiters);
    entry->next = cache->entries;
    cache->entries = entry;
    return entry;
}

void rmq_route_lookup(rmq_client *client, const char *topic, int64_t max_age_ms, rmq_route_fn done,
                      void *ctx)
{
    rmq_loop_assert(client->loop);
    rmq_route_cache *cache = &client->routes;
    rmq_route_waiter *waiter = take_waiter(cache, done, ctx);
    if (waiter == NULL) {
        rmq_error error;
        rmq_error_set(&error, RMQ_NOMEM, "no memory for a route");
        done(ctx, RMQ_NOMEM, NULL, &error);
        return;
    }
    if (client->closing || rmq_client_is_cancelled(client)) {
        refuse(waiter, RMQ_CANCELLED);
        return;
    }
    rmq_route_entry *entry = get_entry(cache, topic);
    if (entry == NULL) {
        refuse(waiter, RMQ_NOMEM);
        return;
    }
    int64_t now_ns = rmq_clock_monotonic_ns();
    entry->used_ns = now_ns;
    bool fresh = entry->has_route && entry->missing_since_ns == 0 && max_age_ms > 0 &&
                 now_ns - entry->fetched_ns <= max_age_ms * 1000000;
    if (fresh) {
        answer_from_cache(waiter, entry);
    } else if (entry->asking) {
        list_append(max_age_ms > 0 ? &entry->waiters : &entry->late_waiters, waiter);
    } else {
        list_append(&entry->waiters, waiter);
        begin_question(entry);
    }
}

const rmq_route *rmq_route_cached(rmq_client *client, const char *topic)
{
    rmq_loop_assert(client->loop);
    rmq_route_entry *entry = find_entry(&client->routes, topic);
    if (entry == NULL || !entry->has_route)
        return NULL;
    entry->used_ns = rmq_clock_monotonic_ns();
    return &entry->route;
}

const char *rmq_broker_address(rmq_client *client, const char *topic, const char *broker_name,
                               int64_t broker_id)
{
    const rmq_route *route = rmq_route_cached(client, topic);
    const rmq_route_broker *broker =
        route != NULL ? rmq_route_broker_find(route, rmq_slice_of(broker_name)) : NULL;
    return broker != NULL ? rmq_route_broker_address(broker, broker_id) : NULL;
}

static void free_entry(rmq_route_entry *entry)
{
    if (entry->has_route)
        rmq_route_deinit(&entry->route);
    rmq_free(entry);
}

static bool is_busy(const rmq_route_entry *entry)
{
    return entry->asking || entry->n_posted > 0;
}

static void on_refresh(rmq_timer *timer)
{
    rmq_route_cache *cache =
        (rmq_route_cache *)((char *)timer - offsetof(rmq_route_cache, refresh));
    int64_t now_ns = rmq_clock_monotonic_ns();
    rmq_route_entry **at = &cache->entries;
    while (*at != NULL) {
        rmq_route_entry *entry = *at;
        if (!is_busy(entry) && now_ns - entry->used_ns > FORGET_UNUSED_NS) {
            *at = entry->next;
            free_entry(entry);
            continue;
        }
        if (!entry->asking && entry->has_route)
            begin_question(entry);
        at = &entry->next;
    }
    rmq_brokers_purge(&cache->client->brokers);
    rmq_timer_set(&cache->refresh, cache->client->settings.config.route_refresh_ms);
}

static bool is_first_master(const rmq_route_cache *cache, const rmq_route_entry *until,
                            const char *address)
{
    for (const rmq_route_entry *entry = cache->entries; entry != until; entry = entry->next) {
        for (size_t i = 0; entry->has_route && i < entry->route.n_brokers; i++) {
            const char *master = rmq_route_broker_address(&entry->route.brokers[i], 0);
            if (master != NULL && strcmp(master, address) == 0)
                return false;
        }
    }
    return true;
}

bool rmq_route_cache_is_master(const rmq_route_cache *cache, const char *address)
{
    return !is_first_master(cache, NULL, address);
}

void rmq_route_cache_each_master(const rmq_route_cache *cache,
                                 void (*visit)(void *ctx, const char *address), void *ctx)
{
    for (const rmq_route_entry *entry = cache->entries; entry != NULL; entry = entry->next) {
        for (size_t i = 0; entry->has_route && i < entry->route.n_brokers; i++) {
            const char *master = rmq_route_broker_address(&entry->route.brokers[i], 0);
            if (master != NULL && is_first_master(cache, entry, master))
                visit(ctx, master);
        }
    }
}

void rmq_route_cache_forget(rmq_route_cache *cache, const char *topic)
{
    rmq_route_entry *entry = find_entry(cache, topic);
    if (entry == NULL || !entry->has_route || is_busy(entry))
        return;
    rmq_route_deinit(&entry->route);
    entry->has_route = false;
}

size_t rmq_route_cache_namesrv(const rmq_route_cache *cache)
{
    return cache->current;
}

void rmq_route_cache_use_namesrv(rmq_route_cache *cache, size_t index)
{
    cache->current = index;
}

rmq_status rmq_route_cache_init(rmq_route_cache *cache, rmq_client *client, rmq_error *err)
{
    memset(cache, 0, sizeof(*cache));
    cache->client = client;
    cache->current = (size_t)(client->random >> 32) % client->settings.n_namesrvs;
    for (int i = 0; i < RMQ_RESERVE_WAITERS; i++) {
        rmq_route_waiter *waiter = rmq_calloc(1, sizeof(*waiter));
        if (waiter == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "no memory for a client");
        waiter->next = cache->reserve;
        cache->reserve = waiter;
    }
    rmq_status status = rmq_timer_init(&cache->refresh, client->loop, on_refresh, err);
    if (status == RMQ_OK)
        rmq_timer_set(&cache->refresh, client->settings.config.route_refresh_ms);
    return status;
}

void rmq_route_cache_stop(rmq_route_cache *cache)
{
    rmq_timer_deinit(&cache->refresh);
}

void rmq_route_cache_deinit(rmq_route_cache *cache)
{
    while (cache->entries != NULL) {
        rmq_route_entry *entry = cache->entries;
        cache->entries = entry->next;
        free_entry(entry);
    }
    while (cache->reserve != NULL) {
        rmq_route_waiter *waiter = cache->reserve;
        cache->reserve = waiter->next;
        rmq_free(waiter);
    }
}
