/* Offsets of queues and groups, on any broker; and what differs on 4.9.7, on a development broker
 * that plays it. */
#include "../support/test_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/group_stats.h"
#include "../../proto/command.h"

static test_broker broker;
static char *topic;
static char *broker_name;

static rmq_queue queue_of(int32_t queue_id)
{
    return (rmq_queue){topic, broker_name, queue_id};
}

static void start(void)
{
    test_broker_start(&broker);
    topic = test_broker_topic(&broker, 3);
    broker_name = test_broker_name(&broker, topic);
}

static void start_dev(const rmq_devbroker_config *config)
{
    test_broker_start_dev(&broker, config);
    topic = test_broker_topic(&broker, 3);
    broker_name = test_broker_name(&broker, topic);
}

static void stop(void)
{
    test_broker_stop(&broker);
    free(topic);
    free(broker_name);
}

START_TEST(bounds_of_a_queue)
{
    rmq_error err;
    int64_t offset = -1;
    start();
    const rmq_queue queue = queue_of(1);
    ck_ok(rmq_queue_max_offset(broker.client, &queue, &offset, &err), &err);
    ck_assert_int_eq(offset, 0);
    test_broker_fill(&broker, &queue, 0, 7, 100);
    ck_ok(rmq_queue_max_offset(broker.client, &queue, &offset, &err), &err);
    ck_assert_int_eq(offset, 7);
    ck_ok(rmq_queue_min_offset(broker.client, &queue, &offset, &err), &err);
    ck_assert_int_eq(offset, 0);
    stop();
}
END_TEST

START_TEST(many_maximum_offsets_at_once)
{
    rmq_error err;
    int64_t offsets[4] = {-1, -1, -1, -1};
    rmq_status statuses[4];
    start();
    rmq_queue queues[] = {queue_of(0), queue_of(1), queue_of(2), queue_of(0)};
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            test_broker_fill(&broker, &queues[i], 0, i, 100);
    }
    ck_ok(rmq_queues_max_offset(broker.client, queues, 3, offsets, statuses, &err), &err);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(statuses[i], RMQ_OK);
        ck_assert_int_eq(offsets[i], i);
    }
    /* One whose broker isn't there fails alone, and is no failure of the whole. */
    queues[1].broker_name = "no-such-broker";
    offsets[0] = offsets[1] = offsets[2] = offsets[3] = -1;
    ck_ok(rmq_queues_max_offset(broker.client, queues, 4, offsets, statuses, &err), &err);
    ck_assert_int_eq(statuses[1], RMQ_NOT_FOUND);
    ck_assert_int_eq(offsets[1], -1);
    ck_assert_int_eq(statuses[0], RMQ_OK);
    ck_assert_int_eq(offsets[0], 0);
    ck_assert_int_eq(offsets[2], 2);
    ck_assert_int_eq(statuses[3], RMQ_OK);
    ck_ok(rmq_queues_max_offset(broker.client, queues, 0, offsets, statuses, &err), &err);
    stop();
}
END_TEST

START_TEST(offset_of_a_time)
{
    rmq_error err;
    int64_t offset = -1;
    start();
    const rmq_queue queue = queue_of(0);
    test_broker_fill(&broker, &queue, 0, 5, 100);
    ck_ok(rmq_queue_offset_at(broker.client, &queue, 0, &offset, &err), &err);
    ck_assert_int_eq(offset, 0);
    int64_t tomorrow_ms = rmq_clock_wall_ms() + 86400000;
    ck_ok(rmq_queue_offset_at(broker.client, &queue, tomorrow_ms, &offset, &err), &err);
    ck_assert_int_eq(offset, 5);
    stop();
}
END_TEST

static char *group_of(const char *name)
{
    char *group = NULL;
    ck_assert_int_gt(asprintf(&group, "G%s_%s", name, topic), 0);
    return group;
}

/* The same on a broker that answers 0 for "never" (4.x) and one that doesn't. */
static void check_commits(void)
{
    rmq_error err;
    int64_t offset = -1;
    char *group = group_of("a");
    char *stranger = group_of("b");
    const rmq_queue first = queue_of(0);
    const rmq_queue second = queue_of(1);
    test_broker_fill(&broker, &first, 0, 3, 100);
    test_broker_fill(&broker, &second, 0, 3, 100);
    ck_status(rmq_group_offset(broker.client, group, &first, &offset, &err), RMQ_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, group));
    ck_assert_int_eq(offset, -1);
    ck_ok(rmq_group_offset_commit(broker.client, group, &first, 2, &err), &err);
    ck_ok(rmq_group_offset(broker.client, group, &first, &offset, &err), &err);
    ck_assert_int_eq(offset, 2);
    ck_ok(rmq_group_offset_commit(broker.client, group, &first, 0, &err), &err); /* backwards */
    ck_ok(rmq_group_offset(broker.client, group, &first, &offset, &err), &err);
    ck_assert_int_eq(offset, 0); /* a real 0 */
    ck_status(rmq_group_offset(broker.client, stranger, &first, &offset, &err), RMQ_NOT_FOUND);
    ck_ok(rmq_group_offset_commit(broker.client, group, &second, 3, &err), &err);
    ck_ok(rmq_group_offset(broker.client, group, &second, &offset, &err), &err);
    ck_assert_int_eq(offset, 3);
    free(group);
    free(stranger);
}

START_TEST(committed_offsets)
{
    start();
    check_commits();
    stop();
}
END_TEST

START_TEST(committed_offsets_of_a_broker_that_says_zero_for_never)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.version = 407;
    start_dev(&config);
    check_commits();
    stop();
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    rmq_error err;
    int64_t offset = -1;
    start_dev(NULL);
    rmq_queue queue = queue_of(0);
    queue.queue_id = -1;
    ck_status(rmq_queue_max_offset(broker.client, &queue, &offset, &err), RMQ_INVAL);
    queue = queue_of(0);
    queue.topic = NULL;
    ck_status(rmq_queue_min_offset(broker.client, &queue, &offset, &err), RMQ_INVAL);
    queue = queue_of(0);
    ck_status(rmq_group_offset(broker.client, "", &queue, &offset, &err), RMQ_INVAL);
    ck_status(rmq_group_offset_commit(broker.client, "g", &queue, -1, &err), RMQ_INVAL);
    ck_assert_int_eq(offset, -1);
    stop();
}
END_TEST

START_TEST(an_unknown_broker_is_not_found)
{
    rmq_error err;
    int64_t offset = -1;
    start_dev(NULL);
    rmq_queue queue = queue_of(0);
    queue.broker_name = "nobody";
    ck_status(rmq_queue_max_offset(broker.client, &queue, &offset, &err), RMQ_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "nobody"));
    queue = queue_of(0);
    queue.topic = "no_such_topic";
    ck_status(rmq_queue_max_offset(broker.client, &queue, &offset, &err), RMQ_NOT_FOUND);
    stop();
}
END_TEST

static int32_t add_fault(int32_t code, rmq_fault_action action, int32_t times)
{
    rmq_error err;
    int32_t id = 0;
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = code;
    rule.action = action;
    rule.times = times;
    rule.cut_bytes = 9;
    rule.response_code = 2;
    ck_ok(rmq_devbroker_add_fault(broker.dev, &rule, &id, &err), &err);
    return id;
}

/* What may pass is asked again within the deadline. */
START_TEST(passing_failures_are_retried)
{
    static const rmq_fault_action actions[] = {RMQ_FAULT_CLOSE, RMQ_FAULT_CUT, RMQ_FAULT_CODE};
    rmq_error err;
    int64_t offset = -1;
    int64_t offsets[2];
    rmq_status statuses[2];
    start_dev(NULL);
    const rmq_queue queues[] = {queue_of(0), queue_of(1)};
    int32_t id = add_fault(30, actions[_i], 1);
    ck_ok(rmq_queue_max_offset(broker.client, &queues[0], &offset, &err), &err);
    ck_assert_uint_eq(rmq_devbroker_fault_hits(broker.dev, id), 1);
    rmq_devbroker_clear_faults(broker.dev);
    id = add_fault(30, actions[_i], 1);
    ck_ok(rmq_queues_max_offset(broker.client, queues, 2, offsets, statuses, &err), &err);
    ck_assert_uint_eq(rmq_devbroker_fault_hits(broker.dev, id), 1);
    ck_assert_int_eq(statuses[0], RMQ_OK);
    ck_assert_int_eq(statuses[1], RMQ_OK);
    stop();
}
END_TEST

START_TEST(a_broker_that_is_away_for_a_moment)
{
    rmq_error err;
    int64_t offset = -1;
    start_dev(NULL);
    const rmq_queue queue = queue_of(0);
    ck_ok(rmq_queue_max_offset(broker.client, &queue, &offset, &err), &err);
    ck_ok(rmq_devbroker_stop(broker.dev, &err), &err);
    rmq_status status = rmq_queue_max_offset(broker.client, &queue, &offset, &err);
    ck_assert_msg(status == RMQ_IO || status == RMQ_TIMEOUT, "%s", rmq_status_name(status));
    ck_ok(rmq_devbroker_start(broker.dev, &err), &err);
    /* It may still be waiting out its pause, at most half a second here. */
    for (int i = 0; i < 20; i++) {
        status = rmq_queue_max_offset(broker.client, &queue, &offset, &err);
        if (status == RMQ_OK)
            break;
    }
    ck_ok(status, &err);
    stop();
}
END_TEST

START_TEST(a_lost_answer_ends_by_the_deadline)
{
    rmq_error err;
    int64_t offset = -1;
    start_dev(NULL);
    const rmq_queue queue = queue_of(0);
    add_fault(30, RMQ_FAULT_DROP, 0);
    ck_status(rmq_queue_max_offset(broker.client, &queue, &offset, &err), RMQ_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(err.text, "GET_MAX_OFFSET"));
    int64_t offsets[1];
    rmq_status statuses[1];
    ck_status(rmq_queues_max_offset(broker.client, &queue, 1, offsets, statuses, &err),
              RMQ_TIMEOUT);
    ck_assert_int_eq(statuses[0], RMQ_TIMEOUT);
    stop();
}
END_TEST

START_TEST(statistics_of_the_golden_answer)
{
    uint8_t *bytes;
    size_t len;
    rmq_frame *frame;
    rmq_command command;
    rmq_error err;
    golden_load("consume_stats_resp", &bytes, &len);
    ck_ok(rmq_frame_from_bytes(bytes, len, &frame, &err), &err);
    ck_ok(rmq_command_decode(frame, &command, &err), &err);
    rmq_group_commit commit = {.found = true};
    const rmq_queue other = {"no such topic", "broker-a", 0};
    ck_ok(rmq_consume_stats_find(command.body, &other, &commit, &err), &err);
    ck_assert(!commit.found);
    ck_assert_ptr_nonnull(memmem(command.body.data, command.body.len, "consumerOffset", 14));
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    free(bytes);
}
END_TEST

/* As a live 4.9.7 answers: one commit of 0 in queue 1, and all queues are shown with 0. */
START_TEST(only_the_full_list_tells_zeros_apart)
{
    static const char stats[] =
        "{\"consumeTps\":0.0,\"offsetTable\":{{\"brokerName\":\"broker-a\",\"queueId\":0,"
        "\"topic\":\"ZT\"}:{\"brokerOffset\":1,\"consumerOffset\":0,\"lastTimestamp\":0},"
        "{\"brokerName\":\"broker-a\",\"queueId\":1,\"topic\":\"ZT\"}:{\"brokerOffset\":1,"
        "\"consumerOffset\":0,\"lastTimestamp\":0}}}";
    static const char all[] = "{\"offsetTable\":{\"ZT@ZG2\":{0:9},\"ZT@ZG\":{1:0},\"T@ZG\":{0:4}}}";
    rmq_group_commit commit;
    rmq_error err;
    for (int32_t id = 0; id < 3; id++) {
        const rmq_queue queue = {"ZT", "broker-a", id};
        ck_ok(rmq_consume_stats_find(rmq_slice_of(stats), &queue, &commit, &err), &err);
        ck_assert(commit.found == (id < 2));
        ck_ok(rmq_all_offsets_find(rmq_slice_of(all), "ZG", &queue, &commit, &err), &err);
        ck_assert(commit.found == (id == 1));
    }
    const rmq_queue queue = {"ZT", "broker-a", 0};
    ck_ok(rmq_all_offsets_find(rmq_slice_of(all), "ZG2", &queue, &commit, &err), &err);
    ck_assert(commit.found);
    ck_assert_int_eq(commit.offset, 9);
    ck_status(rmq_all_offsets_find(rmq_slice_of("{\"offsetTable\":{"), "ZG", &queue, &commit, &err),
              RMQ_PROTO);
    ck_status(rmq_consume_stats_find(rmq_slice_of("[1]"), &queue, &commit, &err), RMQ_PROTO);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("offsets");
    TCase *tc = tcase_create("offsets");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, bounds_of_a_queue);
    tcase_add_test(tc, many_maximum_offsets_at_once);
    tcase_add_test(tc, offset_of_a_time);
    tcase_add_test(tc, committed_offsets);
    tcase_add_test(tc, committed_offsets_of_a_broker_that_says_zero_for_never);
    tcase_add_test(tc, wrong_arguments_are_refused);
    tcase_add_test(tc, an_unknown_broker_is_not_found);
    tcase_add_loop_test(tc, passing_failures_are_retried, 0, 3);
    tcase_add_test(tc, a_broker_that_is_away_for_a_moment);
    tcase_add_test(tc, a_lost_answer_ends_by_the_deadline);
    tcase_add_test(tc, statistics_of_the_golden_answer);
    tcase_add_test(tc, only_the_full_list_tells_zeros_apart);
    suite_add_tcase(suite, tc);
    return suite;
}
