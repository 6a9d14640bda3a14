/* The client as a whole: connecting, what its errors say, stopping in bounded time whatever the
 * peers do, and leaving nothing behind. */
#include "fake_peer.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rmq/devbroker.h>

#include "../support/fault_alloc.h"

static rmq_devbroker *start_broker(void)
{
    rmq_error err;
    rmq_devbroker *broker = NULL;
    ck_ok(rmq_devbroker_new(NULL, &broker, &err), &err);
    return broker;
}

START_TEST(connects)
{
    rmq_error err;
    rmq_devbroker *broker = start_broker();
    rmq_client *client = client_make(rmq_devbroker_namesrv(broker), NULL);
    ck_ok(rmq_client_connect(client, 0, &err), &err);
    ck_ok(rmq_client_connect(client, 0, &err), &err); /* again does no harm */
    ck_assert_ptr_nonnull(strchr(rmq_client_id(client), '@'));
    rmq_client_free(client);
    rmq_devbroker_free(broker);
}
END_TEST

START_TEST(two_clients_have_different_ids)
{
    rmq_client *one = client_make("127.0.0.1:1", NULL);
    rmq_client *two = client_make("127.0.0.1:1", NULL);
    ck_assert_str_ne(rmq_client_id(one), rmq_client_id(two));
    rmq_client_free(one);
    rmq_client_free(two);
}
END_TEST

/* A port that was free a moment ago. */
static void make_closed_address(char *out_address, size_t capacity)
{
    fake_peer peer;
    fake_peer_open(&peer);
    snprintf(out_address, capacity, "%s", peer.address);
    fake_peer_close(&peer);
}

START_TEST(all_addresses_that_failed_are_named_with_the_reason)
{
    char addresses[3][64];
    char list[256];
    rmq_error err;
    for (int i = 0; i < 3; i++)
        make_closed_address(addresses[i], sizeof(addresses[i]));
    snprintf(list, sizeof(list), "%s;%s;%s", addresses[0], addresses[1], addresses[2]);
    rmq_client *client = client_make(list, NULL);
    ck_status(rmq_client_connect(client, 0, &err), RMQ_IO);
    for (int i = 0; i < 3; i++)
        ck_assert_msg(strstr(err.text, addresses[i]) != NULL, "%s", err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "refused"));
    ck_assert(err.retriable);
    rmq_client_free(client);
}
END_TEST

START_TEST(one_good_name_server_is_enough)
{
    char closed[64];
    char list[256];
    rmq_error err;
    fake_peer stuck;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    rmq_devbroker *broker = start_broker();
    fake_peer_open(&stuck); /* accepts, and never answers */
    make_closed_address(closed, sizeof(closed));
    snprintf(list, sizeof(list), "%s;%s;%s", closed, stuck.address, rmq_devbroker_namesrv(broker));
    for (int i = 0; i < 4; i++) { /* wherever it begins */
        rmq_client *client = client_make(list, &config);
        ck_ok(rmq_client_connect(client, 1500, &err), &err);
        rmq_client_free(client);
    }
    fake_peer_close(&stuck);
    rmq_devbroker_free(broker);
}
END_TEST

typedef struct waiting {
    pthread_t thread;
    rmq_client *client;
    rmq_status status;
    rmq_error error;
} waiting;

static void *connect_long(void *ctx)
{
    waiting *own = ctx;
    own->status = rmq_client_connect(own->client, 3600000, &own->error);
    return NULL;
}

START_TEST(a_server_that_hangs_up_is_an_io_failure)
{
    fake_peer peer;
    waiting own = {.status = RMQ_OK};
    fake_peer_open(&peer);
    own.client = client_make(peer.address, NULL);
    pthread_create(&own.thread, NULL, connect_long, &own);
    int fd = fake_accept(&peer);
    (void)fake_read_opaque(fd);
    close(fd);
    pthread_join(own.thread, NULL);
    ck_assert_int_eq(own.status, RMQ_IO);
    ck_assert_ptr_nonnull(strstr(own.error.text, "TLS"));
    rmq_client_free(own.client);
    fake_peer_close(&peer);
}
END_TEST

START_TEST(a_server_of_another_kind_is_found_out)
{
    rmq_error err;
    fake_peer stuck;
    fake_peer_open(&stuck);
    rmq_client *client = client_make(stuck.address, NULL);
    ck_status(rmq_client_connect(client, 100, &err), RMQ_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(err.text, stuck.address));
    rmq_client_free(client);
    fake_peer_close(&stuck);
}
END_TEST

START_TEST(cancel_ends_a_waiting_call_at_once)
{
    fake_peer stuck;
    waiting own = {.status = RMQ_OK};
    rmq_error err;
    fake_peer_open(&stuck);
    own.client = client_make(stuck.address, NULL);
    pthread_create(&own.thread, NULL, connect_long, &own);
    int fd = fake_accept(&stuck);
    (void)fake_read_opaque(fd);
    rmq_client_cancel(own.client);
    rmq_client_cancel(own.client); /* twice does no harm */
    pthread_join(own.thread, NULL);
    ck_assert_int_eq(own.status, RMQ_CANCELLED);
    rmq_queue_list *queues = NULL;
    ck_status(rmq_client_queues(own.client, "T", &queues, &err), RMQ_CANCELLED);
    ck_status(rmq_client_connect(own.client, 0, &err), RMQ_CANCELLED);
    rmq_client_free(own.client);
    close(fd);
    fake_peer_close(&stuck);
}
END_TEST

START_TEST(free_ends_threads_that_wait)
{
    fake_peer stuck;
    waiting own[3];
    fake_peer_open(&stuck);
    rmq_client *client = client_make(stuck.address, NULL);
    for (int i = 0; i < 3; i++) {
        own[i].client = client;
        pthread_create(&own[i].thread, NULL, connect_long, &own[i]);
    }
    int fd = fake_accept(&stuck);
    for (int i = 0; i < 3; i++)
        (void)fake_read_opaque(fd);
    rmq_client_free(client);
    for (int i = 0; i < 3; i++) {
        pthread_join(own[i].thread, NULL);
        ck_assert_int_eq(own[i].status, RMQ_CANCELLED);
    }
    close(fd);
    fake_peer_close(&stuck);
}
END_TEST

/* A cancel in the middle of the pauses of a patient question. */
static void *ask_queues(void *ctx)
{
    waiting *own = ctx;
    rmq_queue_list *queues = NULL;
    own->status = rmq_client_queues(own->client, "no_such_topic", &queues, &own->error);
    return NULL;
}

START_TEST(cancel_ends_a_pause)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    rmq_devbroker *broker = start_broker();
    waiting own = {.status = RMQ_OK};
    config.request_timeout_ms = 3600000;
    own.client = client_make(rmq_devbroker_namesrv(broker), &config);
    pthread_create(&own.thread, NULL, ask_queues, &own);
    while (rmq_devbroker_requests(broker, 105) < 3)
        usleep(1000);
    rmq_client_cancel(own.client);
    pthread_join(own.thread, NULL);
    ck_assert_int_eq(own.status, RMQ_CANCELLED);
    rmq_client_free(own.client);
    rmq_devbroker_free(broker);
}
END_TEST

static int count_entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

START_TEST(two_hundred_clients_leave_nothing_behind)
{
    rmq_error err;
    rmq_devbroker *broker = start_broker();
    int fds = 0;
    int threads = 0;
    ck_ok(rmq_devbroker_topic(broker, "T", 2, &err), &err);
    for (int i = 0; i < 200; i++) {
        rmq_queue_list *queues = NULL;
        rmq_client *client = client_make(rmq_devbroker_namesrv(broker), NULL);
        ck_ok(rmq_client_queues(client, "T", &queues, &err), &err);
        int64_t offset;
        ck_ok(rmq_queue_max_offset(client, rmq_queue_list_at(queues, 0), &offset, &err), &err);
        rmq_queue_list_free(queues);
        rmq_client_free(client);
        if (i == 4) {
            fds = count_entries("/proc/self/fd");
            threads = count_entries("/proc/self/task");
        }
    }
    /* The broker's side of the last few connections may not be closed yet. */
    ck_assert_int_le(count_entries("/proc/self/fd"), fds + 6);
    ck_assert_int_eq(count_entries("/proc/self/task"), threads);
    rmq_devbroker_free(broker);
}
END_TEST

START_TEST(a_closed_peer_raises_no_sigpipe)
{
    fake_peer peer;
    call_record record;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    signal(SIGPIPE, SIG_DFL); /* the test program ignores it */
    config.reconnect_max_ms = 1;
    fake_peer_open(&peer);
    rmq_client *client = client_make(peer.address, &config);
    record_init(&record, client, peer.address);
    for (int i = 0; i < 20; i++) {
        record_start(&record, 20000);
        int fd = fake_accept(&peer);
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd); /* a reset, perhaps before the request is written */
        record_wait(&record, i + 1);
        ck_assert_int_ne(record.status, RMQ_OK);
    }
    rmq_client_free(client);
    record_deinit(&record);
    fake_peer_close(&peer);
}
END_TEST

static rmq_client_config nomem_config(void)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.namesrv = "127.0.0.1:1;127.0.0.1:2";
    return config;
}

START_TEST(new_survives_lack_of_memory)
{
    rmq_client_config config = nomem_config();
    int n_points = 0;
    for (int64_t nth = 0;; nth++) {
        rmq_client *client = NULL;
        rmq_error err;
        fault_alloc_fail(nth);
        rmq_status status = rmq_client_new(&config, &client, &err);
        rmq_client_free(client);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0)
            break;
        ck_assert_int_eq(status, RMQ_NOMEM);
        n_points++;
    }
    fault_alloc_off();
    ck_assert_int_ge(n_points, 60);
}
END_TEST

/* Questions while memory fails here and there: each ends (with an answer, NOMEM, or what a broken
 * connection gives), and afterwards the client works as before. */
START_TEST(questions_survive_lack_of_memory)
{
    rmq_error err;
    rmq_devbroker *broker = start_broker();
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    ck_ok(rmq_devbroker_topic(broker, "T", 2, &err), &err);
    config.request_timeout_ms = 500;
    config.reconnect_max_ms = 1;
    fault_alloc_fail(-1);
    rmq_client *client = client_make(rmq_devbroker_namesrv(broker), &config);
    int n_failed = 0;
    for (int64_t nth = 0; nth < 120; nth++) {
        rmq_queue_list *queues = NULL;
        fault_alloc_rearm(nth);
        rmq_status status = rmq_client_queues(client, "T", &queues, &err);
        fault_alloc_rearm(-1);
        n_failed += status != RMQ_OK;
        if (status == RMQ_OK)
            rmq_queue_list_free(queues);
    }
    ck_assert_int_ge(n_failed, 3);
    rmq_queue_list *queues = NULL;
    ck_ok(rmq_client_queues(client, "T", &queues, &err), &err);
    ck_assert_uint_eq(rmq_queue_list_count(queues), 2);
    rmq_queue_list_free(queues);
    rmq_client_free(client);
    rmq_devbroker_free(broker);
    fault_alloc_off();
}
END_TEST

START_TEST(free_of_nothing_is_nothing)
{
    rmq_client_free(NULL);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("client");
    TCase *tc = tcase_create("client");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, connects);
    tcase_add_test(tc, two_clients_have_different_ids);
    tcase_add_test(tc, all_addresses_that_failed_are_named_with_the_reason);
    tcase_add_test(tc, one_good_name_server_is_enough);
    tcase_add_test(tc, a_server_that_hangs_up_is_an_io_failure);
    tcase_add_test(tc, a_server_of_another_kind_is_found_out);
    tcase_add_test(tc, cancel_ends_a_waiting_call_at_once);
    tcase_add_test(tc, free_ends_threads_that_wait);
    tcase_add_test(tc, cancel_ends_a_pause);
    tcase_add_test(tc, two_hundred_clients_leave_nothing_behind);
    tcase_add_test(tc, a_closed_peer_raises_no_sigpipe);
    tcase_add_test(tc, new_survives_lack_of_memory);
    tcase_add_test(tc, questions_survive_lack_of_memory);
    tcase_add_test(tc, free_of_nothing_is_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}
