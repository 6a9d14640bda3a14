/* Calls to peers in trouble: nobody listens, the connect hangs, the connection is lost, the peer
 * reads nothing, says nothing, or says a byte now and then.
 *
 * Of each call three things are checked: that it ends, with which status, and whether it may have
 * reached the peer ("sent"). Of the link: that it is given up when it is of no use any more, that
 * the next call finds a new one, and that an outage is one warning, not one per call. */
#include "call_fixture.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(a_refused_connect_says_so_and_was_not_sent)
{
    start_client(NULL);
    fake_peer_close(&server); /* nobody listens there now */
    record_start(&calls[0], LONG_MS);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_IO);
    ck_assert(!calls[0].sent);
    ck_assert_ptr_nonnull(strstr(calls[0].error.text, server.address));
    ck_assert_ptr_nonnull(strstr(calls[0].error.text, "refused"));
    ck_assert_int_ne(calls[0].error.os_errno, 0);
    stop_client();
}
END_TEST

START_TEST(an_outage_is_warned_of_once)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.reconnect_max_ms = 1;
    start_client(&config);
    fake_peer nobody;
    fake_peer_open(&nobody);
    fake_peer_close(&nobody);
    record_deinit(&calls[0]);
    record_init(&calls[0], client, nobody.address);
    for (int i = 0; i < 20; i++) {
        record_start(&calls[0], LONG_MS);
        record_wait(&calls[0], i + 1);
        ck_assert_int_eq(calls[0].status, RMQ_IO);
    }
    ck_assert_int_eq(log_warnings(&logged), 1);
    stop_client();
}
END_TEST

START_TEST(it_connects_again_after_a_loss_and_says_so_once)
{
    start_client(NULL);
    for (int i = 0; i < 3; i++) {
        record_start(&calls[0], LONG_MS);
        int fd = fake_accept(&server);
        (void)fake_read_opaque(fd);
        close(fd); /* with a call in flight */
        record_wait(&calls[0], 2 * i + 1);
        ck_assert_int_eq(calls[0].status, RMQ_CLOSED);
        ck_assert(calls[0].sent);
        record_start(&calls[0], LONG_MS); /* waits for the new connection */
        fd = fake_accept(&server);
        fake_answer(fd, fake_read_opaque(fd), 0, 7);
        record_wait(&calls[0], 2 * i + 2);
        ck_assert_int_eq(calls[0].number, 7);
        ck_assert_int_eq(log_warnings(&logged), i + 1);
        close(fd); /* idle: no warning */
        log_wait_for(&logged, "(idle)");
    }
    log_wait_for(&logged, "answers again");
    ck_assert_int_eq(log_warnings(&logged), 3);
    stop_client();
}
END_TEST

/* A listener whose backlog is full: connects hang. */
static void fill_backlog(int listener, int *out_fds, int count)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    listen(listener, 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    for (int i = 0; i < count; i++) {
        out_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(out_fds[i], (struct sockaddr *)&address, len);
    }
}

START_TEST(a_deadline_while_connecting_means_not_sent)
{
    int clogs[4];
    start_client(NULL);
    fill_backlog(server.listener, clogs, 4);
    record_start(&calls[0], SHORT_MS);
    record_start(&calls[1], LONG_MS);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_TIMEOUT);
    ck_assert(!calls[0].sent);
    rmq_client_cancel(client);
    record_wait(&calls[1], 1);
    ck_assert_int_eq(calls[1].status, RMQ_CANCELLED);
    ck_assert(!calls[1].sent);
    for (int i = 0; i < 4; i++)
        close(clogs[i]);
    stop_client();
}
END_TEST

START_TEST(a_connect_that_hangs_ends_by_the_connect_timeout)
{
    int clogs[4];
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.connect_timeout_ms = 100;
    start_client(&config);
    fill_backlog(server.listener, clogs, 4);
    record_start(&calls[0], LONG_MS);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_IO);
    ck_assert(!calls[0].sent);
    ck_assert_ptr_nonnull(strstr(calls[0].error.text, "timed out"));
    ck_assert_ptr_nonnull(strstr(calls[0].error.text, server.address));
    for (int i = 0; i < 4; i++)
        close(clogs[i]);
    stop_client();
}
END_TEST

typedef struct flood {
    rmq_task task;
    size_t n_bytes;
    int n_full;
    int n_cancelled;
    int n_sent_unknown;
    int n_done;
    int n_started;
} flood;

static void on_flood_done(void *ctx, const rmq_call_outcome *outcome)
{
    flood *own = ctx;
    own->n_done++;
    own->n_full += outcome->status == RMQ_FULL && !outcome->sent;
    own->n_cancelled += outcome->status == RMQ_CANCELLED;
    own->n_sent_unknown += outcome->status == RMQ_TIMEOUT && outcome->sent;
}

/* Starts calls of 64 KiB to a peer that doesn't read. */
static void run_flood(rmq_task *task)
{
    flood *own = (flood *)task;
    static char body[65536];
    for (int i = 0; i < 200; i++) {
        rmq_command request;
        rmq_command_init(&request, 310);
        request.body = (rmq_slice){body, sizeof(body)};
        rmq_call_start(client, server.address, &request, LONG_MS, on_flood_done, own);
        rmq_command_deinit(&request);
        own->n_started++;
    }
}

START_TEST(a_peer_that_does_not_read_fills_the_queue_and_no_more)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.max_write_bytes = 1 << 20;
    start_client(&config);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    fake_answer(fd, fake_read_opaque(fd), 0, 1);
    record_wait(&calls[0], 1);
    flood own = {.task = {.run = run_flood}};
    rmq_loop_run_sync(client->loop, &own.task);
    rmq_client_free(client); /* bounded although the peer is stuck */
    ck_assert_int_eq(own.n_done, own.n_started);
    ck_assert_int_ge(own.n_full, 100); /* at least those beyond the cap and the socket's buffers */
    ck_assert_int_ge(own.n_cancelled, 15);
    ck_assert_int_eq(own.n_full + own.n_cancelled, own.n_started);
    close(fd);
    fake_peer_close(&server);
}
END_TEST

/* Starts a big call and, behind it, a small one with a short deadline; the peer doesn't read. */
START_TEST(what_timed_out_in_the_queue_is_taken_back)
{
    start_client(NULL);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    fake_answer(fd, fake_read_opaque(fd), 0, 1);
    record_wait(&calls[0], 1);
    flood own = {.task = {.run = run_flood}};
    rmq_loop_run_sync(client->loop, &own.task); /* 13 MB: more than sockets hold */
    calls[1].request_code = 777;
    record_start(&calls[1], SHORT_MS);
    record_wait(&calls[1], 1);
    ck_assert_int_eq(calls[1].status, RMQ_TIMEOUT);
    ck_assert(!calls[1].sent);
    calls[2].request_code = 778;
    record_start(&calls[2], LONG_MS);
    for (int i = 0; i < 200; i++) {
        rmq_frame *frame;
        rmq_command command;
        fake_read(fd, &frame, &command);
        ck_assert_int_eq(command.code, 310);
        rmq_command_deinit(&command);
        rmq_frame_unref(frame);
    }
    rmq_frame *frame;
    rmq_command command;
    fake_read(fd, &frame, &command); /* 777 never comes */
    ck_assert_int_eq(command.code, 778);
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    stop_client();
    ck_assert_int_eq(own.n_done, 200);
    close(fd);
}
END_TEST

/* The next call on a new connection is answered. */
static void expect_new_connection(int n_done)
{
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    fake_answer(fd, fake_read_opaque(fd), 0, 9);
    record_wait(&calls[0], n_done);
    ck_assert_int_eq(calls[0].number, 9);
    close(fd);
    stop_client();
}

START_TEST(a_silent_peer_is_hung_up_on)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.request_timeout_ms = 50;
    start_client(&config);
    record_start(&calls[0], SHORT_MS);
    int fd = fake_accept(&server);
    (void)fake_read_opaque(fd);
    record_wait(&calls[0], 1);
    ck_assert_int_eq(calls[0].status, RMQ_TIMEOUT);
    fake_expect_closed(fd);
    log_wait_for(&logged, "no answer");
    ck_assert_int_eq(log_warnings(&logged), 1);
    close(fd);
    expect_new_connection(2);
}
END_TEST

/* While others wait for their answers, one that doesn't come is no reason to lose them all. */
START_TEST(a_silent_peer_that_others_wait_for_gets_three_tries)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.request_timeout_ms = 50;
    start_client(&config);
    record_start(&calls[3], LONG_MS);
    int fd = fake_accept(&server);
    (void)fake_read_opaque(fd);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(record_count(&calls[3]), 0);
        record_start(&calls[i], SHORT_MS);
        (void)fake_read_opaque(fd);
        record_wait(&calls[i], 1);
        ck_assert_int_eq(calls[i].status, RMQ_TIMEOUT);
    }
    fake_expect_closed(fd);
    record_wait(&calls[3], 1);
    ck_assert_int_eq(calls[3].status, RMQ_CLOSED);
    close(fd);
    expect_new_connection(2);
}
END_TEST

/* Half a frame that never ends: bytes come all the time, an answer never does. */
START_TEST(a_peer_that_trickles_is_hung_up_on)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.request_timeout_ms = 300;
    start_client(&config);
    int fd = -1;
    const uint8_t length[] = {0, 0, 16, 0, 0, 0, 0, 200};
    for (int i = 0; i < 6; i++) {
        record_start(&calls[0], SHORT_MS);
        if (i == 0) {
            fd = fake_accept(&server);
            fake_write(fd, length, sizeof(length));
        }
        (void)fake_read_opaque(fd);
        fake_write(fd, "{", 1);
        record_wait(&calls[0], i + 1);
        ck_assert_int_eq(calls[0].status, RMQ_TIMEOUT);
    }
    fake_expect_closed(fd);
    close(fd);
    expect_new_connection(7);
}
END_TEST

/* The client's end of the connection to the server. */
static int client_socket(void)
{
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer = {.sin_family = AF_UNSPEC};
        socklen_t len = sizeof(peer);
        char text[64];
        if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0 || peer.sin_family != AF_INET)
            continue;
        snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(peer.sin_port));
        if (strcmp(text, server.address) == 0)
            return fd;
    }
    ck_abort_msg("no connection to %s", server.address);
    return -1;
}

/* The other machine may vanish and come back without a word: within 5 s of that something must be
 * sent that it answers with a reset. */
START_TEST(a_machine_that_vanished_is_asked_for)
{
    int idle_s = 0;
    int interval_s = 0;
    int unanswered_ms = 0;
    socklen_t len = sizeof(int);
    start_client(NULL);
    record_start(&calls[0], LONG_MS);
    int fd = fake_accept(&server);
    fake_answer(fd, fake_read_opaque(fd), 0, 1);
    record_wait(&calls[0], 1);
    int mine = client_socket();
    ck_assert_int_eq(getsockopt(mine, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, &len), 0);
    ck_assert_int_eq(getsockopt(mine, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, &len), 0);
    ck_assert_int_eq(getsockopt(mine, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, &len), 0);
    ck_assert_int_le(idle_s, 4);
    ck_assert_int_le(interval_s, 4);
    ck_assert(unanswered_ms > 0 && unanswered_ms <= 10000);
    close(fd);
    stop_client();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("call trouble");
    TCase *tc = tcase_create("call");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_refused_connect_says_so_and_was_not_sent);
    tcase_add_test(tc, an_outage_is_warned_of_once);
    tcase_add_test(tc, it_connects_again_after_a_loss_and_says_so_once);
    tcase_add_test(tc, a_deadline_while_connecting_means_not_sent);
    tcase_add_test(tc, a_connect_that_hangs_ends_by_the_connect_timeout);
    tcase_add_test(tc, a_peer_that_does_not_read_fills_the_queue_and_no_more);
    tcase_add_test(tc, what_timed_out_in_the_queue_is_taken_back);
    tcase_add_test(tc, a_silent_peer_is_hung_up_on);
    tcase_add_test(tc, a_silent_peer_that_others_wait_for_gets_three_tries);
    tcase_add_test(tc, a_peer_that_trickles_is_hung_up_on);
    tcase_add_test(tc, a_machine_that_vanished_is_asked_for);
    suite_add_tcase(suite, tc);
    return suite;
}
