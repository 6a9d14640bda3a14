/* Readers, on any broker. */
#include "reader_room.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads [start, end) with `config`'s other settings, and checks every byte and the end. */
static void read_range(rmq_reader_config *config, int64_t start, int64_t end, size_t max_len)
{
    rmq_status status;
    config->start_offset = start;
    config->end_offset = end;
    rmq_reader *reader = open_reader(config);
    int64_t n = test_reader_expect(reader, start, end - start + 1, max_len, 20000, &status);
    ck_assert_msg(n == end - start, "%lld of %lld messages, then %s: %s", (long long)n,
                  (long long)(end - start), rmq_status_name(status), err.text);
    ck_assert_int_eq(status, RMQ_NOT_FOUND);
    ck_status(next_status(reader, 0), RMQ_NOT_FOUND);
    ck_assert_int_eq(rmq_reader_position(reader), end);
    rmq_reader_close(reader);
}

START_TEST(ranges_are_what_was_sent)
{
    static const int32_t pulls[] = {0, 1, 2, 64};
    test_broker_fill(&broker, &queue, 0, 5000, 100);
    for (size_t i = 0; i < 4; i++) {
        rmq_reader_config config = config_for(0, 0);
        config.max_pulls = pulls[i];
        read_range(&config, 0, 5000, 100);
        read_range(&config, 17, 4711, 100);
        read_range(&config, 31, 33, 100);
        read_range(&config, 4999, 5000, 100);
        read_range(&config, 5000, 5000, 100);
    }
    rmq_reader_config config = config_for(0, 0);
    config.max_messages = 7;
    read_range(&config, 3, 1000, 100);
}
END_TEST

START_TEST(a_hundred_thousand_messages)
{
    test_broker_fill(&broker, &queue, 0, 100000, 60);
    rmq_reader_config config = config_for(0, 0);
    read_range(&config, 0, 100000, 60);
}
END_TEST

/* Bodies so large that the broker's limit in bytes ends the answers, at another count each time. */
START_TEST(large_messages)
{
    test_broker_fill(&broker, &queue, 0, 300, 40000);
    rmq_reader_config config = config_for(0, 0);
    read_range(&config, 0, 300, 40000);
    config.max_buffered_bytes = 1;
    read_range(&config, 0, 300, 40000);
    config.max_buffered_bytes = 100000;
    read_range(&config, 5, 299, 40000);
}
END_TEST

/* What is small on the wire and large in memory is handed out in pieces, not refused. */
START_TEST(decompressed_bodies_are_bounded)
{
    enum { N = 20, LEN = 20000, CAP = 50000 };
    static char body[LEN];
    rmq_producer *producer = NULL;
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    memset(body, 'x', sizeof(body));
    message.topic = queue.topic;
    message.broker_name = queue.broker_name;
    message.queue_id = queue.queue_id;
    message.body = (rmq_slice){body, sizeof(body)};
    message.compression = RMQ_COMPRESSION_ZLIB;
    ck_ok(rmq_producer_new(broker.client, NULL, &producer, &err), &err);
    for (int i = 0; i < N; i++)
        ck_ok(rmq_producer_send(producer, &message, NULL, &err), &err);
    rmq_producer_free(producer);

    rmq_reader_config config = config_for(0, N);
    config.max_body_bytes = CAP;
    config.max_buffered_bytes = CAP;
    rmq_reader *reader = open_reader(&config);
    int64_t n = 0;
    rmq_batch *batch = NULL;
    while (n < N && rmq_reader_next(reader, 20000, &batch, &err) == RMQ_OK) {
        size_t n_bytes = 0;
        for (size_t i = 0; i < rmq_batch_count(batch); i++) {
            const rmq_message *got = rmq_batch_at(batch, i);
            ck_assert_int_eq(got->queue_offset, n++);
            ck_assert_int_eq(got->body_status, RMQ_OK);
            n_bytes += got->body.len;
        }
        ck_assert_uint_le(n_bytes, CAP);
        ck_assert_int_eq(rmq_reader_position(reader), n);
        rmq_batch_unref(batch);
    }
    ck_assert_msg(n == N, "%lld of %d messages, then %s", (long long)n, (int)N, err.text);
    ck_status(next_status(reader, 0), RMQ_NOT_FOUND);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(binary_headers)
{
    rmq_client_config settings = RMQ_CLIENT_CONFIG_INIT;
    settings.namesrv = broker.namesrv;
    settings.binary_headers = true;
    test_broker_credentials(&broker, &settings);
    rmq_client *before = broker.client;
    ck_ok(rmq_client_new(&settings, &broker.client, &err), &err);
    rmq_client *filler = broker.filler;
    broker.filler = broker.client;
    test_broker_fill(&broker, &queue, 0, 1000, 60);
    rmq_reader_config config = config_for(0, 0);
    read_range(&config, 0, 1000, 60);
    rmq_client_free(broker.client);
    broker.client = before;
    broker.filler = filler;
}
END_TEST

START_TEST(empty_range_asks_nothing)
{
    rmq_reader_config config = config_for(0, 0);
    rmq_reader *reader = open_reader(&config);
    ck_status(next_status(reader, 0), RMQ_NOT_FOUND);
    ck_assert_int_eq(rmq_reader_max_offset(reader), -1);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(endless_reader_waits_for_what_comes)
{
    rmq_status status;
    rmq_reader_config config = config_for(0, RMQ_READ_ENDLESS);
    rmq_reader *reader = open_reader(&config);
    ck_status(next_status(reader, 0), RMQ_AGAIN);
    ck_status(next_status(reader, 50), RMQ_AGAIN);
    for (int64_t i = 0; i < 5; i++) {
        test_broker_fill(&broker, &queue, i * 10, 10, 50);
        int64_t start = now_ms();
        ck_assert_int_eq(test_reader_expect(reader, i * 10, 10, 50, 10000, &status), 10);
        ck_assert_int_lt(now_ms() - start, 10000); /* a long poll ends when a message comes */
    }
    test_broker_fill(&broker, &queue, 50, 2000, 50);
    ck_assert_int_eq(test_reader_expect(reader, 50, 2000, 50, 10000, &status), 2000);
    ck_assert_int_eq(rmq_reader_position(reader), 2050);
    ck_assert_int_ge(rmq_reader_max_offset(reader), 2050);
    ck_assert_int_eq(rmq_reader_min_offset(reader), 0);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(endless_reader_from_the_middle)
{
    rmq_status status;
    test_broker_fill(&broker, &queue, 0, 3000, 60);
    rmq_reader_config config = config_for(1234, RMQ_READ_ENDLESS);
    rmq_reader *reader = open_reader(&config);
    ck_assert_int_eq(test_reader_expect(reader, 1234, 1766, 60, 10000, &status), 1766);
    ck_status(next_status(reader, 20), RMQ_AGAIN);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(seek_goes_on_elsewhere)
{
    rmq_status status;
    test_broker_fill(&broker, &queue, 0, 2000, 60);
    rmq_reader_config config = config_for(0, 2000);
    rmq_reader *reader = open_reader(&config);
    ck_assert_int_eq(test_reader_expect(reader, 0, 32, 60, 10000, &status), 32);
    ck_ok(rmq_reader_seek(reader, 1500, &err), &err);
    ck_assert_int_eq(rmq_reader_position(reader), 1500);
    ck_assert_int_eq(test_reader_expect(reader, 1500, 501, 60, 10000, &status), 500);
    ck_assert_int_eq(status, RMQ_NOT_FOUND);
    ck_ok(rmq_reader_seek(reader, 7, &err), &err);
    ck_assert_int_eq(test_reader_expect(reader, 7, 1994, 60, 10000, &status), 1993);
    ck_assert_int_eq(status, RMQ_NOT_FOUND);
    ck_ok(rmq_reader_seek(reader, 2000, &err), &err);
    ck_status(next_status(reader, 0), RMQ_NOT_FOUND);
    ck_status(rmq_reader_seek(reader, 2001, &err), RMQ_INVAL);
    ck_status(rmq_reader_seek(reader, -1, &err), RMQ_INVAL);
    for (int64_t i = 0; i < 50; i++) { /* while pulls are under way */
        ck_ok(rmq_reader_seek(reader, i * 37, &err), &err);
        if (i % 5 == 0)
            ck_assert_int_ge(test_reader_expect(reader, i * 37, 1, 60, 10000, &status), 1);
    }
    rmq_reader_close(reader);
}
END_TEST

typedef struct waiting_reader {
    pthread_t thread;
    rmq_reader *reader;
    atomic_int status;
} waiting_reader;

static void *wait_for_batch(void *ctx)
{
    waiting_reader *self = ctx;
    rmq_batch *batch = NULL;
    rmq_error why;
    atomic_store(&self->status, (int)rmq_reader_next(self->reader, 60000, &batch, &why));
    return NULL;
}

static void cancel_while_waiting(void (*cancel)(rmq_reader *reader))
{
    rmq_reader_config config = config_for(0, RMQ_READ_ENDLESS);
    waiting_reader self = {.reader = open_reader(&config)};
    atomic_init(&self.status, -1);
    ck_assert_int_eq(pthread_create(&self.thread, NULL, wait_for_batch, &self), 0);
    usleep(20000); /* so that it waits, most times: either way it must end */
    int64_t start = now_ms();
    cancel(self.reader);
    pthread_join(self.thread, NULL);
    ck_assert_int_lt(now_ms() - start, 20000); /* it would wait for 60 s */
    ck_assert_int_eq(atomic_load(&self.status), RMQ_CANCELLED);
    ck_status(next_status(self.reader, 0), RMQ_CANCELLED);
    ck_status(rmq_reader_seek(self.reader, 0, &err), RMQ_CANCELLED);
    rmq_reader_close(self.reader);
}

static void cancel_reader(rmq_reader *reader)
{
    rmq_reader_cancel(reader);
}

static void cancel_client(rmq_reader *reader)
{
    (void)reader;
    rmq_client_cancel(broker.client);
}

START_TEST(cancel_wakes)
{
    cancel_while_waiting(cancel_reader);
    cancel_while_waiting(cancel_client);
    rmq_reader_config config = config_for(0, RMQ_READ_ENDLESS);
    rmq_reader *reader = open_reader(&config); /* of a cancelled client */
    ck_status(next_status(reader, 1000), RMQ_CANCELLED);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(close_is_quick_whatever_is_under_way)
{
    test_broker_fill(&broker, &queue, 0, 3000, 60);
    for (int i = 0; i < 20; i++) {
        rmq_reader_config config = config_for(0, i % 2 ? 3000 : RMQ_READ_ENDLESS);
        rmq_reader *reader = open_reader(&config);
        rmq_batch *batch = NULL;
        if (i % 4 < 2)
            ck_ok(rmq_reader_next(reader, 10000, &batch, &err), &err);
        int64_t start = now_ms();
        rmq_reader_close(reader);
        ck_assert_int_lt(now_ms() - start, 5000); /* a hold takes 15 s */
        if (batch != NULL) {                      /* outlives its reader */
            ck_assert_int_eq(rmq_batch_at(batch, 0)->queue_offset, 0);
            rmq_batch_unref(batch);
        }
    }
}
END_TEST

START_TEST(tags_are_filtered_by_string)
{
    test_broker_fill(&broker, &queue, 0, 3000, 60);
    rmq_reader_config config = config_for(0, 3000);
    config.expression = _i == 0 ? "BB" : _i == 1 ? " C || BB" : "none of them";
    rmq_reader *reader = open_reader(&config);
    rmq_batch *batch = NULL;
    int64_t n = 0;
    int64_t last = -1;
    while (rmq_reader_next(reader, 20000, &batch, &err) == RMQ_OK) {
        for (size_t i = 0; i < rmq_batch_count(batch); i++, n++) {
            const rmq_message *message = rmq_batch_at(batch, i);
            ck_assert_int_gt(message->queue_offset, last);
            last = message->queue_offset;
            bool wanted = last % 3 == 1 || (_i == 1 && last % 3 == 2);
            ck_assert_msg(wanted, "offset %lld was not asked for", (long long)last);
        }
        rmq_batch_unref(batch);
    }
    ck_assert_int_eq(err.status, RMQ_NOT_FOUND);
    ck_assert_int_eq(rmq_reader_position(reader), 3000);
    ck_assert_int_eq(n, _i == 0 ? 1000 : _i == 1 ? 2000 : 0);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(sql_is_checked_before_the_first_pull)
{
    test_broker_fill(&broker, &queue, 0, 300, 60);
    rmq_reader_config config = config_for(0, 300);
    config.sql92 = true;
    config.expression = "a is not null and (b >";
    rmq_reader *reader = open_reader(&config);
    rmq_status status = next_status(reader, 20000);
    rmq_reader_close(reader);
    if (status == RMQ_UNSUPPORTED) /* this broker has no SQL filter, and says so */
        return;
    ck_assert_int_eq(status, RMQ_INVAL);
    ck_assert_uint_gt(strlen(err.text), 20);
    config.expression = "TAGS = 'C'";
    reader = open_reader(&config);
    int64_t n = 0;
    rmq_batch *batch = NULL;
    while (rmq_reader_next(reader, 20000, &batch, &err) == RMQ_OK) {
        for (size_t i = 0; i < rmq_batch_count(batch); i++, n++)
            ck_assert_int_eq(rmq_batch_at(batch, i)->queue_offset % 3, 2);
        rmq_batch_unref(batch);
    }
    ck_assert_int_eq(err.status, RMQ_NOT_FOUND);
    ck_assert_int_eq(n, 100);
    rmq_reader_close(reader);
}
END_TEST

START_TEST(missing_topic_is_waited_for)
{
    char text[200];
    rmq_reader_config config = config_for(0, RMQ_READ_ENDLESS);
    config.queue.topic = "no_such_topic_anywhere";
    rmq_reader *reader = open_reader(&config);
    int64_t start = now_ms();
    do {
        ck_status(next_status(reader, 50), RMQ_AGAIN);
        rmq_reader_trouble(reader, text, sizeof(text));
    } while (text[0] == '\0' && now_ms() - start < 10000);
    ck_assert_ptr_nonnull(strstr(text, "no_such_topic_anywhere"));
    rmq_reader_close(reader);
}
END_TEST

START_TEST(illegal_configurations)
{
    rmq_reader *reader = NULL;
    rmq_reader_config config = config_for(0, 10);
    switch (_i) {
    case 0:
        config.queue.topic = NULL;
        break;
    case 1:
        config.queue.broker_name = "";
        break;
    case 2:
        config.queue.queue_id = -1;
        break;
    case 3:
        config.start_offset = 11;
        break;
    case 4:
        config.start_offset = -1;
        break;
    case 5:
        config.max_pulls = 100000;
        break;
    case 6:
        config.sql92 = true;
        break;
    case 7:
        config.hold_ms = -1;
        break;
    default:
        config.struct_size = 3;
        break;
    }
    ck_status(rmq_reader_open(broker.client, &config, &reader, &err), RMQ_INVAL);
    ck_assert_uint_gt(strlen(err.text), 10);
}
END_TEST

static atomic_int n_ready;

static void count_ready(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&n_ready, 1);
}

START_TEST(on_ready_tells_when_to_ask)
{
    test_broker_fill(&broker, &queue, 0, 500, 60);
    rmq_reader_config config = config_for(0, 500);
    config.on_ready = count_ready;
    atomic_store(&n_ready, 0);
    rmq_reader *reader = open_reader(&config);
    int64_t n = 0;
    rmq_status status = RMQ_AGAIN;
    int64_t start = now_ms();
    while (status != RMQ_NOT_FOUND && now_ms() - start < 20000) {
        if (atomic_exchange(&n_ready, 0) == 0) {
            usleep(1000);
            continue;
        }
        rmq_batch *batch = NULL;
        do {
            status = rmq_reader_next(reader, 0, &batch, &err);
            if (status == RMQ_OK) {
                n += (int64_t)rmq_batch_count(batch);
                rmq_batch_unref(batch);
            }
        } while (status == RMQ_OK);
    }
    ck_assert_int_eq(n, 500);
    rmq_reader_close(reader);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("reader");
    TCase *tcase = tcase_create("reader");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, ranges_are_what_was_sent);
    tcase_add_test(tcase, a_hundred_thousand_messages);
    tcase_add_test(tcase, large_messages);
    tcase_add_test(tcase, decompressed_bodies_are_bounded);
    tcase_add_test(tcase, binary_headers);
    tcase_add_test(tcase, empty_range_asks_nothing);
    tcase_add_test(tcase, endless_reader_waits_for_what_comes);
    tcase_add_test(tcase, endless_reader_from_the_middle);
    tcase_add_test(tcase, seek_goes_on_elsewhere);
    tcase_add_test(tcase, cancel_wakes);
    tcase_add_test(tcase, close_is_quick_whatever_is_under_way);
    tcase_add_loop_test(tcase, tags_are_filtered_by_string, 0, 3);
    tcase_add_test(tcase, sql_is_checked_before_the_first_pull);
    tcase_add_test(tcase, missing_topic_is_waited_for);
    tcase_add_loop_test(tcase, illegal_configurations, 0, 9);
    tcase_add_test(tcase, on_ready_tells_when_to_ask);
    suite_add_tcase(suite, tcase);
    return suite;
}
