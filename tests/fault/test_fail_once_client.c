/* Every fallible call of the client fails once: connecting (plain, signed, by name, TLS), reading a
 * range, and sending. The broker is another process. */
#include "../support/support.h"
#include "../support/test_broker.h"
#include "fail_once.h"
#include "far_side.h"
#include <rmq/group.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_MESSAGES 200
#define POINTS_FULL 6000
#define POINTS_LEAST 250

static far_side far;
static char *dir;

static rmq_client_config base_config(void)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.namesrv = far.namesrv;
    config.connect_timeout_ms = 3000;
    config.request_timeout_ms = 1000;
    config.reconnect_max_ms = 50;
    return config;
}

/* ---- connect ---- */

/* Makes a client, asks the name server, frees. */
static rmq_status connect_with(const rmq_client_config *config, rmq_error *err)
{
    rmq_client *client = NULL;
    rmq_queue_list *queues = NULL;
    rmq_status status = rmq_client_new(config, &client, err);
    if (status == RMQ_OK)
        status = rmq_client_connect(client, 0, err);
    if (status == RMQ_OK)
        status = rmq_client_queues(client, far.topic, &queues, err);
    if (status == RMQ_OK && rmq_queue_list_count(queues) != 1)
        fail_once_wrong("%zu queues", rmq_queue_list_count(queues));
    rmq_queue_list_free(queues);
    rmq_client_free(client);
    return status;
}

static rmq_status connect_plain(void *state, rmq_error *err)
{
    (void)state;
    rmq_client_config config = base_config();
    return connect_with(&config, err);
}

static rmq_status connect_signed(void *state, rmq_error *err)
{
    (void)state;
    rmq_client_config config = base_config();
    config.access_key = "access";
    config.secret_key = "secret-secret";
    config.binary_headers = true;
    return connect_with(&config, err);
}

static rmq_status connect_by_name(void *state, rmq_error *err)
{
    (void)state;
    char namesrv[64];
    snprintf(namesrv, sizeof(namesrv), "localhost%s", strrchr(far.namesrv, ':'));
    rmq_client_config config = base_config();
    config.namesrv = namesrv;
    return connect_with(&config, err);
}

static rmq_status connect_tls(void *state, rmq_error *err)
{
    (void)state;
    rmq_client_config config = base_config();
    config.tls = true;
    config.tls_ca = far.ca_path;
    return connect_with(&config, err);
}

/* The name is checked instead of the address, and we show a certificate. */
static rmq_status connect_mutual_tls(void *state, rmq_error *err)
{
    (void)state;
    rmq_client_config config = base_config();
    config.tls = true;
    config.tls_ca = far.ca_path;
    config.tls_cert = far.cert_path;
    config.tls_key = far.key_path;
    config.tls_server_name = "broker.test";
    return connect_with(&config, err);
}

/* ---- pull ---- */

static void *client_make(bool tls)
{
    rmq_error err = {0};
    rmq_client *client = NULL;
    rmq_client_config config = base_config();
    config.tls = tls;
    config.tls_ca = tls ? far.ca_path : NULL;
    ck_ok(rmq_client_new(&config, &client, &err), &err);
    ck_ok(rmq_client_connect(client, 0, &err), &err);
    return client;
}

static void *plain_client(void)
{
    return client_make(false);
}

static void *tls_client(void)
{
    return client_make(true);
}

static void client_close(void *state)
{
    rmq_client_free(state);
}

/* Takes a batch and checks that it goes on at `position`; returns how far it goes. */
static int64_t check_batch(const rmq_batch *batch, int64_t position)
{
    char body[128];
    for (size_t i = 0; i < rmq_batch_count(batch); i++, position++) {
        const rmq_message *message = rmq_batch_at(batch, i);
        size_t len = test_message_body(position, 100, body);
        if (message->queue_offset != position || message->body_status != RMQ_OK ||
            message->body.len != len || memcmp(message->body.data, body, len) != 0)
            fail_once_wrong("message %lld is not the one that was sent", (long long)position);
    }
    return position;
}

static rmq_status read_range(rmq_client *client, int32_t max_pulls, rmq_error *err)
{
    rmq_reader *reader = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = (rmq_queue){far.topic, far.broker_name, 0};
    config.end_offset = N_MESSAGES;
    config.max_pulls = max_pulls;
    config.expression = max_pulls > 1 ? "*" : "Aa || BB || C";
    rmq_status status = rmq_reader_open(client, &config, &reader, err);
    int64_t position = 0;
    while (status == RMQ_OK) {
        rmq_batch *batch = NULL;
        status = rmq_reader_next(reader, 12000, &batch, err);
        if (status != RMQ_OK)
            break;
        position = check_batch(batch, position);
        rmq_batch_unref(batch);
    }
    if (status == RMQ_NOT_FOUND) {
        status = RMQ_OK;
        if (position != N_MESSAGES)
            fail_once_wrong("the end was told after %lld messages", (long long)position);
    }
    rmq_reader_close(reader);
    return status;
}

/* Sixteen pulls on their way at once. */
static rmq_status pull_window(void *state, rmq_error *err)
{
    return read_range(state, 16, err);
}

/* One pull after the other, with a filter. */
static rmq_status pull_filtered(void *state, rmq_error *err)
{
    return read_range(state, 1, err);
}

/* ---- send ---- */

static rmq_outgoing outgoing(int number, char body[32])
{
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    message.topic = "sent";
    message.keys = "key";
    message.body = (rmq_slice){body, (size_t)snprintf(body, 32, "sent %d", number)};
    return message;
}

static rmq_status send_some(void *state, rmq_error *err)
{
    rmq_producer *producer = NULL;
    rmq_send_result result = {0};
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    config.send_timeout_ms = 1000;
    rmq_status status = rmq_producer_new(state, &config, &producer, err);
    char bodies[3][32];
    for (int i = 0; i < 3 && status == RMQ_OK; i++) {
        rmq_outgoing message = outgoing(i, bodies[i]);
        result.queue_offset = -1;
        status = rmq_producer_send(producer, &message, &result, err);
        if (status == RMQ_OK && result.queue_offset < 0)
            fail_once_wrong("a send without an offset");
    }
    rmq_outgoing batch[3];
    for (int i = 0; i < 3; i++)
        batch[i] = outgoing(i, bodies[i]);
    if (status == RMQ_OK)
        status = rmq_producer_send_batch(producer, batch, 3, &result, err);
    if (status == RMQ_OK)
        status = rmq_producer_flush(producer, 5000, err);
    rmq_producer_free(producer);
    return status;
}

/* ---- membership ---- */

/* Joins, waits for its part, leaves. */
static rmq_status join_group(void *state, rmq_error *err)
{
    rmq_group_member *member = NULL;
    rmq_queue_list *queues = NULL;
    const rmq_topic_filter filter = {.topic = far.topic};
    rmq_group_member_config config = RMQ_GROUP_MEMBER_CONFIG_INIT;
    config.group = "members";
    config.topics = &filter;
    config.n_topics = 1;
    config.rebalance_ms = 200;
    rmq_status status = rmq_group_join(state, &config, &member, err);
    if (status != RMQ_OK)
        return status;
    for (size_t count = 0; count == 0 && status == RMQ_OK;) {
        status = rmq_group_member_poll(member, 10000, &queues, err);
        if (status == RMQ_AGAIN)
            fail_once_wrong("no part of the queues within 10 s");
        if (status == RMQ_OK)
            count = rmq_queue_list_count(queues);
        rmq_queue_list_free(queues);
        queues = NULL;
    }
    rmq_group_leave(member);
    return status;
}

/* ---- questions ---- */

static rmq_status ask(void *state, rmq_error *err)
{
    rmq_queue queue = {far.topic, far.broker_name, 0};
    int64_t min = -1;
    int64_t max = -1;
    int64_t at = -1;
    int64_t committed = -1;
    rmq_status status = rmq_queue_min_offset(state, &queue, &min, err);
    if (status == RMQ_OK)
        status = rmq_queue_max_offset(state, &queue, &max, err);
    if (status == RMQ_OK)
        status = rmq_queue_offset_at(state, &queue, 0, &at, err);
    if (status == RMQ_OK)
        status = rmq_group_offset_commit(state, "group", &queue, 77, err);
    if (status == RMQ_OK)
        status = rmq_group_offset(state, "group", &queue, &committed, err);
    if (status == RMQ_OK && (min != 0 || max != N_MESSAGES || at != 0 || committed != 77))
        fail_once_wrong("offsets %lld, %lld, %lld, %lld", (long long)min, (long long)max,
                        (long long)at, (long long)committed);
    return status;
}

static const fail_scenario scenarios[] = {
    {.name = "connect", .operate = connect_plain},
    {.name = "connect, signed", .operate = connect_signed},
    {.name = "connect by name", .operate = connect_by_name},
    {.name = "connect by TLS", .operate = connect_tls, .max_nth = 2000},
    {.name = "connect by mutual TLS",
     .operate = connect_mutual_tls,
     .kinds = FAIL_KIND(TLS) | FAIL_KIND(MEMORY)},
    {.name = "pull, window",
     .prepare = plain_client,
     .operate = pull_window,
     .finish = client_close},
    {.name = "pull, filtered",
     .prepare = plain_client,
     .operate = pull_filtered,
     .finish = client_close},
    {.name = "pull by TLS",
     .prepare = tls_client,
     .operate = pull_window,
     .finish = client_close,
     .max_nth = 2000},
    {.name = "send", .prepare = plain_client, .operate = send_some, .finish = client_close},
    {.name = "membership", .prepare = plain_client, .operate = join_group, .finish = client_close},
    {.name = "questions", .prepare = plain_client, .operate = ask, .finish = client_close},
};

#define N_SCENARIOS ((int)(sizeof(scenarios) / sizeof(scenarios[0])))

static void set_up(void)
{
    dir = temp_dir_make();
    far_side_start(&far, 1, N_MESSAGES, dir);
}

static void tear_down(void)
{
    far_side_stop(&far);
    temp_dir_remove(dir);
}

START_TEST(every_call_fails_once)
{
    if (strstr(scenarios[_i].name, "TLS") != NULL)
        far_side_use_tls(&far);
    fail_once_run(&scenarios[_i]);
}
END_TEST

START_TEST(enough_points)
{
    fail_once_floor(POINTS_FULL, POINTS_LEAST);
}
END_TEST

Suite *test_suite(void)
{
    fail_once_install();
    Suite *suite = suite_create("fail_once_client");
    TCase *tcase = tcase_create("client");
    tcase_set_timeout(tcase, 1800);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, every_call_fails_once, 0, N_SCENARIOS);
    suite_add_tcase(suite, tcase);
    TCase *last = tcase_create("floor");
    tcase_add_test(last, enough_points);
    suite_add_tcase(suite, last);
    return suite;
}
