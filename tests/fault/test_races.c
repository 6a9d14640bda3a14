/* Start, stop, reconnect, cancel and take-over, racing each other under a shaken schedule: no data
 * race (TSan is the judge), no hang, nothing lost or repeated. */
#include "perturb.h"

#include "../engine/direct_support.h"

#include <pthread.h>
#include <rmq/group.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUEUES 2

static test_broker broker;
static rmq_error err;

static void start_broker(void)
{
    memset(&err, 0, sizeof(err));
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    test_broker_start_dev(&broker, &config);
    perturb_start(perturb_seed());
}

static void stop_broker(void)
{
    perturb_start(0);
    ck_assert_msg(perturb_count() > 0, "the schedule was never shaken: this test proves nothing");
    test_broker_stop(&broker);
}

static void nap(uint64_t most_us)
{
    const struct timespec pause = {.tv_nsec = (long)perturb_random(most_us) * 1000};
    nanosleep(&pause, NULL);
}

static rmq_client *new_client(void)
{
    rmq_client *client = NULL;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.namesrv = broker.namesrv;
    config.request_timeout_ms = 1000;
    config.reconnect_max_ms = 50;
    ck_ok(rmq_client_new(&config, &client, &err), &err);
    return client;
}

/* ---- a broker that comes and goes ---- */

typedef struct trouble_maker {
    pthread_t thread;
    atomic_bool over;
} trouble_maker;

static void *come_and_go(void *ctx)
{
    trouble_maker *self = ctx;
    rmq_error own;
    while (!atomic_load(&self->over)) {
        nap(20000);
        if (rmq_devbroker_stop(broker.dev, &own) != RMQ_OK)
            return &self->over;
        nap(5000);
        if (rmq_devbroker_start(broker.dev, &own) != RMQ_OK)
            return &self->over;
    }
    return NULL;
}

static void make_trouble(trouble_maker *self)
{
    atomic_init(&self->over, false);
    ck_assert_int_eq(pthread_create(&self->thread, NULL, come_and_go, self), 0);
}

static void end_trouble(trouble_maker *self)
{
    void *failed = NULL;
    atomic_store(&self->over, true);
    pthread_join(self->thread, &failed);
    ck_assert_ptr_null(failed);
}

/* ---- the client ---- */

static void *cancel_soon(void *client)
{
    nap(8000);
    rmq_client_cancel(client);
    return NULL;
}

START_TEST(clients_cancelled_while_they_connect_and_ask)
{
    pthread_t canceller;
    trouble_maker trouble;
    int64_t offset = 0;
    int cancelled = 0;
    start_broker();
    char *topic = test_broker_topic(&broker, QUEUES);
    char *name = test_broker_name(&broker, topic);
    const rmq_queue queue = {topic, name, 0};
    make_trouble(&trouble);
    for (int i = 0; i < perturb_rounds(30); i++) {
        rmq_client *client = new_client();
        pthread_create(&canceller, NULL, cancel_soon, client);
        rmq_status status = rmq_client_connect(client, 0, &err);
        while (status == RMQ_OK)
            status = rmq_queue_max_offset(client, &queue, &offset, &err);
        cancelled += status == RMQ_CANCELLED;
        pthread_join(canceller, NULL);
        ck_assert_int_eq(rmq_queue_max_offset(client, &queue, &offset, &err), RMQ_CANCELLED);
        rmq_client_free(client);
    }
    end_trouble(&trouble);
    ck_assert_int_gt(cancelled, 0);
    free(topic);
    free(name);
    stop_broker();
}
END_TEST

static void *cancel_reader_soon(void *reader)
{
    nap(40000);
    rmq_reader_cancel(reader);
    return NULL;
}

START_TEST(readers_cancelled_and_closed_while_the_broker_comes_and_goes)
{
    enum { MESSAGES = 400 };
    pthread_t canceller;
    trouble_maker trouble;
    int whole = 0;
    int cancelled = 0;
    start_broker();
    char *topic = test_broker_topic(&broker, QUEUES);
    char *name = test_broker_name(&broker, topic);
    const rmq_queue queue = {topic, name, 0};
    test_broker_fill(&broker, &queue, 0, MESSAGES, 300);
    rmq_client *client = new_client();
    make_trouble(&trouble);
    for (int i = 0; i < perturb_rounds(20); i++) {
        rmq_reader *reader = NULL;
        rmq_status status = RMQ_OK;
        rmq_reader_config config = RMQ_READER_CONFIG_INIT;
        config.queue = queue;
        config.end_offset = i % 3 == 0 ? RMQ_READ_ENDLESS : MESSAGES;
        ck_ok(rmq_reader_open(client, &config, &reader, &err), &err);
        pthread_create(&canceller, NULL, cancel_reader_soon, reader);
        int64_t seen = test_reader_expect(reader, 0, MESSAGES, 300, 20000, &status);
        ck_assert_msg(seen == MESSAGES || status == RMQ_CANCELLED, "%lld messages, then %s",
                      (long long)seen, rmq_status_name(status));
        whole += seen == MESSAGES;
        cancelled += seen < MESSAGES;
        pthread_join(canceller, NULL);
        rmq_reader_close(reader);
    }
    end_trouble(&trouble);
    ck_assert_msg(whole > 0 && cancelled > 0, "%d read to the end, %d cancelled: no race", whole,
                  cancelled);
    rmq_client_free(client);
    free(topic);
    free(name);
    stop_broker();
}
END_TEST

static void count_end(rmq_status status, const rmq_send_result *result, const rmq_error *error,
                      void *ctx)
{
    (void)status;
    (void)result;
    (void)error;
    atomic_fetch_add((atomic_int *)ctx, 1);
}

START_TEST(producers_freed_with_sends_in_flight)
{
    trouble_maker trouble;
    pthread_t canceller;
    start_broker();
    char *topic = test_broker_topic(&broker, QUEUES);
    make_trouble(&trouble);
    for (int i = 0; i < perturb_rounds(20); i++) {
        atomic_int ended = 0;
        int accepted = 0;
        rmq_client *client = new_client();
        rmq_producer *producer = NULL;
        ck_ok(rmq_producer_new(client, NULL, &producer, &err), &err);
        if (i % 2 == 0)
            pthread_create(&canceller, NULL, cancel_soon, client);
        rmq_outgoing message = RMQ_OUTGOING_INIT;
        message.topic = topic;
        message.body = RMQ_SLICE_LITERAL("body");
        for (int k = 0; k < 60; k++)
            accepted +=
                rmq_producer_send_async(producer, &message, count_end, &ended, &err) == RMQ_OK;
        if (i % 3 == 0 && rmq_producer_flush(producer, 5, &err) == RMQ_OK)
            ck_assert_int_eq(atomic_load(&ended), accepted);
        rmq_producer_free(producer);
        ck_assert_int_eq(atomic_load(&ended), accepted);
        if (i % 2 == 0)
            pthread_join(canceller, NULL);
        rmq_client_free(client);
    }
    end_trouble(&trouble);
    free(topic);
    stop_broker();
}
END_TEST

/* ---- members of a group ---- */

static const char *group_topic;

static void *join_and_leave(void *ctx)
{
    rmq_error own;
    (void)ctx;
    for (int i = 0; i < perturb_rounds(4); i++) {
        rmq_client *client = NULL;
        rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
        config.namesrv = broker.namesrv;
        rmq_group_member *member = NULL;
        rmq_queue_list *queues = NULL;
        const rmq_topic_filter filter = {.topic = group_topic};
        rmq_group_member_config joined = RMQ_GROUP_MEMBER_CONFIG_INIT;
        joined.group = "races";
        joined.topics = &filter;
        joined.n_topics = 1;
        if (rmq_client_new(&config, &client, &own) != RMQ_OK ||
            rmq_group_join(client, &joined, &member, &own) != RMQ_OK)
            return (void *)&group_topic;
        for (int k = 0; k < 3; k++)
            if (rmq_group_member_poll(member, (int64_t)perturb_random(100), &queues, &own) ==
                RMQ_OK)
                rmq_queue_list_free(queues);
        rmq_group_leave(member);
        rmq_client_free(client);
    }
    return NULL;
}

START_TEST(members_join_and_leave_at_once)
{
    enum { MEMBERS = 4 };
    pthread_t threads[MEMBERS];
    trouble_maker trouble;
    start_broker();
    char *topic = test_broker_topic(&broker, QUEUES);
    group_topic = topic;
    make_trouble(&trouble);
    for (int i = 0; i < MEMBERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, join_and_leave, NULL), 0);
    for (int i = 0; i < MEMBERS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    end_trouble(&trouble);
    free(topic);
    stop_broker();
}
END_TEST

/* ---- streams ---- */

static void *stop_soon(void *stream)
{
    nap(40000);
    mill_streaming_stop(stream, perturb_random(2) == 0);
    return NULL;
}

START_TEST(streams_started_and_stopped_while_the_broker_comes_and_goes)
{
    pthread_t stopper;
    trouble_maker trouble;
    direct_topic topic;
    start_broker();
    char *dir = temp_dir_make();
    fake_table *table = fake_table_new();
    direct_topic_make(&topic, &broker, QUEUES);
    direct_job job = {.dir = dir,
                      .namesrv = broker.namesrv,
                      .topics = topic.topic,
                      .table = table,
                      .interval_ms = 5,
                      .max_records_per_batch = 40};
    const int rounds = perturb_rounds(8);
    for (int i = 0; i < rounds; i++) {
        direct_send_all(&topic, QUEUES, 30);
        make_trouble(&trouble);
        running built = direct_build(&job);
        if (mill_streaming_start(built.stream, &err) == RMQ_OK) {
            pthread_create(&stopper, NULL, stop_soon, built.stream);
            ck_ok(mill_streaming_await(built.stream, 60000, &err), &err);
            pthread_join(stopper, NULL);
        }
        job_free(&built);
        end_trouble(&trouble);
    }
    job.trigger = MILL_TRIGGER_AVAILABLE_NOW;
    ck_ok(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    fake_table_free(table);
    direct_topic_free(&topic);
    temp_dir_remove(dir);
    stop_broker();
}
END_TEST

START_TEST(take_overs_while_batches_run)
{
    fake_topic topic = {.max_per_queue = 3};
    running owners[2] = {{.context = NULL}, {.context = NULL}};
    perturb_start(perturb_seed());
    char *dir = temp_dir_make();
    fake_table *table = fake_table_new();
    fake_job job = {
        .dir = dir, .topic = &topic, .tables = {table}, .interval_ms = 1, .take_over = true};
    const int rounds = perturb_rounds(15);
    for (int i = 0; i < rounds; i++) {
        running *newer = &owners[i % 2];
        running *older = &owners[(i + 1) % 2];
        for (int q = 0; q < FAKE_QUEUES; q++)
            atomic_fetch_add(&topic.max[q], 20);
        *newer = job_build(&job);
        ck_ok(mill_streaming_start(newer->stream, &err), &err);
        if (older->context != NULL) {
            rmq_status status = mill_streaming_await(older->stream, 60000, &err);
            ck_assert_msg(status == RMQ_FENCED, "round %d: %s %s", i, rmq_status_name(status),
                          err.text);
            job_free(older);
        }
        nap(20000);
    }
    running *last = &owners[(rounds - 1) % 2];
    mill_streaming_stop(last->stream, true);
    ck_ok(mill_streaming_await(last->stream, 60000, &err), &err);
    job_free(last);
    job.trigger = MILL_TRIGGER_AVAILABLE_NOW;
    topic.max_per_queue = 0; /* the rest at once */
    ck_ok(job_run(&job, &err), &err);
    check_once(table, &topic);
    ck_assert_uint_gt(perturb_count(), 0);
    perturb_start(0);
    fake_table_free(table);
    temp_dir_remove(dir);
}
END_TEST

/* ---- the control ---- */

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

static int64_t unguarded;

static void *race(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 1000; i++)
        unguarded++;
    return NULL;
}

/* A race that is one, in a child, whose exit code TSan sets. */
START_TEST(the_judge_sees_a_race)
{
    pid_t child = fork();
    if (child == 0) {
        pthread_t threads[2];
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        for (int i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, race, NULL);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
#ifdef UNDER_TSAN
    ck_assert_msg(!WIFEXITED(status) || WEXITSTATUS(status) != 0, "TSan did not see a plain race");
#else
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("races");
    TCase *tc = tcase_create("races");
    tcase_set_timeout(tc, 900);
    tcase_add_test(tc, the_judge_sees_a_race);
    tcase_add_test(tc, clients_cancelled_while_they_connect_and_ask);
    tcase_add_test(tc, readers_cancelled_and_closed_while_the_broker_comes_and_goes);
    tcase_add_test(tc, producers_freed_with_sends_in_flight);
    tcase_add_test(tc, members_join_and_leave_at_once);
    tcase_add_test(tc, streams_started_and_stopped_while_the_broker_comes_and_goes);
    tcase_add_test(tc, take_overs_while_batches_run);
    suite_add_tcase(suite, tc);
    return suite;
}
