/* Every request's answer is cut at every byte: the operation succeeds by asking again, or gives a
 * typed error within its deadline; the next one works.
 *
 * Cut: closed there, with FIN or with RST; or half-open there: nothing more comes, and nobody is
 * told. Each worker has a client behind a proxy of its own, and takes every n-th offset. What did
 * not happen is no point: hits are counted by the proxy. All offsets are cut; of those for
 * half-open, which cost a timeout each, a seeded share where MILLRACE_FAULT_SCALE is below 100. */
#include "network_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rmq/admin.h>

#define N_WORKERS 12
#define N_MESSAGES 6
#define DEADLINE_MS 8000
#define MAX_SENT 20000

typedef struct worker {
    pthread_t thread;
    int index;
    station at;
    int rule; /* the fault of this point */
    int n_points;
    int n_first_try; /* got its answer although it was cut: asked again by the client */
    int n_typed;
    int n_refused; /* second tries that failed: must stay 0 */
    int64_t slowest_ms;
    char trouble[600];
} worker;

typedef struct operation {
    const char *name;
    int32_t request_code;
    rmq_status (*run)(worker *on, rmq_error *err);
    bool fresh; /* on a new client, so that a connect and its first question are cut */
} operation;

static test_broker broker;
static rmq_queue filled;
static rmq_queue sent_to;
static ledger book;
static atomic_int_least64_t next_number;
static atomic_int_least64_t more_tries;
static worker workers[N_WORKERS];

/* ---- operations ---- */

static rmq_status wrong(rmq_error *err, const char *what)
{
    /* not a status that any operation documents: counted as a defect */
    snprintf(err->text, sizeof(err->text), "WRONG RESULT: %s", what);
    return RMQ_DATA_LOSS;
}

static rmq_status ask_route(worker *on, rmq_error *err)
{
    rmq_queue_list *queues = NULL;
    rmq_status status = rmq_client_queues(on->at.client, filled.topic, &queues, err);
    if (status != RMQ_OK)
        return status;
    bool right = rmq_queue_list_count(queues) == 1 &&
                 rmq_queue_compare(rmq_queue_list_at(queues, 0), &filled) == 0;
    rmq_queue_list_free(queues);
    return right ? RMQ_OK : wrong(err, "queues");
}

static rmq_status connect_and_ask(worker *on, rmq_error *err)
{
    station_reconnect(&on->at);
    rmq_status status = rmq_client_connect(on->at.client, 0, err);
    return status == RMQ_OK ? ask_route(on, err) : status;
}

static rmq_status ask_max(worker *on, rmq_error *err)
{
    int64_t offset = -1;
    rmq_status status = rmq_queue_max_offset(on->at.client, &filled, &offset, err);
    return status != RMQ_OK || offset == N_MESSAGES ? status : wrong(err, "maximum offset");
}

static rmq_status ask_min(worker *on, rmq_error *err)
{
    int64_t offset = -1;
    rmq_status status = rmq_queue_min_offset(on->at.client, &filled, &offset, err);
    return status != RMQ_OK || offset == 0 ? status : wrong(err, "minimum offset");
}

static rmq_status ask_by_time(worker *on, rmq_error *err)
{
    int64_t offset = -1;
    rmq_status status = rmq_queue_offset_at(on->at.client, &filled, 1, &offset, err);
    return status != RMQ_OK || offset == 0 ? status : wrong(err, "offset by time");
}

static rmq_status commit(worker *on, rmq_error *err)
{
    return rmq_group_offset_commit(on->at.client, "cut_group", &filled, 3, err);
}

static rmq_status ask_committed(worker *on, rmq_error *err)
{
    int64_t offset = -1;
    rmq_status status = rmq_group_offset(on->at.client, "cut_group", &filled, &offset, err);
    return status != RMQ_OK || offset == 3 ? status : wrong(err, "committed offset");
}

static rmq_status list_topics(worker *on, rmq_error *err)
{
    rmq_topic_names *names = NULL;
    rmq_status status = rmq_topic_list(on->at.client, &names, err);
    bool found = false;
    for (size_t i = 0; status == RMQ_OK && i < rmq_topic_names_count(names); i++)
        found = found || strcmp(rmq_topic_names_at(names, i), filled.topic) == 0;
    rmq_topic_names_free(names);
    return status != RMQ_OK || found ? status : wrong(err, "topics");
}

static rmq_status describe_topic(worker *on, rmq_error *err)
{
    rmq_topic_description *topic = NULL;
    rmq_status status = rmq_topic_describe(on->at.client, filled.topic, &topic, err);
    if (status != RMQ_OK)
        return status;
    int64_t max = rmq_topic_description_count(topic) == 1
                      ? rmq_topic_description_at(topic, 0)->max_offset
                      : -2;
    rmq_topic_description_free(topic);
    /* -1: the broker did not answer, as documented; the next question must bring the truth */
    if (max == -1) {
        snprintf(err->text, sizeof(err->text), "no offsets");
        return RMQ_IO;
    }
    return max == N_MESSAGES ? RMQ_OK : wrong(err, "description");
}

static rmq_status pull_range(worker *on, rmq_error *err)
{
    rmq_reader *reader = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = filled;
    config.end_offset = N_MESSAGES;
    rmq_status status = rmq_reader_open(on->at.client, &config, &reader, err);
    int64_t n = 0;
    while (status == RMQ_OK && n < N_MESSAGES) {
        rmq_batch *batch = NULL;
        status = rmq_reader_next(reader, DEADLINE_MS / 2, &batch, err);
        for (size_t i = 0; status == RMQ_OK && i < rmq_batch_count(batch); i++, n++) {
            char body[100];
            const rmq_message *message = rmq_batch_at(batch, i);
            size_t len = test_message_body(n, 60, body);
            if (message->queue_offset != n || message->body.len != len ||
                memcmp(message->body.data, body, len) != 0)
                status = wrong(err, "message");
        }
        rmq_batch_unref(batch);
    }
    rmq_reader_close(reader);
    return status;
}

static rmq_status send_one(worker *on, rmq_error *err)
{
    char body[24];
    int64_t number = atomic_fetch_add(&next_number, 1);
    rmq_send_result result;
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    message.topic = sent_to.topic;
    message.broker_name = sent_to.broker_name;
    message.queue_id = 0;
    message.body =
        (rmq_slice){body, (size_t)snprintf(body, sizeof(body), "%lld", (long long)number)};
    rmq_status status = rmq_producer_send(on->at.producer, &message, &result, err);
    if (status == RMQ_OK && number < MAX_SENT)
        book.acknowledged[number] = 1;
    /* how often it may be there more than once: the default is two more tries */
    atomic_fetch_add(&more_tries, status == RMQ_OK ? result.tries - 1 : 2);
    return status;
}

/* A heartbeat is the first thing on each connection to a broker, and nobody waits for its answer.
 */
static rmq_status beat_and_send(worker *on, rmq_error *err)
{
    fault_proxy_cut_all(on->at.proxy, false);
    rmq_status status = send_one(on, err);
    int64_t until_ms = network_now_ms() + 1000;
    while (on->rule >= 0 && fault_proxy_hits(on->at.proxy, on->rule) == 0 &&
           network_now_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return status;
}

static const operation operations[] = {
    {"connect", 105, connect_and_ask, true},
    {"route", 105, ask_route, false},
    {"max offset", 30, ask_max, false},
    {"min offset", 31, ask_min, false},
    {"offset by time", 29, ask_by_time, false},
    {"commit", 15, commit, false},
    {"committed", 14, ask_committed, false},
    {"topic list", 206, list_topics, false},
    {"topic description", 202, describe_topic, false},
    {"pull", 11, pull_range, false},
    {"send", 310, send_one, false},
    {"heartbeat", 34, beat_and_send, false},
};
#define N_OPERATIONS ((int)(sizeof(operations) / sizeof(operations[0])))

/* ---- points ---- */

/* What the documents let an operation end with when a link breaks under it. */
static bool is_typed(rmq_status status)
{
    return status == RMQ_IO || status == RMQ_TIMEOUT || status == RMQ_CLOSED;
}

static void note(worker *on, const operation *what, size_t at, const char *when, rmq_status status,
                 const rmq_error *err)
{
    if (on->trouble[0] == '\0')
        snprintf(on->trouble, sizeof(on->trouble), "%s cut at %zu, %s: %s: %.400s", what->name, at,
                 when, rmq_status_name(status), err->text);
}

static void cut_at(worker *on, const operation *what, size_t at, fault_kind kind)
{
    rmq_error err = {0};
    const fault_spec spec = {
        .kind = kind, .request_code = what->request_code, .times = 1, .at = (int64_t)at};
    on->rule = fault_proxy_add(on->at.proxy, &spec);
    int64_t start_ms = network_now_ms();
    rmq_status status = what->run(on, &err);
    int64_t took_ms = network_now_ms() - start_ms;
    uint64_t hits = fault_proxy_hits(on->at.proxy, on->rule);
    fault_proxy_clear(on->at.proxy);
    on->rule = -1;
    on->slowest_ms = took_ms > on->slowest_ms ? took_ms : on->slowest_ms;
    if (took_ms > DEADLINE_MS)
        note(on, what, at, "too late", status, &err);
    on->n_points += hits == 1;
    on->n_first_try += status == RMQ_OK;
    on->n_typed += is_typed(status);
    if (status != RMQ_OK && !is_typed(status))
        note(on, what, at, "ended with", status, &err);
    status = what->run(on, &err);
    if (status != RMQ_OK) {
        on->n_refused++;
        note(on, what, at, "and the next one", status, &err);
    }
}

static const operation *current;
static size_t current_size;
static bool half_open;

static bool chosen(size_t at)
{
    if (half_open && at == current_size)
        return false; /* the answer came: it is the next one that is hit */
    if (!half_open || network_scale() >= 100)
        return true;
    uint64_t mixed = (network_seed() * 31 + at) * 0x9E3779B97F4A7C15u;
    return (mixed >> 33) % (current_size / 8) == 0;
}

static void *work(void *ctx)
{
    worker *on = ctx;
    for (size_t at = (size_t)on->index; at <= current_size; at += N_WORKERS) {
        if (chosen(at))
            cut_at(on, current, at,
                   half_open                        ? FAULT_HALF_OPEN
                   : (at + network_seed()) % 3 == 0 ? FAULT_RESET
                                                    : FAULT_CUT);
    }
    return NULL;
}

static void set_up(void)
{
    test_broker_start_dev(&broker, NULL);
    char *topic = test_broker_topic(&broker, 1);
    filled = (rmq_queue){topic, test_broker_name(&broker, topic), 0};
    sent_to = (rmq_queue){test_broker_topic(&broker, 1), filled.broker_name, 0};
    test_broker_fill(&broker, &filled, 0, N_MESSAGES, 60);
    ledger_init(&book, MAX_SENT);
    memset(workers, 0, sizeof(workers));
    for (int i = 0; i < N_WORKERS; i++) {
        workers[i].index = i;
        workers[i].rule = -1;
        station_open(&workers[i].at, &broker, network_seed() + (uint64_t)i);
    }
}

static void tear_down(void)
{
    for (int i = 0; i < N_WORKERS; i++)
        station_close(&workers[i].at);
    ledger_deinit(&book);
    free((char *)filled.topic);
    free((char *)filled.broker_name);
    free((char *)sent_to.topic);
    test_broker_stop(&broker);
}

START_TEST(cut_at_every_byte)
{
    rmq_error err = {0};
    current = &operations[_i % N_OPERATIONS];
    half_open = _i >= N_OPERATIONS;
    commit(&workers[0], &err);
    for (int i = 0; i < N_WORKERS; i++)
        ck_ok(current->run(&workers[i], &err), &err); /* without a fault, and connected */
    current_size = fault_proxy_last_answer(workers[0].at.proxy, current->request_code, NULL);
    ck_assert_uint_gt(current_size, 8);
    for (int i = 0; i < N_WORKERS; i++)
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    int n_points = 0, n_first_try = 0, n_typed = 0;
    size_t wanted = 0;
    int64_t slowest_ms = 0;
    for (int i = 0; i < N_WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        n_points += workers[i].n_points;
        n_first_try += workers[i].n_first_try;
        n_typed += workers[i].n_typed;
        if (workers[i].slowest_ms > slowest_ms)
            slowest_ms = workers[i].slowest_ms;
        ck_assert_msg(workers[i].trouble[0] == '\0', "seed %llu: %s",
                      (unsigned long long)network_seed(), workers[i].trouble);
    }
    for (size_t at = 0; at <= current_size; at++)
        wanted += chosen(at);
    ledger_count count = ledger_compare(&book, &broker, &sent_to);
    printf("# %s, %s: answer of %zu bytes, %d of %zu hit, %d answered nevertheless, %d typed "
           "errors, slowest %lld ms; acknowledged and lost %lld, stored again %lld\n",
           current->name, half_open ? "half-open" : "cut", current_size, n_points, wanted,
           n_first_try, n_typed, (long long)slowest_ms, (long long)count.lost,
           (long long)count.repeated);
    ck_assert_int_eq(count.lost, 0);
    ck_assert_int_eq(count.foreign, 0);
    ck_assert_int_le(count.repeated, atomic_load(&more_tries));
    ck_assert_int_eq(n_points, (int)wanted);
}
END_TEST

/* The instrument: a client that doesn't ask again loses what is cut, and a ledger with a message
 * that was never stored says so. */
START_TEST(control_cut_is_felt_and_ledger_counts)
{
    rmq_error err = {0};
    worker *on = &workers[0];
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    config.max_retries = -1;
    rmq_producer_free(on->at.producer);
    ck_ok(rmq_producer_new(on->at.client, &config, &on->at.producer, &err), &err);
    ck_ok(send_one(on, &err), &err);
    const fault_spec spec = {.kind = FAULT_CUT, .request_code = 310, .times = 1, .at = 20};
    int rule = fault_proxy_add(on->at.proxy, &spec);
    rmq_status status = send_one(on, &err);
    ck_assert_msg(status != RMQ_OK, "a send without a second try survived a cut");
    ck_assert_uint_eq(fault_proxy_hits(on->at.proxy, rule), 1);
    book.acknowledged[MAX_SENT - 1] = 1;
    ledger_count count = ledger_compare(&book, &broker, &sent_to);
    ck_assert_int_eq(count.lost, 1);
    ck_assert_int_eq(count.repeated, 0);
    atomic_store(&next_number, 0); /* the first message once more */
    ck_ok(send_one(on, &err), &err);
    ck_assert_int_eq(ledger_compare(&book, &broker, &sent_to).repeated, 1);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("network_cuts");
    TCase *tcase = tcase_create("cuts");
    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, cut_at_every_byte, 0, 2 * N_OPERATIONS);
    tcase_add_test(tcase, control_cut_is_felt_and_ledger_counts);
    suite_add_tcase(suite, tcase);
    return suite;
}
