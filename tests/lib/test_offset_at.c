/* The first message at or after a time, on any broker, against what reading all messages says. */
#include "../support/test_broker.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static test_broker broker;
static rmq_queue queue;
static rmq_error err;

static void setup(void)
{
    memset(&err, 0, sizeof(err));
    test_broker_start(&broker);
    char *topic = test_broker_topic(&broker, 1);
    queue = (rmq_queue){topic, test_broker_name(&broker, topic), 0};
}

static void teardown(void)
{
    free((char *)(uintptr_t)queue.topic);
    free((char *)(uintptr_t)queue.broker_name);
    test_broker_stop(&broker);
}

/* Store times of all messages; free() it. */
static int64_t *read_times(int64_t count)
{
    int64_t *times = calloc((size_t)count + 1, sizeof(*times));
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.end_offset = count;
    rmq_reader *reader = NULL;
    ck_ok(rmq_reader_open(broker.client, &config, &reader, &err), &err);
    for (int64_t n = 0; n < count;) {
        rmq_batch *batch = NULL;
        ck_ok(rmq_reader_next(reader, 20000, &batch, &err), &err);
        for (size_t i = 0; i < rmq_batch_count(batch); i++)
            times[n++] = rmq_batch_at(batch, i)->store_timestamp_ms;
        rmq_batch_unref(batch);
    }
    rmq_reader_close(reader);
    return times;
}

static void expect(const int64_t *times, int64_t count, int64_t timestamp_ms)
{
    int64_t wanted = 0, got = -1;
    while (wanted < count && times[wanted] < timestamp_ms)
        wanted++;
    ck_ok(rmq_queue_offset_at(broker.client, &queue, timestamp_ms, &got, &err), &err);
    ck_assert_msg(got == wanted, "at %lld: %lld, expected %lld", (long long)timestamp_ms,
                  (long long)got, (long long)wanted);
}

/* Several messages with one store time, in groups that lie some milliseconds apart. */
START_TEST(agrees_with_what_is_there)
{
    const int64_t each = 5, groups = 6, count = each * groups;
    for (int64_t g = 0; g < groups; g++) {
        test_broker_fill(&broker, &queue, g * each, each, 20);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* apart, not in step */
    }
    int64_t *times = read_times(count);
    expect(times, count, 1);
    expect(times, count, times[0] - 1000);
    for (int64_t i = 0; i < count; i += each) {
        for (int64_t delta = -2; delta <= 2; delta++)
            expect(times, count, times[i] + delta);
        if (i + each < count)
            expect(times, count, times[i] + (times[i + each] - times[i]) / 2);
    }
    expect(times, count, times[count - 1] + 1000);
    free(times);
}
END_TEST

START_TEST(empty_queue)
{
    expect(NULL, 0, 1700000000000);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("offset_at");
    TCase *tc = tcase_create("offset_at");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, agrees_with_what_is_there);
    tcase_add_test(tc, empty_queue);
    suite_add_tcase(suite, tc);
    return suite;
}
