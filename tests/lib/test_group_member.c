/* Members of a group share the queues of their topics, on any broker. */
#include "../support/test_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rmq/admin.h>
#include <rmq/group.h>

#define SETTLE_MS 30000
#define MAX_TOPICS 2

static test_broker broker;
static char *topic;
static char group[128];
static rmq_error err;

/* A member and what it was last told. */
typedef struct player {
    rmq_client *client;
    rmq_group_member *member;
    rmq_queue_list *queues; /* NULL: nothing yet */
} player;

static void set_up(int32_t n_queues)
{
    memset(&err, 0, sizeof(err));
    test_broker_start(&broker);
    topic = test_broker_topic(&broker, n_queues);
    snprintf(group, sizeof(group), "G_%s", topic);
}

static void tear_down(void)
{
    free(topic);
    test_broker_stop(&broker);
}

static rmq_client *new_client(const char *id)
{
    rmq_client *client = NULL;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.namesrv = broker.namesrv;
    config.client_id = id;
    test_broker_credentials(&broker, &config);
    ck_ok(rmq_client_new(&config, &client, &err), &err);
    return client;
}

static rmq_group_member_config config_for(const rmq_topic_filter *filters, size_t count)
{
    rmq_group_member_config config = RMQ_GROUP_MEMBER_CONFIG_INIT;
    config.group = group;
    config.topics = filters;
    config.n_topics = count;
    return config;
}

static void join(player *who, const char *id, const rmq_topic_filter *filters, size_t count,
                 rmq_allocation allocation)
{
    rmq_group_member_config config = config_for(filters, count);
    config.allocation = allocation;
    *who = (player){.client = new_client(id)};
    ck_ok(rmq_group_join(who->client, &config, &who->member, &err), &err);
}

static void leave(player *who)
{
    rmq_group_leave(who->member);
    rmq_client_free(who->client);
    rmq_queue_list_free(who->queues);
    *who = (player){.client = NULL};
}

static size_t count_of(const player *who)
{
    return who->queues == NULL ? 0 : rmq_queue_list_count(who->queues);
}

static void take_news(player *who, int64_t timeout_ms)
{
    rmq_queue_list *queues = NULL;
    rmq_status status = rmq_group_member_poll(who->member, timeout_ms, &queues, &err);
    ck_assert_msg(status == RMQ_OK || status == RMQ_AGAIN, "%s", err.text);
    if (status != RMQ_OK)
        return;
    rmq_queue_list_free(who->queues);
    who->queues = queues;
}

/* Whether together they have each of the queues once, and nobody has many more than another: one of
 * each topic at most. */
static bool is_shared_out(const player *players, size_t n_players, size_t n_queues)
{
    size_t total = 0;
    for (size_t i = 0; i < n_players; i++) {
        if (players[i].queues == NULL || count_of(&players[0]) > count_of(&players[i]) + MAX_TOPICS)
            return false;
        total += count_of(&players[i]);
        for (size_t k = 0; k < count_of(&players[i]); k++)
            for (size_t j = 0; j < i; j++)
                for (size_t m = 0; m < count_of(&players[j]); m++)
                    if (rmq_queue_compare(rmq_queue_list_at(players[i].queues, k),
                                          rmq_queue_list_at(players[j].queues, m)) == 0)
                        return false;
    }
    return total == n_queues;
}

static void settle(player *players, size_t n_players, size_t n_queues)
{
    const int64_t deadline_ns = rmq_clock_monotonic_ns() + SETTLE_MS * INT64_C(1000000);
    while (!is_shared_out(players, n_players, n_queues)) {
        ck_assert_msg(rmq_clock_monotonic_ns() < deadline_ns,
                      "%zu members did not come to share %zu queues", n_players, n_queues);
        for (size_t i = 0; i < n_players; i++)
            take_news(&players[i], 50);
    }
}

START_TEST(members_come_and_go)
{
    player players[3];
    set_up(8);
    const rmq_topic_filter filter = {.topic = topic};
    join(&players[0], "a", &filter, 1, RMQ_ALLOCATE_AVERAGE);
    settle(players, 1, 8);
    join(&players[1], "b", &filter, 1, RMQ_ALLOCATE_AVERAGE);
    settle(players, 2, 8);
    ck_assert_uint_eq(count_of(&players[0]), 4);
    ck_assert_int_eq(rmq_queue_list_at(players[0].queues, 0)->queue_id, 0);
    ck_assert_int_eq(rmq_queue_list_at(players[1].queues, 0)->queue_id, 4);
    join(&players[2], "c", &filter, 1, RMQ_ALLOCATE_AVERAGE);
    settle(players, 3, 8);
    ck_assert_uint_eq(count_of(&players[0]), 3);
    ck_assert_uint_eq(count_of(&players[2]), 2);
    /* The first leaves: the others learn it at once. */
    leave(&players[0]);
    settle(&players[1], 2, 8);
    leave(&players[1]);
    settle(&players[2], 1, 8);
    leave(&players[2]);
    tear_down();
}
END_TEST

START_TEST(queues_by_circle)
{
    player players[2];
    set_up(5);
    const rmq_topic_filter filter = {.topic = topic};
    join(&players[0], "a", &filter, 1, RMQ_ALLOCATE_CIRCLE);
    join(&players[1], "b", &filter, 1, RMQ_ALLOCATE_CIRCLE);
    settle(players, 2, 5);
    ck_assert_uint_eq(count_of(&players[0]), 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(rmq_queue_list_at(players[0].queues, i)->queue_id, (int)(2 * i));
    leave(&players[0]);
    leave(&players[1]);
    tear_down();
}
END_TEST

START_TEST(several_topics)
{
    player players[2];
    set_up(3);
    char *second = test_broker_topic(&broker, 2);
    const rmq_topic_filter filters[] = {{.topic = topic},
                                        {.topic = second, .expression = "A || B"}};
    join(&players[0], "a", filters, 2, RMQ_ALLOCATE_AVERAGE);
    settle(players, 1, 5);
    join(&players[1], "b", filters, 2, RMQ_ALLOCATE_AVERAGE);
    settle(players, 2, 5);
    leave(&players[0]);
    leave(&players[1]);
    free(second);
    tear_down();
}
END_TEST

START_TEST(more_members_than_queues)
{
    player players[3];
    const char *ids[] = {"a", "b", "c"};
    set_up(2);
    const rmq_topic_filter filter = {.topic = topic};
    for (size_t i = 0; i < 3; i++)
        join(&players[i], ids[i], &filter, 1, RMQ_ALLOCATE_AVERAGE);
    settle(players, 3, 2);
    /* The one without a queue is told so: an empty list. */
    ck_assert_uint_eq(count_of(&players[2]), 0);
    for (size_t i = 0; i < 3; i++)
        leave(&players[i]);
    tear_down();
}
END_TEST

/* A connection that is gone without a word: the broker tells the others. */
START_TEST(a_member_that_vanishes)
{
    player players[2];
    set_up(4);
    const rmq_topic_filter filter = {.topic = topic};
    join(&players[0], "a", &filter, 1, RMQ_ALLOCATE_AVERAGE);
    join(&players[1], "b", &filter, 1, RMQ_ALLOCATE_AVERAGE);
    settle(players, 2, 4);
    rmq_client_cancel(players[1].client);
    rmq_queue_list *queues = NULL;
    ck_assert_int_eq(rmq_group_member_poll(players[1].member, 1000, &queues, &err), RMQ_CANCELLED);
    leave(&players[1]);
    settle(players, 1, 4);
    leave(&players[0]);
    tear_down();
}
END_TEST

START_TEST(what_is_refused)
{
    set_up(1);
    rmq_group_member *member = NULL;
    rmq_group_member *second = NULL;
    const rmq_topic_filter twice[] = {{.topic = topic}, {.topic = topic}};
    rmq_group_member_config config = config_for(twice, 2);
    ck_assert_int_eq(rmq_group_join(broker.client, &config, &member, &err), RMQ_INVAL);
    config.n_topics = 0;
    ck_assert_int_eq(rmq_group_join(broker.client, &config, &member, &err), RMQ_INVAL);
    config.n_topics = 1;
    config.group = "";
    ck_assert_int_eq(rmq_group_join(broker.client, &config, &member, &err), RMQ_INVAL);
    config.group = group;
    config.allocation = (rmq_allocation)7;
    ck_assert_int_eq(rmq_group_join(broker.client, &config, &member, &err), RMQ_INVAL);
    config.allocation = RMQ_ALLOCATE_AVERAGE;
    ck_ok(rmq_group_join(broker.client, &config, &member, &err), &err);
    ck_assert_int_eq(rmq_group_join(broker.client, &config, &second, &err), RMQ_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "client of its own"));
    rmq_group_leave(member);
    rmq_group_leave(NULL);
    tear_down();
}
END_TEST

/* No topic yet: the member waits, and has the queues soon after they are made. */
START_TEST(a_topic_that_comes_later)
{
    player who;
    set_up(1);
    char later[160];
    snprintf(later, sizeof(later), "%s_later", topic);
    const rmq_topic_filter filter = {.topic = later};
    join(&who, "a", &filter, 1, RMQ_ALLOCATE_AVERAGE);
    rmq_queue_list *queues = NULL;
    ck_assert_int_eq(rmq_group_member_poll(who.member, 100, &queues, &err), RMQ_AGAIN);
    rmq_topic_config made = RMQ_TOPIC_CONFIG_INIT;
    made.topic = later;
    made.read_queues = made.write_queues = 3;
    ck_ok(rmq_topic_create(broker.client, &made, &err), &err);
    settle(&who, 1, 3);
    leave(&who);
    tear_down();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("group_member");
    TCase *tc = tcase_create("group_member");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, members_come_and_go);
    tcase_add_test(tc, queues_by_circle);
    tcase_add_test(tc, several_topics);
    tcase_add_test(tc, more_members_than_queues);
    tcase_add_test(tc, a_member_that_vanishes);
    tcase_add_test(tc, what_is_refused);
    tcase_add_test(tc, a_topic_that_comes_later);
    suite_add_tcase(suite, tc);
    return suite;
}
