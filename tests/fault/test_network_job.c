/* A job through bad networks: each order takes effect exactly once.
 *
 * Ledger: what was sent is known by number, and the table's rows are compared with it one by one;
 * the engine's own counters are not asked. Each weather lasts until the job has all. A fault that
 * did not happen is no case. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../engine/direct_support.h"
#include "network_support.h"

#define N_QUEUES 2

static test_broker broker;
static fault_proxy *proxy;
static direct_topic topic;
static fake_table *table;
static char *dir;
static rmq_error err;

static void set_up(void)
{
    memset(&err, 0, sizeof(err));
    dir = temp_dir_make();
    table = fake_table_new();
    test_broker_start_dev(&broker, NULL);
    direct_topic_make(&topic, &broker, N_QUEUES);
    proxy = fault_proxy_start(broker.namesrv, network_seed());
}

static void tear_down(void)
{
    fault_proxy_stop(proxy);
    direct_topic_free(&topic);
    test_broker_stop(&broker);
    fake_table_free(table);
    temp_dir_remove(dir);
}

typedef struct weather_case {
    const char *name;
    fault_weather weather;
    const char *rules[3]; /* NULL: no more */
    bool storm;           /* all connections are cut again and again */
} weather_case;

static const weather_case weathers[] = {
    {"5 ms each way, 10 ms jitter", {5000, 10000, 0}, {NULL}, false},
    {"100 KB/s", {0, 0, 100000}, {NULL}, false},
    {"answers at 1 byte/s",
     {0, 0, 0},
     {"kind=throttle,code=11,skip=2,times=2,at=100,bytes_per_s=1"},
     false},
    {"half-open now and then", {0, 0, 0}, {"kind=half-open,code=11,skip=1,times=3,at=-1"}, false},
    {"cut now and then",
     {0, 2000, 0},
     {"kind=cut,code=11,percent=20,at=-1", "kind=reset,code=30,percent=20,at=-1"},
     false},
    {"lost and repeated answers",
     {0, 0, 0},
     {"kind=drop,code=11,skip=1,times=2", "kind=repeat,code=30,percent=30"},
     false},
    {"flipped bits in bodies", {0, 0, 0}, {"kind=flip,code=11,percent=15,at=-1"}, false},
    {"reconnect storm", {0, 1000, 0}, {NULL}, true},
};

static void begin_weather(const weather_case *what, int rules[3])
{
    fault_proxy_weather(proxy, &what->weather);
    for (int i = 0; i < 3; i++) {
        rules[i] = -1;
        if (what->rules[i] != NULL) {
            rules[i] = fault_proxy_add_text(proxy, what->rules[i]);
            ck_assert_int_ge(rules[i], 0);
        }
    }
}

/* Sends, and waits until the job has written all; the storm blows meanwhile. */
static void drive(const weather_case *what, int64_t rounds)
{
    for (int64_t round = 0; round < rounds; round++) {
        direct_send_all(&topic, N_QUEUES, 200);
        size_t all = (size_t)(topic.sent[0] + topic.sent[1]);
        int64_t until_ms = network_now_ms() + 60000;
        while (fake_table_count(table) < all && network_now_ms() < until_ms) {
            if (what->storm)
                fault_proxy_cut_all(proxy, false);
            nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
        }
        ck_assert_msg(fake_table_count(table) >= all, "seed %llu: %s: %zu of %zu rows",
                      (unsigned long long)network_seed(), what->name, fake_table_count(table), all);
    }
}

START_TEST(every_order_once)
{
    const weather_case *what = &weathers[_i];
    int rules[3];
    begin_weather(what, rules);
    direct_job job = {.dir = dir,
                      .namesrv = fault_proxy_address(proxy),
                      .topics = topic.topic,
                      .table = table,
                      .trigger = MILL_TRIGGER_CONTINUAL,
                      .interval_ms = 20};
    running built = direct_start(&job);
    drive(what, 3 + network_scale() / 10);
    uint64_t hits = 0;
    for (int i = 0; i < 3; i++)
        hits += rules[i] >= 0 ? fault_proxy_hits(proxy, rules[i]) : 0;
    printf("# %s: %llu frames, %llu hit, %llu connections, %zu rows\n", what->name,
           (unsigned long long)fault_proxy_frames(proxy), (unsigned long long)hits,
           (unsigned long long)fault_proxy_connections(proxy), fake_table_count(table));
    fflush(stdout);
    ck_assert_msg(what->rules[0] == NULL || hits > 0, "%s: nothing was hit", what->name);
    if (what->storm)
        ck_assert_uint_gt(fault_proxy_connections(proxy), 3); /* 2 without the storm */
    fault_proxy_clear(proxy);
    fault_proxy_weather(proxy, &(fault_weather){0, 0, 0});
    mill_streaming_stop(built.stream, true);
    must(mill_streaming_await(built.stream, 30000, &err), &err);
    job_free(&built);
    direct_check_once(table, &topic);
}
END_TEST

/* The ledger's own control: with one more or one less in it than the table has, the comparison must
 * fail. It fails by ending the test, so it does that in a child. */
START_TEST(control_ledger_fails)
{
    direct_send_all(&topic, N_QUEUES, 20);
    direct_job job = {.dir = dir,
                      .namesrv = fault_proxy_address(proxy),
                      .topics = topic.topic,
                      .table = table,
                      .trigger = MILL_TRIGGER_AVAILABLE_NOW};
    must(direct_run(&job, &err), &err);
    direct_check_once(table, &topic);
    topic.sent[1] += _i == 0 ? 1 : -1;
    pid_t child = fork();
    if (child == 0) {
        direct_check_once(table, &topic);
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(!WIFEXITED(status) || WEXITSTATUS(status) != 0, "a wrong ledger was passed");
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("network_job");
    TCase *tcase = tcase_create("weather");
    tcase_set_timeout(tcase, 400);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, every_order_once, 0, (int)(sizeof(weathers) / sizeof(weathers[0])));
    tcase_add_loop_test(tcase, control_ledger_fails, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
