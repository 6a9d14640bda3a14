/* Topics: created, changed, listed, described, deleted; on any broker, and with faults. */
#include "../support/test_broker.h"

#include <stdlib.h>
#include <string.h>

#include <rmq/admin.h>

static test_broker broker;

static size_t count_queues(const char *topic)
{
    rmq_error err;
    rmq_queue_list *queues = NULL;
    ck_ok(rmq_client_queues(broker.client, topic, &queues, &err), &err);
    size_t count = rmq_queue_list_count(queues);
    for (size_t i = 0; i < count; i++) {
        const rmq_queue *queue = rmq_queue_list_at(queues, i);
        ck_assert_str_eq(queue->topic, topic);
        if (i > 0)
            ck_assert_int_lt(rmq_queue_compare(rmq_queue_list_at(queues, i - 1), queue), 0);
    }
    rmq_queue_list_free(queues);
    return count;
}

static bool is_listed(const char *topic)
{
    rmq_error err;
    rmq_topic_names *names = NULL;
    bool found = false;
    ck_ok(rmq_topic_list(broker.client, &names, &err), &err);
    for (size_t i = 0; i < rmq_topic_names_count(names); i++) {
        found = found || strcmp(rmq_topic_names_at(names, i), topic) == 0;
        if (i > 0)
            ck_assert_int_le(strcmp(rmq_topic_names_at(names, i - 1), rmq_topic_names_at(names, i)),
                             0);
    }
    rmq_topic_names_free(names);
    return found;
}

START_TEST(life_of_a_topic)
{
    rmq_error err;
    test_broker_start(&broker);
    char *topic = test_broker_topic(&broker, 2);
    ck_assert_uint_eq(count_queues(topic), 2); /* shown at once */
    ck_assert(is_listed(topic));
    rmq_topic_config config = RMQ_TOPIC_CONFIG_INIT;
    config.topic = topic;
    config.read_queues = 5;
    config.write_queues = 3;
    ck_ok(rmq_topic_create(broker.client, &config, &err), &err); /* changes it */
    ck_assert_uint_eq(count_queues(topic), 5);
    rmq_topic_description *description = NULL;
    char *broker_name = test_broker_name(&broker, topic);
    const rmq_queue queue = {topic, broker_name, 1};
    test_broker_fill(&broker, &queue, 0, 4, 50);
    ck_ok(rmq_topic_describe(broker.client, topic, &description, &err), &err);
    ck_assert_uint_eq(rmq_topic_description_count(description), 5);
    for (size_t i = 0; i < 5; i++) {
        const rmq_topic_queue *each = rmq_topic_description_at(description, i);
        ck_assert_str_eq(each->queue.topic, topic);
        ck_assert_str_eq(each->queue.broker_name, broker_name);
        ck_assert_int_eq(each->queue.queue_id, (int)i);
        ck_assert_ptr_nonnull(strchr(each->broker_address, ':'));
        ck_assert_str_ne(each->cluster, "");
        ck_assert_int_eq(each->perm, 6);
        ck_assert(each->readable);
        ck_assert(each->writable == (i < 3));
    }
    const rmq_topic_queue *filled = rmq_topic_description_at(description, 1);
    ck_assert_int_eq(filled->min_offset, 0);
    ck_assert_int_eq(filled->max_offset, 4);
    ck_assert_int_gt(filled->last_update_ms, 0);
    ck_assert_int_eq(rmq_topic_description_at(description, 0)->max_offset, 0);
    rmq_topic_description_free(description);
    ck_ok(rmq_topic_delete(broker.client, topic, &err), &err);
    ck_assert(!is_listed(topic));
    ck_status(rmq_topic_describe(broker.client, topic, &description, &err), RMQ_NOT_FOUND);
    ck_status(rmq_topic_delete(broker.client, topic, &err), RMQ_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, topic));
    test_broker_stop(&broker);
    free(broker_name);
    free(topic);
}
END_TEST

START_TEST(a_made_again_topic_is_empty)
{
    rmq_error err;
    int64_t offset = -1;
    test_broker_start(&broker);
    char *topic = test_broker_topic(&broker, 1);
    char *broker_name = test_broker_name(&broker, topic);
    const rmq_queue queue = {topic, broker_name, 0};
    test_broker_fill(&broker, &queue, 0, 3, 50);
    ck_ok(rmq_topic_delete(broker.client, topic, &err), &err);
    rmq_topic_config config = RMQ_TOPIC_CONFIG_INIT;
    config.topic = topic;
    config.read_queues = 1;
    config.write_queues = 1;
    ck_ok(rmq_topic_create(broker.client, &config, &err), &err);
    ck_ok(rmq_queue_max_offset(broker.client, &queue, &offset, &err), &err);
    ck_assert_int_eq(offset, 0);
    test_broker_stop(&broker);
    free(broker_name);
    free(topic);
}
END_TEST

static const char *const bad_names[] = {"", "with blank", "slash/es", "\xc3\xa4", "a.b"};

START_TEST(bad_topics_are_refused)
{
    rmq_error err;
    char long_name[130];
    rmq_topic_config config = RMQ_TOPIC_CONFIG_INIT;
    test_broker_start_dev(&broker, NULL);
    for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
        config.topic = bad_names[i];
        ck_status(rmq_topic_create(broker.client, &config, &err), RMQ_INVAL);
        ck_status(rmq_topic_delete(broker.client, bad_names[i], &err), RMQ_INVAL);
    }
    memset(long_name, 'a', sizeof(long_name));
    long_name[128] = '\0';
    config.topic = long_name;
    ck_status(rmq_topic_create(broker.client, &config, &err), RMQ_INVAL);
    config.topic = NULL;
    ck_status(rmq_topic_create(broker.client, &config, &err), RMQ_INVAL);
    config.topic = "good";
    config.perm = 8;
    ck_status(rmq_topic_create(broker.client, &config, &err), RMQ_INVAL);
    config.perm = 0;
    config.read_queues = -1;
    ck_status(rmq_topic_create(broker.client, &config, &err), RMQ_INVAL);
    config.read_queues = 0;
    config.broker_name = "no-such-broker";
    ck_status(rmq_topic_create(broker.client, &config, &err), RMQ_NOT_FOUND);
    ck_assert_uint_eq(rmq_devbroker_requests(broker.dev, 17), 0);
    test_broker_stop(&broker);
}
END_TEST

static void add_fault(int32_t code, rmq_fault_action action, int32_t times)
{
    rmq_error err;
    int32_t id = 0;
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rule.request_code = code;
    rule.action = action;
    rule.times = times;
    rule.response_code = 16;
    ck_ok(rmq_devbroker_add_fault(broker.dev, &rule, &id, &err), &err);
}

START_TEST(a_refused_creation_says_who_and_why)
{
    rmq_error err;
    rmq_topic_config config = RMQ_TOPIC_CONFIG_INIT;
    config.topic = "refused";
    test_broker_start_dev(&broker, NULL);
    add_fault(17, RMQ_FAULT_CODE, 0);
    ck_status(rmq_topic_create(broker.client, &config, &err), RMQ_AUTH);
    ck_assert_ptr_nonnull(strstr(err.text, "UPDATE_AND_CREATE_TOPIC"));
    ck_assert_ptr_nonnull(strstr(err.text, rmq_devbroker_address(broker.dev)));
    ck_assert_int_eq(err.broker_code, 16);
    test_broker_stop(&broker);
}
END_TEST

START_TEST(a_lost_connection_is_no_failure)
{
    rmq_error err;
    rmq_topic_config config = RMQ_TOPIC_CONFIG_INIT;
    config.topic = "again";
    test_broker_start_dev(&broker, NULL);
    add_fault(17, RMQ_FAULT_CLOSE, 1);
    add_fault(106, RMQ_FAULT_CLOSE, 1);
    ck_ok(rmq_topic_create(broker.client, &config, &err), &err);
    ck_assert_uint_ge(rmq_devbroker_requests(broker.dev, 17), 2);
    add_fault(215, RMQ_FAULT_CLOSE, 1);
    add_fault(216, RMQ_FAULT_CLOSE, 1);
    ck_ok(rmq_topic_delete(broker.client, "again", &err), &err);
    test_broker_stop(&broker);
}
END_TEST

START_TEST(a_broker_that_does_not_answer_leaves_no_offsets)
{
    rmq_error err;
    rmq_topic_description *description = NULL;
    test_broker_start_dev(&broker, NULL);
    char *topic = test_broker_topic(&broker, 2);
    add_fault(202, RMQ_FAULT_DROP, 0);
    ck_ok(rmq_topic_describe(broker.client, topic, &description, &err), &err);
    ck_assert_uint_eq(rmq_topic_description_count(description), 2);
    ck_assert_int_eq(rmq_topic_description_at(description, 1)->max_offset, -1);
    ck_assert_int_eq(rmq_topic_description_at(description, 1)->min_offset, -1);
    rmq_topic_description_free(description);
    test_broker_stop(&broker);
    free(topic);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("admin");
    TCase *tc = tcase_create("admin");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, life_of_a_topic);
    tcase_add_test(tc, a_made_again_topic_is_empty);
    tcase_add_test(tc, bad_topics_are_refused);
    tcase_add_test(tc, a_refused_creation_says_who_and_why);
    tcase_add_test(tc, a_lost_connection_is_no_failure);
    tcase_add_test(tc, a_broker_that_does_not_answer_leaves_no_offsets);
    suite_add_tcase(suite, tc);
    return suite;
}
