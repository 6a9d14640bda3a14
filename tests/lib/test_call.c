/* Calls against a server that the test plays: answers in any order, deadlines, late and unasked
 * answers, peers that break the protocol, requests of the server's own, signatures, and what an
 * answer's code means to the caller. Peers that are down, stuck or silent: test_call_trouble.c. */
#include "call_fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../proto/codes.h"
#include "../support/fault_alloc.h"

typedef struct count_question {
    rmq_task task;
    size_t n_in_flight;
    size_t n_abandoned;
} count_question;

static void run_count(rmq_task *task)
{
    count_question *question = (count_question *)task;
    const rmq_peer *peer = rmq_brokers_find(&client->brokers, server.address);
    question->n_in_flight = peer->pending.n_in_flight;
    question->n_abandoned = peer->pending.n_abandoned;
}

/* How many calls the link has in flight (0) or abandoned (1). */
static size_t pending_counts(int which)
{
    count_question question = {.task = {.run = run_count}};
    rmq_loop_run_sync(client->loop, &question.task);
    return which == 0 ? question.n_in_flight : question.n_abandoned;
}

/* One call that is answered: the connection works. */
static void expect_working(int fd, call_record *record)
{
    int before = record_count(record);
    record_start(record, LONG_MS);
    fake_answer(fd, fake_read_opaque(fd), 0, 4711);
    record_wait(record, before + 1);
    ck_assert_int_eq(record->status, RMQ_OK);
    ck_assert_int_eq(record->number, 4711);
}

START_TEST(answers_are_matched_in_any_order)
{
    start_client(NULL);
    for (int i = 0; i < 3; i++)
        record_start(&calls[i], LONG_MS);
    int fd = fake_accept(&server);
    int32_t opaques[3];
    for (int i = 0; i < 3; i++)
        opaques[i] = fake_read_opaque(fd);
    for (int i = 2; i >= 0; i--)
        fake_answer(fd, opaques[i], i, 100 + i);
    for (int i = 0; i < 3; i++) {
        record_wait(&calls[i], 1);
        ck_assert_int_eq(calls[i].status, RMQ_OK);
        ck_assert(calls[i].sent);
        ck_assert_int_eq(calls[i].code, i);
        ck_assert_int_eq(calls[i].number, 100 + i);
    }
    close(fd);
    stop_client();
}
END_TEST

START_TEST(a_late_answer_is_dropped_and_the_stream_goes_on)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.request_timeout_ms = LONG_MS; /* this call alone is impatient: no reason to hang up */
    start_client(&config);
    record_start(&calls[0], SHORT_MS);
    int fd = fake_accept(&server);
    int32_t opaque = fake_read_opaque(fd);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_TIMEOUT);
    ck_assert(calls[0].sent);
    ck_assert(calls[0].error.retriable);
    ck_assert_ptr_nonnull(strstr(calls[0].error.text, server.address));
    fake_answer(fd, opaque, 0, 1);
    expect_working(fd, &calls[1]);
    ck_assert_int_eq(record_count(&calls[0]), 1);
    ck_assert_int_eq(log_warnings(&logged), 0);
    close(fd);
    stop_client();
}
END_TEST

static int64_t now_ms(void)
{
    return rmq_clock_monotonic_ns() / 1000000;
}

/* While bytes come the answer may be behind them; silence ends a patient call as any other. */
START_TEST(a_patient_call_waits_while_the_peer_is_heard)
{
    enum { TIMEOUT_MS = 700, BODY_BYTES = 100000 };
    static char body[BODY_BYTES];
    start_client(NULL);
    calls[0].patience = 1000;
    record_start(&calls[0], TIMEOUT_MS);
    record_start(&calls[1], LONG_MS);
    int fd = fake_accept(&server);
    int32_t first = fake_read_opaque(fd);
    int32_t second = fake_read_opaque(fd);
    /* The answer before it is long, and comes bit by bit. */
    char header[128];
    int len = snprintf(header, sizeof(header), "{\"code\":0,\"flag\":1,\"opaque\":%d}", second);
    uint32_t sizes[2] = {htonl(4 + (uint32_t)len + BODY_BYTES), htonl((uint32_t)len)};
    fake_write(fd, sizes, sizeof(sizes));
    fake_write(fd, header, (size_t)len);
    size_t n_written = 0;
    for (int64_t start = now_ms(); now_ms() < start + 3 * TIMEOUT_MS; n_written++) {
        fake_write(fd, body, 1);
        usleep(20000);
    }
    ck_assert_int_eq(record_count(&calls[0]), 0);
    fake_write(fd, body, BODY_BYTES - n_written);
    fake_answer(fd, first, 0, 5);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_OK);
    ck_assert_int_eq(calls[0].number, 5);

    calls[2].patience = 20;
    int64_t start = now_ms();
    record_start(&calls[2], TIMEOUT_MS);
    (void)fake_read_opaque(fd);
    record_wait(&calls[2], 1);
    ck_assert_int_eq(calls[2].status, RMQ_TIMEOUT);
    ck_assert_int_lt(now_ms() - start, 10 * TIMEOUT_MS);
    close(fd);
    stop_client();
}
END_TEST

START_TEST(a_cancelled_call_is_never_completed)
{
    start_client(NULL);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    int32_t opaque = fake_read_opaque(fd);
    record_cancel(&calls[0]);
    fake_answer(fd, opaque, 0, 1);
    expect_working(fd, &calls[1]);
    ck_assert_int_eq(record_count(&calls[0]), 0);
    close(fd);
    stop_client();
    ck_assert_int_eq(calls[0].n_done, 0);
}
END_TEST

static void expect_hung_up(int fd, call_record *waiting, const char *text)
{
    fake_expect_closed(fd);
    record_wait(waiting, 1);
    ck_assert_int_ne(waiting->status, RMQ_OK);
    ck_assert(waiting->sent);
    ck_assert_msg(strstr(waiting->error.text, text) != NULL, "%s", waiting->error.text);
    ck_assert_int_eq(log_warnings(&logged), 1);
    log_wait_for(&logged, text);
    close(fd);
}

/* What is cancelled has no deadline any more: nothing happens when it passes. */
START_TEST(a_cancelled_call_is_left_alone_by_its_deadline)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.request_timeout_ms = LONG_MS;
    start_client(&config);
    int fd = -1;
    int32_t opaques[3];
    for (int i = 0; i < 3; i++) {
        record_start(&calls[i], SHORT_MS);
        if (i == 0)
            fd = fake_accept(&server);
        opaques[i] = fake_read_opaque(fd);
    }
    for (int i = 0; i < 3; i++)
        record_cancel(&calls[i]);
    record_start(&calls[3], 2 * SHORT_MS); /* its deadline is after theirs */
    (void)fake_read_opaque(fd);
    record_wait(&calls[3], 1);
    ck_assert_uint_eq(pending_counts(0), 0);
    ck_assert_uint_eq(pending_counts(1), 4);
    for (int i = 0; i < 3; i++)
        fake_answer(fd, opaques[i], 0, 1);
    expect_working(fd, &calls[0]);
    ck_assert_int_eq(record_count(&calls[1]), 0);
    close(fd);
    stop_client();
}
END_TEST

START_TEST(an_answer_nobody_asked_for_ends_the_connection)
{
    start_client(NULL);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    int32_t opaque = fake_read_opaque(fd);
    fake_answer(fd, opaque + 1000, 0, 1);
    expect_hung_up(fd, &calls[0], "nobody asked for");
    ck_assert_int_eq(calls[0].status, RMQ_PROTO);
    stop_client();
}
END_TEST

START_TEST(a_second_answer_ends_the_connection)
{
    start_client(NULL);
    record_start(&calls[0], LONG_MS);
    record_start(&calls[1], LONG_MS);
    int fd = fake_accept(&server);
    int32_t opaque = fake_read_opaque(fd);
    (void)fake_read_opaque(fd);
    fake_answer(fd, opaque, 0, 1);
    fake_answer(fd, opaque, 0, 2);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].number, 1);
    expect_hung_up(fd, &calls[1], "nobody asked for");
    ck_assert_int_eq(record_count(&calls[0]), 1);
    stop_client();
}
END_TEST

START_TEST(a_frame_over_the_cap_ends_the_connection)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.max_frame_bytes = 4096;
    start_client(&config);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    (void)fake_read_opaque(fd);
    fake_write(fd, "\x00\x00\x20\x00\x00\x00\x00\x10", 8);
    expect_hung_up(fd, &calls[0], "8196 bytes > max 4096");
    stop_client();
}
END_TEST

static const struct {
    const char *bytes;
    size_t len;
} garbage[] = {
    {"\x00\x00\x00\x06\x00\x00\x00\x02{]", 10},            /* not JSON */
    {"\x00\x00\x00\x06\x02\x00\x00\x02{}", 10},            /* no such serialization */
    {"\x00\x00\x00\x06\x00\x00\x00\x09{}", 10},            /* header longer than the frame */
    {"\x00\x00\x00\x00", 4},                               /* too short */
    {"\xff\xff\xff\xff\x00\x00\x00\x02", 8},               /* negative */
    {"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", 38}, /* another server altogether */
};

START_TEST(garbage_ends_the_connection)
{
    start_client(NULL);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    (void)fake_read_opaque(fd);
    fake_write(fd, garbage[_i].bytes, garbage[_i].len);
    fake_expect_closed(fd);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_PROTO);
    ck_assert(calls[0].sent);
    ck_assert_int_eq(log_warnings(&logged), 1);
    close(fd);
    stop_client();
}
END_TEST

START_TEST(a_server_request_is_answered_unsupported_unless_oneway)
{
    start_client(NULL);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    int32_t opaque = fake_read_opaque(fd);
    rmq_command request;
    rmq_command_init(&request, RMQ_REQUEST_NOTIFY_CONSUMER_IDS_CHANGED);
    request.flag = RMQ_FLAG_ONEWAY;
    request.opaque = opaque; /* the server's own number, which may be the same as ours */
    fake_write_command(fd, &request);
    rmq_command_deinit(&request);
    rmq_command_init(&request, 9999);
    request.opaque = 5;
    fake_write_command(fd, &request);
    rmq_command_deinit(&request);
    rmq_frame *frame;
    rmq_command answer;
    fake_read(fd, &frame, &answer); /* the oneway one got none */
    ck_assert(rmq_command_is_response(&answer));
    ck_assert_int_eq(answer.opaque, 5);
    ck_assert_int_eq(answer.code, RMQ_RESPONSE_REQUEST_CODE_NOT_SUPPORTED);
    rmq_command_deinit(&answer);
    rmq_frame_unref(frame);
    fake_answer(fd, opaque, 0, 8);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].number, 8);
    ck_assert_int_eq(log_warnings(&logged), 0);
    close(fd);
    stop_client();
}
END_TEST

static void run_oneway(rmq_task *task)
{
    (void)task;
    rmq_command request;
    rmq_command_init(&request, 35);
    rmq_call_oneway(client, server.address, &request);
    rmq_command_deinit(&request);
}

START_TEST(oneway_is_flagged_and_needs_no_answer)
{
    start_client(NULL);
    rmq_task task = {.run = run_oneway};
    rmq_loop_run_sync(client->loop, &task);
    int fd = fake_accept(&server);
    rmq_frame *frame;
    rmq_command command;
    fake_read(fd, &frame, &command);
    ck_assert_int_eq(command.code, 35);
    ck_assert(rmq_command_is_oneway(&command));
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    expect_working(fd, &calls[0]);
    close(fd);
    stop_client();
}
END_TEST

START_TEST(requests_are_signed)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.access_key = "RocketMQ";
    config.secret_key = "12345678";
    config.binary_headers = _i == 1;
    start_client(&config);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    rmq_frame *frame;
    rmq_command command;
    rmq_slice value;
    fake_read(fd, &frame, &command);
    ck_assert_int_eq(frame->serialization, _i);
    ck_assert(rmq_command_get(&command, "AccessKey", &value));
    ck_assert(rmq_slice_equals(value, "RocketMQ"));
    ck_assert(rmq_command_get(&command, "Signature", &value));
    ck_assert_uint_eq(value.len, 28);
    fake_answer(fd, command.opaque, 0, 1);
    record_wait(&calls[0], 1);
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    close(fd);
    stop_client();
}
END_TEST

typedef struct sync_ctx {
    rmq_status status;
    rmq_error error;
    int32_t code;
} sync_ctx;

static void *call_sync(void *ctx)
{
    sync_ctx *own = ctx;
    rmq_answer *answer = NULL;
    rmq_command request;
    rmq_command_init(&request, 105);
    own->status = rmq_call_sync(client, server.address, &request, LONG_MS, &answer, &own->error);
    rmq_command_deinit(&request);
    if (own->status == RMQ_OK) {
        own->code = answer->command.code;
        own->status = rmq_answer_error(answer, "ROUTE", "it", &own->error);
    }
    rmq_answer_free(answer);
    return NULL;
}

typedef struct code_case {
    int32_t code;
    const char *remark;
    rmq_status status;
    bool retriable;
} code_case;

static const code_case codes[] = {
    {0, "not set any response code", RMQ_OK, false},
    {1, "java.lang.NullPointerException", RMQ_BROKER, false},
    {1, "org.apache.rocketmq.acl.common.AclException: No accessKey", RMQ_AUTH, false},
    {2, "[REJECTREQUEST]", RMQ_BROKER, true},
    {3, NULL, RMQ_UNSUPPORTED, false},
    {13, "too big", RMQ_INVAL, false},
    {16, "check signature failed.", RMQ_AUTH, false},
    {17, "no route", RMQ_NOT_FOUND, false},
    {22, NULL, RMQ_NOT_FOUND, false},
    {26, "group", RMQ_NOT_FOUND, false},
    {215, NULL, RMQ_BROKER, true},
    {12345, "new", RMQ_BROKER, false},
};

START_TEST(answers_become_statuses)
{
    const code_case *expected = &codes[_i];
    sync_ctx own = {.status = RMQ_OK};
    pthread_t thread;
    start_client(NULL);
    pthread_create(&thread, NULL, call_sync, &own);
    int fd = fake_accept(&server);
    fake_answer_body(fd, fake_read_opaque(fd), expected->code, expected->remark,
                     (rmq_slice){NULL, 0});
    pthread_join(thread, NULL);
    ck_assert_int_eq(own.status, expected->status);
    ck_assert_int_eq(own.code, expected->code);
    if (own.status != RMQ_OK) {
        ck_assert_int_eq(own.error.broker_code, expected->code);
        ck_assert_int_eq(own.error.retriable, expected->retriable);
        ck_assert(expected->remark == NULL || strstr(own.error.text, expected->remark) != NULL);
        ck_assert_ptr_nonnull(strstr(own.error.text, "ROUTE to it"));
    }
    close(fd);
    stop_client();
}
END_TEST

START_TEST(free_while_a_call_waits_ends_it)
{
    sync_ctx own = {.status = RMQ_OK};
    pthread_t thread;
    start_client(NULL);
    pthread_create(&thread, NULL, call_sync, &own);
    int fd = fake_accept(&server);
    (void)fake_read_opaque(fd);
    rmq_client_free(client);
    pthread_join(thread, NULL);
    ck_assert_int_eq(own.status, RMQ_CANCELLED);
    close(fd);
    fake_peer_close(&server);
}
END_TEST

START_TEST(after_cancel_calls_are_refused)
{
    start_client(NULL);
    rmq_client_cancel(client);
    record_start(&calls[0], LONG_MS);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_CANCELLED);
    ck_assert(!calls[0].sent);
    ck_assert(fake_nobody_connects(&server, 0));
    stop_client();
}
END_TEST

START_TEST(a_bad_address_is_refused)
{
    start_client(NULL);
    calls[0].address = "no port";
    record_start(&calls[0], LONG_MS);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_INVAL);
    stop_client();
}
END_TEST

/* Each allocation of a call on an open connection fails once: the call ends with NOMEM (or, where
 * the answer could not be held, with the connection), exactly once, and the client stays usable. */
START_TEST(survives_lack_of_memory)
{
    fault_alloc_fail(-1);
    start_client(NULL);
    int fd = -1;
    int n_points = 0;
    for (int64_t nth = 0; nth < 200; nth++) {
        int before = record_count(&calls[0]);
        record_start(&calls[0], LONG_MS);
        if (fd < 0)
            fd = fake_accept(&server);
        fake_answer(fd, fake_read_opaque(fd), 0, 1);
        record_wait(&calls[0], before + 1);
        ck_assert_int_eq(calls[0].status, RMQ_OK);
        fault_alloc_rearm(nth);
        record_start(&calls[1], LONG_MS);
        bool failed = fault_alloc_failed() > 0;
        fault_alloc_rearm(-1);
        if (!calls[1].refused) { /* it worked, or the call came from the reserve */
            fake_answer(fd, fake_read_opaque(fd), 0, 1);
            record_wait(&calls[1], (int)nth + 1);
            ck_assert_int_eq(calls[1].status, RMQ_OK);
        } else {
            record_wait(&calls[1], (int)nth + 1);
            ck_assert_int_eq(calls[1].status, RMQ_NOMEM);
            ck_assert(!calls[1].sent);
        }
        if (!failed)
            break;
        n_points++;
    }
    ck_assert_int_ge(n_points, 3);
    close(fd);
    stop_client();
    ck_assert_int_eq(fault_alloc_live(), 0);
    fault_alloc_off();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("call");
    TCase *tc = tcase_create("call");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, answers_are_matched_in_any_order);
    tcase_add_test(tc, a_late_answer_is_dropped_and_the_stream_goes_on);
    tcase_add_test(tc, a_patient_call_waits_while_the_peer_is_heard);
    tcase_add_test(tc, a_cancelled_call_is_never_completed);
    tcase_add_test(tc, a_cancelled_call_is_left_alone_by_its_deadline);
    tcase_add_test(tc, an_answer_nobody_asked_for_ends_the_connection);
    tcase_add_test(tc, a_second_answer_ends_the_connection);
    tcase_add_test(tc, a_frame_over_the_cap_ends_the_connection);
    tcase_add_loop_test(tc, garbage_ends_the_connection, 0,
                        (int)(sizeof(garbage) / sizeof(garbage[0])));
    tcase_add_test(tc, a_server_request_is_answered_unsupported_unless_oneway);
    tcase_add_test(tc, oneway_is_flagged_and_needs_no_answer);
    tcase_add_loop_test(tc, requests_are_signed, 0, 2);
    tcase_add_loop_test(tc, answers_become_statuses, 0, (int)(sizeof(codes) / sizeof(codes[0])));
    tcase_add_test(tc, free_while_a_call_waits_ends_it);
    tcase_add_test(tc, after_cancel_calls_are_refused);
    tcase_add_test(tc, a_bad_address_is_refused);
    tcase_add_test(tc, survives_lack_of_memory);
    suite_add_tcase(suite, tc);
    return suite;
}
