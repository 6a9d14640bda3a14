#include "../support/support.h"

#include <string.h>

#include "../../lib/publish_queue.h"
#include "../../proto/props.h"

static rmq_route_address master[] = {{0, "a:1"}};
static rmq_route_address pair[] = {{0, "b:1"}, {1, "b:2"}};
static rmq_route_address slave[] = {{1, "c:2"}};
static rmq_route_broker brokers[] = {
    {"broker-a", "C", master, 1}, {"broker-b", "C", pair, 2}, {"broker-c", "C", slave, 1}};
static rmq_route_queues queues[] = {
    {"broker-a", 4, 2, 6, 0}, {"broker-b", 4, 3, 6, 0}, {"broker-c", 4, 4, 6, 0}};

static rmq_route route_of(void)
{
    return (rmq_route){.brokers = brokers, .n_brokers = 3, .queues = queues, .n_queues = 3};
}

static void expect(const rmq_route *route, const rmq_publish_wish *wish, const char *broker,
                   int32_t queue_id)
{
    rmq_error err = {0};
    rmq_publish_queue got;
    ck_ok(rmq_publish_queue_choose(route, wish, &got, &err), &err);
    ck_assert_str_eq(got.broker_name, broker);
    ck_assert_int_eq(got.queue_id, queue_id);
    ck_assert_str_eq(got.address, broker[7] == 'a' ? "a:1" : "b:1");
}

START_TEST(round_robin_over_what_can_be_written)
{
    rmq_route route = route_of();
    rmq_publish_wish wish = {0};
    for (uint32_t turn = 0; turn < 10; turn++) {
        wish.turn = turn;
        uint32_t index = turn % 5; /* broker-c has no master */
        expect(&route, &wish, index < 2 ? "broker-a" : "broker-b",
               (int32_t)(index < 2 ? index : index - 2));
    }
    ck_assert_uint_eq(rmq_publish_brokers(&route), 2);
}
END_TEST

START_TEST(failed_broker_is_avoided_if_there_is_another)
{
    rmq_route route = route_of();
    rmq_publish_wish wish = {.avoid_broker = "broker-b"};
    for (wish.turn = 0; wish.turn < 4; wish.turn++)
        expect(&route, &wish, "broker-a", (int32_t)(wish.turn % 2));
    route.n_queues = 1;
    wish.avoid_broker = "broker-a";
    expect(&route, &wish, "broker-a", 0);
}
END_TEST

START_TEST(sharding_key_means_the_queue_that_java_takes)
{
    rmq_route route = route_of();
    static const char *const keys[] = {"", "a", "order-4711", "polygenelubricants"};
    for (size_t i = 0; i < 4; i++) {
        int32_t hash = rmq_tag_hash(rmq_slice_of(keys[i]));
        int32_t index = hash % 5 < 0 ? -(hash % 5) : hash % 5;
        rmq_publish_wish wish = {
            .by_hash = true, .hash = hash, .turn = (uint32_t)i, .avoid_broker = "broker-a"};
        expect(&route, &wish, index < 2 ? "broker-a" : "broker-b", index < 2 ? index : index - 2);
    }
}
END_TEST

START_TEST(exact_queue)
{
    rmq_route route = route_of();
    rmq_error err = {0};
    rmq_publish_queue got;
    rmq_publish_wish wish = {.broker_name = "broker-b", .queue_id = 3};
    expect(&route, &wish, "broker-b", 3);
    wish.broker_name = "broker-c";
    ck_status(rmq_publish_queue_choose(&route, &wish, &got, &err), RMQ_NOT_FOUND);
    wish.broker_name = "broker-x";
    ck_status(rmq_publish_queue_choose(&route, &wish, &got, &err), RMQ_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "broker-x"));
}
END_TEST

START_TEST(nothing_to_write_to)
{
    rmq_route_queues read_only[] = {{"broker-a", 4, 4, RMQ_PERM_READ, 0}};
    rmq_route route = route_of();
    rmq_error err = {0};
    rmq_publish_queue got;
    rmq_publish_wish wish = {0};
    route.queues = read_only;
    route.n_queues = 1;
    ck_status(rmq_publish_queue_choose(&route, &wish, &got, &err), RMQ_NOT_FOUND);
    route.n_queues = 0;
    ck_status(rmq_publish_queue_choose(&route, &wish, &got, &err), RMQ_NOT_FOUND);
    wish.by_hash = true;
    ck_status(rmq_publish_queue_choose(&route, &wish, &got, &err), RMQ_NOT_FOUND);
}
END_TEST

START_TEST(order_configuration_replaces_the_numbers)
{
    rmq_route route = route_of();
    rmq_publish_wish wish = {0};
    route.order_topic_conf = "broker-a:1;broker-b:2";
    for (wish.turn = 0; wish.turn < 6; wish.turn++)
        expect(&route, &wish, wish.turn % 3 == 0 ? "broker-a" : "broker-b",
               wish.turn % 3 == 2 ? 1 : 0);
    route.order_topic_conf = "broker-aa:7;broker-b:x;broker-a:1";
    wish.turn = 5;
    expect(&route, &wish, "broker-a", 0);
}
END_TEST

START_TEST(creation_takes_no_more_queues_than_wished)
{
    rmq_route route = route_of();
    rmq_publish_wish wish = {.max_queues = 1};
    for (wish.turn = 0; wish.turn < 4; wish.turn++)
        expect(&route, &wish, wish.turn % 2 ? "broker-b" : "broker-a", 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("publish_queue");
    TCase *tcase = tcase_create("publish_queue");
    tcase_add_test(tcase, round_robin_over_what_can_be_written);
    tcase_add_test(tcase, failed_broker_is_avoided_if_there_is_another);
    tcase_add_test(tcase, sharding_key_means_the_queue_that_java_takes);
    tcase_add_test(tcase, exact_queue);
    tcase_add_test(tcase, nothing_to_write_to);
    tcase_add_test(tcase, order_configuration_replaces_the_numbers);
    tcase_add_test(tcase, creation_takes_no_more_queues_than_wished);
    suite_add_tcase(suite, tcase);
    return suite;
}
