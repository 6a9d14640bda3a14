/* Routes: caching, sharing a question, several name servers and their failures, topics that come
 * and go. Two development brokers stand for two name servers. */
#include "fake_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rmq/devbroker.h>

#define LONG_AGE_MS 3600000

static rmq_devbroker *brokers[2];
static rmq_client *client;
static log_record logged;

static void start(int n_brokers, const rmq_client_config *given)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    rmq_error err;
    char list[256] = "";
    if (given != NULL)
        config = *given;
    for (int i = 0; i < n_brokers; i++) {
        rmq_devbroker_config broker_config = RMQ_DEVBROKER_CONFIG_INIT;
        ck_ok(rmq_devbroker_new(&broker_config, &brokers[i], &err), &err);
        ck_ok(rmq_devbroker_topic(brokers[i], "T", 2 + i, &err), &err);
        size_t len = strlen(list);
        snprintf(list + len, sizeof(list) - len, "%s;", rmq_devbroker_namesrv(brokers[i]));
    }
    log_record_init(&logged);
    config.log = log_record_fn;
    config.log_ctx = &logged;
    config.log_level = RMQ_LOG_DEBUG;
    client = client_make(list, &config);
}

static void stop(void)
{
    rmq_client_free(client);
    rmq_devbroker_free(brokers[0]);
    rmq_devbroker_free(brokers[1]);
}

/* A lookup made on the loop, waited for by the test. */
typedef struct lookup {
    rmq_task task;
    const char *topic;
    int64_t max_age_ms;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool starting;
    bool from_inside;
    int n_done;
    rmq_status status;
    int32_t n_queues;
    rmq_error error;
} lookup;

static void on_route(void *ctx, rmq_status status, const struct rmq_route *route,
                     const rmq_error *err)
{
    lookup *own = ctx;
    pthread_mutex_lock(&own->mutex);
    own->from_inside = own->from_inside || own->starting;
    own->status = status;
    own->n_queues = status == RMQ_OK ? route->queues[0].read_queues : -1;
    if (status != RMQ_OK)
        own->error = *err;
    own->n_done++;
    pthread_cond_broadcast(&own->cond);
    pthread_mutex_unlock(&own->mutex);
}

static void run_lookup(rmq_task *task)
{
    lookup *own = (lookup *)task;
    own->starting = true;
    rmq_route_lookup(client, own->topic, own->max_age_ms, on_route, own);
    own->starting = false;
}

static void lookup_init(lookup *own, const char *topic, int64_t max_age_ms)
{
    memset(own, 0, sizeof(*own));
    own->task.run = run_lookup;
    own->topic = topic;
    own->max_age_ms = max_age_ms;
    pthread_mutex_init(&own->mutex, NULL);
    pthread_cond_init(&own->cond, NULL);
}

static void lookup_wait(lookup *own)
{
    pthread_mutex_lock(&own->mutex);
    while (own->n_done == 0)
        pthread_cond_wait(&own->cond, &own->mutex);
    ck_assert_int_eq(own->n_done, 1);
    ck_assert(!own->from_inside);
    pthread_mutex_unlock(&own->mutex);
    pthread_cond_destroy(&own->cond);
    pthread_mutex_destroy(&own->mutex);
}

static rmq_status ask(const char *topic, int64_t max_age_ms, int32_t *out_queues)
{
    lookup own;
    lookup_init(&own, topic, max_age_ms);
    rmq_loop_run_sync(client->loop, &own.task);
    lookup_wait(&own);
    if (out_queues != NULL)
        *out_queues = own.n_queues;
    return own.status;
}

static uint64_t questions(int broker)
{
    return rmq_devbroker_requests(brokers[broker], 105);
}

START_TEST(a_cached_route_is_not_asked_again)
{
    int32_t n_queues;
    start(1, NULL);
    for (int i = 0; i < 5; i++) {
        ck_status(ask("T", LONG_AGE_MS, &n_queues), RMQ_OK);
        ck_assert_int_eq(n_queues, 2);
    }
    ck_assert_uint_eq(questions(0), 1);
    ck_status(ask("T", 0, &n_queues), RMQ_OK);
    ck_assert_uint_eq(questions(0), 2);
    stop();
}
END_TEST

typedef struct many_lookups {
    rmq_task task;
    lookup each[20];
} many_lookups;

static void run_many(rmq_task *task)
{
    many_lookups *many = (many_lookups *)task;
    for (int i = 0; i < 20; i++)
        run_lookup(&many->each[i].task);
}

START_TEST(who_asks_at_once_shares_the_question)
{
    many_lookups many = {.task = {.run = run_many}};
    start(1, NULL);
    /* The first ten take any age; the rest want it fresh, and wait for a question of their own,
     * since the first may be older than the change they look for. */
    for (int i = 0; i < 20; i++)
        lookup_init(&many.each[i], "T", i < 10 ? LONG_AGE_MS : 0);
    rmq_loop_run_sync(client->loop, &many.task);
    for (int i = 0; i < 20; i++) {
        lookup_wait(&many.each[i]);
        ck_assert_int_eq(many.each[i].status, RMQ_OK);
    }
    ck_assert_uint_eq(questions(0), 2);
    stop();
}
END_TEST

START_TEST(an_unknown_topic_is_asked_of_each_name_server)
{
    rmq_error err;
    int32_t n_queues;
    start(2, NULL);
    ck_status(ask("missing", 0, NULL), RMQ_NOT_FOUND);
    ck_assert_uint_eq(questions(0), 1);
    ck_assert_uint_eq(questions(1), 1);
    /* Known by one of them only. */
    ck_ok(rmq_devbroker_topic(brokers[1], "half", 3, &err), &err);
    ck_status(ask("half", 0, &n_queues), RMQ_OK);
    ck_assert_int_eq(n_queues, 3);
    ck_assert_int_eq(log_warnings(&logged), 0);
    stop();
}
END_TEST

START_TEST(the_next_name_server_takes_over_and_is_kept)
{
    rmq_error err;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.request_timeout_ms = 2000;
    start(2, &config);
    ck_status(ask("T", 0, NULL), RMQ_OK);
    int used = questions(0) == 1 ? 0 : 1;
    ck_assert_uint_eq(questions(used), 1);
    ck_assert_uint_eq(questions(1 - used), 0);
    ck_ok(rmq_devbroker_stop_namesrv(brokers[used], &err), &err);
    ck_status(ask("T", 0, NULL), RMQ_OK);
    ck_assert_uint_eq(questions(1 - used), 1);
    ck_ok(rmq_devbroker_start_namesrv(brokers[used], &err), &err);
    for (int i = 0; i < 3; i++)
        ck_status(ask("T", 0, NULL), RMQ_OK);
    ck_assert_uint_eq(questions(1 - used), 4); /* sticky: no way back without a need */
    ck_assert_uint_eq(questions(used), 1);
    ck_ok(rmq_devbroker_stop_namesrv(brokers[1 - used], &err), &err);
    rmq_status status = RMQ_OK;
    for (int i = 0; i < 20; i++) { /* the first one may be in its pause still */
        status = ask("T", 0, NULL);
        if (status == RMQ_OK)
            break;
    }
    ck_assert_int_eq(status, RMQ_OK);
    ck_assert_uint_ge(questions(used), 2);
    stop();
}
END_TEST

static void add_fault(int broker, rmq_fault_action action, int32_t times)
{
    rmq_error err;
    int32_t id;
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = 105;
    rule.action = action;
    rule.times = times;
    rule.cut_bytes = 20;
    rule.response_code = 2;
    rule.corrupt_bit = 70; /* in the header's length */
    ck_ok(rmq_devbroker_add_fault(brokers[broker], &rule, &id, &err), &err);
}

START_TEST(a_name_server_that_fails_in_any_way_is_passed_over)
{
    static const rmq_fault_action actions[] = {RMQ_FAULT_DROP, RMQ_FAULT_CLOSE, RMQ_FAULT_CUT,
                                               RMQ_FAULT_CODE, RMQ_FAULT_STALL, RMQ_FAULT_CORRUPT};
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    int32_t n_queues;
    config.request_timeout_ms = 800;
    start(2, &config);
    add_fault(0, actions[_i], 0);
    for (int i = 0; i < 3; i++) {
        ck_status(ask("T", 0, &n_queues), RMQ_OK);
        ck_assert_int_eq(n_queues, 3); /* of the second */
    }
    stop();
}
END_TEST

START_TEST(a_topic_that_disappears_stays_cached_for_a_while)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    rmq_error err;
    start(1, &config);
    ck_status(ask("T", 0, NULL), RMQ_OK);
    add_fault(0, RMQ_FAULT_CODE, 0);
    rmq_devbroker_clear_faults(brokers[0]);
    int32_t id;
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = 105;
    rule.action = RMQ_FAULT_CODE;
    rule.response_code = 17;
    ck_ok(rmq_devbroker_add_fault(brokers[0], &rule, &id, &err), &err);
    lookup own;
    lookup_init(&own, "T", 0);
    rmq_loop_run_sync(client->loop, &own.task);
    lookup_wait(&own);
    ck_assert_int_eq(own.status, RMQ_NOT_FOUND);
    ck_assert_int_eq(own.error.broker_code, 17);
    /* A master is still known: calls to it go on, while new lookups ask again. */
    const rmq_queue queue = {"T", "broker-a", 0};
    ck_status(ask("T", LONG_AGE_MS, NULL), RMQ_NOT_FOUND);
    rmq_devbroker_clear_faults(brokers[0]);
    ck_status(ask("T", LONG_AGE_MS, NULL), RMQ_OK);
    (void)queue;
    stop();
}
END_TEST

START_TEST(a_patient_question_outlasts_a_missing_topic)
{
    rmq_error err;
    rmq_queue_list *queues = NULL;
    start(1, NULL);
    int32_t id;
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = 105;
    rule.action = RMQ_FAULT_CODE;
    rule.response_code = 17;
    rule.times = 3; /* as if the broker had not registered again yet */
    ck_ok(rmq_devbroker_add_fault(brokers[0], &rule, &id, &err), &err);
    ck_ok(rmq_client_queues(client, "T", &queues, &err), &err);
    ck_assert_uint_eq(rmq_queue_list_count(queues), 2);
    rmq_queue_list_free(queues);
    stop();
}
END_TEST

START_TEST(routes_are_refreshed)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    rmq_error err;
    int32_t n_queues = 0;
    config.route_refresh_ms = 20;
    start(1, &config);
    ck_status(ask("T", 0, NULL), RMQ_OK);
    ck_ok(rmq_devbroker_topic(brokers[0], "T", 6, &err), &err);
    uint64_t before = questions(0);
    while (questions(0) < before + 3)
        usleep(2000);
    ck_status(ask("T", LONG_AGE_MS, &n_queues), RMQ_OK);
    ck_assert_int_eq(n_queues, 6);
    stop();
}
END_TEST

START_TEST(a_lookup_ends_when_the_client_is_cancelled)
{
    lookup own;
    start(1, NULL);
    add_fault(0, RMQ_FAULT_DROP, 0);
    lookup_init(&own, "T", 0);
    rmq_loop_run_sync(client->loop, &own.task);
    rmq_client_cancel(client);
    lookup_wait(&own);
    ck_assert_int_eq(own.status, RMQ_CANCELLED);
    ck_status(ask("T", LONG_AGE_MS, NULL), RMQ_CANCELLED);
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("route_cache");
    TCase *tc = tcase_create("route_cache");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_cached_route_is_not_asked_again);
    tcase_add_test(tc, who_asks_at_once_shares_the_question);
    tcase_add_test(tc, an_unknown_topic_is_asked_of_each_name_server);
    tcase_add_test(tc, the_next_name_server_takes_over_and_is_kept);
    tcase_add_loop_test(tc, a_name_server_that_fails_in_any_way_is_passed_over, 0, 6);
    tcase_add_test(tc, a_topic_that_disappears_stays_cached_for_a_while);
    tcase_add_test(tc, a_patient_question_outlasts_a_missing_topic);
    tcase_add_test(tc, routes_are_refreshed);
    tcase_add_test(tc, a_lookup_ends_when_the_client_is_cancelled);
    suite_add_tcase(suite, tc);
    return suite;
}
