/* Connections: hostile bytes, slow and silent clients, header serializations, many requests at
 * once, and memory that runs out. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "broker_client.h"
#include "broker_state.h"
#include "calls.h"
#include "codes.h"
#include "fault_alloc.h"

static rmq_devbroker *broker;
static raw_client client;

static void start_with(rmq_devbroker_config *config)
{
    broker = broker_start(config);
    client = raw_connect(rmq_devbroker_address(broker));
}

static void stop(void)
{
    raw_close(&client);
    rmq_devbroker_free(broker);
}

/* Whether the broker still answers. */
static void expect_alive(void)
{
    raw_client other = raw_connect(rmq_devbroker_address(broker));
    raw_frame answer =
        raw_call(&other, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    raw_close(&other);
}

static void expect_closed(raw_client *of)
{
    uint8_t byte;
    ck_assert_uint_eq(raw_read_to_end(of, &byte, 1), 0);
}

START_TEST(malformed_frames_close)
{
    static const struct {
        const char *bytes;
        size_t len;
    } frames[] = {
        {"\0\0\0\0", 4},                                 /* total 0 */
        {"\0\0\0\3abc", 7},                              /* total 3 */
        {"\1\0\0\1\0\0\0\1", 8},                         /* total over 16 MiB */
        {"\xff\xff\xff\xff\0\0\0\1", 8},                 /* total "negative" */
        {"\0\0\0\10\2\0\0\4{}  ", 12},                   /* serialization 2 */
        {"\0\0\0\10\0\0\0\77{}  ", 12},                  /* header longer than the frame */
        {"\0\0\0\10\0\0\0\4{\"a\"", 12},                 /* bad JSON */
        {"\0\0\0\10\1\0\0\4\0\12\0\0", 12},              /* binary header cut short */
        {"\x16\3\1\2\0\1\0\1\xfc\3\3abcdefghijklm", 24}, /* a TLS client hello */
        {"GET / HTTP/1.1\r\n\r\n", 18},
    };
    start_with(NULL);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        raw_client other = raw_connect(rmq_devbroker_address(broker));
        raw_send_bytes(&other, frames[i].bytes, frames[i].len);
        expect_closed(&other);
        raw_close(&other);
        raw_client namesrv = raw_connect(rmq_devbroker_namesrv(broker));
        raw_send_bytes(&namesrv, frames[i].bytes, frames[i].len);
        expect_closed(&namesrv);
        raw_close(&namesrv);
    }
    expect_alive();
    stop();
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Real requests with bytes changed: whatever the broker makes of them, it goes on. */
START_TEST(mutated_requests)
{
    static const char *const names[] = {
        "send_v2_req_json",
        "send_v2_req_rocketmq",
        "send_batch_req",
        "pull_req",
        "heartbeat_req",
        "lock_batch_req",
        "unregister_req",
        "update_offset_req",
        "java_pull_req",
        "java_send_batch_req",
        "java_send_zlib_req",
        "route_req_json",
        "send_half_req",
        "end_transaction_req",
        "pop_req",
        "acl_signed_req",
    };
    start_with(NULL);
    uint32_t random = 12345;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint8_t *data = NULL;
        size_t len = 0;
        golden_load(names[i], &data, &len);
        for (int round = 0; round < 60; round++) {
            uint8_t *copy = malloc(len);
            ck_assert_ptr_nonnull(copy);
            memcpy(copy, data, len);
            for (int flips = 1 + round % 4; flips > 0; flips--)
                copy[4 + next_random(&random) % (len - 4)] = (uint8_t)next_random(&random);
            raw_client other = raw_connect(i % 8 == 3 ? rmq_devbroker_namesrv(broker)
                                                      : rmq_devbroker_address(broker));
            raw_send_bytes(&other, copy, len);
            shutdown(other.fd, SHUT_WR);
            uint8_t thrown[1];
            raw_read_to_end(&other, thrown, 0);
            raw_close(&other);
            free(copy);
        }
        free(data);
    }
    expect_alive();
    stop();
}
END_TEST

START_TEST(frames_in_any_pieces)
{
    start_with(NULL);
    rmq_command command;
    rmq_buf buf;
    rmq_error err;
    rmq_buf_init(&buf, 1 << 20);
    rmq_command_init(&command, RMQ_REQUEST_GET_MAX_OFFSET);
    rmq_command_set(&command, "topic", "T");
    rmq_command_set(&command, "queueId", "0");
    for (int i = 0; i < 3; i++) {
        command.opaque = 100 + i;
        ck_ok(rmq_command_encode(&command, RMQ_SERIALIZATION_JSON, &buf, &err), &err);
    }
    rmq_command_deinit(&command);
    for (size_t at = 0; at < buf.len; at++)
        raw_send_bytes(&client, buf.data + at, 1);
    raw_send_bytes(&client, buf.data, buf.len);
    for (int i = 0; i < 6; i++) {
        raw_frame frame = raw_read(&client);
        ck_assert_int_eq(frame.command.opaque, 100 + i % 3);
        raw_frame_free(&frame);
    }
    rmq_buf_deinit(&buf);
    stop();
}
END_TEST

START_TEST(responses_are_dropped)
{
    start_with(NULL);
    rmq_command command;
    rmq_command_init(&command, RMQ_REQUEST_GET_MAX_OFFSET);
    command.flag = RMQ_FLAG_RESPONSE;
    raw_send_command(&client, &command);
    rmq_command_deinit(&command);
    expect_alive();
    ck_assert(raw_silent(&client, 0));
    stop();
}
END_TEST

static int answered_serialization(int requested)
{
    client.serialization = requested;
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    ck_assert_int_eq(raw_int(&answer, "offset"), 0);
    int serialization = answer.frame->serialization;
    raw_frame_free(&answer);
    return serialization;
}

START_TEST(answers_in_its_own_serialization)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    start_with(&config);
    ck_assert_int_eq(answered_serialization(RMQ_SERIALIZATION_JSON), RMQ_SERIALIZATION_JSON);
    ck_assert_int_eq(answered_serialization(RMQ_SERIALIZATION_BINARY), RMQ_SERIALIZATION_JSON);
    stop();
    config.binary_headers = true;
    start_with(&config);
    ck_assert_int_eq(answered_serialization(RMQ_SERIALIZATION_JSON), RMQ_SERIALIZATION_BINARY);
    ck_assert_int_eq(answered_serialization(RMQ_SERIALIZATION_BINARY), RMQ_SERIALIZATION_BINARY);
    broker_send(&client, "T", 0, "binary");
    raw_frame answer = broker_pull_call(&client, &(broker_pull){0});
    rmq_batch *batch = broker_batch(&answer);
    broker_expect_body(batch, 0, "binary");
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(as_4_9_7_it_answers_in_the_requests)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    config.version = 407;
    start_with(&config);
    ck_assert_int_eq(answered_serialization(RMQ_SERIALIZATION_JSON), RMQ_SERIALIZATION_JSON);
    ck_assert_int_eq(answered_serialization(RMQ_SERIALIZATION_BINARY), RMQ_SERIALIZATION_BINARY);
    stop();
}
END_TEST

/* ---- times and limits, made short ---- */

typedef struct limits {
    int64_t idle_ms;
    int64_t write_stall_ms;
    size_t write_pause_bytes;
    size_t write_max_bytes;
    int64_t member_ms;
} limits;

static rmq_status set_limits(rmq_devbroker *of, void *argument, rmq_error *err)
{
    (void)err;
    const limits *wanted = argument;
    if (wanted->idle_ms != 0)
        of->settings.idle_ms = wanted->idle_ms;
    if (wanted->write_stall_ms != 0)
        of->settings.write_stall_ms = wanted->write_stall_ms;
    if (wanted->write_pause_bytes != 0)
        of->settings.write_pause_bytes = wanted->write_pause_bytes;
    if (wanted->write_max_bytes != 0)
        of->settings.write_max_bytes = wanted->write_max_bytes;
    if (wanted->member_ms != 0)
        of->settings.member_ms = wanted->member_ms;
    struct timeval often = {0, 20 * 1000};
    event_add(of->sweep_timer, &often);
    return RMQ_OK;
}

static rmq_status count_sessions(rmq_devbroker *of, void *argument, rmq_error *err)
{
    (void)err;
    size_t *out_count = argument;
    *out_count = of->sessions.count;
    return RMQ_OK;
}

static void shorten(limits wanted)
{
    rmq_error err;
    ck_ok(rmq_dev_call_sync(broker, set_limits, &wanted, &err), &err);
}

START_TEST(idle_connections_are_closed)
{
    start_with(NULL);
    shorten((limits){.idle_ms = 100});
    expect_closed(&client);
    stop();
}
END_TEST

START_TEST(members_without_heartbeat_are_closed)
{
    start_with(NULL);
    raw_client member = raw_connect(rmq_devbroker_address(broker));
    raw_frame answer =
        raw_call(&member, RMQ_REQUEST_HEART_BEAT, NULL,
                 RMQ_SLICE_LITERAL("{\"clientID\":\"c\",\"consumerDataSet\":[{\"groupName\":\"CG\","
                                   "\"subscriptionDataSet\":[]}],\"producerDataSet\":[]}"));
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    shorten((limits){.member_ms = 100});
    expect_closed(&member);
    raw_close(&member);
    answer = raw_call(&client, RMQ_REQUEST_GET_CONSUMER_LIST_BY_GROUP, RAW("consumerGroup=CG"),
                      RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SYSTEM_ERROR);
    raw_frame_free(&answer);
    stop();
}
END_TEST

static void fill_queue(void)
{
    char *large = malloc(200001);
    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 200000);
    large[200000] = '\0';
    broker_send(&client, "T", 0, large);
    free(large);
}

/* The other end of its connection disappears from the broker's list; the test is over. */
static void expect_gone(raw_client *lazy)
{
    size_t count = 0;
    do {
        rmq_error err;
        ck_ok(rmq_dev_call_sync(broker, count_sessions, &count, &err), &err);
    } while (count > 1);
    expect_alive();
    raw_close(lazy);
    stop();
}

/* Pulls without reading: the broker must neither grow nor wait for ever. */
START_TEST(a_client_that_does_not_read_is_closed)
{
    start_with(NULL);
    fill_queue();
    shorten((limits){.write_pause_bytes = 1 << 20, .write_stall_ms = 200});
    raw_client lazy = raw_connect(rmq_devbroker_address(broker));
    for (int i = 0; i < 200; i++)
        broker_pull_send(&lazy, &(broker_pull){0});
    expect_gone(&lazy);
}
END_TEST

START_TEST(beyond_the_cap_it_is_closed_at_once)
{
    start_with(NULL);
    fill_queue();
    /* Answers larger than the cap: one is too much for a socket that isn't read. */
    shorten((limits){.write_pause_bytes = 1 << 30, .write_max_bytes = 8 << 20});
    raw_client lazy = raw_connect(rmq_devbroker_address(broker));
    int sent = 0;
    for (; sent < 500; sent++) {
        rmq_command command;
        rmq_command_init(&command, RMQ_REQUEST_PULL_MESSAGE);
        rmq_command_set(&command, "consumerGroup", "G");
        rmq_command_set(&command, "topic", "T");
        rmq_command_set(&command, "queueId", "0");
        rmq_command_set(&command, "queueOffset", "0");
        rmq_command_set(&command, "maxMsgNums", "1");
        rmq_command_set(&command, "sysFlag", "4");
        command.opaque = sent + 1;
        rmq_buf buf;
        rmq_error err;
        rmq_buf_init(&buf, 4096);
        ck_ok(rmq_command_encode(&command, RMQ_SERIALIZATION_JSON, &buf, &err), &err);
        ssize_t n = send(lazy.fd, buf.data, buf.len, MSG_NOSIGNAL);
        rmq_buf_deinit(&buf);
        rmq_command_deinit(&command);
        if (n < 0)
            break; /* it was closed already */
    }
    expect_gone(&lazy);
}
END_TEST

/* A slow client that does read gets everything. */
START_TEST(a_slow_client_gets_everything)
{
    start_with(NULL);
    fill_queue();
    shorten((limits){.write_pause_bytes = 1 << 20});
    for (int i = 0; i < 100; i++)
        broker_pull_send(&client, &(broker_pull){0});
    for (int i = 0; i < 100; i++) {
        raw_frame answer = raw_read(&client);
        raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
        ck_assert_uint_gt(answer.command.body.len, 200000);
        raw_frame_free(&answer);
    }
    stop();
}
END_TEST

START_TEST(many_requests_at_once)
{
    start_with(NULL);
    for (int i = 0; i < 2000; i++)
        raw_send(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
    for (int32_t i = 1; i <= 2000; i++) {
        raw_frame answer = raw_read(&client);
        ck_assert_int_eq(answer.command.opaque, i);
        raw_frame_free(&answer);
    }
    stop();
}
END_TEST

START_TEST(many_connections)
{
    start_with(NULL);
    raw_client clients[200];
    for (size_t i = 0; i < 200; i++)
        clients[i] = raw_connect(rmq_devbroker_address(broker));
    for (size_t i = 0; i < 200; i++)
        broker_send(&clients[i], "T", 0, "hello");
    for (size_t i = 0; i < 200; i++)
        raw_close(&clients[i]);
    expect_alive();
    stop();
}
END_TEST

/* ---- memory ---- */

START_TEST(starting_without_memory)
{
    int64_t nth = 0;
    for (;; nth++) {
        rmq_devbroker *made = NULL;
        rmq_error err;
        fault_alloc_fail(nth);
        rmq_status status = rmq_devbroker_new(NULL, &made, &err);
        if (status == RMQ_OK)
            rmq_devbroker_free(made);
        ck_assert_msg(fault_alloc_live() == 0, "allocation %lld leaks", (long long)nth);
        if (fault_alloc_failed() == 0) {
            ck_status(status, RMQ_OK);
            break;
        }
        ck_status(status, RMQ_NOMEM);
        ck_assert_ptr_null(made);
    }
    fault_alloc_off();
    ck_assert_int_gt(nth, 30);
}
END_TEST

/* Requests while the nth allocation of the broker fails: an answer (of any code) or a closed
 * connection, and a broker that works afterwards. The requests are encoded before. */
START_TEST(serving_without_memory)
{
    static const char *const names[] = {"send_v2_req_json", "send_batch_req", "pull_req",
                                        "heartbeat_req",    "lock_batch_req", "route_req_json"};
    int64_t hit = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint8_t *data = NULL;
        size_t len = 0;
        golden_load(names[i], &data, &len);
        for (int64_t nth = 0;; nth++) {
            fault_alloc_fail(-1);
            rmq_devbroker *made = NULL;
            rmq_error err;
            ck_ok(rmq_devbroker_new(NULL, &made, &err), &err);
            ck_ok(rmq_devbroker_topic(made, "GoldT1795410635", 2, &err), &err);
            raw_client other =
                raw_connect(i == 5 ? rmq_devbroker_namesrv(made) : rmq_devbroker_address(made));
            /* So that the session stands before memory fails. */
            raw_frame answer = raw_call(&other, 9999, NULL, RAW_NO_BODY);
            raw_frame_free(&answer);
            fault_alloc_rearm(nth);
            raw_send_bytes(&other, data, len);
            uint8_t word[4];
            ssize_t n = recv(other.fd, word, sizeof(word), MSG_WAITALL);
            ck_assert_msg(n == 4 || n == 0 || (n < 0 && errno == ECONNRESET), "%s: %s", names[i],
                          strerror(errno));
            int64_t failed = fault_alloc_failed();
            fault_alloc_rearm(-1);
            raw_client after = raw_connect(rmq_devbroker_address(made));
            broker_send(&after, "GoldT1795410635", 0, "after");
            raw_close(&after);
            raw_close(&other);
            rmq_devbroker_free(made);
            ck_assert_msg(fault_alloc_live() == 0, "%s: allocation %lld leaks", names[i],
                          (long long)nth);
            hit += failed;
            if (failed == 0)
                break;
        }
        free(data);
    }
    fault_alloc_off();
    ck_assert_int_gt(hit, 60);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("session");
    TCase *tcase = tcase_create("session");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, malformed_frames_close);
    tcase_add_test(tcase, mutated_requests);
    tcase_add_test(tcase, frames_in_any_pieces);
    tcase_add_test(tcase, responses_are_dropped);
    tcase_add_test(tcase, answers_in_its_own_serialization);
    tcase_add_test(tcase, as_4_9_7_it_answers_in_the_requests);
    tcase_add_test(tcase, idle_connections_are_closed);
    tcase_add_test(tcase, members_without_heartbeat_are_closed);
    tcase_add_test(tcase, a_client_that_does_not_read_is_closed);
    tcase_add_test(tcase, beyond_the_cap_it_is_closed_at_once);
    tcase_add_test(tcase, a_slow_client_gets_everything);
    tcase_add_test(tcase, many_requests_at_once);
    tcase_add_test(tcase, many_connections);
    tcase_add_test(tcase, starting_without_memory);
    tcase_add_test(tcase, serving_without_memory);
    suite_add_tcase(suite, tcase);
    return suite;
}
