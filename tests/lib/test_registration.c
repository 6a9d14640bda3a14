/* Producer groups: announced on each connection to a master, first of all; renewed; taken back. The
 * test plays name server and broker. */
#include "fake_peer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../proto/codes.h"
#include "../../proto/heartbeat.h"

static fake_peer namesrv;
static fake_peer broker;
static rmq_client *client;

typedef struct group_task {
    rmq_task task;
    const char *group;
    rmq_status status;
    rmq_call_fn done;
    void *ctx;
    atomic_int n_done;
} group_task;

static void count_call(void *ctx, const rmq_call_outcome *outcome)
{
    group_task *own = ctx;
    if (outcome->status == RMQ_OK)
        atomic_fetch_add(&own->n_done, 1);
}

static void run_add(rmq_task *task)
{
    group_task *own = (group_task *)task;
    rmq_error err;
    own->status = rmq_client_add_producer_group(client, own->group, &err);
}

static void run_remove(rmq_task *task)
{
    group_task *own = (group_task *)task;
    rmq_client_remove_producer_group(client, own->group);
}

static void on_loop(void (*run)(rmq_task *task), const char *group)
{
    group_task own = {.task = {.run = run}, .group = group};
    rmq_loop_run_sync(client->loop, &own.task);
    ck_assert_int_eq(own.status, RMQ_OK);
}

/* Makes the client know the broker as a master, by a call to rmq_client_queues on a thread. */
static void *ask_queues(void *ctx)
{
    rmq_error err;
    rmq_queue_list *queues = NULL;
    ck_ok(rmq_client_queues(client, ctx, &queues, &err), &err);
    rmq_queue_list_free(queues);
    return NULL;
}

static void teach_route(void)
{
    static char topic[] = "T";
    char body[512];
    pthread_t thread;
    pthread_create(&thread, NULL, ask_queues, topic);
    int fd = fake_accept(&namesrv);
    snprintf(body, sizeof(body),
             "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"%s\"},\"brokerName\":\"b\","
             "\"cluster\":\"c\"}],\"queueDatas\":[{\"brokerName\":\"b\",\"perm\":6,"
             "\"readQueueNums\":1,\"topicSysFlag\":0,\"writeQueueNums\":1}]}",
             broker.address);
    fake_answer_body(fd, fake_read_opaque(fd), 0, NULL, rmq_slice_of(body));
    pthread_join(thread, NULL);
    close(fd);
}

static void start(int64_t heartbeat_ms)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.heartbeat_ms = heartbeat_ms;
    config.client_id = "me@1";
    fake_peer_open(&namesrv);
    fake_peer_open(&broker);
    client = client_make(namesrv.address, &config);
    teach_route();
}

static void stop(void)
{
    rmq_client_free(client);
    fake_peer_close(&namesrv);
    fake_peer_close(&broker);
}

/* Reads one request, which must be a heartbeat with these groups, and answers it. */
static void expect_heartbeat(int fd, size_t n_groups, const char *last_group)
{
    rmq_frame *frame;
    rmq_command command;
    rmq_heartbeat heartbeat;
    rmq_error err;
    fake_read(fd, &frame, &command);
    ck_assert_int_eq(command.code, RMQ_REQUEST_HEART_BEAT);
    ck_ok(rmq_heartbeat_decode(command.body, &heartbeat, &err), &err);
    ck_assert_str_eq(heartbeat.client_id, "me@1");
    ck_assert_uint_eq(heartbeat.n_producer_groups, n_groups);
    ck_assert_str_eq(heartbeat.producer_groups[n_groups - 1], last_group);
    ck_assert_uint_eq(heartbeat.n_consumers, 0);
    rmq_heartbeat_deinit(&heartbeat);
    fake_answer(fd, command.opaque, 0, 0);
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
}

START_TEST(a_group_is_announced_at_once_and_again_after_each_connect)
{
    start(3600000);
    on_loop(run_add, "PG");
    int fd = fake_accept(&broker);
    expect_heartbeat(fd, 1, "PG");
    on_loop(run_add, "PG2");
    expect_heartbeat(fd, 2, "PG2");
    close(fd); /* nobody calls, and yet it comes back, since the registration was lost */
    fd = fake_accept(&broker);
    expect_heartbeat(fd, 2, "PG2");
    close(fd);
    stop();
}
END_TEST

/* In one turn of the loop: a call, which begins to connect, and then the group. */
static void run_call_and_add(rmq_task *task)
{
    group_task *own = (group_task *)task;
    rmq_command request;
    rmq_error err;
    rmq_command_init(&request, 105);
    rmq_call_start(client, broker.address, &request, 20000, own->done, own->ctx);
    rmq_command_deinit(&request);
    own->status = rmq_client_add_producer_group(client, own->group, &err);
}

START_TEST(the_heartbeat_comes_before_the_calls_that_wait)
{
    group_task own = {.task = {.run = run_call_and_add}, .group = "PG", .done = count_call};
    start(3600000);
    own.ctx = &own;
    rmq_loop_run_sync(client->loop, &own.task);
    int fd = fake_accept(&broker);
    expect_heartbeat(fd, 1, "PG");
    fake_answer(fd, fake_read_opaque(fd), 0, 5);
    while (atomic_load(&own.n_done) == 0)
        usleep(1000);
    close(fd);
    stop();
    ck_assert_int_eq(own.n_done, 1);
}
END_TEST

START_TEST(heartbeats_go_on)
{
    start(20);
    on_loop(run_add, "PG");
    int fd = fake_accept(&broker);
    for (int i = 0; i < 5; i++)
        expect_heartbeat(fd, 1, "PG");
    close(fd);
    stop();
}
END_TEST

START_TEST(the_last_user_of_a_group_takes_it_back)
{
    rmq_frame *frame;
    rmq_command command;
    rmq_slice value;
    start(3600000);
    on_loop(run_add, "PG");
    on_loop(run_add, "PG"); /* a second producer of the group */
    int fd = fake_accept(&broker);
    expect_heartbeat(fd, 1, "PG");
    on_loop(run_remove, "PG");
    on_loop(run_remove, "unknown");
    on_loop(run_remove, "PG");
    fake_read(fd, &frame, &command);
    ck_assert_int_eq(command.code, RMQ_REQUEST_UNREGISTER_CLIENT);
    ck_assert(rmq_command_is_oneway(&command));
    ck_assert(rmq_command_get(&command, "clientID", &value));
    ck_assert(rmq_slice_equals(value, "me@1"));
    ck_assert(rmq_command_get(&command, "producerGroup", &value));
    ck_assert(rmq_slice_equals(value, "PG"));
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    close(fd);
    ck_assert(fake_nobody_connects(&broker, 150)); /* no registration, no need */
    stop();
}
END_TEST

START_TEST(without_a_group_nothing_is_sent)
{
    start(10);
    ck_assert(fake_nobody_connects(&broker, 100));
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("registration");
    TCase *tc = tcase_create("registration");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_group_is_announced_at_once_and_again_after_each_connect);
    tcase_add_test(tc, the_heartbeat_comes_before_the_calls_that_wait);
    tcase_add_test(tc, heartbeats_go_on);
    tcase_add_test(tc, the_last_user_of_a_group_takes_it_back);
    tcase_add_test(tc, without_a_group_nothing_is_sent);
    suite_add_tcase(suite, tc);
    return suite;
}
