/* The broker as a whole: a topic's way from creation over send to pull, stop and start, and the
 * public functions' refusals. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "broker_client.h"
#include "codes.h"
#include "route.h"

START_TEST(route_send_pull)
{
    rmq_devbroker *broker = broker_start(NULL);
    raw_client namesrv = raw_connect(rmq_devbroker_namesrv(broker));
    raw_frame answer = raw_call(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC,
                                RAW("topic=T", "acceptStandardJsonOnly=true"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_route route;
    rmq_error err;
    ck_ok(rmq_route_decode(answer.command.body, &route, &err), &err);
    ck_assert_uint_eq(route.n_brokers, 1);
    ck_assert_int_eq(route.queues[0].read_queues, 2);
    ck_assert_str_eq(route.brokers[0].addresses[0].address, rmq_devbroker_address(broker));
    raw_client client = raw_connect(route.brokers[0].addresses[0].address);
    rmq_route_deinit(&route);
    raw_frame_free(&answer);

    ck_assert_int_eq(broker_send(&client, "T", 1, "first"), 0);
    ck_assert_int_eq(broker_send(&client, "T", 1, "second"), 1);
    raw_frame pulled = broker_pull_call(&client, &(broker_pull){.queue_id = 1});
    raw_expect(&pulled, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&pulled, "nextBeginOffset"), 2);
    rmq_batch *batch = broker_batch(&pulled);
    ck_assert_uint_eq(rmq_batch_count(batch), 2);
    broker_expect_body(batch, 0, "first");
    broker_expect_body(batch, 1, "second");
    rmq_batch_unref(batch);
    raw_frame_free(&pulled);
    raw_close(&client);
    raw_close(&namesrv);
    rmq_devbroker_free(broker);
}
END_TEST

START_TEST(restart_keeps_messages_and_ports)
{
    rmq_devbroker *broker = broker_start(NULL);
    rmq_error err;
    char address[64];
    strcpy(address, rmq_devbroker_address(broker));
    raw_client client = raw_connect(address);
    broker_send(&client, "T", 0, "kept");
    ck_ok(rmq_devbroker_stop(broker, &err), &err);
    uint8_t byte;
    ck_assert_uint_eq(raw_read_to_end(&client, &byte, 1), 0);
    raw_close(&client);
    ck_ok(rmq_devbroker_stop(broker, &err), &err);
    ck_ok(rmq_devbroker_start(broker, &err), &err);
    ck_assert_str_eq(rmq_devbroker_address(broker), address);
    client = raw_connect(address);
    raw_frame pulled = broker_pull_call(&client, &(broker_pull){.queue_id = 0});
    raw_expect(&pulled, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&pulled);
    raw_close(&client);
    rmq_devbroker_free(broker);
}
END_TEST

START_TEST(stop_namesrv_alone)
{
    rmq_devbroker *broker = broker_start(NULL);
    rmq_error err;
    raw_client namesrv = raw_connect(rmq_devbroker_namesrv(broker));
    raw_client client = raw_connect(rmq_devbroker_address(broker));
    ck_ok(rmq_devbroker_stop_namesrv(broker, &err), &err);
    uint8_t byte;
    ck_assert_uint_eq(raw_read_to_end(&namesrv, &byte, 1), 0);
    raw_close(&namesrv);
    broker_send(&client, "T", 0, "the broker still works");
    ck_ok(rmq_devbroker_start_namesrv(broker, &err), &err);
    namesrv = raw_connect(rmq_devbroker_namesrv(broker));
    raw_frame answer =
        raw_call(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=T"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    raw_close(&namesrv);
    raw_close(&client);
    rmq_devbroker_free(broker);
}
END_TEST

START_TEST(held_pull_is_woken)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.long_poll_check_ms = 3600 * 1000; /* only a send can wake it */
    rmq_devbroker *broker = broker_start(&config);
    raw_client client = raw_connect(rmq_devbroker_address(broker));
    raw_client sender = raw_connect(rmq_devbroker_address(broker));
    int32_t opaque = broker_pull_send(
        &client, &(broker_pull){.hold_ms = 10000, .sys_flag = PULL_SUBSCRIPTION | PULL_SUSPEND});
    ck_assert(raw_silent(&client, 50));
    broker_send(&sender, "T", 0, "wake up");
    raw_frame pulled = raw_read_answer(&client, opaque);
    raw_expect(&pulled, RMQ_RESPONSE_SUCCESS);
    rmq_batch *batch = broker_batch(&pulled);
    broker_expect_body(batch, 0, "wake up");
    rmq_batch_unref(batch);
    raw_frame_free(&pulled);
    raw_close(&sender);
    raw_close(&client);
    rmq_devbroker_free(broker);
}
END_TEST

START_TEST(requests_are_counted)
{
    rmq_devbroker *broker = broker_start(NULL);
    raw_client client = raw_connect(rmq_devbroker_address(broker));
    broker_send(&client, "T", 0, "one");
    broker_send(&client, "T", 0, "two");
    ck_assert_uint_eq(rmq_devbroker_requests(broker, RMQ_REQUEST_SEND_MESSAGE_V2), 2);
    ck_assert_uint_eq(rmq_devbroker_requests(broker, RMQ_REQUEST_PULL_MESSAGE), 0);
    ck_assert_uint_eq(rmq_devbroker_requests(broker, 0), 2);
    raw_close(&client);
    rmq_devbroker_free(broker);
}
END_TEST

START_TEST(wrong_configuration)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    rmq_devbroker *broker = NULL;
    rmq_error err;
    config.listen_address = "not an address";
    ck_status(rmq_devbroker_new(&config, &broker, &err), RMQ_INVAL);
    config.listen_address = NULL;
    config.default_queues = -1;
    ck_status(rmq_devbroker_new(&config, &broker, &err), RMQ_INVAL);
    config.default_queues = 0;
    config.struct_size = 0;
    ck_status(rmq_devbroker_new(&config, &broker, &err), RMQ_INVAL);
    ck_assert_ptr_null(broker);
    rmq_devbroker_free(NULL);
}
END_TEST

START_TEST(port_in_use)
{
    rmq_devbroker *broker = broker_start(NULL);
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    rmq_devbroker *second = NULL;
    rmq_error err;
    const char *address = rmq_devbroker_address(broker);
    config.broker_port = (uint16_t)atoi(strrchr(address, ':') + 1);
    ck_status(rmq_devbroker_new(&config, &second, &err), RMQ_IO);
    ck_assert_ptr_null(second);
    rmq_devbroker_free(broker);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("devbroker");
    TCase *tcase = tcase_create("devbroker");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, route_send_pull);
    tcase_add_test(tcase, restart_keeps_messages_and_ports);
    tcase_add_test(tcase, stop_namesrv_alone);
    tcase_add_test(tcase, held_pull_is_woken);
    tcase_add_test(tcase, requests_are_counted);
    tcase_add_test(tcase, wrong_configuration);
    tcase_add_test(tcase, port_in_use);
    suite_add_tcase(suite, tcase);
    return suite;
}
